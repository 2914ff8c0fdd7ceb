"""Which marks a film gets, what they say, and the three moments at which they are made.

Marks in the picture go onto the frames as they stream; texts go to the writer of the file; the signature, which covers
all of that, comes last:

    write_stream(mark_stream(chunks, fps, stamp, marks), fps, path, metadata=metadata_of(stamp, marks))
    notes = finish_file(path, stamp, marks, certificate_folder=folder)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from manzar.nouns import UsageError
from manzar.provenance import invisible, signature, visible
from manzar.provenance.metadata import Generation, describe

if TYPE_CHECKING:
    from manzar.nouns import Frames


@dataclass(frozen=True)
class Marks:
    """Which marks are made. Leaving them out is the operator's choice; docs/provenance.md says what laws ask.

    visible: a label in the corner. metadata: texts in the container. c2pa: a signature over the whole file.
    invisible: 32 bits in the brightness.
    """

    visible: bool = True
    metadata: bool = True
    c2pa: bool = True
    invisible: bool = True

    @classmethod
    def parse(cls, text: str) -> Marks:
        """From "all", "none", or names with commas between them. Raises UsageError for a name that is no mark."""
        known = [field.name for field in fields(cls)]
        words = {"all": known, "none": []}.get(text.strip(), [word.strip() for word in text.split(",")])
        for word in words:
            if word not in known:
                raise UsageError(f"{word!r} is no mark; give all, none, or some of {','.join(known)}")
        return cls(**{name: name in words for name in known})

    def __str__(self) -> str:
        """What `parse` reads."""
        return ",".join(field.name for field in fields(self) if getattr(self, field.name)) or "none"


MACHINE_READABLE = Marks(visible=False, invisible=False)  # leaves every pixel as the model made it


@dataclass(frozen=True)
class Stamp:
    """What the marks of one film say.

    id: names the film at its maker's. model, version: what made it. prompt: never written, only its hash with the id.
    created_at: seconds since 1970, UTC; in the signature alone. producer: name or code of who offers the service.
    """

    id: str
    model: str
    version: str
    prompt: str
    seed: int
    created_at: float
    producer: str = "manzar"

    @property
    def generation(self) -> Generation:
        """The part of it that is written into files."""
        return Generation.of(self.id, self.producer, self.model, self.version, self.prompt, self.seed)


def mark_stream(chunks: Iterable[Frames], fps: float, stamp: Stamp, marks: Marks) -> Iterator[Frames]:
    """The same chunks, uint8 (T, H, W, 3), with the marks that live in the picture; memory is that of one chunk.

    The result does not depend on how the film is cut into chunks. fps is in frames per second.
    """
    if marks.visible:
        chunks = visible.draw(chunks, fps)
    if marks.invisible:
        chunks = invisible.embed(chunks, invisible.payload_of(stamp.id))
    return iter(chunks)


def metadata_of(stamp: Stamp, marks: Marks) -> dict[str, str]:
    """What the container of a film says, for `write_stream`; nothing where that mark is not wanted."""
    if not marks.metadata:
        return {}
    return describe(stamp.generation, signed=marks.c2pa and signature.available())


def finish_file(path: Path, stamp: Stamp, marks: Marks, *, certificate_folder: Path) -> list[str]:
    """Sign the finished file in place, with the certificate in `certificate_folder`, which is made where there is none.

    Returns what a person should know: which wanted mark could not be made as it should, and why. That is never an
    error, except StorageError where the disk is full.
    """
    notes = visible.notes(path) if marks.visible and path.is_file() else []
    if not marks.c2pa:
        return notes
    created = datetime.fromtimestamp(stamp.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return notes + signature.sign(path, stamp.generation, created, certificate_folder)
