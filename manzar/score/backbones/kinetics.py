"""The 400 action classes of Kinetics-400, in the order of a classifier's logits.

Kay et al. 2017, "The Kinetics Human Action Video Dataset", arXiv 1705.06950. The order is that of UMT's released
checkpoints, which VBench uses; it is not alphabetical.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

NAMES = Path(__file__).parents[1] / "vbench" / "kinetics_400.txt"


@cache
def classes() -> tuple[str, ...]:
    """Names in lower case, as prompts are compared with them; place = index of the logit."""
    names = tuple(NAMES.read_text(encoding="utf-8").lower().splitlines())
    assert len(set(names)) == len(names) == 400, f"{NAMES} holds {len(names)} lines, {len(set(names))} different; 400"
    return names
