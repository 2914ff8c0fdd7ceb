"""Scores for anybody's films: VBench's dimensions, the world's truth, what VBench does not ask, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manzar.score.run import score_videos as score_videos

__all__ = ["score_videos"]


def __getattr__(name: str) -> object:
    """`score_videos` on first use: what a part of this room imports must not load all of it."""
    if name == "score_videos":
        from manzar.score.run import score_videos

        return score_videos
    raise AttributeError(f"module 'manzar.score' has no attribute {name!r}")
