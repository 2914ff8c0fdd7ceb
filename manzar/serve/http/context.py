"""What every route works with: one record on the app, made once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from manzar.serve.keys import Keys
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings

if TYPE_CHECKING:
    from manzar.serve.http.metrics import Metrics
    from manzar.serve.http.pages import Page
    from manzar.serve.http.records import Records

LOOKING_AT_ONCE = 2


@dataclass(frozen=True)
class Context:
    """The parts of a server.

    models: what GET /v1/models tells, by name. closing: set when the server stops. looking: bounds how many uploads are
    decoded at once.
    """

    settings: ServeSettings
    queue: Queue
    keys: Keys
    records: Records
    models: Mapping[str, Any]
    metrics: Metrics
    pages: Mapping[Path, Page]
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKING_AT_ONCE))

    @property
    def incoming(self) -> Path:
        """Uploads that belong to no job yet; on the disk of the jobs, so that they need only be renamed."""
        return self.settings.root / "incoming"

    def folder(self, kind: str, id: str) -> Path:
        """Where the files of a record lie."""
        return self.settings.root / kind / id


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _owner(request: Request) -> str:
    """The id of the key that the request came with, as the doors found it; "" where none is needed."""
    owner: str = request.scope["state"]["owner"]
    return owner


Here = Annotated[Context, Depends(_context)]
Owner = Annotated[str, Depends(_owner)]
