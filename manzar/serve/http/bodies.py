"""Bodies as they come, multipart or JSON, to fields that were checked.

The official client sends multipart whatever it is given, with every value as text and structures flattened into names
such as `video[id]`; others post JSON. Both end in the same models, which are also what the OpenAPI document shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import from_json
from starlette.datastructures import UploadFile

from manzar.serve.http.doors import JSON_BYTES
from manzar.serve.http.errors import ApiError, bad
from manzar.serve.task import sides

MOST_FILES, MOST_FIELDS = 4, 40
NAME = re.compile(r"([A-Za-z_]\w{0,63})((?:\[\w{0,63}\]){0,3})", re.ASCII)
MOST_SEED = 2**53 - 1  # the largest that every reader of JSON reads right


def _positive(value: float | str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{value!r} is no length; write seconds such as \"4\"")
    return seconds


def _even(size: str) -> str:
    sides(size)
    return size


SECONDS_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^[1-9][0-9]?(\.[0-9]{1,3})?$"},
                            {"type": "number", "exclusiveMinimum": 0}]}  # fmt: skip
Prompt = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]
Seconds = Annotated[float | str, AfterValidator(_positive), WithJsonSchema(SECONDS_SCHEMA)]
Size = Annotated[str, AfterValidator(_even), Field(json_schema_extra={"pattern": r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$"})]
Guidance = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reference(_Strict):
    """A picture that is not uploaded here: a data URL, or the id of a file that was uploaded to /v1/files."""

    image_url: str | None = None
    file_id: str | None = None


class ById(_Strict):
    """Something that is on the server already."""

    id: str = Field(min_length=1, max_length=64)


class _Any(_Strict):
    """What every task takes. Beyond the prompt all of it is Manzar's own, except model and size."""

    prompt: Prompt
    model: str | None = Field(default=None, min_length=1, max_length=64)
    size: Size | None = None
    negative_prompt: str = Field(default="", max_length=4000)
    seed: int | None = Field(default=None, ge=0, le=MOST_SEED)
    steps: int | None = Field(default=None, ge=1, le=200)
    guidance: Guidance | None = None


class CreateBody(_Any):
    """A video from a prompt, and from its first frame if one is given."""

    seconds: Seconds | None = None
    input_reference: Reference | None = None
    characters: list[ById] = Field(default=[], max_length=2)
    loop: bool = False
    boxes: dict[str, Any] | None = None
    box_guidance: Guidance | None = None


class RemixBody(_Any):
    """The video of the path again, with another prompt."""

    strength: float | None = Field(default=None, gt=0, le=1)


class EditBody(_Any):
    """A video changed as the prompt says; all of it, or where a mask is white."""

    video: ById | None = None
    strength: float | None = Field(default=None, gt=0, le=1)


class ExtensionBody(_Any):
    """A video with more of it after its end, before its beginning, or from its end back to its beginning."""

    video: ById | None = None
    seconds: Seconds | None = None
    direction: Literal["forward", "backward"] = "forward"
    loop: bool = False
    boxes: dict[str, Any] | None = None
    box_guidance: Guidance | None = None


class ConnectionBody(_Any):
    """Two videos and the way from one to the other."""

    first: ById | None = None
    last: ById | None = None
    seconds: Seconds | None = None
    boxes: dict[str, Any] | None = None
    box_guidance: Guidance | None = None


class CharacterBody(_Strict):
    """A subject with a name, by which prompts may ask for it."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]
    description: str | None = Field(default=None, min_length=1, max_length=500, pattern=r"\S")


@dataclass
class Sent:
    """The body of a request: fields, and files by the name of their field. `typed`: it was JSON."""

    fields: dict[str, Any]
    files: dict[str, UploadFile] = field(default_factory=dict)
    typed: bool = False

    def read(self, body: type[Body], *files: str) -> Body:
        """The fields as `body` has them. Raises ApiError or pydantic's ValidationError for any that it does not.

        files: the fields that may be files.
        """
        for name in self.files:
            if name not in files:
                raise bad(f"Unknown file: {name!r}; this route takes {', '.join(files) or 'none'}", name,
                          "unknown_parameter")  # fmt: skip
            if name in self.fields:
                raise bad(f"{name}: send the file or a reference to one, not both", name)
        return body.model_validate(self.fields, strict=self.typed)


async def read_body(request: Request) -> Sent:
    """Raises ApiError 400 for a body that cannot be read, 415 for one of another kind."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Sent(read_json(await request.body()), typed=True)
    if kind == "multipart/form-data":
        form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=JSON_BYTES)
        return unflattened(form.multi_items())
    raise ApiError(415, f"a body of type {kind or 'none'} is not read here; send multipart/form-data or "
                        "application/json", code="unsupported_media_type")


def read_json(body: bytes) -> dict[str, Any]:
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise bad("the body is JSON, but no object", code="invalid_json")
    return value


def unflattened(items: list[tuple[str, str | UploadFile]]) -> Sent:
    """Fields with the structure that their names tell of: `a[b]` is {"a": {"b": …}}, `a[][b]` a list of such.

    Raises ApiError for lists within lists, which the flattening has destroyed.
    """
    sent = Sent({})
    for name, value in items:
        match = NAME.fullmatch(name)
        if match is None:
            raise bad(f"{name!r} is no name of a field", name[:64], "unknown_parameter")
        top, path = match[1], re.findall(r"\[(\w*)\]", match[2])
        if isinstance(value, str):
            _place(sent.fields, top, path, value)
        elif path or top in sent.files:
            raise bad(f"{top}: one file is needed here", top)
        else:
            sent.files[top] = value
    for top in ("boxes", "characters"):
        if isinstance(sent.fields.get(top), str):
            sent.fields[top] = _parsed(top, sent.fields[top])
    return sent


def _place(fields: dict[str, Any], top: str, path: list[str], value: str) -> None:
    if top == "boxes" and path:
        raise bad("boxes: multipart bodies lose the structure of lists; send boxes as one field of JSON text", "boxes")
    if not path:
        if top in fields:
            raise bad(f"{top}: it is there twice", top)
        fields[top] = value
    elif len(path) == 1 and path[0]:
        inner = fields.setdefault(top, {})
        if not isinstance(inner, dict) or path[0] in inner:
            raise bad(f"{top}: it is there twice", top)
        inner[path[0]] = value
    elif path[0] == "" and len(path) == 2 and path[1]:
        listed = fields.setdefault(top, [])
        if not isinstance(listed, list):
            raise bad(f"{top}: it is there twice", top)
        listed.append({path[1]: value})
    else:
        raise bad(f"{top}: multipart bodies lose the structure of lists; send {top} as one field of JSON text", top)


def _parsed(top: str, text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise bad(f"{top}: this is not JSON: {error}", top, "invalid_json") from None


def documented(body: type[BaseModel], *files: str) -> dict[str, Any]:
    """The request body of a route for the OpenAPI document: JSON, or the same as multipart with files."""
    schema = inlined(body)
    optional = dict(schema["properties"])
    for name in files:
        binary = {"type": "string", "format": "binary"}
        optional[name] = {"anyOf": [binary, optional[name]]} if name in optional else binary
    for name in ("boxes", "characters"):
        if name in optional:
            optional[name] = {"type": "string", "contentMediaType": "application/json"}
    form = {**schema, "properties": optional}
    return {"requestBody": {"required": True, "content": {
        "multipart/form-data": {"schema": form}, "application/json": {"schema": schema}}}}  # fmt: skip


def inlined(body: type[BaseModel]) -> dict[str, Any]:
    """Its JSON schema without references."""
    schema = body.model_json_schema()
    known = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return resolve(known[part["$ref"].rpartition("/")[2]])
            return {key: resolve(value) for key, value in part.items()}
        return [resolve(each) for each in part] if isinstance(part, list) else part

    resolved: dict[str, Any] = resolve(schema)
    return resolved
