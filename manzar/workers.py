"""A few processes that work through a list of tasks. One that kills its process, or hangs it, costs itself alone.

Decoders are C code that meets files made by nobody in particular, and networks that score films may ask for more
memory than there is: a crash in one must not take the run along, and a loop in one must end. So each worker is a Python
of its own at the end of a pipe, which says now and then that it gets on (a beat); silence for too long, and it is
replaced. `multiprocessing` would import the caller's script in each process, which a script without a main guard does
not survive.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from manzar.nouns import ManzarError

Beat = Callable[[float], None]  # what a task calls to say that it gets on, and how far it is, 0 to 1

PATIENCE_S = 30.0  # silence after which a worker is held to hang
START_S = 60.0  # the same while Python starts and imports
ASLEEP_S = 5.0  # without a look at the workers: the terminal was stopped, or the caller was busy
MEMORY_BYTES = 8 << 30  # address space of one worker: a file that asks for more gets a MemoryError, not the machine
_BEAT = b"\x00"
_ANSWER = b"\x01"
_SHARE = struct.Struct("<d")
_LENGTH = 8  # bytes of the length that stands before each pickle


@dataclass(frozen=True)
class Lost:
    """What came of a task whose process died, hung or met an error that nobody foresaw."""

    reason: str


@dataclass(eq=False)
class _Worker:
    """One child process, the thread that listens to it, and what it does now."""

    process: subprocess.Popen[bytes]
    task: int | None = None
    heard: float = field(default_factory=time.monotonic)
    begun: bool = False  # it has said something: Python and its imports work there
    hung: bool = False


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[Any],
    *,
    workers: int,
    patience_s: float = PATIENCE_S,
    memory_bytes: int | None = MEMORY_BYTES,
    on_beat: Callable[[int, float], None] | None = None,
) -> Iterator[tuple[int, Any]]:
    """(index, function(task, beat)) for every task, in the order in which they are done; `Lost` for one that was not.

    function: of the top level of a module; it calls `beat(share done)` at least every `patience_s` seconds, which may
    be infinite. A ManzarError it raises stops all and is raised here; any other error costs its task. memory_bytes: of
    address space, for one worker. on_beat: told the index of a task and the share of it that is done. Leaving the loop
    ends the processes; until then each keeps what it has loaded.
    """
    pending = iter(range(len(tasks)))
    events: _Events = queue.Queue()
    alive: set[_Worker] = set()

    def start() -> None:
        index = next(pending, None)
        if index is None:
            return
        worker = _Worker(_spawn(memory_bytes))
        alive.add(worker)
        threading.Thread(target=_listen, args=(worker, events), daemon=True).start()
        give(worker, index)

    def give(worker: _Worker, index: int) -> None:
        worker.task, worker.heard = index, time.monotonic()
        with contextlib.suppress(OSError):  # it died just now: its listener says so
            _send(worker.process.stdin, (function.__module__, function.__qualname__, tasks[index]))

    try:
        for _ in range(max(1, min(workers, len(tasks)))):
            start()
        last = time.monotonic()
        while alive:
            now = time.monotonic()
            if now - last > ASLEEP_S:  # this process stood still, not they
                for worker in alive:
                    worker.heard = now
            last = now
            _stop_silent(alive, patience_s)
            try:
                worker, message = events.get(timeout=1.0)
            except queue.Empty:
                continue
            index = worker.task
            assert index is not None, "a worker spoke without a task"
            if isinstance(message, float):
                if on_beat is not None:
                    on_beat(index, message)
                continue
            if message is None:
                alive.discard(worker)
                reason = _death(worker, patience_s)
                if not worker.begun:
                    raise ManzarError(f"no worker process can be started here: {reason}; its own words stand above")
                yield index, Lost(reason)
                start()
                continue
            ok, value = pickle.loads(message)
            if not ok:
                raise value
            yield index, value
            following = next(pending, None)
            if following is None:
                alive.discard(worker)
                _dismiss(worker)
            else:
                give(worker, following)
    finally:
        for worker in alive:
            worker.process.kill()
            _dismiss(worker)


_Events = queue.Queue[tuple[_Worker, bytes | float | None]]  # an answer, a beat, or the end of the pipe


def _spawn(memory_bytes: int | None) -> subprocess.Popen[bytes]:
    # The parent's search path goes along; numerical libraries get one thread, since the processes fill the cores.
    paths = os.pathsep.join(path for path in sys.path if path)
    settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # glibc would map every large array anew and give it back: a fifth of a worker's time went into that.
    settings |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({memory_bytes})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **settings, "PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C reaches the parent, which ends its workers in good order
    )


def _listen(worker: _Worker, events: _Events) -> None:
    """Hand on each whole message."""
    stream = worker.process.stdout
    assert stream is not None
    while True:
        head = stream.read(1)
        worker.heard = time.monotonic()
        worker.begun |= bool(head)
        if head == _BEAT:
            share = stream.read(_SHARE.size)
            if len(share) == _SHARE.size:
                events.put((worker, _SHARE.unpack(share)[0]))
            continue
        message = _receive(stream) if head else None
        if message is None and worker.process.stdin is not None and worker.process.stdin.closed:
            return  # dismissed
        events.put((worker, message))
        if message is None:
            return


def _stop_silent(alive: set[_Worker], patience_s: float) -> None:
    for worker in alive:
        granted = patience_s if worker.begun else max(patience_s, START_S)
        if time.monotonic() - worker.heard > granted and not worker.hung:
            worker.hung = True
            worker.process.kill()


def _death(worker: _Worker, patience_s: float) -> str:
    code = worker.process.wait()
    if worker.hung:
        return f"no progress for {patience_s:g} s; given up"
    if code < 0:
        known = {one.value: one.name for one in signal.Signals}
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"its process died ({known.get(-code, f'signal {-code}')}{hint})"
    return f"its process ended early (exit code {code})"


def _dismiss(worker: _Worker) -> None:
    with contextlib.suppress(OSError):
        assert worker.process.stdin is not None
        worker.process.stdin.close()
    try:
        worker.process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()


def _send(stream: BinaryIO | Any, value: Any) -> None:
    data = pickle.dumps(value)
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def _receive(stream: BinaryIO | Any) -> bytes | None:
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    data: bytes = stream.read(int.from_bytes(head, "big"))
    return data if len(data) == int.from_bytes(head, "big") else None


def serve(memory_bytes: int | None) -> None:
    """The worker's side: tasks from standard input, answers and beats to what was standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print must not print into the pipe
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)

    def beat(share: float) -> None:
        out.write(_BEAT + _SHARE.pack(share))
        out.flush()

    beat(0.0)
    while True:
        message = _receive(sys.stdin.buffer)
        if message is None:
            return
        module, name, task = pickle.loads(message)
        try:
            answer: tuple[bool, Any] = (True, getattr(importlib.import_module(module), name)(task, beat))
        except BrokenPipeError:
            return  # the parent is gone
        except ManzarError as error:
            answer = (False, error)
        except Exception as error:  # nobody foresaw it: it may be this file's doing, and the others must not pay
            answer = (True, Lost(f"an unforeseen {type(error).__name__}: {error}"))
        out.write(_ANSWER)
        _send(out, answer)


def _limit_memory(most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    with contextlib.suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
