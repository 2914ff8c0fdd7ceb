from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import tiny_parts

from manzar import demo
from manzar.curate import IngestSummary, ingest, read_clips
from manzar.demo import loop
from manzar.demo.page import page
from manzar.demo.story import Shot, Story, Wish
from manzar.generate import Generator, save_parts
from manzar.media import probe, write
from manzar.nouns import LANGUAGES, Clip, DataError, UsageError, Video, VideoShape
from manzar.world import EXTRA_LOOKS, WorldConfig, held_out, render, sample_scene


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "folder"
    save_parts(tiny_parts(), folder)
    return folder


def clip(width: int = 64, height: int = 64, **changes: object) -> Clip:
    row = Clip("a", "a.mp4", "a.mp4", 0.0, 2.0, width, height, 8.0, 17)
    return replace(row, **changes)  # type: ignore[arg-type]


def test_the_demo_from_prompt_to_report(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FILMS", 8)
    said: list[str] = []
    result = demo.run_demo(tmp_path / "out", None, 0.02, said.append, model)
    assert [probe(Path(path)).frames for path in result["videos"]] == [5] * 15
    assert set(result["measured"]) >= {"colour before", "colour after", "colour footage"}
    json.dumps(result)
    assert "8 clips, 0 turned away" in said
    text = Path(result["report"]).read_text(encoding="utf-8")
    assert text.count("<video") == 15 + 5 == text.count('src="data:video/mp4;base64,')
    assert not re.search(r'(?:src|href)="(?!data:|tune/index\.html)', text)
    assert (tmp_path / "out/tune/index.html").is_file()
    for code in LANGUAGES:
        assert text.count(f'dir="auto" lang="{code}"') == 2
    marks = re.findall(r'<span class="(?:yes|no)">([✓✗])&nbsp;(\w+)', text)
    assert {name for _, name in marks} == {"colour", "shape", "motion", "background"}
    assert len(marks) == 5 * 4 + 2 * 5 * 2


def test_footage_of_ones_own_is_told_of_and_measured_at_its_own_proportions(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for k, moved in enumerate(("left", "up", "down-right")):
        scene = sample_scene(k, WorldConfig(actors=(1, 1), motions=(moved,), cameras=("still",), backgrounds=("sea",)))
        frames = render([scene], VideoShape(20, 64, 128), 12.0)[0].numpy()
        write(Video(frames, 12.0), folder / f"{k}.mp4")
        (folder / f"{k}.txt").write_text(f"film <{k}> & more", encoding="utf-8")
    result = demo.run_demo(tmp_path / "out", folder, 0.02, lambda line: None, model)
    sizes = [(probe(Path(path)).width, probe(Path(path)).height) for path in result["videos"]]
    assert sizes == [(32, 32)] * 5 + [(64, 32)] * 6
    text = Path(result["report"]).read_text(encoding="utf-8")
    assert text.count("film &lt;") == 3 and "film <" not in text
    assert folder.is_dir()


def test_footage_of_which_nothing_remains_is_said(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write(Video(np.zeros((20, 64, 64, 3), np.uint8), 10.0), tmp_path / "mine/black.mp4")
    with pytest.raises(DataError, match="nothing of it became a clip"):
        demo.run_demo(tmp_path / "out", tmp_path / "mine", 0.02, lambda line: None, model)


def test_a_model_that_is_not_there_costs_no_earlier_demo(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / loop.MARK).touch()
    (tmp_path / "out/report.html").touch()
    with pytest.raises(UsageError, match="none"):
        demo.run_demo(tmp_path / "out", None, 1.0, lambda line: None, tmp_path / "none")
    assert (tmp_path / "out/report.html").exists()


def test_ingest_takes_every_clip_that_the_demo_films(tmp_path: Path) -> None:
    summary = ingest([loop.film_footage(tmp_path / "footage")], tmp_path / "data")
    rows = read_clips(tmp_path / "data")
    assert (summary.clips, summary.rejected) == (loop.FILMS, 0)
    assert {row.split for row in rows} == {"train", "val"}
    assert all(set(row.captions) == set(LANGUAGES) for row in rows)


def test_what_is_asked_for_is_in_no_footage_and_no_training() -> None:
    wishes = loop.world_wishes(loop.ASKED, 0) + loop.world_wishes(replace(loop.ASKED, looks=EXTRA_LOOKS), 1)
    assert [wish.language for wish in wishes] == [*LANGUAGES, *LANGUAGES]
    assert all(bool(wish.english) == (wish.language != "en") for wish in wishes)
    scenes = [wish.scene for wish in wishes if wish.scene]
    assert len(scenes) == 10 and all(held_out(scene.actors[0]) for scene in scenes)
    filmed = loop.film_scenes()
    assert not any(held_out(actor) for scene in filmed for actor in scene.actors)
    assert {scene.look for scene in filmed} == {scene.look for scene in scenes[5:]} == set(EXTRA_LOOKS)


def test_rendered_truth_is_judged_right() -> None:
    wishes = loop.world_wishes(loop.ASKED, 0) + loop.world_wishes(replace(loop.ASKED, looks=EXTRA_LOOKS), 1)
    scenes = [wish.scene for wish in wishes if wish.scene]
    for scene, frames in zip(scenes, render(scenes, VideoShape(17, 64, 64)).numpy(), strict=True):
        found = loop.told_by(scene, frames)
        assert all(found.values()), (scene, found)
    lost = loop.told_by(scenes[0], np.zeros((17, 64, 64, 3), np.uint8))
    assert not lost["shape"] and not lost["motion"]


def test_wishes_of_footage_come_from_held_out_clips_first_and_in_turn() -> None:
    told = {"en": "one", "ur": "ایک"}
    rows = [clip(captions=told, id=str(k), split="val" if k == 4 else "train") for k in range(9)]
    wishes = loop.footage_wishes([*rows, clip()])
    assert [wish.language for wish in wishes] == ["en", "ur", "en", "ur", "en"]
    assert [wish.english for wish in wishes] == ["", "one", "", "one", ""]
    val_first = loop.footage_wishes([clip(captions={"en": "train"}), clip(captions={"en": "val"}, split="val")])
    assert val_first[0].prompt == "val"
    assert [wish.prompt for wish in loop.footage_wishes([clip()])] == [""] * 3


def test_the_shape_is_the_models_at_the_proportions_of_most_clips() -> None:
    generator = Generator(tiny_parts())
    assert loop.shape_for(generator, [clip(), clip(512, 288), clip(512, 288)]) == VideoShape(5, 32, 64)
    assert loop.shape_for(generator, [clip(240, 416)]) == VideoShape(5, 48, 32)
    assert loop.shape_for(generator, [clip()]) == VideoShape(5, 32, 32)


def test_colours_of_one_look_are_near_and_of_another_far() -> None:
    def films(look: str, first: int) -> list[np.ndarray]:
        scenes = [sample_scene(first + k, WorldConfig(looks=(look,))) for k in range(24)]
        return list(render(scenes, VideoShape(9, 48, 64)).numpy())

    sepia, more, flat = (loop.palette(films(*which)) for which in (("sepia", 0), ("sepia", 500), ("flat", 0)))
    assert np.linalg.norm(sepia - more) < 8
    assert np.linalg.norm(sepia - flat) > 20


def test_the_page_takes_no_words_for_markup(tmp_path: Path) -> None:
    path = write(Video(np.zeros((2, 16, 16, 3), np.uint8), 8.0), tmp_path / "a.mp4")
    (tmp_path / "data").mkdir()
    write(Video(np.zeros((2, 16, 16, 3), np.uint8), 8.0), tmp_path / "data/a.mp4")
    shot = Shot(Wish('<b>"red" & $5', "en", "<i>same"), path, {"shape": True}, ["unknown word: <u>"])
    story = Story(tmp_path, print, seconds={"a < b": 1.0}, shots={"first": [shot], "before": [shot], "after": [shot]})
    summary = IngestSummary(tmp_path, 1, 1, 1.0, 2.0, {"near <duplicate>": 1})
    text = page(story, summary, [clip()], 90.0, {"colour before": 12.34})
    assert not re.search(r"<(?:b|i|u|duplicate)>", text)
    assert "&lt;b&gt;&quot;red&quot; &amp; $5" in text and "a &lt; b" in text
    assert "<td>12.3<td><td></tr>" in text and "1.5 minutes" in text
