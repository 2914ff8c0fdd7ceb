"""The process that makes videos: what it delivers, how it stops, and what becomes of a job when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from manzar.generate import save_parts
from manzar.media import probe, read, write
from manzar.nouns import Stride, UsageError, Video
from manzar.provenance import Marks, verify
from manzar.serve import making, supervisor, worker
from manzar.serve.jobs import PREVIEW, RESULTS, SPRITESHEET, THUMBNAIL, VIDEO, Job, Spec
from manzar.serve.making import nearest_size, told_seconds
from manzar.serve.outputs import resized, scaled, sheet_picks
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from manzar.serve.supervisor import Supervisor, death, devices
from manzar.serve.task import Task
from manzar.serve.worker import Models, Worker, is_memory, percent
from tests.tiny_model import tiny_parts

PLAIN = Marks(visible=False, metadata=False, c2pa=False, invisible=False)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_parts(tiny_parts(), folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> ServeSettings:
    return ServeSettings(tmp_path / "root", {"tiny": model}, marks=PLAIN)


@pytest.fixture
def queue(settings: ServeSettings) -> Iterator[Queue]:
    opened = Queue(settings.database, settings)
    yield opened
    opened.close()


@pytest.fixture
def maker(settings: ServeSettings, queue: Queue) -> Worker:
    return Worker(settings, "w")


def submit(queue: Queue, files: dict[str, Path] | None = None, told: str = "", **task: Any) -> Job:
    values = {"kind": "create", "model": "tiny", "prompt": "a red circle", "seed": 1} | task
    return queue.submit(Spec(Task(**values), "", told, task.get("size") or "32x32"), files or {})


def work(queue: Queue, maker: Worker) -> Job:
    """The next job, after the worker had it."""
    job = queue.claim(maker.name)
    assert job is not None
    maker.work(job)
    return queue.get(job.id)


def until(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    """The first true value of `what`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
    return value


def clip(path: Path, frames: int = 9, size: tuple[int, int] = (32, 32)) -> Path:
    ramp = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 20 + 40
    return write(Video(np.broadcast_to(ramp, (frames, size[1], size[0], 3)).copy(), 8.0), path)


def test_a_video_and_all_that_goes_with_it(queue: Queue, maker: Worker) -> None:
    job = submit(queue, told="2", notes=("from the door",), steps=4)
    done = work(queue, maker)
    assert done.status == "completed", done.error_message
    assert (done.generated_size, done.frames, done.fps, done.seconds) == ("32x32", 5, 8.0, "0.625")
    assert done.notes[0] == "from the door" and done.cost_seconds is not None and done.cost_seconds > 0
    folder = queue.folder(job.id)
    assert {path.name for path in folder.iterdir()} == {*RESULTS, PREVIEW}
    info = probe(folder / VIDEO)
    assert (info.width, info.height, info.fps) == (32, 32, 8.0) and len(read(folder / VIDEO).frames) == 5
    with Image.open(folder / THUMBNAIL) as image:
        assert (image.format, image.size) == ("WEBP", (32, 32))
    with Image.open(folder / SPRITESHEET) as image:
        assert (image.format, image.size) == ("JPEG", (96, 64))
    with Image.open(folder / PREVIEW) as image:
        assert (image.format, image.size) == ("WEBP", (32, 32))


def test_every_video_says_that_it_was_made(settings: ServeSettings, queue: Queue) -> None:
    job = submit(queue, prompt="a secret")
    done = work(queue, Worker(replace(settings, marks=Marks(c2pa=False)), "w"))
    assert done.status == "completed", done.error_message
    found = {finding.mark: finding.found for finding in verify(queue.folder(job.id) / VIDEO)}
    assert found["metadata"], found
    assert b"secret" not in (queue.folder(job.id) / VIDEO).read_bytes()


def test_the_same_seed_gives_the_same_video(queue: Queue, maker: Worker) -> None:
    videos = []
    for seed in (3, 3, 4):
        job = submit(queue, seed=seed)
        work(queue, maker)
        videos.append(read(queue.folder(job.id) / VIDEO).frames)
    assert np.array_equal(videos[0], videos[1]) and not np.array_equal(videos[0], videos[2])


@pytest.mark.parametrize(("size", "generated"), [("1280x720", "48x32"), ("16x16", "16x16"), ("100x200", "16x32")])
def test_the_file_has_the_size_that_was_asked_for(queue: Queue, maker: Worker, size: str, generated: str) -> None:
    job = submit(queue, size=size)
    done = work(queue, maker)
    assert done.status == "completed", done.error_message
    info = probe(queue.folder(job.id) / VIDEO)
    assert f"{info.width}x{info.height}" == size and done.generated_size == generated
    assert any(size in note for note in done.notes) == (size != generated)


@pytest.mark.parametrize(("files", "task", "frames"), [
    (["image"], {"image": "image"}, 5),
    ([], {"loop": True, "seconds": 1}, 8),
    (["video"], {"kind": "edit", "video": "video", "strength": 0.5}, 9),
    (["video"], {"kind": "remix", "video": "video"}, 9),
    (["video"], {"kind": "extension", "video": "video", "seconds": 1}, 9 + 8),
    (["video"], {"kind": "extension", "video": "video", "seconds": 0.5, "direction": "backward"}, 5 + 9),
    (["video"], {"kind": "extension", "video": "video", "seconds": 1, "loop": True}, 9 + 8),
    (["video", "last"], {"kind": "connection", "video": "video", "last": "last", "seconds": 1}, 9 + 8 + 9),
], ids=["image", "loop", "edit", "remix", "forward", "backward", "closed", "connection"])  # fmt: skip
def test_every_kind_of_task(
    queue: Queue, maker: Worker, tmp_path: Path, files: list[str], task: dict[str, Any], frames: int
) -> None:
    given = {f"{name}.mp4": clip(tmp_path / f"{name}.mp4", size=(96, 32)) for name in files}
    job = submit(queue, given, **{k: f"{v}.mp4" if v in files else v for k, v in task.items()})
    done = work(queue, maker)
    assert done.status == "completed", done.error_message
    assert done.size == done.generated_size == ("48x16" if files else "32x32")
    assert done.frames == frames == len(read(queue.folder(job.id) / VIDEO).frames)
    assert done.seconds == f"{frames / 8:g}"


def test_what_cannot_be_made_fails_with_its_reason_and_the_next_is_made(
    queue: Queue, maker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").write_text("<html>no film</html>")
    submit(queue, {"clip.mp4": tmp_path / "page"}, kind="edit", video="clip.mp4")
    failed = work(queue, maker)
    assert (failed.status, failed.error_code) == ("failed", "invalid_media")
    assert str(failed.error_message).startswith("clip.mp4") and str(tmp_path) not in str(failed.error_message)
    submit(queue, model="gone")
    failed = work(queue, maker)
    assert failed.error_code == "invalid_request" and "'gone'" in str(failed.error_message)

    for error, code in ((MemoryError(), "out_of_memory"), (torch.OutOfMemoryError("CUDA"), "out_of_memory"),
                        (KeyError("secret prompt"), "internal_error")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(making, "companions", lambda *_, error=error: (_ for _ in ()).throw(error))
            job = submit(queue)
            failed = work(queue, maker)
        assert (failed.status, failed.error_code) == ("failed", code)
        assert "secret" not in str(failed.error_message) and not (queue.folder(job.id) / VIDEO).exists()
    assert submit(queue) and work(queue, maker).status == "completed"


def test_memory_that_a_cpu_has_not_is_known_by_its_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_memory(caught.value) and not is_memory(RuntimeError("sizes do not match"))


def test_a_worker_that_stops_gives_its_job_back_and_the_next_finishes_it(
    queue: Queue, settings: ServeSettings, maker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "_abandon", lambda: None)  # this process is to live on
    job = submit(queue, steps=6)
    seen: list[int] = []

    def stop_at_3(pulse: worker.Pulse, done: int, total: int) -> None:
        seen.append(done)
        if done == 3:
            maker.stop()

    with monkeypatch.context() as patch:
        patch.setattr(worker.Pulse, "step", stop_at_3)
        assert work(queue, maker).status == "queued"
    assert seen == [1, 2, 3] and queue.get(job.id).attempts == 0
    assert not list(queue.folder(job.id).glob(".making*"))
    done = work(queue, Worker(settings, "next"))
    assert (done.id, done.status, done.attempts) == (job.id, "completed", 1)


def test_a_step_that_takes_too_long_is_abandoned(
    queue: Queue, maker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(worker.os, "_exit", ended.append)
    job = submit(queue)
    maker.job = queue.claim("w")
    maker.stop()
    until(lambda: ended)
    assert ended == [0] and queue.get(job.id).status == "queued"


def test_a_job_deleted_while_it_is_made_leaves_nothing(
    queue: Queue, maker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TELL_SECONDS", 0.01)
    job = submit(queue, steps=500)

    def delete(self: worker.Pulse, done: int, total: int) -> None:
        self._done = done
        if done == 3:
            queue.delete(job.id)
        elif done > 3:
            until(lambda: self.lost)

    monkeypatch.setattr(worker.Pulse, "step", delete)
    claimed = queue.claim("w")
    assert claimed is not None
    maker.work(claimed)
    assert not queue.folder(job.id).exists() and queue.count() == 0 and not queue.outbox_due(time.time())


def test_a_lease_lives_through_a_step_longer_than_itself(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServeSettings(tmp_path, {"tiny": model}, lease_seconds=0.4, marks=PLAIN)
    queue = Queue(settings.database, settings)
    monkeypatch.setattr(worker, "TELL_SECONDS", 0.02)
    monkeypatch.setattr(worker.Pulse, "step", lambda self, done, total: time.sleep(0.8 if done == 1 else 0))
    submit(queue)
    assert work(queue, Worker(settings, "w")).status == "completed"


def test_what_hangs_ends_its_process(queue: Queue, maker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(worker, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(worker, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(worker.os, "_exit", ended.append)
    with worker.Pulse(queue, submit(queue), "w") as pulse:
        pulse.step(1, 2)
        until(lambda: ended)


def test_models_are_held_and_the_oldest_let_go(model: Path) -> None:
    models = Models({"a": model, "b": model, "c": model})
    first, second = models.get("a"), models.get("b")
    assert models.get("a") is first
    models.get("c")
    assert models.get("a") is first and models.get("b") is not second


def test_memory_that_runs_out_is_tried_again_without_other_models(
    settings: ServeSettings, queue: Queue, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Worker(replace(settings, models={"tiny": model, "other": model}), "w")
    maker.models.get("other")
    companions, tries = making.companions, list[int]()

    def first_fails(*given: Any) -> None:
        tries.append(maker.models.count)
        if len(tries) == 1:
            raise MemoryError
        companions(*given)

    monkeypatch.setattr(making, "companions", first_fails)
    submit(queue)
    assert work(queue, maker).status == "completed" and tries == [2, 1]


def test_numbers_that_people_see() -> None:
    assert [percent(done, total) for done, total in ((0, 0), (0, 4), (1, 3), (4, 4))] == [0, 0, 33, 99]
    assert told_seconds("4", 4.125, 0.5) == "4" and told_seconds("4", 2.125, 0.5) == "2.125"
    assert told_seconds("", 1 / 3, 0.5) == "0.333"
    assert sheet_picks(3) == {0, 1, 2} and len(sheet_picks(400)) == 25 and {0, 399} <= sheet_picks(400)
    assert "SIGSEGV" in death(-11) and "memory" in death(-9) and "exit code 3" in death(3)


def test_every_worker_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANZAR_DEVICE", raising=False)
    monkeypatch.setattr(supervisor, "accelerators", lambda: ["cuda:0", "cuda:1"])
    assert [device["MANZAR_DEVICE"] for device in devices(2)] == ["cuda:0", "cuda:1"]
    with pytest.raises(UsageError, match="3 workers"):
        devices(3)
    monkeypatch.setattr(supervisor, "accelerators", list)
    assert {device["MANZAR_DEVICE"] for device in devices(3)} == {"cpu"}


def test_a_size_of_the_model_comes_near_the_one_asked_for() -> None:
    stride = Stride(4, 16, 16)
    assert nearest_size(1280 / 720, 8192, stride) == (112, 64) and nearest_size(720 / 1280, 8192, stride) == (64, 112)
    assert nearest_size(1, 8192, stride) == (80, 80)
    for size in ((16, 16), (64, 64), (96, 32), (16, 256)):
        assert nearest_size(size[0] / size[1], size[0] * size[1], stride) == size
    assert nearest_size(256, 8192, stride) == (512, 16) and nearest_size(1 / 256, 8192, stride) == (16, 512)
    assert nearest_size(1, 100, stride) == (16, 16)


def test_scaling_keeps_circles_round_and_colours_true() -> None:
    y, x = np.mgrid[:60, :60]
    disc = np.where(((x - 29.5) ** 2 + (y - 29.5) ** 2 < 400)[..., None], 200, 20).astype(np.uint8).repeat(3, 2)
    wide = resized(disc, 200, 100) > 110  # 60x60 to 2:1: the middle half of it, scaled by 10/3
    assert wide.shape == (100, 200, 3)
    assert abs(wide[50, :, 0].sum() - 40 * 200 / 60) <= 2 and wide[:, 100, 0].all()
    frames = np.full((5, 16, 16, 3), 77, np.uint8)
    assert [chunk.shape for chunk in scaled([frames], 16, 16)] == [(5, 16, 16, 3)]
    big = list(scaled([frames[:3]], 4096, 2048))
    assert [len(chunk) for chunk in big] == [2, 1] and all((chunk == 77).all() for chunk in big)


def test_boxes_reach_the_model(
    queue: Queue, maker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {"objects": [{"name": "circle", "boxes": {"0": [0.1, 0.1, 0.4, 0.4]}}]}
    seen: list[Any] = []
    inputs_of = making.inputs_of

    def look(task: Task, given: Path) -> Any:
        found = inputs_of(task, given)
        assert found.boxes is not None
        seen.append(json.loads(found.boxes.read_text()))
        return replace(found, boxes=None)

    monkeypatch.setattr(making, "inputs_of", look)
    submit(queue, boxes=script, box_guidance=2.0)
    assert work(queue, maker).status == "completed" and seen == [script]


def test_a_killed_worker_is_replaced_and_ctrl_c_gives_the_job_back(settings: ServeSettings, queue: Queue) -> None:
    killed = submit(queue, steps=1000)
    with Supervisor(settings, queue) as house:
        with pytest.raises(UsageError, match="another server"), Supervisor(settings, queue):
            pass
        until(lambda: queue.get(killed.id).steps_done)
        process = house.slots[0].process
        assert process is not None
        process.kill()
        until(lambda: queue.get(killed.id).attempts == 2 and queue.get(killed.id).steps_done)
        assert queue.stats()["total:worker_deaths"] == 1 and house.alive == 1
        queue.delete(killed.id)
        stopped, small = submit(queue, steps=1000), submit(queue)
        until(lambda: queue.get(stopped.id).steps_done)
    assert house.alive == 0
    assert (queue.get(stopped.id).status, queue.get(stopped.id).attempts) == ("queued", 0)
    assert queue.get(small.id).status == "queued"


SERVER = """
import sys, time
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from manzar.serve.supervisor import Supervisor
settings = ServeSettings.from_json(sys.argv[1])
with Supervisor(settings, Queue(settings.database, settings)) as supervisor:
    while True:
        process = supervisor.slots[0].process
        if process is not None:
            print(process.pid, flush=True)
            time.sleep(1000)
        time.sleep(0.01)
"""


def test_a_worker_does_not_outlive_its_server(settings: ServeSettings, queue: Queue) -> None:
    job = submit(queue, steps=1000)
    server = subprocess.Popen([sys.executable, "-c", SERVER, settings.to_json()], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "MANZAR_DEVICE": "cpu",
                                   "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])})  # fmt: skip
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    until(lambda: queue.get(job.id).steps_done)
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())
    assert (queue.get(job.id).status, queue.get(job.id).attempts) == ("queued", 0)
