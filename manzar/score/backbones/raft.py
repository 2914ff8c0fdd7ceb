"""RAFT: dense optical flow between two pictures (Teed and Deng, ECCV 2020, arXiv 2003.12039), the large network.

Module and parameter names are those of the published checkpoints. Written for inference on films: the features of a
frame are computed once for all pairs it stands in; what the context adds to the gated recurrent unit is the same in
all iterations and computed before them; full resolution is computed after the last iteration alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.nouns import Frames
from manzar.score.backbones.correlation import LEVELS, STRIDE, grid, look_up, padded, pairs_at_once, pyramid
from manzar.score.checkpoints import fill, read_checkpoint

ITERATIONS = 20
RADIUS = 4  # of the windows that are looked up
HIDDEN = CONTEXT = MOTION = 128  # channels
FEATURES = 256


class ResidualBlock(nn.Module):
    """(B, dim_in, h, w) -> (B, dim, h / stride, w / stride)."""

    def __init__(self, dim_in: int, dim: int, norm: type[nn.Module], stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim_in, dim, 3, stride, padding=1)
        self.norm1 = norm(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = norm(dim)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.norm3 = norm(dim)  # the checkpoints hold it under both of its names
            self.downsample = nn.Sequential(nn.Conv2d(dim_in, dim, 1, stride), self.norm3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.downsample(x) + y)


class Encoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, dim, H / 8, W / 8)."""

    def __init__(self, dim: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        self.norm1 = norm(64)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, norm, 1), ResidualBlock(64, 64, norm, 1))
        self.layer2 = nn.Sequential(ResidualBlock(64, 96, norm, 2), ResidualBlock(96, 96, norm, 1))
        self.layer3 = nn.Sequential(ResidualBlock(96, 128, norm, 2), ResidualBlock(128, 128, norm, 1))
        self.conv2 = nn.Conv2d(128, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))  # (B, 64, H/2, W/2)
        x = self.layer2(self.layer1(x))  # (B, 96, H/4, W/4)
        features: Tensor = self.conv2(self.layer3(x))  # (B, dim, H/8, W/8)
        return features


class MotionEncoder(nn.Module):
    """Correlation windows (B, n, h, w) and the flow so far (B, 2, h, w) -> (B, 128, h, w), the flow its last two."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(LEVELS * (2 * RADIUS + 1) ** 2, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(192 + 64, MOTION - 2, 3, padding=1)

    def forward(self, windows: Tensor, flow: Tensor) -> Tensor:
        seen = F.relu(self.convc2(F.relu(self.convc1(windows))))  # (B, 192, h, w)
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))  # (B, 64, h, w)
        both = F.relu(self.conv(torch.cat((seen, moved), dim=1)))  # (B, 126, h, w)
        return torch.cat((both, flow), dim=1)


@dataclass(frozen=True)
class Sweep:
    """One direction of the recurrent unit, with the context already in it.

    Kernels over (hidden, motion); `gates` are update and reset, one after the other. `*_context` is what bias and
    context add at every position: (B, 2·128, h, w) and (B, 128, h, w).
    """

    gates: Tensor
    gates_context: Tensor
    candidate: Tensor
    candidate_context: Tensor

    def __call__(self, hidden: Tensor, motion: Tensor) -> Tensor:
        """h' = (1 − z)·h + z·q, z and r of (h, x), q of (r·h, x)."""
        size = (self.gates.shape[2] // 2, self.gates.shape[3] // 2)
        gates = F.conv2d(torch.cat((hidden, motion), dim=1), self.gates, padding=size)
        update, reset = torch.sigmoid(gates + self.gates_context).chunk(2, dim=1)
        candidate = F.conv2d(torch.cat((reset * hidden, motion), dim=1), self.candidate, padding=size)
        return torch.lerp(hidden, torch.tanh(candidate + self.candidate_context), update)


class SepConvGRU(nn.Module):
    """A convolutional gated recurrent unit in two sweeps, along x (1x5) and along y (5x1)."""

    def __init__(self) -> None:
        super().__init__()
        for sweep, kernel in ((1, (1, 5)), (2, (5, 1))):
            size = (kernel[0] // 2, kernel[1] // 2)
            for gate in "zrq":
                convolution = nn.Conv2d(HIDDEN + CONTEXT + MOTION, HIDDEN, kernel, padding=size)
                self.add_module(f"conv{gate}{sweep}", convolution)

    def sweeps(self, context: Tensor) -> list[Sweep]:
        """context: (B, 128, h, w)."""
        return [self._sweep(sweep, context) for sweep in (1, 2)]

    def _sweep(self, sweep: int, context: Tensor) -> Sweep:
        parts = [self.get_submodule(f"conv{gate}{sweep}") for gate in "zrq"]
        weight = torch.cat([part.get_parameter("weight") for part in parts])  # (3·128, 384, kernel)
        bias = torch.cat([part.get_parameter("bias") for part in parts])
        hidden, constant, motion = weight.tensor_split((HIDDEN, HIDDEN + CONTEXT), dim=1)
        added = F.conv2d(context, constant, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
        kernel = torch.cat((hidden, motion), dim=1)
        return Sweep(kernel[: 2 * HIDDEN], added[:, : 2 * HIDDEN], kernel[2 * HIDDEN :], added[:, 2 * HIDDEN :])


class FlowHead(nn.Module):
    """(B, 128, h, w) -> (B, 2, h, w): by how much the flow changes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(hidden)))
        return change


class UpdateBlock(nn.Module):
    """What is run again and again: its four parts. `mask` gives the weights of convex upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder()
        self.gru = SepConvGRU()
        self.flow_head = FlowHead()
        self.mask = nn.Sequential(nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 9 * STRIDE**2, 1))


class RAFT(nn.Module):
    """Pictures are (B, 3, H, W) in 0..255, sides multiples of 8 and 128 at least; flow is (B, 2, H, W) in pixels, x
    before y, from each pixel of the first picture to where it lies in the second."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = Encoder(FEATURES, nn.InstanceNorm2d)
        self.cnet = Encoder(HIDDEN + CONTEXT, nn.BatchNorm2d)
        self.update_block = UpdateBlock()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.flow(first, self.features(first), self.features(second))

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..255 -> (B, 256, H / 8, W / 8), to match pictures by."""
        features: Tensor = self.fnet(_signed(pictures))
        return features

    def flow(self, first: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """first: the pictures to start from; here, there: the features of both pictures of each pair."""
        hidden, context = self.cnet(_signed(first)).tensor_split((HIDDEN,), dim=1)
        hidden = torch.tanh(hidden)  # (B, 128, h, w)
        sweeps = self.update_block.gru.sweeps(F.relu(context))
        levels = pyramid(here, there)
        start = where = grid(here)  # (B, 2, h, w)
        for _ in range(ITERATIONS):
            motion = self.update_block.encoder(look_up(levels, where, RADIUS), where - start)  # (B, 128, h, w)
            for sweep in sweeps:
                hidden = sweep(hidden, motion)
            where = where + self.update_block.flow_head(hidden)
        return enlarged(where - start, self.update_block.mask(hidden) / 4)  # trained with a quarter of its gradient


def enlarged(flow: Tensor, weights: Tensor) -> Tensor:
    """Convex upsampling: every fine pixel is a weighted mean of the 3x3 coarse ones around it (section 3.3).

    (B, 2, h, w), (B, 9·8·8, h, w) -> (B, 2, 8·h, 8·w)
    """
    weights = rearrange(weights, "b (n y x) h w -> b 1 n y x h w", n=9, y=STRIDE).softmax(dim=2)
    around = F.unfold(STRIDE * flow, 3, padding=1)  # (B, 2·9, h·w)
    around = rearrange(around, "b (c n) (h w) -> b c n 1 1 h w", n=9, h=flow.shape[2])
    fine: Tensor = rearrange((weights * around).sum(dim=2), "b c y x h w -> b c (h y) (w x)")
    return fine


def _signed(pictures: Tensor) -> Tensor:
    """0..255 -> -1..1, channels last in memory."""
    return (2 * (pictures / 255) - 1).contiguous(memory_format=torch.channels_last)


def motions(network: RAFT, frames: Frames, pairs: Sequence[tuple[int, int]], share: float) -> Iterator[float]:
    """How far the fastest `share` of the pixels moves between two frames, in pixels, for one pair after the other.

    frames: (T, H, W, 3). Pairs are worked on as they are asked for, so whoever has seen enough saves the rest.
    Raises Unscored for frames of a size that the network is not defined for.
    """
    _, height, width, _ = frames.shape
    at_once = pairs_at_once(height, width, STRIDE)
    features: dict[int, Tensor] = {}
    for begin in range(0, len(pairs), at_once):
        yield from _motions(network, frames, pairs[begin : begin + at_once], share, features)


@torch.inference_mode()
def _motions(
    network: RAFT, frames: Frames, pairs: Sequence[tuple[int, int]], share: float, features: dict[int, Tensor]
) -> list[float]:
    """As `motions`, all pairs at once. features: those known by frame; replaced by those of these pairs."""
    device = next(network.parameters()).device

    def pictures(indices: Sequence[int]) -> Tensor:
        stacked = torch.from_numpy(frames[list(indices)]).to(device)
        return padded(rearrange(stacked, "b h w c -> b c h w").float(), STRIDE)

    wanted = sorted({index for pair in pairs for index in pair})
    new = [index for index in wanted if index not in features]
    if new:
        features.update(zip(new, network.features(pictures(new)), strict=True))
    for index in features.keys() - set(wanted):
        del features[index]
    first, second = zip(*pairs, strict=True)
    here, there = (torch.stack([features[index] for index in side]) for side in (first, second))
    return strongest(network.flow(pictures(first), here, there), share)


def strongest(flow: Tensor, share: float) -> list[float]:
    """(B, 2, H, W) -> of each, the mean length of the longest `share` of its vectors, their number rounded down."""
    length = flow.square().sum(dim=1).sqrt().flatten(1)  # (B, H·W)
    kept = length.topk(int(length.shape[1] * share), dim=1).values
    return [float(value) for value in kept.double().mean(dim=1)]


def load(path: Path) -> nn.Module:
    """RAFT with the weights of raft-things.pth. Raises Unscored for a file that holds another network."""
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_checkpoint(path).items()}
    return fill(RAFT(), tensors, path)
