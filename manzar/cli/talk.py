"""What commands share: the app they belong to, how they answer and complain, and how they read sizes and lists."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from manzar.nouns import Progress, UsageError

INTERRUPTED = 130  # what shells give a program that Ctrl-C ended

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Train, steer and run your own video-generation model.")

Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]


def fail(reason: str, code: int) -> None:
    over = "\r\x1b[2K" if sys.stderr.isatty() else ""  # over a progress line that may stand there
    print(f"{over}error: {reason}", file=sys.stderr)
    sys.exit(code)


def show_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    """The object for machines on request, else a sentence for people."""
    print(json.dumps(finite(result), default=str, ensure_ascii=False) if as_json else text)


def finite(value: Any) -> Any:
    """The same object with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def ticker(unit: str) -> Progress:
    """Progress with rate and time left: a line that rewrites itself on a terminal, one every few seconds elsewhere."""
    started = said = time.monotonic()

    def tick(done: int, total: int, detail: str = "") -> None:
        nonlocal said
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if done != total and now - said < (0.1 if terminal else 5.0):
            return
        said, rate = now, done / max(1e-6, now - started)
        left = f"/{total} {unit}" if total else f" {unit}"
        if total and done:
            left += f", {rate:.1f}/s, {max(0, total - done) / rate:.0f} s left"
        end = "\n" if done == total or not terminal else ""
        line = f"{done}{left} {detail}".rstrip()
        print(f"\r\x1b[2K{line}" if terminal else line, end=end, file=sys.stderr, flush=True)

    return tick


def parse_size(text: str) -> tuple[int, int]:
    """"WxH" → (width, height)."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size {text!r} is not WIDTHxHEIGHT, such as 128x96")
    return int(width), int(height)


def parse_names(text: str | None, every: tuple[str, ...]) -> tuple[str, ...]:
    """"a,b" → ("a", "b"); all of them if nothing is given."""
    return tuple(part.strip() for part in text.split(",")) if text else every


def parse_range(text: str) -> tuple[int, int]:
    """"2" → (2, 2), "1-3" → (1, 3)."""
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise UsageError(f"--actors {text!r} is not a number or a range such as 1-3")
    return int(low), int(high or low)
