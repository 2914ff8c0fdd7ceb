from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from manzar import curate, media
from manzar.curate.captions import CaptionTable, captions_for, detect_language, read_table, texts_beside
from manzar.curate.ingest import assign_splits
from manzar.curate.measures import difference_hash, measures
from manzar.curate.shots import Settings
from manzar.media import encode
from manzar.nouns import Box, BoxTrack, Clip, DataError, Rejection, StorageError, UsageError, Video

SHARED = Path(__file__).resolve().parents[2] / "shared"
CLIPS = SHARED / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.exists(), reason="the shared footage is not on this machine")


def shot(seed: int, count: int, fps: float = 12.0, width: int = 96, height: int = 64) -> Video:
    """A picture of its own for each seed, drifting slowly."""
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    still = blocks.repeat(16, axis=0).repeat(16, axis=1)
    return Video(np.stack([np.roll(still, index // 2, axis=1) for index in range(count)]), fps)


def film(*shots: Video) -> Video:
    return Video(np.concatenate([part.frames for part in shots]), shots[0].fps)


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Five sources: two shots, one long shot with an Urdu caption, one too short, one damaged, one that is no video."""
    folder = tmp_path / "footage"
    media.write(film(shot(1, 18), shot(2, 24)), folder / "two.mp4")
    media.write(shot(3, 60), folder / "deep" / "long.mp4")
    (folder / "deep" / "long.ur.txt").write_text("ایک لمبا منظر\n", encoding="utf-8")
    media.write(shot(4, 6), folder / "short.mp4")
    grain = np.random.default_rng(5).integers(0, 30, (48, 64, 96, 3), dtype=np.uint8)
    whole = media.write(Video(shot(5, 48).frames // 2 + grain, 12.0), folder / "cut_off.mp4").read_bytes()
    (folder / "cut_off.mp4").write_bytes(whole[: int(len(whole) * 0.6)])
    (folder / "page.mp4").write_text("<html>not found</html>")
    return folder


def by_file(items: Iterable[Clip] | Iterable[Rejection]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items:
        path, what = (item.source, item.path) if isinstance(item, Clip) else (item.path, item.reason)
        found.setdefault(Path(path).name, []).append(what)
    return found


def test_ingest_keeps_what_is_sound_and_says_why_the_rest_is_not(footage: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    data = tmp_path / "data"
    summary = curate.ingest([footage], data, max_seconds=2.0, max_side=64, report=lambda *said: told.append(said))
    clips, rejected = curate.read_clips(data), curate.read_rejected(data)
    counts = {name: len(paths) for name, paths in by_file(clips).items()}
    assert counts.pop("cut_off.mp4") in (1, 2)
    assert counts == {"two.mp4": 2, "long.mp4": 3}
    assert by_file(rejected) == {"short.mp4": ["too short"], "cut_off.mp4": ["damaged"], "page.mp4": ["unreadable"]}
    assert (summary.clips, summary.rejected, summary.out) == (len(clips), len(rejected), data)
    assert [said[:2] for said in told] == [(done, 5) for done in range(1, 6)]
    assert told[-1][2].startswith(f"{len(clips)} clips, 3 turned away")
    for clip in clips:
        video = media.read(data / clip.path)
        assert video.shape == clip.shape
        assert (clip.width, clip.height, clip.fps) == (64, 42, 12.0)
        assert Path(clip.path).stem == clip.id
        assert set(clip.measures) >= {"motion", "sharpness", "brightness"}
        assert clip.captions == ({"ur": "ایک لمبا منظر"} if clip.source.endswith("long.mp4") else {})
    two = [clip for clip in clips if clip.source.endswith("two.mp4")]
    assert [clip.frames for clip in two] == [18, 24]
    assert [(clip.start_s, clip.end_s) for clip in two] == [(0.0, 1.5), (1.5, 3.5)]
    damaged = next(row for row in rejected if row.reason == "damaged")
    assert "frames survive" in damaged.detail
    assert damaged.start_s == pytest.approx(max(c.end_s for c in clips if c.source.endswith("cut_off.mp4")))


def test_a_second_run_writes_no_clip_again(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    curate.ingest([footage], data)
    first = curate.read_clips(data)
    monkeypatch.setattr(media, "write", None)  # any attempt to write a clip would fail
    monkeypatch.setattr(media, "frames", None)  # and so would any decoding
    (footage / "two.txt").write_text("two shots", encoding="utf-8")
    curate.ingest([footage], data)
    again = curate.read_clips(data)
    assert [(clip.id, clip.split) for clip in again] == [(clip.id, clip.split) for clip in first]
    assert {clip.captions.get("en") for clip in again if clip.source.endswith("two.mp4")} == {"two shots"}


def test_a_lost_clip_is_made_again_and_other_settings_replace_it(footage: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    curate.ingest([footage / "two.mp4"], data)
    first = curate.read_clips(data)
    (data / first[0].path).unlink()
    curate.ingest([footage / "two.mp4"], data)
    assert (data / first[0].path).exists()
    curate.ingest([footage / "two.mp4"], data, max_side=48, fps=6.0)
    smaller = curate.read_clips(data)
    assert {(clip.width, clip.fps, clip.frames) for clip in smaller} == {(48, 6.0, 9), (48, 6.0, 12)}
    assert sorted(os.listdir(data / "clips")) == sorted(Path(clip.path).name for clip in smaller)


def test_more_footage_is_added_and_copies_are_refused(footage: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    curate.ingest([footage / "two.mp4"], data)
    (footage / "deep" / "copy.mp4").write_bytes((footage / "deep" / "long.mp4").read_bytes())
    curate.ingest([footage / "deep"], data)
    assert set(by_file(curate.read_clips(data))) == {"two.mp4", "copy.mp4"}
    (row,) = curate.read_rejected(data)
    assert (Path(row.path).name, row.reason) == ("long.mp4", "duplicate")
    assert row.detail.endswith("copy.mp4")


def test_frames_of_a_clip_never_come_from_the_next_shot(tmp_path: Path) -> None:
    dark, light = np.full((20, 32, 48, 3), 20, np.uint8), np.full((20, 32, 48, 3), 220, np.uint8)
    source = media.write(Video(np.concatenate([dark, light]), 20.0), tmp_path / "a.mp4")
    curate.ingest([source], tmp_path / "data", fps=7.0, min_seconds=0.5)
    means = [
        media.read(tmp_path / "data" / clip.path).frames.mean((1, 2, 3))
        for clip in curate.read_clips(tmp_path / "data")
    ]
    assert [len(mean) for mean in means] == [7, 7]
    assert means[0].max() < 30
    assert means[1].min() > 210


def test_bad_footage_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("no video")
    out = tmp_path / "out"
    for target, words in (("empty", "is empty"), ("words", "holds no video"), ("absent", "no such file or folder")):
        with pytest.raises(UsageError, match=words):
            curate.ingest([tmp_path / target], out)
    with pytest.raises(UsageError, match="no footage"):
        curate.ingest([], out)
    with pytest.raises(UsageError, match=r"clips of 3.0 to 2.0 seconds"):
        curate.ingest([tmp_path / "words"], out, min_seconds=3.0, max_seconds=2.0)
    with pytest.raises(UsageError, match="holds other things"):
        curate.ingest([tmp_path / "words" / "a.txt"], tmp_path / "words")
    with pytest.raises(UsageError, match="no clips were given"):
        curate.save_clips([], out)
    assert not out.exists()
    with pytest.raises(DataError, match=r"clips.parquet is missing; make one with `manzar ingest`"):
        curate.read_clips(tmp_path / "words")


def test_a_full_disk_stops_ingest_and_the_next_run_goes_on(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(video: Video, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    data = tmp_path / "data"
    monkeypatch.setitem(encode._WRITERS, ".mp4", full)
    with pytest.raises(StorageError, match="the disk is full"):
        curate.ingest([footage], data)
    assert {path.suffix for path in data.rglob("*") if path.is_file()} <= {".json"}  # the journal of what was refused
    monkeypatch.undo()
    assert curate.ingest([footage], data).clips == 4


def test_manifest_round_trip_and_sql(tmp_path: Path) -> None:
    tracks = (BoxTrack("red ball", (Box(0.1, 0.2, 0.30000000000000004, 0.4), None)), BoxTrack("cat", ()))
    clip = Clip(
        "id", "clips/id.mp4", "a.mp4", 0.5, 2.5, 64, 48, 29.97, 60,
        captions={"en": "a ball", "ur": "ایک گیند"}, tracks=tracks, measures={"motion": 0.25}, phash="00ff",
        licence="CC0", split="val",
    )  # fmt: skip
    curate.write_clips(tmp_path, [clip, Clip("b", "clips/b.mp4", "b.mp4", 0, 1, 2, 2, 8, 8)])
    back = curate.read_clips(tmp_path)
    assert back[0] == clip
    assert (back[1].captions, back[1].tracks, back[1].split) == ({}, (), "train")
    rows = [Rejection("a.mp4", 1.0, "too short", "0.2 s")]
    curate.write_rejected(tmp_path, rows)
    assert curate.read_rejected(tmp_path) == rows
    duckdb = pytest.importorskip("duckdb")
    query = "SELECT captions['ur'], measures['motion'], tracks[1].name, tracks[1].boxes[1].x1, len(tracks)"
    found = duckdb.sql(f"{query} FROM '{tmp_path}/clips.parquet' WHERE split = 'val'").fetchall()[0]
    assert found == ("ایک گیند", 0.25, "red ball", 0.30000000000000004, 2)


def test_a_failed_write_keeps_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    clip = Clip("a", "clips/a.mp4", "a.mp4", 0, 1, 2, 2, 8, 8)
    curate.write_clips(tmp_path, [clip])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"clips.parquet: the disk is full"):
        curate.write_clips(tmp_path, [clip, clip])
    assert curate.read_clips(tmp_path) == [clip]
    assert os.listdir(tmp_path) == ["clips.parquet"]
    (tmp_path / "clips.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="cannot be read"):
        curate.read_clips(tmp_path)


def test_save_clips_keeps_captions_tracks_and_fills_in_the_rest(tmp_path: Path) -> None:
    track = (BoxTrack("block", (Box(0, 0, 0.5, 0.5),) * 12),)
    pairs = [
        (shot(seed, 12), Clip("", "", "world", 0, 1, 0, 0, 0, 0, captions={"en": f"scene {seed}"}, tracks=track))
        for seed in (*range(30), 0)
    ]
    summary = curate.save_clips(pairs, tmp_path, total=31)
    clips = curate.read_clips(tmp_path)
    assert (summary.clips, summary.rejected) == (30, 1)  # the last repeats the first
    assert clips[7].captions == {"en": "scene 7"}
    assert clips[7].tracks == track
    assert (clips[7].width, clips[7].height, clips[7].frames, clips[7].fps) == (96, 64, 12, 12.0)
    assert media.read(tmp_path / clips[7].path).shape == clips[7].shape
    assert 1 <= sum(clip.split == "val" for clip in clips) <= 8


def test_split_is_by_source_stable_and_about_eight_percent() -> None:
    def clips(count: int) -> list[Clip]:
        return [Clip(f"{k}-{j}", "", f"f/{k}.mp4", 0, 1, 2, 2, 8, 8) for k in range(count) for j in range(2)]

    split = assign_splits(clips(1000))
    assert 60 <= len({clip.source for clip in split if clip.split == "val"}) <= 100
    assert len({(clip.source, clip.split) for clip in split}) == 1000
    for count in (4, 5, 8):
        assert any(clip.split == "val" for clip in assign_splits(clips(count)))
    assert {clip.split for clip in split[:400]} == {clip.split for clip in assign_splits(clips(200))}
    assert split[:400] == assign_splits(clips(200))


def test_cuts_are_found_flashes_and_motion_are_not(tmp_path: Path) -> None:
    video = film(shot(1, 20), shot(2, 9), shot(3, 20))
    video.frames[38] = 255  # a flash
    found = curate.find_cuts(media.write(video, tmp_path / "a.mp4"))
    assert [(cut.frame, cut.kind) for cut in found] == [(20, "cut"), (29, "cut")]
    assert found[0].seconds == pytest.approx(20 / 12)
    rush = np.stack([np.roll(shot(4, 1).frames[0], 9 * index, axis=1) for index in range(30)])
    assert curate.find_cuts(media.write(Video(rush, 12.0), tmp_path / "b.mp4")) == []


@needs_clips
def test_cuts_of_a_montage_of_real_footage() -> None:
    name = CLIPS / "good" / "montage_mixed_hard"
    with open(f"{name}.cuts.csv", newline="") as file:
        truth = [int(row["first_frame_of_new_shot"]) for row in csv.DictReader(file) if row["kind"] == "cut"]
    found = [cut.frame for cut in curate.find_cuts(f"{name}.mp4")]
    hits = sum(min(abs(frame - other) for other in found) <= 2 for frame in truth)
    assert 2 * hits / (len(found) + len(truth)) >= 0.97


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A red ball moves left.", "en"),
        ("一个红色的球向左移动 HD", "zh"),
        ("लाल गेंद बाईं ओर चलती है", "hi"),
        ("ایک سرخ گیند بائیں طرف جاتی ہے", "ur"),
        ("كرة حمراء تتحرك إلى اليسار", "ar"),
        ("قطة على الطاولة", "ar"),
        ("12:30", "en"),
    ],
)
def test_language_from_script(text: str, language: str) -> None:
    assert detect_language(text) == language


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_tables_are_matched_by_place_by_relative_path_and_by_name(tmp_path: Path) -> None:
    root = tmp_path / "footage"
    rows = [
        {
            "video_path": "footage/a/x.mp4",
            "Caption": "by place",
            "caption_ur": "ایک منظر",
            "caption_id": "17",
            "license": "CC0",
        },
        {"video_path": "b/x.mp4", "Caption": "by relative path", "caption_ur": "", "caption_id": "18", "license": ""},
        {"video_path": "elsewhere/only.mp4", "Caption": "by name", "caption_ur": "", "caption_id": "19", "license": ""},
    ]
    table = read_table(write_table(tmp_path / "t.csv", rows))
    for video, caption in (("a/x.mp4", "by place"), ("b/x.mp4", "by relative path"), ("c/only.mp4", "by name")):
        assert table.find(root / video, root).captions["en"] == caption
    assert table.find(root / "a/x.mp4", root).captions["ur"] == "ایک منظر"
    assert set(table.find(root / "a/x.mp4", root).captions) == {"en", "ur"}
    assert table.find(root / "a/x.mp4", root).licence == "CC0"
    assert table.find(root / "c/x.mp4", root).captions == {}  # two rows have that name: neither is guessed


def test_jsonl_side_files_and_named_columns(tmp_path: Path) -> None:
    lines = [
        {"file_name": "a.mp4", "text": "une balle", "language": "fr"},
        {"file_name": "b.mp4", "text": {"en": "a ball", "ar": "كرة"}},
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    table = read_table(path)
    assert table.find(tmp_path / "a.mp4", tmp_path).captions == {"fr": "une balle"}
    assert table.find(tmp_path / "b.mp4", tmp_path).captions == {"en": "a ball", "ar": "كرة"}
    named = read_table(
        write_table(tmp_path / "n.csv", [{"wo": "a.mp4", "was": "a ball", "note": "no"}]),
        path_column="wo",
        caption_column="was",
    )
    assert named.find(tmp_path / "a.mp4", tmp_path).captions == {"en": "a ball"}
    video = tmp_path / "a[1].v2.mp4"
    (tmp_path / "a[1].v2.txt").write_text("لڑکا دوڑ رہا ہے", encoding="utf-8")
    (tmp_path / "a[1].v2.zh.txt").write_text("跑", encoding="utf-8")
    (tmp_path / "a[1].txt").write_text("of another video", encoding="utf-8")
    entry = captions_for(video, tmp_path, CaptionTable(), texts_beside([video]))
    assert entry.captions == {"ur": "لڑکا دوڑ رہا ہے", "zh": "跑"}


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no caption column .*; the columns are file, size"):
        read_table(write_table(tmp_path / "a.csv", [{"file": "a.mp4", "size": "3"}]))
    with pytest.raises(DataError, match=r'no path column \("wo"\)'):
        read_table(write_table(tmp_path / "b.csv", [{"file": "a.mp4", "text": "x"}]), path_column="wo")
    (tmp_path / "c.jsonl").write_text('{"file": "a.mp4", "text": "x"}\n{"file": ')
    with pytest.raises(DataError, match=r"c.jsonl, line 2: not JSON"):
        read_table(tmp_path / "c.jsonl")
    (tmp_path / "d.csv").write_bytes("file,text\na.mp4,é".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_table(tmp_path / "d.csv")
    (tmp_path / "e.xlsx").write_text("x")
    with pytest.raises(UsageError, match=r'unknown kind of table ".xlsx"'):
        read_table(tmp_path / "e.xlsx")


@needs_clips
def test_the_footage_manifest_reads_as_it_is() -> None:
    folder = CLIPS / "good" / "droid"
    video = sorted(folder.iterdir())[0]
    entry = read_table(CLIPS / "MANIFEST.csv").find(video, folder)
    assert entry.captions["en"].startswith("Robot-arm manipulation, scene type Bathroom")
    assert entry.licence.startswith("CC BY 4.0")


def test_measures_and_hash_say_what_they_should() -> None:
    still = Video(np.full((4, 32, 48, 3), 51, np.uint8), 8.0)
    assert measures(still) == {"motion": 0.0, "sharpness": 0.0, "brightness": 0.2}
    steps = Video(np.stack([np.full((32, 48, 3), 10 * k, np.uint8) for k in range(4)]), 8.0)
    assert measures(steps)["motion"] == pytest.approx(10 / 255, abs=1e-5)
    assert measures(shot(1, 4))["sharpness"] > 100
    near = Video((shot(1, 4).frames * 0.9 + 8).astype(np.uint8), 12.0)
    assert difference_hash(near) == difference_hash(shot(1, 4)) != difference_hash(shot(2, 4))


def test_settings_refuse_nonsense() -> None:
    for wrong in ((0.0, 8.0, None, 512), (1.0, 8.0, -1.0, 512), (1.0, 8.0, None, 4)):
        with pytest.raises(UsageError):
            Settings(*wrong)


def test_sheet_is_self_contained_and_escaped(footage: Path, tmp_path: Path) -> None:
    (footage / "two.txt").write_text('<script>alert("x")</script>', encoding="utf-8")
    data = tmp_path / "data"
    curate.ingest([footage], data)
    page = curate.sheet([data, footage / "short.mp4"], tmp_path / "deep" / "sheet.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 5
    assert page.count("data:video/mp4;base64,") == 5
    assert page.count('<img width="') == 5
    assert '<p class="caption" dir="auto" lang="ur"><b>ur</b> ایک لمبا منظر</p>' in page
    assert "too short" in page
    assert "a shot of 0.50 s; at least 1 s is needed" in page
    assert page.count("<script>") == 1  # its own
    assert "http" not in page
    with pytest.raises(UsageError, match="holds neither a data set"):
        curate.sheet([tmp_path / "deep"], tmp_path / "b.html")
    assert not (tmp_path / "b.html").exists()
