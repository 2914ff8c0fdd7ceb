"""The demo's page: one file, with all its videos inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from manzar.curate import IngestSummary
from manzar.demo.story import Shot, Story, Wish
from manzar.nouns import Clip

FOOTAGE_SHOWN = 5


def page(story: Story, summary: IngestSummary, clips: Sequence[Clip], tuned: float,
         measured: Mapping[str, float]) -> str:  # fmt: skip
    """The report, self-contained. tuned: seconds; measured: see `measures` in loop.py."""
    total = sum(story.seconds.values())
    rows = [(name, f"{seconds:.0f} s") for name, seconds in story.seconds.items()] + [("in all", f"{total:.0f} s")]
    refused = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        intro=f"Everything on this page was generated, ingested, tuned and measured here in {total / 60:.1f} minutes. "
              "A few minutes move a model towards footage; longer runs make it at home there.",
        first="".join(f"<figure>{player(shot.path)}{words(shot.wish)}{verdict(shot)}</figure>"
                      for shot in story.shots["first"]),
        ingested=f"{summary.clips} clips, {summary.clip_seconds / 60:.1f} minutes in all; {summary.rejected} turned "
                 f"away{': ' + html.escape(refused) if refused else ''}. Some of them:",
        footage="".join(f"<figure>{player(story.out / 'data' / clip.path)}</figure>"
                        for clip in clips[:: max(1, len(clips) // FOOTAGE_SHOWN)][:FOOTAGE_SHOWN]),
        tuned=f"{tuned / 60:.1f} minutes",
        pairs="".join(pair(*both) for both in zip(story.shots["before"], story.shots["after"], strict=True)),
        measured=figures(measured),
        spent="".join(f"<tr{'' if k == len(rows) - 1 else ' class=plain'}><td>{html.escape(name)}<td>{value}</tr>"
                      for k, (name, value) in enumerate(rows)))


def player(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<video autoplay loop muted playsinline controls src="data:video/mp4;base64,{data}"></video>'


def words(wish: Wish) -> str:
    """The prompt in its own direction of writing, and what it means."""
    gloss = f'<small class="gloss">{html.escape(wish.english)}</small>' if wish.english else ""
    language = f' lang="{html.escape(wish.language)}"' if wish.language else ""
    return f'<p class="prompt" dir="auto"{language}>{html.escape(wish.prompt or "(no prompt)")}</p>{gloss}'


def verdict(shot: Shot) -> str:
    found = " ".join(f'<span class="{"yes" if right else "no"}">{"✓" if right else "✗"}&nbsp;{name}</span>'
                     for name, right in shot.verdict.items())
    notes = "".join(f'<small class="gloss" dir="auto">{html.escape(note)}</small>' for note in shot.notes)
    return (f'<span class="verdict">{found}</span>' if found else "") + notes


def pair(before: Shot, after: Shot) -> str:
    return (f'<div class="pair"><figure>{player(before.path)}<small>before</small>{verdict(before)}</figure>'
            f"<figure>{player(after.path)}<small>after</small>{verdict(after)}</figure>"
            f'<div class="wide">{words(before.wish)}</div></div>')


def figures(measured: Mapping[str, float]) -> str:
    def row(title: str, name: str, digits: int) -> str:
        cells = [measured.get(f"{name} {part}") for part in ("before", "after", "footage")]
        return f"<tr class=plain><td>{title}" + "".join(
            f"<td>{'' if value is None else f'{value:.{digits}f}'}" for value in cells) + "</tr>"

    return row("distance in colour from the footage", "colour", 1) + row("held-out loss", "loss", 3)
