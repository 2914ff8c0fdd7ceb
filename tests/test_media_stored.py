"""Frames as other readers have them, which published scores were computed on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from manzar.media import frames, stored, write
from manzar.nouns import MediaError, Video


def moving(count: int = 9) -> Video:
    steps = np.arange(count)[:, None, None, None] * 7
    rows, columns = np.mgrid[:48, :64]
    picture = np.stack([rows * 5, columns * 4, rows + columns], axis=-1)
    return Video(((picture + steps) % 256).astype(np.uint8), 8.0)


def test_they_are_those_of_opencv(tmp_path: Path) -> None:
    path = write(moving(), tmp_path / "a.mp4")
    capture, theirs = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        theirs.append(got[1][..., ::-1])
    assert np.array_equal(np.stack(list(stored(path))), np.stack(theirs))


def test_an_animation_comes_as_it_is(tmp_path: Path) -> None:
    path = write(moving(), tmp_path / "a.gif")
    assert all(np.array_equal(a, b) for a, (_, b) in zip(stored(path), frames(path), strict=True))


def test_what_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    whole = write(moving(60), tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(b"\0" * 400)
    (tmp_path / "c.mp4").write_bytes(whole[: len(whole) // 2])
    for name in ("b.mp4", "c.mp4"):
        with pytest.raises(MediaError, match=name):
            list(stored(tmp_path / name))
