"""How long POST /v1/videos takes while a video is being generated: 1,000 jobs from 20 clients at once, and memory.

    python benchmarks/serve_load.py [--jobs 1000] [--clients 20] [--rounds 3] [--pace 0]

A server of its own with its own worker is started; a video of 20 s keeps the worker busy throughout. Each client sends
its next request when the last is answered, after `--pace` seconds if that is given. The jobs are deleted between
rounds, so that what the server keeps of them would show in its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

BOUNDARY = "manzar-load"
FIELDS = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n--{BOUNDARY}--\r\n'.encode()
KIND = f"multipart/form-data; boundary={BOUNDARY}"
BUSY = json.dumps({"prompt": "a red circle moves to the right", "seconds": "20", "steps": 200}).encode()


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    host: str
    port: int

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """What the process itself has used; waiting for others on a busy machine is not in it."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Connection:
    """One client that keeps its connection, and does as little as possible besides."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def open(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port)
        return self

    async def ask(self, method: str, path: str, kind: str = "application/json", body: bytes = b"") -> tuple[int, bytes]:
        head = (f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n"
                f"content-length: {len(body)}\r\n\r\n")
        self.writer.write(head.encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.split("content-length: ")[1].split("\r\n")[0])
        return int(answer.split(" ", 2)[1]), await self.reader.readexactly(length)


def start(root: Path) -> Server:
    command = [sys.executable, "-m", "manzar", "serve", "--root", str(root), "--port", "0", "--json", "--queue-limit",
               "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = urlsplit(json.loads(process.stdout.readline())["url"])
    assert address.hostname is not None and address.port is not None
    return Server(process, address.hostname, address.port)


async def occupy(server: Server) -> str:
    """The id of a long video that is being generated."""
    connection = await Connection(server).open()
    _, answer = await connection.ask("POST", "/v1/videos", body=BUSY)
    id = str(json.loads(answer)["id"])
    while True:
        _, answer = await connection.ask("GET", f"/v1/videos/{id}")
        if json.loads(answer)["progress"] > 0:
            return id
        await asyncio.sleep(0.5)


async def post_all(server: Server, jobs: int, clients: int, pace_s: float) -> tuple[list[float], list[str]]:
    """Seconds of every request, and the ids."""
    seconds: list[float] = []
    ids: list[str] = []

    async def client(number: int, count: int) -> None:
        connection = await Connection(server).open()
        await asyncio.sleep(pace_s * number / clients)  # or all would come at the same moment
        for _ in range(count):
            begun = time.perf_counter()
            status, answer = await connection.ask("POST", "/v1/videos", KIND, FIELDS)
            seconds.append(time.perf_counter() - begun)
            assert status == 200, answer
            ids.append(json.loads(answer)["id"])
            await asyncio.sleep(max(0.0, pace_s - (time.perf_counter() - begun)))

    await asyncio.gather(*(client(number, jobs // clients) for number in range(clients)))
    return seconds, ids


async def delete_all(server: Server, ids: list[str]) -> None:
    connection = await Connection(server).open()
    for id in ids:
        await connection.ask("DELETE", f"/v1/videos/{id}")


async def measure(server: Server, jobs: int, clients: int, rounds: int, pace_s: float) -> None:
    busy = await occupy(server)
    before = server.rss_mb()
    for number in range(rounds):
        begun, cpu = time.perf_counter(), server.cpu_seconds()
        seconds, ids = await post_all(server, jobs, clients, pace_s)
        wall, cpu = time.perf_counter() - begun, server.cpu_seconds() - cpu
        cuts = statistics.quantiles([1000 * each for each in seconds], n=100)
        print(f"round {number + 1}: {len(ids)} jobs, {clients} clients, {len(ids) / wall:.0f} a second   "
              f"p50 {cuts[49]:.1f} ms   p90 {cuts[89]:.1f} ms   p99 {cuts[98]:.1f} ms   "
              f"most {1000 * max(seconds):.1f} ms   CPU of the server {1000 * cpu / len(ids):.2f} ms each   "
              f"RSS {server.rss_mb():.0f} MB", flush=True)
        await delete_all(server, ids)
    connection = await Connection(server).open()
    _, answer = await connection.ask("GET", f"/v1/videos/{busy}")
    print(f"RSS {before:.0f} MB before, {server.rss_mb():.0f} MB after; the generation is at "
          f"{json.loads(answer)['progress']} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pace", type=float, default=0.0, help="seconds from one request of a client to its next")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        server = start(Path(root))
        try:
            asyncio.run(measure(server, asked.jobs, asked.clients, asked.rounds, asked.pace))
        finally:
            server.process.send_signal(signal.SIGINT)
            server.process.wait()


if __name__ == "__main__":
    main()
