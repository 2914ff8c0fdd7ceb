"""Parts and single pictures of files, long ones among them: exactly the right picture, and no more work than that."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from test_media import number_of, numbered

from manzar import media
from manzar.media import decode, film
from manzar.nouns import UsageError, Video


def uneven(path: Path) -> Path:
    """40 pictures, 1, 2 or 3 twenty-fifths of a second apart, with B-frames and a key frame every 8."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"g": "8", "bf": "2", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        tick = 0
        for index, array in enumerate(numbered(40).frames):
            picture = av.VideoFrame.from_ndarray(array, format="rgb24")
            picture.pts, picture.time_base = tick, Fraction(1, 25)
            tick += 1 + index % 3
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    files = [media.write(numbered(40), folder / name) for name in ("x.mp4", "x.webm", "x.gif", "x.webp")]
    files += [uneven(folder / name) for name in ("uneven.mp4", "uneven.mkv", "uneven.ts", "raw.h264")]
    return [*files, media.write(numbered(40), f"{folder}/frames/")]


def test_every_picture_by_its_index_near_and_far(sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sources:
        for index in (0, 1, 17, 39):
            assert number_of(media.read(path, start_frame=index, max_frames=1).frames[0]) == index, path
    monkeypatch.setattr(film, "NEAR_FRAMES", 3)
    monkeypatch.setattr(film, "NEAR_S", 0.1)
    for path in sources:
        for index in (4, 8, 23, 31, 39):
            assert number_of(media.read(path, start_frame=index).frames[0]) == index, path
            assert number_of(media.picture(path, frame=index)) == index, path


def test_every_picture_by_its_time_near_and_far(sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for near in (10.0, 0.0):
        monkeypatch.setattr(film, "NEAR_S", near)
        for path in sources:
            for index, (seconds, _) in list(enumerate(media.frames(path)))[3::9]:
                assert number_of(media.picture(path, seconds=seconds)) == index, path


def test_a_far_index_is_found_without_decoding_what_lies_before(
    sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "NEAR_FRAMES", 3)
    decoded = counting(monkeypatch)
    for path in sources:
        if path.name in ("uneven.mp4", "uneven.mkv"):
            decoded[0] = 0
            media.picture(path, frame=26)
            assert decoded[0] <= 8, path  # the first, and three or so from the key frame at 24 on


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number that grows with every picture decoded."""
    count = [0]
    original = film.Film._decoded

    def counted(self: film.Film) -> Iterator[av.VideoFrame]:
        for picture in original(self):
            count[0] += 1
            yield picture

    monkeypatch.setattr(film.Film, "_decoded", counted)
    return count


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour at 2 pictures per second; the brightness of the middle counts up modulo 200."""
    path = tmp_path_factory.mktemp("hour") / "hour.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=2, options={"preset": "ultrafast", "g": "60", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(7200):
            picture = np.full((48, 32), 128, np.uint8)
            picture[:32] = 20 + index % 200
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        output.mux(stream.encode(None))
    return path


def count_of(frame: np.ndarray) -> int:
    return round(float(frame.mean()) * 219 / 255 + 16 - 20)


def test_two_seconds_near_the_end_of_an_hour(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = counting(monkeypatch)
    part = media.read(hour, start_s=3590, end_s=3592)
    assert [count_of(frame) for frame in part.frames] == [index % 200 for index in range(7180, 7184)]
    assert decoded[0] < 130
    decoded[0] = 0
    part = media.read(hour, start_frame=7193, max_frames=3)
    assert [count_of(frame) for frame in part.frames] == [index % 200 for index in range(7193, 7196)]
    assert decoded[0] < 130
    decoded[0] = 0
    assert count_of(media.picture(hour, seconds=1800.1)) == 3600 % 200
    assert len(media.thumbnail(hour, side=16)) > 100
    assert decoded[0] < 260


def test_only_what_is_wanted_is_held(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    original = decode._Part.video

    def spied(self: decode._Part, **options: bool) -> Video:
        held.append(len(self.held))
        return original(self, **options)

    monkeypatch.setattr(decode._Part, "video", spied)
    sparse = media.read(hour, fps=0.01)
    assert [count_of(frame) for frame in sparse.frames] == [(200 * index) % 200 for index in range(36)]
    assert held[0] <= 36 + 4
    dense = media.read(hour, start_s=100, end_s=101, fps=30.0)
    assert len(dense.frames) == 30 and held[1] < 8


def test_a_part_from_a_frame_at_another_rate(sources: list[Path]) -> None:
    part = media.read(sources[0], start_frame=10, end_s=1.2, fps=12.5)
    assert [number_of(frame) for frame in part.frames] == list(range(10, 30, 2))


def test_a_picture_that_stays_on_display_fills_the_part(tmp_path: Path) -> None:
    path = tmp_path / "pause.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index, array in enumerate(numbered(20).frames):
            picture = av.VideoFrame.from_ndarray(array, format="rgb24")
            picture.pts, picture.time_base = index + 75 * (index >= 10), Fraction(1, 25)  # three seconds' pause
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    part = media.read(path, end_s=2.0, fps=25.0)
    assert [number_of(frame) for frame in part.frames] == [min(index, 9) for index in range(50)]
    assert number_of(media.picture(path, seconds=2.5)) == 9
    assert [number_of(frame) for frame in media.read(path, start_s=3.2, end_s=3.6, fps=25.0).frames][:3] == [9, 9, 9]


def test_bad_places_are_named(sources: list[Path]) -> None:
    path = sources[0]
    for bad in ({"start_frame": -1}, {"start_frame": 3, "start_s": 1.0}):
        with pytest.raises(UsageError, match="give one start"):
            media.read(path, **bad)
    with pytest.raises(UsageError, match=r"frame 30 is at 1.200 s; the part must end after that"):
        media.read(path, start_frame=30, end_s=1.0)
    with pytest.raises(UsageError, match="ends before frame 40"):
        media.read(path, start_frame=40)
    with pytest.raises(UsageError, match="ends before"):
        media.picture(path, seconds=9.0)
    with pytest.raises(UsageError, match="give one place"):
        media.picture(path, seconds=0.1, frame=2)
    with pytest.raises(UsageError, match="no such file"):
        media.thumbnail(path.with_name("absent.mp4"))


def test_thumbnails_are_small_whole_and_telling(sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "t.jpg").write_bytes(media.thumbnail(sources[0], side=48))
    with Image.open(tmp_path / "t.jpg") as picture:
        assert picture.size == (48, 32) and picture.format == "JPEG"
        assert 11 <= number_of(np.asarray(picture)) <= 15  # a third of 40
    for path in sources:
        with Image.open(_saved(media.thumbnail(path, side=256, seconds=0.0), tmp_path)) as picture:
            assert picture.size == (96, 64), path  # small ones stay small
    assert media.picture(sources[0], seconds=0.4, size=(48, 32)).shape == (32, 48, 3)


def _saved(data: bytes, folder: Path) -> Path:
    path = folder / "saved.jpg"
    path.write_bytes(data)
    return path
