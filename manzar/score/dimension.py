"""What every dimension is: a function of one film, and the rule that makes one number of many films."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from manzar.score.film import Film

if TYPE_CHECKING:
    from manzar.score.bench import Bench

Kind = Literal["official", "stand-in", "truth", "beside"]
T = TypeVar("T")


class Unscored(Exception):
    """A film or a dimension that has no value here; the message is the reason, for people. Never a zero."""


@dataclass(frozen=True)
class Measured:
    """What one film gives one dimension.

    value: the film's own number, as VBench's result files carry it.
    parts: what the dimension's mean is taken over: frame pairs or frames where films are pooled, else `value` alone.
    detail: what else a reader may want, JSON-able.
    """

    value: float | bool
    parts: tuple[float, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: float | bool, **detail: Any) -> Measured:
        return cls(value, (float(value),), detail)


def mean_of_parts(measured: Sequence[Measured]) -> float:
    """The mean over all parts of all films, so that longer films weigh more where parts are frames."""
    parts = [part for one in measured for part in one.parts]
    if not parts:
        raise Unscored("no film gave a value")
    return sum(parts) / len(parts)


@dataclass(frozen=True)
class Dimension:
    """One row of a report.

    name: snake case; VBench's own for the sixteen.
    kind: official (exact backbone and procedure), stand-in (another backbone), truth (the world's own facts), or
        beside (what VBench does not ask). Kinds are never averaged with each other.
    measure: raises Unscored where this film has no value.
    backbones: names in `checkpoints.CHECKPOINTS` that `measure` asks the bench for.
    suite_only: needs what a prompt suite says about the prompt, so films of unknown prompts are unscored.
    """

    name: str
    kind: Kind
    measure: Callable[[Film, Bench], Measured]
    backbones: tuple[str, ...] = ()
    suite_only: bool = False
    pool: Callable[[Sequence[Measured]], float] = mean_of_parts
