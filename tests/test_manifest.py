from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manzar import curate
from manzar.nouns import Box, BoxTrack, Clip, DataError, Rejection, StorageError


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
    rows = [Rejection("a.mp4", 1.0, "too short", "0.2 s"), Rejection("b.mp4", 0.0, "still", "", "b1", {"still": 1.0})]
    curate.write_rejected(tmp_path, rows)
    assert curate.read_rejected(tmp_path) == rows
    path = tmp_path / "rejected.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["id", "measures"]), path)  # as older data sets have it
    assert curate.read_rejected(tmp_path) == [rows[0], Rejection("b.mp4", 0.0, "still", "")]
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
