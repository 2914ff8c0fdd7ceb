"""Looks at an uploaded file in a process of its own, under limits: what a hostile file can break is this process.

    python -m manzar.serve.http.inspection FILE MOST_SECONDS MOST_PIXELS [MIDDLE.png]

Prints one JSON object: what the file is, or {"error": why it is no good}. Every picture is decoded once, so a file that
passes here has shown that it can be read to its end.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from manzar import media
from manzar.nouns import ManzarError, Video

MEMORY_BYTES = 4 << 30  # of addresses, which the libraries take more of than they fill
CPU_S = 60
WRITTEN_BYTES = 64 << 20
SMALL_SIDE = 64  # pictures are scaled to this as they are decoded


def look(path: Path, most_seconds: float, most_pixels: int, middle: Path | None) -> dict[str, Any]:
    """Size, rate and true length of a film or picture; its middle picture is written to `middle`.

    Raises ManzarError for what cannot be decoded, or is larger or longer than it may be.
    """
    header = media.probe(path)
    if header.width * header.height > most_pixels:
        return {"error": f"its pictures are {header.width}x{header.height}; at most {most_pixels:,} pixels are taken"}
    scale = min(1.0, SMALL_SIDE / max(header.width, header.height))
    size = max(1, round(header.width * scale)), max(1, round(header.height * scale))
    count, last_s = 0, 0.0
    for seconds, _ in media.frames(path, size=size):
        count, last_s = count + 1, seconds
        if seconds > most_seconds:
            return {"error": f"it is longer than {most_seconds:g} s; cut it first"}
    seconds = last_s + 1 / header.fps
    if middle is not None:
        media.write(Video(media.picture(path, frame=count // 2)[None], header.fps), middle)
    return {"width": header.width, "height": header.height, "fps": header.fps, "frames": count, "seconds": seconds}


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_BYTES, WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(file: str, most_seconds: str, most_pixels: str, middle: str | None = None) -> None:
    limit()
    try:
        told = look(Path(file), float(most_seconds), int(most_pixels), Path(middle) if middle else None)
    except ManzarError as error:
        told = {"error": str(error).replace(f"{file}: ", "")}
    except MemoryError:
        told = {"error": "decoding it takes more memory than any video should"}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
