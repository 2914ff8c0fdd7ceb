"""The judge on drawings made here, and on rendered truth of the procedural world."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from manzar.nouns import UsageError, VideoShape
from manzar.score.judge import COLOURS, Seen, SeenActor, agrees, agrees_each, judge
from manzar.score.silhouette import OUTLINES
from manzar.world import COLOURS as WORLD_COLOURS
from manzar.world import SHAPES, Scene, WorldConfig, render, sample_scene

N = 80
TRUTH = VideoShape(frames=17, height=64, width=64)


def drawn(at, radius=lambda u: 11.0, colour=(255, 0, 0), ground=(235, 235, 230), frames=17, size=64):
    """A disc on a plain ground: `at` and `radius` map u in [0, 1] to pixels."""
    clip = []
    for u in np.linspace(0, 1, frames):
        x, y = at(u)
        canvas = np.full((4 * size, 4 * size, 3), ground, np.uint8)
        cv2.circle(canvas, (round(4 * x), round(4 * y)), round(4 * radius(u)), colour, -1)
        clip.append(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(clip)


@cache
def truth_cases(n=N, seed=10_000) -> list[tuple[Scene, np.ndarray]]:
    config = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), held_out="only")
    scenes = [sample_scene(seed + i, config) for i in range(n)]
    return list(zip(scenes, render(scenes, TRUTH).numpy(), strict=True))


@cache
def seen_truth() -> list[Seen]:
    return [judge(frames) for _, frames in truth_cases()]


def shares(seen: list[Seen]) -> dict[str, float]:
    hits: dict[str, list[bool]] = {}
    for (scene, _), one in zip(truth_cases(), seen, strict=False):
        actor = scene.actors[0]
        wanted = {"colour": actor.colour, "shape": actor.shape, "motion": actor.motion,
                  "background": scene.background, "actors": 1}  # fmt: skip
        for name, hit in agrees(one, wanted).items():
            if hit is not None:
                hits.setdefault(name, []).append(hit)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def test_knows_the_words_of_the_world():
    assert COLOURS == WORLD_COLOURS
    assert set(OUTLINES) == set(SHAPES)


@pytest.mark.parametrize(
    ("at", "motion", "direction"),
    [
        (lambda u: (14 + 36 * u, 32), "translation", "right"),
        (lambda u: (50 - 36 * u, 32), "translation", "left"),
        (lambda u: (32, 50 - 36 * u), "translation", "up"),
        (lambda u: (14 + 36 * u, 14 + 36 * u), "translation", "down-right"),
        (lambda u: (32, 50 - 36 * abs(np.sin(2 * np.pi * u))), "bounce", None),
        (lambda u: (32 + 18 * np.cos(2 * np.pi * u), 32 + 18 * np.sin(2 * np.pi * u)), "orbit", None),
        (lambda u: (32, 32), "still", None),
    ],
)
def test_motion_of_a_disc(at, motion, direction):
    actor = judge(drawn(at)).actors[0]
    assert (actor.motion, actor.direction, actor.shape, actor.colour) == (motion, direction, "circle", "red")


def test_growing_and_shrinking():
    middle = lambda u: (32, 32)  # noqa: E731
    assert judge(drawn(middle, lambda u: 6 + 9 * u)).actors[0].motion == "grow"
    assert judge(drawn(middle, lambda u: 15 - 9 * u)).actors[0].motion == "shrink"


def test_the_same_film_backwards_goes_the_other_way():
    frames = drawn(lambda u: (14 + 36 * u, 32))
    assert judge(frames[::-1]).actors[0].direction == "left"
    assert judge(frames.transpose(0, 2, 1, 3)).actors[0].direction == "down"


@pytest.mark.parametrize("name", list(COLOURS))
def test_every_colour_is_named(name):
    ground = (120, 150, 90) if name in ("gray", "white", "black") else (250, 250, 250)
    assert judge(drawn(lambda u: (14 + 36 * u, 32), colour=COLOURS[name], ground=ground)).actors[0].colour == name


def test_boxes_hold_the_disc():
    boxes = judge(drawn(lambda u: (14 + 36 * u, 32))).actors[0].boxes
    assert len(boxes) == 17
    for box, x in zip(boxes, 14 + 36 * np.linspace(0, 1, 17), strict=True):
        expected = np.array([x - 11, 21, x + 11, 43]) / 64
        assert np.abs(np.array(box.as_list()) - expected).max() < 1.6 / 64


def test_an_empty_scene_has_no_actor():
    seen = judge(np.full((9, 64, 64, 3), 200, np.uint8))
    assert seen.actors == ()
    assert seen.background == "plain"
    assert agrees(seen, {"colour": "gray", "motion": "left"}) == {"colour": False, "motion": False, "direction": False}


def test_a_smudge_has_no_shape():
    sharp = drawn(lambda u: (14 + 36 * u, 32), radius=lambda u: 7.0)
    smudge = np.stack([cv2.GaussianBlur(frame, (0, 0), 7) for frame in sharp])
    assert judge(sharp).actors[0].shape == "circle"
    assert all(actor.shape is None for actor in judge(smudge).actors)


def test_rendered_truth_is_recognised():
    seen = shares(seen_truth())
    assert seen["colour"] >= 0.97, seen
    assert seen["motion"] >= 0.97, seen
    assert seen["direction"] >= 0.97, seen
    assert seen["background"] >= 0.97, seen
    assert seen["shape"] >= 0.88, seen
    assert seen["actors"] >= 0.94, seen


def test_blurred_truth_is_still_recognised():
    blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames]) for _, frames in truth_cases()[:40]]
    seen = shares([judge(frames) for frames in blurred])
    assert min(seen[name] for name in ("colour", "motion", "direction", "background")) >= 0.93, seen
    assert seen["shape"] >= 0.75, seen


def test_wrong_prompts_score_near_chance():
    others = truth_cases()[7:] + truth_cases()[:7]
    hits: dict[str, list[bool]] = {"colour": [], "shape": []}
    for seen, (other, _) in zip(seen_truth(), others, strict=True):
        actor = other.actors[0]
        answers = agrees(seen, {"colour": actor.colour, "shape": actor.shape})
        for name in hits:
            hits[name].append(bool(answers[name]))
    assert np.mean(hits["colour"]) < 0.25
    assert np.mean(hits["shape"]) < 0.25


def test_agrees_tells_motion_class_from_direction():
    seen = Seen((SeenActor("red", "star", "translation", "left", ()),), "sea", "still", "flat")
    assert agrees(seen, {"motion": "right"}) == {"motion": True, "direction": False}
    assert agrees(seen, {"motion": "left", "shape": "star"}) == {"motion": True, "direction": True, "shape": True}
    assert agrees(seen, {"motion": "orbit"}) == {"motion": False, "direction": None}
    assert agrees(seen, {"background": "sky", "actors": 1}) == {"background": False, "actors": True}
    with pytest.raises(UsageError, match="speed"):
        agrees(seen, {"speed": "fast"})


def test_several_actors_are_paired_by_what_they_look_like():
    red = SeenActor("red", "star", "still", None, ())
    blue = SeenActor("blue", "circle", "grow", None, ())
    wanted = [{"colour": "blue", "motion": "grow"}, {"colour": "red", "motion": "still"}]
    both = agrees_each(Seen((red, blue), "plain", "still", "flat"), wanted)
    assert all(all(answers[name] for name in ("colour", "motion")) for answers in both)
    one = agrees_each(Seen((red,), "plain", "still", "flat"), wanted)
    assert [answers["colour"] for answers in one] == [False, True]


@pytest.mark.parametrize("bad", [np.zeros((4, 64, 64, 3), np.float32), np.zeros((64, 64, 3), np.uint8)])
def test_other_layouts_are_refused(bad):
    with pytest.raises(UsageError, match="uint8"):
        judge(bad)
