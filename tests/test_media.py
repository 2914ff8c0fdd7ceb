from __future__ import annotations

import errno
import os
import shutil
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from manzar import media
from manzar.media import encode
from manzar.nouns import ManzarError, MediaError, StorageError, UsageError, Video

SHARED = Path(__file__).resolve().parents[2] / "shared"
CLIPS = SHARED / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.exists(), reason="the shared footage is not on this machine")


def numbered(count: int, fps: float = 25.0, width: int = 96, height: int = 64) -> Video:
    """Frame k has k bright columns of two pixels on a tinted ground, so that `number_of` can read k back."""
    frames = np.full((count, height, width, 3), (30, 60, 90), np.uint8)
    for index in range(count):
        frames[index, :, : 2 * index] = 230
    return Video(frames, fps)


def number_of(frame: np.ndarray) -> int:
    return round(float((frame[frame.shape[0] // 2].mean(-1) > 145).sum()) * 96 / frame.shape[1] / 2)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(numbered(40), tmp_path_factory.mktemp("media") / "sample.mp4")


def test_mp4_round_trip_keeps_frames_rate_and_colour(tmp_path: Path) -> None:
    frames = np.zeros((12, 64, 96, 3), np.uint8)
    frames[:] = (200, 30, 60)
    frames[:, :, :32] = 255
    frames[:, :, 64:] = (20, 128, 220)
    path = media.write(Video(frames, 30000 / 1001), tmp_path / "deep" / "x.mp4")
    back = media.read(path)
    assert back.frames.shape == frames.shape
    assert back.fps == pytest.approx(30000 / 1001)
    assert np.abs(back.frames[:, :, [8, 48, 88]].astype(int) - frames[:, :, [8, 48, 88]]).max() <= 3
    assert os.listdir(path.parent) == ["x.mp4"]


def test_mp4_is_tagged_bt709_and_has_its_index_in_front(sample: Path) -> None:
    with av.open(str(sample)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert context.pix_fmt == "yuv420p"
    data = sample.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")


def test_probe(sample: Path) -> None:
    found = media.probe(sample)
    assert (found.width, found.height, found.fps, found.frames, found.codec) == (96, 64, 25.0, 40, "h264")
    assert found.seconds == pytest.approx(1.6)


@pytest.mark.parametrize(("suffix", "fps"), [("webm", 25.0), ("gif", 20.0)])
def test_other_formats_read_back_frame_for_frame(tmp_path: Path, suffix: str, fps: float) -> None:
    back = media.read(media.write(numbered(30, fps), tmp_path / f"x.{suffix}"))
    assert [number_of(frame) for frame in back.frames] == list(range(30))
    assert back.fps == pytest.approx(fps)


def test_webp_is_animated_at_its_rate(tmp_path: Path) -> None:
    path = media.write(numbered(12, 10.0), tmp_path / "x.webp")
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.size) == (12, (96, 64))
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == 100
    back = media.read(path)
    assert [number_of(frame) for frame in back.frames] == list(range(12))
    assert back.fps == 10.0


@pytest.mark.parametrize(("suffix", "fps", "shown"), [("gif", 60.0, 30), ("gif", 120.0, 40), ("webp", 120.0, 60)])
def test_animations_faster_than_players_keep_their_speed(tmp_path: Path, suffix: str, fps: float, shown: int) -> None:
    path = media.write(numbered(24, fps), tmp_path / f"x.{suffix}")
    with Image.open(path) as picture:
        stays = []
        for index in range(picture.n_frames):
            picture.seek(index)
            picture.load()
            stays.append(picture.info["duration"])
    assert min(stays) >= (20 if suffix == "gif" else 11)
    assert sum(stays) == pytest.approx(24_000 / fps, abs=10)
    assert len(stays) == 24 * shown // fps


def test_one_png_and_a_folder_of_them(tmp_path: Path) -> None:
    video = numbered(5)
    one = media.write(Video(video.frames[:1], 1.0), tmp_path / "one.png")
    assert np.array_equal(np.asarray(Image.open(one)), video.frames[0])
    for _ in range(2):  # the second time over the first
        folder = media.write(video, f"{tmp_path}/frames/")
    assert sorted(os.listdir(folder)) == [f"frame_{index:05d}.png" for index in range(5)]
    assert np.array_equal(np.asarray(Image.open(folder / "frame_00003.png")), video.frames[3])
    with pytest.raises(UsageError, match=r"one .png holds one frame, not several"):
        media.write(video, tmp_path / "many.png")
    (folder / "notes.md").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other things \(notes.md\)"):
        media.write(video, folder)
    assert (folder / "notes.md").read_text() == "mine"


def test_read_a_part_frame_exactly(sample: Path) -> None:
    part = media.read(sample, start_s=0.4, end_s=1.0)
    assert [number_of(frame) for frame in part.frames] == list(range(10, 25))
    assert [number_of(f) for f in media.read(sample, start_s=1.2, max_frames=3).frames] == [30, 31, 32]


def test_seeking_far_into_a_file_is_frame_exact(tmp_path: Path) -> None:
    frames = np.zeros((120, 32, 96, 3), np.uint8)
    for index in range(120):
        frames[index] = 2 * index
    path = media.write(Video(frames, 25.0), tmp_path / "long.mp4")
    part = media.read(path, start_s=4.0, end_s=4.4)
    assert np.abs(part.frames.mean((1, 2, 3)) / 2 - np.arange(100, 110)).max() < 0.9


def test_resampling_to_a_constant_rate(sample: Path) -> None:
    slow = media.read(sample, fps=5.0)
    assert [number_of(frame) for frame in slow.frames] == [0, 5, 10, 15, 20, 25, 30, 35]
    fast = media.read(sample, fps=50.0, end_s=0.4)
    assert len(fast.frames) == 20
    assert [number_of(frame) for frame in fast.frames] == [k // 2 for k in range(20)]
    assert media.read(sample, size=(48, 32)).frames.shape == (40, 32, 48, 3)


def test_uneven_clock_becomes_a_constant_rate(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    ticks = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]  # five pictures, a pause of five ticks, five more; 1/10 s each
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for tick, frame in zip(ticks, numbered(10).frames, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = tick, Fraction(1, 10)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    shown = [number_of(frame) for frame in media.read(path, fps=10.0).frames]
    assert shown == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 7, 8, 9]
    assert media.read(path).seconds == pytest.approx(1.5, abs=0.1)


def test_frames_stream_in_order(sample: Path) -> None:
    shown = list(media.frames(sample))
    assert [round(seconds * 25) for seconds, _ in shown] == list(range(40))
    assert [number_of(frame) for _, frame in shown] == list(range(40))


def test_strip_and_jpeg() -> None:
    video = numbered(9)
    side_by_side = media.strip(video, 3)
    assert side_by_side.shape == (64, 288, 3)
    assert np.array_equal(side_by_side[:, 96:192], video.frames[4])
    assert media.strip(Video(video.frames[:2], 8.0), 5).shape == (64, 192, 3)
    assert media.jpeg(video.frames[0])[:3] == b"\xff\xd8\xff"
    assert len(media.jpeg(side_by_side, quality=95)) > len(media.jpeg(side_by_side, quality=20))


def test_bad_use_is_named_and_leaves_nothing(tmp_path: Path, sample: Path) -> None:
    odd = Video(np.zeros((3, 63, 97, 3), np.uint8), 8.0)
    for name in ("x.mp4", "x.webm"):
        with pytest.raises(UsageError, match=r"97x63 has an odd side.* use 98x64"):
            media.write(odd, tmp_path / name)
    with pytest.raises(UsageError, match=r'unknown extension ".mpx"; use one of .gif, .mp4'):
        media.write(odd, tmp_path / "x.mpx")
    with pytest.raises(UsageError, match="no such file"):
        media.read(tmp_path / "absent.mp4")
    with pytest.raises(UsageError, match="is a folder; a file is needed"):
        media.probe(tmp_path)
    with pytest.raises(UsageError, match="the start must come before the end"):
        media.read(sample, start_s=2.0, end_s=1.0)
    for start_s in (1.9, 50.0):
        with pytest.raises(UsageError, match="ends before"):
            media.read(sample, start_s=start_s)
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(film: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = media.write(numbered(3), tmp_path / "x.mp4").read_bytes()
    monkeypatch.setitem(encode._WRITERS, ".mp4", full)
    with pytest.raises(StorageError, match=r"x.mp4: the disk is full"):
        media.write(numbered(9), tmp_path / "x.mp4")
    assert os.listdir(tmp_path) == ["x.mp4"]
    assert (tmp_path / "x.mp4").read_bytes() == old


def contents(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def alike(one: Path, other: Path) -> bool:
    """The same file; in H.264 the same film, since x264 may write the same frames in other bytes on another run."""
    if one.suffix != ".mp4":
        return contents(one) == contents(other)
    a, b = media.read(one), media.read(other)
    return a.shape == b.shape and a.fps == b.fps and float(np.abs(a.frames.astype(int) - b.frames).mean()) < 0.5


@pytest.mark.parametrize("lengths", [[24], [1] * 24, [17, 7], [5, 0, 16, 3]])
@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "x.gif", "x.webp", "frames/"])
def test_a_stream_is_the_same_file_however_it_is_cut(tmp_path: Path, name: str, lengths: list[int]) -> None:
    video = Video(np.random.default_rng(0).integers(0, 255, (24, 62, 98, 3), dtype=np.uint8), 60.0)
    chunks = (chunk.copy() for chunk in np.split(video.frames, np.cumsum(lengths)[:-1]))
    streamed = media.write_stream(chunks, 60.0, f"{tmp_path}/deep/{name}")
    assert alike(streamed, media.write(video, f"{tmp_path}/whole/{name}"))
    assert len(os.listdir(tmp_path / "deep")) == 1


def test_a_quick_stream_is_a_quick_file(tmp_path: Path) -> None:
    video = numbered(12)
    streamed = media.write_stream([video.frames[:5], video.frames[5:]], 25.0, tmp_path / "a.mp4", quick=True)
    assert alike(streamed, media.write(video, tmp_path / "b.mp4", quick=True))
    assert contents(streamed) != contents(media.write(video, tmp_path / "c.mp4"))


@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "frames/"])
def test_a_stream_holds_no_more_than_two_chunks(tmp_path: Path, name: str) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def chunks() -> Iterator[np.ndarray]:
        nonlocal most
        for index in range(40):
            chunk = np.full((3, 32, 32, 3), index, np.uint8)
            alive.append(weakref.ref(chunk))
            most = max(most, sum(ref() is not None for ref in alive))
            yield chunk
            del chunk

    media.write_stream(chunks(), 25.0, f"{tmp_path}/{name}")
    assert len(alive) == 40
    assert 1 <= most <= 2


@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "x.gif", "x.webp", "x.png", "frames/"])
@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOSPC, "elsewhere"), MediaError("cut off")])
def test_a_stream_that_fails_leaves_what_was_there(tmp_path: Path, name: str, error: Exception) -> None:
    old = contents(media.write(numbered(1), f"{tmp_path}/{name}"))

    def chunks() -> Iterator[np.ndarray]:
        yield numbered(1).frames
        raise error

    with pytest.raises(type(error)) as caught:
        media.write_stream(chunks(), 25.0, f"{tmp_path}/{name}")
    assert caught.value is error  # not a word about the place that was written to
    assert os.listdir(tmp_path) == [name.rstrip("/")]
    assert contents(tmp_path / name.rstrip("/")) == old


def test_a_bad_stream_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    def never() -> Iterator[np.ndarray]:
        raise RuntimeError("asked for a frame")
        yield

    small, large = numbered(3).frames, numbered(3, width=128).frames
    for name in ("x.mp4", "x.webm", "x.gif", "x.webp", "x.png", "frames/"):
        for empty in ([], [small[:0]]):
            with pytest.raises(UsageError, match="there is no frame to write"):
                media.write_stream(empty, 25.0, f"{tmp_path}/{name}")
        if name != "x.png":
            with pytest.raises(UsageError, match=r"frames of 128x64 came after frames of 96x64"):
                media.write_stream([small, large], 25.0, f"{tmp_path}/{name}")
    with pytest.raises(UsageError, match=r"one .png holds one frame"):
        media.write_stream([small[:1], small[1:]], 25.0, tmp_path / "x.png")
    with pytest.raises(UsageError, match="97x64 has an odd side"):
        media.write_stream([small[:, :, :1].repeat(97, 2)], 25.0, tmp_path / "x.mp4")
    with pytest.raises(UsageError, match="unknown extension"):  # before any work on the frames
        media.write_stream(never(), 25.0, tmp_path / "x.mpx")
    assert not os.listdir(tmp_path)


def test_a_folder_that_fills_meanwhile_is_left_alone(tmp_path: Path) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield numbered(2).frames
        (tmp_path / "frames").mkdir()
        (tmp_path / "frames" / "notes.md").write_text("mine")
        yield numbered(2).frames

    with pytest.raises(UsageError, match=r"holds other things \(notes.md\)"):
        media.write_stream(chunks(), 25.0, f"{tmp_path}/frames/")
    assert os.listdir(tmp_path / "frames") == ["notes.md"]
    assert os.listdir(tmp_path) == ["frames"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
@pytest.mark.parametrize("suffix", ["mp4", "webm", "gif", "webp", "png"])
def test_every_encoder_reports_a_truly_full_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1 if suffix == "png" else 4, 128, 128, 3), dtype=np.uint8)
    (tmp_path / "device").symlink_to("/dev/full")
    monkeypatch.setattr(encode, "_temporary", lambda target: tmp_path / "device")
    with pytest.raises(StorageError, match="the disk is full"):
        media.write(Video(noise, 8.0), tmp_path / f"x.{suffix}")
    assert not os.listdir(tmp_path)


def test_a_cut_off_file_says_how_much_survives(sample: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 64, 96, 3), dtype=np.uint8)
    whole = media.write(Video(noise, 25.0), tmp_path / "whole.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    survived = 0
    try:
        for _ in media.frames(cut):
            survived += 1
    except MediaError as error:
        assert f"{survived} frames survive" in str(error)  # noqa: PT017
    assert 5 < survived < 25
    assert len(media.read(cut, end_s=0.2).frames) == 5  # the part before the damage is as good as ever
    for name, data in (("empty.mp4", b""), ("text.mp4", b"<html>not found</html>"), ("end.mp4", whole[900:])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match="0 frames survive"):
            media.probe(tmp_path / name)


def test_rotation_and_oblong_pixels_are_shown_as_a_viewer_would(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:20] = (250, 20, 20)  # the upper edge as stored
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(-90)
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    shown = media.read(path)
    assert shown.frames.shape == (3, 96, 64, 3)
    assert (media.probe(path).width, media.probe(path).height) == (64, 96)
    assert shown.frames[0, 48, -5, 0] > 180 > 90 > shown.frames[0, 48, 5, 0]  # clockwise
    wide = tmp_path / "wide.mp4"
    with av.open(str(wide), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    assert media.read(wide).frames.shape == (1, 64, 144, 3)


@needs_clips
@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("awkward/rotated_-90_sideways movie.mov", 480, 640),
        ("good/carphone_pristine.mp4", 193, 144),
        ("awkward/odd_639x361_444.mp4", 639, 361),
        ("awkward/vp8_odd_175x143.ivf", 175, 143),
        ("awkward/h264_10bit_testsrc.mp4", 200, 200),
        ("awkward/no_keyframe_start.ts", 640, 360),
    ],
)
def test_real_files_have_their_displayed_size(name: str, width: int, height: int) -> None:
    found = media.probe(CLIPS / name)
    assert (found.width, found.height) == (width, height)
    assert media.read(CLIPS / name, max_frames=2).frames.shape[1:] == (height, width, 3)


@needs_clips
def test_every_broken_file_ends_in_frames_or_in_a_media_error() -> None:
    outcomes: dict[str, tuple[int, str]] = {}
    for path in sorted((CLIPS / "broken").iterdir()):
        count, message = 0, ""
        try:
            for _ in media.frames(path, size=(32, 18)):
                count += 1
        except ManzarError as error:
            message = str(error)
            assert f"{count} frames survive" in message, path.name
        outcomes[path.name] = (count, message)
    assert outcomes["wrong_extension_webm_named.mp4"] == (150, "")
    assert outcomes["truncated_30pct_water.mp4"][0] == 30
    assert outcomes["zero_bytes.mp4"][0] == 0
    assert outcomes["zero_bytes.mp4"][1]


def test_a_read_only_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: object, target: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(StorageError, match="choose a place you may write to"):
        media.write(numbered(2), tmp_path / "x.mp4")
    monkeypatch.undo()
    assert not os.listdir(tmp_path)
    shutil.rmtree(tmp_path)
