"""MUSIQ: how good a picture looks, at its own size and proportions (Ke et al., ICCV 2021, arXiv 2108.05997).

A picture is cut into 32x32 patches at three sizes: its longer side 224, 384, and as it is. Each patch becomes a token
through a small convolutional stem, is told where it lies on a 10x10 grid and of which size it is, and a transformer
reads them all into one score. Module and parameter names are those of IQA-PyTorch's checkpoints.

The published code fills the tokens up to the number that a square picture has and masks what it filled in. A masked
key has weight exp(−1000) = 0 and a masked query is read by nobody, so the filling is left out here. Of the last layer
only the class token is read, so only that is computed.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.score.checkpoints import fill, read_checkpoint

PATCH = 32
LONGER_SIDES = (224, 384)  # pixels; the third size is the picture's own
GRID = 10
STEM = 64  # channels
WIDTH = 384
MLP = 1152
HEADS = 6
LAYERS = 14


class StandardConv2d(nn.Conv2d):
    """A convolution without bias whose kernels are brought to mean 0 and deviation 1 (Qiao et al. 2019), and whose
    padding is TensorFlow's "same"."""

    def __init__(self, dim_in: int, dim: int, kernel: int, stride: int = 1) -> None:
        super().__init__(dim_in, dim, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        kernels = (self.weight - mean) / (deviation + 1e-5)
        return F.conv2d(same(x, self.kernel_size[0], self.stride[0]), kernels, stride=self.stride)


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around x so that a window of `kernel` every `stride` pixels meets all of it; the odd one lies behind."""
    height, width = x.shape[-2:]
    down, right = ((-(-side // stride) - 1) * stride + kernel - side for side in (height, width))
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))


class Bottleneck(nn.Module):
    """(N, dim, h, w) -> (N, 4·dim, h, w)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.gn1 = StandardConv2d(dim, dim, 1), nn.GroupNorm(32, dim, eps=1e-4)
        self.conv2, self.gn2 = StandardConv2d(dim, dim, 3), nn.GroupNorm(32, dim, eps=1e-4)
        self.conv3, self.gn3 = StandardConv2d(dim, 4 * dim, 1), nn.GroupNorm(32, 4 * dim, eps=1e-4)
        self.conv_proj, self.gn_proj = StandardConv2d(dim, 4 * dim, 1), nn.GroupNorm(32, 4 * dim, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        return F.relu(self.gn3(self.conv3(y)) + self.gn_proj(self.conv_proj(x)))


class Attention(nn.Module):
    """Every one of the first `queries` tokens looks at all: (B, n, d) -> (B, queries, d)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, queries: int) -> Tensor:
        parts = self.query(x[:, :queries]), self.key(x), self.value(x)
        q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads) for part in parts)
        seen: Tensor = self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))
        return seen


class Mlp(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, inner), nn.Linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Layer(nn.Module):
    """(B, n, d) -> (B, queries, d)."""

    def __init__(self, dim: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, inner)

    def forward(self, x: Tensor, queries: int) -> Tensor:
        x = x[:, :queries] + self.attention(self.norm1(x), queries)
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class PositionTable(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.position_emb = nn.Parameter(torch.zeros(1, GRID**2, dim))


class ScaleTable(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_emb = nn.Parameter(torch.zeros(len(LONGER_SIDES) + 1, dim))


class Encoder(nn.Module):
    """Tokens (B, n, d), the place (n) and size (n) of each -> what the class token has read (B, d)."""

    def __init__(self, dim: int, inner: int, heads: int, layers: int) -> None:
        super().__init__()
        self.posembed_input = PositionTable(dim)
        self.scaleembed_input = ScaleTable(dim)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.encoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.transformer = nn.ModuleDict({f"encoderblock_{i}": Layer(dim, inner, heads) for i in range(layers)})

    def forward(self, x: Tensor, places: Tensor, sizes: Tensor) -> Tensor:
        x = x + self.posembed_input.position_emb[0, places] + self.scaleembed_input.scale_emb[sizes]
        x = torch.cat((self.cls.expand(len(x), -1, -1), x), dim=1)  # (B, 1 + n, d)
        *layers, last = self.transformer.values()
        for layer in layers:
            x = layer(x, x.shape[1])
        read: Tensor = self.encoder_norm(last(x, 1))[:, 0]
        return read


class MUSIQ(nn.Module):
    """(B, 3, H, W) in 0..1 -> (B) scores, 0..100 with the weights learnt on SPAQ."""

    def __init__(self, dim: int = WIDTH, inner: int = MLP, heads: int = HEADS, layers: int = LAYERS) -> None:
        super().__init__()
        self.conv_root, self.gn_root = StandardConv2d(3, STEM, 7, 2), nn.GroupNorm(32, STEM, eps=1e-6)
        self.block1 = Bottleneck(STEM)
        self.embedding = nn.Linear(4 * STEM * (PATCH // 4) ** 2, dim)
        self.transformer_encoder = Encoder(dim, inner, heads, layers)
        self.head = nn.Linear(dim, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        patches, places, sizes = multiscale(2 * (pictures - 0.5))
        tokens = rearrange(self.embedded(patches.flatten(0, 1)), "(b n) d -> b n d", b=len(pictures))
        scores: Tensor = self.head(self.transformer_encoder(tokens, places, sizes))
        return scores[:, 0]

    def embedded(self, patches: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, d), the stem channels last in memory."""
        patches = patches.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.gn_root(self.conv_root(patches)))  # (N, 64, 16, 16)
        x = self.block1(F.max_pool2d(same(x, 3, 2), 3, 2))  # (N, 256, 8, 8)
        tokens: Tensor = self.embedding(rearrange(x, "n c h w -> n (h w c)"))
        return tokens


def multiscale(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3, H, W) -> patches (B, n, 3, 32, 32), their places on the grid (n) and their sizes' numbers (n).

    Bicubic without antialiasing, as published for torch; sides are rounded half to even.
    """
    longest = max(pictures.shape[-2:])
    patches, places, sizes = [], [], []
    for number, longer in enumerate((*LONGER_SIDES, longest)):
        height, width = (round(side * (longer / longest)) for side in pictures.shape[-2:])
        resized = pictures
        if number < len(LONGER_SIDES):
            resized = F.interpolate(pictures, (height, width), mode="bicubic", align_corners=False)
        cut = rearrange(same(resized, PATCH, PATCH), "b c (h y) (w x) -> b (h w) c y x", y=PATCH, x=PATCH)
        patches.append(cut)
        places.append(hashed(-(-height // PATCH), -(-width // PATCH)))
        sizes.append(torch.full_like(places[-1], number))
    device = pictures.device
    return torch.cat(patches, dim=1), torch.cat(places).to(device), torch.cat(sizes).to(device)


def hashed(rows: int, columns: int) -> Tensor:
    """(rows · columns): the cell of the 10x10 grid that each patch falls into, row by row (section 3.3)."""
    down, over = (torch.arange(count) * GRID // count for count in (rows, columns))
    return (down[:, None] * GRID + over).flatten()


def load(path: Path) -> nn.Module:
    """MUSIQ with the weights of musiq_spaq_ckpt-358bb6af.pth. Raises Unscored for a file of another network."""
    tensors = read_checkpoint(path, inside=("params",))
    return fill(MUSIQ(), {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, path)
