"""The truth dimensions on rendered truth, on other prompts and on films with one fault each."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from manzar.media import write
from manzar.nouns import LANGUAGES, Box, DataError, UsageError, Video, VideoShape
from manzar.score.asked import asked_for, read_asked, write_asked
from manzar.score.bench import Bench
from manzar.score.dimension import Unscored
from manzar.score.film import Asked, Film, open_film
from manzar.score.truth import IDEAS, TRUTH
from manzar.score.truth.asking import handy
from manzar.score.truth.prompt import stands
from manzar.world import HELD_OUT, Scene, WorldConfig, render, sample_scene
from manzar.world.suite import asked, suite_scenes, world_suite

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import calibrate_truth

N = 10
SHAPE = VideoShape(17, 64, 64)
PLAIN = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), held_out="only")
OF_PROMPT = [name for name, dimension in TRUTH.items() if dimension.suite_only]
OF_CRAFT = [name for name, dimension in TRUTH.items() if not dimension.suite_only]


@cache
def cases() -> list[tuple[Scene, np.ndarray]]:
    scenes = [sample_scene(20_000 + k, PLAIN) for k in range(N)]
    return list(zip(scenes, render(scenes, SHAPE).numpy(), strict=True))


def film(frames: np.ndarray, world: dict | None = None) -> Film:
    return Film(Path("film.mp4"), frames, 8.0, "", Asked("", 0, {"world": world} if world else {}))


def values(films: list[Film], names: list[str]) -> dict[str, list[float]]:
    """What the films give that give anything; every film is judged once."""
    found: dict[str, list[float]] = {name: [] for name in names}
    bench = Bench()
    for one in films:
        bench.next_film()
        for name in names:
            try:
                found[name].append(float(TRUTH[name].measure(one, bench).value))
            except Unscored:
                continue
    return found


def score(name: str, one: Film) -> float:
    return float(TRUTH[name].measure(one, Bench()).value)


def drawn(at, colour=lambda u: (220, 30, 30), ground=(235, 235, 230), frames=17, radius=9, also=()) -> np.ndarray:
    """Discs on a plain ground: `at` and `colour` map u in [0, 1] to pixels and to sRGB."""
    clip = []
    for u in np.linspace(0, 1, frames):
        canvas = np.full((256, 256, 3), ground, np.uint8)
        for place, tint in ((at, colour), *also):
            if (xy := place(u)) is not None:
                cv2.circle(canvas, (round(4 * xy[0]), round(4 * xy[1])), 4 * radius, tint(u), -1)
        clip.append(cv2.resize(canvas, (64, 64), interpolation=cv2.INTER_AREA))
    return np.stack(clip)


def across(u: float) -> tuple[float, float]:
    return 14 + 36 * u, 32


# ---- the suite and its file ------------------------------------------------------------------------------------------


def test_the_suite_asks_for_held_out_scenes_in_every_language():
    suite = world_suite(4)
    assert len(suite) == 4 * len(LANGUAGES)
    assert len({one.name for one in suite}) == len(suite)
    first = suite[: len(LANGUAGES)]
    assert {one.language for one in first} == set(LANGUAGES)
    assert len({one.prompt for one in first}) == len(LANGUAGES)
    assert len({one.seed for one in first}) == 1 and all(one.world == first[0].world for one in first)
    assert all((a.colour, a.shape, a.motion) in HELD_OUT for scene in suite_scenes(8) for a in scene.actors)
    assert world_suite(2) == suite[: 2 * len(LANGUAGES)]
    assert [one.language for one in world_suite(2, languages=["ur"])] == ["ur", "ur"]


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 1, "languages": ["fr"]}, {"n": 1, "languages": []}])
def test_the_suite_refuses(wrong):
    with pytest.raises(UsageError, match="world_suite"):
        world_suite(**wrong)


def test_what_no_one_can_see_is_not_asked():
    scene = replace(cases()[0][0], background="plain", backdrop="red", look="monochrome")
    assert asked(scene)["actors"][0]["colour"] is None
    assert asked(scene)["backdrop"] is None
    assert asked(replace(scene, look="flat"))["backdrop"] == "red"
    assert asked(replace(scene, look="flat", backdrop="white"))["backdrop"] is None  # what no caption says


def test_asked_comes_back_from_its_file(tmp_path):
    rows = {one.name: one.row for one in world_suite(2)}
    write_asked(tmp_path / "asked.json", rows)
    assert read_asked(tmp_path / "asked.json") == rows
    name = next(iter(rows))
    back = asked_for(rows[name])
    assert back.prompt == rows[name]["prompt"]
    assert back.details["world"] == rows[name]["world"]


@pytest.mark.parametrize("text", ["[]", "{", '{"a.mp4": {"prompt": "x"}}', '{"a.mp4": {"prompt": 3, "language": ""}}'])
def test_a_damaged_file_of_what_was_asked_is_refused(tmp_path, text):
    (tmp_path / "asked.json").write_text(text)
    with pytest.raises(DataError, match=r"asked\.json"):
        read_asked(tmp_path / "asked.json")


# ---- truth, chance, faults -------------------------------------------------------------------------------------------


def test_every_idea_has_one_dimension():
    assert len(TRUTH) == len(set(IDEAS.values())) == 16
    assert all(dimension.kind == "truth" and not dimension.backbones for dimension in TRUTH.values())


def test_rendered_truth_scores_high():
    found = values([film(frames, asked(scene)) for scene, frames in cases()], [*TRUTH])
    for name, own in found.items():
        if name not in ("truth_objects", "truth_relation"):  # one actor
            assert np.mean(own) >= (0.9 if name == "truth_object" else 0.95), (name, own)
    assert all(0 <= value <= 1 for own in found.values() for value in own)


def test_other_prompts_score_low():
    scenes = [scene for scene, _ in cases()]
    wrong = [film(frames, asked(scenes[(k + 3) % N])) for k, (_, frames) in enumerate(cases())]
    found = values(wrong, OF_PROMPT)
    for name in ("truth_object", "truth_colour", "truth_action", "truth_scene", "truth_consistency"):
        assert np.mean(found[name]) <= 0.6, (name, found[name])


@pytest.mark.parametrize("name", OF_CRAFT)
def test_a_fault_is_found_by_its_dimension(name):
    few = [frames for _, frames in cases()[:3]]
    faulty = [calibrate_truth.FAULTS[name](frames, few[k - 1]) for k, frames in enumerate(few)]
    clean, spoilt = (values([film(frames) for frames in clips], [name])[name] for clips in (few, faulty))
    assert np.mean(spoilt) < np.mean(clean) - 0.3, (clean, spoilt)


def test_a_large_film_is_judged_like_a_small_one():
    scene = cases()[1][0]
    large = render([scene], VideoShape(17, 200, 240)).numpy()[0]
    assert handy(large).shape == (17, 100, 120, 3)
    found = values([film(large, asked(scene))], [*TRUTH])
    assert all(own[0] > 0.9 for own in found.values() if own), found


# ---- one by one ------------------------------------------------------------------------------------------------------


def test_colour_that_alternates_is_flicker_and_one_that_turns_is_inconsistency():
    steady = film(drawn(across))
    alternating = film(drawn(across, colour=lambda u: ((220, 30, 30), (30, 30, 220))[round(16 * u) % 2]))
    turning = film(drawn(across, colour=lambda u: (220, 30, 30) if u < 0.5 else (30, 30, 220)))
    assert score("truth_flicker", steady) > 0.98
    assert score("truth_subject", steady) > 0.98
    assert score("truth_flicker", alternating) < 0.5
    assert score("truth_subject", turning) < 0.7


def test_an_actor_that_vanishes_for_a_while_is_inconsistent():
    gone = film(drawn(lambda u: None if 0.4 < u < 0.6 else across(u)))
    assert 0.6 < score("truth_subject", gone) < 0.9


def test_actors_that_cross_are_not_blamed_for_hiding_each_other():
    upwards = (lambda u: (32, 56 - 48 * u), lambda u: (30, 30, 220))
    both = film(drawn(lambda u: (8 + 48 * u, 32), radius=5, also=(upwards,)))
    assert score("truth_subject", both) > 0.95
    assert score("truth_smoothness", both) > 0.95
    assert score("truth_flicker", both) > 0.9


def test_smoothness_allows_hops_and_no_jolts():
    hops = film(drawn(lambda u: (32, 50 - 36 * abs(np.sin(2 * np.pi * u)))))
    jolts = film(drawn(lambda u: (14 + 36 * u, 32 + 4 * (round(16 * u) % 2))))
    assert score("truth_smoothness", hops) > 0.98
    assert score("truth_smoothness", jolts) < 0.7


def test_swapped_colours_cost_binding():
    clip = drawn(lambda u: (18, 14 + 36 * u), also=((lambda u: (46, 50 - 36 * u), lambda u: (0, 0, 255)),),
                 colour=lambda u: (255, 0, 0))  # fmt: skip
    right = {"actors": [{"colour": "red", "shape": "circle", "motion": "down"},
                        {"colour": "blue", "shape": "circle", "motion": "up"}],
             "background": "plain", "camera": "still", "look": "flat"}  # fmt: skip
    swapped = {**right, "actors": [right["actors"][0] | {"colour": "blue"}, right["actors"][1] | {"colour": "red"}]}
    assert score("truth_consistency", film(clip, right)) == 1.0
    assert score("truth_colour", film(clip, right)) == 1.0
    assert score("truth_colour", film(clip, swapped)) == 0.0  # the one that goes down is asked to be blue
    assert score("truth_consistency", film(clip, swapped)) < 0.9
    assert score("truth_objects", film(clip, right)) == 1.0


def test_relation_is_asked_of_boxes():
    left, right = Box(0.1, 0.4, 0.3, 0.6), Box(0.6, 0.4, 0.8, 0.6)
    assert stands(left, right, "left") and stands(right, left, "right")
    assert not stands(left, right, "right") and not stands(left, right, "above")
    assert stands(Box(0.4, 0.1, 0.6, 0.3), left, "above") and stands(left, Box(0.1, 0.1, 0.3, 0.3), "below")
    assert not stands(left, Box(0.12, 0.4, 0.32, 0.6), "left")  # nearly in one place
    clip = drawn(lambda u: (18, 14 + 36 * u), colour=lambda u: (255, 0, 0),
                 also=((lambda u: (46, 50 - 36 * u), lambda u: (0, 0, 255)),))  # fmt: skip
    world = {"actors": [{"colour": "red", "shape": "circle", "motion": "down"},
                        {"colour": "blue", "shape": "circle", "motion": "up"}],
             "background": "plain", "camera": "still", "look": "flat", "relation": "left"}  # fmt: skip
    assert score("truth_relation", film(clip, world)) == 1.0
    assert score("truth_relation", film(clip, {**world, "relation": "right"})) == 0.0
    others = [{"colour": "green", "shape": "star", "motion": "down"}, world["actors"][1]]
    assert score("truth_relation", film(clip, {**world, "actors": others})) == 0.0


def test_dynamic_asks_for_stillness_too():
    world = {"actors": [{"colour": "red", "shape": "circle", "motion": "right"}],
             "background": "plain", "camera": "still", "look": "flat"}  # fmt: skip
    still = {**world, "actors": [world["actors"][0] | {"motion": "still"}]}
    moving, resting = drawn(across), drawn(lambda u: (32, 32))
    assert score("truth_dynamic", film(moving, world)) == score("truth_dynamic", film(resting, still)) == 1.0
    assert score("truth_dynamic", film(moving, still)) == score("truth_dynamic", film(resting, world)) == 0.5


def test_what_cannot_be_told_is_unscored():
    scene, frames = cases()[0]
    world = asked(scene)
    hueless = {**world, "actors": [world["actors"][0] | {"colour": None}]}
    for name, one in {"truth_action": film(frames), "truth_objects": film(frames, world),
                      "truth_relation": film(frames, world), "truth_colour": film(frames, hueless),
                      "truth_flicker": film(frames[:1]), "truth_smoothness": film(frames[:3]),
                      "truth_background": film(frames[:1]), "truth_cleanness": film(frames[:, :8, :8]),
                      "truth_edges": film(np.full_like(frames, 128))}.items():  # fmt: skip
        with pytest.raises(Unscored):
            TRUTH[name].measure(one, Bench())


@pytest.mark.parametrize("broken", [
    {"actors": []}, {"actors": [{"shape": "star"}]}, {"actors": "two"}, {"relation": "inside"}, {"camera": None},
])  # fmt: skip
def test_a_malformed_wish_is_an_error_and_no_score(broken):
    world = {name: value for name, value in (asked(cases()[0][0]) | broken).items() if value is not None}
    with pytest.raises(DataError, match=r"film\.mp4"):
        TRUTH["truth_object"].measure(film(cases()[0][1], world), Bench())


def test_blocks_are_seen_through_a_file(tmp_path):
    scenes = [sample_scene(40_000 + k, replace(PLAIN, looks=("pixelated",))) for k in range(3)]
    for k, frames in enumerate(render(scenes, SHAPE).numpy()):  # files hold hue at half the resolution
        through = open_film(write(Video(frames, 8.0), tmp_path / f"{k}.mp4"), film(frames, asked(scenes[k])).asked)
        assert score("truth_look", through) == 1.0


# ---- the calibration -------------------------------------------------------------------------------------------------


def test_the_shipped_calibration_is_of_these_dimensions():
    told = json.loads(calibrate_truth.OUT.read_text())
    assert told["n"] >= 200
    assert list(told["dimensions"]) == [*TRUTH]
    for name, row in told["dimensions"].items():
        assert row["idea"] == IDEAS[name]
        assert ("others" in row) == (name in OF_PROMPT) and ("spoilt" in row) == (name in OF_CRAFT)
        assert row["pixels"]["value"] > row.get("others", row.get("spoilt"))["value"]


def test_other_prompts_are_never_ones_own():
    scenes = suite_scenes(24)
    for index in range(24):
        other = calibrate_truth.others(scenes, index)
        assert scenes[index] not in other and len({one.seed for one in other}) == calibrate_truth.SHIFTS
        assert all(len(one.actors) == len(scenes[index].actors) for one in other)
