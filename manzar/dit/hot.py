"""The chains of small operations that a CPU spends its time on, with their derivatives written out by hand.

On a chip with fast bf16 matrix products the linears are the cheap part. What remains is memory traffic, and three
operators whose CPU kernels are slow: the backward of scaled_dot_product_attention (five times the cost of the same
matrix products), tanh-GELU in bf16, and RMS norm + rotation as some thirty separate passes. Each function here works
through its input in slices that stay in the cache. In fp32 all agree with the plain formula to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SLICE = 2**17  # elements of a working slice: 512 KB in fp32, within two cores' second-level caches
SCORES = 2**21  # attention scores held at once in the backward pass
SHORT = 512  # keys up to which plain matrix products beat torch's own attention backward (four times at 80 x 80)


def slices(length: int, elements_each: int, budget: int, device: torch.device) -> Iterator[slice]:
    """Cut `length` rows of `elements_each` into pieces of about `budget` elements; an accelerator takes all at once."""
    step = length if device.type != "cpu" else max(1, budget // max(1, elements_each))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


class _NormRotate(torch.autograd.Function):
    """y = turn · (w · x̂) with x̂ = x·r, r = 1/√(mean x² + ε): RMS norm over the channels, then rotary positions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, turn: Tensor | None) -> Tensor:
        batch, n, dim = x.shape
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        inverse = torch.empty(batch, n, 1, dtype=torch.float32, device=x.device)
        for part in slices(n, batch * dim, SLICE, x.device):
            y = x[:, part].float()  # (B, m, dim)
            power = torch.linalg.vector_norm(y, dim=-1, keepdim=True).square_()  # (B, m, 1)
            inverse[:, part] = r = power.div_(dim).add_(eps).rsqrt_()
            y = (y * r).mul_(weight)
            out[:, part] = y if turn is None else turned(y, turn[part])
        ctx.save_for_backward(x, weight, inverse, turn)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, inverse, turn = ctx.saved_tensors
        batch, n, dim = x.shape
        grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        grad_weight = torch.zeros_like(weight)
        for part in slices(n, batch * dim, SLICE, x.device):
            g = grad[:, part].float()  # (B, m, dim)
            if turn is not None:
                g = turned(g, turn[part].conj())  # a rotation's transpose turns back
            r = inverse[:, part]
            normal = x[:, part].float() * r  # (B, m, dim)
            product = g * normal
            grad_weight += product.sum((0, 1))
            along = (product @ weight).unsqueeze(-1).div_(dim)  # (B, m, 1): the part of the gradient along x̂
            grad_x[:, part] = (g * weight).addcmul_(normal, along, value=-1).mul_(r)
        return grad_x, grad_weight, None, None


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of x (B, n, dim), fp32, by complex `turn` (n, dim / 2)."""
    return torch.view_as_real(torch.view_as_complex(x.view(*x.shape[:-1], -1, 2)) * turn).flatten(-2)


def norm_rotate(x: Tensor, weight: Tensor, eps: float, turn: Tensor | None = None) -> Tensor:
    """RMS-normalise x (B, n, dim) over dim, times weight (dim), turned by `turn` (n, dim / 2) if given; fp32 inside."""
    out: Tensor = _NormRotate.apply(x, weight, eps, turn)  # type: ignore[no-untyped-call]
    return out


class _Gelu(torch.autograd.Function):
    """x·σ(2u), u = √(2/π)·(x + 0.044715 x³), which is the tanh form; its derivative is kept in place of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        slope = torch.empty_like(out) if ctx.needs_input_grad[0] else None
        flat = x.reshape(-1)
        cube, root = 0.044715, 2 * math.sqrt(2 / math.pi)
        for part in slices(flat.numel(), 1, SLICE, x.device):
            v = flat[part].float()
            square = v * v
            s = torch.addcmul(v, v, square, value=cube).mul_(root).sigmoid_()
            y = v.mul_(s)
            out.view(-1)[part] = y
            if slope is not None:  # s + y (1 − s) d(2u)/dx
                inner = square.mul_(3 * cube * root).add_(root)
                slope.view(-1)[part] = torch.addcmul(y, y, s, value=-1).mul_(inner).add_(s)
        if slope is not None:
            ctx.save_for_backward(slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        slope: Tensor = ctx.saved_tensors[0]
        return grad * slope


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form (Hendrycks & Gimpel, arXiv 1606.08415)."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        out: Tensor = _Gelu.apply(x)  # type: ignore[no-untyped-call]
        return out
    return F.gelu(x, approximate="tanh")


class _Modulate(torch.autograd.Function):
    """Layer norm, then x̂·(1 + scale) + shift; the result in the format that the linear after it wants."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        normal, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, eps)  # (B, n, dim)
        ctx.save_for_backward(x, normal, mean, inverse, scale)
        return torch.addcmul(shift, normal, 1 + scale).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, normal, mean, inverse, scale = ctx.saved_tensors
        grad = grad.float()  # (B, n, dim)
        grad_shift = grad.sum_to_size(scale.shape)
        grad_scale = (grad * normal).sum_to_size(scale.shape)
        parts = (True, False, False)
        grad_x = torch.ops.aten.native_layer_norm_backward(
            grad * (1 + scale), x, x.shape[-1:], mean, inverse, None, None, parts
        )[0]
        return grad_x, grad_shift, grad_scale, None, None


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Layer norm of x (B, n, dim), then x·(1 + scale) + shift with both (B, 1 or n, dim): AdaLN, arXiv 2212.09748.

    fp32 inside; out in autocast's format where that is on.
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    out: Tensor = _Modulate.apply(x, shift, scale, eps, dtype)  # type: ignore[no-untyped-call]
    return out


class _Gate(torch.autograd.Function):
    """x + y·gate, keeping y in its own narrow format for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(y, gate)
        return torch.addcmul(x, y.float(), gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, gate = ctx.saved_tensors
        return grad, (grad * gate).to(y.dtype), (grad * y.float()).sum_to_size(gate.shape)


def gate(x: Tensor, y: Tensor, amount: Tensor) -> Tensor:
    """The stream x (B, n, dim), fp32, plus a branch y (B, n, dim) times `amount` (B, 1 or n, dim)."""
    out: Tensor = _Gate.apply(x, y, amount)  # type: ignore[no-untyped-call]
    return out


class _Attend(torch.autograd.Function):
    """softmax(q kᵀ/√c + bias) v: torch's kernel forward; backward by matrix products over slices of the queries."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, k, v, bias)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, bias = ctx.saved_tensors
        batch, heads, n, c = q.shape
        m, scale = k.shape[2], c**-0.5
        q, k, v, grad = (x.reshape(batch * heads, -1, c) for x in (q, k, v, grad))  # (B·heads, n or m, c)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        added = k.new_zeros(1, 1, 1) if bias is None else bias.expand(batch, heads, 1, m).reshape(batch * heads, 1, m)
        for part in slices(n, batch * heads * m, SCORES, q.device):
            g = grad[:, part]
            p = torch.baddbmm(added, q[:, part], k.transpose(1, 2), alpha=scale).softmax(-1)  # (B·heads, s, m)
            grad_v.baddbmm_(p.transpose(1, 2), g)
            grad_p = torch.bmm(g, v.transpose(1, 2))  # (B·heads, s, m)
            score = torch._softmax_backward_data(grad_p, p, -1, p.dtype)
            grad_q[:, part] = torch.bmm(score, k).mul_(scale)
            grad_k.baddbmm_(score.transpose(1, 2), q[:, part], alpha=scale)
        return *(x.view(batch, heads, -1, c) for x in (grad_q, grad_k, grad_v)), None  # type: ignore[return-value]


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """q (B, heads, n, c), k and v (B, heads, m, c), bias (B or 1, 1, 1, m) on the logits -> (B, heads, n, c)."""
    if q.device.type == "cpu" and torch.is_grad_enabled() and k.shape[2] <= SHORT:
        out: Tensor = _Attend.apply(q, k, v, bias)  # type: ignore[no-untyped-call]
        return out
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
