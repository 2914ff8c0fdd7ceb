"""Request → Video: embed the prompt, draw the noise, apply the conditions, integrate, decode."""

from __future__ import annotations

from manzar.generate.boxes import Boxes
from manzar.generate.conditions import Connect, Extend, FirstFrame, Keyframes, Loop
from manzar.generate.edit import Edit
from manzar.generate.folder import PRETRAINED, ModelParts, load_parts, save_parts
from manzar.generate.generator import Generator, load
from manzar.generate.noise import initial_noise

__all__ = [
    "PRETRAINED",
    "Boxes",
    "Connect",
    "Edit",
    "Extend",
    "FirstFrame",
    "Generator",
    "Keyframes",
    "Loop",
    "ModelParts",
    "initial_noise",
    "load",
    "load_parts",
    "save_parts",
]
