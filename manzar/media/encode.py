"""Frames to files. The extension says the format; a file appears under its name only when it is whole.

One way through: a `_Film` of pictures as they come, a writer for the format, a temporary name, a rename. A video in
memory is a film of one chunk.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice
from math import ceil
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

from manzar.nouns import Frames, MediaError, UsageError, Video, existing, storage

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
FOLDER = "/"  # among the extensions: a folder of numbered PNG frames
TAGGED = (".mp4", ".webm")  # formats that take `metadata`
PNG_NAME = re.compile(r"frame_\d{5,}\.png")


def write(video: Video, path: str | Path, *, quick: bool = False, metadata: Mapping[str, str] | None = None) -> Path:
    """Write `video`, uint8 (T, H, W, 3), to `path` and return it as a Path.

    The extension decides: .mp4 (H.264, 4:2:0, BT.709, index in front), .webm (VP9), .gif, .webp (animated),
    .png (one frame); a path that ends in "/" or is a folder takes numbered PNG frames. Of more than 50 frames per
    second in a .gif, 90 in a .webp, only every second, third… is written, for no player shows them all. What was there
    before is replaced, and only by something whole. quick: of the ways to write .mp4 the one for many small files.
    metadata: keys and texts about the film as a whole, any keys, for .mp4 and .webm; `media.tags` reads them back.
    Raises UsageError for an unknown extension, odd sides (mp4, webm), several frames for one .png or no frame at all,
    StorageError if the disk is full or not writable, MediaError if the encoder fails.
    """
    return write_stream([video.frames], video.fps, path, quick=quick, metadata=metadata)


def write_stream(
    chunks: Iterable[Frames],
    fps: float,
    path: str | Path,
    *,
    quick: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """As `write`, of a video that comes in chunks, uint8 (T, H, W, 3) each: the same bytes however it is cut.

    Memory is that of two chunks, the one being written and the one being made, for .mp4, .webm and PNG frames; .gif and
    .webp are encoded as a whole, so all of their pictures are held. Raises what `write` raises, UsageError also where
    a chunk has another size than the first; what the chunks themselves raise passes as it is. Either way no part of
    a file is left behind.
    """
    target = Path(path)
    kind = FOLDER if str(path).endswith(("/", os.sep)) or target.is_dir() else target.suffix.lower()
    writer = _write_quick_h264 if quick and kind == ".mp4" else _WRITERS.get(kind)
    if writer is None:
        known = ", ".join(sorted(_WRITERS.keys() - {FOLDER}))
        raise UsageError(
            f'{path}: unknown extension "{target.suffix}"; use one of {known}, or end in "/" for PNG frames'
        )
    if metadata and kind not in TAGGED:
        raise UsageError(f"{path}: metadata can be written into {' and '.join(TAGGED)} alone; use one of them")
    if kind == FOLDER:
        _leave_others_alone(target)
    try:
        film = replace(_film(chunks, fps, kind, target), metadata=metadata or {})
        with _written(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = _temporary(target)
            try:
                writer(film, temporary)
                _replace(temporary, target)
            finally:
                _remove(temporary)
    except _ChunkError as error:
        raise error.theirs  # noqa: B904  ("from" would write over the cause that it has of its own)
    return target


@dataclass
class _Film:
    """Pictures in their order, each uint8 (height, width, 3), taken as they come."""

    pictures: Iterator[Frames]
    fps: float
    width: int
    height: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class _ChunkError(Exception):
    """Carries an error of the caller's own chunks past `_written`, which would take it for a failure to write."""

    def __init__(self, theirs: Exception) -> None:
        self.theirs = theirs


def _film(chunks: Iterable[Frames], fps: float, kind: str, target: Path) -> _Film:
    """The film of these chunks, whose first picture is taken and put back. UsageError if `kind` cannot hold it."""
    assert fps > 0, f"a rate of {fps} frames per second was given; it must be above 0"
    pictures = _pictures(chunks, target)
    first = next(pictures, None)
    if first is None:
        raise UsageError(f"{target}: there is no frame to write; a video has at least one")
    height, width, _ = first.shape
    if kind in (".mp4", ".webm") and (width % 2 or height % 2):
        even = f"{width + width % 2}x{height + height % 2}"
        raise UsageError(
            f"{target}: {width}x{height} has an odd side, which H.264 and VP9 players cannot show; use {even}"
        )
    if kind == ".png" and next(pictures, None) is not None:
        raise UsageError(f'{target}: one .png holds one frame, not several; end the path in "/" for numbered frames')
    # iter: a chain keeps what it was made of, and the first picture would keep its chunk
    return _Film(chain(iter([first]), pictures), fps, width, height)


def _pictures(chunks: Iterable[Frames], target: Path) -> Iterator[Frames]:
    """Every (H, W, 3) of the chunks, which must agree in size."""
    size: tuple[int, ...] = ()
    source = iter(chunks)
    while True:
        try:
            chunk = next(source, None)
        except (OSError, av.error.FFmpegError) as error:
            raise _ChunkError(error) from error
        if chunk is None:
            return
        shape = chunk.shape
        assert chunk.dtype == np.uint8, f"frames are {chunk.dtype}, uint8 is needed"
        assert len(shape) == 4, f"frames are {shape}, (T, H, W, 3) is needed"
        assert shape[3] == 3, f"frames are {shape}, (T, H, W, 3) is needed"
        assert min(shape[1:]) > 0, f"frames are {shape}; every side must be above 0"
        size = size or shape[1:3]
        if shape[1:3] != size:
            now, before = f"{shape[2]}x{shape[1]}", f"{size[1]}x{size[0]}"
            raise UsageError(f"{target}: frames of {now} came after frames of {before}; a video has one size")
        yield from chunk


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


def _write_h264(film: _Film, path: Path) -> None:
    _encode(film, path, "mp4", "libx264", X264_OPTIONS, _mp4_options(film))


def _write_quick_h264(film: _Film, path: Path) -> None:
    _encode(film, path, "mp4", "libx264", QUICK_X264_OPTIONS, _mp4_options(film))


def _mp4_options(film: _Film) -> dict[str, str]:
    # without use_metadata_tags the muxer drops, in silence, every key that it does not know
    return {"movflags": "+faststart+use_metadata_tags" if film.metadata else "+faststart"}


def _write_vp9(film: _Film, path: Path) -> None:
    # bitexact: or the muxer would number the track at random, and no two files would be the same
    _encode(film, path, "webm", "libvpx-vp9", VP9_OPTIONS, {"fflags": "+bitexact"})


def _encode(
    film: _Film, path: Path, container: str, codec: str, options: dict[str, str], container_options: dict[str, str]
) -> None:
    with av.open(str(path), "w", format=container, options=container_options) as output:
        output.metadata.update(film.metadata)
        stream = output.add_stream(codec, rate=Fraction(film.fps).limit_denominator(1001), options=options)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
        context.thread_count = ENCODER_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        reformatter = VideoReformatter()
        for array in film.pictures:
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


def _write_gif(film: _Film, path: Path) -> None:
    """Players round a GIF's clock to hundredths of a second, so the error is carried over, not summed."""
    film = _at_most(GIF_FPS, film)
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for frame in film.pictures]
    ends = [round((index + 1) * 100 / film.fps) for index in range(len(pictures))]
    durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False)


def _write_webp(film: _Film, path: Path) -> None:
    film = _at_most(WEBP_FPS, film)
    pictures = [Image.fromarray(frame) for frame in film.pictures]
    ends = [round((index + 1) * 1000 / film.fps) for index in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    pictures[0].save(
        path, "WEBP", save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=WEBP_QUALITY
    )


def _at_most(fps: float, film: _Film) -> _Film:
    """The film itself, or as much of it as every second, third… picture at no more than `fps`."""
    every = ceil(film.fps / fps)
    return replace(film, pictures=islice(film.pictures, 0, None, every), fps=film.fps / every)


def _write_png(film: _Film, path: Path) -> None:
    Image.fromarray(next(film.pictures)).save(path, "PNG")


def _write_folder(film: _Film, path: Path) -> None:
    """frame_00000.png and so on."""
    path.mkdir()
    for index, frame in enumerate(film.pictures):
        Image.fromarray(frame).save(path / f"frame_{index:05d}.png")


_WRITERS: dict[str, Callable[[_Film, Path], None]] = {
    ".mp4": _write_h264,
    ".webm": _write_vp9,
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".png": _write_png,
    FOLDER: _write_folder,
}


def _leave_others_alone(folder: Path) -> None:
    """Older frames in a folder may be replaced; UsageError if it holds anything else."""
    if not folder.exists():
        return
    existing(folder, "folder")
    others = [entry.name for entry in folder.iterdir() if not PNG_NAME.fullmatch(entry.name)]
    if others:
        raise UsageError(f"{folder} holds other things ({others[0]}); choose a new or empty folder for the frames")


def _replace(temporary: Path, target: Path) -> None:
    if temporary.is_dir():
        _leave_others_alone(target)  # a long stream leaves time for things to have come
        if target.exists():
            shutil.rmtree(target)
    else:
        _sync(temporary)
    temporary.replace(target)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    """A name beside `target`, so that the last step is a rename on one disk."""
    return target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
