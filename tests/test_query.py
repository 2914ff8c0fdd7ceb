from __future__ import annotations

from pathlib import Path

import pytest

from manzar.curate.manifest import write_clips
from manzar.curate.sheet.query import where
from manzar.nouns import Box, BoxTrack, Clip, DataError, UsageError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three clips: a still English one, a moving one with Urdu and a track, one without measures or captions."""
    rows = [
        ("still", 48, {"en": "a quiet room"}, {"motion": 0.2, "sharpness": 90.0}, ()),
        ("moving", 72, {"en": "it's a bird", "ur": "ایک پرندہ"}, {"motion": 3.5, "odd name": 1.0, "seconds": 99.0},
         (BoxTrack("bird", (Box(0.1, 0.1, 0.4, 0.5), None)),)),
        ("bare", 240, {}, {}, ()),
    ]
    clips = [
        Clip(name, f"clips/{name}.mp4", f"films/{name}.mov", 0.0, frames / 24, 320, 180, 24.0, frames, captions, tracks,
             measures, split="val" if name == "bare" else "train")
        for name, frames, captions, measures, tracks in rows
    ]
    folder = tmp_path / "DATA [1]*"  # a path that is a pattern to those who glob
    write_clips(folder, clips)
    return folder


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("motion > 2", ["moving"]),
        ("motion > 2 and seconds >= 3", ["moving"]),
        ("motion < 9", ["still", "moving"]),  # a clip without the measure meets no condition on it
        ("motion is null", ["bare"]),
        ("seconds = 10", ["bare"]),  # the clip's own length, not a measure that has taken the name
        ("measures['seconds'] = 99", ["moving"]),
        ('"odd name" = 1', ["moving"]),
        ("captions['ur'] like '%پرندہ%'", ["moving"]),
        ("caption_ur is null", ["still", "bare"]),
        ("caption_hi is null", ["still", "moving", "bare"]),  # a language of ours that no clip has is no error
        ("'ur' in languages", ["moving"]),
        ("caption_en = 'it''s a bird'", ["moving"]),
        ("tracks = 1", ["moving"]),
        ("split = 'val' or source like '%still%'", ["still", "bare"]),
        ("width = 320 and fps = 24 and frames < 100 -- short ones", ["still", "moving"]),
        ("motion > (select avg(motion) from clips)", ["moving"]),
        ("false", []),
    ],
)
def test_conditions(data: Path, condition: str, met: list[str]) -> None:
    assert where(data, condition) == met


def test_a_misspelt_column_names_the_nearest_and_the_rest(data: Path) -> None:
    with pytest.raises(UsageError, match=r"'motoin > 2'.*did you mean motion\?.*sharpness.*caption_ur"):
        where(data, "motoin > 2")
    with pytest.raises(UsageError, match="single quotes, 'train'"):
        where(data, "split = train")


@pytest.mark.parametrize(
    "condition",
    ["", "motion", "null", "motion >", "sum(motion) > 1", "motion = 'fast'", "motion > 1, motion", "motion > ?"],
)
def test_what_is_no_condition_is_refused(data: Path, condition: str) -> None:
    with pytest.raises(UsageError, match="the condition"):
        where(data, condition)


def test_a_condition_is_one_expression_and_changes_nothing(data: Path) -> None:
    before = (data / "clips.parquet").read_bytes()
    for wrong in ("true; drop table clips", "true) union (select 'x'", "true order by id", "true limit 1",
                  f"true; copy clips to '{data / 'stolen.csv'}'"):  # fmt: skip
        with pytest.raises(UsageError, match="cannot be asked"):
            where(data, wrong)
    assert [path.name for path in data.iterdir()] == ["clips.parquet"]
    assert (data / "clips.parquet").read_bytes() == before


def test_a_condition_reads_no_file_and_no_setting(data: Path) -> None:
    secret = data.parent / "secret.csv"
    secret.write_text("x\n1\n", encoding="utf-8")
    for reader in (f"(select count(*) from read_csv('{secret}')) > 0", f"(select count(*) from '{secret}') > 0",
                   f"(select count(*) from read_text('{secret}')) > 0", f"(select count(*) from glob('{secret}')) > 0",
                   "(select count(*) from data) > 0"):  # fmt: skip
        with pytest.raises(UsageError, match="cannot be asked"):
            where(data, reader)


def test_what_is_no_data_set_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        where(tmp_path / "nowhere", "true")
    with pytest.raises(DataError, match="is no data set"):
        where(tmp_path, "true")
    (data / "clips.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="cannot be read"):
        where(data, "true")
