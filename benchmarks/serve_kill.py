"""Kill -9 of the server and of its worker, at random moments under load: what becomes of every job that was accepted.

    python benchmarks/serve_kill.py [--moments N] [--clients N] [--seed K]

A server on a free port with a very small model; clients that post videos of several lengths and, where they get no
answer, post again under the same idempotency key. Each moment lies a random while after work was seen to go on, and
its victim is drawn: the server, which is started again at once, or the worker. At the end all are let finish. It prints
one JSON object; the exit code is 1 if a job was lost, ended twice, hangs, or has no whole video.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from manzar.generate import save_parts
from manzar.media import read
from manzar.nouns import ManzarError
from manzar.serve.jobs import RESULTS, VIDEO, Job
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from tests.tiny_model import tiny_parts

BACKLOG = 40  # unfinished jobs, beyond which clients wait
LONGEST_WHILE = 3.0  # seconds between seen work and the kill
PATIENCE = 600.0  # seconds for the rest to finish


class House:
    """The server, and whoever kills it."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.url = ""
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", self.settings.to_json()], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.close()
        self.start()

    def stop(self) -> float:
        """Seconds that an orderly end takes."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.close()
        return time.monotonic() - begun

    def close(self) -> None:
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def workers(self) -> list[int]:
        """Process ids of the server's children."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


class Clients:
    """Post until told to stop; `accepted` are the ids of the answers that came."""

    def __init__(self, house: House, queue: Queue, count: int, seed: int) -> None:
        self.house, self.queue = house, queue
        self.accepted: list[str] = []
        self.unanswered = 0
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed + 1 + index),))
                        for index in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, chance: random.Random) -> None:
        while not self.stopped.wait(chance.uniform(0, 0.3)):
            if self.queue.count() >= BACKLOG:
                continue
            body = {"prompt": f"a red circle {chance.random()}", "steps": chance.choice([1, 4, 30]),
                    "seed": chance.randrange(2**31)}
            key = str(uuid.uuid4())
            while (id := self.post(body, key)) is None:
                self.unanswered += 1
                time.sleep(0.05)
            self.accepted.append(id)

    def post(self, body: dict[str, object], key: str) -> str | None:
        """The id of the job, or None where no answer came."""
        request = urllib.request.Request(
            f"{self.house.url}/v1/videos", json.dumps(body).encode(),
            {"Content-Type": "application/json", "Idempotency-Key": key},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(json.load(answer)["id"])
        except urllib.error.HTTPError:
            raise  # an answer, and not the one hoped for
        except (OSError, HTTPException):  # also one that broke off in the middle of an answer
            return None

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", metavar="SETTINGS", help="be the server of these settings")
    arguments = parser.parse_args()
    if arguments.serve:
        be_server(ServeSettings.from_json(arguments.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        save_parts(tiny_parts(), Path(folder) / "tiny")
        settings = ServeSettings(Path(folder) / "root", {"tiny": Path(folder) / "tiny"}, port=0,
                                 requests_per_minute=1_000_000)
        found = run(settings, arguments.moments, arguments.clients, arguments.seed)
    print(json.dumps(found, indent=1))
    sys.exit(any(found[name] for name in ("lost", "ended_twice", "unfinished", "damaged", "left_behind")))


def be_server(settings: ServeSettings) -> None:
    from manzar.serve.run import serve

    serve(settings, started=lambda server: print(server.url, flush=True))


def run(settings: ServeSettings, moments: int, clients: int, seed: int) -> dict[str, object]:
    chance, begun = random.Random(seed), time.monotonic()
    house = House(settings)
    queue = Queue(settings.database, settings)
    load = Clients(house, queue, clients, seed)
    killed: Counter[str] = Counter()
    for moment in range(moments):
        before = work_seen(queue)
        wait(lambda before=before: work_seen(queue) != before)
        time.sleep(chance.uniform(0, LONGEST_WHILE))
        victims = house.workers()
        if chance.random() < 0.5 or not victims:
            house.kill()
            killed["server"] += 1
        else:
            subprocess.run(["kill", "-9", str(victims[0])], check=False)
            killed["worker"] += 1
        print(f"{moment + 1} of {moments}: {dict(killed)}, {len(load.accepted)} accepted", file=sys.stderr, flush=True)
    load.stop()
    wait(lambda: queue.count() == 0)
    stop_seconds = house.stop()
    found = account(queue, load.accepted)
    return {"killed": dict(killed), "unanswered_posts": load.unanswered, **found,
            "orderly_stop_seconds": round(stop_seconds, 2), "seconds": round(time.monotonic() - begun)}


def work_seen(queue: Queue) -> tuple[float, int]:
    """Changes whenever anything is made: jobs that ended, and steps of those under way."""
    stats = queue.stats()
    return stats.get("total:completed", 0), sum(job.steps_done for job in queue.list(status="in_progress")[0])


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)


def account(queue: Queue, accepted: list[str]) -> dict[str, object]:
    """What became of all jobs. An end is counted in the transaction that writes it, so two of one job would show."""
    jobs, _ = queue.list(limit=1_000_000)
    ends = sum(value for name, value in queue.stats().items() if name.startswith(("total:completed", "total:failed")))
    kept = {job.id for job in jobs}
    failed = [job for job in jobs if job.status == "failed"]
    left = [path for path in queue.root.rglob("*") if path.name.startswith(".")]
    return {
        "accepted": len(accepted), "accepted_twice": len(accepted) - len(set(accepted)), "jobs": len(jobs),
        "completed": sum(job.status == "completed" for job in jobs),
        "failed": dict(Counter(f"{job.error_code}: {job.error_message}" for job in failed)),
        "attempts": dict(sorted(Counter(job.attempts for job in jobs).items())),
        "lost": len(set(accepted) - kept), "never_accepted": len(kept - set(accepted)),
        "ended_twice": int(ends) - sum(job.finished for job in jobs),
        "unfinished": sum(not job.finished for job in jobs),
        "damaged": sum(not whole(queue, job) for job in jobs if job.status == "completed"),
        "left_behind": len(left) + sum(path.name not in kept for path in queue.root.iterdir()),
    }  # fmt: skip


def whole(queue: Queue, job: Job) -> bool:
    folder = queue.folder(job.id)
    try:
        return len(read(folder / VIDEO).frames) == job.frames and all((folder / name).is_file() for name in RESULTS)
    except ManzarError:
        return False


if __name__ == "__main__":
    main()
