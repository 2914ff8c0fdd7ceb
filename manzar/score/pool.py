"""Processes that score films. One that a film kills, or hangs, costs that film alone.

Each is a Python of its own at the end of a pipe and keeps what it has loaded from film to film. A thread in the parent
hands it one task after another. `multiprocessing` would import the caller's script in every process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

_LENGTH = 8  # bytes of the length that stands before each pickle


@dataclass(frozen=True)
class Lost:
    """What came of a task whose process died or met an error that nobody foresaw."""

    reason: str


def run_all(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """(index, function(task)) for every task as it is done; `Lost` for one whose process died.

    function: of the top level of a module; tasks and answers are pickled. Leaving the loop ends the processes.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for index in range(len(tasks)):
        waiting.put(index)
    crew = [_Worker() for _ in range(min(workers, len(tasks)))]
    for worker in crew:
        threading.Thread(target=worker.work, args=(function, tasks, waiting, done), daemon=True).start()
    try:
        for _ in tasks:
            yield done.get()
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """One place for a process, filled anew when the process has died."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def work(self, function: Callable[[Any], Any], tasks: Sequence[Any], waiting: queue.SimpleQueue[int],
             done: queue.SimpleQueue[tuple[int, Any]]) -> None:  # fmt: skip
        while not self.ended:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                break
            done.put((index, self._answer((function.__module__, function.__qualname__, tasks[index]))))
        self.end()

    def _answer(self, message: tuple[str, str, Any]) -> Any:
        if self.process is None:
            self.process = _spawn()
        process = self.process
        with contextlib.suppress(OSError):  # it died just now: the empty answer says so
            _send(process.stdin, message)
        answer = _receive(process.stdout)
        if answer is not None:
            return pickle.loads(answer)
        self.process = None
        return Lost(_death(process.wait()))

    def end(self) -> None:
        self.ended, process = True, self.process
        if process is not None:
            process.kill()
            process.wait()


def _spawn() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)  # the parent's search path goes along
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # glibc would map every picture anew and give it back, which costs more than decoding a small one.
    settings = threads | {"MALLOC_MMAP_THRESHOLD_": str(1 << 26), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings, "PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C reaches the parent, which ends its workers in good order
    )


def _death(code: int) -> str:
    if code < 0:
        known = {one.value: one.name for one in signal.Signals}
        killed = known.get(-code, f"signal {-code}")
        hint = ", perhaps for want of memory: try fewer --workers" if killed == "SIGKILL" else ""
        return f"the process that scored it died ({killed}{hint})"
    return f"the process that scored it ended early (exit code {code})"


def _send(stream: BinaryIO | Any, value: Any) -> None:
    data = pickle.dumps(value)
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def _receive(stream: BinaryIO | Any) -> bytes | None:
    length = int.from_bytes(stream.read(_LENGTH), "big")
    data: bytes = stream.read(length)
    return data if length and len(data) == length else None


def serve() -> None:
    """The worker's side: tasks from standard input, answers to what was standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print must not print into the pipe
    while (message := _receive(sys.stdin.buffer)) is not None:
        module, name, task = pickle.loads(message)
        try:
            answer = getattr(import_module(module), name)(task)
        except Exception as error:  # nobody foresaw it: it may be this film's doing, and the others must not pay
            answer = Lost(f"an unforeseen {type(error).__name__}: {error}")
        with contextlib.suppress(BrokenPipeError):  # the parent is gone; so is its end of our input
            _send(out, answer)
