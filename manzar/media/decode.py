"""Files to frames. Everything comes out as a viewer would show it: turned upright, square pixels, RGB.

Decoding streams: no function holds more frames than the part that was asked for. Seconds count from the first
picture of the file, whatever clock the container keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from manzar.nouns import MediaError, UsageError, Video, existing

if TYPE_CHECKING:
    from manzar.nouns import Frames

DECODER_THREADS = 2
THREADED_PIXELS = 640 * 360  # below this a second decoding thread costs more than it brings
PLAUSIBLE_FPS = (0.1, 240.0)  # containers without a clock claim 1000 or 90000 frames per second
FALLBACK_FPS = 25.0
UNSPECIFIED_COLOURSPACE = 2
# Without these two swscale takes white to 253 and loses a level of every colour; with them grey stays grey.
EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
HD_HEIGHT = 720  # untagged material from here on is taken for BT.709, below for BT.601, as browsers do


@dataclass(frozen=True)
class Probe:
    """What a file says about itself. `width` and `height` are as displayed; `frames` and `seconds` are the header's
    claim, None where it makes none."""

    width: int
    height: int
    fps: float
    frames: int | None
    seconds: float | None
    codec: str


class _Input(NamedTuple):
    path: Path
    container: Any
    stream: Any


def probe(path: str | Path) -> Probe:
    """Size, rate, length and codec from the header and the first picture.

    Raises UsageError if there is no such file, MediaError if no picture can be decoded from it.
    """
    with _open(path) as source:
        first = next(_pictures(source), None)
        if first is None:
            raise MediaError(f"{path}: damaged, 0 frames survive; no picture can be decoded from it")
        width, height = _display_size(source, first)
        return Probe(
            width=width,
            height=height,
            fps=_nominal_fps(source),
            frames=source.stream.frames or None,
            seconds=_declared_seconds(source),
            codec=source.stream.codec_context.name,
        )


def frames(path: str | Path, *, size: tuple[int, int] | None = None) -> Iterator[tuple[float, Frames]]:
    """Every picture of a file as (seconds since the first picture, uint8 (H, W, 3)), in order of display.

    `size` (width, height) scales each picture as it is decoded; otherwise all have the size of the first.
    Raises UsageError for a missing file and MediaError for one that cannot be opened; at a damaged place the pictures
    before it have been given out and MediaError says how many there were.
    """
    with _open(path) as source:
        yield from _shown(source, size)


def read(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    max_frames: int | None = None,
) -> Video:
    """The part of a file between `start_s` and `end_s`, at a constant rate.

    fps: frames per second of the result; None keeps the file's own rate (its mean rate where that varies).
    size: (width, height) of the result; None keeps the displayed size.
    max_frames: stop after this many frames of the result.
    Raises UsageError for a missing file or a part that is empty, MediaError for a file damaged before the part ends.
    """
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise UsageError(f"cannot read from {start_s} s to {end_s} s of {path}; the start must come before the end")
    if fps is not None and fps <= 0:
        raise UsageError(f"cannot read {path} at {fps} frames per second; the rate must be above 0")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"cannot read {max_frames} frames of {path}; ask for at least 1")
    with _open(path) as source:
        nominal = _nominal_fps(source)
        # A little more than asked for on either side, so that the nearest picture is always among those held.
        margin = 1.0 / min(nominal, fps or nominal)
        limit = end_s
        if max_frames is not None:
            reach = start_s + max_frames / (fps or nominal)
            limit = reach if limit is None else min(limit, reach)
        held: list[tuple[float, Frames]] = []
        for seconds, picture in _from(source, start_s - margin, size):
            if limit is not None and held and seconds >= limit + margin:
                break
            if seconds < start_s - margin and held:
                held.clear()
            held.append((seconds, picture))
    if not held:
        raise MediaError(f"{path}: damaged, 0 frames survive")
    if held[-1][0] + margin <= start_s:
        raise UsageError(f"{path} ends before {start_s} s; ask for an earlier part")
    return _constant_rate(held, start_s, end_s, fps, nominal, max_frames)


def _constant_rate(
    held: list[tuple[float, Frames]],
    start_s: float,
    end_s: float | None,
    fps: float | None,
    nominal: float,
    max_frames: int | None,
) -> Video:
    """Pick from `held` the pictures on display at `start_s + k / fps`."""
    times = [seconds for seconds, _ in held]
    fps = fps or true_fps(times, nominal)
    last = end_of(times, nominal) if end_s is None else min(end_s, end_of(times, nominal))
    count = max(1, round((last - start_s) * fps))
    picks = resample(times, start_s, fps, count if max_frames is None else min(count, max_frames), nominal)
    return Video(np.stack([held[index][1] for index in picks]), fps)


def true_fps(times: list[float], nominal: float) -> float:
    """The mean rate of pictures shown at `times` (seconds): `nominal` where it agrees within 2 %, else as measured."""
    span = times[-1] - times[0]
    if len(times) < 3 or span <= 0:
        return nominal
    measured = (len(times) - 1) / span
    return nominal if abs(measured / nominal - 1) < 0.02 else round(measured, 3)


def end_of(times: list[float], nominal: float) -> float:
    """When the last of the pictures shown at `times` (seconds) goes: it stays as long as most others do."""
    return times[-1] + (float(np.median(np.diff(times))) if len(times) > 2 else 1.0 / nominal)


def resample(times: list[float], start_s: float, fps: float, count: int, source_fps: float) -> list[int]:
    """For each k < count the index of the picture on display at `start_s + k / fps`.

    Half a period of the faster of the two clocks is forgiven, so that a file whose clock ticks in whole milliseconds
    keeps its frames one for one at its own rate.
    """
    wanted = start_s + np.arange(count) / fps + 0.5 / max(fps, source_fps) - 1e-6
    return [int(index) for index in np.maximum(np.searchsorted(times, wanted, side="right") - 1, 0)]


@contextmanager
def _open(path: str | Path) -> Iterator[_Input]:
    existing(path, "file")
    if Path(path).suffix.lower() == ".webp":
        raise MediaError(f"{path}: WebP is written but not read as video; use .mp4, .webm or .gif instead")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a video that can be opened ({_reason(error)}); 0 frames survive") from error
    try:
        stream = container.streams.best("video")
        if stream is None:
            raise MediaError(f"{path} holds no pictures, only sound or data; a video is needed")
        stream.codec_context.thread_count = DECODER_THREADS
        large = stream.codec_context.width * stream.codec_context.height >= THREADED_PIXELS
        stream.codec_context.thread_type = "AUTO" if large else "NONE"
        yield _Input(Path(path), container, stream)
    finally:
        with suppress(av.error.FFmpegError, OSError):
            container.close()


def _pictures(source: _Input) -> Iterator[av.VideoFrame]:
    """Decoded pictures from where the file stands; MediaError with the count so far at the first damaged place."""
    count = 0
    try:
        for packet in source.container.demux(source.stream):
            for picture in packet.decode():
                count += 1
                yield picture
    except (av.error.EOFError, EOFError):  # some demuxers end this way
        return
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{source.path}: damaged ({_reason(error)}); {count} frames survive before it") from error


def _shown(source: _Input, size: tuple[int, int] | None, origin: float | None = None) -> Iterator[tuple[float, Frames]]:
    """Pictures with their times; `origin` is the clock of the file's first picture, if the file was sought."""
    reformatter = VideoReformatter()
    step = 1.0 / _nominal_fps(source)
    previous = -step
    for picture in _pictures(source):
        if size is None:
            size = _display_size(source, picture)
        clock = None if picture.pts is None else float(picture.pts * picture.time_base)
        if origin is None and clock is not None:
            origin = clock
        seconds = previous + step if clock is None or origin is None else clock - origin
        if seconds <= previous:  # a clock that stands still or runs back: keep the order of display
            seconds = previous + step
        previous = seconds
        try:
            shown = _as_displayed(reformatter, picture, size)
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(f"{source.path}: a picture cannot be converted ({_reason(error)})") from error
        yield seconds, shown


def _from(source: _Input, start_s: float, size: tuple[int, int] | None) -> Iterator[tuple[float, Frames]]:
    """Pictures beginning at or before `start_s`: by seeking where the file allows it, else from its beginning."""
    if start_s <= 2.0:  # nearer than most key frames lie apart
        yield from _shown(source, size)
        return
    first = next(_pictures(source), None)
    if first is not None and first.pts is not None and source.stream.time_base is not None:
        origin = float(first.pts * first.time_base)
        size = size or _display_size(source, first)
        sought, opening = _shown(source, size, origin), None
        with suppress(av.error.FFmpegError, OSError, MediaError):
            target = int((origin + start_s) / float(source.stream.time_base))
            source.container.seek(target, stream=source.stream, backward=True)
            opening = next(sought, None)
        if opening is not None and opening[0] <= start_s:
            yield opening
            yield from sought
            return
    with _open(source.path) as again:
        yield from _shown(again, size)


def _as_displayed(reformatter: VideoReformatter, picture: av.VideoFrame, size: tuple[int, int]) -> Frames:
    """One picture as uint8 (H, W, 3) of `size` (width, height): colour matrix, scale and rotation applied."""
    turns = round(picture.rotation / 90) % 4  # anticlockwise quarter turns
    width, height = size if turns % 2 == 0 else size[::-1]
    smaller = width * height <= picture.width * picture.height
    matrix: Colorspace | None = None
    if picture.colorspace == UNSPECIFIED_COLOURSPACE and picture.format.name.startswith("yuv"):
        matrix = Colorspace.ITU709 if picture.height >= HD_HEIGHT else Colorspace.ITU601
    converted = reformatter.reformat(
        picture,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        interpolation=(Interpolation.AREA if smaller else Interpolation.BICUBIC) | EXACT,
        threads=1,
    )
    array: Frames = np.asarray(converted.to_ndarray(), dtype=np.uint8)
    return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


def _display_size(source: _Input, picture: av.VideoFrame) -> tuple[int, int]:
    """(width, height) on a screen with square pixels; an oblong pixel enlarges the shorter side, nothing is lost."""
    width, height = picture.width, picture.height
    aspect = source.stream.sample_aspect_ratio
    if aspect is not None and aspect > 1:
        width = round(width * aspect)
    elif aspect is not None and 0 < aspect < 1:
        height = round(height / aspect)
    quarter = round(picture.rotation / 90) % 2 == 1
    return (height, width) if quarter else (width, height)


def _nominal_fps(source: _Input) -> float:
    for rate in (source.stream.average_rate, source.stream.guessed_rate, source.stream.base_rate):
        if rate is not None and PLAUSIBLE_FPS[0] <= rate <= PLAUSIBLE_FPS[1]:
            return float(rate)
    return FALLBACK_FPS


def _declared_seconds(source: _Input) -> float | None:
    """Length of the pictures by the header; the container's own only where no sound could be what makes it long."""
    stream, container = source.stream, source.container
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and not container.streams.audio:
        return float(container.duration) / float(av.time_base)
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip()
