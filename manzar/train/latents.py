"""Latents of a data set, encoded once and kept on disk beside it.

    DATA/latents/<key>/plan.json            clip, first frame and shape of every item; the key hashes this and the VAE
    DATA/latents/<key>/<shape>-<n>.safetensors   float16 (n, c, t, h, w), normalised per channel: `latents` of the
        items, and `held` of every fourth: the same clip standing still within each group

Encoding can be stopped at any moment: whole shards are kept and the rest is done next time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from manzar.device import autocast, pick_device
from manzar.nouns import Progress, VideoShape
from manzar.train.data import Clips, digest, to_tensor, window
from manzar.vae import VideoVAE
from manzar.weights import read_tensors, write_json, write_tensors

SHARD = 256
ENCODE_BATCH = 16
HELD_EVERY = 4  # divides both: held latents are of items 0, 4, 8, … of a bucket


@dataclass(frozen=True)
class Item:
    """One training sample: `frames` frames of clip `clip` from frame `start` on."""

    clip: int
    start: int
    frames: int
    height: int
    width: int

    @property
    def shape(self) -> VideoShape:
        return VideoShape(self.frames, self.height, self.width)


@dataclass
class Bucket:
    """Samples of one shape: latents (n, c, t, h, w), the item each came from, and `held` of items 0, 4, 8, …

    In `held` all frames that share a latent are equal to the last of them. So a latent tells what one picture given at
    that moment tells, and no more.
    """

    shape: VideoShape
    items: list[Item]
    latents: Tensor
    held: Tensor


def lengths(longest: int, stride: int) -> list[int]:
    """The lengths that clips are cut to: the longest, and half as long again and again, down to one frame."""
    steps, found = (longest - 1) // stride, [longest]
    while steps := steps // 2:
        found.append(1 + stride * steps)
    return [*found, 1] if longest > 1 else found


def plan(clips: Clips, longest: int) -> list[Item]:
    """Every sample of a data set: windows of the longest length that fits each clip.

    Where there are no still images, the middle frame of each clip is one.
    """
    items: list[Item] = []
    images = any(clips.length(index) == 1 for index in range(len(clips)))
    for index in range(len(clips)):
        available, (height, width) = clips.length(index), clips.side(index)
        length = next(n for n in lengths(longest, clips.stride.time) if n <= available)
        windows = max(1, round(available / length)) if length > 1 else 0
        for k in range(windows):
            start = round(k * (available - length) / max(1, windows - 1))
            items.append(Item(index, start, length, height, width))
        if not images or length == 1:
            items.append(Item(index, available // 2, 1, height, width))
    return items


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Content hash of a set of weights."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()[:16]


def load_latents(clips: Clips, longest: int, vae: VideoVAE, report: Progress) -> list[Bucket]:
    """Encode what is not on disk yet, then load all of it. `report` is called per shard."""
    items = plan(clips, longest)
    ids = [clip.id for clip in clips.rows]
    statistics = [list(vae.config.latents_mean), list(vae.config.latents_std)]
    key = digest([ids, [asdict(item) for item in items], clips.fps, fingerprint(vae.state_dict()), statistics])
    folder = clips.latents / key
    by_shape: dict[VideoShape, list[Item]] = defaultdict(list)
    for item in items:
        by_shape[item.shape].append(item)
    if not (folder / "plan.json").exists():
        write_json(folder / "plan.json", {"clips": ids, "items": [asdict(item) for item in items]})
    buckets, done = [], 0
    for shape, members in sorted(by_shape.items(), key=lambda pair: str(pair[0])):
        shards: list[dict[str, Tensor]] = []
        for start in range(0, len(members), SHARD):
            part = members[start : start + SHARD]
            path = folder / f"{shape.frames}x{shape.height}x{shape.width}-{start // SHARD:05d}.safetensors"
            if not path.exists():
                write_tensors(path, _encode(clips, part, vae))
            shards.append(read_tensors(path))
            done += len(part)
            report(done, len(items), "")
        latents, held = (torch.cat([shard[name] for shard in shards]) for name in ("latents", "held"))
        buckets.append(Bucket(shape, members, latents, held))
    return buckets


def _encode(clips: Clips, items: list[Item], vae: VideoVAE) -> dict[str, Tensor]:
    """One shard: latents of all items, and held latents of every fourth."""
    latents, held = [], []
    for start in range(0, len(items), ENCODE_BATCH):
        part = items[start : start + ENCODE_BATCH]
        whole = clips.frames([item.clip for item in part])
        video = to_tensor([window(f, i.start, i.frames) for f, i in zip(whole, part, strict=True)]).to(pick_device())
        latents.append(_means(vae, video))
        held.append(_means(vae, standing(video[::HELD_EVERY], clips.stride.time)))
    return {"latents": torch.cat(latents), "held": torch.cat(held)}


def standing(video: Tensor, group: int) -> Tensor:
    """(B, C, T, H, W) in which the frames of each latent, 1 and then `group` at a time, are all equal to the last."""
    moments = [0, *(k + group - 1 for k in range(1, video.shape[2], group) for _ in range(group))]
    return video[:, :, moments]


@torch.no_grad()
def _means(vae: VideoVAE, video: Tensor) -> Tensor:
    """Posterior means, normalised, float16, on the CPU."""
    with autocast():
        mean = vae.encode(video).mean
    return vae.normalise(mean.float()).half().cpu()
