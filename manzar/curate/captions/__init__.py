"""Captions that people have, and captioners for the clips that have none."""
