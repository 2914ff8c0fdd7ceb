"""The same pictures under another codec, size, tint, logo, crop or time offset."""
