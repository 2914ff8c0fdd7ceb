"""C2PA: a signed manifest in the file that says what made it and covers every byte of picture and index.

The library is optional. Nothing here touches a network: no timestamp server, no revocation lists, no remote manifests.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from manzar.nouns import storage
from manzar.provenance import certificate
from manzar.provenance.metadata import Generation

FORMAT = "video/mp4"
AI_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATION = "manzar.generation"  # our assertion
SETTINGS: dict[str, Any] = {
    "verify": {"verify_trust": True, "ocsp_fetch": False, "remote_manifest_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
# Failures that say who signed, not that something was changed.
OF_TRUST = ("signingCredential.untrusted", "signingCredential.expired", "signingCredential.revoked")


class Seen(NamedTuple):
    """state: trusted (signed under a root that is known here), valid (by somebody unknown), invalid (changed since, or
    a signature that does not hold), absent, not checked (no library). detail: what the manifest says and why."""

    state: str
    detail: dict[str, Any]


def available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("c2pa") is not None


def sign(path: Path, generation: Generation, created: str, certificate_folder: Path) -> list[str]:
    """Sign `path` in place; `created` is an ISO 8601 time. Returns why it was not done, or nothing.

    Raises StorageError where the disk is full.
    """
    if path.suffix.lower() != ".mp4":
        return [f"C2PA: only .mp4 files are signed; {path.name} is not"]
    if not available():
        return ["C2PA: not signed, for c2pa-python is not installed here; pip install 'manzar[provenance]'"]
    import c2pa

    try:
        chain, key = certificate.load_or_make(certificate_folder)
    except (OSError, ModuleNotFoundError, ValueError) as error:
        return [f"C2PA: not signed, for there is no certificate in {certificate_folder} ({error})"]
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    try:
        with storage(path), open(path, "rb") as source, open(temporary, "w+b") as target:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain.encode(), key, None))
            context = c2pa.Context(settings=c2pa.Settings.from_dict(SETTINGS))
            c2pa.Builder(manifest(generation, created), context).sign(signer, FORMAT, source, target)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(path)
    except c2pa.C2paError as error:
        return [f"C2PA: not signed ({error})"]
    finally:
        temporary.unlink(missing_ok=True)
    return []


def manifest(generation: Generation, created: str) -> dict[str, Any]:
    """The claims that are signed."""
    software = {"name": "Manzar", "version": generation.version}
    action = {"action": "c2pa.created", "when": created, "softwareAgent": software, "digitalSourceType": AI_SOURCE}
    return {
        "claim_generator_info": [software],
        "title": generation.id,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": GENERATION, "data": generation.__dict__},
        ],
    }


def look(path: Path, certificate_folder: Path) -> Seen:
    """What the manifest of a file says and whether it holds, the root in `certificate_folder` being trusted."""
    if not available():
        return Seen("not checked", {"reason": "c2pa-python is not installed here; pip install 'manzar[provenance]'"})
    import c2pa

    root = certificate.root(certificate_folder)
    trust = {} if root is None else {"trust": {"user_anchors": root}}
    try:
        context = c2pa.Context(settings=c2pa.Settings.from_dict(SETTINGS | trust))
        with open(path, "rb") as file:
            reader = c2pa.Reader.try_create(FORMAT, file, context=context)
            if reader is None:
                return Seen("absent", {})
            with reader:
                told = _told(json.loads(reader.json()))
                state = str(reader.get_validation_state()).lower()
    except (c2pa.C2paError, ValueError) as error:
        return _unreadable(path, str(error))
    if state not in ("valid", "trusted"):
        state = "invalid"
    return Seen(state, told)


def _unreadable(path: Path, reason: str) -> Seen:
    """A manifest that is there and cannot be read was changed; a file of another kind has none."""
    with open(path, "rb") as file:
        if b"c2pa" in file.read(1 << 20):
            return Seen("invalid", {"reason": reason})
    return Seen("absent", {})


def _told(store: dict[str, Any]) -> dict[str, Any]:
    """What a person wants to know of a manifest store."""
    active = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    assertions = {each.get("label", ""): each.get("data", {}) for each in active.get("assertions", [])}
    actions: dict[str, Any] = next((data for label, data in assertions.items() if label.startswith("c2pa.actions")), {})
    steps = actions.get("actions", [])
    results = store.get("validation_results", {}).get("activeManifest", {})
    failures = [each["code"] for each in results.get("failure", [])]
    return {
        "issuer": active.get("signature_info", {}).get("issuer"),
        "generator": next((info.get("name") for info in active.get("claim_generator_info", [])), None),
        "ai_generated": any("lgorithmicMedia" in str(step.get("digitalSourceType")) for step in steps),
        "created": next((step["when"] for step in steps if "when" in step), None),
        "failures": [code for code in failures if code not in OF_TRUST],
        "trust": [code for code in failures if code in OF_TRUST],
        "id": assertions.get(GENERATION, {}).get("id"),
    }
