"""Latents of a data set, encoded once and kept on disk beside it.

    DATA/latents/<key>/plan.json            clip, first frame and shape of every item; the key hashes this and the VAE
    DATA/latents/<key>/<shape>-<n>.safetensors   float16 (n, c, t, h, w), normalised per channel

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
    """Samples of one shape: latents (n, c, t, h, w) and the item each came from."""

    shape: VideoShape
    items: list[Item]
    latents: Tensor


def lengths(longest: int, stride: int) -> list[int]:
    """The lengths that clips are cut to: the longest, about half of it, and one frame; all on the causal grid."""
    half = 1 + stride * ((longest - 1) // (2 * stride))
    return sorted({longest, half, 1}, reverse=True)


def plan(clips: Clips, longest: int) -> list[Item]:
    """Every sample of a data set: windows of the longest length that fits, and the middle frame of each clip."""
    items: list[Item] = []
    for index in range(len(clips)):
        available, (height, width) = clips.length(index), clips.side(index)
        length = next(n for n in lengths(longest, clips.stride.time) if n <= available)
        windows = max(1, round(available / length)) if length > 1 else 0
        for k in range(windows):
            start = round(k * (available - length) / max(1, windows - 1))
            items.append(Item(index, start, length, height, width))
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
    folder = clips.data / "latents" / key
    by_shape: dict[VideoShape, list[Item]] = defaultdict(list)
    for item in items:
        by_shape[item.shape].append(item)
    if not (folder / "plan.json").exists():
        write_json(folder / "plan.json", {"clips": ids, "items": [asdict(item) for item in items]})
    buckets, done = [], 0
    for shape, members in sorted(by_shape.items(), key=lambda pair: str(pair[0])):
        shards = []
        for start in range(0, len(members), SHARD):
            part = members[start : start + SHARD]
            path = folder / f"{shape.frames}x{shape.height}x{shape.width}-{start // SHARD:05d}.safetensors"
            if not path.exists():
                write_tensors(path, {"latents": _encode(clips, part, vae)})
            shards.append(read_tensors(path)["latents"])
            done += len(part)
            report(done, len(items), "")
        buckets.append(Bucket(shape, members, torch.cat(shards)))
    return buckets


@torch.no_grad()
def _encode(clips: Clips, items: list[Item], vae: VideoVAE) -> Tensor:
    """Posterior means of one shard, normalised, float16."""
    out = []
    for start in range(0, len(items), ENCODE_BATCH):
        part = items[start : start + ENCODE_BATCH]
        video = to_tensor([window(clips.frames(i.clip), i.start, i.frames) for i in part]).to(pick_device())
        with autocast():
            mean = vae.encode(video).mean
        out.append(vae.normalise(mean.float()).half().cpu())
    return torch.cat(out)
