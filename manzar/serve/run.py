"""A server from its first line to its last: the address, the workers, the requests, the end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from manzar.nouns import UsageError
from manzar.serve.http.app import create_app
from manzar.serve.http.context import Context
from manzar.serve.http.doors import check_open
from manzar.serve.http.webhooks import KIND as WEBHOOKS
from manzar.serve.http.webhooks import OPERATOR, address_of, register
from manzar.serve.http.wire import Server, config
from manzar.serve.keys import Keys
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from manzar.serve.supervisor import Supervisor


@dataclass(frozen=True)
class Started:
    """A server that listens. `secrets` is (url, secret) of the operator's webhooks that are new."""

    url: str
    root: Path
    models: Sequence[str]
    keyed: bool
    secrets: Sequence[tuple[str, str]]


def serve(settings: ServeSettings, *, webhooks: Sequence[str] = (), started: Callable[[Started], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; work in hand goes back to the queue, all within five seconds.

    Raises UsageError for an interface that other machines reach while there is no key, an address that is taken, a
    root on which another server works.
    """
    refusal = check_open(settings, Keys(settings.database).any())
    if refusal is not None:
        raise UsageError(refusal)
    queue = Queue(settings.database, settings)
    app = create_app(settings, queue)
    here: Context = app.state.context
    secrets = own_webhooks(here, webhooks)
    with listening(settings) as listener, until_told(Server(config(app, settings)), here) as server:
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        with Supervisor(settings, queue):
            started(Started(url, settings.root, list(here.models), here.keys.any(), secrets))
            server.run(sockets=[listener])
    queue.close()


@contextmanager
def until_told(server: Server, here: Context) -> Iterator[Server]:
    """SIGINT and SIGTERM end the server, and nothing else, until all is put in order."""

    def end(number: int, frame: FrameType | None) -> None:
        here.closing.set()  # streams of events end by themselves
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield server
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def own_webhooks(here: Context, urls: Sequence[str]) -> list[tuple[str, str]]:
    """Those of the operator are what this start names, no more and no less. A known one keeps its secret, which is told
    this once: what a server prints ends in logs."""
    known = {record["url"]: record["id"] for record in here.records.of(WEBHOOKS, OPERATOR)}
    for url in known.keys() - set(urls):
        here.records.remove(known[url])
    for url in urls:
        address_of(url, private=True)
    new = [register(here.records, OPERATOR, url, "operator") for url in dict.fromkeys(urls) if url not in known]
    return [(record["url"], record["secret"]) for record in new]


def listening(settings: ServeSettings) -> socket.socket:
    """The socket, opened before anything else is started. Raises UsageError if the address is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        raise UsageError(f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); choose another --port "
                         "or --host") from error
