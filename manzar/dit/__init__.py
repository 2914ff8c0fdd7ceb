"""The spacetime transformer, and low-rank adapters for it."""

from manzar.dit.blocks import Block
from manzar.dit.dit import DiT, DiTConfig, TextKeys

__all__ = ["Block", "DiT", "DiTConfig", "TextKeys"]
