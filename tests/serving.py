"""A server for tests on an ephemeral port, with a stand-in for the workers that goes through the real queue."""

from __future__ import annotations

import contextlib
import http.server
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx2
import numpy as np

from manzar.media import write
from manzar.nouns import Video
from manzar.serve.http.app import create_app
from manzar.serve.http.context import Context
from manzar.serve.http.wire import Server, config
from manzar.serve.jobs import PREVIEW, Job
from manzar.serve.outputs import companions, write_picture
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings

FPS = 8.0
MODEL = Path(__file__).resolve().parents[1] / "manzar" / "pretrained"


def film(path: Path, frames: int = 9, size: tuple[int, int] = (48, 32), shade: int = 0) -> Path:
    """A moving gradient, as a file."""
    width, height = size
    ramp = np.arange(width)[None, None, :, None] + 12 * np.arange(frames)[:, None, None, None] + shade
    pictures = np.broadcast_to(ramp % 256, (frames, height, width, 3)).astype(np.uint8)
    return write(Video(pictures, FPS), path, quick=True)


@cache
def result(folder: Path) -> Path:
    """The files of a finished job, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    companions(film(folder / "video.mp4"), 9)
    return folder


class StandIn(threading.Thread):
    """Does what a worker does, and makes the same video for everybody; prompts with FAIL in them fail."""

    def __init__(self, queue: Queue, made: Path) -> None:
        super().__init__(daemon=True)
        self.queue, self.made = queue, made
        self.working, self.ended = threading.Event(), threading.Event()
        self.working.set()

    def run(self) -> None:
        while not self.ended.is_set():
            job = self.queue.claim("stand-in") if self.working.is_set() else None
            if job is None:
                self.ended.wait(0.02)
            else:
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    self.work(job)

    def work(self, job: Job) -> None:
        if "FAIL" in job.task.prompt:
            self.queue.fail(job.id, "stand-in", "out_of_memory", "it needs more memory than there is")
            return
        folder = self.queue.folder(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        self.queue.beat(job.id, "stand-in", 50, 1, 2)
        write_picture(np.full((32, 48, 3), 90, np.uint8), folder / PREVIEW)
        out = folder / ".making-stand-in"
        out.mkdir()
        for path in self.made.iterdir():
            (out / path.name).hardlink_to(path)
        self.queue.complete(job.id, "stand-in", cost_seconds=0.5, generated_size="64x64", frames=9, fps=FPS, notes=(),
                            seconds=job.seconds, made=out)  # fmt: skip

    def stop(self) -> None:
        self.ended.set()
        self.join()


@dataclass
class House:
    """A running server. `url` has no path; `key` is sent where there is one."""

    url: str
    context: Context
    worker: StandIn
    key: str | None = None

    @property
    def queue(self) -> Queue:
        return self.context.queue

    def client(self, **headers: str) -> httpx2.Client:
        own = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=self.url, headers=own | headers, timeout=30)


@contextlib.contextmanager
def running(root: Path, working: bool = True, key_for: str | None = None, **values: object) -> Iterator[House]:
    """A server over a real socket, in threads of this process."""
    settings = ServeSettings(root, {"manzar": MODEL}, port=0, **values)  # type: ignore[arg-type]
    queue = Queue(settings.database, settings)
    app = create_app(settings, queue)
    context: Context = app.state.context
    key = None if key_for is None else context.keys.add(key_for)[1]
    server = Server(config(app, settings))
    thread = threading.Thread(target=server.run, daemon=True)
    worker = StandIn(queue, result(root / "made"))
    if not working:
        worker.working.clear()
    worker.start()
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield House(f"http://127.0.0.1:{port}", context, worker, key)
    finally:
        worker.stop()
        server.should_exit = True
        thread.join()
        queue.close()


@contextlib.contextmanager
def listener(status: int = 200) -> Iterator[tuple[str, queue.Queue[tuple[dict[str, str], bytes]]]]:
    """An address to send webhooks to, and what came there as (headers, body)."""
    heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        server.server_close()
