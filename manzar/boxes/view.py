"""Wanted boxes against found ones, to look at: over a film, as a strip, on a page.

Wanted boxes are solid lines, thick where they are hard and thin where they are soft; found ones are dashed, on black so
that they stand out. One colour for each thing.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from manzar.boxes.draw import colours, draw, line_width
from manzar.boxes.measures import Sighting, Track, seen
from manzar.boxes.tracks import Plan

if TYPE_CHECKING:
    from manzar.nouns import Frames

SHORT_SIDE = 256  # pixels that small films are enlarged to at least
STRIP = 6  # frames of a strip
GAP = 6  # pixels between its frames
LINE = 20  # pixels of a line of text
PAPER, INK = (250, 250, 248), (30, 30, 30)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; background: #fafaf8; max-width: 75rem }}
body {{ margin: 2rem auto; padding: 0 1rem }}
video, img {{ max-width: 100%; border-radius: 4px }} td {{ padding: .2rem 1rem .2rem 0 }}
i {{ display: inline-block; width: .8em; height: .8em; margin-right: .4em }}
</style></head><body>
<h1>{title}</h1>
<p>Wanted boxes are solid, thick where they are hard and thin where they are soft; found boxes are dashed.</p>
<video src="{film}" controls autoplay loop muted></video>
<table>
{rows}</table>
<img src="{strip}" alt="frames from the first to the last">
</body></html>
"""


def overlay(frames: Frames, plans: Sequence[Plan], found: Sequence[Track], short: int = SHORT_SIDE) -> Frames:
    """Frames, uint8 (T, H, W, 3), with both kinds of boxes, enlarged by a whole factor to `short` pixels or more.

    found: for each plan its boxes on each frame; empty if it was not found.
    """
    factor = -(-short // min(frames.shape[1:3]))
    large = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    thick = line_width(*large.shape[1:3])
    for plan, track, colour in zip(plans, found, colours(len(plans)), strict=True):
        for index, (frame, box, hard) in enumerate(zip(large, plan.boxes, plan.hard, strict=True)):
            draw(frame, box, colour, width=thick if hard else max(1, thick // 2))
            there = track[index] if track else None
            if there is not None and seen(there):
                draw(frame, there, (0, 0, 0), width=thick)
                draw(frame, there, colour, width=thick, dashed=True)
    return large


def strip(
    frames: Frames, plans: Sequence[Plan], found: Sequence[Track] | None, count: int = STRIP, short: int = SHORT_SIDE
) -> Frames:
    """`count` frames from the first to the last side by side, and a line on each thing: uint8 (h, w, 3).

    found: None where nothing was looked for; the lines are names then.
    """
    large = overlay(frames, plans, [()] * len(plans) if found is None else found, short)
    lines: Sequence[tuple[str, ...]] = [(plan.name,) for plan in plans] if found is None else told(plans, found)
    picks = np.linspace(0, len(large) - 1, min(count, len(large))).round().astype(int)
    height, width = large.shape[1:3]
    page = Image.new("RGB", (len(picks) * (width + GAP) + GAP, height + 2 * GAP + LINE * (1 + len(plans))), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, index in enumerate(picks):
        left = GAP + column * (width + GAP)
        pen.text((left, 2), f"frame {index}", INK, font)
        page.paste(Image.fromarray(large[index]), (left, LINE))
    for row, (line, colour) in enumerate(zip(lines, colours(len(plans)), strict=True)):
        top = LINE + height + GAP + row * LINE
        pen.rectangle((GAP, top + 3, GAP + 11, top + 14), colour)
        pen.text((GAP + 18, top), " · ".join(filter(None, line)), INK, font)
    return np.asarray(page)


def told(plans: Sequence[Plan], found: Sequence[Track]) -> list[tuple[str, str, str, str]]:
    """For each thing its name, and in words its overlap, how far its centre is off, and how often it was found."""
    rows = []
    for plan, track in zip(plans, found, strict=True):
        sighting = Sighting(plan.exact, tuple(track))
        times = sum(seen(box) for box in track)
        error = "" if sighting.error is None else f"centre off by {sighting.error:.3f}"
        often = f"found on {times} of {len(plan.boxes)} frames" if times else "never found"
        rows.append((plan.name, f"IoU {sighting.overlap:.2f}", error, often))
    return rows


def page(title: str, plans: Sequence[Plan], found: Sequence[Track], film: str, strip: str) -> str:
    """A page about one film; `film` and `strip` are data: addresses."""
    rows = "".join(
        f'<tr><td><i style="background:rgb{colour}"></i>{html.escape(line[0])}</td>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in line[1:]) + "</tr>\n"
        for line, colour in zip(told(plans, found), colours(len(plans)), strict=True)
    )  # fmt: skip
    return PAGE.format(title=html.escape(title), rows=rows, film=film, strip=strip)
