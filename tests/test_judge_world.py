"""The script that measures a model on the world: shares, pairs of languages, resuming, chance."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from manzar.nouns import UsageError
from manzar.score.tally import Share, Tally, paired_gap, spread, wilson

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import judge_world
import world_clips


def share(*answers: tuple[int, bool]) -> Share:
    made = Share()
    for scene, hit in answers:
        made.add(scene, hit)
    return made


def test_wilson_interval_as_published():
    low, high = wilson(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)


def test_answers_that_always_agree_count_once():
    rng = np.random.default_rng(0)
    hits = rng.random(200) < 0.7
    repeated = share(*((scene, bool(hit)) for scene, hit in enumerate(hits) for _ in range(5)))
    assert repeated.n == 1000
    assert abs(repeated.worth - 200) < 3
    independent = share(*((scene, bool(hit)) for scene in range(200) for hit in rng.random(5) < 0.7))
    assert independent.worth > 700
    assert share((0, True), (0, True), (1, True)).worth == 2


def test_languages_compare_pairwise():
    better = share((0, True), (1, True), (2, False), (3, True))
    worse = share((0, True), (1, False), (2, False), (3, True))
    gap, half = paired_gap(better, worse)
    assert gap == pytest.approx(0.25)
    assert half == pytest.approx(1.96 * 0.5 / 2, abs=0.001)
    between = spread({"en": better, "ur": worse})
    assert between is not None
    assert (between["best"], between["worst"], between["points"]) == ("en", "ur", 25.0)
    assert spread({"en": better}) is None


def test_tally_keeps_groups_apart():
    tally = Tally()
    tally.add(["all", "plain"], "colour", 0, True)
    tally.add(["all"], "colour", 1, False)
    everything, plain = tally.share("all", "colour"), tally.share("plain", "colour")
    assert everything is not None and plain is not None
    assert (everything.value, plain.value) == (0.5, 1.0)
    assert tally.share("plain", "shape") is None


def test_the_same_scene_noise_and_phrasing_in_every_language():
    asked = world_clips.scenes(8, 100, "only")
    todo = world_clips.cases(asked, 100, ["en", "ur"])
    assert [len(scene.actors) for scene in asked] == [1, 2] * 4
    for english, urdu in zip(todo[::2], todo[1::2], strict=True):
        assert (english.index, english.seed, english.scene) == (urdu.index, urdu.seed, urdu.scene)
        assert english.prompt != urdu.prompt


def run(tmp_path: Path, *more: str) -> dict[str, object]:
    out = tmp_path / "figures.json"
    assert judge_world.main(["--truth", "--batch", "4", "--json", str(out), *more]) == 0
    figures: dict[str, object] = json.loads(out.read_text())
    return figures


def test_truth_is_right_resumes_and_shuffled_prompts_are_wrong(tmp_path, monkeypatch, capsys):
    kept = ["--out", str(tmp_path / "kept")]
    run(tmp_path, "--n", "6", *kept)
    judged = []
    monkeypatch.setattr(judge_world, "judge", lambda frames, real=judge_world.judge: judged.append(1) or real(frames))
    sheet = tmp_path / "sheet.png"
    figures = run(tmp_path, "--n", "10", "--sheet", str(sheet), *kept)
    assert len(judged) == 4
    assert figures == run(tmp_path, "--n", "10", *kept)
    colour = figures["groups"]["all"]["colour"]
    assert colour["all"]["value"] >= 0.8
    assert colour["chance"]["value"] <= 0.4
    assert figures["groups"]["two actors"]["actors"]["all"]["n"] == 5
    assert sheet.stat().st_size > 5_000
    assert "best - worst" in capsys.readouterr().out
    with pytest.raises(UsageError, match="held_out"):
        run(tmp_path, "--n", "4", "--seen", *kept)


def test_a_verdict_cut_off_by_a_kill_is_made_again(tmp_path):
    run(tmp_path, "--n", "3", "--out", str(tmp_path / "kept"))
    lines = tmp_path / "kept" / "verdicts.jsonl"
    whole = lines.read_text()
    lines.write_text(whole[:-40])
    run(tmp_path, "--n", "3", "--out", str(tmp_path / "kept"))
    rows = [line for line in lines.read_text().splitlines() if line.endswith("}}")]
    assert len(rows) == 3


@pytest.mark.parametrize("bad", [["--seed", "399990", "--n", "20"], ["--n", "0"], ["--languages", "en,fr"]])
def test_wrong_use_is_refused(bad):
    with pytest.raises(UsageError):
        judge_world.arguments(["--truth", *bad])
