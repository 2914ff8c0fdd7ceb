"""What the demo's page tells, gathered while the demo runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from manzar.world import Scene

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """A prompt; `english` says the same where it is another language, `scene` what is wanted where that is known."""

    prompt: str
    language: str
    english: str = ""
    scene: Scene | None = None


@dataclass(frozen=True)
class Shot:
    """A video that was made of a wish: what the judge says of each thing asked for, and what the model did not know."""

    wish: Wish
    path: Path
    verdict: Mapping[str, bool]
    notes: Sequence[str]


@dataclass
class Story:
    """What the page tells, gathered on the way."""

    out: Path
    say: Say
    begun: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    shots: dict[str, list[Shot]] = field(default_factory=dict)  # "first", "before", "after"

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        self.say(f"— {name}")
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun
