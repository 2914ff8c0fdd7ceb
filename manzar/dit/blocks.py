"""One block of the spacetime transformer and the layers it is made of; parameter names are the stock class's.

x ─ norm ─ modulate ─ self-attention ─ gate ─ + ─ norm ─ cross-attention ─ + ─ norm ─ modulate ─ mlp ─ gate ─ + ─
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manzar.dit.hot import attend, gate, gelu, modulate, norm_rotate


class Linear(nn.Linear):
    """A linear layer that a low-rank adapter can be hung on (see lora.py) without changing its own parameter names."""

    adapter: nn.Module | None

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.adapter = None

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        return y if self.adapter is None else y + self.adapter(x)


def project(x: Tensor, *linears: Linear) -> tuple[Tensor, ...]:
    """Several linears of the same input as one matrix product: reads `x` once and fills the chip better."""
    weight = torch.cat([linear.weight for linear in linears])
    bias = torch.cat([linear.bias for linear in linears])
    parts = torch.split(F.linear(x, weight, bias), [linear.out_features for linear in linears], dim=-1)
    return tuple(
        part if linear.adapter is None else part + linear.adapter(x)
        for part, linear in zip(parts, linears, strict=True)
    )


class Attention(nn.Module):
    """Multi-head attention with queries and keys RMS-normalised across all heads together."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.eps = eps
        self.to_q = Linear(dim, dim)
        self.to_k = Linear(dim, dim)
        self.to_v = Linear(dim, dim)
        self.to_out = nn.ModuleList([Linear(dim, dim)])
        self.norm_q = nn.RMSNorm(dim, eps=eps)
        self.norm_k = nn.RMSNorm(dim, eps=eps)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """q (B, n, dim), k and v (B, m, dim), bias (B or 1, 1, 1, m) added to the logits -> (B, n, dim)."""
        q, k, v = (x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (q, k, v))  # (B, heads, n or m, c)
        x = attend(q, k, v, None if bias is None else bias.to(q.dtype))  # (B, heads, n, c)
        out: Tensor = self.to_out[0](x.transpose(1, 2).flatten(2))  # (B, n, dim)
        return out


class SelfAttention(Attention):
    """Every token looks at every token of its own video."""

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        """x (B, n, dim), turn (n, dim/2) complex -> (B, n, dim)."""
        q, k, v = project(x, self.to_q, self.to_k, self.to_v)  # (B, n, dim) each
        q = norm_rotate(q, self.norm_q.weight, self.eps, turn)  # (B, n, dim)
        k = norm_rotate(k, self.norm_k.weight, self.eps, turn)  # (B, n, dim)
        return self.attend(q, k, v)


class CrossAttention(Attention):
    """Every token looks at the prompt."""

    def keys(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, L, dim) of an embedded prompt (B, L, dim); the same at every denoising step."""
        k, v = project(text, self.to_k, self.to_v)  # (B, L, dim) each
        return norm_rotate(k, self.norm_k.weight, self.eps), v

    def forward(self, x: Tensor, keys: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """x (B, n, dim), keys from `keys`, bias (B or 1, 1, 1, L) added to the logits -> (B, n, dim)."""
        q = norm_rotate(self.to_q(x), self.norm_q.weight, self.eps)  # (B, n, dim)
        return self.attend(q, *keys, bias)


class Projection(nn.Module):
    """The first half of the feed-forward; a module only so that its weights are called `net.0.proj`."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.proj = Linear(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(self.proj(x))


class FeedForward(nn.Module):
    """Two linears with a GELU between, the same for every token."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([Projection(dim, hidden), nn.Identity(), Linear(hidden, dim)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))  # (B, n, dim)
        return out


class Block(nn.Module):
    """Self-attention, attention to the prompt, feed-forward; the first and last modulated and gated by the noise level.

    The stream `x` stays fp32 under autocast too: sums of many small updates keep their digits, and there are fewer
    casts to pay for than with a bf16 stream that every norm has to widen.
    """

    def __init__(self, dim: int, heads: int, hidden: int, *, eps: float, cross_attn_norm: bool) -> None:
        super().__init__()
        self.eps = eps
        self.attn1 = SelfAttention(dim, heads, eps)
        self.attn2 = CrossAttention(dim, heads, eps)
        self.norm2 = nn.LayerNorm(dim, eps) if cross_attn_norm else nn.Identity()
        self.ffn = FeedForward(dim, hidden)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, dim))

    def modulation(self, time: Tensor, token: Tensor | None) -> tuple[Tensor, ...]:
        """Shift, scale and gate of both modulated branches from `time` (U, 6, dim), fp32.

        One row per sample gives (B, 1, dim) each; with `token` (B, n), the row of every token, (B, n, dim) each.
        """
        table = self.scale_shift_table + time  # (U, 6, dim)
        if token is None:
            return table.chunk(6, dim=1)
        return tuple(F.embedding(token, rows) for rows in table.unbind(1))

    def forward(
        self,
        x: Tensor,
        keys: Tensor | tuple[Tensor, Tensor],
        bias: Tensor | None,
        time: Tensor,
        token: Tensor | None,
        turn: Tensor,
        control: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """x (B, n, dim) -> (B, n, dim); `keys` is the embedded prompt (B, L, dim) or what `attn2.keys` made of it.

        control: what a module beside the transformer makes of the stream after self-attention.
        """
        shift_1, scale_1, gate_1, shift_3, scale_3, gate_3 = self.modulation(time, token)
        y = self.attn1(modulate(x, shift_1, scale_1, self.eps), turn)  # (B, n, dim)
        x = gate(x, y, gate_1)  # (B, n, dim)
        if control is not None:
            x = control(x)  # (B, n, dim)

        if isinstance(keys, Tensor):
            keys = self.attn2.keys(keys)
        x = x + self.attn2(self.norm2(x), keys, bias).float()  # (B, n, dim)

        y = self.ffn(modulate(x, shift_3, scale_3, self.eps))  # (B, n, dim)
        return gate(x, y, gate_3)  # (B, n, dim)
