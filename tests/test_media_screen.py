"""What a person watching expects: light, fields, turns, shapes and clocks of awkward files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from test_media import CLIPS, needs_clips, number_of, numbered

from manzar import media
from manzar.media import deinterlace
from manzar.media.clock import Clock
from manzar.media.hdr import BT2020_TO_BT709, hlg_scene, pq_code, to_sdr
from manzar.media.screen import Screen
from manzar.nouns import Video

Array = np.ndarray


def encoded(
    path: Path,
    pictures: Sequence[Array],
    codec: str = "libx264",
    form: str = "yuv420p",
    *,
    source: str = "rgb24",
    options: dict[str, str] | None = None,
    tags: tuple[int, int, int] | None = None,
    matrix: tuple[int, ...] | None = None,
) -> Path:
    """`pictures` in `path` at 10 per second; tags: codes of primaries, transfer and colour matrix."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=10, options=options or {"crf": "4"})
        first = av.VideoFrame.from_ndarray(pictures[0], format=source)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, form
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if tags is not None:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = tags
            context.color_range = 1
        for array in pictures:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source)
            if tags is not None:
                picture.color_primaries, picture.color_trc, picture.colorspace = tags
                picture.color_range = 1
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def grey10(signal: float, width: int = 64, height: int = 48) -> Array:
    """A limited-range 10-bit grey of `signal` in [0, 1] as planes of yuv420p: (1.5 H, W) uint16."""
    planes = np.full((height * 3 // 2, width), 512, np.uint16)
    planes[:height] = round(64 + 876 * signal)
    return planes


# 18 % grey is 26 cd/m² under a white of 203 (BT.2408 table 1); an ordinary screen shows (26 / 203) ** (1 / 2.4).
GREY = round(255 * (26 / 203) ** (1 / 2.4))


@pytest.mark.parametrize(("name", "transfer", "signal"), [("pq", 16, 0.38), ("hlg", 18, 0.38)])
def test_hdr_grey_lands_where_a_plain_screen_has_it(tmp_path: Path, name: str, transfer: int, signal: float) -> None:
    whole = [grey10(level) for level in (signal, 0.0, 0.58 if name == "pq" else 0.75, 1.0)]
    path = encoded(tmp_path / "x.mkv", whole, "ffv1", "yuv420p10le", source="yuv420p10le", tags=(9, transfer, 9))
    found = media.probe(path)
    assert (found.hdr, found.bit_depth) == (name, 10)
    shown = media.read(path).frames.mean((1, 2))  # (4, 3)
    assert np.abs(shown[0] - GREY).max() <= 4
    assert shown[1].max() == 0
    assert 215 <= shown[2].min() <= shown[2].max() <= 245  # reference white leaves room for highlights above it
    assert shown[3].min() >= 254


def test_tone_curve_keeps_order_and_hue_and_gamut() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 3000).astype(np.uint16)[None, :, None], 3, -1)
    for transfer in ("pq", "hlg", "gamma"):
        levels = to_sdr(ramp, transfer)[0, :, 0].astype(int)
        assert (np.diff(levels) >= 0).all() and levels[0] == 0 and levels[-1] == 255
    assert np.abs(to_sdr(ramp, "gamma")[0, :, 1].astype(int) - np.linspace(0, 255, 3000)).max() <= 1.5
    red = np.linalg.inv(BT2020_TO_BT709.astype(np.float64)) @ np.array((80.0, 0.0, 0.0))  # BT.709 red in BT.2020 light
    shown = to_sdr(np.round(65535 * pq_code(np.maximum(red, 0)))[None, None].astype(np.uint16), "pq")[0, 0]
    assert abs(int(shown[0]) - 255 * (80 / 203) ** (1 / 2.4)) <= 3 and shown[1:].max() <= 25
    bright = to_sdr(np.full((1, 1, 3), (60000, 50000, 40000), np.uint16), "pq")[0, 0].astype(int)
    assert bright[0] > bright[1] > bright[2]
    assert hlg_scene(np.array((0.5, 1.0))) == pytest.approx((1 / 12, 1.0), abs=1e-6)


@needs_clips
def test_the_tagged_file_is_noticed() -> None:
    found = media.probe(CLIPS / "awkward/hdr10_pq_bt2020_tagged.mp4")
    assert (found.hdr, found.bit_depth, found.width, found.height) == ("pq", 10, 640, 360)


def woven(count: int) -> tuple[list[Array], list[Array]]:
    """Pictures of a bar that moves 8 pixels a field, and the same woven from two fields, the lower one first."""
    fields = np.full((2 * count, 64, 320, 3), 40, np.uint8)
    for index in range(2 * count):
        fields[index, :, 8 * index : 8 * index + 24] = 220
    pictures = fields[::2].copy()
    pictures[:, ::2] = fields[1::2, ::2]
    return list(fields[::2]), list(pictures)


def combs(frames: Array) -> float:
    """How much lines differ from the mean of those above and below."""
    frames = frames.astype(float)
    return float(np.abs(frames[:, 1:-1] - (frames[:, :-2] + frames[:, 2:]) / 2).mean())


def test_woven_fields_come_out_whole_one_picture_each(tmp_path: Path) -> None:
    upright, pictures = woven(12)
    path = encoded(tmp_path / "x.mp4", pictures, options={"crf": "4", "x264-params": "bff=1"})
    assert media.probe(path).interlaced
    shown = media.read(path)
    assert shown.frames.shape == (12, 64, 320, 3) and shown.fps == 10
    assert combs(shown.frames) < combs(np.stack(pictures)) / 20
    truth = np.stack(upright).astype(int)
    assert np.abs(shown.frames - truth)[1:].mean() < 1 < 4 < np.abs(np.stack(pictures) - truth)[1:].mean()
    assert [round(seconds * 10) for seconds, _ in media.frames(path)] == list(range(12))


def test_a_damaged_interlaced_file_keeps_its_last_good_picture(tmp_path: Path) -> None:
    path = encoded(tmp_path / "x.mp4", woven(6)[1], options={"crf": "4", "x264-params": "bff=1"})

    def failing() -> object:
        with av.open(str(path)) as container:
            yield from list(container.decode(video=0))[:4]
            raise av.error.InvalidDataError(1, "bad")

    shown: list[object] = []
    with pytest.raises(av.error.InvalidDataError):
        shown.extend(deinterlace.deinterlaced(failing()))  # type: ignore[arg-type]
    assert len(shown) == 4


def test_progressive_pictures_do_not_meet_the_deinterlacer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deinterlace, "_graph", lambda picture: pytest.fail("a filter was set up"))
    path = media.write(numbered(5), tmp_path / "x.mp4")
    assert len(media.read(path).frames) == 5
    assert not media.probe(path).interlaced


ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "rotation", "red", "blue"),  # where the red left edge and the blue upper right corner are shown
    [
        ((ONE, 0, 0, ONE), 0, "left", "top right"),
        ((0, ONE, -ONE, 0), 90, "top", "bottom right"),
        ((-ONE, 0, 0, -ONE), 180, "right", "bottom left"),
        ((0, -ONE, ONE, 0), 270, "bottom", "top left"),
        ((-ONE, 0, 0, ONE), 180, "right", "top left"),  # mirrored, as front cameras do
    ],
)
def test_every_display_matrix(tmp_path: Path, matrix: tuple[int, ...], rotation: int, red: str, blue: str) -> None:
    stored = np.full((64, 96, 3), 128, np.uint8)
    stored[:, :16] = (250, 10, 10)
    stored[:16, -16:] = (10, 10, 250)
    a, b, c, d = matrix
    path = encoded(tmp_path / "x.mp4", [stored] * 2, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    shown = media.read(path).frames[0].astype(int)
    edges = {"left": shown[:, :8], "right": shown[:, -8:], "top": shown[:8], "bottom": shown[-8:]}
    redness = {name: (edge[..., 0] - edge[..., 1]).mean() for name, edge in edges.items()}
    assert max(redness, key=redness.__getitem__) == red
    corners = {
        "top left": shown[:8, :8], "top right": shown[:8, -8:],
        "bottom left": shown[-8:, :8], "bottom right": shown[-8:, -8:],
    }  # fmt: skip
    blueness = {name: (corner[..., 2] - corner[..., 0]).mean() for name, corner in corners.items()}
    assert max(blueness, key=blueness.__getitem__) == blue
    found = media.probe(path)
    assert found.rotation == rotation
    assert (found.height, found.width) == shown.shape[:2]


def test_ten_bits_become_eight_without_a_shift(tmp_path: Path) -> None:
    levels = (0.0, 0.25, 0.5, 1.0)
    path = encoded(
        tmp_path / "x.mp4", [grey10(v) for v in levels], form="yuv420p10le", source="yuv420p10le", tags=(1, 1, 1)
    )
    shown = media.read(path).frames.mean((1, 2, 3))
    assert np.abs(shown - 255 * np.array(levels)).max() < 1
    found = media.probe(path)
    assert (found.bit_depth, found.hdr, found.audio, found.alpha) == (10, "", False, False)


def test_odd_sides_and_oblong_pixels(tmp_path: Path) -> None:
    path = encoded(tmp_path / "x.mkv", list(numbered(3, width=95, height=63).frames), form="yuv444p")
    assert media.read(path).frames.shape == (3, 63, 95, 3)
    assert [number_of(f) for f in media.read(path).frames] == [0, 1, 2]
    tall = tmp_path / "tall.mp4"
    with av.open(str(tall), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(1, 2)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1).frames[0], format="rgb24")))
        output.mux(stream.encode(None))
    assert media.read(tall).frames.shape == (1, 128, 96, 3)
    assert media.probe(tall).pixel_aspect == 0.5


def test_pixels_of_no_plausible_shape_are_square() -> None:
    picture = av.VideoFrame(96, 64, "yuv420p")
    assert Screen(picture, Fraction(8)).displayed == (768, 64)
    for aspect in (Fraction(2_000_000), Fraction(1, 2_000_000), Fraction(0), None):
        assert (Screen(picture, aspect).displayed, Screen(picture, aspect).pixel_aspect) == ((96, 64), 1)


def test_a_file_of_one_frame(tmp_path: Path) -> None:
    path = media.write(numbered(1), tmp_path / "one.mp4")
    assert media.read(path).frames.shape == (1, 64, 96, 3)
    assert [seconds for seconds, _ in media.frames(path)] == [0.0]
    assert media.picture(path).shape == (64, 96, 3)


def test_pictures_that_change_size_on_the_way(tmp_path: Path) -> None:
    """The first size holds; the same shape fills it, another shape stands between bars."""
    path = tmp_path / "x.h264"
    white = [np.full((height, width, 3), 255, np.uint8) for height, width in ((64, 96), (32, 48), (96, 64))]
    parts = [encoded(tmp_path / f"{index}.h264", [one] * 3).read_bytes() for index, one in enumerate(white)]
    path.write_bytes(b"".join(parts))
    shown = media.read(path)
    assert shown.frames.shape == (9, 64, 96, 3)
    assert shown.frames[:6].min() > 245
    assert shown.frames[6:, :, 30:66].min() > 245 and shown.frames[6:, :, :24].max() < 10
    small = media.read(path, size=(48, 32)).frames
    assert small[6:, :, 16:32].min() > 245 and small[6:, :, :11].max() < 10 and small[6:, :, -11:].max() < 10


def test_no_duration_and_no_clock(tmp_path: Path) -> None:
    path = encoded(tmp_path / "x.h264", list(numbered(20).frames))
    found = media.probe(path)
    assert found.seconds is None
    shown = media.read(path)
    assert [number_of(frame) for frame in shown.frames] == list(range(20))
    assert shown.fps == found.fps


def ticks(*times: float | None) -> list[float]:
    """What a clock of 25 pictures per second makes of a container's times."""
    clock, tick = Clock(25.0), Fraction(1, 1000)
    stamps = [None if time is None else round(time * 1000) for time in times]
    return [round(clock.seconds(SimpleNamespace(pts=stamp, time_base=tick)), 3) for stamp in stamps]


def test_the_clock_only_goes_forwards() -> None:
    assert ticks(7.0, 7.04, 7.08) == [0.0, 0.04, 0.08]
    assert ticks(None, None, None) == [0.0, 0.04, 0.08]
    assert ticks(0.0, 0.08, 0.04, 0.16) == [0.0, 0.08, 0.12, 0.16]  # trembles
    assert ticks(50.0, 50.1, 2.0, 2.1) == [0.0, 0.1, 0.14, 0.24]  # joined recordings: set back
    assert ticks(0.0, 0.1, 95443.7, 95443.8) == [0.0, 0.1, 0.14, 0.24]  # set forward by a wrap of 33 bits
    assert ticks(0.0, 0.1, 30.0) == [0.0, 0.1, 30.0]  # a pause is a pause
    assert ticks(None, 5.0, 5.04) == [0.0, 0.04, 0.08]


def test_recordings_joined_end_to_end_play_on(tmp_path: Path) -> None:
    one = encoded(tmp_path / "one.ts", list(numbered(12).frames)).read_bytes()
    path = tmp_path / "two.ts"
    path.write_bytes(one + one)
    times = [seconds for seconds, _ in media.frames(path)]
    assert len(times) == 24
    assert np.diff(times).min() > 0 and times[-1] < 3
    assert [number_of(frame) for frame in media.read(path).frames] == 2 * list(range(12))


@needs_clips
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("negative_pts_earth.avi", 901),
        ("no_duration_dark.webm", 74),
        ("vp8_resize_midstream_tree.ivf", 2),
        ("vp8_single_frame.ivf", 1),
        ("raw_annexb_butterfly_720.h264", 41),
        ("interlaced_tff_mpeg2.mpg", 60),
        ("vfr_webcam_awesome'movie.mov", 123),
        ("failing_audio.mp4", 280),
        ("data&streams=works?+file.mp4", 309),
    ],
)
def test_awkward_files_give_every_picture_once_in_order(name: str, count: int) -> None:
    times = [seconds for seconds, _ in media.frames(CLIPS / "awkward" / name, size=(32, 18))]
    assert len(times) == count
    assert times[0] == 0 and (count == 1 or np.diff(times).min() > 0)
    assert times[-1] < 40


def test_sound_is_noticed_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        sound = output.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 48000, 0
        for array in numbered(5).frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        output.mux(stream.encode(None))
        output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    assert media.probe(path).audio
    assert media.read(path).frames.shape == (5, 64, 96, 3)
    assert not media.probe(media.write(Video(numbered(2).frames, 5.0), tmp_path / "y.mp4")).audio
