"""The record of a run: `log.jsonl` (a line per step, validation and sheet), pictures, and the page of them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from manzar.nouns import Frames, Progress, storage
from manzar.train.checkpoint import Position
from manzar.train.forecast import clock
from manzar.train.page import write_page
from manzar.weights import write_text

BINS = 10


def read_log(run: Path) -> list[dict[str, Any]]:
    """All whole lines of a run's log; a last line cut short by a kill is left out."""
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


class RunLog:
    """Writes the log and says on the terminal how far the run is."""

    def __init__(self, run: Path, title: str, *, quiet: bool = False):
        self.run, self.title, self.quiet = run, title, quiet
        self.path = run / "log.jsonl"
        self._sums = [[0.0, 0] for _ in range(BINS)]
        self._said = 0.0

    def rewind(self, step: int) -> None:
        """Forget lines past the checkpoint that the run resumes from: those steps are made again."""
        kept = [entry for entry in read_log(self.run) if entry["step"] <= step]
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in kept))

    def _write(self, entry: dict[str, Any]) -> None:
        with storage(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def bin(self, sigmas: Tensor | None, per_sample: Tensor | None) -> None:
        """Gather training losses by σ, in ten equal bins, until the next validation writes them."""
        if sigmas is None or per_sample is None:
            return
        for sigma, value in zip(sigmas.tolist(), per_sample.detach().tolist(), strict=True):
            slot = self._sums[min(BINS - 1, int(sigma * BINS))]
            slot[0] += value
            slot[1] += 1

    def step(self, position: Position, values: dict[str, float]) -> None:
        self._write({"kind": "step", "step": position.step, "samples_seen": position.samples_seen, **values})

    def look(self, position: Position, values: dict[str, Any], caption: str, picture: Frames) -> None:
        """Log a validation, keep its picture, and redraw the page."""
        where = {"step": position.step, "samples_seen": position.samples_seen, "seconds": position.seconds}
        bins = {"train_bins": [total / count if count else None for total, count in self._sums]}
        counted = any(count for _, count in self._sums)
        self._sums = [[0.0, 0] for _ in range(BINS)]
        self._write({"kind": "val", **where, **values, **(bins if counted else {})})
        name = f"samples/{position.step:07d}.png"
        with storage(self.run / name):
            (self.run / name).parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(self.run / name)
        self._write({"kind": "sheet", **where, "picture": name, "caption": caption})
        write_page(self.run, self.title, read_log(self.run))
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items() if isinstance(value, float))
        self.say(f"step {position.step}: {shown}")

    def say(self, line: str) -> None:
        if not self.quiet:
            over = "\r\x1b[2K" if sys.stderr.isatty() else ""  # over a progress line that may stand there
            print(f"{over}{line}", file=sys.stderr, flush=True)

    def progress(self, share: float, position: Position) -> None:
        """A bar on a terminal, a plain line every fifteen seconds elsewhere."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if self.quiet or now - self._said < (0.2 if terminal else 15.0):
            return
        self._said = now
        left = position.seconds * (1 - share) / max(share, 1e-6)
        text = (f"{share:4.0%} step {position.step} loss {position.loss:.4f} "
                f"{position.samples_seen / max(position.seconds, 1e-6):.1f} samples/s, {clock(left)} left")
        if terminal:
            print(f"\r\x1b[2K{text}", end="" if share < 1 else "\n", file=sys.stderr, flush=True)
        else:
            self.say(text)

    def counter(self, what: str) -> Progress:
        """Progress of a preparation, said at most every five seconds."""

        def report(done: int, total: int, detail: str) -> None:
            now = time.monotonic()
            if done == total or now - self._said > 5.0:
                self._said = now
                self.say(f"{what}: {done}/{total} {detail}".rstrip())

        return report
