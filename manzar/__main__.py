"""`python -m manzar` is `manzar`."""

from manzar.cli import main

main()
