"""Temporal style: the agreement of film and prompt, for prompts that ask for a movement of the camera or of time."""

from __future__ import annotations

from manzar.score.dimension import Dimension
from manzar.score.dimensions.overall_consistency import agreement

DIMENSION = Dimension("temporal_style", "official", agreement, backbones=("viclip_internvid",))
