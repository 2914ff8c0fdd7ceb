"""What a job is, from the request that was accepted to the video or the reason why there is none.

    queued ──▶ in_progress ──▶ completed
       ▲            │   └────▶ failed        error_code, error_message
       └────────────┘ its worker stopped or died

    ManzarError
    ├── NoSuchJob             (2)   an id that nobody has, or somebody else
    ├── QuotaReached          (1)   too many unfinished jobs of one key
    ├── IdempotencyConflict   (2)   a key that came before, with another request
    └── JobNotFinished        (1)   a result that is not there yet
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from manzar.nouns import ManzarError, UsageError
from manzar.serve.task import Task

Status = Literal["queued", "in_progress", "completed", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)
UNFINISHED: tuple[Status, ...] = ("queued", "in_progress")

VIDEO, THUMBNAIL, SPRITESHEET, PREVIEW = "video.mp4", "thumbnail.webp", "spritesheet.jpg", "preview.webp"
RESULTS = (VIDEO, THUMBNAIL, SPRITESHEET)  # of a completed job, in its folder; the preview is there earlier


class NoSuchJob(UsageError):
    """There is no such job, or it belongs to another key; which of the two is not told."""


class QuotaReached(ManzarError):
    """The key has as many unfinished jobs as it may have."""


class IdempotencyConflict(UsageError):
    """The idempotency key was used before, for another request."""


class JobNotFinished(ManzarError):
    """The job has no result yet."""


@dataclass(frozen=True)
class Spec:
    """A request that was found good.

    owner: the id of the key it came with, "" where none is needed.
    seconds, size: as the API tells them; the length of the whole, and "WxH" of the file.
    idempotency_key: whoever sends it again with the same task and files gets the same job, so a seed that the server
    chooses must follow from it.
    """

    task: Task
    owner: str
    seconds: str
    size: str
    remixed_from: str | None = None
    idempotency_key: str | None = None
    batch: str | None = None


@dataclass(frozen=True)
class Job:
    """One row of the queue. Times are unix seconds.

    progress: 0 to 100 of this attempt; 100 only when completed.
    cost_seconds: what the attempt that completed took, from begin to end.
    seconds, size: as expected; of a completed job, as they are.
    generated_size: "WxH" in which the model made it.
    """

    id: str
    task: Task
    owner: str
    seconds: str
    size: str
    remixed_from: str | None
    idempotency_key: str | None
    batch: str | None
    status: Status
    progress: int
    created_at: float
    started_at: float | None
    completed_at: float | None
    expires_at: float | None
    error_code: str | None
    error_message: str | None
    attempts: int
    worker: str | None
    cost_seconds: float | None
    steps_done: int
    steps_total: int
    generated_size: str | None
    frames: int | None
    fps: float | None
    notes: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED


@dataclass(frozen=True)
class Outbox:
    """An event that nobody has been told of yet; type is video.completed or video.failed."""

    id: int
    job_id: str
    owner: str
    type: str
    created_at: float
    attempts: int
