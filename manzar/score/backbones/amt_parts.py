"""The parts of AMT-S: encoders, decoders and update blocks, under the names of the published checkpoint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.score.backbones.correlation import LEVELS

RADIUS = 3  # of the windows that are looked up in the correlations
WINDOWS = 2 * LEVELS * (2 * RADIUS + 1) ** 2  # numbers of both directions at a position
SIDE = 20  # channels that a residual block refines on their own
LEAK = 0.1


def resized(x: Tensor, factor: float) -> Tensor:
    """Bilinear, edges of pixels aligned."""
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """x (B, C, h, w) taken where the flow points; edges repeated. flow: (B, 2·n, h, w) -> (B, n·C, h, w)."""
    height, width = x.shape[-2:]
    over = torch.linspace(-1, 1, width, device=x.device).expand(height, -1)
    down = torch.linspace(-1, 1, height, device=x.device)[:, None].expand(-1, width)
    half = torch.tensor(((width - 1) / 2, (height - 1) / 2), device=x.device)
    way = rearrange(flow, "b (n two) h w -> b n h w two", two=2) / half
    # all fields of a picture in one call: they stand below each other
    there = rearrange(torch.stack((over, down), dim=-1) + way, "b n h w two -> b (n h) w two")
    found = F.grid_sample(x, there, padding_mode="border", align_corners=True)  # (B, C, n·h, w)
    fetched: Tensor = rearrange(found, "b c (n h) w -> b (n c) h w", h=height)
    return fetched


def convolved(dim_in: int, dim: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(dim_in, dim, 3, stride, padding=1), nn.PReLU(dim))


class Bottleneck(nn.Module):
    """(B, dim_in, h, w) -> (B, dim, h / stride, w / stride), instance norms without parameters."""

    def __init__(self, dim_in: int, dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim_in, dim // 4, 1)
        self.conv2 = nn.Conv2d(dim // 4, dim // 4, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(dim // 4, dim, 1)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(dim_in, dim, 1, stride), nn.InstanceNorm2d(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for convolution in (self.conv1, self.conv2, self.conv3):
            y = F.relu(F.instance_norm(convolution(y)))
        return F.relu(self.downsample(x) + y)


class FeatureEncoder(nn.Module):
    """(B, 3, H, W) -> (B, 84, H / 8, W / 8), what the pictures are matched by."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2, padding=3)
        self.layer1 = nn.Sequential(Bottleneck(32, 32, 1), Bottleneck(32, 32, 1))
        self.layer2 = nn.Sequential(Bottleneck(32, 64, 2), Bottleneck(64, 64, 1))
        self.layer3 = nn.Sequential(Bottleneck(64, 96, 2), Bottleneck(96, 96, 1))
        self.conv2 = nn.Conv2d(96, 84, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.instance_norm(self.conv1(x)))  # (B, 32, H/2, W/2)
        features: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        return features


class PyramidEncoder(nn.Module):
    """(B, 3, H, W) -> four maps, each with half the sides of the one before: (B, channels[i], H / 2^(i+1), ...)."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        before = (3, *channels)
        for i, dim in enumerate(channels):
            self.add_module(f"pyramid{i + 1}", nn.Sequential(convolved(before[i], dim, 2), convolved(dim, dim)))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for step in self.children():
            x = step(x)
            maps.append(x)
        return maps


class ResidualBlock(nn.Module):
    """Five convolutions; between them the last SIDE channels go through another on their own. Shape kept."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = convolved(dim, dim), convolved(dim, dim)
        self.conv2, self.conv4 = convolved(SIDE, SIDE), convolved(SIDE, SIDE)
        self.conv5 = nn.Conv2d(dim, dim, 3, padding=1)
        self.prelu = nn.PReLU(dim)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for whole, side in ((self.conv1, self.conv2), (self.conv3, self.conv4)):
            y = whole(y)
            y = torch.cat((y[:, :-SIDE], side(y[:, -SIDE:])), dim=1)
        refined: Tensor = self.prelu(x + self.conv5(y))
        return refined


class Decoder(nn.Module):
    """(B, dim_in, h, w) -> (B, dim_out, 2·h, 2·w) through `dim` channels."""

    def __init__(self, dim_in: int, dim: int, dim_out: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            convolved(dim_in, dim), ResidualBlock(dim), nn.ConvTranspose2d(dim, dim_out, 4, 2, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        decoded: Tensor = self.convblock(x)
        return decoded


class UpdateBlock(nn.Module):
    """What the correlations say, at 1/8 of the picture, about features and flows at `factor` times that size.

    features: (B, dim, factor·h, factor·w); flow: (B, 4, h, w); windows: (B, WINDOWS, h, w) -> by how much features
    and flow (B, 4, factor·h, factor·w) change.
    """

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.convc1 = nn.Conv2d(WINDOWS, 64, 1)
        self.convf1 = nn.Conv2d(4, 40, 7, padding=3)
        self.convf2 = nn.Conv2d(40, 20, 3, padding=1)
        self.conv = nn.Conv2d(64 + 20, 68, 3, padding=1)
        self.gru = _two(68 + 4 + dim, 76)
        self.feat_head = _two(76, dim)
        self.flow_head = _two(76, 4)

    def forward(self, features: Tensor, flow: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        seen = F.leaky_relu(self.convc1(windows), LEAK)  # (B, 64, h, w)
        moved = F.leaky_relu(self.convf2(F.leaky_relu(self.convf1(flow), LEAK)), LEAK)  # (B, 20, h, w)
        both = F.leaky_relu(self.conv(torch.cat((seen, moved), dim=1)), LEAK)  # (B, 68, h, w)
        hidden = self.gru(torch.cat((both, flow, resized(features, 1 / self.factor)), dim=1))  # (B, 76, h, w)
        return resized(self.feat_head(hidden), self.factor), self.factor * resized(self.flow_head(hidden), self.factor)


def _two(dim_in: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(dim_in, 76, 3, padding=1), nn.LeakyReLU(LEAK), nn.Conv2d(76, dim, 3, padding=1))
