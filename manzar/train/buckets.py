"""What a run over latents draws its batches from: the samples of both splits by shape, how often each shape comes up,
how many of it make a batch, and the captions that are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from manzar.device import pick_device
from manzar.nouns import LANGUAGES, DataError, SettingError, Stride, VideoShape
from manzar.text import PROMPT_LIMIT, misspell
from manzar.train.data import Clips, open_splits, randint
from manzar.train.latents import Bucket, load_latents
from manzar.train.log import RunLog
from manzar.train.settings import LatentSettings
from manzar.vae import VideoVAE


def open_buckets(data: Path, s: LatentSettings, vae: VideoVAE, patch: Stride, log: RunLog,
                 shown: Callable[[Clips], Clips] = lambda clips: clips
                 ) -> tuple[tuple[Clips, Clips], tuple[list[Bucket], list[Bucket]]]:
    """Clips and latents of both splits, encoding what is new. Raises DataError if a split has no usable clip.

    shown: what is made of the clips before they are encoded.
    """
    stride = vae.stride
    if (s.frames - 1) % stride.time:
        raise SettingError(f"--set frames={s.frames} is off the grid; take 1 + {stride.time}k, such as "
                           f"{VideoShape(s.frames, 1, 1).nearest(stride).frames}")
    clips = open_splits(data, size=s.size, fps=s.fps, stride=stride * patch)
    pick_languages(s.languages, clips[0])
    silent = sum(not any(row.captions.values()) for row in clips[0].rows)
    if silent:
        log.say(f"{silent} of {len(clips[0])} clips have no caption; they train unconditionally")
    vae.to(pick_device()).eval()
    names = ("training clips encoded", "held-out clips encoded")
    train, val = (load_latents(shown(part), s.frames, vae, log.counter(name))
                  for part, name in zip(clips, names, strict=True))
    if not s.images and all(bucket.shape.frames == 1 for bucket in train):
        raise DataError(f"{data}: no clip is long enough to train on, and --set images=0 leaves out single frames")
    return clips, (train, val)


def pick_languages(setting: str, clips: Clips) -> tuple[str, ...]:
    """Codes of a comma-separated list, or all that the captions have. Raises SettingError for one they lack."""
    held = {code for row in clips.rows for code, text in row.captions.items() if text}
    order = (*(code for code in LANGUAGES if code in held), *sorted(held - set(LANGUAGES)))
    if setting == "all":
        return order or LANGUAGES[:1]
    picked = tuple(part.strip() for part in setting.split(","))
    unknown = [code for code in picked if code not in order]
    if unknown:
        raise SettingError(f"--set languages={setting}: no clip has a caption in {unknown[0]!r}; "
                           f"there are {', '.join(order) or 'no captions at all'}")
    return picked


def bucket_shares(buckets: Sequence[Bucket], images: float) -> Tensor:
    """Probability of each bucket: single frames together have `images`, clips the rest, by their number of items."""
    still = torch.tensor([bucket.shape.frames == 1 for bucket in buckets])
    counts = torch.tensor([float(len(bucket.items)) for bucket in buckets])
    shares = torch.zeros(len(buckets))
    for mask, share in ((still, images), (~still, 1 - images)):
        if mask.any():
            shares[mask] = share * counts[mask] / counts[mask].sum()
    assert shares.sum() > 0, f"no bucket can be drawn: images={images}, buckets {[str(b.shape) for b in buckets]}"
    return shares / shares.sum()


def batch_sizes(buckets: Sequence[Bucket], token: Stride, batch: int) -> list[int]:
    """Clips per batch of each bucket: `batch` of the commonest, and of the others what has as many tokens."""
    tokens = [bucket.shape.latent(token).tokens(Stride(1, 1, 1)) for bucket in buckets]
    commonest = max(range(len(buckets)), key=lambda k: (buckets[k].shape.frames > 1, len(buckets[k].items)))
    return [max(1, round(batch * tokens[commonest] / n)) for n in tokens]


def caption_in(captions: Mapping[str, str], languages: Sequence[str], first: int) -> str:
    """The caption in the first of the languages, from the `first` on and round, that has one; "" without any."""
    texts = (captions.get(code) for code in (*languages[first:], *languages[:first]))
    return next((text for text in texts if text), "")[:PROMPT_LIMIT]


def slipped(text: str, generator: torch.Generator) -> str:
    """The text with a slip of the pen."""
    return misspell(text, iter(lambda: randint(generator, 1 << 30), -1))[:PROMPT_LIMIT]
