"""Frames to files. The extension says the format; a file appears under its name only when it is whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

from manzar.nouns import MediaError, UsageError, Video, existing, storage

BT709 = 1  # the code of BT.709 for primaries, transfer and matrix alike (ITU-T H.273)
LIMITED_RANGE = 1
ENCODER_THREADS = 1  # fixed: the number changes the bytes that x264 writes, and two cost 1.5 times the work of one
# With weighted prediction x264 gives several files for the same frames (18 of 60 runs); without it, seldom.
X264_OPTIONS = {"crf": "16", "preset": "veryfast", "x264-params": "weightp=0"}
# For data sets: the same fidelity in a third of the time, at twice the size, and quicker to decode.
QUICK_X264_OPTIONS = {**X264_OPTIONS, "crf": "19", "preset": "ultrafast"}
VP9_OPTIONS = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "0"}
WEBP_QUALITY = 85
# Browsers show a picture of a GIF that claims less than 20 ms, of a WebP no more than 10 ms, for the tenth of a second.
GIF_FPS, WEBP_FPS = 50, 90
PNG_NAME = re.compile(r"frame_\d{5,}\.png")


def write(video: Video, path: str | Path, *, quick: bool = False) -> Path:
    """Write `video`, uint8 (T, H, W, 3), to `path` and return it as a Path.

    The extension decides: .mp4 (H.264, 4:2:0, BT.709, index in front), .webm (VP9), .gif, .webp (animated),
    .png (one frame); a path that ends in "/" or is a folder takes numbered PNG frames. Of more than 50 frames per
    second in a .gif, 90 in a .webp, only every second, third… is written, for no player shows them all. What was there
    before is replaced, and only by something whole. quick: of the ways to write .mp4 the one for many small files.
    Raises UsageError for an unknown extension, odd sides (mp4, webm) or several frames for one .png, StorageError if
    the disk is full or not writable, MediaError if the encoder fails.
    """
    shape = video.frames.shape
    assert video.frames.dtype == np.uint8, f"frames are {video.frames.dtype}, uint8 is needed"
    assert len(shape) == 4, f"frames are {shape}, (T, H, W, 3) is needed"
    assert shape[3] == 3, f"frames are {shape}, (T, H, W, 3) is needed"
    assert min(shape) > 0, f"frames are {shape}; every side must be above 0"
    assert video.fps > 0, f"a rate of {video.fps} frames per second was given; it must be above 0"
    target = Path(path)
    if str(path).endswith(("/", os.sep)) or target.is_dir():
        return _write_folder(video, target)
    writer = _write_quick_h264 if quick and target.suffix.lower() == ".mp4" else _WRITERS.get(target.suffix.lower())
    if writer is None:
        known = ", ".join(sorted(_WRITERS))
        raise UsageError(
            f'{path}: unknown extension "{target.suffix}"; use one of {known}, or end in "/" for PNG frames'
        )
    _check(video, target)
    with _written(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        try:
            writer(video, temporary)
            _sync(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """`storage` for a block that encodes: the encoder's errors carry the same numbers; what is left is a MediaError."""
    try:
        with storage(path):
            try:
                yield
            except av.error.FFmpegError as error:
                raise OSError(error.errno, error.strerror) from error
    except OSError as error:
        raise MediaError(f"cannot write {path}: {error.strerror or error}") from error


def _check(video: Video, target: Path) -> None:
    frames, height, width, _ = video.frames.shape
    if target.suffix.lower() in (".mp4", ".webm") and (width % 2 or height % 2):
        even = f"{width + width % 2}x{height + height % 2}"
        raise UsageError(
            f"{target}: {width}x{height} has an odd side, which H.264 and VP9 players cannot show; use {even}"
        )
    if target.suffix.lower() == ".png" and frames > 1:
        raise UsageError(f'{target}: one .png holds one frame, not {frames}; end the path in "/" for numbered frames')


def _write_h264(video: Video, path: Path) -> None:
    _encode(video, path, "mp4", "libx264", X264_OPTIONS, {"movflags": "+faststart"})


def _write_quick_h264(video: Video, path: Path) -> None:
    _encode(video, path, "mp4", "libx264", QUICK_X264_OPTIONS, {"movflags": "+faststart"})


def _write_vp9(video: Video, path: Path) -> None:
    _encode(video, path, "webm", "libvpx-vp9", VP9_OPTIONS, {})


def _encode(
    video: Video, path: Path, container: str, codec: str, options: dict[str, str], container_options: dict[str, str]
) -> None:
    _, height, width, _ = video.frames.shape
    with av.open(str(path), "w", format=container, options=container_options) as output:
        stream = output.add_stream(codec, rate=Fraction(video.fps).limit_denominator(1001), options=options)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context.thread_count = ENCODER_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        reformatter = VideoReformatter()
        for array in video.frames:
            picture = reformatter.reformat(
                av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(array), format="rgb24"),
                format="yuv420p",
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
                threads=1,
            )
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))


def _write_gif(video: Video, path: Path) -> None:
    """Players round a GIF's clock to hundredths of a second, so the error is carried over, not summed."""
    video = _at_most(GIF_FPS, video)
    ends = [round((index + 1) * 100 / video.fps) for index in range(len(video.frames))]
    durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for frame in video.frames]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False)


def _write_webp(video: Video, path: Path) -> None:
    video = _at_most(WEBP_FPS, video)
    ends = [round((index + 1) * 1000 / video.fps) for index in range(len(video.frames))]
    durations = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    pictures = [Image.fromarray(frame) for frame in video.frames]
    pictures[0].save(
        path, "WEBP", save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=WEBP_QUALITY
    )


def _at_most(fps: float, video: Video) -> Video:
    """The video itself, or as much of it as every second, third… frame at no more than `fps`."""
    every = ceil(video.fps / fps)
    return Video(video.frames[::every], video.fps / every)


def _write_png(video: Video, path: Path) -> None:
    Image.fromarray(video.frames[0]).save(path, "PNG")


_WRITERS: dict[str, Callable[[Video, Path], None]] = {
    ".mp4": _write_h264,
    ".webm": _write_vp9,
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".png": _write_png,
}


def _write_folder(video: Video, target: Path) -> Path:
    """frame_00000.png and so on. Older frames there are replaced; a folder with anything else is left alone."""
    if target.exists():
        existing(target, "folder")
        others = [entry.name for entry in target.iterdir() if not PNG_NAME.fullmatch(entry.name)]
        if others:
            raise UsageError(f"{target} holds other things ({others[0]}); choose a new or empty folder for the frames")
    with _written(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        try:
            temporary.mkdir()
            for index, frame in enumerate(video.frames):
                Image.fromarray(frame).save(temporary / f"frame_{index:05d}.png")
            if target.exists():
                shutil.rmtree(target)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _temporary(target: Path) -> Path:
    """A name beside `target`, so that the last step is a rename on one disk."""
    return target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
