"""The model of the package, as a person gets it: every task measured on its own truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from manzar.generate.folder import PRETRAINED
from manzar.media import read
from manzar.nouns import LANGUAGES

LIMIT_BYTES = 40_000_000


def test_the_folder_is_small_whole_and_stock() -> None:
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*.safetensors")) <= LIMIT_BYTES
    info = json.loads((PRETRAINED / "manzar.json").read_text(encoding="utf-8"))
    assert set(info["languages"]) == set(LANGUAGES)
    index = json.loads((PRETRAINED / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "WanPipeline" and index["vae"][1] == "AutoencoderKLWan"


def test_the_command_needs_no_model_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    words = ["generate", "A red circle and a crocodile.", "-o", str(out), "--steps", "2", "--json"]
    done = subprocess.run([sys.executable, "-m", "manzar", *words], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["videos"][0]["notes"] == ['unknown word: "crocodile"']
    assert read(out).frames.shape == (17, 64, 64, 3)
