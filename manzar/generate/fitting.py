"""Pictures and clips of any size and rate, made to fit the video that is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from manzar.nouns import Stride, UsageError, Video, VideoShape

if TYPE_CHECKING:
    from manzar.nouns import Frames

AT_ONCE = 16  # frames that are scaled together, so that a long clip needs no more memory than a short one


@dataclass(frozen=True)
class Canvas:
    """What given pictures must fit: length and size in pixels, rate, and the grid of the model."""

    frames: int
    height: int
    width: int
    fps: float
    stride: Stride


def matching(width: int, height: int, area: float, stride: Stride) -> VideoShape:
    """One frame of about `area` pixels with the proportions of width × height, on the grid of `stride`."""
    scale = (area / (width * height)) ** 0.5
    return VideoShape(1, round(height * scale), round(width * scale)).nearest(stride)


def covering(width: int, height: int, canvas_width: int, canvas_height: int) -> tuple[int, int]:
    """(width, height) in the same proportions, just large enough to cover the canvas."""
    scale = max(canvas_width / width, canvas_height / height)
    return max(canvas_width, round(width * scale)), max(canvas_height, round(height * scale))


def to_pixels(frames: Frames) -> Tensor:
    """uint8 (T, H, W, 3) -> (1, 3, T, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(frames.copy()).permute(3, 0, 1, 2)[None]
    return pixels.float() / 127.5 - 1


def to_frames(pixels: Tensor) -> Frames:
    """(3, T, H, W) in [-1, 1] -> uint8 (T, H, W, 3)."""
    levels = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    frames: Frames = levels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return frames


def fill(pixels: Tensor, height: int, width: int) -> Tensor:
    """Scale (1, C, T, H, W) to cover height × width, and crop what stands over about the centre."""
    if pixels.shape[-2:] == (height, width):
        return pixels
    wide, high = covering(pixels.shape[-1], pixels.shape[-2], width, height)
    frames = pixels[0].transpose(0, 1)  # (T, C, H, W)
    frames = F.interpolate(frames, (high, wide), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = (high - height) // 2, (wide - width) // 2
    return frames[:, :, top : top + height, left : left + width].transpose(0, 1)[None]


def fit_frames(frames: Frames, canvas: Canvas) -> Frames:
    """uint8 (T, H, W, 3) scaled and cropped to the canvas; as it is where it fits already."""
    if frames.shape[1:3] == (canvas.height, canvas.width):
        return frames
    parts = [fill(to_pixels(frames[at : at + AT_ONCE]), canvas.height, canvas.width)[0]
             for at in range(0, len(frames), AT_ONCE)]
    return np.concatenate([to_frames(part) for part in parts])


def fit_picture(image: Video | Frames, what: str, canvas: Canvas) -> Frames:
    """uint8 (H, W, 3) of the canvas's size, of a picture or of the first frame of a video. Raises UsageError."""
    fitted: Frames = fit_frames(picture(image, what)[None], canvas)[0]
    return fitted


def picture(image: Video | Frames, what: str) -> Frames:
    """uint8 (H, W, 3): the picture, or the first frame of the video. Raises UsageError for anything else."""
    frame: Frames = clip(image, what).frames[0] if isinstance(image, Video) else image
    if frame.ndim != 3 or frame.shape[-1] != 3 or str(frame.dtype) != "uint8" or frame.size == 0:
        raise UsageError(f"{what} is uint8 of shape (H, W, 3); this one is {frame.dtype} {frame.shape}")
    return frame


def clip(video: Video, what: str) -> Video:
    """The video, if there is one in it. Raises UsageError for an empty one, and for anything but uint8 (T, H, W, 3)."""
    shape = video.frames.shape
    if len(shape) != 4 or shape[-1] != 3 or str(video.frames.dtype) != "uint8":
        raise UsageError(f"{what} is uint8 of shape (T, H, W, 3); this one is {video.frames.dtype} {shape}")
    if video.frames.size == 0:
        raise UsageError(f"{what} is empty: its frames have the shape {shape}")
    if not 0 < video.fps < float("inf"):
        raise UsageError(f"{what} has {video.fps} frames per second; a number above 0 is needed")
    return video


def fit_clip(video: Video, what: str, canvas: Canvas) -> Video:
    """The clip at the canvas's rate and size. Raises UsageError as `clip`."""
    video = clip(video, what)
    picks = at_rate(len(video.frames), video.fps, canvas.fps)
    frames = video.frames if len(picks) == len(video.frames) and video.fps == canvas.fps else video.frames[picks]
    return Video(fit_frames(frames, canvas), canvas.fps)


def at_rate(frames: int, fps: float, wanted: float) -> list[int]:
    """Which of a clip's frames are on show at each tick of another clock: the one at the middle of the tick."""
    count = max(1, round(frames * wanted / fps))
    return [min(frames - 1, int((tick + 0.5) * fps / wanted)) for tick in range(count)]
