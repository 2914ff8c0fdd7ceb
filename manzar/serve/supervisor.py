"""Starts the workers, watches them, starts them again, and sweeps; owns the folder of all state while it lives."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from manzar.nouns import UsageError, storage
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings

LOOK_SECONDS = 0.1
SWEEP_SECONDS = 30.0
STOP_SECONDS = 3.5  # after which a worker is killed; it gives up by itself before that
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 30.0  # before a dead worker's successor starts
LIVED_SECONDS = 10.0  # a worker that got this old did not die of its start

LIST_ACCELERATORS = """
import torch
if torch.accelerator.is_available():
    kind = torch.accelerator.current_accelerator().type
    print(*(f"{kind}:{index}" for index in range(torch.accelerator.device_count())))
"""

log = logging.getLogger(__name__)


@dataclass
class Slot:
    """One device and the worker on it, if one lives."""

    device: dict[str, str]
    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    wait_seconds: float = FIRST_WAIT_SECONDS


class Supervisor:
    """To be entered once: takes the root, recovers what a dead server left, and keeps `settings.workers` workers.

    Raises UsageError on entering if another server has the root, or if there are more workers than accelerators.
    """

    def __init__(self, settings: ServeSettings, queue: Queue) -> None:
        self.settings, self.queue = settings, queue
        self.slots: list[Slot] = []
        self._stopped = threading.Event()
        self._held = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self.slots = [Slot(device) for device in devices(self.settings.workers)]
        self._held.enter_context(alone(self.settings.root))
        self.queue.lose(None, "the server was killed meanwhile")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends all workers within 5 s; what they had in hand is queued again."""
        self._stopped.set()
        self._thread.join()
        self._end_workers()
        self._held.close()

    @property
    def alive(self) -> int:
        """How many workers live."""
        return sum(slot.process is not None and slot.process.poll() is None for slot in self.slots)

    def _run(self) -> None:
        swept_at = float("-inf")
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                for slot in self.slots:
                    self._look_after(slot)
                if time.monotonic() - swept_at > SWEEP_SECONDS:
                    self.queue.sweep(time.time())
                    swept_at = time.monotonic()
            except Exception:  # such as a full disk: it may have room again, and nobody else would restart the workers
                log.exception("the supervisor goes on after an error")
                self._stopped.wait(FIRST_WAIT_SECONDS)

    def _look_after(self, slot: Slot) -> None:
        now = time.monotonic()
        if slot.process is not None and slot.process.poll() is not None:
            self._bury(slot, now)
        if slot.process is None and now >= slot.start_after:
            slot.name = f"{self.slots.index(slot)}-{secrets.token_hex(4)}"
            slot.process, slot.started_at = spawn(self.settings, slot), now

    def _bury(self, slot: Slot, now: float) -> None:
        assert slot.process is not None
        reason = death(slot.process.returncode)
        log.warning("worker %s: %s", slot.name, reason)
        self.queue.lose(slot.name, reason)
        close(slot.process)
        slot.process = None
        if now - slot.started_at > LIVED_SECONDS:
            slot.wait_seconds = FIRST_WAIT_SECONDS
        slot.start_after = now + slot.wait_seconds
        slot.wait_seconds = min(LONGEST_WAIT_SECONDS, 2 * slot.wait_seconds)

    def _end_workers(self) -> None:
        living = {slot.name: slot.process for slot in self.slots if slot.process is not None}
        for process in living.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in living.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            close(process)
        jobs, _ = self.queue.list(status="in_progress", limit=len(self.slots))
        for job in jobs:
            if job.worker in living:
                self.queue.give_back(job.id, job.worker)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """The only server on a root while this lasts; the system ends it with the process, however that dies."""
    with storage(root):
        root.mkdir(parents=True, exist_ok=True)
        file = open(root / "server.lock", "w")  # noqa: SIM115 (closed below)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another server works on {root}; stop that one first, or choose another root") from None
        yield


def devices(workers: int) -> list[dict[str, str]]:
    """For each worker the environment that puts it on a device of its own; on a CPU they share the cores.

    Raises UsageError for more workers than accelerators.
    """
    found = [os.environ["MANZAR_DEVICE"]] if "MANZAR_DEVICE" in os.environ else accelerators()
    if not found or found == ["cpu"]:
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // max(1, workers)))
        return [{"MANZAR_DEVICE": "cpu", "OMP_NUM_THREADS": threads}] * workers
    if workers > len(found):
        raise UsageError(f"{workers} workers need as many accelerators, and there are {len(found)}: "
                         f"{', '.join(found)}; ask for {len(found)} at most")
    return [{"MANZAR_DEVICE": device} for device in found[:workers]]


def accelerators() -> list[str]:
    """All that torch finds, as torch names them. A process of its own looks, so that the server stays small."""
    command = [sys.executable, "-P", "-c", LIST_ACCELERATORS]
    return subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def environment() -> dict[str, str]:
    """This process's, its search path included."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def spawn(settings: ServeSettings, slot: Slot) -> subprocess.Popen[bytes]:
    """A worker on the slot's device; it has this process's search path, and hears of its end through its input."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "manzar.serve.worker", settings.to_json(), slot.name],
        stdin=subprocess.PIPE,
        env=environment() | slot.device,
        start_new_session=True,  # Ctrl-C reaches the server alone, which ends its workers in good order
    )


def close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def death(code: int) -> str:
    """What a dead process's exit code says."""
    if code >= 0:
        return f"the worker process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"the worker process was ended by {name}{hint}"
