"""LAION's aesthetic predictor (Schuhmann et al. 2022, arXiv 2210.08402): a linear layer on CLIP ViT-L/14's features."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from manzar.score.checkpoints import fill, read_checkpoint


def load(path: Path) -> nn.Module:
    """The head of sa_0_4_vit_l_14_linear.pth: unit features (B, 768) to ratings (B, 1) of about 1 to 10."""
    return fill(nn.Linear(768, 1), read_checkpoint(path), path)
