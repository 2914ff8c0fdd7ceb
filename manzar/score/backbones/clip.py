"""CLIP's ViT-B/32 and ViT-L/14 (Radford et al. 2021, arXiv 2103.00020), with OpenAI's parameter names."""

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
class ClipConfig:
    """side: of an image, in pixels; width, depth, heads: of the image tower; text_*: of the text tower.

    space: what both features are of; context: places for text tokens, the start and end tokens among them.
    """

    patch: int
    width: int
    depth: int
    heads: int
    text_width: int
    text_depth: int
    text_heads: int
    space: int
    side: int = 224
    context: int = 77
    vocabulary: int = 49408


VIT_B32 = ClipConfig(32, 768, 12, 12, 512, 12, 8, 512)
VIT_L14 = ClipConfig(14, 1024, 24, 16, 768, 12, 12, 768)


class Clip(nn.Module):
    """Image and text features that point the same way where they belong together; neither is of unit length."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = ImageTower(config)
        self.token_embedding = nn.Embedding(config.vocabulary, config.text_width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context, config.text_width))
        self.transformer = Transformer(config.text_width, config.text_depth, config.text_heads, causal=True)
        self.ln_final = nn.LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(torch.zeros(config.text_width, config.space))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def embed_images(self, images: Tensor) -> Tensor:
        """Features (B, space) of `images` (B, 3, side, side), normalised as `transforms.clip` does."""
        features: Tensor = self.visual(images)
        return features

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Features (B, space) of `tokens` (B, context): start, words, end (the greatest of all), then zeros."""
        x = self.token_embedding(tokens) + self.positional_embedding  # (B, n, d)
        x = self.ln_final(self.transformer(x))  # (B, n, d)
        end = x[torch.arange(len(x), device=x.device), tokens.argmax(-1)]  # (B, d)
        features: Tensor = end @ self.text_projection  # (B, space)
        return features

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Cosines of features (B, space) and (C, space), times the learned scale: (B, C)."""
        return self.logit_scale.exp() * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).mT


class ImageTower(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.width, config.patch, config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(config.width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + (config.side // config.patch) ** 2, config.width))
        self.ln_pre = nn.LayerNorm(config.width)
        self.transformer = Transformer(config.width, config.depth, config.heads, causal=False)
        self.ln_post = nn.LayerNorm(config.width)
        self.proj = nn.Parameter(torch.zeros(config.width, config.space))

    def forward(self, images: Tensor) -> Tensor:
        patches = rearrange(self.conv1(images), "b d h w -> b (h w) d")  # (B, n, d)
        start = self.class_embedding.expand(len(images), 1, -1)  # (B, 1, d)
        x = torch.cat((start, patches), dim=1) + self.positional_embedding  # (B, 1 + n, d)
        x = self.transformer(self.ln_pre(x))  # (B, 1 + n, d)
        features: Tensor = self.ln_post(x[:, 0]) @ self.proj  # (B, space)
        return features


class Transformer(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads, causal=causal) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)  # (B, n, d)
        return x


class Block(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, causal=causal)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))  # (B, n, d)
        x = x + self.mlp(self.ln_2(x))  # (B, n, d)
        return x


class Attention(nn.Module):
    """Self-attention, with the parameter names of torch's own `MultiheadAttention`."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, n, 3d)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)  # (B, h, n, d/h)
        out: Tensor = self.out_proj(rearrange(mixed, "b h n d -> b n (h d)"))  # (B, n, d)
        return out


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.c_fc(x)  # (B, n, 4d)
        out: Tensor = self.c_proj(hidden * torch.sigmoid(1.702 * hidden))  # CLIP's own approximation of GELU
        return out


def load_b32(path: Path) -> nn.Module:
    """The network of ViT-B-32.pt, or of the same weights as transformers writes them."""
    return load(path, VIT_B32)


def load_l14(path: Path) -> nn.Module:
    """The network of ViT-L-14.pt, or of the same weights as transformers writes them."""
    return load(path, VIT_L14)


def load(path: Path, config: ClipConfig) -> nn.Module:
    with torch.device("meta"):
        network = Clip(config)
    return fill(network, from_stock(read_checkpoint(path)), path)


SIZES = ("input_resolution", "context_length", "vocab_size")  # numbers that OpenAI's archives carry among the tensors
STOCK_NAMES = (  # transformers' CLIPModel, ours
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding", "visual.conv1"),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm", "visual.ln_pre"),
    ("vision_model.post_layernorm", "visual.ln_post"),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("text_model.embeddings.token_embedding", "token_embedding"),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm", "ln_final"),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    (".self_attn.", ".attn."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)


def from_stock(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and fused projections as OpenAI has them, whichever of the two layouts is given."""
    if "vision_model.pre_layrnorm.weight" not in tensors:
        return {name: tensor for name, tensor in tensors.items() if name not in SIZES}
    named = {}
    for name, tensor in tensors.items():
        if name.endswith(".position_ids"):  # 0, 1, 2, …; older files have them
            continue
        for stock, own in STOCK_NAMES:
            name = name.replace(stock, own)
        named[name] = tensor
    for name in [name for name in named if ".attn.q_proj." in name]:
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in named for part in parts):
            named[name.replace(".q_proj.", ".in_proj_")] = torch.cat([named.pop(part) for part in parts])
    for stock, own in (("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")):
        if stock in named:  # a linear layer's weight there, a matrix to multiply by here
            named[own] = named.pop(stock).mT
    return named
