from __future__ import annotations

import base64
import importlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manzar import media
from manzar.curate.manifest import write_clips, write_rejected
from manzar.curate.sheet.histograms import EXAMPLES, Bound, Example, figure, nearest, scale
from manzar.curate.sheet.sheet import sheet
from manzar.nouns import Box, BoxTrack, Clip, DataError, Rejection, UsageError, Video

room = importlib.import_module("manzar.curate.sheet.sheet")  # the function of that name hides it in the package
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FRAMES = 24
NASTY = '</script><script>alert("x")</script>'


def moving(seed: int, count: int = FRAMES) -> Video:
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    still = blocks.repeat(16, axis=0).repeat(16, axis=1)
    return Video(np.stack([np.roll(still, index, axis=1) for index in range(count)]), 12.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(moving(1), tmp_path_factory.mktemp("film") / "film.mp4")


def clip(name: str, **changes: Any) -> Clip:
    about = Clip(name, f"clips/{name}.mp4", f"films/{name}.mov", 0.0, 2.0, 96, 64, 12.0, FRAMES)
    return replace(about, **changes)


@pytest.fixture
def data(tmp_path: Path, film: Path) -> Path:
    """Three clips and four refusals of two reasons, one limit on motion."""
    folder = tmp_path / "D"
    half = tuple(Box(0.01 * k, 0.25, 0.01 * k + 0.5, 0.75) if k < 12 else None for k in range(FRAMES))
    clips = [
        clip("one", captions={"en": NASTY}, measures={"motion": 1.5}),
        clip("two", captions={"en": "a cat", "ur": "ایک بلّی"}, measures={"motion": 4.0}, split="val"),
        clip("three", tracks=(BoxTrack("ball", half),), measures={"motion": 9.0, "text": float("nan")}, licence="CC0"),
    ]
    for row in clips:
        (folder / row.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, folder / row.path)
    (folder / "refused").mkdir()
    refused = [
        Rejection(f"films/{k}.mov", 1.0, "still", f"motion {k / 10}", f"r{k}", {"motion": k / 10}) for k in range(3)
    ]
    for row in refused:
        (folder / "refused" / f"{row.id}.jpg").write_bytes(media.jpeg(moving(2, 1).frames[0]))
    refused.append(Rejection("films/bad.mov", 0.0, "unreadable", NASTY, id="../../secret"))
    write_clips(folder, clips)
    write_rejected(folder, refused)
    (folder / "ingest.json").write_text(json.dumps({"limits": {"motion": [1.0, None], "dark": [None, 0.9]}}))
    return folder


def parts(page: str) -> dict[str, str]:
    """The page's data by the id of the element that holds it."""
    held = r'<script type="(?:text/plain|application/json)" id="(\w+)">(.*?)</script>'
    return dict(re.findall(held, page, re.DOTALL))


def index(page: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(parts(page)["index"])
    return found


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_page_holds_everything_and_asks_for_nothing(data: Path, tmp_path: Path) -> None:
    page = text(sheet([data], tmp_path / "deep" / "sheet.html"))
    held = parts(page)
    assert {name for name in held if name[0] == "p"} == {"p0", "p1", "p2"}
    assert base64.b64decode(held["p0"]).startswith(b"\xff\xd8\xff")
    assert base64.b64decode(held["v1"]) == (data / "clips" / "two.mp4").read_bytes()
    assert "http://www.w3.org/2000/svg" in page  # a name, not an address
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page
    assert not list((tmp_path / "deep").glob(".*"))  # no temporary file stays


def test_what_the_data_says_is_never_markup(data: Path, tmp_path: Path) -> None:
    page = text(sheet([data], tmp_path / "sheet.html"))
    assert "<script>alert" not in page
    assert page.count("<script>") == 1  # its own
    assert index(page)["clips"][0]["captions"] == {"en": NASTY}
    assert index(page)["away"][3]["detail"] == NASTY


def test_entries_carry_what_a_card_shows(data: Path, tmp_path: Path) -> None:
    found = index(text(sheet([data], tmp_path / "sheet.html")))
    one, two, three = found["clips"]
    assert (one["area"], one["seconds"], one["kind"], one["file"]) == ([162, 108], 2.0, "video/mp4", "D/clips/one.mp4")
    assert (two["split"], two["captions"]["ur"]) == ("val", "ایک بلّی")
    assert three["measures"] == {"motion": 9.0}  # what is not a number is not shown as one
    assert three["tiles"] == [0.0, 0.5, 1.25, 1.75]  # seconds of the four pictures, so that boxes can be laid on them
    assert [row["reason"] for row in found["away"]] == ["still", "still", "still", "unreadable"]


def test_totals(data: Path, tmp_path: Path) -> None:
    page = text(sheet([data], tmp_path / "sheet.html"))
    for said in ("<b>3</b> clips", "<b>6.0 s</b> length", "<b>1</b> held out", "<b>1</b> without caption",
                 "<b>1</b> with boxes", "<b>4</b> turned away", "96×64 <b>3</b>", "en <b>2</b>", "CC0 <b>1</b>"):
        assert said in page, said


def test_boxes_are_thinned_and_keep_their_gaps(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TRACK_STEPS", 8)
    boxes = json.loads(parts(text(sheet([data], tmp_path / "sheet.html")))["t2"])
    assert boxes["step"] == 3
    assert boxes["tracks"][0][:3] == [[0, 250, 500, 750], [30, 250, 530, 750], [60, 250, 560, 750]]
    assert boxes["tracks"][0][4:] == [None] * 4


def test_refused_posters_come_from_inside_the_data_set_only(data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff secret")
    held = parts(text(sheet([data], tmp_path / "sheet.html")))
    assert {name for name in held if re.fullmatch(r"r\d", name)} == {"r0", "r1", "r2"}


def test_limits_stand_between_examples(data: Path, tmp_path: Path) -> None:
    page = text(sheet([data], tmp_path / "sheet.html"))
    drawn = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert [re.search(r'data-measure="(\w+)"', one)[1] for one in drawn] == ["motion"]  # type: ignore[index]
    assert "motion ≥ 1" in drawn[0]
    away, kept = drawn[0].split('<div class="kept">')
    assert re.findall(r'data-picture="(\w+)"', away) == ["r0", "r1", "r2"]
    assert re.findall(r'data-picture="(\w+)"', kept) == ["p0", "p1", "p2"]
    assert 'aria-label="motion: 3 kept, 3 turned away"' in drawn[0]


def test_video_and_posters_are_bounded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (data / "clips" / "one.mp4").stat().st_size
    monkeypatch.setattr(room, "EMBED_TOTAL_BYTES", 2 * size)
    monkeypatch.setattr(room, "REFUSED_TOTAL_BYTES", 2 * (data / "refused" / "r0.jpg").stat().st_size)
    held = parts(text(sheet([data], tmp_path / "sheet.html")))
    assert {"v0", "v1", "p2"} <= set(held) and "v2" not in held
    assert {name for name in held if re.fullmatch(r"r\d", name)} == {"r0", "r1"}
    monkeypatch.setattr(room, "EMBED_BYTES", size - 1)
    assert not any(name[0] == "v" for name in parts(text(sheet([data], tmp_path / "sheet.html"))))


def test_older_data_sets_and_damaged_settings(data: Path, tmp_path: Path) -> None:
    (data / "rejected.parquet").unlink()
    (data / "ingest.json").unlink()
    shutil.rmtree(data / "refused")
    page = text(sheet([data], tmp_path / "sheet.html"))
    assert index(page)["away"] == []
    assert 'data-measure="motion"' in page and 'class="sides"' not in page
    for damaged in ("{", "[]", '{"limits": {"motion": 3}}', '{"limits": {"motion": ["x", null]}}'):
        (data / "ingest.json").write_text(damaged)
        with pytest.raises(DataError, match=r"ingest\.json is damaged"):
            sheet([data], tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_where_shows_what_meets_it(data: Path, film: Path, tmp_path: Path) -> None:
    page = text(sheet([data], tmp_path / "sheet.html", where="motion > 2 and 'en' in languages"))
    assert [row["id"] for row in index(page)["clips"]] == ["two"]
    assert index(page)["away"] == []
    assert "<b>1 of 3</b> clips" in page and "motion &gt; 2 and &#x27;en&#x27; in languages" in page
    assert index(text(sheet([data], tmp_path / "sheet.html", where="motion > 99")))["clips"] == []
    with pytest.raises(UsageError, match=r"film\.mp4 is none"):
        sheet([film], tmp_path / "other.html", where="motion > 2")


def test_loose_videos_and_those_that_are_none(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "loose & wild"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(film, folder / "deep" / "a#1.mp4")
    (folder / "bad.mp4").write_text("<html>not found</html>")
    media.write(Video(moving(3, 1).frames, 12.0), folder / "short.mp4")
    found = index(text(sheet([folder], tmp_path / "sheet.html")))
    assert [Path(row["source"]).name for row in found["clips"]] == ["a#1.mp4", "short.mp4"]
    assert found["clips"][0]["file"] == "loose%20%26%20wild/deep/a%231.mp4"
    assert found["clips"][1]["tiles"] == [0.0]  # one picture is shown once
    assert [row["reason"] for row in found["away"]] == ["unreadable"]


def test_a_clip_that_cannot_be_read_says_so_in_its_place(data: Path, tmp_path: Path) -> None:
    (data / "clips" / "two.mp4").write_bytes(b"gone")
    (data / "clips" / "three.mp4").unlink()
    one, two, three = index(text(sheet([data], tmp_path / "sheet.html")))["clips"]
    assert "note" not in one and "two.mp4" in two["note"] and "three.mp4" in three["note"]


def test_wrong_targets(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds neither a data set"):
        sheet([tmp_path / "empty"], tmp_path / "b.html")
    with pytest.raises(UsageError, match="no such file"):
        sheet([tmp_path / "nowhere"], tmp_path / "b.html")
    with pytest.raises(UsageError, match="is a folder; name a file"):
        sheet([data], tmp_path)
    with pytest.raises(UsageError, match="nothing to show"):
        sheet([], tmp_path / "b.html")
    assert not (tmp_path / "b.html").exists()


def test_the_axis_holds_limits_and_leaves_wild_values_out() -> None:
    values = [float(k) for k in range(1000)] + [1e9]
    low, high = scale(values, [Bound("motion", "low", -50.0)])
    assert low == -50.0 and 900 < high < 1000
    low, _ = scale(values, [Bound("motion", "low", 0.5)])
    assert low < 0.5  # something is below it, so there is room to show it
    assert scale([3.0], [])[0] < scale([3.0], [])[1]


def test_examples_are_the_nearest_on_each_side() -> None:
    entries = [Example(float(k), f"p{k}", "") for k in range(20)]
    high = Bound("dark", "high", 9.5)
    assert [entry.value for entry in nearest(high, entries, kept=True)] == [6, 7, 8, 9]
    assert [entry.value for entry in nearest(high, entries, kept=False)] == [10, 11, 12, 13]
    assert len(nearest(high, entries, kept=True)) == EXAMPLES
    assert high.keeps(9.5) and Bound("dark", "low", 9.5).keeps(9.5)  # a limit itself is kept


def test_every_value_is_in_some_bar() -> None:
    drawn = figure("motion", [Example(v, "p0", "") for v in (0.0, 0.1, 5.0, 1e6)], [Example(-1e6, "r0", "")], [])
    heights = {kind: re.findall(rf'class="{kind}"[^>]*height="([\d.]+)"', drawn) for kind in ("kept", "away")}
    assert heights["kept"] and heights["away"]
    assert "4 kept, 1 turned away" in drawn


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("asked", "cards", "said"),
    [
        ("", ["one", "two", "three"], "3 clips"),
        ("q=%D8%A8%D9%84%D9%8A", ["two"], "1 of 3 clips"),  # بلي, in Arabic letters and without the doubling
        ("m.motion=2..&sort=-motion", ["three", "two"], "2 of 3 clips"),
        ("lang=none&boxes=off", ["three"], "1 of 3 clips"),
        ("view=away&reason=still", [], "3 of 4 turned away"),
    ],
)
def test_the_address_holds_the_filters(data: Path, tmp_path: Path, asked: str, cards: list[str], said: str) -> None:
    page = sheet([data], tmp_path / "sheet.html")
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,2000", "--dump-dom",
         f"{page.as_uri()}#{asked}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert re.findall(r'<article id="clip-(\w+)">', done.stdout) == cards
    assert f">{said}</output>" in done.stdout
