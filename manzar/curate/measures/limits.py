"""Which measures turn a clip away, and where: defaults that keep what a person would keep, and the user's own.

`Limit` is an interval a measure must lie in. The defaults are drawn far out, where hardly anything but waste lies; what
is to be asked of good footage beyond that (`motion=0.5:`) is for its owner to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from manzar.nouns import UsageError


@dataclass(frozen=True)
class Limit:
    """Lowest and highest value that is let through, either of them None for no bound, and why others are not."""

    low: float | None
    high: float | None
    reason: str


# What is too little and what is too much of each measure, in a word or two; the first reason that applies is given.
REASONS: Mapping[str, tuple[str, str]] = {
    "dark": ("not dark", "near black"),
    "bright": ("not bright", "blown out"),
    "brightness": ("too dark", "too bright"),
    "contrast": ("low contrast", "high contrast"),
    "mosaic": ("no mosaic", "mosaic"),
    "text": ("no text", "title card"),
    "slides": ("no slideshow", "slideshow"),
    "still": ("no still stretch", "still"),
    "sharpness": ("blurred", "too crisp"),
    "motion": ("little motion", "much motion"),
    "camera": ("little camera motion", "much camera motion"),
    "objects": ("little object motion", "much object motion"),
    "colour": ("little colour", "much colour"),
    "bars": ("no bars", "bars"),
}

LIMITS: Mapping[str, Limit] = {
    "dark": Limit(None, 0.995, "near black"),
    "bright": Limit(None, 0.95, "blown out"),
    "mosaic": Limit(None, 0.2, "mosaic"),
    "text": Limit(None, 0.5, "title card"),
    "slides": Limit(None, 0.7, "slideshow"),
    "still": Limit(None, 0.97, "still"),
    "sharpness": Limit(0.15, None, "blurred"),
}


def refusal(measures: Mapping[str, float], limits: Mapping[str, Limit]) -> tuple[str, str] | None:
    """(reason, detail naming the value and the bound) of the first limit that a clip fails; None if it passes all.

    A measure that a clip does not have is no reason against it.
    """
    for name, limit in limits.items():
        value = measures.get(name)
        if value is None:
            continue
        if limit.low is not None and value < limit.low:
            return limit.reason, f"{name} {value:g} is below {limit.low:g}"
        if limit.high is not None and value > limit.high:
            return limit.reason, f"{name} {value:g} is above {limit.high:g}"
    return None


def parse_limits(changes: Sequence[str]) -> Mapping[str, Limit]:
    """LIMITS with changes such as "motion=0.5:", "text=:0.3", "brightness=0.1:0.9"; "still=:" takes a limit away.

    Raises UsageError for a measure there is none of (naming the nearest), for what is no number, for an empty interval.
    """
    limits = dict(LIMITS)
    for change in changes:
        name, equals, interval = (part.strip() for part in change.partition("="))
        low_text, colon, high_text = interval.partition(":")
        if name not in REASONS:
            raise UsageError(_unknown(name))
        if not equals or not colon:
            raise UsageError(f'"{change}" is no limit; write {name}=LOW:HIGH, either side empty for no bound')
        low, high = _bound(low_text, change), _bound(high_text, change)
        if low is not None and high is not None and low > high:
            raise UsageError(f'"{change}": nothing lies between {low:g} and {high:g}; the lower bound comes first')
        limits.pop(name, None)
        if low is not None or high is not None:
            limits[name] = Limit(low, high, _reason(name, low, high))
    return {name: limits[name] for name in REASONS if name in limits}


def _reason(name: str, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{name} out of bounds"
    return REASONS[name][0 if high is None else 1]


def _bound(text: str, change: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f'"{change}": "{text.strip()}" is not a number') from None
    if not math.isfinite(value):
        raise UsageError(f'"{change}": a bound must be finite; leave the side empty for no bound')
    return value


def _unknown(name: str) -> str:
    near = get_close_matches(name.lower(), REASONS, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    return f'no measure is called "{name}"; {hint}there are {", ".join(sorted(REASONS))}'
