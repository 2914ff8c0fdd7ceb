"""Videos beyond the model's window: made piece by piece, streamed, and the same however they are asked for."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from giving import CLIP, MASK, SMALL, Watched, footage, given_frames, model_with
from torch import Tensor

from manzar.generate import Connect, Edit, Extend, Generator, Loop
from manzar.generate.conditions import Given
from manzar.generate.fitting import to_frames
from manzar.nouns import Request, UsageError


@pytest.fixture(scope="module")
def model() -> Generator:
    return model_with()


@pytest.fixture
def watched(model: Generator, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(model, monkeypatch)


LONG: dict[str, tuple[int | None, tuple[Given, ...], int]] = {
    "text": (49, (), 49),
    "forward": (40, (Extend(CLIP),), 53),
    "backward": (41, (Extend(CLIP, "backward"),), 54),
    "connect": (40, (Connect(CLIP, CLIP),), 66),
    "loop": (33, (Loop(),), 33),
    "edit": (None, (Edit(footage(40), 0.6, MASK),), 40),
}


@pytest.mark.parametrize("case", LONG)
def test_a_stream_is_the_same_video(model: Generator, case: str) -> None:
    frames, conditions, length = LONG[case]
    request = replace(SMALL, frames=frames, conditions=conditions, seed=3)
    (whole,) = model.generate(request)
    chunks = list(model.stream(request))
    assert np.array_equal(np.concatenate(chunks), whole.frames)
    assert len(whole.frames) == length
    if case == "text":
        assert max(map(len, chunks)) <= 17
        assert not np.array_equal(whole.frames, model.generate(replace(request, seed=4))[0].frames)


def test_windows_are_given_the_latents_of_their_neighbour(model: Generator, watched: Watched) -> None:
    model.generate(replace(SMALL, frames=41))
    assert len(watched.states) == 3
    for latents, state in zip(watched.latents, watched.states[1:], strict=False):
        assert given_frames(state) == [0, 1]
        assert torch.equal(state.clean[:, :, :2], latents[:, :, -2:])
    noises = [state.latents[0, 0, -1] for state in watched.states]
    assert not torch.equal(noises[1], noises[2]), "each window has noise of its own"


def test_backwards_the_first_of_a_window_is_dropped(model: Generator, watched: Watched) -> None:
    """A sample's latent frame 0 covers one pixel frame; inside a video only those that cover four will do."""
    model.generate(replace(SMALL, frames=25, conditions=(Extend(CLIP, "backward"),)))
    assert [given_frames(state) for state in watched.states] == [[3, 4]] * (len(watched.states) - 1) + [
        given_frames(watched.states[-1])]
    for latents, state in zip(watched.latents, watched.states[1:], strict=False):
        given = state.clean[:, :, given_frames(state)]
        assert torch.equal(given, latents[:, :, 1 : 1 + given.shape[2]])


def test_decoding_goes_on_where_it_stopped(model: Generator, watched: Watched) -> None:
    (video,) = model.generate(replace(SMALL, frames=41))
    latents = torch.cat([watched.latents[0], *(each[:, :, 2:] for each in watched.latents[1:])], 2)
    difference = to_frames(model.decode(latents)[0]).astype(int) - video.frames
    assert abs(difference).max() <= 1


def test_memory_does_not_grow(model: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Tensor]] = []
    most, sample = [], model.sample

    def counted(*args: Any) -> Tensor:
        latents = sample(*args)
        alive.append(weakref.ref(latents))
        return latents

    monkeypatch.setattr(model, "sample", counted)
    stream = model.stream(replace(SMALL, frames=4 * 30 + 1, steps=1))
    for _ in stream:
        gc.collect()
        most.append(sum(ref() is not None for ref in alive))
    assert len(alive) > 8 and max(most) <= 2


def test_steps_are_counted_over_all_windows(model: Generator) -> None:
    seen: list[tuple[int, int]] = []
    model.generate(replace(SMALL, frames=41), lambda done, total, _: seen.append((done, total)))
    assert seen == [(k, 6) for k in range(1, 7)]
    seen.clear()
    model.generate(replace(SMALL, steps=10, conditions=(Edit(CLIP, 0.3),)), lambda *told: seen.append(told[:2]))
    assert seen[-1][0] == seen[-1][1] == len(seen) < 10


def test_a_stream_is_of_one_video(model: Generator) -> None:
    with pytest.raises(UsageError, match="of one video, not of 2"):
        model.stream(replace(SMALL, count=2))


def test_a_model_that_knows_no_window_makes_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder from elsewhere: every task works, and no length is cut up."""
    model = model_with(window=None)
    watched = Watched(model, monkeypatch)
    for frames, conditions, length in LONG.values():
        (video,) = model.generate(replace(SMALL, frames=frames, conditions=conditions, steps=1))
        assert len(video.frames) == (32 if isinstance(next(iter(conditions), None), Loop) else length)
    assert len(watched.states) == len(LONG)
    monkeypatch.setitem(model.parts.info, "defaults", {})
    assert model.complete(Request("x")).frames == 81
