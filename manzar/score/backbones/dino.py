"""DINO's ViT-B/16 (Caron et al. 2021, arXiv 2104.14294), with the parameter names of the released checkpoint.

Inputs need not be square: the table of positions is stretched to the grid as the authors do it, by a factor a little
too large, so that rounding never costs a row. The sampling points depend on that factor; other ways of stretching give
other features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.score.checkpoints import fill, read_checkpoint


@dataclass(frozen=True)
class DinoConfig:
    """The released network; tests use smaller ones. side: in pixels, of the square that the positions were made for."""

    side: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12


class Dino(nn.Module):
    def __init__(self, config: DinoConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DinoConfig()
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (config.side // config.patch) ** 2, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """The class token's features (B, width) of `images` (B, 3, H, W); pixels beyond whole patches are not seen."""
        patches = self.patch_embed.proj(images)  # (B, d, h, w)
        positions = self.positions(patches.shape[-2], patches.shape[-1])  # (1, 1 + n, d)
        start = self.cls_token.expand(len(images), -1, -1)  # (B, 1, d)
        x = torch.cat((start, rearrange(patches, "b d h w -> b (h w) d")), dim=1) + positions  # (B, 1 + n, d)
        for block in self.blocks:
            x = block(x)  # (B, 1 + n, d)
        features: Tensor = self.norm(x[:, 0])  # (B, d)
        return features

    def positions(self, height: int, width: int) -> Tensor:
        """The table of positions (1, 1 + height·width, d) for a grid of patches."""
        own = self.config.side // self.config.patch
        if (height, width) == (own, own):
            return self.pos_embed
        table = rearrange(self.pos_embed[:, 1:], "1 (h w) d -> 1 d h w", h=own)
        scale = ((height + 0.1) / own, (width + 0.1) / own)
        table = F.interpolate(table, scale_factor=scale, mode="bicubic", align_corners=False)  # (1, d, h, w)
        assert table.shape[-2:] == (height, width), f"positions {tuple(table.shape[-2:])}, patches {(height, width)}"
        return torch.cat((self.pos_embed[:, :1], rearrange(table, "1 d h w -> 1 (h w) d")), dim=1)


class PatchEmbed(nn.Module):
    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, config.patch)


class Block(nn.Module):
    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))  # (B, n, d)
        x = x + self.mlp(self.norm2(x))  # (B, n, d)
        return x


class Attention(nn.Module):
    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, h, n, d/h)
        out: Tensor = self.proj(rearrange(mixed, "b h n d -> b n (h d)"))  # (B, n, d)
        return out


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def load(path: Path) -> nn.Module:
    """The network of dino_vitbase16_pretrain.pth, or of the same weights as transformers writes them."""
    with torch.device("meta"):
        network = Dino()
    return fill(network, from_stock(read_checkpoint(path)), path)


STOCK_NAMES = (  # transformers' ViTModel, ours
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("encoder.layer.", "blocks."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm.", "norm."),
)


def from_stock(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and fused projections as the authors have them, whichever of the two layouts is given."""
    if "cls_token" in tensors:
        return dict(tensors)
    named = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("vit.")
        if name.startswith("pooler."):  # transformers adds a head that was never trained
            continue
        for stock, own in STOCK_NAMES:
            name = name.replace(stock, own)
        named[name] = tensor
    for name in [name for name in named if ".attention.attention.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in named for part in parts):
            named[name.replace("attention.attention.query", "attn.qkv")] = torch.cat([named.pop(p) for p in parts])
    return named
