"""The app: every route, behind its doors, and what goes on beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

import manzar
from manzar.serve.http import (
    batches,
    characters,
    content,
    errors,
    events,
    files,
    metrics,
    models,
    pages,
    uploads,
    videos,
    webhooks,
)
from manzar.serve.http.context import Context
from manzar.serve.http.doors import Doors
from manzar.serve.http.records import Records
from manzar.serve.keys import Keys
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings

log = logging.getLogger("manzar.serve")

LOOK_S = 0.5  # between two looks at the outbox and the batches

DESCRIPTION = """The Videos API that code for Sora was written against, on a model of one's own. Bodies are
multipart/form-data or JSON. Every error is `{"error": {"message", "type", "param", "code"}}`."""


def create_app(settings: ServeSettings, queue: Queue) -> FastAPI:
    """The whole server as an ASGI app; the workers that make the videos are no part of it.

    Raises ModelError for a folder that is no model.
    """
    context = new_context(settings, queue)
    app = FastAPI(title="Manzar", version=manzar.__version__, description=DESCRIPTION, lifespan=lifespan,
                  docs_url=None, redoc_url=None, redirect_slashes=False)  # fmt: skip
    app.state.context = context
    errors.install(app)
    # Fixed paths under /v1/videos come before /v1/videos/{video_id}.
    for part in (characters, videos, content, events, models, files, batches, webhooks, metrics, pages):
        app.include_router(part.router)
    pages.mount(app, context.pages)
    app.add_middleware(Doors, context=context)
    app.openapi = documented(app)  # type: ignore[method-assign]
    return app


def new_context(settings: ServeSettings, queue: Queue) -> Context:
    return Context(
        settings, queue, Keys(settings.database), Records(queue.store),
        models.read_models(settings.models, settings.max_seconds), metrics.Metrics(), pages.found_pages(settings),
    )  # fmt: skip


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    here: Context = app.state.context
    uploads.clear(here.incoming)
    task = asyncio.create_task(housekeeping(here))
    try:
        yield
    finally:
        here.closing.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def housekeeping(here: Context) -> None:
    """Webhooks are told and batches moved on, for as long as the server lives."""
    async with webhooks.new_client() as client:
        while True:
            try:
                await batches.advance(here)
                await webhooks.deliver(here, client)
            except Exception:  # such as a full disk; it may have room again
                log.exception("housekeeping goes on after an error")
            await asyncio.sleep(LOOK_S)


def documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with the key that requests may need."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}, {}]
        return document

    return openapi
