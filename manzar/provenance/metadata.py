"""What a film says about its origin in the texts of its container.

`AIGC` is the implicit label of China's standard GB 45438-2025, a JSON object of seven texts that TC260-PG-20257A puts
into moov.udta.meta of an MP4. `comment` says the same to people and players, and more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AIGC, COMMENT = "AIGC", "comment"
FIELDS = ("Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
IS_GENERATED = "1"
SAID = {"1": "generated", "2": "perhaps generated", "3": "suspected to be generated"}
OPENING = "AI-generated"
SIGNED = "signed: C2PA"


@dataclass(frozen=True)
class Generation:
    """What may be said of how a film was made. prompt_sha256: of id, newline and prompt, so that films of one prompt
    do not show that they are."""

    id: str
    producer: str
    model: str
    version: str
    seed: int
    prompt_sha256: str

    @classmethod
    def of(cls, id: str, producer: str, model: str, version: str, prompt: str, seed: int) -> Generation:
        digest = hashlib.sha256(f"{id}\n{prompt}".encode("utf-8", "surrogatepass")).hexdigest()
        return cls(printable(id), printable(producer), printable(model), printable(version), seed, digest)


def printable(text: str) -> str:
    """Printable ASCII without the separators of `comment`: strict readers of the label take nothing else."""
    return "".join(letter if " " <= letter <= "~" and letter not in ';"\\' else "_" for letter in text)


def describe(generation: Generation, *, signed: bool) -> dict[str, str]:
    """The metadata of a film. signed: say that a signature follows, so that its absence can be noticed."""
    label = dict.fromkeys(FIELDS, "") | {
        "Label": IS_GENERATED,
        "ContentProducer": generation.producer,
        "ProduceID": generation.id,
        "ContentPropagator": generation.producer,
        "PropagateID": generation.id,
    }
    said = [OPENING, f"model: {generation.model} {generation.version}", f"id: {generation.id}",
            f"seed: {generation.seed}", f"prompt sha256: {generation.prompt_sha256}"]  # fmt: skip
    return {AIGC: json.dumps(label, separators=(",", ":")), COMMENT: "; ".join([*said, SIGNED] if signed else said)}


def read_label(tags: Mapping[str, str]) -> dict[str, str] | None:
    """The AIGC label among the metadata of a file; None if there is none. Raises ValueError if it is damaged."""
    text = next((value for key, value in tags.items() if key.upper() == AIGC), None)
    if text is None:
        return None
    label: Any = json.loads(text)
    if not isinstance(label, dict) or any(not isinstance(label.get(name), str) for name in FIELDS):
        raise ValueError(f"not the seven texts {', '.join(FIELDS)}")
    if label["Label"] not in SAID:
        raise ValueError(f"Label is {label['Label']!r}, not one of {', '.join(SAID)}")
    return {name: label[name] for name in FIELDS}


def read_comment(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Our comment among the metadata, as its parts; None if there is none of ours."""
    text = next((value for key, value in tags.items() if key.lower() == COMMENT), "")
    opening, *parts = text.split("; ")
    if opening != OPENING:
        return None
    pairs = (part.partition(": ") for part in parts)
    return {key.replace(" ", "_"): value for key, colon, value in pairs if colon}
