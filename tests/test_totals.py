"""Totals against rows of VBench's board, result files against its form, intervals against theory."""

from __future__ import annotations

import json
import math
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manzar.nouns import UsageError
from manzar.score import results
from manzar.score.dimension import Measured, Unscored, mean_of_parts
from manzar.score.intervals import interval
from manzar.score.totals import DIMENSIONS, I2V, I2V_QUALITY, as_leaderboard, i2v_totals, is_i2v, totals

# In the order in which the board prints them.
COLUMNS = (
    "subject consistency", "background consistency", "temporal flickering", "motion smoothness", "dynamic degree",
    "aesthetic quality", "imaging quality", "object class", "multiple objects", "human action", "color",
    "spatial relationship", "scene", "appearance style", "temporal style", "overall consistency",
)  # fmt: skip
BOARD = {  # the sixteen, then Quality, Semantic, Total; per cent
    "LaVie": "91.41 97.47 98.30 96.38 49.72 54.94 61.90 91.82 33.32 96.80 86.39 34.09 52.69 23.56 25.93 26.41 "
             "78.78 70.31 77.08",
    "ModelScope": "89.87 95.29 98.28 95.79 66.39 52.06 58.57 82.25 38.98 92.40 81.72 33.68 39.26 23.39 25.37 25.67 "
                  "78.05 66.54 75.75",
    "VideoCrafter-2.0": "96.85 98.22 98.41 97.73 42.50 63.13 67.22 92.55 40.66 95.00 92.92 35.86 55.29 25.13 25.84 "
                        "28.23 82.20 73.42 80.44",
    "CogVideoX-5B": "96.23 96.52 98.66 96.92 70.97 61.98 62.90 85.23 62.11 99.40 82.81 66.35 53.20 24.91 25.38 27.59 "
                    "82.75 77.04 81.61",
    "Gen-2": "97.61 97.61 99.56 99.58 18.89 66.96 67.42 90.92 55.47 89.20 89.49 66.91 48.91 19.34 24.12 26.17 "
             "82.47 73.03 80.58",
    "HunyuanVideo": "97.37 97.76 99.44 98.99 70.83 60.36 67.56 86.10 68.55 94.40 91.60 68.68 53.88 19.80 23.89 26.44 "
                    "85.09 75.82 83.24",
}  # fmt: skip
POINTS = 0.015  # the board rounds the sixteen and the totals alike to two decimals


def row(model: str) -> tuple[dict[str, float], list[float]]:
    numbers = [float(number) for number in BOARD[model].split()]
    return {name: number / 100 for name, number in zip(COLUMNS, numbers[:16], strict=True)}, numbers[16:]


# Totals

@pytest.mark.parametrize("model", BOARD)
def test_rows_of_the_board(model: str) -> None:
    raw, printed = row(model)
    found = totals(raw)
    assert found.quality is not None and found.semantic is not None and found.total is not None
    assert [100 * found.quality, 100 * found.semantic, 100 * found.total] == pytest.approx(printed, abs=POINTS)
    assert (found.missing, found.warnings) == ([], [])
    assert as_leaderboard(raw) == found


def test_the_lowest_and_the_highest_of_each_scale_are_0_and_1() -> None:
    low = dict.fromkeys(DIMENSIONS, 0.0) | {
        "subject_consistency": 0.1462, "background_consistency": 0.2615, "temporal_flickering": 0.6293,
        "motion_smoothness": 0.706, "appearance_style": 0.0009,
    }  # fmt: skip
    high = dict.fromkeys(DIMENSIONS, 1.0) | {
        "motion_smoothness": 0.9975, "scene": 0.8222, "appearance_style": 0.2855, "temporal_style": 0.364,
        "overall_consistency": 0.364,
    }  # fmt: skip
    assert totals(low).total == 0
    assert set(totals(high).normalised.values()) == {1.0}
    assert totals(high).total == 1
    assert totals(low).warnings == totals(high).warnings == []
    # dynamic degree weighs half of another dimension of its group
    assert totals(low | {"dynamic_degree": 1.0}).quality == pytest.approx(0.5 / 6.5)
    assert totals(low | {"dynamic_degree": 1.0}).total == pytest.approx(0.8 * 0.5 / 6.5)
    assert totals(low | {"color": 1.0}).total == pytest.approx(0.2 / 9)


def test_a_missing_dimension_is_missing_and_no_zero() -> None:
    raw, _ = row("LaVie")
    del raw["scene"]
    found = totals({**raw, "color": None})
    assert (found.semantic, found.total) == (None, None)
    assert found.quality == totals(row("LaVie")[0]).quality
    assert found.missing == ["color", "scene"]
    assert "scene" not in found.normalised
    assert totals({}).missing == list(DIMENSIONS)


def test_the_boards_own_rule_for_the_missing_has_its_own_name() -> None:
    raw, _ = row("LaVie")
    del raw["subject consistency"]
    found = as_leaderboard(raw)
    zero = totals(raw | {"subject consistency": 0.0})
    assert (found.quality, found.semantic, found.total) == (zero.quality, zero.semantic, zero.total)
    assert zero.normalised["subject_consistency"] == pytest.approx(-0.1462 / 0.8538)
    assert found.missing == ["subject_consistency"]
    assert "subject_consistency" not in found.normalised
    assert len(found.warnings) == 1 and "counted as a raw 0" in found.warnings[0]


def test_values_out_of_bounds_are_used_and_warned_of() -> None:
    raw, _ = row("LaVie")
    found = totals(raw | {"scene": 0.9, "subject consistency": 0.1})
    assert found.normalised["scene"] == pytest.approx(0.9 / 0.8222)
    assert found.normalised["subject_consistency"] < 0
    assert [warning.split()[0] for warning in found.warnings] == ["subject_consistency", "scene"]
    assert found.total is not None
    assert "divided by 100" in totals(raw | {"color": 86.39}).warnings[0]


@pytest.mark.parametrize(("raw", "said"), [
    ({"colour": 0.5}, '"color"'),
    ({"subject": 0.5}, '"subject_consistency"'),
    ({"color": math.nan}, "nan"),
    ({"color": math.inf}, "inf"),
    ({"color": "0.5"}, "'0.5'"),
    ({"color": True}, "True"),
    ({"human action": 0.5, "Human_Action": 0.6}, "the same dimension"),
    ({"camera_motion": 0.5}, "camera_motion"),
])  # fmt: skip
def test_what_is_no_raw_value_is_refused(raw: dict[str, float], said: str) -> None:
    for door in (totals, as_leaderboard):
        with pytest.raises(UsageError, match=said):
            door(raw)


def test_names_may_be_written_as_the_board_does() -> None:
    raw, _ = row("Gen-2")
    assert totals({name.title(): value for name, value in raw.items()}) == totals(raw)
    assert totals({name.replace(" ", "_"): value for name, value in raw.items()}) == totals(raw)
    halves: Any = dict.fromkeys(DIMENSIONS, np.float32(0.5))
    assert totals(halves) == totals(dict.fromkeys(DIMENSIONS, 0.5))


def test_image_to_video_totals() -> None:
    names = [*I2V, *I2V_QUALITY]
    high = dict.fromkeys(names, 1.0) | {"motion_smoothness": 0.9975}
    low = dict.fromkeys(names, 0.0) | {
        "i2v_subject": 0.1462, "i2v_background": 0.2615, "subject_consistency": 0.1462,
        "background_consistency": 0.2615, "motion_smoothness": 0.706,
    }  # fmt: skip
    assert i2v_totals(high).total == 1
    assert i2v_totals(low).total == 0
    assert i2v_totals(low | {"camera_motion": 1.0}).total == pytest.approx(0.1 / 2.1 / 2)
    assert i2v_totals(low | {"dynamic_degree": 1.0}).total == pytest.approx(0.5 / 5.5 / 2)
    titles = {"Video-Text Camera Motion": 0.4, "Video-Image Subject Consistency": 0.9, "Dynamic Degree": 0.2}
    found = i2v_totals(titles)
    assert set(found.normalised) == {"camera_motion", "i2v_subject", "dynamic_degree"}
    assert (found.i2v, found.total, len(found.missing)) == (None, None, 6)
    assert is_i2v(titles) and is_i2v(["i2v_background"]) and not is_i2v(DIMENSIONS)
    with pytest.raises(UsageError):
        i2v_totals({"temporal_flickering": 0.9})


# Result files

def measured() -> dict[str, results.Result]:
    films = [(Path("out/a-0.mp4"), Measured(True, (1.0,))), (Path("out/a-1.mp4"), Measured(False, (0.0,)))]
    sharp = [(Path("out/a-0.mp4"), Measured(61.5, (0.615,), {"frames": 16}))]
    return {"dynamic_degree": results.Result.of(0.5, films), "imaging_quality": results.Result.of(0.615, sharp)}


def test_the_form_of_vbenchs_files(tmp_path: Path) -> None:
    path = results.write(tmp_path / "new" / "mine_eval_results.json", measured())
    assert json.loads(path.read_text()) == {
        "dynamic_degree": [0.5, [{"video_path": "out/a-0.mp4", "video_results": True},
                                 {"video_path": "out/a-1.mp4", "video_results": False}]],
        "imaging_quality": [0.615, [{"video_path": "out/a-0.mp4", "video_results": 61.5, "frames": 16}]],
    }  # fmt: skip
    assert results.read(path) == measured()


def test_what_has_no_value_is_left_out(tmp_path: Path) -> None:
    path = results.write(tmp_path / "r.json", measured() | {"color": results.Result(None)})
    assert "color" not in json.loads(path.read_text())


def test_plain_values_and_reports(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_text('{"color": 0.5}')
    assert results.raw_values(results.read(tmp_path / "raw.json")) == {"color": 0.5}
    (tmp_path / "raw.json").write_text('{"human action": 1, "scene": null}')
    assert results.raw_values(results.read(tmp_path / "raw.json")) == {"human_action": 1.0, "scene": None}
    report = {"dimensions": {"color": {"value": 0.5, "kind": "official"}, "scene": {"value": 0.9, "kind": "stand-in"},
                             "human_action": {"value": None, "kind": "unscored"}}, "total": None}
    (tmp_path / "scores.json").write_text(json.dumps(report))
    assert results.raw_values(results.read(tmp_path / "scores.json")) == {"color": 0.5}


def test_a_folder_or_an_archive_of_results(tmp_path: Path) -> None:
    both = measured()
    for name in both:
        results.write(tmp_path / "run" / f"{name}_eval_results.json", {name: both[name]})
    (tmp_path / "run" / "dynamic_degree_full_info.json").write_text("[]")
    assert results.read(tmp_path / "run") == both
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for path in (tmp_path / "run").iterdir():
            archive.write(path, f"run/{path.name}")
        archive.writestr("__MACOSX/run/._a_eval_results.json", "no JSON")
    assert results.read(tmp_path / "run.zip") == both
    results.write(tmp_path / "run" / "again_eval_results.json", {"imaging_quality": both["imaging_quality"]})
    with pytest.raises(UsageError, match="imaging_quality stands in"):
        results.read(tmp_path / "run")


def test_a_film_that_vbench_wrote_as_nan_has_no_value(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"temporal_flickering": [0.9, [{"video_path": "a", "video_results": NaN}]]}')
    assert results.read(path)["temporal_flickering"].films[0].value is None


@pytest.mark.parametrize(("text", "said"), [
    ("{", "not JSON"),
    ("[1]", "holds a list"),
    ("{}", "holds no results"),
    ('{"color": NaN}', "color is nan"),
    ('{"color": [NaN, []]}', "color is nan"),
    ('{"color": "high"}', "'high'"),
    ('{"color": []}', "aggregate"),
    ('{"color": [0.5, 0.6]}', "aggregate"),
    ('{"color": [0.5, [{"video": "a"}]]}', "video_path"),
    ('{"human action": 0.5, "human_action": 0.5}', "twice"),
])  # fmt: skip
def test_files_that_are_no_results_say_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        results.read(tmp_path / "r.json")


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "r.zip").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"no \.zip"):
        results.read(tmp_path / "r.zip")


# Intervals

def prompts(count: int, films: int = 1, seed: int = 0) -> list[list[Measured]]:
    random_ = random.Random(seed)
    middles = [random_.gauss(0.5, 0.1) for _ in range(count)]
    return [[Measured.of(middle) for _ in range(films)] for middle in middles]


def test_an_interval_is_that_of_theory() -> None:
    some = prompts(400)
    values = np.array([films[0].value for films in some])
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval(some) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_films_of_one_prompt_are_no_further_evidence() -> None:
    assert interval(prompts(50, films=5)) == pytest.approx(interval(prompts(50)))
    single = [[film] for films in prompts(50, films=5) for film in films]
    low, high = interval(prompts(50, films=5)) or (0, 0)
    narrow_low, narrow_high = interval(single) or (0, 0)
    assert high - low > 1.8 * (narrow_high - narrow_low)


def test_longer_films_weigh_as_they_do_in_the_mean() -> None:
    some = [[Measured(0.2, (0.2,) * 30)], [Measured(0.8, (0.8,))], [Measured(0.5, (0.5, 0.5))]]
    found = interval(some)
    assert found == pytest.approx((0.2, 0.8))
    assert found == pytest.approx(interval(some, pool=lambda films: mean_of_parts(films)))


def test_an_interval_is_the_same_again_and_another_with_another_seed() -> None:
    assert interval(prompts(20)) == interval(prompts(20))
    assert interval(prompts(20)) != interval(prompts(20), seed=1)


def test_fewer_than_two_prompts_have_no_interval() -> None:
    assert interval([]) is None
    assert interval(prompts(1, films=5)) is None
    assert interval([[Measured.of(0.5)], [], [Measured(0.0, ())]]) is None


def test_draws_without_a_value_are_left_out() -> None:
    some = [[Measured.of(0.4)], [Measured.of(0.4)], [Measured(0.0, ())]]
    assert interval(some) == pytest.approx((0.4, 0.4))

    def pool(films: object) -> float:
        raise Unscored("never")

    assert interval(some, pool=pool, draws=5) is None
