"""The page of a report: it carries all that it shows, shows what is unscored, and takes no name for markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from manzar.media import write
from manzar.nouns import DataError, UsageError, Video
from manzar.score.catalogue import every
from manzar.score.dimension import Measured, Unscored
from manzar.score.film import Asked
from manzar.score.measure import FilmScores
from manzar.score.report import page, read_other
from manzar.score.report.clips import EACH_END, Ends, previews
from manzar.score.report.radar import Series, radar
from manzar.score.rows import FilmValue, Report, Row
from manzar.score.totals import DIMENSIONS, totals

NASTY = '<img src="http://example.org/x.png" onerror=alert(1)>'


def films(folder: Path, count: int = 8) -> list[Path]:
    random = np.random.default_rng(0)
    return [write(Video(random.integers(0, 255, (6, 40, 64, 3), dtype=np.uint8), 8.0), folder / f"film {k}.mp4")
            for k in range(count)]


def made_up(folder: Path, shift: float = 0.0, scored: int = 16) -> Report:
    """A report of eight films in which the first `scored` dimensions have values."""
    paths, rows = films(folder), {}
    for place, name in enumerate(DIMENSIONS):
        if place >= scored:
            rows[name] = Row(every()[name], None, None, reason="its weights are not here", short="needs a network")
            continue
        value = 0.9 - 0.03 * place + shift
        own = [FilmValue(path, Asked(f"{NASTY} {k}"), Measured.of(value + 0.01 * k)) for k, path in enumerate(paths)]
        lost = FilmValue(paths[0], Asked("a"), Unscored("two frames only"))
        rows[name] = Row(every()[name], value, (value - 0.02, value + 0.02), [*own, lost])
    scores = [FilmScores(path, {"frames": 6, "width": 64, "height": 40, "fps": 8.0, "digest": f"{k:064d}"}, {})
              for k, path in enumerate(paths)]
    receipt = {"made": "2026-01-01T00:00:00+00:00", "prompts": "VBench, 8 of 8 prompts", "seconds": 3.0,
               "films": {"given": 9, "decoded": 8, "frames": {"least": 6, "median": 6, "most": 6}},
               "backbones": [{"name": "amt_s", "file": "amt-s.pth", "sha256": "f" * 64, "published": False,
                              "licence": "CC BY-NC 4.0", "noncommercial": True, "source": "AMT"}]}  # fmt: skip
    found = totals({name: row.value for name, row in rows.items()})
    return Report(rows, found, scores, {Path("stranger.mp4"): NASTY}, [f"said of {NASTY}"],
                  {"dino_vitb16": "put it there"}, receipt)


class Reader(HTMLParser):
    """Collects what a browser would fetch, and the tags there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "poster", "action")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, str]:
    folder = tmp_path_factory.mktemp("films")
    report = made_up(folder, scored=12)
    return report, page(report, folder / "cache", None, 1, f"run {NASTY}")


def test_the_page_asks_no_network_and_takes_names_for_text(shown: tuple[Report, str]) -> None:
    reader = Reader(shown[1])
    assert reader.fetched and all(place.startswith("data:image/jpeg;base64,") for place in reader.fetched)
    assert "img" not in reader.tags
    assert not re.search("https?:", shown[1].replace("http://example.org", ""))
    assert "default-src 'none'" in shown[1]
    style = shown[1].partition("<style>")[2].partition("</style>")[0]
    assert style and "url(" not in style and "@import" not in style
    assert reader.tags.count("video") == 12 * 2 * EACH_END
    assert not re.search(r"\$[a-z]", shown[1])  # no place of the template was left open


def test_the_page_says_what_is_unscored(shown: tuple[Report, str]) -> None:
    text = shown[1]
    assert text.count('<tr class="unscored">') == 4 and "needs a network" in text
    assert "two frames only" in text and "stranger.mp4" in text and "put it there" in text
    assert "CC BY-NC 4.0, not for commercial use" in text and "f" * 64 in text
    assert "<small>lacks 4 of 16</small>" in text


def test_values_are_shown_times_a_hundred_with_their_intervals(tmp_path: Path) -> None:
    report = made_up(tmp_path)
    text = page(report, tmp_path / "cache", None, 1, "all")
    assert report.totals.total is not None
    assert f"<small>Total</small><b>{100 * report.totals.total:.2f}</b>" in text
    assert '<td class="number value">90.00</td>' in text and "88.00 – 92.00" in text
    assert "8 <small>of 9</small>" in text


def test_two_reports_in_one_page(tmp_path: Path) -> None:
    report = made_up(tmp_path)
    for name, shift in (("near", -0.01), ("far", -0.10)):
        other = made_up(tmp_path, shift, scored=15).to_json()
        other["receipt"]["seconds"] = 4.0
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text(json.dumps(other))
        text = page(report, tmp_path / "cache", read_other(tmp_path / name), 1, "this one")
        assert text.count(" •</b>") == (15 if name == "far" else 0)
        assert f"+{-100 * shift:.2f}" in text and f">{name}</b>" in text
        assert '<tr class="differs"><td>seconds</td>' in text
        assert '<td class="number other">–</td>' in text  # the sixteenth, which the other lacks


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"scores\.json"):
        read_other(tmp_path)
    for text in ("{", "[]", '{"quality": 1}'):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(DataError, match="score those films again"):
            read_other(tmp_path)


def test_both_ends_of_a_dimension() -> None:
    def row(*values: float) -> Row:
        own = [FilmValue(Path(f"{k}.mp4"), Asked(), Measured.of(value)) for k, value in enumerate(values)]
        return Row(every()["color"], 0.5, None, own)

    ends = Ends.of(row(0.3, 0.1, 0.9, 0.5, 0.7, 0.2, 0.8))
    assert [one.value for _, one in ends.lowest] == [0.1, 0.2, 0.3]
    assert [one.value for _, one in ends.highest] == [0.9, 0.8, 0.7]
    few = Ends.of(row(0.1, 0.2, 0.3))
    assert (len(few.lowest), len(few.highest)) == (1, 1)
    assert not Ends.of(row(1.0, 1.0, 1.0)).lowest  # nothing tells them apart
    assert not Ends.of(row(0.4)).lowest
    assert not Ends.of(replace(row(0.1, 0.9), of_set=True)).lowest


def test_previews_are_bounded_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = made_up(tmp_path)
    ends = {name: Ends.of(row) for name, row in report.rows.items()}
    made = previews(report, ends, tmp_path / "kept", 1)
    assert set(made) == {film.path for own in ends.values() for end in (own.lowest, own.highest) for film, _ in end}
    assert all(data.film[4:8] == b"ftyp" and data.poster[:2] == b"\xff\xd8" for data in made.values())
    assert not list((tmp_path / "kept").glob("*.mp4"))  # nobody is to take them for films
    for path in made:
        path.unlink()
    assert previews(report, ends, tmp_path / "kept", 1) == made
    monkeypatch.setattr("manzar.score.report.clips.MOST_BYTES", max(len(one.film) for one in made.values()) * 2)
    assert 1 <= len(previews(report, ends, tmp_path / "kept", 1)) <= 3


def test_a_radar_has_no_point_where_nothing_was_scored() -> None:
    labels = [f"axis {k}" for k in range(6)]
    whole = radar("whole", labels, [Series("a", [0.5] * 6, "this")])
    holed = radar("holed", labels, [Series("a", [0.5, 0.6, None, 0.8, None, None], "this")])
    assert (whole.count("<circle"), whole.count('class="area"')) == (6, 6)
    assert (holed.count("<circle"), holed.count('class="area"')) == (3, 1)
    assert holed.count("–") == 3
    centre = radar("zero", labels, [Series("a", [0.0] * 6, "this")])
    assert 'cx="0.0" cy="-0.0"' in centre or 'cx="0.0" cy="0.0"' in centre
