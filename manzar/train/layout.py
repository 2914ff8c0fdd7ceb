"""`layout`: where the things of a prompt are, learned from captions and tracks alone; see boxes/layout.py.

The text encoder of the model that it is for stays as it is. Nothing is rendered and no picture is seen, so a step costs
little more than reading its captions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manzar.boxes.layout import MOMENTS, Layout, LayoutConfig, course_of, size_of
from manzar.boxes.tracks import lined, spoken
from manzar.boxes.view import strip
from manzar.device import autocast, pick_device
from manzar.flow import interpolate
from manzar.generate import load_parts
from manzar.generate.layout import imagine, save_layout
from manzar.nouns import DataError, Frames, VideoShape
from manzar.text import TextEncoder
from manzar.train.box_clips import held
from manzar.train.buckets import caption_in, pick_languages, slipped
from manzar.train.checkpoint import Position
from manzar.train.data import Clips, digest, open_splits, randint, random_generator
from manzar.train.loop import StepLoss
from manzar.train.settings import LayoutSettings

LOOKED_THROUGH = 2000  # clips that the words of names are taken from
NEAREST = 0.1  # σ below which the weight of the loss, 1/σ², grows no more
VAL_SAMPLES, SHEET_CAPTIONS = 256, 6


@dataclass(frozen=True)
class Known:
    """What a clip teaches: courses (N, 36), whether there is such a thing (N,), words of its name (N, W)."""

    courses: Tensor
    there: Tensor
    words: Tensor


@dataclass(frozen=True)
class LayoutBatch:
    prompts: list[str]
    courses: Tensor  # (B, N, 36)
    there: Tensor  # (B, N)
    words: Tensor  # (B, N, W)
    size: Tensor  # (B, 2)
    clip_ids: list[str]

    def __len__(self) -> int:
        return len(self.prompts)


class LayoutRecipe:
    """Rectified flow over courses, and cross-entropy over what is said of them."""

    name = "layout"

    def __init__(self, layout: Layout, text: TextEncoder, settings: LayoutSettings, clips: tuple[Clips, Clips]) -> None:
        self.layout, self.text, self.settings = layout.to(pick_device()), text.to(pick_device()), settings
        self.clips, self.val_clips = clips
        self.trained = nn.ModuleDict({"layout": self.layout})
        self.languages = pick_languages(settings.languages, self.clips)
        self.fingerprint = digest([[clip.id for clip in self.clips.rows], layout.config.words])
        self._known: dict[tuple[bool, int], Known] = {}

    def is_matrix(self, name: str, p: nn.Parameter) -> bool:
        return p.ndim == 2 and ".layers." in name

    def rate(self, name: str) -> float:
        return 1.0

    def batch(self, generator: torch.Generator) -> LayoutBatch:
        picks = torch.randint(len(self.clips), (self.settings.batch,), generator=generator).tolist()
        return self._gather(self.clips, picks, [self._caption(index, generator) for index in picks])

    def probe_batches(self) -> list[tuple[float, LayoutBatch]]:
        return [(1.0, self.batch(random_generator(self.settings.seed, 0)))]

    def _caption(self, index: int, generator: torch.Generator) -> str:
        """In one of the languages that the clip has, now and then with a slip of the pen."""
        first = randint(generator, len(self.languages))
        slip = torch.rand((), generator=generator).item() < self.settings.typos
        text = self._told(self.clips, index, first)
        return slipped(text, generator) if slip else text

    def _told(self, clips: Clips, index: int, first: int) -> str:
        return caption_in(clips.rows[index].captions, self.languages, first)

    def _gather(self, clips: Clips, picks: Sequence[int], prompts: list[str]) -> LayoutBatch:
        known = [self._of(clips, index) for index in picks]
        size = torch.tensor([size_of(VideoShape(clips.length(index), *clips.side(index))) for index in picks])
        courses, there, words = (torch.stack([getattr(each, name) for each in known]).to(pick_device())
                                 for name in ("courses", "there", "words"))
        silent = torch.tensor([not prompt for prompt in prompts], device=there.device)
        return LayoutBatch(prompts, courses, there * ~silent[:, None], words, size.to(pick_device()),
                           [clips.rows[index].id for index in picks])

    def _of(self, clips: Clips, index: int) -> Known:
        """What is known of a clip; remembered, since a scene has to be drawn for it."""
        key = (clips is self.clips, index)
        if key not in self._known:
            config = self.layout.config
            own = Known(torch.zeros(config.things, 4 * MOMENTS), torch.zeros(config.things),
                        torch.zeros(config.things, len(config.words)))
            for k, track in enumerate(clips.tracks(index)[: config.things]):
                course = lined(held(track.boxes, 0, clips.length(index)))
                if course is not None:
                    said = spoken(track.name).split()
                    own.courses[k], own.there[k] = course_of(course), 1
                    own.words[k] = torch.tensor([float(word in said) for word in config.words])
            self._known[key] = own
        return self._known[key]

    def loss(self, batch: LayoutBatch, generator: torch.Generator) -> StepLoss:
        sigmas = torch.rand(len(batch), generator=generator)
        noise = torch.randn(batch.courses.shape, generator=generator)
        flow, there, words, _ = self._losses(batch, sigmas, noise)
        terms = {"flow": flow.mean(), "there": there, "words": words}
        return StepLoss(sum(terms.values(), torch.zeros(())), terms, sigmas, flow)

    def _losses(self, batch: LayoutBatch, sigmas: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B,) squared error of the velocity, mean over what there is; cross-entropies of `there` and of words, and
        the logits (B, N, 1 + W) of both."""
        sigma, noise = sigmas.to(batch.courses.device), noise.to(batch.courses.device)
        with torch.no_grad(), autocast():
            text, lengths = self.text.embed(batch.prompts)
        prompt, told = self.layout.read(text, lengths)
        x_0 = self.layout(interpolate(batch.courses, noise, sigma), sigma, prompt, batch.size)
        error = (x_0 - batch.courses).square().mean(-1) / sigma.clamp_min(NEAREST).square()[:, None]  # (B, N)
        flow = (error * batch.there).sum(1) / batch.there.sum(1).clamp_min(1)
        there = F.binary_cross_entropy_with_logits(told[..., 0], batch.there)
        words = F.binary_cross_entropy_with_logits(told[..., 1:], batch.words, reduction="none").sum(-1)
        return flow, there, (words * batch.there).sum() / batch.there.sum().clamp_min(1), told

    def validate(self) -> dict[str, Any]:
        """Of held-out captions: the loss, and the share with the right number of things, and all names right."""
        picks = range(min(VAL_SAMPLES, len(self.val_clips)))
        if not picks:
            return {"val_samples": 0}
        prompts = [self._told(self.val_clips, index, index % len(self.languages)) for index in picks]
        batch = self._gather(self.val_clips, picks, prompts)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch.courses.shape, generator=generator)
        sigmas = torch.rand(len(batch), generator=generator)
        flow, there, words, told = self._losses(batch, sigmas, noise)
        counted = ((told[..., 0] > 0) == batch.there.bool()).all(1)
        named = (((told[..., 1:] > 0) == batch.words.bool()).all(-1) | ~batch.there.bool()).all(1)
        return {"val_loss": float(flow.mean() + there + words), "val_flow": float(flow.mean()),
                "val_counted": float(counted.float().mean()), "val_named": float(named.float().mean()),
                "val_samples": len(batch)}

    def sheet(self) -> tuple[str, Frames]:
        """Layouts of held-out captions, on paper."""
        clips = self.val_clips if len(self.val_clips) else self.clips
        rows = [*range(len(clips))][:: max(1, len(clips) // SHEET_CAPTIONS)][:SHEET_CAPTIONS]
        prompts = [self._told(clips, index, index % len(self.languages)) for index in rows]
        pages = []
        for index, prompt in zip(rows, prompts, strict=True):
            shape = VideoShape(clips.length(index), *clips.side(index))
            (script,) = imagine(self.layout, self.text, [prompt], shape, [index])
            plans = [] if script is None else script.resolve(shape.frames, self.settings.fps, len(script.objects))
            paper = np.full((shape.frames, shape.height, shape.width, 3), 255, np.uint8)
            pages.append(strip(paper, plans, None))
        return " · ".join(prompts), stacked(pages)

    def export(self, folder: Path, position: Position) -> None:
        save_layout(self.layout, folder)


def stacked(pages: Sequence[Frames]) -> Frames:
    """Pictures one below the other, the narrower ones on white."""
    width = max(page.shape[1] for page in pages)
    return np.concatenate([np.pad(page, ((0, 0), (0, width - page.shape[1]), (0, 0)), constant_values=255)
                           for page in pages])


def vocabulary(clips: Clips) -> tuple[str, ...]:
    """The words that the objects of these clips are called by, in the order in which names have them."""
    places: dict[str, list[int]] = defaultdict(list)
    for index in range(0, len(clips), -(-len(clips) // LOOKED_THROUGH)):
        for track in clips.tracks(index):
            for place, word in enumerate(spoken(track.name).split()):
                places[word].append(place)
    return tuple(sorted(places, key=lambda word: (sum(places[word]) / len(places[word]), word)))


def layout_recipe(data: Path, settings: LayoutSettings, source: Path) -> LayoutRecipe:
    """A fresh network for the text encoder in `source`. Raises DataError where no clip has tracks with names."""
    parts = load_parts(source)
    torch.manual_seed(settings.seed)
    clips = open_splits(data, size=settings.size, fps=settings.fps, stride=parts.stride)
    words = vocabulary(clips[0])
    if not words:
        raise DataError(f"{data}: no clip has tracks with names, so nothing can be learned of layouts; ingest with "
                        "--annotations that say what things are")
    layout = Layout(LayoutConfig(parts.text.config.d_model, words, settings.things, settings.width, settings.layers))
    return LayoutRecipe(layout, parts.text.requires_grad_(False), settings, clips)
