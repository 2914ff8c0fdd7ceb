"""The judge on drawings made here, and on rendered truth of the procedural world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from manzar.nouns import UsageError, VideoShape
from manzar.score.truth.judge import COLOURS, Seen, SeenActor, agrees, agrees_each, bound, judge
from manzar.score.truth.silhouette import OUTLINES
from manzar.world import CAMERAS, LOOKS, SHAPES, Scene, WorldConfig, render, sample_scene
from manzar.world import COLOURS as WORLD_COLOURS

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
    assert seen["shape"] >= 0.94, seen
    assert seen["actors"] >= 0.97, seen


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


@cache
def mixture(n: int = 40, seed: int = 20_000) -> list[tuple[Scene, Seen]]:
    """One and two actors in turn, with every look, camera and background."""
    configs = [WorldConfig(actors=(count, count), held_out="only") for count in (1, 2)]
    scenes = [sample_scene(seed + i, configs[i % 2]) for i in range(n)]
    return [(scene, judge(frames)) for scene, frames in zip(scenes, render(scenes, TRUTH).numpy(), strict=True)]


def wanted_of(scene: Scene) -> list[dict[str, object]]:
    return [{"colour": actor.colour, "shape": actor.shape, "motion": actor.motion} for actor in scene.actors]


def test_the_whole_mixture_is_recognised():
    rows = mixture()
    assert np.mean([seen.camera == scene.camera for scene, seen in rows]) >= 0.95
    assert np.mean([seen.background == scene.background for scene, seen in rows]) >= 0.95
    assert np.mean([len(seen.actors) == len(scene.actors) for scene, seen in rows]) >= 0.9
    assert np.mean([seen.look == scene.look for scene, seen in rows]) >= 0.9
    assert {seen.look for _, seen in rows} == set(LOOKS)


def test_colours_of_two_actors_are_bound_on_truth_and_never_by_chance():
    pairs = [(wanted_of(scene), seen) for scene, seen in mixture() if len(scene.actors) == 2 and scene.look == "flat"]
    right = [answer for wanted, seen in pairs if (answer := bound(seen, wanted)) is not None]
    assert len(right) >= 6
    assert np.mean(right) >= 0.8
    for wanted, seen in pairs:
        first, second = wanted
        exchanged = [first | {"colour": second["colour"]}, second | {"colour": first["colour"]}]
        assert not bound(seen, exchanged)


def two(first: SeenActor, second: SeenActor) -> Seen:
    return Seen((first, second), "plain", "still", "flat")


def test_binding_asks_shapes_and_motions_only_where_a_shape_is_unclear():
    wanted: list[dict[str, object]] = [
        {"colour": "red", "shape": "star", "motion": "left"},
        {"colour": "blue", "shape": "ring", "motion": "spin"},
    ]
    red, blue = SeenActor("red", "star", "still", None, ()), SeenActor("blue", "ring", "still", None, ())
    assert bound(two(blue, red), wanted)
    assert not bound(two(replace(red, colour="blue"), replace(blue, colour="red")), wanted)
    assert not bound(two(red, replace(blue, shape="heart")), wanted)
    assert not bound(Seen((red,), "plain", "still", "flat"), wanted)
    unclear = replace(red, shape=None)
    assert not bound(two(unclear, blue), wanted)
    assert bound(two(replace(unclear, motion="translation", direction="left"), blue), wanted)
    assert not bound(two(replace(unclear, motion="translation", direction="right"), blue), wanted)
    both_left = [wanted[0], wanted[1] | {"motion": "left"}]
    assert not bound(two(replace(unclear, motion="translation", direction="left"), blue), both_left)
    assert bound(two(red, blue), [wanted[0], wanted[1] | {"shape": "star"}]) is None


def textured(camera: str, frames: int = 17, size: int = 64, noise: float = 0.0) -> np.ndarray:
    """A red disc at rest before pale sky and a blue ground of lighter specks, filmed by a camera that moves."""
    rng = np.random.default_rng(0)
    world = np.full((256, 256, 3), (40, 90, 160), np.uint8)
    for x, y in rng.integers(0, 256, (160, 2)):
        cv2.circle(world, (int(x), int(y)), 3, (70, 130, 200), -1)
    world[:104] = (205, 230, 245)
    cv2.circle(world, (128, 128), 20, (255, 0, 0), -1)
    clip = []
    for u in np.linspace(0, 1, frames):
        zoom = {"zoom in": 2.0 - 0.6 * u, "zoom out": 1.4 + 0.6 * u}.get(camera, 1.7)
        shift = {"pan left": 24 - 48 * u, "pan right": 48 * u - 24}.get(camera, 0.0)
        matrix = np.array([[zoom, 0, 128 + shift - zoom * size / 2], [0, zoom, 128 - zoom * size / 2]])
        clip.append(cv2.warpAffine(world, matrix, (size, size), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP))
    noisy = np.stack(clip) + rng.normal(0, noise, (frames, size, size, 3))
    return noisy.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("camera", CAMERAS)
def test_cameras(camera, noise):
    """What rests in the world is said to rest, however the camera moves; and flicker is no movement."""
    seen = judge(textured(camera, noise=noise))
    assert seen.camera == camera
    assert (seen.actors[0].colour, seen.actors[0].motion) == ("red", "still")
    assert noise > 0 or len(seen.actors) == 1


def test_boxes_are_those_of_the_frame_under_a_moving_camera():
    boxes = judge(textured("pan right")).actors[0].boxes
    centres = [(box.x0 + box.x1) / 2 for box in boxes]
    assert abs(centres[0] - (0.5 + 24 / 1.7 / 64)) < 0.03
    assert abs(centres[-1] - (0.5 - 24 / 1.7 / 64)) < 0.03


def test_two_actors_that_meet_stay_two():
    clip = np.full((17, 64, 64, 3), 235, np.uint8)
    for frame, u in zip(clip, np.linspace(0, 1, 17), strict=True):
        cv2.circle(frame, (round(12 + 40 * u), 24), 9, (255, 0, 0), -1)
        cv2.circle(frame, (round(52 - 40 * u), 38), 9, (0, 0, 255), -1)
    seen = judge(clip)
    assert {(actor.colour, actor.direction) for actor in seen.actors} == {("red", "right"), ("blue", "left")}


def test_looks_of_one_disc():
    flat = drawn(lambda u: (14 + 36 * u, 32))
    lined = flat.copy()
    for frame, u in zip(lined, np.linspace(0, 1, 17), strict=True):
        cv2.circle(frame, (round(14 + 36 * u), 32), 11, (10, 10, 10), 2)
    blocks = np.stack([cv2.resize(cv2.resize(f, (16, 16), interpolation=cv2.INTER_AREA), (64, 64), interpolation=0)
                       for f in flat])  # fmt: skip
    gray = np.repeat(flat.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    assert [judge(clip).look for clip in (flat, lined, blocks, gray)] == ["flat", "outline", "pixelated", "monochrome"]
    assert judge(lined).actors[0].colour == "red"
