"""AMT-S: the picture halfway between two (Li et al., CVPR 2023, arXiv 2304.09790), the small network.

Flows towards both pictures are estimated coarse to fine; at every size a look at all-pairs correlations corrects them;
at the last each pixel has three pairs of flows, and what they fetch is blended. Module and parameter names are those
of the published checkpoint. Only the middle is ever asked for, so time is not an argument.
"""

from __future__ import annotations

from pathlib import Path

import torch
from einops import reduce
from torch import Tensor, nn

from manzar.score.backbones.amt_parts import (
    RADIUS,
    Decoder,
    FeatureEncoder,
    PyramidEncoder,
    UpdateBlock,
    convolved,
    resized,
    warped,
)
from manzar.score.backbones.correlation import Pyramid, grid, look_up, pyramid
from manzar.score.checkpoints import fill, read_checkpoint

CHANNELS = (20, 32, 44, 56)  # of the maps at 1/2, 1/4, 1/8, 1/16 of the picture
FIELDS = 3  # pairs of flows that each pixel of the picture has
MIDDLE = 0.5  # of the way from the first picture to the second
MULTIPLE = 16  # of which the sides must be multiples


class AMT(nn.Module):
    """first, second: (B, 3, H, W) in 0..1, sides multiples of 16 and 128 at least -> the same shape and range.

    Inside, a flow (B, 4, h, w) is x, y towards the first picture, then x, y towards the second.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = CHANNELS
        self.feat_encoder = FeatureEncoder()
        self.encoder = PyramidEncoder(CHANNELS)
        self.decoder4 = Decoder(2 * sixteenth + 1, 2 * sixteenth, eighth + 4)
        self.decoder3 = Decoder(3 * eighth + 4, 3 * eighth, quarter + 4)
        self.decoder2 = Decoder(3 * quarter + 4, 3 * quarter, half + 4)
        self.decoder1 = Decoder(3 * half + 4, 3 * half, 8 * FIELDS)
        self.update4 = UpdateBlock(eighth, 1)
        self.update3 = UpdateBlock(quarter, 2)
        self.update2 = UpdateBlock(half, 4)
        self.comb_block = nn.Sequential(*convolved(3 * FIELDS, 6 * FIELDS), nn.Conv2d(6 * FIELDS, 3, 3, padding=1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        mean = torch.cat((first, second), dim=2).mean(dim=(1, 2, 3), keepdim=True)  # of both pictures
        first, second = first - mean, second - mean
        both = torch.cat((first, second)).contiguous(memory_format=torch.channels_last)  # (2·B, 3, H, W)
        here, there = self.feat_encoder(both).chunk(2)  # (B, 84, H/8, W/8)
        matches = pyramid(here, there), pyramid(there, here)
        maps = [one.chunk(2) for one in self.encoder(both)]  # pairs of (B, CHANNELS[i], H/2^(i+1), W/2^(i+1))

        when = torch.full_like(maps[3][0][:, :1], MIDDLE)
        flow, features = self.decoder4(torch.cat((*maps[3], when), dim=1)).tensor_split((4,), dim=1)
        flow, features = corrected(self.update4, flow, features, matches)  # at H/8
        for decoder, update, pair in ((self.decoder3, self.update3, maps[2]), (self.decoder2, self.update2, maps[1])):
            change, features = decoder(aligned(features, pair, flow)).tensor_split((4,), dim=1)
            flow = change + 2 * resized(flow, 2)
            flow, features = corrected(update, flow, features, matches)  # at H/4, H/2
        return self.blended(first, second, flow, self.decoder1(aligned(features, maps[0], flow)), mean)

    def blended(self, first: Tensor, second: Tensor, flow: Tensor, decoded: Tensor, mean: Tensor) -> Tensor:
        """flow: (B, 4, H/2, W/2); decoded (B, 24, H, W): changes to the flows, blending weights and residues."""
        to_first, to_second = (2 * resized(flow, 2)).chunk(2, dim=1)  # (B, 2, H, W)
        ends = (2 * FIELDS, 4 * FIELDS, 5 * FIELDS)
        change_first, change_second, weight, residue = decoded.tensor_split(ends, dim=1)
        fetched_first = warped(first, change_first + to_first.repeat(1, FIELDS, 1, 1))  # (B, 3·FIELDS, H, W)
        fetched_second = warped(second, change_second + to_second.repeat(1, FIELDS, 1, 1))
        weight = torch.sigmoid(weight).repeat_interleave(3, dim=1)  # one for the three colours
        fetched = weight * fetched_first + (1 - weight) * fetched_second + mean + residue
        middle: Tensor = reduce(fetched, "b (n c) h w -> b c h w", "mean", c=3) + self.comb_block(fetched)
        return middle.clamp(0, 1)


def aligned(features: Tensor, pair: tuple[Tensor, Tensor], flow: Tensor) -> Tensor:
    """What a decoder reads: the features, the maps of both pictures as the flows fetch them, and the flows."""
    to_first, to_second = flow.chunk(2, dim=1)
    return torch.cat((features, warped(pair[0], to_first), warped(pair[1], to_second), flow), dim=1)


def corrected(
    update: UpdateBlock, flow: Tensor, features: Tensor, matches: tuple[Pyramid, Pyramid]
) -> tuple[Tensor, Tensor]:
    """Flow and features after a look at the correlations, at 1/8 of the picture.

    Movement being even, the way from the first picture to the second is that from the middle to the second, over the
    part of the time which it takes; and likewise back.
    """
    coarse = resized(flow, 1 / update.factor) / update.factor  # (B, 4, H/8, W/8)
    to_first, to_second = coarse.chunk(2, dim=1)
    start = grid(coarse)
    forth = look_up(matches[0], start + to_second / (1 - MIDDLE), RADIUS)
    back = look_up(matches[1], start + to_first / MIDDLE, RADIUS)
    feature_change, flow_change = update(features, coarse, torch.cat((forth, back), dim=1))
    return flow + flow_change, features + feature_change


def load(path: Path) -> nn.Module:
    """AMT-S with the weights of amt-s.pth. Raises Unscored for a file that holds another network."""
    return fill(AMT(), read_checkpoint(path, inside=("state_dict",)), path)
