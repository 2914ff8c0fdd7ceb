"""ViCLIP: a video tower and a text tower that meet in one space (Wang et al. 2023, InternVid, arXiv 2307.06942).

CLIP's ViT-L/14 whose attention runs over the patches of all eight frames at once, beside CLIP's text transformer
with 32 places. Parameter names are those of the released checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from manzar.score.backbones.clip import Transformer
from manzar.score.checkpoints import fill, read_checkpoint

PATCH = 14


@dataclass(frozen=True)
class ViCLIPConfig:
    """The released network; tests use smaller ones.

    side: of a frame, in pixels; width, depth, heads: of the video tower; text_*: of the text tower; space: what both
    features are of; context: places for text tokens, the start and end tokens among them.
    """

    side: int = 224
    frames: int = 8
    width: int = 1024
    depth: int = 24
    heads: int = 16
    text_width: int = 768
    text_depth: int = 12
    text_heads: int = 12
    space: int = 768
    context: int = 32
    vocabulary: int = 49408


class ViCLIP(nn.Module):
    """Cosine of a clip's and a prompt's feature says how well they belong together."""

    def __init__(self, config: ViCLIPConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ViCLIPConfig()
        self.vision_encoder = VideoTower(config)
        self.text_encoder = TextTower(config)
        self.temp = nn.Parameter(torch.tensor(0.01))  # of the training loss; here so that checkpoints load strictly

    def embed_clip(self, clip: Tensor) -> Tensor:
        """Unit features (B, space) of `clip` (B, T, 3, side, side), normalised as CLIP does."""
        return F.normalize(self.vision_encoder(clip), dim=-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Unit features (B, space) of `tokens` (B, context): start, words, end (the greatest of all), then zeros."""
        return F.normalize(self.text_encoder(tokens), dim=-1)


class VideoTower(nn.Module):
    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.config = config
        patches = (config.side // PATCH) ** 2
        self.conv1 = nn.Conv3d(3, config.width, (1, PATCH, PATCH), (1, PATCH, PATCH), bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(config.width))
        self.positional_embedding = nn.Parameter(torch.zeros(patches + 1, config.width))  # the class token's first
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, config.frames, config.width))
        self.ln_pre = nn.LayerNorm(config.width)
        self.transformer = Transformer(config.width, config.depth, config.heads, causal=False)
        self.ln_post = nn.LayerNorm(config.width)
        self.proj = nn.Parameter(torch.zeros(config.width, config.space))

    def forward(self, clip: Tensor) -> Tensor:
        """Features (B, space) of `clip` (B, T, 3, side, side); one class token stands for the whole clip."""
        wanted = (self.config.frames, 3, self.config.side, self.config.side)
        assert clip.shape[1:] == wanted, f"a clip of {tuple(clip.shape[1:])}; the network takes {wanted}"
        patches = rearrange(self.conv1(rearrange(clip, "b t c h w -> b c t h w")), "b d t h w -> b t (h w) d")
        patches = patches + self.positional_embedding[1:]  # (B, T, p, d)
        patches = patches + self.temporal_positional_embedding[:, :, None]  # (B, T, p, d)
        start = repeat(self.class_embedding + self.positional_embedding[0], "d -> b 1 d", b=len(clip))
        x = torch.cat((start, rearrange(patches, "b t p d -> b (t p) d")), dim=1)  # (B, 1 + n, d)
        x = self.transformer(self.ln_pre(x))  # (B, 1 + n, d)
        features: Tensor = self.ln_post(x[:, 0]) @ self.proj  # (B, space)
        return features


class TextTower(nn.Module):
    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.text_width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context, config.text_width))
        self.transformer = Transformer(config.text_width, config.text_depth, config.text_heads, causal=True)
        self.ln_final = nn.LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(torch.zeros(config.text_width, config.space))

    def forward(self, tokens: Tensor) -> Tensor:
        """Features (B, space) of `tokens` (B, context), taken where the end token stands."""
        x = self.token_embedding(tokens) + self.positional_embedding  # (B, n, d)
        x = self.ln_final(self.transformer(x))  # (B, n, d)
        end: Tensor = x[torch.arange(len(x), device=x.device), tokens.argmax(-1)]  # (B, d)
        return end @ self.text_projection  # (B, space)


def load(path: Path, config: ViCLIPConfig | None = None) -> nn.Module:
    """Both towers of the checkpoint at `path`. Raises Unscored where it is another network's."""
    with torch.device("meta"):
        network = ViCLIP(config)
    return fill(network, read_checkpoint(path, inside=("model",)), path)
