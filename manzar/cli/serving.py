"""Commands about serving: the server itself, and the keys that it asks for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import manzar
from manzar.cli.talk import Json, app, say, show_result
from manzar.nouns import UsageError, existing

if TYPE_CHECKING:
    from manzar.serve.keys import Keys
    from manzar.serve.run import Started

OWN_MODEL = Path(manzar.__file__).with_name("pretrained")  # named by place, so that the server need not load torch

Root = Annotated[Path, typer.Option(help="The folder of all state: jobs, results, keys.")]
keys = typer.Typer(no_args_is_help=True, help="API keys of a server: each sees only what it made.")
app.add_typer(keys, name="keys")


@app.command()
def serve(
    model: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER, or FOLDER; may be given again, the first is "
                                                         "the default. Else the model that comes with Manzar.")] = None,
    host: Annotated[str, typer.Option(help="Interface; others than loopback need a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8000,
    root: Root = Path("manzar-serve"),
    workers: Annotated[int, typer.Option(help="Processes that generate, each on an accelerator of its own.")] = 1,
    key_file: Annotated[Path | None, typer.Option(help="Lines of NAME SECRET: keys to know besides those of `manzar "
                                                       "keys add`.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="https://site whose pages may use the API; may be given "
                                                          "again, * is all.")] = None,
    marks: Annotated[str, typer.Option(help="What says that a video was generated: all, none, or some of visible, "
                                            "metadata, c2pa, invisible.")] = "all",
    pages: Annotated[list[Path] | None, typer.Option(help="A training run, a score report, or a folder of such, to "
                                                          "open in the studio; may be given again.")] = None,
    webhook: Annotated[list[str] | None, typer.Option(help="URL to tell of every video; may be given again.")] = None,
    keep_days: Annotated[float, typer.Option(help="Results are removed after so many days.")] = 7.0,
    keep_gigabytes: Annotated[float, typer.Option(help="The oldest results are removed earlier if all take more.")]
    = 20.0,
    max_seconds: Annotated[float, typer.Option(help="Longest video that may be asked for.")] = 20.0,
    max_upload: Annotated[float, typer.Option(help="Largest upload, in megabytes.")] = 200.0,
    queue_limit: Annotated[int, typer.Option(help="Unfinished videos that one key may have.")] = 1000,
    rate_limit: Annotated[int, typer.Option(help="Requests a minute of one key.")] = 600,
    as_json: Json = False,
) -> None:
    """The Videos API and the studio, on your own model. Ctrl-C stops it; the next start goes on with what is left."""
    from manzar.provenance import Marks
    from manzar.serve.run import serve as run_server
    from manzar.serve.settings import DAY_SECONDS, ServeSettings

    settings = ServeSettings(
        root=root, models=parse_models(model or []), host=host, port=port, workers=workers, marks=Marks.parse(marks),
        origins=tuple(each.rstrip("/") for each in origin or ()), max_seconds=max_seconds,
        pages=tuple(existing(each, "folder") for each in pages or ()), retention_seconds=keep_days * DAY_SECONDS,
        disk_bytes=int(keep_gigabytes * 2**30), max_upload_bytes=int(max_upload * 2**20), queued_per_key=queue_limit,
        requests_per_minute=rate_limit,
    )  # fmt: skip
    if key_file is not None:
        opened(root).add_from(existing(key_file, "file"))

    def started(server: Started) -> None:
        told = {"url": server.url, "studio": f"{server.url}/", "api": f"{server.url}/v1", "root": str(server.root),
                "models": list(server.models), "auth": server.keyed,
                "webhooks": [{"url": url, "secret": secret} for url, secret in server.secrets]}  # fmt: skip
        show_result(told, as_json, welcome(server))

    run_server(settings, webhooks=webhook or (), started=started)
    say("stopped; what was unfinished goes on at the next start")


@keys.command("add")
def add_key(name: Annotated[str, typer.Argument(help="Whose it is.")], root: Root = Path("manzar-serve"),
            as_json: Json = False) -> None:  # fmt: skip
    """A new key. It is shown this once; a server that runs knows it within a second."""
    key, secret = opened(root).add(name)
    show_result(asdict(key) | {"key": secret}, as_json, secret)


@keys.command("list")
def list_keys(root: Root = Path("manzar-serve"), as_json: Json = False) -> None:
    """The names of all keys; the keys themselves are not kept."""
    found = opened(root).all()
    lines = [f"{key.name:24} {key.id}  {datetime.fromtimestamp(key.created_at):%Y-%m-%d %H:%M}" for key in found]
    show_result({"keys": [asdict(key) for key in found]}, as_json, "\n".join(lines) or "no keys")


@keys.command("remove")
def remove_key(name: Annotated[str, typer.Argument(help="Its name or id.")], root: Root = Path("manzar-serve"),
               as_json: Json = False) -> None:  # fmt: skip
    """Refuse a key from now on; what was made with it stays until it expires."""
    removed = opened(root).remove(name)
    show_result(asdict(removed), as_json, f"{removed.name} is refused from now on")


def opened(root: Path) -> Keys:
    from manzar.serve.keys import Keys

    return Keys(root / "jobs.sqlite")


def parse_models(given: list[str]) -> dict[str, Path]:
    """["sora=runs/a/model", "runs/b"] → {"sora": …, "b": …}."""
    models: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        path = existing(folder if equals else text, "folder")
        name = name if equals else path.resolve().name
        if name in models:
            raise UsageError(f"--model {text}: there is a {name!r} already; give each a NAME= of its own")
        models[name] = path
    return models or {"manzar": OWN_MODEL}


def welcome(server: Started) -> str:
    lines = [f"studio   {server.url}/", f"API      {server.url}/v1", f"models   {', '.join(server.models)}",
             f"state    {server.root.absolute()}",
             "keys     needed" if server.keyed else "keys     none needed on this machine"]
    lines += [f"webhook  {url}  signed with {secret}" for url, secret in server.secrets]
    return "\n".join([*lines, "Ctrl-C stops it"])
