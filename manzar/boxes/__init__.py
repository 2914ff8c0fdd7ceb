"""Boxes: where each thing is to go. Geometry, tracks, boxes.json, measures and drawing; the module that obeys them."""

from __future__ import annotations

from manzar.boxes.script import BoxError, BoxScript, read_script
from manzar.boxes.tracks import Plan, latent_plan

__all__ = ["BoxError", "BoxScript", "Plan", "latent_plan", "read_script"]
