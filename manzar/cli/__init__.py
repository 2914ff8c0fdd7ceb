"""The command line: one command per verb, in one file per group of them. They parse, call and print; whatever is heavy
is imported by the command that needs it, so that `manzar --help` answers at once."""

from __future__ import annotations

from manzar.cli import (  # noqa: F401  (their order is that of the help)
    footage,
    models,
    provenance,
    scores,
    serving,
    this_machine,
)
from manzar.cli.talk import app, fail
from manzar.nouns import ManzarError


def main() -> None:
    """Entry point: whatever a user can meet becomes one line and an exit code."""
    try:
        app()
    except ManzarError as error:
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed here; pip install 'manzar[data,hf]' brings all that a command may need", 1)
    except OSError as error:
        fail(str(error), 1)
