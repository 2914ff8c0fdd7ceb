"""Footage that has gone bad in every way: real clips with bytes flipped, zeroed, repeated, cut off or shuffled.

    python benchmarks/mutations.py [--clips ../shared/clips] [--count 2000] [--seed 0]

Each goes through the worker that ingests a file. Prints what came of them, the slowest, and the most memory a worker
held. A worker that died, a file that was given up and a row without a reason are listed by name.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import mutations
import numpy as np

from manzar.curate.measures.limits import LIMITS
from manzar.curate.plan import Settings
from manzar.curate.shots import FileTask, Outcome, clip_file
from manzar.workers import Beat, Lost, run_tasks

MOST_BYTES = 400_000  # of a clip to be mutated: two thousand large ones would measure the codec, not the care
BATCH = 100


def flipped(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, len(data), int(rng.choice([1, 10, 200]))):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def header_flipped(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, min(2048, len(data)), int(rng.choice([1, 4, 16]))):
        data[place] = int(rng.integers(256))
    return data


def truncated(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def zeroed(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, len(data)))
    length = int(rng.integers(1, max(2, len(data) // 3)))
    data[start : start + length] = bytes(len(data[start : start + length]))
    return data


def shuffled(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One stretch repeated somewhere else: lengths and offsets no longer agree."""
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 5000))
    place = int(rng.integers(0, len(data)))
    return data[:place] + data[start : start + length] + data[place:]


KINDS = (flipped, header_flipped, truncated, zeroed, shuffled)


def timed(task: FileTask, beat: Beat) -> tuple[float, int, Outcome]:
    """Seconds, the worker's peak memory in bytes so far, and what the file gave."""
    begun = time.monotonic()
    outcome = clip_file(task, beat)
    return time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    originals = sorted(path for folder in ("good", "awkward") for path in (given.clips / folder).rglob("*")
                       if path.is_file() and path.suffix != ".csv" and path.stat().st_size <= MOST_BYTES)  # fmt: skip
    seconds: list[float] = []
    memory, clips, silent, lost = 0, 0, [], []
    reasons: Counter[str] = Counter()
    for first in range(0, given.count, BATCH):
        with tempfile.TemporaryDirectory() as folder:
            tasks = []
            for index in range(first, min(first + BATCH, given.count)):
                original = originals[int(rng.integers(len(originals)))]
                kind = KINDS[index % len(KINDS)]
                path = Path(folder) / f"{index:04d}_{kind.__name__}_{original.name}"
                path.write_bytes(kind(bytearray(original.read_bytes()), rng))
                out = Path(folder) / "out"
                tasks.append(FileTask(path, path.name, f"{index:04d}", out, Settings(max_side=160), LIMITS))
            for place, result in run_tasks(mutations.timed, tasks, workers=given.workers):
                if isinstance(result, Lost):
                    lost.append(f"{tasks[place].name}: {result.reason}")
                    continue
                spent, peak, outcome = result
                seconds.append(spent)
                memory = max(memory, peak)
                clips += len(outcome.pieces)
                reasons.update(row.reason for row in outcome.rejections)
                if not outcome.pieces and not outcome.rejections:
                    silent.append(tasks[place].name)
        print(f"{first + len(tasks)}/{given.count} files, {len(lost)} lost", file=sys.stderr, flush=True)
    print(f"{given.count} mutated files of {len(originals)} clips, seed {given.seed}")
    print(f"clips {clips}; turned away: {dict(reasons.most_common())}")
    print(f"seconds a file: median {median(seconds):.2f}, most {max(seconds):.1f}; peak memory {memory >> 20} MiB")
    print(f"workers that died or hung: {len(lost)}", *lost, sep="\n  ")
    print(f"files without a clip or a reason: {len(silent)}", *silent, sep="\n  ")


if __name__ == "__main__":
    main()
