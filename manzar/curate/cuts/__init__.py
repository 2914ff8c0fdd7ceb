"""Shot changes, hard and soft, found in one pass over a film's thumbnails."""
