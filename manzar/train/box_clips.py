"""Clips with what is known of their objects' places: as tracks, as the scalars the module reads, and painted in.

Self-tracking (Boximator, arXiv 2402.01566, section 3.3): a model that first learns to draw a rectangle in an object's
own colour round it, in every frame, learns which object a box is about; then it learns not to draw it. So latents are
needed of the clips as they are, and of the same clips with rectangles painted in before they were encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from manzar.boxes.control import palette
from manzar.boxes.draw import paint
from manzar.boxes.tracks import hard_latent, lined
from manzar.nouns import Box, BoxTrack, Frames
from manzar.train.data import Clips, random_generator


class Painted:
    """The same clips with a rectangle round every object, in the colour of its identity."""

    def __init__(self, clips: Clips, objects: int) -> None:
        self.clips, self.objects = clips, objects
        self.fps, self.stride, self.latents = clips.fps, clips.stride, clips.latents
        self.rows = [replace(row, id=f"{row.id}-painted-{objects}") for row in clips.rows]

    def __len__(self) -> int:
        return len(self.clips)

    def length(self, index: int) -> int:
        return self.clips.length(index)

    def side(self, index: int) -> tuple[int, int]:
        return self.clips.side(index)

    def tracks(self, index: int) -> tuple[BoxTrack, ...]:
        return self.clips.tracks(index)

    def names(self, index: int, language: str) -> tuple[str, ...]:
        return self.clips.names(index, language)

    def frames(self, indices: Sequence[int]) -> list[Frames]:
        return [self._painted(k, frames) for k, frames in zip(indices, self.clips.frames(indices), strict=True)]

    def _painted(self, index: int, frames: Frames) -> Frames:
        tracks = [held(track.boxes, 0, len(frames)) for track in self.clips.tracks(index)[: self.objects]]
        colours = [palette(self.objects)[k] for k in identities(index, len(tracks), self.objects)]
        return paint(frames, tracks, [in_bytes(colour) for colour in colours])


def in_bytes(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour)
    return red, green, blue


def identities(index: int, count: int, objects: int) -> list[int]:
    """Which of the palette's colours the objects of clip `index` have: always the same, for they are painted once."""
    return torch.randperm(objects, generator=random_generator(index, objects))[:count].tolist()


def boxes_of(clips: Clips, index: int, start: int, frames: int, objects: int) -> Tensor:
    """(t, N, 9): the exact box of every object on each latent frame of a window of pixel frames, all of them hard."""
    r = clips.stride.time
    out = torch.zeros(1 + (frames - 1) // r, objects, 9)
    tracks = clips.tracks(index)[:objects]
    for slot, (track, k) in enumerate(zip(tracks, identities(index, len(tracks), objects), strict=True)):
        known = lined(held(track.boxes, start, frames))
        if known is None:
            continue
        out[:, slot, :4] = torch.tensor([box.as_list() for box in hard_latent(known, r)])
        out[:, slot, 4:7] = torch.tensor(palette(objects)[k])
        out[:, slot, 7:] = 1
    return out


def held(boxes: Sequence[Box | None], start: int, frames: int) -> list[Box | None]:
    """`frames` boxes from `start`; a track that is a frame short repeats its last, as its clip does."""
    cut = list(boxes[start : start + frames])
    return cut + [cut[-1] if cut else None] * (frames - len(cut))


def soften(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(…, N, 9) with `share` of the boxes made soft: every side moved out by Beta(1, 8), to the frame's edge at most.

    What is out of view, a line, stays the line it is.
    """
    soft = torch.rand(boxes.shape[:-1], generator=generator) < share  # (…, N)
    margins = 1 - (1 - torch.rand((*boxes.shape[:-1], 4), generator=generator)) ** (1 / 8)  # inverse of Beta(1, 8)
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    sides = boxes[..., :4]
    seen = (sides[..., 2:] - sides[..., :2]).amin(-1, keepdim=True) > 0  # (…, N, 1)
    relaxed = torch.where(seen, (sides + sign * margins).clamp(0, 1), sides)
    out = boxes.clone()
    out[..., :4] = torch.where(soft[..., None], relaxed, sides)
    out[..., 7] = torch.where(soft, 0.0, boxes[..., 7])
    return out
