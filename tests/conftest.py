"""What every test runs under: a home of its own for what commands keep between calls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Films are signed with a certificate that is made once and kept; tests keep theirs to themselves."""
    place, before = tmp_path_factory.mktemp("home"), os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(place)
    yield place
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before
