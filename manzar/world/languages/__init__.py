"""One grammar per language; each turns a `Telling` into a sentence or a few."""
