"""The script that measures a model with box control: what it asks for, what it tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_model import tiny_parts

from manzar.boxes import latent_plan
from manzar.boxes.geometry import iou
from manzar.boxes.measures import Sighting
from manzar.generate import Boxes, Generator
from manzar.generate.boxes import new_control
from manzar.nouns import Box, UsageError
from manzar.world import held_out, truth

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import measure_boxes
from measure_boxes import BOXED, PLAIN, TRUTH_SHAPE, HardOnly


def test_scenes_are_held_out_and_have_one_to_three_actors_in_turn():
    scenes = measure_boxes.drawn(6, 300_000)
    assert [len(scene.actors) for scene in scenes] == [1, 2, 3, 1, 2, 3]
    assert all(held_out(actor) for scene in scenes for actor in scene.actors)
    assert measure_boxes.drawn(3, 300_000) == scenes[:3]


@pytest.mark.parametrize("hard", [2, 5])
def test_boxes_are_exact_at_the_ends_and_regions_between(hard):
    scene = measure_boxes.drawn(2, 300_000)[1]
    plans = measure_boxes.script_of(scene, "en", hard).resolve(TRUTH_SHAPE.frames, 8.0, 8)
    for plan, track in zip(plans, truth(scene, TRUTH_SHAPE), strict=True):
        assert [frame for frame, sharp in enumerate(plan.hard) if sharp] == [*range(0, 17, 16 // (hard - 1))]
        assert plan.boxes[0] == track.boxes[0] and plan.boxes[16] == track.boxes[16]
        for region, box in zip(plan.boxes, track.boxes, strict=True):
            assert region.x0 <= box.x0 + 0.02 and region.x1 >= box.x1 - 0.02
        chosen, sharp = latent_plan(plan, 4)
        assert sharp == ((True, False, False, False, True) if hard == 2 else (True,) * 5)
        assert iou(chosen[4], track.boxes[15]) > 0.7  # the outline in the middle of the last latent frame
    exact = [plan.exact for plan in measure_boxes.wanted_of(measure_boxes.case_of(1, scene, "en", 0), hard)]
    assert exact == [track.boxes for track in truth(scene, TRUTH_SHAPE)]


def test_without_soft_boxes_latent_frames_between_have_none():
    scene = measure_boxes.drawn(1, 300_000)[0]
    script = measure_boxes.script_of(scene, "en", 2)
    plans = tuple(script.resolve(17, 8.0, 8))
    boxes = HardOnly(script, plans, 8).whole(5, 0, 0, 4)
    assert boxes[:, 0, 8].tolist() == [1, 0, 0, 0, 1]
    assert Boxes(script, plans, 8).whole(5, 0, 0, 4)[:, 0, 8].tolist() == [1] * 5


def test_requests_differ_in_boxes_alone():
    torch.manual_seed(0)
    parts = tiny_parts()
    parts.control = new_control(parts.dit, 8, 32)
    given = measure_boxes.arguments(["--model", "m", "--out", "o", "--first-frame", "--steps", "2"])
    case = measure_boxes.case_of(0, measure_boxes.drawn(1, 300_000)[0], "en", 300_000)
    script = measure_boxes.script_of(case.scene, case.language, 2)
    plain, boxed = (measure_boxes.request_of(Generator(parts), case, kind, script, given) for kind in (PLAIN, BOXED))
    assert (plain.prompt, plain.seed, plain.steps) == (case.prompt, 300_000, 2)
    assert (boxed.prompt, boxed.seed, boxed.steps) == (case.prompt, 300_000, 2)
    assert [type(each).__name__ for each in plain.conditions] == ["FirstFrame"]
    assert [type(each).__name__ for each in boxed.conditions] == ["FirstFrame", "Boxes"]


def test_tables_say_what_boxes_gain():
    here, off = (Box(0.1, 0.1, 0.5, 0.5),) * 3, (Box(0.2, 0.1, 0.6, 0.5),) * 3
    films = {PLAIN: [[Sighting(here, off, 1.0)]] * 4, BOXED: [[Sighting(here, here, 1.0)]] * 4}
    table = measure_boxes.table_of(films, first_frame=False, draws=20)
    assert table["1"][BOXED]["mAP"] == [1.0, 1.0, 1.0]
    assert table["1"][PLAIN]["mAP"][0] == pytest.approx(0.3)  # an overlap of 0.6: of ten thresholds three
    assert table["all"]["gain"]["mAP"][0] == pytest.approx(1 / 0.3, abs=1e-3)
    text = "\n".join(measure_boxes.lines({"anything": table}, {"colour": {PLAIN: [0.5, None, None]}}))
    assert "gain" in text and "3.333" in text and "0.500 [-, -]" in text


@pytest.mark.parametrize(("given", "problem"), [
    (["--model", "m"], "--out is missing"), (["--truth", "--hard", "1"], "2 to 17"),
    (["--model", "m", "--out", "o", "--vae", "v"], "--vae"), (["--truth", "--scenes", "0"], "at least 1"),
])  # fmt: skip
def test_arguments_that_make_no_sense(given, problem):
    with pytest.raises(UsageError, match=problem):
        measure_boxes.arguments(given)


def test_a_folder_of_other_films_is_not_mixed_with(tmp_path):
    measure_boxes.Films(tmp_path, {"hard": 2})
    with pytest.raises(UsageError, match="holds films made with hard = 2, not 3"):
        measure_boxes.Films(tmp_path, {"hard": 3})
