"""Manzar: train, steer and run your own video-generation model."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from manzar.generate import load as load
    from manzar.nouns import Request as Request

__all__ = ["Request", "__version__", "load"]


def __getattr__(name: str) -> object:
    """`manzar.load` and `manzar.Request` on first use, so that importing the package stays instant."""
    if name == "load":
        from manzar.generate import load

        return load
    if name == "Request":
        from manzar.nouns import Request

        return Request
    raise AttributeError(f"module 'manzar' has no attribute {name!r}")
