"""Frames as they are stored, not as a person would see them: what published scores were computed on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from manzar.media.decode import frames
from manzar.media.film import OPTIONS
from manzar.media.kinds import is_image_folder
from manzar.media.stills import pillow_format
from manzar.nouns import MediaError, existing

if TYPE_CHECKING:
    from manzar.nouns import Frames

LEAST_SHARE = 0.95  # of the frames that a file declares; edit lists hide a few of them


def stored(path: str | Path) -> Iterator[Frames]:
    """Every frame of a film in order, uint8 (H, W, 3) RGB, by the plainest conversion that FFmpeg has.

    Unlike `frames` this neither turns pictures upright, nor makes pixels square, nor deinterlaces, nor maps HDR: bit
    for bit what OpenCV gives (measured on 37 files of 8 bits, of several codecs and colour spaces). An animation or a
    folder of images comes as `frames` gives it. Raises MediaError where decoding fails, also in the middle.
    """
    if is_image_folder(path) or pillow_format(existing(path, "file")) is not None:
        yield from (frame for _, frame in frames(path))
        return
    count = declared = 0
    try:
        with av.open(f"file:{path}", options=dict(OPTIONS), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.thread_type, declared = "AUTO", stream.frames
            for picture in container.decode(stream):
                yield picture.to_ndarray(format="rgb24")
                count += 1
    except (av.error.FFmpegError, OSError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: cannot be decoded beyond frame {count} ({reason}); re-encode it") from error
    if count < LEAST_SHARE * declared:
        raise MediaError(f"{path}: only {count} of its {declared} frames are there; the file is cut short")
