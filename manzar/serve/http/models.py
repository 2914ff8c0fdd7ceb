"""The models on offer: what each can make, as its folder says, without opening a single weight."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from manzar.nouns import ModelError
from manzar.serve.http.context import Here
from manzar.serve.http.errors import REFUSALS, ApiError
from manzar.serve.task import SIDES

router = APIRouter(tags=["models"], responses=REFUSALS)

SORA = re.compile(r"sora-2(-pro)?(-\d{4}-\d{2}-\d{2})?")  # names that existing code asks for
SHAPES = ((1, 1), (4, 3), (3, 4), (16, 9), (9, 16), (2, 1), (1, 2))  # width : height
STOCK_DEFAULTS = {"frames": 81, "height": 480, "width": 832, "fps": 16.0, "steps": 50, "guidance": 5.0}


class Abilities(BaseModel):
    """What a model makes where nothing else is asked for, and what may be asked for.

    width, height: pixels of its own size; sizes: others of about that area that it makes without scaling.
    boxes: how many objects can be placed, null for a model without boxes.
    """

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    max_seconds: float
    steps: int
    guidance: float
    languages: list[str]
    boxes: dict[str, int] | None
    sizes: list[str]


class ModelObject(BaseModel):
    """A model that can be named in `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    manzar: Abilities


class ModelList(BaseModel):
    """All models; the first is what a request gets that names none."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("/v1/models", summary="List models")
async def list_models(here: Here) -> ModelList:
    return ModelList(data=list(here.models.values()))


@router.get("/v1/models/{model}", summary="One model")
async def retrieve_model(here: Here, model: str) -> ModelObject:
    found: ModelObject = here.models[chosen(here.models, model)[0]]
    return found


def chosen(models: Mapping[str, ModelObject], asked: str | None) -> tuple[str, str | None]:
    """The model to take, and what to tell the person where that is not the one asked for.

    Raises ApiError (404, model_not_found) for a name that means nothing here.
    """
    first = next(iter(models))
    if asked is None or asked in models:
        return asked or first, None
    if SORA.fullmatch(asked):
        return first, f"{asked} was asked for; it was switched off in 2026, and {first} takes its place here"
    known = ", ".join(models)
    raise ApiError(404, f"The model {asked!r} is not served here; there are: {known}", param="model",
                   code="model_not_found")  # fmt: skip


def read_models(folders: Mapping[str, Path], max_seconds: float) -> dict[str, ModelObject]:
    """What every folder says of itself. Raises ModelError for one that is no model folder."""
    return {name: read_model(name, folder, max_seconds) for name, folder in folders.items()}


def read_model(name: str, folder: Path, max_seconds: float) -> ModelObject:
    folder = folder / "model" if (folder / "model" / "model_index.json").is_file() else folder  # a training run
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{folder} is no model folder: it has no model_index.json; name one, or a run that holds one")
    own = _json(folder / "manzar.json")
    defaults: dict[str, Any] = {**STOCK_DEFAULTS, **own.get("defaults", {})}
    frames, fps = int(defaults["frames"]), float(defaults["fps"])
    width, height = int(defaults["width"]), int(defaults["height"])
    abilities = Abilities(
        width=width, height=height, fps=fps, frames=frames, seconds=frames / fps, max_seconds=max_seconds,
        steps=int(defaults["steps"]), guidance=float(defaults["guidance"]), languages=list(own.get("languages", [])),
        boxes=_boxes(folder), sizes=list(sizes(width, height, _grid(folder))),
    )  # fmt: skip
    return ModelObject(id=name, created=int(index.stat().st_mtime), owned_by="manzar", manzar=abilities)


@dataclass(frozen=True)
class Grid:
    """Widths and heights come in multiples of these, in pixels."""

    width: int
    height: int


def sizes(width: int, height: int, grid: Grid) -> list[str]:
    """The model's own size first, then other shapes of about the same area, on its grid."""
    found = [f"{width}x{height}"]
    for across, down in SHAPES:
        scale = (width * height / (across * down)) ** 0.5
        wide = grid.width * max(1, round(across * scale / grid.width))
        high = grid.height * max(1, round(down * scale / grid.height))
        if min(wide, high) >= SIDES[0] and max(wide, high) <= SIDES[1] and f"{wide}x{high}" not in found:
            found.append(f"{wide}x{high}")
    return found


def _grid(folder: Path) -> Grid:
    """What one token of the transformer covers."""
    patch = _json(folder / "transformer" / "config.json").get("patch_size", (1, 2, 2))
    vae = int(_json(folder / "vae" / "config.json").get("scale_factor_spatial") or 8)
    return Grid(vae * int(patch[2]), vae * int(patch[1]))


def _boxes(folder: Path) -> dict[str, int] | None:
    config = _json(folder / "boxes" / "config.json")
    return {"objects": int(config["objects"])} if "objects" in config else None


def _json(path: Path) -> dict[str, Any]:
    """An object from a file, empty where there is none. Raises ModelError for one that cannot be read."""
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); the model folder is damaged") from error
    return read if isinstance(read, dict) else {}
