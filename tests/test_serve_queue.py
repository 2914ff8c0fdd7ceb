"""The queue: accepted means kept, one worker per job, every job ends once, and nobody is starved."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manzar.nouns import StorageError, UsageError
from manzar.serve.jobs import IdempotencyConflict, Job, NoSuchJob, QuotaReached, Spec
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from manzar.serve.task import Task

DONE: dict[str, Any] = {
    "cost_seconds": 1.5, "generated_size": "64x64", "frames": 17, "fps": 8.0, "notes": ["a note"], "seconds": "2.125",
}  # fmt: skip


def spec(owner: str = "", prompt: str = "ایک سرخ دائرہ", seed: int = 0, **more: Any) -> Spec:
    return Spec(Task(kind="create", model="tiny", prompt=prompt, seed=seed), owner, "2", "64x64", **more)


def settings_of(root: Path, **more: Any) -> ServeSettings:
    return ServeSettings(root, {"tiny": root / "model"}, **more)


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return settings_of(tmp_path)


@pytest.fixture
def queue(settings: ServeSettings) -> Iterator[Queue]:
    opened = Queue(settings.database, settings)
    yield opened
    opened.close()


def claimed(queue: Queue, worker: str = "w") -> Job:
    job = queue.claim(worker)
    assert job is not None
    return job


def test_a_job_is_accepted_made_and_told_of(queue: Queue) -> None:
    job = queue.submit(spec(remixed_from="video_of_before", batch="batch_1"))
    assert job.status == "queued" and job.id.startswith("video_") and len(job.id) == 30
    assert queue.get(job.id) == job and job.task.prompt == "ایک سرخ دائرہ" and job.remixed_from == "video_of_before"

    begun = claimed(queue)
    assert (begun.id, begun.status, begun.attempts, begun.worker) == (job.id, "in_progress", 1, "w")
    assert queue.claim("other") is None
    assert queue.beat(job.id, "w", 40, 4, 10)
    assert (queue.get(job.id).progress, queue.get(job.id).steps_done) == (40, 4)

    made = queue.folder(job.id) / ".making-w"
    made.mkdir(parents=True)
    (queue.folder(job.id) / ".preview.webp.7.tmp").write_bytes(b"of one who died")
    (made / "video.mp4").write_bytes(b"film")
    assert queue.complete(job.id, "w", **DONE, made=made)
    done = queue.get(job.id)
    assert done.status == "completed" and done.finished and done.progress == 100
    assert done.notes == ("a note",) and done.seconds == "2.125" and done.cost_seconds == 1.5
    assert (queue.folder(job.id) / "video.mp4").read_bytes() == b"film"
    assert [path.name for path in queue.folder(job.id).iterdir()] == ["video.mp4"]
    assert done.completed_at is not None and done.expires_at == done.completed_at + 7 * 86400

    (event,) = queue.outbox_due(time.time())
    assert (event.job_id, event.type, event.attempts) == (job.id, "video.completed", 0)
    queue.outbox_retry(event.id, time.time() + 60)
    assert not queue.outbox_due(time.time())
    (event,) = queue.outbox_due(time.time() + 61)
    assert event.attempts == 1
    queue.outbox_done(event.id)
    assert not queue.outbox_due(time.time() + 61)


def test_whoever_lost_a_job_cannot_say_anything_of_it(queue: Queue) -> None:
    job = queue.submit(spec())
    claimed(queue, "slow")
    queue.sweep(time.time() + 31)
    assert claimed(queue, "quick").attempts == 2
    assert not queue.beat(job.id, "slow", 1, 1, 2)
    assert not queue.complete(job.id, "slow", **DONE)
    assert not queue.fail(job.id, "slow", "internal_error", "…")
    assert not queue.give_back(job.id, "slow")
    assert queue.get(job.id).worker == "quick"
    assert queue.complete(job.id, "quick", **DONE)
    assert not queue.complete(job.id, "quick", **DONE)
    assert len(queue.outbox_due(time.time())) == 1


def test_a_lease_that_ran_out_frees_the_job_at_the_next_claim(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, lease_seconds=0.05)
    queue = Queue(settings.database, settings)
    job = queue.submit(spec())
    claimed(queue, "dead")
    while (found := queue.claim("next")) is None:
        time.sleep(0.01)
    assert (found.id, found.attempts) == (job.id, 2)


def test_a_job_that_takes_its_workers_along_fails_after_three(queue: Queue) -> None:
    job, other = queue.submit(spec()), queue.submit(spec())
    for attempt in (1, 2, 3):
        assert claimed(queue, f"w{attempt}").id == job.id
        queue.lose(f"w{attempt}", "the worker process was ended by SIGKILL")
    failed = queue.get(job.id)
    assert (failed.status, failed.error_code, failed.attempts) == ("failed", "worker_died", 3)
    assert failed.error_message is not None and "SIGKILL" in failed.error_message and "3 times" in failed.error_message
    assert [event.type for event in queue.outbox_due(time.time())] == ["video.failed"]
    assert claimed(queue).id == other.id


def test_what_is_given_back_comes_first_again_and_costs_no_attempt(queue: Queue) -> None:
    job = queue.submit(spec())
    queue.submit(spec())
    for _ in range(5):
        assert claimed(queue).id == job.id
        assert queue.give_back(job.id, "w")
        assert (queue.get(job.id).status, queue.get(job.id).attempts) == ("queued", 0)


def test_a_server_that_starts_recovers_all_that_was_in_progress(queue: Queue) -> None:
    jobs = [queue.submit(spec()) for _ in range(3)]
    for index in range(3):
        claimed(queue, f"w{index}")
    queue.lose(None, "the server was killed meanwhile")
    assert {queue.get(job.id).status for job in jobs} == {"queued"}


def test_owners_take_turns_and_one_who_deletes_does_not_come_first(queue: Queue) -> None:
    for owner, count in (("a", 6), ("b", 2), ("c", 1)):
        for _ in range(count):
            queue.submit(spec(owner))
    order = []
    while (job := queue.claim("w")) is not None:
        order.append(job.owner)
        queue.fail(job.id, "w", "x", "y")
        queue.delete(job.id)
    assert order == ["a", "b", "c", "a", "b", "a", "a", "a", "a"]


def test_who_has_least_under_way_comes_first(queue: Queue) -> None:
    for owner in ("a", "a", "a", "b", "b"):
        queue.submit(spec(owner))
    running = [claimed(queue, f"w{index}") for index in range(3)]
    assert [job.owner for job in running] == ["a", "b", "a"]
    queue.fail(running[0].id, "w0", "x", "y")  # now each has one; b's last turn is longer ago
    assert claimed(queue, "w4").owner == "b"


def test_a_quota_is_of_unfinished_jobs_of_one_owner(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, queued_per_key=2)
    queue = Queue(settings.database, settings)
    queue.submit(spec("a"))
    first = queue.submit(spec("a"))
    with pytest.raises(QuotaReached, match="may have 2"):
        queue.submit(spec("a"))
    queue.submit(spec("b"))
    queue.delete(first.id)
    queue.submit(spec("a"))
    assert queue.count("a") == 2 and queue.count() == 3


def test_the_same_key_with_the_same_request_is_the_same_job(queue: Queue, tmp_path: Path) -> None:
    def picture(content: bytes) -> dict[str, Path]:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return {"image.png": path}

    first = queue.submit(spec(idempotency_key="k"), picture(b"1"))
    again = queue.submit(spec(idempotency_key="k"), picture(b"1"))
    assert again == first and queue.count() == 1
    assert [path.name for path in queue.root.iterdir()] == [first.id]
    with pytest.raises(IdempotencyConflict, match="'k'"):
        queue.submit(spec(idempotency_key="k", prompt="another"), picture(b"1"))
    with pytest.raises(IdempotencyConflict):
        queue.submit(spec(idempotency_key="k"), picture(b"2"))
    assert queue.submit(spec("somebody else", idempotency_key="k")).id != first.id
    with pytest.raises(IdempotencyConflict):
        queue.submit(spec(idempotency_key="k", seed=1), picture(b"1"))


def test_twenty_at_once_with_one_key_make_one_job(queue: Queue) -> None:
    with ThreadPoolExecutor(20) as pool:
        jobs = list(pool.map(lambda _: queue.submit(spec(idempotency_key="k")), range(60)))
    assert len({job.id for job in jobs}) == 1 and queue.count() == 1


def test_many_threads_submit_and_claim_and_each_job_is_made_once(queue: Queue) -> None:
    made: list[str] = []

    def work(worker: str) -> None:
        while len(made) < 120:
            job = queue.claim(worker)
            if job is not None and queue.complete(job.id, worker, **DONE):
                made.append(job.id)

    workers = [threading.Thread(target=work, args=(f"w{index}",)) for index in range(3)]
    for thread in workers:
        thread.start()
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda index: queue.submit(spec(f"owner {index % 5}")), range(120)))
    for thread in workers:
        thread.join()
    assert sorted(made) == sorted(job.id for job in jobs)
    assert Counter(event.job_id for event in queue.outbox_due(time.time(), 1000)) == Counter(made)


def test_one_who_fails_spoils_nothing_for_those_in_the_same_transaction(queue: Queue) -> None:
    def submit(index: int) -> str:
        try:
            return queue.submit(spec("a" if index % 2 else "b", idempotency_key="k", prompt=str(index % 4))).task.prompt
        except IdempotencyConflict:
            return "refused"

    with ThreadPoolExecutor(16) as pool:
        answers = Counter(pool.map(submit, range(64)))
    assert answers["refused"] == 32 and queue.count() == 2
    kept = {job.task.prompt for job in queue.list()[0]}
    assert answers == Counter({"refused": 32} | dict.fromkeys(kept, 16))


def test_other_owners_see_nothing(queue: Queue) -> None:
    job = queue.submit(spec("a"))
    assert queue.get(job.id, "a") == queue.get(job.id) == job
    for call in (queue.get, queue.delete, queue.cancel):
        with pytest.raises(NoSuchJob, match=job.id):
            call(job.id, "b")
    with pytest.raises(NoSuchJob):
        queue.list("b", after=job.id)
    assert queue.list("b") == ([], False) and queue.count("b") == 0


def test_a_list_is_read_page_by_page(queue: Queue) -> None:
    ids = [queue.submit(spec("a", batch="even" if index % 2 == 0 else None)).id for index in range(7)]
    queue.submit(spec("b"))
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        found, after, more = list[str](), None, True
        while more:
            jobs, more = queue.list("a", after=after, limit=3, order=order)  # type: ignore[arg-type]
            found += [job.id for job in jobs]
            after = found[-1]
        assert found == expected
    assert queue.list("a", limit=7)[1] is False and queue.list("a", limit=6)[1] is True
    assert [job.id for job in queue.list(batch="even", order="asc")[0]] == ids[::2]
    claimed(queue)
    assert [job.id for job in queue.list(status="in_progress")[0]] == ids[:1]


def test_deleting_and_cancelling_stop_the_worker(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"clip")
    deleted = queue.submit(spec(), {"video.mp4": tmp_path / "upload"})
    cancelled = queue.submit(spec())
    claimed(queue, "w1")
    claimed(queue, "w2")
    assert (queue.folder(deleted.id) / "input/video.mp4").read_bytes() == b"clip"
    assert queue.delete(deleted.id).id == deleted.id
    assert not queue.folder(deleted.id).exists() and not queue.beat(deleted.id, "w1", 50, 1, 2)
    with pytest.raises(NoSuchJob):
        queue.get(deleted.id)
    job = queue.cancel(cancelled.id)
    assert (job.status, job.error_code) == ("failed", "cancelled")
    assert not queue.complete(cancelled.id, "w2", **DONE)
    assert queue.cancel(cancelled.id) == job and queue.claim("w3") is None


def test_results_go_by_age_and_by_room_and_unfinished_work_never(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, retention_seconds=100, disk_bytes=250)
    queue = Queue(settings.database, settings)
    waiting, running = [], []
    for name in ("waiting", "running"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    running = queue.submit(spec(), {"clip": tmp_path / "running"})
    claimed(queue, "busy")
    done = []
    for _ in range(4):
        job = queue.submit(spec())
        claimed(queue)
        queue.folder(job.id).mkdir(parents=True)
        (queue.folder(job.id) / "video.mp4").write_bytes(b"x" * 100)
        assert queue.complete(job.id, "w", **DONE)
        done.append(job.id)
    waiting = queue.submit(spec(), {"clip": tmp_path / "waiting"})

    now = time.time()
    assert sorted(queue.sweep(now)) == sorted(done[:2])  # the two oldest, for the room
    assert [queue.folder(id).exists() for id in done] == [False, False, True, True]
    assert sorted(queue.sweep(now + 101)) == sorted(done[2:])
    assert queue.sweep(now + 10_000) == []
    assert queue.get(waiting.id).status == "queued" and queue.folder(waiting.id).is_dir()
    assert queue.folder(running.id).is_dir() and not queue.outbox_due(now + 1000)


def test_folders_of_nobody_are_swept_once_they_are_old(queue: Queue) -> None:
    orphan, kept = queue.folder("video_of_nobody"), queue.submit(spec())
    for folder in (orphan, queue.folder(kept.id)):
        folder.mkdir(parents=True)
    queue.sweep(time.time() + 60)
    assert orphan.exists()
    queue.sweep(time.time() + 2 * 3600)
    assert not orphan.exists() and queue.folder(kept.id).exists()


def test_counts_for_the_metrics(queue: Queue) -> None:
    for _ in range(3):
        queue.submit(spec())
    queue.complete(claimed(queue).id, "w", **DONE)
    queue.fail(claimed(queue).id, "w", "out_of_memory", "too large")
    stats = queue.stats()
    assert (stats["queued"], stats["in_progress"], stats["completed"], stats["failed"]) == (1, 0, 1, 1)
    assert (stats["total:submitted"], stats["total:completed"], stats["total:failed:out_of_memory"]) == (3, 1, 1)
    assert stats["total:generation_seconds"] == 1.5 and stats["oldest_queued_seconds"] >= 0
    queue.sweep(time.time() + 8 * 86400)
    assert queue.stats()["total:submitted"] == 3 and queue.stats()["completed"] == 0


def test_one_who_writes_without_a_pause_keeps_nobody_out(queue: Queue, settings: ServeSettings) -> None:
    other = Queue(settings.database, settings)
    job, ended, beats = other.submit(spec()), threading.Event(), 0
    claimed(other)

    def write() -> None:
        nonlocal beats
        while not ended.is_set():
            beats += other.beat(job.id, "w", beats % 100, 0, 0)

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(20):
        queue.submit(spec())
    ended.set()
    thread.join()
    assert 10 <= beats <= 60  # one or two for each of the others; SQLite alone lets one of the two have nearly all


SUBMITTER = """
import sys
from tests.test_serve_queue import Path, Queue, settings_of, spec
settings = settings_of(Path(sys.argv[1]))
queue = Queue(settings.database, settings)
while True:
    print(queue.submit(spec()).id, flush=True)
"""


def test_what_was_accepted_survives_a_kill(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parents[1]
    process = subprocess.Popen([sys.executable, "-c", SUBMITTER, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])})  # fmt: skip
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    settings = settings_of(tmp_path)
    queue = Queue(settings.database, settings)
    kept = [job.id for job in queue.list(limit=100_000, order="asc")[0]]
    assert kept[: len(told)] == told and len(kept) <= len(told) + 1


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.database.write_bytes(b"no database at all, " * 100)
    with pytest.raises(UsageError, match="no queue"):
        Queue(settings.database, settings)
    settings.database.unlink()
    Queue(settings.database, settings).close()
    with sqlite3.connect(settings.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="version 99"):
        Queue(settings.database, settings)


def test_a_full_disk_refuses_a_job_and_keeps_the_rest(queue: Queue) -> None:
    kept = queue.submit(spec())
    queue.store.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StorageError, match="free some space"):
        queue.submit(spec(prompt="x" * 200_000))
    queue.store.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
    assert queue.get(kept.id) == kept
    assert queue.submit(spec()).status == "queued"


def test_settings_go_to_workers_as_one_line(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, workers=2, origins=("https://a.example",), pages=(tmp_path / "runs",))
    assert ServeSettings.from_json(settings.to_json()) == settings
    assert "\n" not in settings.to_json() and settings.default_model == "tiny"


@pytest.mark.parametrize(("more", "what"), [
    ({"port": 70_000}, "port"), ({"lease_seconds": 0}, "lease_seconds"), ({"workers": -1}, "workers"),
    ({"models": {}}, "needs a model"), ({"models": {"../x": Path()}}, "cannot be a model's name"),
])  # fmt: skip
def test_settings_that_no_server_can_have(tmp_path: Path, more: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        replace(settings_of(tmp_path), **more)


@pytest.mark.parametrize("more", [
    {"size": "1280"}, {"size": "1280x721"}, {"size": "8x8"}, {"size": "5000x500"}, {"seconds": 0}, {"seed": -1},
    {"image": "../key.pem"}, {"video": "/etc/passwd"}, {"strength": 2}, {"steps": 0}, {"surprise": 1},
])  # fmt: skip
def test_a_task_is_checked_when_it_is_made(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(more))):
        Task(**{"kind": "create", "model": "tiny", "prompt": "p", "seed": 0} | more)
