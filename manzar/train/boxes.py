"""`boxes`: box control for a model folder, in the three stages of Boximator (arXiv 2402.01566, section 4).

    hard     every box exact, rectangles painted into the clips
    soft     most boxes are regions around the object, rectangles painted in
    clean    the same boxes, nothing painted in any more

Each stage is a run of its own, RUN/1-hard and so on, which starts from what the one before it came to; so each can be
resumed, looked at, or run alone with --set stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from manzar.boxes import BoxScript, Plan, read_script
from manzar.boxes.control import Hook, cells, relation, without_boxes
from manzar.boxes.draw import colours, draw
from manzar.boxes.tracks import span, spoken
from manzar.generate import Boxes, Generator, ModelParts, load_parts
from manzar.generate.boxes import load_control, new_control, read_names, save_control
from manzar.nouns import BoxTrack, DataError, Frames, Request
from manzar.train.box_clips import Painted, boxes_of, held, soften
from manzar.train.buckets import open_buckets
from manzar.train.checkpoint import Position
from manzar.train.data import Clips, digest, randint
from manzar.train.denoise import DenoiseRecipe, LatentBatch
from manzar.train.latents import Bucket, Item, fingerprint
from manzar.train.log import RunLog
from manzar.train.settings import BoxSettings

Stage = Literal["hard", "soft", "clean"]
SHARES: dict[Stage, float] = {"hard": 0.35, "soft": 0.25, "clean": 0.4}  # of the budget of them all
SHEET_CLIPS, SHEET_FRAMES, ENLARGED = 6, 6, 3


class BoxRecipe(DenoiseRecipe):
    """The loss of `dit`, with the boxes of each clip's objects given to the module in the DiT's blocks."""

    settings: BoxSettings

    def __init__(self, parts: ModelParts, trained: nn.ModuleDict, settings: BoxSettings, clips: tuple[Clips, Clips],
                 buckets: tuple[list[Bucket], list[Bucket]]):
        assert parts.control is not None
        self.control = parts.control
        self._known: dict[tuple[bool, Item], Tensor] = {}
        self._said: dict[tuple[str, ...], Tensor] = {}
        super().__init__("boxes", parts, trained, settings, clips, buckets)
        base = "" if settings.base_rate else fingerprint(parts.dit.state_dict())
        self.fingerprint = digest([self.fingerprint, base, settings.stage])

    def is_matrix(self, name: str, p: nn.Parameter) -> bool:
        if not name.startswith("control."):
            return super().is_matrix(name, p)
        return p.ndim == 2 and name.startswith("control.layers.") and not any(
            part in name for part in (".cell.", ".near.", ".view."))

    def rate(self, name: str) -> float:
        return 1.0 if name.startswith("control.") else self.settings.base_rate * super().rate(name)

    def _draw(self, bucket: Bucket, size: int, generator: torch.Generator) -> LatentBatch:
        batch = super()._draw(bucket, size, generator)
        s, device = self.settings, batch.latents.device
        exact = self._exact(self.clips, batch)
        height, width = batch.latents.shape[3:]
        weights = weighed(exact, height, width, s.inside).to(device)
        if s.base_rate and torch.rand((), generator=generator) < s.no_boxes:
            return replace(batch, weights=weights)  # the base by itself, as it is sampled without boxes
        boxes = self._staged(exact, generator)
        empty = torch.rand(len(boxes), generator=generator) < (0 if s.base_rate else s.no_boxes)
        boxes[empty] = without_boxes(boxes[empty])
        languages = [self.languages[randint(generator, len(self.languages))] for _ in batch.items]
        names = self._names(self.clips, batch, languages)
        names = names * (torch.rand(names.shape[:2], generator=generator) >= s.no_names)[..., None]
        return replace(batch, boxes=boxes.to(device), names=names.to(device), weights=weights)

    def _held_out(self, bucket: Bucket) -> LatentBatch:
        batch = super()._held_out(bucket)
        boxes = self._staged(self._exact(self.val_clips, batch), torch.Generator().manual_seed(0))
        languages = [self.languages[k % len(self.languages)] for k in range(len(batch))]
        names = self._names(self.val_clips, batch, languages)
        return replace(batch, boxes=boxes.to(batch.latents.device), names=names.to(batch.latents.device))

    def _staged(self, exact: Tensor, generator: torch.Generator) -> Tensor:
        """Boxes (B, t, N, 9), some of them made soft as the stage wants."""
        return exact if self.settings.stage == "hard" else soften(exact, self.settings.soft, generator)

    def _exact(self, clips: Clips, batch: LatentBatch) -> Tensor:
        """(B, t, N, 9): the box of every object on each latent frame of a batch."""
        window = slice(batch.start, batch.start + batch.latents.shape[2])
        return torch.stack([self._remembered(clips, item)[window] for item in batch.items])

    def _remembered(self, clips: Clips, item: Item) -> Tensor:
        """(t, N, 9) of the whole of a sample: drawing a scene for its tracks takes as long as a step."""
        key = (clips is self.clips, item)
        if key not in self._known:
            self._known[key] = boxes_of(clips, item.clip, item.start, item.frames, self.control.config.objects)
        return self._known[key]

    def _names(self, clips: Clips, batch: LatentBatch, languages: Sequence[str]) -> Tensor:
        """(B, N, d) on the CPU: what the objects of each sample are called in its language."""
        return torch.stack([self._read(clips.names(item.clip, language)[: self.control.config.objects])
                            for item, language in zip(batch.items, languages, strict=True)])

    def _read(self, names: tuple[str, ...]) -> Tensor:
        """(N, d), remembered: a world has few names."""
        if names not in self._said:
            said = [spoken(name) for name in names]
            self._said[names] = read_names(self.prompts, said, self.control.config.objects).cpu()
        return self._said[names]

    def _control(self, batch: LatentBatch) -> list[Hook] | None:
        if batch.boxes is None:
            return None
        return self.control.hooks(batch.boxes, self._grid(batch), batch.names)

    def validate(self) -> dict[str, Any]:
        """The held-out loss with boxes, as `val_loss`, and without any, the base's own, as `val_loss_without`."""
        bucket = self._widest(self.val_buckets)
        if bucket is None:
            return super().validate()
        without = self._bins(replace(self._held_out(bucket), boxes=None))
        return super().validate() | {"val_loss_without": sum(without) / len(without)}

    def sheet(self) -> tuple[str, Frames]:
        """Held-out captions, with the first and last box of every object asked for and drawn."""
        clips = self.val_clips if len(self.val_clips) else self.clips
        bucket = self._widest(self.val_buckets) or self._widest(self.buckets)
        assert bucket is not None
        items = [item for item in bucket.items if clips.tracks(item.clip)]
        generator, strips, prompts = Generator(self.parts), [], []
        for item in items[:: max(1, len(items) // SHEET_CLIPS)][:SHEET_CLIPS]:
            prompts.append(self._texts(clips.rows[item.clip].captions, item.clip))
            tracks = [trimmed(track, item.start, item.frames) for track in clips.tracks(item.clip)]
            script = ends(tracks[: self.control.config.objects])
            request = generator.complete(Request(
                prompts[-1], item.frames, item.height, item.width, self.settings.fps, self.settings.sample_steps,
                self.settings.guidance, seed=item.clip, conditions=(Boxes(script),)))
            frames = generator.generate(request)[0].frames
            (placed,) = request.conditions
            assert isinstance(placed, Boxes)
            strips.append(strip(frames, placed.plans))
        return " · ".join(prompts), np.concatenate(strips) if strips else np.zeros((8, 8, 3), np.uint8)

    def export(self, folder: Path, position: Position) -> None:
        if self.settings.base_rate:
            super().export(folder, position)
        else:
            save_control(self.control, folder)


def weighed(boxes: Tensor, height: int, width: int, inside: float) -> Tensor:
    """(B, t, height, width) in latent positions: `inside` where boxes (B, t, N, 9) touch one, else 1.

    Objects cover a tenth of a frame, and what surrounds them is learned long before they are.
    """
    covered = relation(cells(height, width, boxes.device), boxes)[..., 0].amax(-1)  # (B, t, height · width)
    return torch.where(covered > 0, inside, 1.0).view(*boxes.shape[:2], height, width)


def trimmed(track: BoxTrack, start: int, frames: int) -> BoxTrack:
    return replace(track, boxes=tuple(held(track.boxes, start, frames)))


def ends(tracks: Sequence[BoxTrack]) -> BoxScript:
    """What a person would say of these tracks: the box each object is first seen in, and the last."""
    objects = []
    for k, track in enumerate(tracks):
        seen = span(track.boxes)
        keys = [{"frame": frame, "box": box.as_list()} for frame in sorted({seen[0], seen[-1]} if seen else ())
                if (box := track.boxes[frame])]
        if keys:
            objects.append({"name": f"{track.name} {k + 1}", "keys": keys})
    return read_script({"objects": objects})


def strip(frames: Frames, plans: Sequence[Plan]) -> Frames:
    """Six moments of a video side by side, its boxes drawn in, enlarged so that they can be told apart."""
    picks = np.linspace(0, len(frames) - 1, SHEET_FRAMES).round().astype(int)
    large = frames[picks].repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
    for plan, colour in zip(plans, colours(len(plans)), strict=True):
        for frame, k in zip(large, picks, strict=True):
            draw(frame, plan.boxes[k], colour, dashed=not plan.hard[k])
    return np.concatenate(list(large), axis=1)


def box_recipe(data: Path, settings: BoxSettings, source: Path, log: RunLog) -> BoxRecipe:
    """The module for the folder in `source`, fresh or from `settings.start`, and the clips its stage needs."""
    s = settings
    assert s.stage != "all", "a recipe is of one stage; train_stages runs them all"
    parts = load_parts(source)
    for module in parts.modules.values():
        module.requires_grad_(False)
    torch.manual_seed(s.seed)
    parts.control = (load_control(Path(s.start), parts.dit) if s.start else
                     new_control(parts.dit, s.objects, s.width)).train()
    if s.base_rate:
        parts.dit.requires_grad_(True)
        parts.control.config = replace(parts.control.config, until=0.0)  # both learn at every σ
    objects = parts.control.config.objects

    def shown(clips: Clips) -> Clips:
        return clips if s.stage == "clean" else Painted(clips, objects)

    clips, buckets = open_buckets(data, s, parts.vae, parts.dit.patch, log, shown)
    if not any(clips[0].tracks(k) for k in range(len(clips[0]))):
        raise DataError(f"{data}: no clip has tracks, so nothing can be learned of boxes; ingest with --tracks")
    trained = nn.ModuleDict({"control": parts.control} | ({"dit": parts.dit} if s.base_rate else {}))
    return BoxRecipe(parts, trained, s, clips, buckets)
