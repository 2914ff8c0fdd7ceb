"""Muon for the hidden matrices, AdamW for the rest, and the schedule of both.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum, orthogonalised by a Newton–Schulz
iteration so that every direction of a matrix moves equally far. torch.optim.Muon takes 2-D parameters one by one;
this one also takes convolution kernels (flattened to out × rest) and orthogonalises matrices of one shape in one
batched product, which is what makes it affordable at widths of a few hundred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from manzar.device import pick_precision

NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic with the steepest slope at 0 (Jordan et al.)
NS_STEPS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly (singular values in about [0.7, 1.2]).  (k, m, n) → (k, m, n)

    In bf16 where the chip has it: a CPU without it takes forty times as long as for fp32.
    """
    a, b, c = NS_COEFFICIENTS
    x = matrices.to(torch.bfloat16 if pick_precision() == "bf16" else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(NS_STEPS):
        gram = x @ x.mT  # (k, m, m)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised. Step length lr · √max(1, rows / columns), as torch.optim.Muon's "original" rule."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "Muon re-evaluates nothing"
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[(p.shape[0], p[0].numel())].append(p)
            for (rows, columns), params in by_shape.items():
                self._step_shape(group, params, rows, columns)

    def _step_shape(self, group: dict[str, Any], params: list[nn.Parameter], rows: int, columns: int) -> None:
        for p in params:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        grads = [p.grad for p in params if p.grad is not None]
        momenta = [self.state[p]["momentum"] for p in params]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(grads, momenta, group["momentum"])
        update = orthogonalise(torch.stack([g.reshape(rows, columns) for g in nesterov]))  # (k, rows, columns)
        length = group["lr"] * max(1.0, rows / columns) ** 0.5
        if group["weight_decay"]:
            torch._foreach_mul_(list[Tensor](params), 1 - group["lr"] * group["weight_decay"])
        deltas = [u.view(p.shape).to(p.dtype) for u, p in zip(update, params, strict=True)]
        torch._foreach_add_(list[Tensor](params), deltas, alpha=-length)


class Optimiser:
    """Both optimisers as one; state is addressed by parameter name, so a checkpoint is a flat table of tensors."""

    def __init__(self, module: nn.Module, is_matrix: Callable[[str, nn.Parameter], bool], *,
                 muon_lr: float, adam_lr: float, weight_decay: float, rate: Callable[[str], float] = lambda _: 1.0):
        """is_matrix: which parameters Muon moves. rate: by parameter name, a factor on its learning rate."""
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names: dict[Tensor, str] = {p: name for name, p in named}
        groups: dict[tuple[bool, float], list[nn.Parameter]] = defaultdict(list)
        for name, p in named:
            groups[is_matrix(name, p), rate(name)].append(p)
        self.parts: list[torch.optim.Optimizer] = []
        for (matrices, factor), params in groups.items():
            if matrices:
                self.parts.append(Muon(params, muon_lr * factor, weight_decay=weight_decay))
            else:
                self.parts.append(torch.optim.AdamW(params, adam_lr * factor, betas=(0.9, 0.95),
                                                    weight_decay=weight_decay, foreach=True))
        self.base_lrs = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def step(self, scale: float) -> None:
        """One update with every learning rate times `scale`; gradients are cleared after it."""
        for part, base in zip(self.parts, self.base_lrs, strict=True):
            for group, lr in zip(part.param_groups, base, strict=True):
                group["lr"] = lr * scale
            part.step()
            part.zero_grad(set_to_none=True)

    def reset(self) -> None:
        """Forget all momentum, as if no step had been made."""
        for part in self.parts:
            part.state.clear()

    def state_tensors(self) -> dict[str, Tensor]:
        """{parameter name + "/" + slot: tensor}, complete."""
        return {f"{self.names[p]}/{slot}": value
                for part in self.parts for p, slots in part.state.items() for slot, value in slots.items()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        owner = {name: (part, p) for part in self.parts for group in part.param_groups
                 for p in group["params"] for name in [self.names[p]]}
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            part, p = owner[name]
            # AdamW keeps its step count on the CPU
            part.state[p][slot] = value.clone() if value.ndim == 0 else value.clone().to(p.device)


def rate_scale(step: int, progress: float, warmup: int, cooldown: float) -> float:
    """Trapezoid: linear up over `warmup` steps, flat, linear to zero over the last `cooldown` share of the run."""
    up = min(1.0, (step + 1) / warmup) if warmup else 1.0
    down = min(1.0, (1.0 - progress) / cooldown) if cooldown else 1.0
    return up * max(0.0, down)
