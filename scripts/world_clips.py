"""Clips of world scenes to be judged: rendered, rendered and sent through a VAE, or made by a model in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from manzar.device import pick_device
from manzar.generate import load
from manzar.generate.fitting import to_frames
from manzar.generate.folder import load_vae
from manzar.nouns import Request, VideoShape
from manzar.world import PHRASINGS, Scene, caption, render
from manzar.world.suite import suite_scenes

if TYPE_CHECKING:
    from manzar.nouns import Frames

TRUTH_SHAPE = VideoShape(frames=17, height=64, width=64)


@dataclass(frozen=True)
class Case:
    """One clip to be judged: the scene asked for, the words it is asked in, and the seed of the noise.

    A scene has the same index, noise and phrasing in every language, so that languages compare pairwise.
    """

    index: int
    scene: Scene
    language: str
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.index:05d}.{self.language}"


Source = Callable[[Sequence[Case]], "list[Frames]"]  # a batch of cases → their clips


def scenes(n: int, seed: int, held_out: str) -> list[Scene]:
    """The scenes of the world's suite, or others drawn like them."""
    return suite_scenes(n, seed, held_out)  # type: ignore[arg-type]


def cases(asked: Sequence[Scene], seed: int, languages: Sequence[str]) -> list[Case]:
    """Every scene in every language; phrasings take turns from scene to scene, two by two so that both mixtures do."""
    return [
        Case(index, scene, language, caption(scene, language, index // 2 % PHRASINGS), seed + index)
        for index, scene in enumerate(asked)
        for language in languages
    ]


def rendered(batch: Sequence[Case]) -> list[Frames]:
    """The truth itself."""
    return list(render([case.scene for case in batch], TRUTH_SHAPE).cpu().numpy())


def through(folder: Path) -> Source:
    """The truth as the VAE in `folder` gives it back: what a perfect model with that VAE would show."""
    vae = load_vae(folder).to(pick_device())
    device = next(vae.parameters()).device

    @torch.no_grad()
    def clips(batch: Sequence[Case]) -> list[Frames]:
        frames = render([case.scene for case in batch], TRUTH_SHAPE)  # (B, T, H, W, 3)
        pixels = frames.permute(0, 4, 1, 2, 3).to(device, torch.float32) / 127.5 - 1
        return [to_frames(clip) for clip in vae.decode(vae.encode(pixels).mean)]

    return clips


def made_by(folder: Path, steps: int | None, guidance: float | None, layout: bool = True
            ) -> tuple[Source, dict[str, object]]:
    """What the model makes of each prompt at its own default size; and the settings it is made with."""
    generator = load(folder)
    blank = generator.complete(Request("", steps=steps, guidance=guidance, layout=layout))

    def clips(batch: Sequence[Case]) -> list[Frames]:
        asked = (replace(blank, prompt=case.prompt, seed=case.seed) for case in batch)
        return [generator.generate(request)[0].frames for request in asked]

    names = ("frames", "height", "width", "steps", "guidance", "layout")
    return clips, {name: getattr(blank, name) for name in names} | {"precision": str(generator.precision)}


def in_batches(todo: Sequence[Case], source: Source, size: int) -> Iterator[tuple[Case, Frames]]:
    for start in range(0, len(todo), size):
        batch = todo[start : start + size]
        yield from zip(batch, source(batch), strict=True)
