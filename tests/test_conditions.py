"""Every way of saying what is known about a video beforehand: what is given stays given, in latents and in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from giving import CLIP, MASK, SMALL, STRIDE, Watched, footage, given_frames, model_with
from tiny_model import CHANNELS
from torch import Tensor

from manzar.generate import Connect, Edit, Extend, FirstFrame, Generator, Keyframes, Loop, initial_noise
from manzar.generate.conditions import Given
from manzar.generate.edit import white
from manzar.generate.fitting import Canvas, at_rate, fit_clip, to_frames, to_pixels
from manzar.generate.given import LEAD, following, leading, part
from manzar.generate.timeline import Timeline, Window, context
from manzar.nouns import ShapeError, Stride, UsageError, Video


@pytest.fixture(scope="module")
def model() -> Generator:
    return model_with()


@pytest.fixture
def watched(model: Generator, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(model, monkeypatch)


# --- the timeline ---------------------------------------------------------------------------------------------------


def timelines() -> Iterator[tuple[Timeline, int]]:
    for size in (3, 4, 5, 9, 21):
        one, two = context(size), context(size, two_sided=True)
        for made in range(1, 40):
            yield Timeline(made), size
            yield Timeline(made, before=one[0]), size
            yield Timeline(made, before=1), size
            yield Timeline(made, after=one[1], backward=True), size
            yield Timeline(made, *two), size
            if made > 1:
                after = context(min(size, max(3, made)), two_sided=True)[1]
                yield Timeline(made, after=after, closing=True), size


def test_windows_make_everything_once_and_hand_on_what_they_know() -> None:
    for timeline, size in timelines():
        windows = timeline.windows(size)
        assert all(0 < len(window) <= size for window in windows), (timeline, size, windows)
        ordered = windows[::-1] if timeline.backward else windows
        kept = [k for window in ordered for k in range(window.fresh, window.end)]
        assert kept == list(range(timeline.before + timeline.made)), (timeline, size, windows)
        for last, window in pairwise(windows):
            known = range(last.fresh if timeline.backward else last.start, last.stop)
            lacking = set(range(window.start, window.stop)) - set(range(window.fresh, window.end)) - set(known)
            dropped = {window.start} if timeline.backward and window.start else set()
            given_at_the_end = set(range(timeline.total - timeline.after, timeline.total))
            assert lacking <= dropped | given_at_the_end, (timeline, size, last, window)
            assert len(set(known) & set(range(window.start, window.stop))) >= 1
        assert any(window.stop == timeline.total for window in windows)
        assert len(windows) > 1 or not timeline.closing


def test_what_fits_in_one_window_is_made_in_one() -> None:
    for timeline in (Timeline(5), Timeline(3, before=2), Timeline(2, 2, 1), Timeline(3, after=2, backward=True)):
        assert timeline.windows(5) == timeline.windows(None) == [Window(0, 5, 0, 5 - timeline.after)]
    assert len(Timeline(50).windows(None)) == 1
    assert Timeline(5, after=1, closing=True).windows(5) == [Window(0, 3, 0, 3), Window(1, 6, 3, 5)]


# --- what is given --------------------------------------------------------------------------------------------------


CASES: dict[str, tuple[Given, int, list[int]]] = {  # condition, frames of the result, latent frames given
    "first frame": (FirstFrame(CLIP.frames[0]), 17, [0]),
    "keyframes": (Keyframes({0: CLIP.frames[0], 8: CLIP.frames[3], -1: CLIP.frames[9]}), 17, [0, 2, 4]),
    "forward": (Extend(CLIP), 13 + 12, [0, 1]),
    "forward, more context": (Extend(CLIP, frames=9), 13 + 8, [0, 1, 2]),
    "backward": (Extend(CLIP, "backward"), 9 + 13, [3, 4]),
    "connect": (Connect(CLIP, footage(6, seed=1)), 13 + 8 + 6, [0, 1, 4]),
    "a clip's loop": (Loop(CLIP), 13 + 8, [0, 1, 4]),
    "edit": (Edit(CLIP, 0.7), 13, []),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["euler", "unipc"])
def test_given_tokens_are_clean_and_stay_so(
    monkeypatch: pytest.MonkeyPatch, model: Generator, case: str, kind: Any
) -> None:
    condition, frames, given = CASES[case]
    model = model_with(kind=kind)
    watched = Watched(model, monkeypatch)
    seen: list[Tensor] = []
    forward = model.parts.dit.forward
    monkeypatch.setattr(model.parts.dit, "forward",
                        lambda x, t, text, control: seen.append(t) or forward(x, t, text, control=control))
    (video,) = model.generate(replace(SMALL, conditions=(condition,)))
    assert video.frames.shape == (frames, 32, 32, 3)
    (state,), (latents,) = watched.states, watched.latents
    assert given_frames(state) == given
    where = state.given.bool().expand_as(latents)
    assert torch.equal(latents[where], state.clean[where])
    for timestep in seen:
        if given:
            tokens = timestep.view(1, len(state.given), -1)
            assert not tokens[:, given].any()
            assert (tokens.sum(-1) > 0).sum() == len(state.given) - len(given)
        else:
            assert timestep.ndim == 1 and timestep > 0


def test_given_pixels_come_back_bit_for_bit(model: Generator) -> None:
    other = footage(6, seed=1)
    forward, backward, connected, closed = (
        model.generate(replace(SMALL, conditions=(condition,)))[0].frames
        for condition in (Extend(CLIP), Extend(CLIP, "backward"), Connect(CLIP, other), Loop(CLIP))
    )
    assert np.array_equal(forward[:13], CLIP.frames) and np.array_equal(backward[-13:], CLIP.frames)
    assert np.array_equal(connected[:13], CLIP.frames) and np.array_equal(connected[-6:], other.frames)
    assert np.array_equal(closed[:13], CLIP.frames)
    for made in (forward[13:], backward[:-13], connected[13:-6], closed[13:]):
        assert not any(np.array_equal(frame, given) for frame in made for given in CLIP.frames)


def test_what_is_given_is_the_clips_own_latents(model: Generator, watched: Watched) -> None:
    pixels = to_pixels(CLIP.frames)
    for condition in (Extend(CLIP), Extend(CLIP, "backward")):
        model.generate(replace(SMALL, conditions=(condition,)))
    forward, backward = watched.states
    assert torch.equal(forward.clean[:, :, :2], leading(model.encode, pixels, 2, STRIDE))
    assert torch.equal(backward.clean[:, :, 3:], following(model.encode, pixels, 2, STRIDE))
    # four frames to a latent frame from the first, as if the clip had stood still before
    held = torch.cat([*[pixels[:, :, :1]] * (1 + 4 * LEAD), pixels[:, :, :8]], 2)
    assert torch.equal(backward.clean[:, :, 3:], model.encode(held)[:, :, 1 + LEAD :])


def test_a_part_of_a_clip_is_encoded_with_its_past(model: Generator) -> None:
    pixels = to_pixels(footage(41).frames)
    whole = model.encode(pixels)
    for first, count in ((0, 3), (1, 2), (LEAD, 3), (LEAD + 2, 2)):
        piece = part(model.encode, lambda a, b: pixels[:, :, a:b], first, count, STRIDE)
        bare = model.encode(pixels[:, :, 4 * first : 4 * (first + count - 1) + 1])
        own = whole[:, :, first : first + count]
        assert piece.shape == own.shape
        error, worse = ((latents - own)[:, :, 0].square().mean() for latents in (piece, bare))
        assert error < (1e-10 if first <= LEAD else 0.5 * worse)


def test_several_beginnings_lead_to_one_end(model: Generator) -> None:
    one, other = model.generate(replace(SMALL, count=2, conditions=(Extend(CLIP, "backward"),)))
    assert np.array_equal(one.frames[9:], other.frames[9:])
    assert not np.array_equal(one.frames[:9], other.frames[:9])


def test_a_short_clip_rests_on_its_last_frame(model: Generator, watched: Watched) -> None:
    still = Video(CLIP.frames[:1], 8.0)
    for direction, frames in (("forward", 17), ("backward", 14)):
        (video,) = model.generate(replace(SMALL, conditions=(Extend(still, direction),)))  # type: ignore[arg-type]
        assert len(video.frames) == frames
    assert [given_frames(state) for state in watched.states] == [[0], [4]]


def test_a_picture_may_begin_what_leads_up_to_a_clip(model: Generator, watched: Watched) -> None:
    model.generate(replace(SMALL, conditions=(FirstFrame(footage(1, seed=5)), Extend(CLIP, "backward"))))
    assert given_frames(watched.states[0]) == [0, 3, 4]


# --- keyframes ------------------------------------------------------------------------------------------------------


def test_a_keyframe_is_held_through_its_group(model: Generator, watched: Watched) -> None:
    """The latents are those of the video that stands still at each picture until the next."""
    pictures = {1: CLIP.frames[1], 10: CLIP.frames[5]}
    model.generate(replace(SMALL, conditions=(Keyframes(pictures),)))
    (state,) = watched.states
    stepped = [CLIP.frames[1]] * 9 + [CLIP.frames[5]] * 8
    clean = model.encode(to_pixels(np.stack(stepped)))
    assert given_frames(state) == [1, 3]
    assert torch.equal(state.clean[:, :, [1, 3]], clean[:, :, [1, 3]])


def test_keyframes_in_a_long_video_reach_their_window(model: Generator, watched: Watched) -> None:
    model.generate(replace(SMALL, frames=33, conditions=(Keyframes({0: CLIP.frames[0], -1: CLIP.frames[1]}),)))
    last = watched.states[-1]
    stepped = model.encode(to_pixels(np.stack([CLIP.frames[0]] * 29 + [CLIP.frames[1]] * 4)))
    assert given_frames(watched.states[0]) == [0] and len(last.given) - 1 in given_frames(last)
    assert (last.clean[:, :, -1] - stepped[:, :, -1]).square().mean() < 0.01 * stepped.var()


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ({17: CLIP.frames[0]}, "keyframe 17 is beyond the video, whose frames are 0 to 16"),
        ({-18: CLIP.frames[0]}, "keyframe -18 is beyond"),
        ({16: CLIP.frames[0], -1: CLIP.frames[1]}, "given twice"),
        ({5: CLIP.frames[0], 7: CLIP.frames[1]}, "5 and 7 are too close.*5 to 8 together"),
        ({}, "no keyframes"),
        ({3: np.zeros((4, 4), np.uint8)}, r"keyframe.* is uint8 of shape \(H, W, 3\)"),
    ],
)
def test_impossible_keyframes(model: Generator, pictures: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.generate(replace(SMALL, conditions=(Keyframes(pictures),)))


# --- loops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "length", "again"), [(17, 16, 3), (16, 16, 3), (18, 20, 3), (5, 4, 1), (29, 28, 1)])
def test_what_fits_in_a_window_goes_round_in_one(
    monkeypatch: pytest.MonkeyPatch, asked: int, length: int, again: int
) -> None:
    model = model_with(window=33)
    watched = Watched(model, monkeypatch)
    request = model.complete(replace(SMALL, frames=asked, conditions=(Loop(),)))
    assert request.frames == length and model.complete(request) == request
    (video,) = model.generate(request)
    (state,), (latents,) = watched.states, watched.latents
    assert len(video.frames) == length and latents.shape[2] == 1 + length // 4 + again
    for x in (state.latents, latents):
        assert torch.equal(x[:, :, 1 : 1 + again], x[:, :, -again:])
    decoded = to_frames(model.decode(latents)[0])
    assert np.array_equal(video.frames[0], decoded[length])
    beginning = video.frames[1 : 4 * again + 1]
    assert np.array_equal(beginning, decoded[length + 1 :][: len(beginning)]), "decoded with the end before them"
    assert np.array_equal(video.frames[4 * again + 1 :], decoded[4 * again + 1 : length])


def test_what_is_given_of_a_round_is_given_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with(window=33)
    watched = Watched(model, monkeypatch)
    pictures = {0: CLIP.frames[0], 4: CLIP.frames[5], -1: CLIP.frames[9]}
    for conditions in ((Loop(), Keyframes(pictures)), (Keyframes(pictures), Loop())):
        model.generate(replace(SMALL, conditions=conditions))
        state = watched.states[-1]
        assert given_frames(state) == [0, 1, 4, 5]
        assert torch.equal(state.clean[:, :, 1], state.clean[:, :, 5])
        assert torch.equal(watched.latents[-1][:, :, [0, 1, 4, 5]], state.clean[:, :, [0, 1, 4, 5]])
    assert torch.equal(watched.latents[0], watched.latents[1])


def test_a_loop_knows_the_motion_on_both_sides_of_its_seam(model: Generator, watched: Watched) -> None:
    (video,) = model.generate(replace(SMALL, conditions=(Loop(),)))
    assert len(video.frames) == 17
    first, bridge = watched.states
    assert (first.given.shape[0], bridge.given.shape[0]) == (3, 5)
    assert given_frames(first) == [] and given_frames(bridge) == [0, 1, 4]
    assert torch.equal(bridge.clean[:, :, :2], watched.latents[0][:, :, 1:])
    opening = model.decode(watched.latents[0])
    assert np.array_equal(to_frames(opening[0]), video.frames[:9])
    assert torch.equal(bridge.clean[:, :, 4:], following(model.encode, opening, 1, STRIDE))


def test_a_loop_from_a_picture_and_one_of_many_windows(model: Generator, watched: Watched) -> None:
    image = FirstFrame(CLIP.frames[0])
    assert len(model.generate(replace(SMALL, frames=41, conditions=(Loop(), image)))[0].frames) == 41
    assert given_frames(watched.states[0]) == [0] and 4 in given_frames(watched.states[-1])
    assert len(model.generate(replace(SMALL, frames=5, conditions=(Loop(),)))[0].frames) == 4
    with pytest.raises(UsageError, match="a loop of 1 frames is too short; this model needs at least 5"):
        model.generate(replace(SMALL, frames=1, conditions=(Loop(),)))


# --- edits ----------------------------------------------------------------------------------------------------------


def test_strength_is_where_the_solver_starts(model: Generator, watched: Watched) -> None:
    request = replace(SMALL, steps=8)
    for strength in (0.05, 0.5, 1.0):
        model.generate(replace(request, conditions=(Edit(CLIP, strength),)))
    clean = model.encode(to_pixels(CLIP.frames))
    noise = watched.states[2].latents
    for state, strength in zip(watched.states, (0.05, 0.5, 1.0), strict=True):
        assert state.sigma_start == strength
        assert torch.allclose(state.latents, (1 - strength) * clean + strength * noise, atol=1e-5)
    change = [(latents - clean).square().mean().item() for latents in watched.latents]
    assert change[0] < change[1] < change[2]


def test_outside_the_mask_nothing_changes(model: Generator, watched: Watched) -> None:
    (video,) = model.generate(replace(SMALL, conditions=(Edit(CLIP, 0.9, MASK),)))
    assert np.array_equal(video.frames[:, :, :16], CLIP.frames[:, :, :16])
    assert (video.frames[:, :, 16:] != CLIP.frames[:, :, 16:]).mean() > 0.5
    (state,), (latents,) = watched.states, watched.latents
    assert state.given[..., :2].all() and not state.given[..., 2:].any()
    assert torch.equal(latents[..., :2], model.encode(to_pixels(CLIP.frames))[..., :2])


def test_a_mask_may_move(model: Generator, watched: Watched) -> None:
    masks = np.zeros((13, 32, 32), bool)
    masks[6, 20:24, 4:8] = True  # one frame of the second group, one token
    (video,) = model.generate(replace(SMALL, conditions=(Edit(CLIP, 0.9, masks),)))
    changed = (video.frames != CLIP.frames).any(-1)
    assert changed.any() and not (changed & ~masks).any()
    opened = torch.zeros_like(watched.states[0].given)
    opened[2, 2:, :2] = 1
    assert torch.equal(watched.states[0].given, 1 - opened)


def test_the_edge_of_a_mask_fades_inwards() -> None:
    flat = Video(np.zeros((1, 64, 64, 3), np.uint8), 8.0)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    made = np.full((1, 64, 64, 3), 200, np.uint8)
    blend = Edit(flat, 0.5, mask).inside(made, flat.frames, 0)[0, :, 32, 0].tolist()
    assert blend[:16] == [0] * 16 and 0 < blend[16] < blend[17] <= 200 and blend[20:44] == [200] * 24


def test_edits_of_any_length_keep_every_frame(model: Generator, watched: Watched) -> None:
    for frames in (1, 6, 30):
        (video,) = model.generate(replace(SMALL, conditions=(Edit(footage(frames), 0.5, MASK),)))
        assert np.array_equal(video.frames[:, :, :16], footage(frames).frames[:, :, :16])
    assert len(watched.states) > 3  # the last takes several windows, each with the end of the one before
    assert len(model.generate(replace(SMALL, frames=3, conditions=(Edit(CLIP),)))[0].frames) == 3
    with pytest.raises(UsageError, match="17 frames are asked for, but the clip to edit has only 13"):
        model.generate(replace(SMALL, frames=17, conditions=(Edit(CLIP),)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 0.0}, "strength of an edit is 0;"),
        ({"strength": 1.5}, "strength of an edit is 1.5;"),
        ({"strength": float("nan")}, "strength of an edit is nan;"),
        ({"mask": np.zeros((32, 32), np.uint8)}, "all black"),
        ({"mask": np.ones((16, 32), bool)}, r"shape \(16, 32\); the clip to edit needs \(32, 32\)"),
        ({"mask": np.ones((5, 32, 32), bool)}, "the mask has 5 frames; the clip to edit has 13"),
    ],
)
def test_impossible_edits(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Edit(**{"video": CLIP, **change})


def test_white_is_what_may_change() -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert white(grey).tolist() == [[[False, False, True, True]]]
    for ones in (grey > 127, (grey > 127).astype(np.uint8), (grey > 127).astype(np.float32)):
        assert white(ones).tolist() == [[[False, False, True, True]]]


# --- size and rate --------------------------------------------------------------------------------------------------


def test_clips_of_another_rate_and_size(model: Generator) -> None:
    wide = footage(20, 30, 90, fps=16.0)
    complete = model.complete(replace(SMALL, height=None, width=None, conditions=(Extend(wide),)))
    assert (complete.height, complete.width, complete.fps, complete.frames) == (16, 48, 8.0, 12)
    (extend,) = complete.conditions
    assert isinstance(extend, Extend) and extend.video.frames.shape == (10, 16, 48, 3)
    assert model.complete(complete) == complete
    (video,) = model.generate(replace(SMALL, conditions=(Extend(wide),)))
    assert video.frames.shape == (22, 32, 32, 3)


def test_frames_at_another_rate() -> None:
    assert at_rate(8, 16.0, 8.0) == [1, 3, 5, 7]
    assert at_rate(3, 8.0, 16.0) == [0, 0, 1, 1, 2, 2]
    assert at_rate(1, 30.0, 8.0) == [0]
    canvas = Canvas(17, 32, 32, 8.0, STRIDE)
    assert fit_clip(CLIP, "x", canvas).frames is CLIP.frames
    many = footage(40, 20, 20)
    whole, tail = (fit_clip(Video(f, 8.0), "x", canvas).frames for f in (many.frames, many.frames[30:]))
    assert np.array_equal(whole[30:], tail), "scaled some at a time, the same"


def test_lengths_are_of_what_is_added(model: Generator) -> None:
    for condition, asked, got in (
        (Extend(CLIP), 8, 8), (Extend(CLIP), 17, 16), (Extend(CLIP), 1, 4), (Extend(CLIP, "backward"), 17, 17),
        (Extend(CLIP, "backward"), 16, 17), (Connect(CLIP, CLIP), 30, 32), (Loop(CLIP), 9, 8),
    ):  # fmt: skip
        assert model.complete(replace(SMALL, frames=asked, conditions=(condition,))).frames == got
    for condition in (FirstFrame(CLIP), Keyframes({0: CLIP})):
        with pytest.raises(ShapeError, match="nearest that fits is 17 frames"):
            model.complete(replace(SMALL, frames=16, conditions=(condition,)))


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ((Extend(CLIP), Edit(CLIP)), ("Extend (--extend)", "Edit (--edit)")),
        ((FirstFrame(CLIP), Extend(CLIP)), ("FirstFrame (--image)", "Extend (--extend)")),
        ((Loop(CLIP), FirstFrame(CLIP)), ("Loop (--loop)", "FirstFrame (--image)")),
        ((Connect(CLIP, CLIP), Loop()), ("Connect (--connect)", "Loop (--loop)")),
        ((Keyframes({0: CLIP}), Edit(CLIP)), ("Keyframes (--keyframe)", "Edit (--edit)")),
        ((Extend(CLIP), Extend(CLIP)), ("Extend (--extend)",)),
    ],
)
def test_conditions_that_contradict_each_other(model: Generator, conditions: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be combined") as error:
        model.generate(replace(SMALL, conditions=conditions))
    assert all(word in str(error.value) for word in words)


def test_clips_that_are_none(model: Generator) -> None:
    empty, grey = Video(CLIP.frames[:0], 8.0), Video(CLIP.frames[..., 0], 8.0)
    for condition, message in (
        (Extend(empty), "is empty"), (Connect(CLIP, empty), "the last clip to connect is empty"),
        (Edit(empty), "the clip to edit is empty"), (Extend(grey), r"uint8 of shape \(T, H, W, 3\)"),
        (Extend(Video(CLIP.frames, 0.0)), "0.0 frames per second"), (FirstFrame(empty), "empty"),
        (Loop(empty), "the clip of --loop is empty"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            model.generate(replace(SMALL, conditions=(condition,)))
    with pytest.raises(UsageError, match="forward or backward, not 'up'"):
        Extend(CLIP, "up")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 frames of the clip"):
        Extend(CLIP, frames=0)


def test_a_state_is_never_absurd(model: Generator) -> None:
    shape = model.shape(model.complete(SMALL))
    state = model.begin(initial_noise(SMALL, shape.latent(Stride(4, 8, 8)), CHANNELS), shape)
    for change in ({"sigma_start": -0.1}, {"sigma_start": 0.0}, {"sigma_start": 1.1}, {"first": 1},
                   {"given": torch.zeros(2, 2, 2)}, {"clean": torch.zeros(1, CHANNELS, 1, 1, 1)}):  # fmt: skip
        with pytest.raises(AssertionError):
            replace(state, **change)
