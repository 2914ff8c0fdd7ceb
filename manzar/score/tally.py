"""Shares with their intervals, where one scene gives several answers that stand or fall together.

The same scene is asked for in several languages and may have several actors, so a hundred answers can be twenty
scenes. Intervals count them as what they are worth: n over the design effect (Kish 1965), then Wilson's interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Z = 1.959964  # two-sided 95 %


def wilson(hits: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927); the whole of [0, 1] when nothing was tried."""
    if n <= 0:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass
class Share:
    """Yes and no answers, each belonging to a scene."""

    answers: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, scene: int, hit: bool) -> None:
        self.answers[scene].append(hit)

    @property
    def n(self) -> int:
        return sum(len(own) for own in self.answers.values())

    @property
    def value(self) -> float:
        return sum(sum(own) for own in self.answers.values()) / self.n

    @property
    def worth(self) -> float:
        """How many independent answers these are worth: between the number of scenes and that of answers.

        The design effect is the variance of the share over scenes (the ratio estimator's) by that of as many
        independent answers; where all agree it cannot be seen, and every scene counts once.
        """
        scenes, p = len(self.answers), self.value
        if scenes < 2 or p in (0.0, 1.0):
            return float(scenes)
        squares = sum((sum(own) - p * len(own)) ** 2 for own in self.answers.values())
        effect = squares * scenes / (scenes - 1) / (self.n * p * (1 - p))
        return min(max(self.n / max(effect, 1e-9), scenes), self.n)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.value * self.worth, self.worth)

    def to_json(self) -> dict[str, object]:
        low, high = self.interval
        return {"value": round(self.value, 4), "n": self.n, "interval": [round(low, 4), round(high, 4)]}


class Tally:
    """A share for every (group, attribute); groups and attributes keep the order in which they came."""

    def __init__(self) -> None:
        self.shares: dict[str, dict[str, Share]] = {}

    def add(self, groups: Iterable[str], attribute: str, scene: int, hit: bool) -> None:
        for group in groups:
            self.shares.setdefault(group, {}).setdefault(attribute, Share()).add(scene, hit)

    def share(self, group: str, attribute: str) -> Share | None:
        return self.shares.get(group, {}).get(attribute)


def paired_gap(better: Share, worse: Share) -> tuple[float, float]:
    """Difference of two shares over the scenes they have in common, and the half width of its 95 % interval."""
    scenes = [scene for scene in better.answers if scene in worse.answers]
    gaps = [_mean(better.answers[scene]) - _mean(worse.answers[scene]) for scene in scenes]
    if len(gaps) < 2:
        return (gaps[0] if gaps else 0.0), 1.0
    middle = sum(gaps) / len(gaps)
    variance = sum((gap - middle) ** 2 for gap in gaps) / (len(gaps) - 1)
    return middle, Z * math.sqrt(variance / len(gaps))


def _mean(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers)


def spread(shares: Mapping[str, Share]) -> dict[str, object] | None:
    """Best and worst group and the points between them, with the paired interval; None for less than two groups."""
    if len(shares) < 2:
        return None
    ranked = sorted(shares, key=lambda group: shares[group].value)
    worst, best = ranked[0], ranked[-1]
    gap, half = paired_gap(shares[best], shares[worst])
    return {"best": best, "worst": worst, "points": round(100 * gap, 2), "plus_minus": round(100 * half, 2)}
