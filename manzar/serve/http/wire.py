"""uvicorn with patience that ends: a client that never finishes its headers does not keep its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from manzar.serve.settings import ServeSettings

HEADERS_S = 10.0  # from the first moment of a connection, or the first byte of its next request, to the end of headers
KEEP_ALIVE_S = 30
HEADER_BYTES = 32 << 10
STOP_S = 1  # for requests that are being answered when the server stops


class PatientProtocol(H11Protocol):  # type: ignore[misc]
    """HTTP/1.1 with a limit on how long headers may take."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._clock: asyncio.TimerHandle | None = None
        self._requests = 0
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        answered = before is None or before.response_complete
        if answered and self._clock is None:
            self._start_clock()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):  # type: ignore[misc]
    """One that leaves signals to its caller; else it would raise them again when it is done, and end the process
    before the workers have given back what they have in hand."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def config(app: FastAPI, settings: ServeSettings) -> Config:
    """How uvicorn is run: plain HTTP/1.1, no access log (addresses of pages are secrets), limits on everything."""
    return Config(
        app, host=settings.host, port=settings.port, http=PatientProtocol, ws="none", lifespan="on", loop="asyncio",
        access_log=False, log_level="warning", server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S, backlog=1024, h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=STOP_S,
    )  # fmt: skip
