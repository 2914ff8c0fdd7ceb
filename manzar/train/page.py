"""The page of a run: curves as SVG and sample sheets, self-contained, to be opened or mailed as one file."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manzar.weights import write_text

STYLE = """
:root{color-scheme:light dark;--ink:#222;--soft:#777;--paper:#fff;--line:#ddd;--a:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--soft:#999;--paper:#16181c;--line:#333;--a:#6cb6ff}}
body{margin:2rem auto;max-width:70rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif}
body{color:var(--ink);background:var(--paper)}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}figure{margin:0 0 1.2rem}figcaption{color:var(--soft)}
img{max-width:100%;image-rendering:pixelated;border:1px solid var(--line)}svg text{fill:var(--soft);font-size:11px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
"""
COLOURS = ("#0b6bcb", "#d2691e", "#2e8b57", "#8a2be2", "#c2185b", "#607d8b")


def chart(title: str, series: dict[str, Sequence[tuple[float, float]]], *, log: bool = False) -> str:
    """A line chart; points that are not finite are left out. Returns an SVG figure, or "" when there is nothing."""
    width, height, left, bottom = 420, 220, 52, 24
    points = {name: [(x, math.log10(y) if log else y) for x, y in values if math.isfinite(y) and (y > 0 or not log)]
              for name, values in series.items()}
    every = [point for values in points.values() for point in values]
    if not every:
        return ""
    x0, x1 = min(x for x, _ in every), max(x for x, _ in every)
    y0, y1 = min(y for _, y in every), max(y for _, y in every)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1e-9)

    def place(x: float, y: float) -> str:
        return (f"{left + (x - x0) / (x1 - x0) * (width - left - 8):.1f},"
                f"{8 + (y1 - y) / (y1 - y0) * (height - bottom - 16):.1f}")

    lines = [f'<polyline fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="1.5" '
             f'points="{" ".join(place(x, y) for x, y in values)}"/>' for i, values in enumerate(points.values())]
    ticks = []
    for k in range(5):
        y = y0 + (y1 - y0) * k / 4
        at = float(place(x0, y).split(",")[1])
        ticks.append(f'<line x1="{left}" x2="{width - 8}" y1="{at}" y2="{at}" stroke="var(--line)"/>'
                     f'<text x="{left - 4}" y="{at + 4}" text-anchor="end">{10**y if log else y:.3g}</text>')
    names = " ".join(f'<tspan fill="{COLOURS[i % len(COLOURS)]}">■</tspan> {html.escape(name)}'
                     for i, name in enumerate(points)) if len(points) > 1 else ""
    return (f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">'
            f'{"".join(ticks)}{"".join(lines)}<text x="{left}" y="{height - 6}">{x0:.0f}</text>'
            f'<text x="{width - 8}" y="{height - 6}" text-anchor="end">{x1:.0f} steps</text>'
            f'<text x="{left + 40}" y="{height - 6}">{names}</text></svg>'
            f"<figcaption>{html.escape(title)}</figcaption></figure>")


def smooth(values: Sequence[tuple[float, float]], most: int = 300) -> list[tuple[float, float]]:
    """Means over equal stretches, at most `most` points."""
    size = max(1, len(values) // most)
    parts = [values[i : i + size] for i in range(0, len(values), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def bars(title: str, bins: Sequence[float | None]) -> str:
    """Ten values over σ as an SVG bar chart."""
    top = max((b for b in bins if b is not None), default=1.0) or 1.0
    body = "".join(
        f'<rect x="{12 + i * 40}" y="{170 - 150 * (b or 0) / top:.1f}" width="34" height="{150 * (b or 0) / top:.1f}" '
        f'fill="{COLOURS[0]}"/><text x="{29 + i * 40}" y="{164 - 150 * (b or 0) / top:.1f}" text-anchor="middle">'
        f'{"-" if b is None else f"{b:.2f}"}</text><text x="{29 + i * 40}" y="186" text-anchor="middle">'
        f'{i / 10:.1f}</text>' for i, b in enumerate(bins))
    return (f'<figure><svg viewBox="0 0 420 196" role="img" aria-label="{html.escape(title)}">{body}</svg>'
            f"<figcaption>{html.escape(title)}</figcaption></figure>")


def write_page(run: Path, title: str, entries: Sequence[dict[str, Any]]) -> None:
    """RUN/index.html from the run's log."""
    steps = [e for e in entries if e["kind"] == "step"]
    vals = [e for e in entries if e["kind"] == "val"]
    sheets = [e for e in entries if e["kind"] == "sheet"]
    charts = [chart("training loss", {"loss": smooth([(e["step"], e["loss"]) for e in steps])}, log=True)]
    scalars = sorted({k for e in vals for k, v in e.items()
                      if isinstance(v, float) and k not in ("step", "samples_seen", "seconds")})
    charts += [chart(f"held out: {name}", {name: [(e["step"], e[name]) for e in vals if name in e]})
               for name in scalars]
    if vals and "val_bins" in vals[-1]:
        charts.append(bars(f"held-out loss by σ at step {vals[-1]['step']}", vals[-1]["val_bins"]))
    pictures = [
        f'<figure><img alt="{html.escape(e["caption"])}" src="data:image/png;base64,'
        f'{base64.b64encode((run / e["picture"]).read_bytes()).decode()}">'
        f'<figcaption>step {e["step"]}: {html.escape(e["caption"])}</figcaption></figure>'
        for e in reversed(sheets[-8:]) if (run / e["picture"]).exists()]
    write_text(run / "index.html",
               f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
               f'content="width=device-width,initial-scale=1"><title>{html.escape(title)}</title>'
               f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
               f'<div class="charts">{"".join(charts)}</div><h2>Samples</h2>{"".join(pictures)}</html>\n')
