"""Prompts of one's own, from a text file: which films they ask for, and what these are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manzar.nouns import UsageError, existing
from manzar.score.suite import seed_of, stem


@dataclass(frozen=True)
class Own:
    """One film to be made. name: of its file, without the extension."""

    name: str
    prompt: str
    sample: int
    seed: int

    @property
    def row(self) -> dict[str, Any]:
        """What `asked.json` says of it."""
        return {"prompt": self.prompt, "language": "", "sample": self.sample, "seed": self.seed}


def read_prompts(path: Path, samples: int) -> list[Own]:
    """`samples` films for each line of a text file; empty lines and repeated ones count for nothing.

    A film is called as VBench would call it, or by the number of its prompt where no disk could hold that name.
    Raises UsageError where there is no such file, it is not UTF-8 text, or it holds no prompt.
    """
    try:
        text = existing(path, "file").read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        told = f"{path} is not a text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        raise UsageError(told) from error
    prompts = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not prompts:
        raise UsageError(f"{path} holds no prompt; write one on each line")
    return [Own(_name(prompt, index, sample), prompt, sample, seed_of(prompt, sample))
            for index, prompt in enumerate(prompts, 1) for sample in range(samples)]


def _name(prompt: str, index: int, sample: int) -> str:
    try:
        name = stem(prompt, sample)
    except UsageError:
        return f"prompt {index:05d}-{sample}"
    return f"prompt {index:05d}-{sample}" if name.startswith(".") else name
