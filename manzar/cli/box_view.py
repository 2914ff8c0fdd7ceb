"""What `manzar show out.mp4 --boxes boxes.json` writes: wanted boxes against those that things are found in."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from manzar.boxes import read_script
from manzar.boxes.measures import Sighting
from manzar.boxes.view import overlay, page, strip, told
from manzar.media import read, write
from manzar.nouns import UsageError, Video, storage
from manzar.score.truth.boxes import called, find, sight

PICTURES, FILMS = (".png", ".jpg", ".jpeg"), (".mp4", ".webm", ".gif", ".webp")


def show_boxes(film: Path, script: Path, out: Path) -> tuple[dict[str, Any], str]:
    """Write a page (.html), a strip (.png, .jpg) or a film (.mp4, .webm, .gif, .webp); what to say of it.

    Raises UsageError for another kind of file, BoxError where the boxes do not fit the film.
    """
    kind = out.suffix.lower()
    if kind not in (*PICTURES, *FILMS, ".html"):
        raise UsageError(f"{out}: boxes are shown as .html, {', '.join((*PICTURES, *FILMS))}; choose one of them")
    boxes = read_script(script)
    video = read(film)
    plans = boxes.resolve(len(video.frames), video.fps, len(boxes.objects))
    seen = find(sight(video.frames), [called(plan.name) for plan in plans], [plan.exact for plan in plans])
    found = [sighting.found for sighting in seen.film if sighting.wanted]
    drawn = Video(overlay(video.frames, plans, found), video.fps)
    picture = Image.fromarray(strip(video.frames, plans, found))
    with storage(out):
        if kind in FILMS:
            write(drawn, out)
        elif kind in PICTURES:
            picture.save(out)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                film_at, strip_at = Path(scratch) / "film.mp4", Path(scratch) / "strip.png"
                write(drawn, film_at)
                picture.save(strip_at)
                out.write_text(page(film.name, plans, found, _address(film_at, "video/mp4"),
                                    _address(strip_at, "image/png")), encoding="utf-8")  # fmt: skip
    sightings = [Sighting(plan.exact, track) for plan, track in zip(plans, found, strict=True)]
    rows = [{"name": plan.name, "iou": each.overlap, "centre_error": each.error, "followed": each.followed}
            for plan, each in zip(plans, sightings, strict=True)]  # fmt: skip
    lines = [", ".join(filter(None, line)) for line in told(plans, found)]
    return {"out": str(out), "objects": rows}, "\n".join([*lines, f"open {out}"])


def _address(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
