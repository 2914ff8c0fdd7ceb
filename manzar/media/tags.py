"""What a video file says about itself in words: the metadata of its container."""

from __future__ import annotations

from pathlib import Path

import av

from manzar.media.film import OPTIONS
from manzar.nouns import MediaError, existing


def tags(path: str | Path) -> dict[str, str]:
    """Keys and texts of the file as a whole, those that FFmpeg adds by itself included.

    Raises UsageError if there is no such file, MediaError if it is none that FFmpeg can open.
    """
    file = existing(path, "file")
    try:
        with av.open(f"file:{file}", options=dict(OPTIONS), metadata_errors="replace") as container:
            return dict(container.metadata)
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: not a video that can be opened ({reason})") from error
