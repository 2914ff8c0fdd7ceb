"""A task for worker processes, in a module that imports next to nothing."""

from __future__ import annotations

import os
import signal


def square_or_die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 3:
        raise ValueError("three")
    return number * number
