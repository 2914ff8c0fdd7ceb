"""One number of sixteen: VBench's normalisation, its Quality, Semantic and Total, and the totals of VBench-I2V.

VBench (Huang et al. 2024, arXiv 2311.17982) maps each raw value to (value − low) / (high − low), never clipped, where
low and high are its authors' empirical bounds, and takes weighted means. Values here are 0..1, as a dimension's
aggregate in VBench's result files, so an imaging quality of 67.2 on MUSIQ's scale is 0.672; boards print them x 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real

from manzar.nouns import UsageError

Raw = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """The raw values that become 0 and 1, and what the dimension weighs in the mean of its group."""

    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0

    def normalise(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


QUALITY: dict[str, Scale] = {
    "subject_consistency": Scale(0.1462),
    "background_consistency": Scale(0.2615),
    "temporal_flickering": Scale(0.6293),
    "motion_smoothness": Scale(0.706, 0.9975),
    "aesthetic_quality": Scale(),
    "imaging_quality": Scale(),
    "dynamic_degree": Scale(weight=0.5),
}
SEMANTIC: dict[str, Scale] = {
    "object_class": Scale(),
    "multiple_objects": Scale(),
    "human_action": Scale(),
    "color": Scale(),
    "spatial_relationship": Scale(),
    "scene": Scale(0.0, 0.8222),
    "appearance_style": Scale(0.0009, 0.2855),
    "temporal_style": Scale(0.0, 0.364),
    "overall_consistency": Scale(0.0, 0.364),
}
QUALITY_WEIGHT, SEMANTIC_WEIGHT = 4, 1
DIMENSIONS: tuple[str, ...] = (*QUALITY, *SEMANTIC)

# The image-to-video board: the first frame is given, so what it shows is judged by likeness to it.
I2V: dict[str, Scale] = {
    "camera_motion": Scale(weight=0.1),
    "i2v_subject": Scale(0.1462),
    "i2v_background": Scale(0.2615),
}
I2V_QUALITY: dict[str, Scale] = {name: QUALITY[name] for name in (
    "subject_consistency", "background_consistency", "motion_smoothness", "dynamic_degree", "aesthetic_quality",
    "imaging_quality",
)}
_I2V_TITLES = {
    "video_text_camera_motion": "camera_motion",
    "video_image_subject_consistency": "i2v_subject",
    "video_image_background_consistency": "i2v_background",
}


@dataclass(frozen=True)
class Totals:
    """Means of normalised values, 0..1 as a rule. None where a dimension that belongs to them is missing.

    normalised: every dimension that was given, by its name.
    missing: those that were not.
    warnings: what a reader of the totals must know, in sentences.
    """

    quality: float | None
    semantic: float | None
    total: float | None
    normalised: dict[str, float]
    missing: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class I2VTotals:
    """As `Totals`, of VBench-I2V: `i2v` is the mean of the three dimensions that look at the given image."""

    quality: float | None
    i2v: float | None
    total: float | None
    normalised: dict[str, float]
    missing: list[str]
    warnings: list[str]


def totals(raw: Mapping[str, float | None]) -> Totals:
    """Quality, Semantic and Total of raw values 0..1. A missing dimension (absent, or None) is named, never a zero.

    Names may be written with spaces, hyphens or capitals. A value outside its scale's bounds is used as it is, and
    warned of. Raises UsageError for an unknown or repeated name and for a value that is no finite number.
    """
    return _totals(canonical(raw, DIMENSIONS), [])


def as_leaderboard(raw: Mapping[str, float | None]) -> Totals:
    """The totals that VBench's own script prints: there, a dimension that is missing has the raw value 0.

    That is harsher than the lowest mark: normalised, a raw subject consistency of 0 is −0.171. The missing ones stay
    in `missing` and are warned of. Where none is missing this is `totals`. Raises as that does.
    """
    given = canonical(raw, DIMENSIONS)
    absent = [name for name in DIMENSIONS if name not in given]
    said = [f"missing, counted as a raw 0 as VBench's script does: {', '.join(absent)}"] if absent else []
    counted = _totals(given | dict.fromkeys(absent, 0.0), said, silent=absent)
    normalised = {name: value for name, value in counted.normalised.items() if name in given}
    return Totals(counted.quality, counted.semantic, counted.total, normalised, absent, counted.warnings)


def i2v_totals(raw: Mapping[str, float | None]) -> I2VTotals:
    """Quality, I2V and Total of VBench-I2V, from the nine dimensions of its board.

    The three of the image are `camera_motion`, `i2v_subject` and `i2v_background`, or their long names there. Raises
    as `totals` does.
    """
    given = canonical(raw, (*I2V, *I2V_QUALITY), _I2V_TITLES)
    quality, i2v = _mean(given, I2V_QUALITY), _mean(given, I2V)
    scales = I2V | I2V_QUALITY
    total = None if quality is None or i2v is None else (quality + i2v) / 2
    missing = [name for name in scales if name not in given]
    return I2VTotals(quality, i2v, total, _normalised(given, scales), missing, _out_of_bounds(given, scales))


def is_i2v(names: Iterable[str]) -> bool:
    """Whether a set of raw values is of the image-to-video board: one of its own three dimensions is there."""
    return any(_I2V_TITLES.get(plain(name), plain(name)) in I2V for name in names)


def plain(name: str) -> str:
    """A dimension's name as it is spelt in files: lower case, underscores."""
    return "_".join(name.lower().replace("-", " ").replace("_", " ").split())


def canonical(raw: Mapping[str, float | None], known: Sequence[str],
              titles: Mapping[str, str] | None = None) -> Raw:
    """The values that are there by the names in `known`. Raises UsageError as `totals` says."""
    found: dict[str, str] = {}
    values: Raw = {}
    for given, value in raw.items():
        name = dimension_name(given, known, titles)
        if name in found:
            raise UsageError(f'"{found[name]}" and "{given}" are the same dimension; give one value for it')
        found[name] = given
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise UsageError(f"{given} is {value!r}; a raw value is a finite number in 0..1, or null where missing")
        values[name] = float(value)
    return values


def dimension_name(given: str, known: Sequence[str] = DIMENSIONS, titles: Mapping[str, str] | None = None) -> str:
    """`given` as it is spelt in `known`. Raises UsageError that names the nearest one."""
    name = plain(given)
    name = (titles or {}).get(name, name)
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f'no dimension is called "{given}"; the nearest is "{near}" (there are {", ".join(known)})')
    return name


def _totals(given: Raw, said: list[str], silent: Sequence[str] = ()) -> Totals:
    quality, semantic = _mean(given, QUALITY), _mean(given, SEMANTIC)
    total = None
    if quality is not None and semantic is not None:
        total = (quality * QUALITY_WEIGHT + semantic * SEMANTIC_WEIGHT) / (QUALITY_WEIGHT + SEMANTIC_WEIGHT)
    scales = QUALITY | SEMANTIC
    missing = [name for name in DIMENSIONS if name not in given]
    seen = {name: value for name, value in given.items() if name not in silent}
    warnings = said + _out_of_bounds(seen, scales)
    return Totals(quality, semantic, total, _normalised(given, scales), missing, warnings)


def _normalised(given: Raw, scales: Mapping[str, Scale]) -> dict[str, float]:
    return {name: scale.normalise(given[name]) for name, scale in scales.items() if name in given}


def _mean(given: Raw, group: Mapping[str, Scale]) -> float | None:
    """The weighted mean of a group's normalised values, in the order of its table; None where one is missing."""
    if any(name not in given for name in group):
        return None
    weighted = [scale.normalise(given[name]) * scale.weight for name, scale in group.items()]
    return sum(weighted) / sum(scale.weight for scale in group.values())


def _out_of_bounds(given: Raw, scales: Mapping[str, Scale]) -> list[str]:
    warnings = []
    for name, scale in scales.items():
        if name not in given or scale.low <= given[name] <= scale.high:
            continue
        value = given[name]
        hint = "; raw values are 0..1, so a percentage has to be divided by 100" if abs(value) > 1.5 else ""
        warnings.append(f"{name} is {value:g}, outside VBench's bounds {scale.low:g} to {scale.high:g}; used as it is, "
                        f"{scale.normalise(value):.4g} once normalised{hint}")
    return warnings
