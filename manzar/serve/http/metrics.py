"""Counts and times for Prometheus, and whether the server is well."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from pydantic import BaseModel
from starlette.types import Scope

from manzar.serve.http.context import Here
from manzar.serve.http.errors import REFUSALS
from manzar.serve.queue import Queue

router = APIRouter(tags=["health"], responses=REFUSALS)

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STATUSES = ("queued", "in_progress", "completed", "failed")


class Metrics:
    """A registry of its own, so that two servers in one process do not share their figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter("manzar_requests", "Requests answered.", ("method", "route", "status"),
                                registry=self.registry)
        self.seconds = Histogram("manzar_request_seconds", "How long answers took, downloads included.",
                                 ("method", "route"), buckets=SECONDS, registry=self.registry)
        self.jobs = Gauge("manzar_jobs", "Videos that are there, by status.", ("status",), registry=self.registry)
        self.oldest = Gauge("manzar_oldest_queued_seconds", "How long the first in the queue has waited.",
                            registry=self.registry)
        self.stored = Gauge("manzar_results_bytes", "What all results take on the disk.", registry=self.registry)
        self.tally = Gauge("manzar_tally", "Counted since the database was made: submitted, completed, "
                           "failed:<code>, generation_seconds.", ("name",), registry=self.registry)  # fmt: skip

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """One answer; its route is the path's template, and there are only so many of those."""
        route = getattr(scope.get("route"), "path", None) or "none"
        self.requests.labels(scope["method"] if route != "none" else "none", route, str(status)).inc()
        self.seconds.labels(scope["method"] if route != "none" else "none", route).observe(seconds)

    def text(self, queue: Queue) -> bytes:
        stats = queue.stats()
        for status in STATUSES:
            self.jobs.labels(status).set(stats[status])
        self.oldest.set(stats["oldest_queued_seconds"])
        self.stored.set(stats["bytes"])
        for name, value in stats.items():
            if name.startswith("total:"):
                self.tally.labels(name.removeprefix("total:")).set(value)
        return generate_latest(self.registry)


class Health(BaseModel):
    """That the server answers, and its database too."""

    status: Literal["ok"] = "ok"
    queued: int
    in_progress: int


@router.get("/healthz", summary="Is it well")
def healthz(here: Here) -> Health:
    return Health(queued=here.queue.count(None, ("queued",)), in_progress=here.queue.count(None, ("in_progress",)))


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def metrics(here: Here) -> Response:
    return Response(here.metrics.text(here.queue), media_type=CONTENT_TYPE_LATEST)
