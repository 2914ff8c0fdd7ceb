"""Everything that determines one generation, as it lies in the queue: plain JSON, and files named beside it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Kind = Literal["create", "remix", "edit", "extension", "connection"]
SIDES = (16, 4096)  # pixels, of what may be asked for
SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
FILE = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]  # a name, never a path


class Task(BaseModel):
    """One generation.

    seconds: of what is made (extension, connection: of what is added); None: the model's own length, or the clip's.
    size: "WxH" of the file to deliver; None: the size in which the model makes it.
    image, video, last, mask: files within the job's folder `input/`: the first frame; the clip that is edited, extended
    or comes first; the clip that comes last; where an edit may change anything.
    boxes: a script of boxes, as `manzar generate --boxes` reads it.
    characters: ids of the characters asked for; what they do is in `prompt` and `image` already.
    notes: what the person should know about how the request was understood.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    model: str
    prompt: str
    negative_prompt: str = ""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    size: str | None = None
    seed: int = Field(ge=0, lt=2**63)
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, allow_inf_nan=False)
    image: FILE | None = None
    video: FILE | None = None
    last: FILE | None = None
    mask: FILE | None = None
    direction: Literal["forward", "backward"] = "forward"
    loop: bool = False
    strength: float | None = Field(default=None, gt=0, le=1)
    boxes: dict[str, Any] | None = None
    box_guidance: float | None = Field(default=None, allow_inf_nan=False)
    characters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("size")
    @classmethod
    def _possible_size(cls, size: str | None) -> str | None:
        if size is not None:
            sides(size)
        return size


def sides(size: str) -> tuple[int, int]:
    """(width, height) of "WxH". Raises ValueError for what no file is delivered in."""
    match = SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"size is {size!r}; it is written like 1280x720, width first")
    width, height = int(match[1]), int(match[2])
    if not all(SIDES[0] <= side <= SIDES[1] for side in (width, height)):
        raise ValueError(f"size is {size}; both sides lie between {SIDES[0]} and {SIDES[1]} pixels")
    if width % 2 or height % 2:
        raise ValueError(f"size is {size}; both sides must be even, the nearest is {width // 2 * 2}x{height // 2 * 2}")
    return width, height
