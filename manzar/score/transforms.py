"""Frames as each network was shown them by VBench: seven ways to resize, crop and normalise, bit for bit.

They differ where one would not look: what is rounded to whole levels and when, whether bicubic overshoot is clamped,
and whether a reduction is smoothed first (only where Pillow does it). Any of it moves scores, so nothing is shared that
is not the same.

Every one takes uint8 (T, H, W, 3) and gives float32 (T, 3, h, w).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from manzar.nouns import Frames

Colour = tuple[float, float, float]
Transform = Callable[["Frames"], Tensor]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_FRAMES, MOST_BYTES = 32, 256 << 20  # of one batch: as a network sees them, and as float32 before they are resized


def batches(frames: Frames, transform: Transform) -> Iterator[Tensor]:
    """All frames, transformed, at most MOST_FRAMES at once, so that memory does not grow with the film."""
    step = min(MOST_FRAMES, max(1, MOST_BYTES // (4 * frames[0].size)))
    for start in range(0, len(frames), step):
        yield transform(frames[start : start + step])


def clip(frames: Frames) -> Tensor:
    """224x224 for CLIP's image tower; bicubic in float32, whose overshoot beyond 0 and 255 is kept."""
    return _normalised(_centre(_shorter_side(_planes(frames).float(), 224, "bicubic"), 224), CLIP_MEAN, CLIP_STD)


def clip_levels(frames: Frames) -> Tensor:
    """224x224 for ViCLIP; the same, but clamped and rounded to whole levels after resizing."""
    resized = _shorter_side(_planes(frames).float(), 224, "bicubic").clamp(0, 255).round()
    return _normalised(_centre(resized, 224), CLIP_MEAN, CLIP_STD)


def clip_images(frames: Frames) -> Tensor:
    """224x224 for CLIP beside a text; bicubic by Pillow, which smooths before it makes smaller."""
    from PIL import Image

    height, width = _shorter(frames.shape[1], frames.shape[2], 224)
    images = (Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames)
    resized = np.stack([np.asarray(image) for image in images])
    return _normalised(_centre(_planes(resized).float(), 224), CLIP_MEAN, CLIP_STD)


def dino(frames: Frames) -> Tensor:
    """224 on the shorter side for DINO, bilinear; nothing is cropped."""
    return _normalised(_shorter_side(_planes(frames).float(), 224, "bilinear"), IMAGENET_MEAN, IMAGENET_STD)


def musiq(frames: Frames) -> Tensor:
    """[0, 1] for MUSIQ; bilinear, down to 512 on the longer side where that is longer."""
    planes = _planes(frames).float()
    height, width = planes.shape[-2:]
    if max(height, width) > 512:
        scale = 512 / max(height, width)
        planes = _resized(planes, int(scale * height), int(scale * width), "bilinear")
    return planes / 255


def kinetics(frames: Frames) -> Tensor:
    """224x224 for networks trained on Kinetics-400: the centre of 256 on the shorter side, OpenCV in whole levels."""
    import cv2

    height, width = _shorter(frames.shape[1], frames.shape[2], 256)
    if (height, width) != frames.shape[1:3]:
        frames = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames])
    return _normalised(_centre(_planes(frames).float(), 224), IMAGENET_MEAN, IMAGENET_STD)


def tag2text(frames: Frames) -> Tensor:
    """384x384 for Tag2Text, whatever the proportions; bilinear by Pillow where frames are not decoded to that size."""
    from PIL import Image

    images = (Image.fromarray(frame).resize((384, 384), Image.Resampling.BILINEAR) for frame in frames)
    resized = np.stack([np.asarray(image) for image in images])
    return _normalised(_planes(resized).float(), IMAGENET_MEAN, IMAGENET_STD)


def _planes(frames: Frames) -> Tensor:
    """uint8 (T, 3, H, W) that keeps the memory of (T, H, W, 3): torch resizes the two layouts by different sums."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def _shorter_side(planes: Tensor, side: int, mode: Literal["bilinear", "bicubic"]) -> Tensor:
    height, width = _shorter(planes.shape[-2], planes.shape[-1], side)
    return _resized(planes, height, width, mode)


def _shorter(height: int, width: int, side: int) -> tuple[int, int]:
    """The size whose shorter side is `side`; the longer is rounded down."""
    if width <= height:
        return int(side * height / width), side
    return side, int(side * width / height)


def _resized(planes: Tensor, height: int, width: int, mode: Literal["bilinear", "bicubic"]) -> Tensor:
    if planes.shape[-2:] == (height, width):
        return planes
    return F.interpolate(planes, size=(height, width), mode=mode, align_corners=False, antialias=False)


def _centre(planes: Tensor, side: int) -> Tensor:
    """side x side out of the middle; half a pixel is rounded to the even one."""
    top, left = (round((length - side) / 2) for length in planes.shape[-2:])
    return planes[..., top : top + side, left : left + side]


def _normalised(planes: Tensor, mean: Colour, std: Colour) -> Tensor:
    scaled = planes.div(255)
    return scaled.sub_(scaled.new_tensor(mean).view(3, 1, 1)).div_(scaled.new_tensor(std).view(3, 1, 1))
