"""The process that makes the videos: takes a job, makes it, delivers it, takes the next.

    python -m manzar.serve.worker SETTINGS NAME        as the supervisor starts it, on a device of its own

It ends when it is told to (SIGTERM, SIGINT) and when its standard input does, which is when the server died. Work in
hand is given back between two steps, or, if a step takes too long for that, in the middle of it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import torch

from manzar.generate import Generator, load
from manzar.nouns import ManzarError, MediaError, ModelError, Progress, StorageError, UsageError
from manzar.serve import folders
from manzar.serve.jobs import Job
from manzar.serve.making import Made, make
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings

IDLE_SECONDS = 0.1  # between two looks at an empty queue
TELL_SECONDS = 0.5  # between two reports of progress: each is a write to the disk
STALL_SECONDS = 3600.0  # without a step: something hangs, and would keep its lease for ever
STOP_SECONDS, IDLE_STOP_SECONDS = 2.5, 0.5  # after which a step is no longer waited for; what else there is to do
STALLED = 3  # exit code
MODELS_HELD = 2
NICENESS = 5  # requests are answered while a generation wants every core
MORE_KILLABLE = 500  # of 1000: when memory runs out the system ends this process, not the server (Linux)
STOPPING = {signal.SIGTERM, signal.SIGINT}

CODES: dict[type[ManzarError], str] = {
    UsageError: "invalid_request", MediaError: "invalid_media", ModelError: "model_error", StorageError: "storage_full",
}  # fmt: skip

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The worker is to end; the job is given back."""


class Lost(Exception):
    """The job is no longer this worker's."""


class Pulse:
    """Tells the queue how far a job is, which renews its lease; from a thread, so that no step is too long for it.

    What hangs altogether ends the process: the supervisor starts another.
    """

    def __init__(self, queue: Queue, job: Job, worker: str) -> None:
        self.queue, self.job, self.worker = queue, job, worker
        self.lost = False
        self._done, self._total, self._stepped_at = 0, 0, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def step(self, done: int, total: int) -> None:
        self._done, self._total, self._stepped_at = done, total, time.monotonic()

    def _run(self) -> None:
        told, told_at = 0, time.monotonic()
        while not self._ended.wait(TELL_SECONDS):
            if time.monotonic() - self._stepped_at > STALL_SECONDS:
                log.error("%s: nothing has happened for %g s", self.job.id, STALL_SECONDS)
                os._exit(STALLED)
            done, total = self._done, self._total
            if done == told and time.monotonic() - told_at < self.queue.settings.lease_seconds / 3:
                continue
            with contextlib.suppress(ManzarError):  # a disk that is full now may have room before the lease runs out
                self.lost = not self.queue.beat(self.job.id, self.worker, percent(done, total), done, total)
                told, told_at = done, time.monotonic()


class Models:
    """The generators used last, held ready."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self._held: OrderedDict[str, Generator] = OrderedDict()

    def get(self, name: str) -> Generator:
        """Raises UsageError for a name that the server does not know, ModelError for a folder that is no model."""
        if name not in self.folders:
            raise UsageError(f"there is no model {name!r} here any more; there are {', '.join(self.folders)}")
        if name not in self._held:
            while len(self._held) >= MODELS_HELD:
                self._held.popitem(last=False)
            self._held[name] = load(self.folders[name])
        self._held.move_to_end(name)
        return self._held[name]

    @property
    def count(self) -> int:
        return len(self._held)

    def let_go(self) -> None:
        """Give all memory back."""
        self._held.clear()
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.memory.empty_cache()


class Worker:
    def __init__(self, settings: ServeSettings, name: str) -> None:
        self.settings, self.name = settings, name
        self.queue = Queue(settings.database, settings)
        self.models = Models(dict(settings.models))
        self.job: Job | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Works until `stop`."""
        with contextlib.suppress(ManzarError):  # said of each job that asks for this model
            self.models.get(self.settings.default_model)
        while not self._stopped.is_set():
            self.job = self.queue.claim(self.name)
            if self.job is None:
                self._stopped.wait(IDLE_SECONDS)
            else:
                self.work(self.job)

    def stop(self) -> None:
        """Ends `run` soon; by force if need be, for a step may take minutes."""
        self._stopped.set()
        timer = threading.Timer(STOP_SECONDS if self.job else IDLE_STOP_SECONDS, self._abandon)
        timer.daemon = True
        timer.start()

    def work(self, job: Job) -> None:
        """Makes one job's video. Whatever goes wrong is the job's end, not the worker's."""
        begun = time.monotonic()
        folder = self.queue.folder(job.id)
        out = folder / f"{folders.MAKING}{self.name}"
        try:
            folders.clear(folder)
            out.mkdir(parents=True)
            with Pulse(self.queue, job, self.name) as pulse:
                made = self._make(job, folder, out, self._on_step(pulse))
            self.queue.complete(
                job.id, self.name, cost_seconds=time.monotonic() - begun, generated_size=made.generated_size,
                frames=made.frames, fps=made.fps, notes=made.notes, seconds=made.seconds, size=made.size, made=out,
            )  # fmt: skip
        except Stopped:
            self.queue.give_back(job.id, self.name)
        except Lost:
            log.info("%s is no longer mine", job.id)
        except torch.AcceleratorError:
            raise  # nothing works in this process any more; the supervisor starts another, which tries again
        except Exception as error:
            if not self._is_mine(job):
                return
            code, message = reason(error)
            places = [folder / "input", folder, *self.settings.models.values(), self.settings.root]
            self.queue.fail(job.id, self.name, code, without(places, message))
            if is_memory(error):
                error.__traceback__ = None  # it holds on to everything that was too much
                self.models.let_go()
        finally:
            self.job = None
            folders.remove(out)
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing is in it: the job was deleted meanwhile

    def _make(self, job: Job, folder: Path, out: Path, on_step: Progress) -> Made:
        """Once more if memory ran out while other models were held."""
        while True:
            generator, alone = self.models.get(job.task.model), self.models.count == 1
            try:
                return make(job, generator, folder, out, self.settings, on_step)
            except Exception as error:
                if alone or not is_memory(error):
                    raise
            del generator
            self.models.let_go()

    def _on_step(self, pulse: Pulse) -> Progress:
        def on_step(done: int, total: int, detail: str) -> None:
            pulse.step(done, total)
            if self._stopped.is_set():
                raise Stopped
            if pulse.lost:
                raise Lost

        return on_step

    def _is_mine(self, job: Job) -> bool:
        """Whether the job is there and still this worker's; if it is not, its files may have gone from under it."""
        return self.queue.beat(job.id, self.name, 0, 0, 0)

    def _abandon(self) -> None:
        job = self.job
        if job is not None:
            self.queue.give_back(job.id, self.name)
        os._exit(0)


def percent(done: int, total: int) -> int:
    """Of a job that is not finished; 100 is for those that are."""
    return 0 if total == 0 else min(99, 100 * done // total)


def reason(error: Exception) -> tuple[str, str]:
    """The code and the message that the person sees."""
    if is_memory(error):
        return "out_of_memory", "the video needs more memory than this machine has; ask for a smaller or shorter one"
    if isinstance(error, ManzarError):
        return next((code for kind, code in CODES.items() if isinstance(error, kind)), "generation_failed"), str(error)
    log.error("a job met an unforeseen error", exc_info=error)
    return "internal_error", f"the generation met an unforeseen error ({type(error).__name__}); the server's log has it"


def without(places: Iterable[Path], message: str) -> str:
    """The message with no word on where this machine keeps things."""
    for place in places:
        message = message.replace(f"{place}{os.sep}", "").replace(str(place), place.name)
    return message


def is_memory(error: Exception) -> bool:
    """Whether memory ran out; on a CPU torch says so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "enough memory" in str(error))


def watch_signals(worker: Worker) -> None:
    """From a thread: a handler would wait for the end of a long call into C."""
    signal.sigwait(STOPPING)
    worker.stop()


def watch_server(worker: Worker) -> None:
    """The server holds the other end of the standard input, and holds it until it ends, in whatever way."""
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1):
            continue
    worker.stop()


def main(arguments: list[str]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # before torch starts threads, which inherit it
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(MORE_KILLABLE))
    os.nice(NICENESS)
    settings, name = ServeSettings.from_json(arguments[0]), arguments[1]
    worker = Worker(settings, name)
    for watch in (watch_signals, watch_server):
        threading.Thread(target=watch, args=(worker,), daemon=True).start()
    worker.run()
    worker.queue.close()
    os._exit(0)  # libraries take seconds to clear up what the system takes back at once


if __name__ == "__main__":
    main(sys.argv[1:])
