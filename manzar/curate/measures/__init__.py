"""Numbers about a clip, and the limits by which they turn it away."""
