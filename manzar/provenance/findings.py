"""What marks a file carries, each by itself: what is said is what was found, and nothing is claimed of a file without.

The signature proves; everything else is a hint. Metadata can be typed by anybody, the label be painted over, the
invisible mark be forged by who knows its key. And a film without any of them may still have been generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manzar.media import frames
from manzar.media.tags import tags
from manzar.nouns import MediaError, existing
from manzar.provenance import invisible, signature, visible
from manzar.provenance.certificate import default_folder
from manzar.provenance.metadata import SAID, SIGNED, read_comment, read_label

EVERY_S = 0.1  # pictures nearer than this to the last one that was looked at add little
MOST_PICTURES = 150

# What a command returns for a file, by the worst of its findings.
INTACT, NOTHING_FOUND, TAMPERED = 0, 3, 4


@dataclass(frozen=True)
class Finding:
    """One kind of mark in one file.

    mark: c2pa, metadata, visible or invisible. found: whether there is any of it. state: one word on how it stands:
    trusted, valid, invalid (c2pa); intact, damaged (metadata); found (visible, invisible); missing (c2pa that the
    metadata announces); absent; not checked (the library, or every picture, is lacking). detail: what it says, in
    values that JSON knows.
    """

    mark: str
    found: bool
    state: str
    detail: dict[str, Any]

    @property
    def tampered(self) -> bool:
        """Whether it shows that the file was changed after it was marked."""
        return self.state in ("invalid", "damaged", "missing")

    def __str__(self) -> str:
        said = "; ".join(f"{key.replace('_', ' ')} {_told(value)}" for key, value in self.detail.items()
                         if value not in (None, [], ""))  # fmt: skip
        return f"{self.mark}: {self.state}" + (f" ({said})" if said else "")


def verify(path: str | Path, *, certificate_folder: Path | None = None, id: str | None = None) -> list[Finding]:
    """One Finding for each kind of mark.

    certificate_folder: whose root is trusted; a person's own if None. id: of the film that this may be a copy of, so
    that a far weaker trace of its invisible mark counts; without it, the id in the metadata.
    Raises UsageError if there is no such file, MediaError if it is nothing that has marks: no picture, no metadata.
    """
    file = existing(path, "file")
    seal = signature.look(file, certificate_folder or default_folder())
    texts, label_damage = _metadata(file)
    told = [_of_seal(seal, SIGNED.partition(": ")[0] in texts), _of_metadata(texts, label_damage)]
    known = id or texts.get("id")
    try:
        return told + _pictures(file, invisible.payload_of(known) if known else None)
    except MediaError as error:
        if not any(finding.found for finding in told):
            raise
        return told + [Finding(mark, False, "not checked", {"damage": str(error)}) for mark in ("visible", "invisible")]


def exit_code(findings: Sequence[Finding]) -> int:
    """TAMPERED where anything says so, else INTACT where anything was found, else NOTHING_FOUND."""
    if any(finding.tampered for finding in findings):
        return TAMPERED
    return INTACT if any(finding.found for finding in findings) else NOTHING_FOUND


def _of_seal(seal: signature.Seen, announced: bool) -> Finding:
    if seal.state == "absent" and announced:
        reason = "the metadata says that the file was signed; it was changed or copied since"
        return Finding("c2pa", False, "missing", {"reason": reason})
    return Finding("c2pa", seal.state in ("trusted", "valid", "invalid"), seal.state, seal.detail)


def _metadata(path: Path) -> tuple[dict[str, str], str]:
    """What metadata of ours says, empty if there is none, and what is wrong with it."""
    try:
        found = tags(path)
    except MediaError:
        return {}, ""
    told, damage = read_comment(found) or {}, ""
    try:
        label = read_label(found)
    except ValueError as error:
        label, damage = None, f"the AIGC label cannot be read: {error}"
    if label is not None:
        told = {"id": label["ProduceID"], "producer": label["ContentProducer"], "content": SAID[label["Label"]]} | told
        if told["id"] != label["ProduceID"]:
            damage = f"two ids, {label['ProduceID']} and {told['id']}"
    return told, damage


def _of_metadata(texts: dict[str, str], damage: str) -> Finding:
    detail = texts | ({"damage": damage} if damage else {})
    state = "damaged" if damage else "intact" if texts else "absent"
    return Finding("metadata", bool(detail), state, detail)


def _pictures(path: Path, expected: int | None) -> list[Finding]:
    """What is seen of the marks that live in the picture; a damaged file is looked at as far as it goes."""
    label, mark, damage, last = visible.Reader(), invisible.Reader(), "", -EVERY_S
    try:
        for seconds, frame in frames(path):
            if seconds - last < EVERY_S - 1e-3:
                continue
            label.add(seconds, frame)
            mark.add(frame)
            last = seconds
            if mark.pictures == MOST_PICTURES:
                break
    except MediaError as error:
        if not mark.pictures:
            raise
        damage = str(error)
    return [_of_label(label.correlations()), _of_mark(mark.reading(expected), mark.pictures, damage)]


def _of_label(alike: dict[str, float]) -> Finding:
    seen = [name for name, value in alike.items() if value >= visible.SEEN]
    detail = {"seen": seen, "correlation": round(max(alike.values()), 2)} if seen else {}
    return Finding("visible", bool(seen), "found" if seen else "absent", detail)


def _of_mark(reading: invisible.Reading | None, pictures: int, damage: str) -> Finding:
    looked = {"pictures": pictures} | ({"damage": damage} if damage else {})
    if reading is None or not reading.found:
        return Finding("invisible", False, "absent", looked)
    detail: dict[str, Any] = {
        "payload": f"{reading.payload:08x}",
        "correlation": round(reading.correlation, 1),
        "threshold": round(reading.threshold, 1),
    }
    if reading.matching is not None:
        detail = {"bits": f"{reading.matching}/{invisible.BITS}"} | detail
    if reading.kept != (0.0, 1.0, 0.0, 1.0):
        detail["kept"] = [round(place, 3) for place in reading.kept]
    return Finding("invisible", True, "found", detail | looked)


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
