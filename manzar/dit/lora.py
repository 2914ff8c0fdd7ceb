"""Low-rank adapters: y = W x + (α / r) B A x with W frozen (Hu et al., arXiv 2106.09685, eq. 3).

Files hold PEFT's key layout, `transformer.blocks.0.attn1.to_q.lora_A.weight`, and no α: diffusers then takes α = r,
that is a factor of one. So the factor is multiplied into B when tensors leave, and what stock diffusers computes from
the file is what was trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manzar.dit.blocks import Linear
from manzar.dit.dit import DiT
from manzar.nouns import ModelError, SettingError

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
PREFIX = "transformer."


class Adapter(nn.Module):
    """The low-rank branch of one linear; zero at first because B is."""

    def __init__(self, linear: Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.factor = alpha / rank
        device = linear.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, linear.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        nn.init.normal_(self.lora_A, std=linear.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.lora_A), self.lora_B * self.factor)  # (B, n, out)


def add_lora(dit: DiT, rank: int, alpha: float | None = None, targets: Collection[str] = TARGETS) -> list[nn.Parameter]:
    """Freeze `dit` and hang an adapter on every linear of its blocks whose name ends in one of `targets`.

    `alpha` None means `rank`, a factor of one. Returns the new parameters, the only ones that need a gradient.
    Raises SettingError for a rank below one, an unknown target or a second call.
    """
    if rank < 1:
        raise SettingError(f"LoRA rank {rank}: it must be at least 1")
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise SettingError(f"LoRA target {unknown[0] if unknown else '(none)'}: choose among {', '.join(TARGETS)}")
    if _adapters(dit):
        raise SettingError("this transformer has LoRA adapters already; merge them with merge_lora before adding more")
    dit.requires_grad_(False)
    for name, linear in _linears(dit).items():
        if name.endswith(tuple(f".{target}" for target in targets)):
            linear.adapter = Adapter(linear, rank, rank if alpha is None else alpha)
    return [parameter for adapter in _adapters(dit).values() for parameter in adapter.parameters()]


def lora_tensors(dit: DiT) -> dict[str, Tensor]:
    """The adapters as `WanPipeline.load_lora_weights` reads them, the factor α / r multiplied into B."""
    tensors = {}
    for name, adapter in _adapters(dit).items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = adapter.lora_A.detach().clone()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = adapter.lora_B.detach() * adapter.factor
    return tensors


def load_lora(dit: DiT, tensors: Mapping[str, Tensor]) -> list[nn.Parameter]:
    """Freeze `dit` and hang the adapters of a file on it; ranks may differ from linear to linear.

    Returns their parameters. Raises ModelError for a tensor that fits nowhere or lacks its partner, before any change.
    """
    linears = _linears(dit)
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.removeprefix(PREFIX).rpartition(".lora_")
        if part not in ("A.weight", "B.weight") or name not in linears:
            raise ModelError(f"LoRA tensor {key} belongs to no linear of this transformer")
        pairs.setdefault(name, {})[part[0]] = tensor
    for name, pair in pairs.items():
        linear = linears[name]
        if pair.keys() != {"A", "B"}:
            raise ModelError(f"LoRA for {name}: lora_{'B' if 'A' in pair else 'A'} is missing")
        rank = len(pair["A"])
        expected = (rank, linear.in_features), (linear.out_features, rank)
        if (tuple(pair["A"].shape), tuple(pair["B"].shape)) != expected:
            raise ModelError(
                f"LoRA for {name}: shapes {tuple(pair['A'].shape)} and {tuple(pair['B'].shape)} do not fit; "
                f"{expected[0]} and {expected[1]} would"
            )
    if _adapters(dit):
        raise ModelError("this transformer has LoRA adapters already; merge them with merge_lora before loading more")
    dit.requires_grad_(False)
    for name, pair in pairs.items():
        adapter = Adapter(linears[name], len(pair["A"]), len(pair["A"]))
        with torch.no_grad():
            adapter.lora_A.copy_(pair["A"])
            adapter.lora_B.copy_(pair["B"])
        linears[name].adapter = adapter
    return [parameter for adapter in _adapters(dit).values() for parameter in adapter.parameters()]


@torch.no_grad()
def merge_lora(dit: DiT) -> None:
    """Add every adapter's product to its linear and take the adapter away; all weights are trainable again."""
    for name, adapter in _adapters(dit).items():
        linear = _linears(dit)[name]
        linear.weight += (adapter.factor * adapter.lora_B @ adapter.lora_A).to(linear.weight.dtype)
        linear.adapter = None
    dit.requires_grad_(True)


def _linears(dit: DiT) -> dict[str, Linear]:
    """The linears of the blocks, by their name in the transformer."""
    return {f"blocks.{name}": module for name, module in dit.blocks.named_modules() if isinstance(module, Linear)}


def _adapters(dit: DiT) -> dict[str, Adapter]:
    return {name: linear.adapter for name, linear in _linears(dit).items() if isinstance(linear.adapter, Adapter)}
