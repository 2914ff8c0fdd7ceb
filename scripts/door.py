"""How a script ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from manzar.nouns import ManzarError


def run_script(main: Callable[[], int]) -> NoReturn:
    """Leave with main's exit code; an error that is the user's to see is one line and its own code, no traceback."""
    try:
        sys.exit(main())
    except ManzarError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
