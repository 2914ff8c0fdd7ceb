"""Captioning a whole data set: what is lacking is asked for, kept line by line as it comes, and folded in at the end.

DATA/captions.jsonl has one line for each clip that was asked about: {id, captions, model, tokens, overwrite}, or
{id, failed, …}. It is only ever appended to, so a killed run goes on where it stopped, and a later `ingest` puts the
captions back. A line {"done": …} ends each run that came to its end.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from manzar import media
from manzar.curate.captions.answers import Captioned, CaptionError
from manzar.curate.captions.endpoint import Captioner
from manzar.curate.captions.languages import language_name
from manzar.curate.journal import only_one
from manzar.curate.manifest import read_clips, write_clips
from manzar.nouns import Clip, Frames, ManzarError, MediaError, Progress, UsageError, storage

CAPTIONS = "captions.jsonl"
MOST_FAILURES = 20  # in a row: by then it is the captioner and not the clips
TOKENS_PRICED = 1e6  # prices are for a million tokens


@dataclass
class CaptionSummary:
    """What one run did. captions: new ones by language; failed: (clip id, reason); cost in the currency of the prices.

    A clip may be among both, where it got some of the languages. left: clips that still lack a language.
    """

    clips: int = 0
    captions: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    left: int = 0
    seconds: float = 0.0

    def text(self) -> str:
        """For people."""
        captions = ", ".join(f"{language} {count}" for language, count in self.captions.items()) or "none"
        lines = [f"new captions: {captions}; {self.left} clips still lack one ({self.seconds:.1f} s)",
                 f"{self.prompt_tokens} tokens read, {self.completion_tokens} written"
                 + (f", {self.cost:.4f} spent" if self.cost else "")]  # fmt: skip
        return "\n".join([*lines, *(f"{identity}: {reason}" for identity, reason in self.failed[:10])])


@dataclass(frozen=True)
class _Task:
    clip: Clip
    languages: tuple[str, ...]


def caption_clips(
    data: Path,
    captioner: Captioner,
    *,
    languages: Sequence[str],
    frames: int = 6,
    overwrite: bool = False,
    workers: int = 4,
    report: Progress | None = None,
    price_in: float = 0.0,
    price_out: float = 0.0,
) -> CaptionSummary:
    """Caption the clips of `data` that lack one of `languages`; captions that are there stay unless `overwrite`.

    frames: pictures of each clip that are shown; workers: clips asked about at once; price_in, price_out: for a million
    tokens read and written. A clip that fails is noted and the run goes on; CaptionError after 20 in a row. Whatever
    stops it, what came is kept, folded into clips.parquet, and not asked for again. DataError while another run writes
    the data set.
    """
    if frames < 1 or workers < 1:
        raise UsageError(f"{frames} pictures of a clip and {workers} workers were asked for; at least 1 of each")
    begun = time.monotonic()
    summary = CaptionSummary()
    with only_one(data):
        tasks = _tasks(data, languages, overwrite, captioner.name)
        try:
            with _journal(data) as journal:
                for done, (task, outcome) in enumerate(_outcomes(tasks, data, captioner, frames, workers), 1):
                    _append(journal, _line(task, outcome, captioner.name, overwrite))
                    _count(summary, task, outcome)
                    summary.cost = _cost(summary, price_in, price_out)
                    if report is not None:
                        report(done, len(tasks), _standing(summary, task, outcome))
                _append(journal, {"done": captioner.name})
        finally:
            clips = read_clips(data)
            folded = apply_captions(data, clips)
            if folded != clips:
                write_clips(data, folded)
            summary.left = sum(any(not clip.captions.get(code) for code in languages) for clip in folded)
            summary.seconds = time.monotonic() - begun
    return summary


def lacking(data: Path, languages: Sequence[str], *, overwrite: bool = False) -> dict[str, int]:
    """How many clips `caption_clips` would ask about, in each of `languages`: what a dry run shows."""
    counts = Counter(code for task in _tasks(data, languages, overwrite, "") for code in task.languages)
    return {code: counts[code] for code in languages}


def apply_captions(data: Path, clips: Sequence[Clip]) -> list[Clip]:
    """`clips` with the captions of DATA/captions.jsonl: where there is none, or where they were made to overwrite."""
    made: dict[str, dict[str, str]] = {}
    forced: dict[str, dict[str, str]] = {}
    for line in _lines(data):
        captions = line.get("captions")
        if isinstance(captions, dict) and line.get("overwrite"):
            forced.setdefault(line["id"], {}).update(captions)
        elif isinstance(captions, dict):  # the first line stays, as it does where it has been folded in already
            made[line["id"]] = captions | made.get(line["id"], {})
    folded = []
    for clip in clips:
        said = _said(clip)
        added = {code: text for code, text in made.get(clip.id, {}).items() if code not in said}
        captions = said | added | forced.get(clip.id, {})
        folded.append(clip if captions == said else replace(clip, captions=captions))
    return folded


def _said(clip: Clip) -> dict[str, str]:
    return {code: text for code, text in clip.captions.items() if text}


def _tasks(data: Path, languages: Sequence[str], overwrite: bool, model: str) -> list[_Task]:
    """What to ask for: each clip with the languages it lacks, those of a killed run's lines taken as there."""
    if not languages:
        raise UsageError("no language was asked for; name at least one, such as en")
    clips = apply_captions(data, read_clips(data))
    unfinished = _unfinished(data, model) if overwrite else {}
    tasks = []
    for clip in clips:
        there = unfinished.get(clip.id, set()) if overwrite else set(_said(clip))
        wanted = tuple(code for code in dict.fromkeys(languages) if code not in there)
        if wanted:
            tasks.append(_Task(clip, wanted))
    return tasks


def _unfinished(data: Path, model: str) -> dict[str, set[str]]:
    """Languages by clip that a run of `model` had overwritten when it was killed; a run that ended leaves none."""
    found: dict[str, set[str]] = {}
    for line in _lines(data):
        if "done" in line:
            found = {}
        elif line.get("overwrite") and line.get("model") == model and isinstance(line.get("captions"), dict):
            found.setdefault(line["id"], set()).update(line["captions"])
    return found


def _outcomes(
    tasks: Sequence[_Task], data: Path, captioner: Captioner, frames: int, workers: int
) -> Iterator[tuple[_Task, Captioned | ManzarError]]:
    """Tasks with their captions or what went wrong, as they come; raises once it goes wrong time after time."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="caption")
    running: dict[Future[Captioned], _Task] = {}
    todo = iter(tasks)
    in_a_row = 0
    try:
        while True:
            for task in todo:
                running[pool.submit(_one, task, data, captioner, frames)] = task
                if len(running) == workers:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task, outcome = running.pop(future), _outcome(future)
                in_a_row = in_a_row + 1 if isinstance(outcome, ManzarError) else 0
                yield task, outcome
                if in_a_row == MOST_FAILURES:
                    raise CaptionError(f"{MOST_FAILURES} clips in a row could not be captioned, the last: {outcome}; "
                                       "what came before is kept, and the same command goes on from there")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C nobody waits for answers under way


def _outcome(future: Future[Captioned]) -> Captioned | ManzarError:
    """Captions, or why this clip has none; a UsageError holds for every clip and is raised."""
    try:
        return future.result()
    except UsageError:
        raise
    except ManzarError as error:
        return error


def _one(task: _Task, data: Path, captioner: Captioner, frames: int) -> Captioned:
    return captioner.caption(pictures_of(data / task.clip.path, task.clip.frames, frames), task.languages)


def pictures_of(path: Path, length: int, count: int) -> list[Frames]:
    """`count` pictures of a clip of `length` frames, uint8 (H, W, 3), each from the middle of its share of it.

    Raises MediaError for a file that cannot be read or is too short; the clip is never held whole.
    """
    picks = [int((index + 0.5) * length / count) for index in range(count)] if count < length else list(range(length))
    pictures: list[Frames] = []
    try:
        for index, (_, picture) in enumerate(media.frames(path)):
            if index == picks[len(pictures)]:
                pictures.append(picture)
            if len(pictures) == len(picks):
                return pictures
    except UsageError as error:  # the file is not there: this clip's trouble, not the run's
        raise MediaError(str(error)) from error
    raise MediaError(f"{path} has fewer than the {length} frames it should have; run `manzar ingest` again")


@contextmanager
def _journal(data: Path) -> Iterator[BinaryIO]:
    path = data / CAPTIONS
    with storage(path), open(path, "a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # the last writer was killed in the middle of its line
                file.write(b"\n")
        yield file


def _append(journal: BinaryIO, line: Mapping[str, Any]) -> None:
    """One line in one write, on the disk before the next clip is paid for."""
    journal.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    journal.flush()
    os.fsync(journal.fileno())


def _lines(data: Path) -> Iterable[dict[str, Any]]:
    """Lines of the journal that are whole; one that a kill cut short is as if it had not been asked about."""
    path = data / CAPTIONS
    if not path.exists():
        return
    with open(path, "rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and ("done" in line or isinstance(line.get("id"), str)):
                yield line


def _line(task: _Task, outcome: Captioned | ManzarError, model: str, overwrite: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"id": task.clip.id}
    line |= {"captions": outcome.captions} if isinstance(outcome, Captioned) else {"failed": str(outcome)}
    return line | {"model": model, "tokens": list(_tokens(outcome)), "overwrite": overwrite}


def _tokens(outcome: Captioned | ManzarError) -> tuple[int, int]:
    if isinstance(outcome, Captioned | CaptionError):
        return outcome.prompt_tokens, outcome.completion_tokens
    return 0, 0


def _count(summary: CaptionSummary, task: _Task, outcome: Captioned | ManzarError) -> None:
    read, written = _tokens(outcome)
    summary.prompt_tokens += read
    summary.completion_tokens += written
    if isinstance(outcome, ManzarError):
        summary.failed.append((task.clip.id, str(outcome)))
        return
    summary.clips += 1
    for code in outcome.captions:
        summary.captions[code] = summary.captions.get(code, 0) + 1
    absent = [language_name(code) for code in task.languages if code not in outcome.captions]
    if absent:
        summary.failed.append((task.clip.id, f"no sound caption in {', '.join(absent)}"))


def _cost(summary: CaptionSummary, price_in: float, price_out: float) -> float:
    return (summary.prompt_tokens * price_in + summary.completion_tokens * price_out) / TOKENS_PRICED


def _standing(summary: CaptionSummary, task: _Task, outcome: Captioned | ManzarError) -> str:
    tokens = f"{summary.prompt_tokens + summary.completion_tokens} tokens"
    parts = [tokens, f"{summary.cost:.2f} spent" if summary.cost else "",
             f"{len(summary.failed)} failed" if summary.failed else ""]
    if isinstance(outcome, ManzarError):
        parts.append(f"{Path(task.clip.source).name}: {outcome}")
    return ", ".join(part for part in parts if part)
