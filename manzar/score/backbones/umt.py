"""UMT's ViT-L/16, fine-tuned on Kinetics-400: sixteen frames in, 400 action logits out.

Li et al. 2023, "Unmasked Teacher", arXiv 2303.16058. One frame is one step in time (tubelet 1), every token attends
to every other, the tokens are averaged and classified. Parameter names are those of the released checkpoint, which
does not hold the position table: it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.score.checkpoints import fill, read_checkpoint

SIDE, PATCH = 224, 16
GRID = SIDE // PATCH  # patches on a side
TRAINED_FRAMES = 8  # frames of the position table before it is stretched


@dataclass(frozen=True)
class UMTConfig:
    """The released network; tests use smaller ones."""

    frames: int = 16
    width: int = 1024
    depth: int = 24
    heads: int = 16
    classes: int = 400


class UMT(nn.Module):
    """Action classifier over `config.frames` frames of 224×224, normalised with ImageNet's mean and deviation."""

    pos_embed: Tensor

    def __init__(self, config: UMTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UMTConfig()
        self.patch_embed = PatchEmbed(config.width)
        self.register_buffer("pos_embed", positions(config.frames, config.width))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.fc_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (B, classes) of `clip` (B, 3, T, 224, 224). Probabilities are their sigmoid, as VBench takes them."""
        wanted = (3, self.config.frames, SIDE, SIDE)
        assert clip.shape[1:] == wanted, f"a clip of {tuple(clip.shape[1:])}; the network takes {wanted}"
        x = self.patch_embed(clip) + self.pos_embed  # (B, n, d)
        for block in self.blocks:
            x = block(x)  # (B, n, d)
        logits: Tensor = self.head(self.fc_norm(x.mean(1)))  # (B, classes)
        return logits


class PatchEmbed(nn.Module):
    """Each 16×16 patch of each frame becomes one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, (1, PATCH, PATCH), (1, PATCH, PATCH))

    def forward(self, clip: Tensor) -> Tensor:
        tokens: Tensor = rearrange(self.proj(clip), "b d t h w -> b (t h w) d")
        return tokens


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))  # (B, n, d)
        x = x + self.mlp(self.norm2(x))  # (B, n, d)
        return x


class Attention(nn.Module):
    """Self-attention over all tokens; queries and values have a bias, keys have none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0, f"width {width} does not divide into {heads} heads"
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))  # (3d,)
        qkv = F.linear(x, self.qkv.weight, bias)  # (B, n, 3d)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, h, n, d/h)
        out: Tensor = self.proj(rearrange(mixed, "b h n d -> b n (h d)"))
        return out


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def positions(frames: int, width: int) -> Tensor:
    """Position table (1, frames·14·14, width), as the network was trained with it.

    Sines and cosines (Vaswani et al. 2017, section 3.5) of the place in the row of all 8·14·14 tokens of the
    pre-trained network, each patch's eight vectors then stretched linearly over time. Channels 2i and 2i + 1 share
    a frequency.
    """
    # On the CPU even where a network is being made without memory: its table is no part of the checkpoint.
    place = torch.arange(TRAINED_FRAMES * GRID * GRID, dtype=torch.float64, device="cpu")
    channel = torch.arange(width, dtype=torch.float64, device="cpu")
    angle = place[:, None] / 10000 ** (2 * (channel // 2) / width)  # (n, d)
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()
    if frames != TRAINED_FRAMES:
        over_time = rearrange(table, "(t p) d -> p d t", t=TRAINED_FRAMES)
        table = rearrange(F.interpolate(over_time, size=frames, mode="linear"), "p d t -> (t p) d")
    return table[None]


def load(path: Path, config: UMTConfig | None = None) -> nn.Module:
    """The classifier of the checkpoint at `path`. Raises Unscored where it is another network's."""
    tensors = read_checkpoint(path, inside=("model", "module"))
    with torch.device("meta"):
        network = UMT(config)
    return fill(network, {"pos_embed": network.pos_embed, **tensors}, path)
