"""A checkpoint is one file, complete and atomic: weights, averages, optimiser and position.

One safetensors file means one rename: at every moment the disk holds the old checkpoint or the new one, whole.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from manzar.nouns import TrainingError
from manzar.train.ema import Ema
from manzar.train.optimiser import Optimiser
from manzar.weights import read_metadata, read_tensors, write_tensors

NAME = "checkpoint.safetensors"


@dataclass
class Position:
    """How far a run has come. `seconds` is time spent on it over all its sittings."""

    step: int = 0
    samples_seen: int = 0
    seconds: float = 0.0
    loss: float = float("nan")


def save(run: Path, kind: str, position: Position, module: nn.Module, ema: Ema, optimiser: Optimiser) -> None:
    """Write everything that a run needs to go on; `kind` is the recipe and a hash of what it trains on."""
    tables: dict[str, dict[str, Tensor]] = {
        "weights": {name: p for name, p in module.named_parameters() if p.requires_grad},
        "ema": ema.tensors(),
        "optimiser": optimiser.state_tensors(),
    }
    flat = {f"{table}:{name}": tensor for table, named in tables.items() for name, tensor in named.items()}
    metadata = {"kind": kind, "position": json.dumps(asdict(position))}
    write_tensors(run / NAME, flat, metadata)


def load(run: Path, kind: str, module: nn.Module, ema: Ema, optimiser: Optimiser) -> Position:
    """Restore everything in place. Raises TrainingError if the run was of another kind or on other data."""
    path = run / NAME
    if not path.is_file():
        raise TrainingError(f"{run} has no {NAME} to resume from; start it without --resume")
    tensors = read_tensors(path)
    metadata = read_metadata(path)
    if metadata.get("kind") != kind:
        raise TrainingError(f"{path} was made from other data or another source than are there now "
                            f"({metadata.get('kind')} then, {kind} now), so it cannot go on as it began; "
                            f"put them back, or start a new run")
    stored: dict[str, dict[str, Tensor]] = {"weights": {}, "ema": {}, "optimiser": {}}
    for key, tensor in tensors.items():
        table, _, name = key.partition(":")
        stored[table][name] = tensor
    live = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if live.keys() != stored["weights"].keys():
        odd = sorted(live.keys() ^ stored["weights"].keys())[0]
        raise TrainingError(f"{path} does not fit this model: tensor {odd}; were the settings changed?")
    for name, p in live.items():
        p.data.copy_(stored["weights"][name])
    ema.load_tensors(stored["ema"])
    optimiser.load_state_tensors(stored["optimiser"])
    return Position(**json.loads(metadata["position"]))
