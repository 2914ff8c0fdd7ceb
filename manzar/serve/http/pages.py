"""Pages for people: the studio, and folders of training runs and score reports that the operator opened to it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

import manzar
from manzar.serve.http.context import Here
from manzar.serve.http.doors import is_loopback
from manzar.serve.http.errors import REFUSALS, missing
from manzar.serve.settings import ServeSettings

router = APIRouter(tags=["studio"], responses=REFUSALS)

STUDIO = Path(__file__).resolve().parents[1] / "studio"
STUDIO_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
                 "img-src 'self' data: blob:; media-src 'self' data: blob:; worker-src 'self' blob:; "
                 "frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
# Reports hold their scripts and styles within them. They are the operator's own, and yet may call nobody.
REPORT_POLICY = ("default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
                 "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
                 "connect-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
INDEX = "index.html"


class Limits(BaseModel):
    """The most that may be asked for."""

    max_seconds: float
    max_upload_bytes: int


class Defaults(BaseModel):
    """What a request gets that says nothing else."""

    model: str


class About(BaseModel):
    """This server. `auth`: whether a key is needed; `marks`: what is put on every video."""

    version: str
    auth: bool
    defaults: Defaults
    limits: Limits
    marks: dict[str, bool]


class Page(BaseModel):
    """A training run, a score report or another page; `url` is a path on this server."""

    name: str
    kind: Literal["run", "report", "other"]
    url: str


@router.get("/v1/manzar", summary="About this server")
def about(here: Here) -> About:
    settings = here.settings
    return About(
        version=manzar.__version__,
        auth=not is_loopback(settings.host) or here.keys.any(),
        defaults=Defaults(model=settings.default_model),
        limits=Limits(max_seconds=settings.max_seconds, max_upload_bytes=settings.max_upload_bytes),
        marks=asdict(settings.marks),
    )


@router.get("/v1/manzar/pages", summary="List pages")
def list_pages(here: Here) -> list[Page]:
    """Their addresses cannot be guessed, and change with every start: a browser that follows a link sends no key."""
    return list(here.pages.values())


@router.get("/", include_in_schema=False)
@router.get("/studio", include_in_schema=False)
def studio() -> FileResponse:
    if not (STUDIO / INDEX).is_file():
        raise missing("this installation has no studio")
    return FileResponse(STUDIO / INDEX, headers={"content-security-policy": STUDIO_POLICY, "cache-control": "no-cache"})


def found_pages(settings: ServeSettings) -> dict[Path, Page]:
    """The folders to show and what is told of each."""
    return {folder: Page(name=folder.resolve().name, kind=kind_of(folder), url=f"/pages/{secrets.token_urlsafe(16)}/")
            for folder in each_page(settings.pages)}


def each_page(folders: Sequence[Path]) -> list[Path]:
    """Those folders with an index.html, or those within them that have one."""
    found: list[Path] = []
    for folder in folders:
        inner = [folder] if (folder / INDEX).is_file() else sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
        found += [path for path in inner if path not in found]
    return found


def kind_of(folder: Path) -> Literal["run", "report", "other"]:
    if (folder / "run.json").is_file():
        return "run"
    return "report" if (folder / "report.json").is_file() or (folder / "results.json").is_file() else "other"


def mount(app: FastAPI, pages: Mapping[Path, Page]) -> None:
    app.mount("/studio", Files(STUDIO, STUDIO_POLICY), name="studio")
    for folder, page in pages.items():
        app.mount(page.url.rstrip("/"), Files(folder, REPORT_POLICY), name=page.name)


class Files:
    """The files of a folder under a policy; its index.html stands for the folder. Links that lead out of it do not."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.files = StaticFiles(directory=folder, html=True, check_dir=False)
        self.policy = policy.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(b"content-security-policy", self.policy), (b"cache-control", b"no-cache")]
            await send(message)

        await self.files(scope, receive, with_policy)
