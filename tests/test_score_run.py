"""Films in, a report out: what is scored, what is not and why, and that nothing is measured twice or lost."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import tiny_parts

from manzar import cli
from manzar.generate import save_parts
from manzar.generate.batch import Row, generate_batch
from manzar.media import read, write
from manzar.nouns import Request, UsageError, Video
from manzar.score import sightings
from manzar.score.cache import Cache, key_of
from manzar.score.catalogue import chosen, every
from manzar.score.film import Asked, file_digest, open_film
from manzar.score.plan import list_films, plan
from manzar.score.prompting import read_prompts
from manzar.score.receipt import take_stock, terms
from manzar.score.rows import Report
from manzar.score.run import score_videos
from manzar.score.sampling import middle
from manzar.score.totals import DIMENSIONS


def film(path: Path, seed: int = 0, frames: int = 6, size: tuple[int, int] = (48, 64)) -> Path:
    """A small film of drifting colours; a higher seed flickers more."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    pictures = [np.stack([128 + 100 * np.sin((x + 2 * t) / 9), 128 + 100 * np.cos(y / 7), 0 * x], -1)
                + random.normal(0, 4 * seed, (*size, 3)) for t in range(frames)]
    return write(Video(np.stack(pictures).clip(0, 255).astype(np.uint8), 8.0), path)


def flicker(path: Path) -> float:
    """Temporal flickering as its paper has it, in the plainest way."""
    frames = open_film(path).frames.astype(np.float64)
    return float(np.mean([(255 - np.abs(a - b).mean()) / 255 for a, b in pairwise(frames)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four good films, and the kinds of bad ones that people have."""
    out = tmp_path_factory.mktemp("films")
    for k in range(4):
        film(out / f"a boat at sea {k % 2}-{k // 2}.mp4", k)
    film(out / "two frames.mp4", 1, frames=2)
    film(out / "one frame.mp4", 1, frames=1)
    film(out / "odd size.gif", 1, size=(35, 51))
    whole = film(out / "cut off.mp4", 2, frames=40).read_bytes()
    (out / "cut off.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (out / "page.mp4").write_text("<html>not found</html>")
    (out / "empty.mp4").touch()
    return out


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    out = tmp_path_factory.mktemp("report") / "report"
    return score_videos([folder], out, workers=2), out


BAD = {"one frame.mp4", "cut off.mp4", "page.mp4", "empty.mp4"}


def test_without_weights_flickering_is_official_and_the_rest_is_unscored(report: tuple[Report, Path],
                                                                         folder: Path) -> None:  # fmt: skip
    told = json.loads((report[1] / "scores.json").read_text(encoding="utf-8"))
    assert {"dimensions", "quality", "semantic", "total", "receipt"} <= told.keys()
    assert {name for name in told["dimensions"] if name in DIMENSIONS} == set(DIMENSIONS)
    for name, score in told["dimensions"].items():
        assert score.keys() == {"value", "kind", "n", "interval"}, name
        assert (score["kind"] == "unscored") == (score["value"] is None), name
    one = told["dimensions"]["temporal_flickering"]
    good = [path for path in folder.iterdir() if path.name not in BAD]
    assert (one["kind"], one["n"]) == ("official", len(good))
    assert one["value"] == pytest.approx(np.mean([flicker(path) for path in good]), abs=1e-12)
    assert one["interval"][0] < one["value"] < one["interval"][1]
    assert told["dimensions"]["sharpness"]["kind"] == "beside"
    assert (told["quality"], told["semantic"], told["total"]) == (None, None, None)
    reason = told["unscored"]["subject_consistency"]["reason"]
    assert "dino_vitb16" in reason and "Apache-2.0" in reason and "--weights" in reason
    assert "VBench scores it on films of its own prompts only" in told["unscored"]["color"]["reason"]


def test_bad_films_are_named_with_their_reasons(report: tuple[Report, Path]) -> None:
    row = report[0].rows["temporal_flickering"]
    reasons = {path.name: reason for path, reason in row.unscored}
    assert reasons.keys() == BAD and all(reasons.values())
    assert "one frame" in reasons["one frame.mp4"]
    # where the cut falls within a picture depends on the encoder's mood: either says the same
    assert "cut short" in reasons["cut off.mp4"] or "cannot be decoded beyond frame" in reasons["cut off.mp4"]
    assert any("temporal_flickering 6 of 10" in note for note in report[0].notes)
    assert any("3 of 10 films" in note and "cannot be scored at all" in note for note in report[0].notes)
    films = report[0].receipt["films"]
    assert (films["given"], films["decoded"]) == (10, 7)
    assert films["sizes"] == {"64x48": 6, "51x35": 1}


def test_no_value_is_ever_not_a_number(report: tuple[Report, Path]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        assert not isinstance(value, float) or math.isfinite(value)

    for name in ("scores.json", "vbench_eval_results.json"):
        walk(json.loads((report[1] / name).read_text(encoding="utf-8")))


def test_vbench_s_own_result_file_holds_official_values_only(report: tuple[Report, Path]) -> None:
    told = json.loads((report[1] / "vbench_eval_results.json").read_text(encoding="utf-8"))
    assert list(told) == ["temporal_flickering"]
    aggregate, films = told["temporal_flickering"]
    assert len(films) == 6 and aggregate == report[0].rows["temporal_flickering"].value


def test_nothing_is_measured_twice_and_a_changed_film_is_again(report: tuple[Report, Path], folder: Path,
                                                               tmp_path: Path) -> None:  # fmt: skip
    films = Path(shutil.copytree(folder, tmp_path / "films"))
    again = score_videos([films], report[1], workers=1)
    assert again.receipt["seconds_by_dimension"] == {}
    assert again.rows["temporal_flickering"].value == report[0].rows["temporal_flickering"].value
    film(films / "a boat at sea 0-0.mp4", 9)
    changed = score_videos([films], report[1], workers=1)
    assert [one.path.name for one in changed.films if one.seconds] == ["a boat at sea 0-0.mp4"]
    assert changed.rows["temporal_flickering"].value != again.rows["temporal_flickering"].value


def test_a_run_that_is_killed_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    words = [sys.executable, "-m", "manzar", "score", str(folder), "--out", str(out), "--workers", "1"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    while process.poll() is None and len(list((out / "cache").glob("*.jsonl"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its worker is at the end of a broken pipe
    before = {path.name: path.read_bytes() for path in (out / "cache").glob("*.jsonl")}
    assert before
    finished = score_videos([folder], out, workers=1)
    assert finished.rows["temporal_flickering"].n == 6
    for path in (out / "cache").glob("*.jsonl"):
        assert path.read_bytes().startswith(before.get(path.name, b""))
        keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
        assert len(keys) == len(set(keys)), path


# --- the parts ------------------------------------------------------------------------------------------------------


def test_a_torn_line_of_the_cache_is_passed_over(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "abc")
    cache.put("one", {"value": 1})
    with open(cache.file, "a", encoding="utf-8") as file:
        file.write('{"key": "two", "val')
    again = Cache(tmp_path, "abc")
    assert (again.get("one"), again.get("two")) == ({"value": 1}, None)
    again.put("three", 3)
    assert Cache(tmp_path, "abc").get("three") == 3


def test_a_key_changes_with_whatever_the_value_depends_on() -> None:
    dimension = every()["subject_consistency"]
    keys = {
        key_of(dimension, Asked("a"), {"dino_vitb16": "1"}),
        key_of(dimension, Asked("b"), {"dino_vitb16": "1"}),
        key_of(dimension, Asked("a", 1), {"dino_vitb16": "1"}),
        key_of(dimension, Asked("a", 0, {"color": "red"}), {"dino_vitb16": "1"}),
        key_of(dimension, Asked("a"), {"dino_vitb16": "2"}),
        key_of(dimension, Asked("a"), {"dino_vitb16": "1"}, ["seen"]),
        key_of(every()["temporal_flickering"], Asked("a"), {}),
    }
    assert len(keys) == 7
    assert key_of(dimension, Asked("a"), {"dino_vitb16": "1", "other": "9"}) in keys


def test_a_subset_of_the_suite_is_said_aloud(tmp_path: Path) -> None:
    for name in ("a person swimming in ocean-0", "a person swimming in ocean-1", "something else"):
        (tmp_path / f"{name}.mp4").write_bytes(b"never opened")
    planned = plan([tmp_path], "subject_consistency")
    assert planned.suite == "vbench" and planned.prompt_set == "VBench, 1 of 72 prompts"
    assert len(planned.missing) == 5 * 72 - 2
    assert {path.name for path in planned.idle} == {"something else.mp4"}
    assert {asked["subject_consistency"].sample for asked in planned.asked.values()} == {0, 1}
    custom = plan([tmp_path], "subject_consistency,color", "custom")
    assert len(custom.asked) == 3 and set(custom.out_of_reach) == {"color"}
    prompts = {asked["subject_consistency"].prompt for asked in custom.asked.values()}
    assert prompts == {"a person swimming in ocean", "something else"}


def test_names_of_dimensions() -> None:
    assert chosen("Temporal Flickering, color") == ["temporal_flickering", "color"]
    assert set(chosen("official")) == set(DIMENSIONS)
    assert {"diversity_thumbnail", "sharpness"} <= set(chosen("beside"))
    with pytest.raises(UsageError, match="temporal_flickering"):
        chosen("temporal_flikering")


def test_films_are_looked_for_in_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "in/b.webm", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert [path.name for path in list_films([tmp_path])] == ["a.mp4", "b.webm"]
    with pytest.raises(UsageError, match="no film"):
        list_films([Path(shutil.copytree(tmp_path / "in", tmp_path / "none", ignore=lambda *_: ["b.webm"]))])


def test_a_wrong_checkpoint_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "ViT-B-32.pt").write_bytes(b"another network")
    (tmp_path / "amt-s.pth").write_bytes(b"not looked into here")
    here, lacking = take_stock(["clip_vitb32", "amt_s", "dino_vitb16"], [tmp_path])
    assert "sha256" in lacking["clip_vitb32"] and "expected 40d3657" in lacking["clip_vitb32"]
    assert "is not here" in lacking["dino_vitb16"]
    assert list(here) == ["amt_s"] and not here["amt_s"].published
    assert "CC BY-NC 4.0, not for commercial use" in terms(here)[0]


def test_sightings_make_official_values_and_those_of_others_stand_ins(tmp_path: Path) -> None:
    path = film(tmp_path / "films" / "a red bicycle-0.mp4")
    frames = tuple(middle(6, 16))
    for maker, text in (("GRiT", "a red bicycle"), ("Other Eyes", "a blue bicycle")):
        dense = tuple((sightings.DenseCaption("bicycle", text),) for _ in frames)
        sightings.append(path.parent / sightings.NAME, sightings.Sightings(
            path.name, file_digest(path), sightings.Maker(maker, "0" * 64), frames, dense=dense))
    told = score_videos([path.parent], tmp_path / "report", dimensions="color", workers=1).to_json()
    assert told["dimensions"]["color"] | {"interval": None} == {
        "value": 1.0, "kind": "official", "n": 1, "interval": None}
    other = told["dimensions"]["color (stand-in: Other Eyes)"]
    assert (other["value"], other["kind"]) == (0.0, "stand-in")
    assert told["normalised"] == {"color": 1.0}
    assert any("1 of 85 prompts" in note for note in told["notes"])


# --- the command line -----------------------------------------------------------------------------------------------


def called(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["manzar", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_answers_and_refuses(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                         report: tuple[Report, Path], folder: Path, tmp_path: Path) -> None:
    code, out, err = called(capfd, monkeypatch, "score", folder, "--out", report[1], "--workers", 1, "--json")
    assert code == 0 and json.loads(out)["dimensions"]["temporal_flickering"]["n"] == 6
    assert "cannot be scored at all" in err
    for words, said in (
        (("score",), "--results"),
        (("score", tmp_path / "none"), "no such file"),
        (("score", folder, "--dimensions", "colour"), "color"),
        (("score", folder, "--out", report[1], "--compare", folder), "scores.json"),
    ):
        code, out, err = called(capfd, monkeypatch, *words)
        assert (code, out) == (2, "") and said in err.splitlines()[-1], err


def test_totals_of_values_that_were_measured_before(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                                    tmp_path: Path) -> None:  # fmt: skip
    raw = {name.replace("_", " "): 0.5 for name in DIMENSIONS}
    (tmp_path / "raw.json").write_text(json.dumps(raw))
    code, out, _ = called(capfd, monkeypatch, "score", "--results", tmp_path / "raw.json", "--json")
    told = json.loads(out)
    assert code == 0 and told["total"] == pytest.approx((4 * told["quality"] + told["semantic"]) / 5)
    del raw["color"]
    (tmp_path / "raw.json").write_text(json.dumps(raw))
    told = json.loads(called(capfd, monkeypatch, "score", "--results", tmp_path / "raw.json", "--json")[1])
    assert told["semantic"] is None and told["total"] is None and told["quality"] is not None
    assert told["lacking"] == ["color"] and told["as_leaderboard"]["total"] > 0
    code, out, _ = called(capfd, monkeypatch, "score", "--results", tmp_path / "raw.json")
    assert "missing: color" in out


# --- filling a folder -----------------------------------------------------------------------------------------------


def test_a_suite_of_prompts_is_filled_and_refilled(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                                   tmp_path: Path) -> None:  # fmt: skip
    model, films = tmp_path / "model", tmp_path / "films"
    save_parts(tiny_parts(), model)
    (tmp_path / "prompts.txt").write_text("a red circle\n\nسرخ دائرہ\nleft/right\na red circle\n", encoding="utf-8")
    words = ("generate", "--prompts", tmp_path / "prompts.txt", "--samples", 2, "--model", model, "-o", films,
             "--steps", 1, "--json")  # fmt: skip
    code, out, err = called(capfd, monkeypatch, *words)
    assert code == 0, err
    assert (json.loads(out)["made"], json.loads(out)["failed"]) == (6, [])
    names = {path.name for path in films.glob("*.mp4")}
    assert names == {f"{name}-{k}.mp4" for name in ("a red circle", "سرخ دائرہ", "prompt 00003") for k in (0, 1)}
    asked = json.loads((films / "asked.json").read_text(encoding="utf-8"))
    assert asked["prompt 00003-1.mp4"]["prompt"] == "left/right"
    lost = read(films / "a red circle-1.mp4").frames.astype(int)
    (films / "a red circle-1.mp4").unlink()
    (films / "a red circle-0.mp4").write_bytes(b"broken")
    told = json.loads(called(capfd, monkeypatch, *words)[1])
    assert (told["made"], told["kept"]) == (2, 4)
    again, other = (read(films / f"a red circle-{k}.mp4").frames.astype(int) for k in (1, 0))
    assert np.abs(again - lost).mean() < 0.05 * np.abs(other - lost).mean()  # the same film, but for roundings
    code, _, err = called(capfd, monkeypatch, *words, "--guidance", 7, "--seed", 1)
    assert code == 0  # all films are there: nothing is to be made otherwise
    (films / "a red circle-1.mp4").unlink()
    code, _, err = called(capfd, monkeypatch, *words, "--guidance", 7)
    assert code == 2 and "guidance" in err
    planned = plan([films], "temporal_flickering")
    assert {one["temporal_flickering"].prompt for one in planned.asked.values()} == {
        "a red circle", "سرخ دائرہ", "left/right"}


def test_suites_that_cannot_be_filled(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                      tmp_path: Path) -> None:  # fmt: skip
    for words, said in (
        (("generate", "-o", tmp_path / "x.mp4"), "needs a prompt"),
        (("generate", "a", "--prompts", "vbench", "-o", tmp_path / "x"), "one of the two"),
        (("generate", "--prompts", "vbench", "--dimensions", "colour", "-o", tmp_path / "x"), "color"),
        (("generate", "--prompts", "vbench", "--count", 2, "-o", tmp_path / "x"), "--samples"),
        (("generate", "--prompts", tmp_path / "none.txt", "-o", tmp_path / "x"), "none.txt"),
        (("generate", "--prompts", "world", "--samples", 3, "-o", tmp_path / "x"), "world:N"),
    ):
        code, _, err = called(capfd, monkeypatch, *words)
        assert code == 2 and said in err.splitlines()[-1], err
    assert not (tmp_path / "x").exists()
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(UsageError, match="no prompt"):
        read_prompts(tmp_path / "empty.txt", 1)
    with pytest.raises(UsageError, match="name each once"):
        generate_batch([Row("a", "x", 0), Row("a", "y", 0)], tmp_path / "x", Request(""))
    with pytest.raises(UsageError, match="cannot be the name"):
        generate_batch([Row("a/b", "x", 0)], tmp_path / "x", Request(""))
