"""Request → Video: embed the prompt, draw the noise, apply the conditions, integrate, decode."""

from __future__ import annotations

from manzar.generate.conditions import FirstFrame
from manzar.generate.folder import ModelParts, load_parts, save_parts
from manzar.generate.generator import Generator, initial_noise, load

__all__ = ["FirstFrame", "Generator", "ModelParts", "initial_noise", "load", "load_parts", "save_parts"]
