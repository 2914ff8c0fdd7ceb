"""Every refusal in the API's own shape: {"error": {"message", "type", "param", "code"}}.

    ApiError                 the base: an HTTP status, a code, the name of the parameter that is at fault
    ├── bad(...)       400   the request cannot be understood or asks for what cannot be
    ├── missing(...)   404   no such thing, or it is somebody else's
    ├── conflict(...)  409   not in this state; clients are told not to try again by themselves
    └── unfit(...)     422   an upload that was understood and is no good
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from manzar.nouns import ManzarError, MediaError, StorageError, UsageError
from manzar.serve.jobs import IdempotencyConflict, JobNotFinished, NoSuchJob, QuotaReached

log = logging.getLogger("manzar.serve")

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
NO_RETRY = {"x-should-retry": "false"}  # the official client tries again on 409 unless it is told not to
QUOTA_WAIT_S = 30  # a full queue is not emptier a second later


class ApiError(ManzarError):
    """A refusal with everything that the answer says about it."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None,
                 headers: Mapping[str, str] | None = None) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        return "server_error" if self.status >= 500 else TYPES.get(self.status, "invalid_request_error")

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class ErrorDetail(BaseModel):
    """What went wrong; `param` names the field of the request at fault, where one is."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


def bad(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def missing(message: str, param: str | None = None) -> ApiError:
    return ApiError(404, message, param=param, code="not_found")


def conflict(message: str, param: str | None = None, code: str = "conflict") -> ApiError:
    return ApiError(409, message, param=param, code=code, headers=NO_RETRY)


def unfit(message: str, param: str | None = None) -> ApiError:
    return ApiError(422, message, param=param, code="invalid_file")


def translated(error: Exception) -> ApiError:
    """Any error as a refusal; what is not the client's fault says no more than that it is not."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError | RequestValidationError):
        return of_fields(error.errors())
    if isinstance(error, HTTPException):
        return of_status(error)
    message = str(error)
    if isinstance(error, NoSuchJob):
        return missing(message, "video_id")
    if isinstance(error, JobNotFinished):
        return conflict(message, "video_id", "not_finished")
    if isinstance(error, IdempotencyConflict):
        return conflict(message, "Idempotency-Key", "idempotency_conflict")
    if isinstance(error, QuotaReached):
        return ApiError(429, message, code="quota_reached", headers={"retry-after": str(QUOTA_WAIT_S)})
    if isinstance(error, MediaError):
        return unfit(message)
    if isinstance(error, UsageError):
        return bad(message)
    if isinstance(error, StorageError):
        return ApiError(503, "the server cannot store anything at present; its operator must free some space",
                        code="storage", headers={"retry-after": "60"})  # fmt: skip
    return ApiError(500, "the server failed at this request; its log says why, under the request id of this answer",
                    code="internal_error")  # fmt: skip


def of_fields(problems: Sequence[Any]) -> ApiError:
    """The first of pydantic's complaints; the others would be told of one after another anyway."""
    problem = problems[0]
    place = [str(part) for part in problem["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    if problem["type"] == "extra_forbidden":
        return bad(f"Unknown parameter: {param!r}", param, "unknown_parameter")
    if problem["type"] == "missing":
        return bad(f"Missing required parameter: {param!r}", param, "missing_required_parameter")
    message = str(problem["msg"]).removeprefix("Value error, ")
    return bad(f"{param or 'the request'}: {message}", param)


def of_status(error: HTTPException) -> ApiError:
    """What the framework refuses by itself: unknown paths, methods, bodies that cannot be read."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if isinstance(error.detail, str) and error.detail != phrase else ""
    messages = {404: "no such route; GET /openapi.json lists all", 405: "this route does not take that method"}
    message = detail or messages.get(error.status_code, phrase)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    return ApiError(error.status_code, message, code=code, headers=error.headers)


def answer(error: Exception, request_id: str) -> JSONResponse:
    refusal = translated(error)
    if refusal.status >= 500 and refusal is not error:
        log.error("%s: %s", request_id, error, exc_info=error if refusal.status == 500 else None)
    return JSONResponse(refusal.body(), refusal.status, refusal.headers)


def install(app: FastAPI) -> None:
    """Every error that a route can raise is answered in the API's shape."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return answer(error, request.scope["state"]["request_id"])

    for kind in (ManzarError, HTTPException, RequestValidationError, ValidationError):
        app.add_exception_handler(kind, handle)


# What every route may answer besides success, for the OpenAPI document.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in {
        400: "The request is malformed or asks for what cannot be.",
        401: "No key, or one that is not valid here.",
        403: "This key, host or origin may not.",
        404: "No such thing.",
        405: "This route does not take that method.",
        408: "The body took too long.",
        409: "Not in this state; do not try again.",
        411: "A body of unknown length.",
        413: "The body is too large.",
        415: "A body of another kind is needed.",
        416: "No such part of the file.",
        422: "The upload is no good.",
        429: "Too many requests, or too many unfinished jobs.",
        500: "The server failed.",
        503: "The server cannot at present.",
    }.items()
}
