"""Exact truth: a judge that looks at pixels only, and what it says of films of the world."""

from manzar.score.truth.dimensions import IDEAS, TRUTH

__all__ = ["IDEAS", "TRUTH"]
