from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manzar.nouns import StorageError
from manzar.workers import Beat, Lost, run_tasks


def square(task: int, beat: Beat) -> int:
    print("libraries print; the answer still arrives")
    return task * task


def treacherous(task: str, beat: Beat) -> str:
    if task == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "leave":
        os._exit(3)
    if task == "hang":
        time.sleep(60)
    if task == "slow":
        for _ in range(8):
            time.sleep(0.25)
            beat(0.5)
    if task == "bug":
        return str([][1])
    if task == "full":
        raise StorageError("the disk is full")
    if task == "greedy":
        try:
            bytearray(64 << 30)
        except MemoryError:
            return "refused"
    return task


def test_every_task_is_answered_once() -> None:
    assert sorted(run_tasks(square, range(7), workers=2)) == [(index, index * index) for index in range(7)]
    assert list(run_tasks(square, [], workers=2)) == []


def test_beats_are_told() -> None:
    told: list[tuple[int, float]] = []
    list(run_tasks(pid, [0], workers=1, on_beat=lambda index, share: told.append((index, share))))
    assert told == [(0, 0.0)] + [(0, 0.5)] * 3  # the first says that the worker is there


def test_a_death_and_a_hang_cost_themselves_alone() -> None:
    tasks = ["a", "die", "hang", "slow", "leave", "b", "bug"]
    found = dict(run_tasks(treacherous, tasks, workers=2, patience_s=1.5))
    assert [found[index] for index in (0, 3, 5)] == ["a", "slow", "b"]
    assert found[1] == Lost("its process died (SIGSEGV)")
    assert found[2] == Lost("no progress for 1.5 s; given up")
    assert found[6] == Lost("an unforeseen IndexError: list index out of range")
    assert found[4] == Lost("its process ended early (exit code 3)")


def test_an_error_stops_all_and_is_raised_here() -> None:
    with pytest.raises(StorageError, match="disk is full"):
        list(run_tasks(treacherous, ["a", "full", "b"], workers=1))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set where the system has one")
def test_memory_is_bounded() -> None:
    assert list(run_tasks(treacherous, ["greedy"], workers=1)) == [(0, "refused")]


def test_a_script_without_a_main_guard_may_use_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from manzar.workers import run_tasks\nimport test_workers\n"
                      "print(list(run_tasks(test_workers.square, [3], workers=1)))\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=env, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[(0, 9)]"


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from manzar.workers import run_tasks\nimport test_workers, os\n"
                      "for _ in run_tasks(test_workers.pid, range(50), workers=2): print(_[1], flush=True)\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.1)
    pytest.fail(f"process {child} is still there")


def pid(task: int, beat: Beat) -> int:
    for _ in range(3):
        time.sleep(0.1)
        beat(0.5)
    return os.getpid()
