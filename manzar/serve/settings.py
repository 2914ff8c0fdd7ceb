"""What a server is told: where its state lies, which models it has, and how much it lets anybody ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manzar.nouns import UsageError

if TYPE_CHECKING:
    from manzar.provenance import Marks

DAY_SECONDS = 86_400.0
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def own_model() -> Mapping[str, Path]:
    from manzar.generate.folder import PRETRAINED

    return {"manzar": PRETRAINED}


def all_marks() -> Marks:
    from manzar.provenance import Marks

    return Marks()


@dataclass(frozen=True)
class ServeSettings:
    """Everything a server and its workers need to know.

    root: the folder of all state: jobs.sqlite, jobs/<id>/…, and what other parts of the server keep.
    models: name → model folder; the first is what a request gets that names none.
    workers: processes that generate, each on a device of its own.
    lease_seconds: how long a worker may be silent before its job is given to another.
    max_attempts: how often a job is begun before it counts as the cause of its workers' deaths.
    retention_seconds, disk_bytes: results are removed after this time, the oldest earlier if they take more room.
    queued_per_key: unfinished jobs that one key may have.
    max_seconds: the longest video, or addition to one, that may be asked for.
    origins: web pages of other origins that may use the API (CORS).
    marks: what is put on every video to say that it was generated.
    pages: folders of training runs and score reports that the studio may open.
    """

    root: Path
    models: Mapping[str, Path] = field(default_factory=own_model)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    lease_seconds: float = 30.0
    max_attempts: int = 3
    retention_seconds: float = 7 * DAY_SECONDS
    disk_bytes: int = 20 << 30
    queued_per_key: int = 1000
    max_seconds: float = 20.0
    max_upload_bytes: int = 200 << 20
    requests_per_minute: int = 600
    origins: tuple[str, ...] = ()
    marks: Marks = field(default_factory=all_marks)
    pages: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError for what no server can be."""
        if not self.models:
            raise UsageError("a server needs a model: name at least one, or leave models out for the package's own")
        for name in self.models:
            if not MODEL_NAME.fullmatch(name):
                raise UsageError(f"{name!r} cannot be a model's name; use up to 64 letters, digits, '.', '_' and '-'")
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"port is {self.port}; it lies between 0 (any that is free) and 65535")
        for each in ("lease_seconds", "max_attempts", "retention_seconds", "disk_bytes", "queued_per_key",
                     "max_seconds", "max_upload_bytes", "requests_per_minute"):  # fmt: skip
            if not getattr(self, each) > 0:
                raise UsageError(f"{each} is {getattr(self, each)}; it must be above 0")
        if self.workers < 0:
            raise UsageError(f"workers is {self.workers}; it must be at least 1, or 0 to accept jobs and make none")

    @property
    def database(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def certificate(self) -> Path:
        """The folder of the certificate that provenance manifests are signed with."""
        return self.root / "certificate"

    @property
    def default_model(self) -> str:
        return next(iter(self.models))

    def to_json(self) -> str:
        """One line, for the workers."""
        return json.dumps({each.name: getattr(self, each.name) for each in fields(self)}, default=plain)

    @classmethod
    def from_json(cls, text: str) -> ServeSettings:
        from manzar.provenance import Marks

        values: dict[str, Any] = json.loads(text)
        values["root"], values["origins"] = Path(values["root"]), tuple(values["origins"])
        values["models"] = {name: Path(folder) for name, folder in values["models"].items()}
        values["pages"] = tuple(Path(folder) for folder in values["pages"])
        return cls(**values | {"marks": Marks(**values["marks"])})


def plain(value: Any) -> Any:
    """What JSON makes of paths, mappings and records; paths are made absolute, for workers elsewhere."""
    if isinstance(value, Path):
        return str(value.absolute())
    return dict(value) if isinstance(value, Mapping) else asdict(value)
