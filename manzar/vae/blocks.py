"""Parts of the video autoencoder, each over a whole clip at once.

A published decoder walks a clip one latent frame at a time and carries what each convolution has seen. The same numbers
come from one pass over the clip when each part states its own rule about time:

    CausalConv3d   sees itself and the two frames before it; before the clip there is nothing (zeros)
    Downsample     the first frame stays alone; every pair after it becomes one frame, looking one frame back
    Upsample       the first frame stays alone; every later frame becomes two, made without sight of the first
    AverageDown    as Downsample, with a black frame in front to make up the first pair
    RepeatUp       every frame becomes `time`, less the first `time − 1` of the clip

A clip that comes piece by piece goes through the same parts with a `Past`: what lies before a piece is then what the
part saw last, and the rules for the first frame hold in the first piece alone.

Module and parameter names are those of diffusers' `AutoencoderKLWan`. Activations lie channels-last in memory, so that
folding time into the batch (`fold`) costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.nouns import ModelError


@dataclass
class Past:
    """What a network has seen of a clip that comes piece by piece; where None stands for it, the clip comes whole.

    `begun` says whether a piece went before; `seen` holds the last frames that each part which looks back was given.
    """

    begun: bool = False
    seen: dict[nn.Module, Tensor] = field(default_factory=dict)

    def recall(self, part: nn.Module, x: Tensor, count: int) -> None:
        """Fill the first `count` frames of x with the last that `part` saw, if any, and remember the last of x."""
        if part in self.seen:
            x[:, :, :count] = self.seen[part]
        self.seen[part] = x[:, :, -count:].clone()  # a view would keep all of x


def begins(past: Past | None) -> bool:
    """Whether the clip's first frame is in this piece."""
    return past is None or not past.begun


def fold(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B·T, C, H, W)"""
    return x.transpose(1, 2).flatten(0, 1)


def unfold(x: Tensor, batch: int) -> Tensor:
    """(B·T, C, H, W) -> (B, C, T, H, W)"""
    video: Tensor = rearrange(x, "(b t) c h w -> b c t h w", b=batch)
    return video


class RMSNorm(nn.Module):
    """Each position divided by the root mean square of its channels, times a gain; the mean square in fp32."""

    def __init__(self, dim: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(inverse_rms(x)).mul(self.gamma.to(x.dtype))


def inverse_rms(x: Tensor) -> Tensor:
    """(B, C, ...) -> (B, 1, ...): one over the root mean square of the channels; 0 where all of them are 0."""
    wide = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):  # autocast would first copy all of x to fp32
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide)
        r: Tensor = x.shape[1] ** 0.5 / norm
        return r.masked_fill(norm < 1e-12, 0).to(x.dtype)


class NormSilu(torch.autograd.Function):
    """silu(rms_norm(x) · γ) written behind `history` black frames, ready for a causal convolution.

    (B, C, T, H, W) -> (B, C, history + T, H, W). One function so that forward makes four passes over memory and no
    padded copy, and backward keeps only x. With n = x·r, u = γ·n, r = 1/rms(x) the gradient is
    dx = r · (dn − n · mean over channels of (n · dn)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, history: int) -> Tensor:
        r = inverse_rms(x)
        b, c, t, h, w = x.shape
        padded = x.new_empty(b, history + t, h, w, c).permute(0, 4, 1, 2, 3)
        padded[:, :, :history] = 0
        y = padded[:, :, history:]
        torch.mul(x, r, out=y).mul_(gamma.to(x.dtype))
        F.silu(y, inplace=True)
        ctx.save_for_backward(x, r, gamma)
        ctx.history = history
        return padded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, r, gamma = ctx.saved_tensors
        gain = gamma.to(x.dtype)
        n = x * r
        du = torch.ops.aten.silu_backward(grads[0][:, :, ctx.history :], n * gain)
        ndu = n * du
        dgamma = ndu.sum((0, 2, 3, 4), dtype=gamma.dtype).view_as(gamma)
        mean = ndu.mul_(gain).mean(1, keepdim=True)
        dx = du.mul_(gain).sub_(n.mul_(mean)).mul_(r)
        return dx, dgamma, None


class CausalConv3d(nn.Conv3d):
    """A convolution that keeps H and W and, in time, looks back only."""

    def __init__(self, dim_in: int, dim_out: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(dim_in, dim_out, kernel)

    def history(self, x: Tensor, past: Past | None = None) -> int:
        """How many black frames belong in front of x. None for an image, whose past would multiply out to nothing."""
        return self.kernel_size[0] - 1 if x.shape[2] > 1 or past is not None else 0

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        history = self.history(x, past)
        return self.convolve(F.pad(x, (0, 0, 0, 0, history, 0)) if history else x, past)

    def convolve(self, x: Tensor, past: Past | None = None) -> Tensor:
        """x with its history in front: (B, C, history + T, H, W) -> (B, dim_out, T, H, W)."""
        if past is not None and self.kernel_size[0] > 1:
            past.recall(self, x, self.kernel_size[0] - 1)
        weight = self.weight if x.shape[2] >= self.kernel_size[0] else self.weight[:, :, -1:]
        return F.conv3d(x, weight, self.bias, padding=(0, self.kernel_size[1] // 2, self.kernel_size[2] // 2))


def norm_silu_conv(
    norm: RMSNorm, conv: CausalConv3d, x: Tensor, past: Past | None = None, dropout: float = 0.0
) -> Tensor:
    """silu(norm(x)), dropped out, convolved: (B, C, T, H, W) -> (B, C', T, H, W)."""
    y: Tensor = NormSilu.apply(x, norm.gamma, conv.history(x, past))  # type: ignore[no-untyped-call]
    return conv.convolve(F.dropout(y, dropout) if dropout else y, past)


class ResidualBlock(nn.Module):
    def __init__(self, dim_in: int, dim_out: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm1 = RMSNorm(dim_in)
        self.conv1 = CausalConv3d(dim_in, dim_out, (3, 3, 3))
        self.norm2 = RMSNorm(dim_out)
        self.conv2 = CausalConv3d(dim_out, dim_out, (3, 3, 3))
        self.conv_shortcut = CausalConv3d(dim_in, dim_out, (1, 1, 1)) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        y = norm_silu_conv(self.norm1, self.conv1, x, past)  # (B, C, T, H, W)
        y = norm_silu_conv(self.norm2, self.conv2, y, past, self.dropout if self.training else 0.0)
        return cast(Tensor, self.conv_shortcut(x) + y)


class Attention(nn.Module):
    """One head of self-attention among the positions of each frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim, axes=2)
        self.to_qkv = nn.Conv2d(dim, dim * 3, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        frames = fold(x)  # (B·T, C, H, W)
        qkv = rearrange(self.to_qkv(self.norm(frames)), "n c h w -> n 1 (h w) c")  # (B·T, 1, H·W, 3C)
        y = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))  # (B·T, 1, H·W, C)
        y = self.proj(rearrange(y, "n 1 (h w) c -> n c h w", h=x.shape[3]))
        return x + unfold(y, len(x))


class MidBlock(nn.Module):
    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(dim)])
        self.resnets = nn.ModuleList([ResidualBlock(dim, dim, dropout) for _ in range(2)])

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        return cast(Tensor, self.resnets[1](self.attentions[0](self.resnets[0](x, past)), past))


class Downsample(nn.Module):
    """Halves H and W, and after that T where `time` is set: (B, C, 1 + 2k, H, W) -> (B, C, 1 + k, H/2, W/2)."""

    def __init__(self, dim: int, time: bool) -> None:
        super().__init__()
        # Index 1, as in the stock class, whose index 0 is the padding below and to the right.
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2))
        self.time_conv = nn.Conv3d(dim, dim, (3, 1, 1), stride=(2, 1, 1)) if time else None

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        x = unfold(self.resample(fold(x)), len(x))  # (B, C, T, H/2, W/2)
        if self.time_conv is None:
            return x
        if not begins(past):
            x = F.pad(x, (0, 0, 0, 0, 1, 0))  # room for the frame before
        if past is not None:
            past.recall(self, x, 1)
        if not begins(past):
            return cast(Tensor, self.time_conv(x))
        return torch.cat([x[:, :, :1], self.time_conv(x)], dim=2) if x.shape[2] > 1 else x


class Upsample(nn.Module):
    """Doubles T where `time` is set, and after that H and W: (B, C, 1 + k, H, W) -> (B, dim_out, 1 + 2k, 2H, 2W)."""

    def __init__(self, dim: int, dim_out: int, time: bool) -> None:
        super().__init__()
        # Index 1, as in the stock class, whose index 0 repeats pixels; see `double_conv`.
        self.resample = nn.Sequential(nn.Identity(), nn.Conv2d(dim, dim_out, 3, padding=1))
        self.time_conv = CausalConv3d(dim, 2 * dim, (3, 1, 1)) if time else None

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        alone = int(begins(past))  # how many frames stay as they are
        if self.time_conv is not None and x.shape[2] > alone:
            later = rearrange(self.time_conv(x[:, :, alone:], past), "b (two c) k h w -> b c (k two) h w", two=2)
            x = torch.cat([x[:, :, :alone], later], dim=2) if alone else later
        return unfold(double_conv(fold(x), cast(nn.Conv2d, self.resample[1])), len(x))


def double_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Repeat every pixel twice both ways, then a 3×3 convolution: (N, C, H, W) -> (N, C', 2H, 2W).

    The two together are a transposed convolution of stride 2 whose 4×4 kernel is the 3×3 one convolved with a 2×2 box:
    4 products per output instead of 9, and the enlarged frames never exist.
    """
    padded = F.pad(conv.weight, (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    kernel = rows[..., 1:] + rows[..., :-1]  # (C', C, 4, 4)
    return F.conv_transpose2d(x, kernel.flip(2, 3).transpose(0, 1), conv.bias, stride=2, padding=1)


class AverageDown(nn.Module):
    """The shortcut going down: blocks of `time` × `side` × `side` folded into channels, neighbouring channels averaged.

    Written as the strided convolution it is, with fixed weights.
    """

    def __init__(self, dim_in: int, dim_out: int, time: int, side: int) -> None:
        super().__init__()
        group, rest = divmod(dim_in * time * side * side, dim_out)
        if rest:
            raise ModelError(
                f"{dim_in} channels in blocks of {time}x{side}x{side} cannot be averaged into {dim_out} channels; "
                "choose dim_mult so that no level grows more than its halving allows"
            )
        self.shape, self.group = (dim_out, dim_in, time, side, side), group

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        dim_out, _, time, side, _ = self.shape
        share = torch.eye(dim_out, device=x.device, dtype=x.dtype).repeat_interleave(self.group, 1) / self.group
        # A black frame on both sides: the one in front completes the first pair, the one behind pairs with nothing.
        black = time - 1 if begins(past) else 0
        return F.conv3d(x, share.view(self.shape), stride=(time, side, side), padding=(black, 0, 0))


class RepeatUp(nn.Module):
    """The shortcut going up: channels repeated, then unfolded into blocks of `time` × `side` × `side`."""

    def __init__(self, dim_in: int, dim_out: int, time: int, side: int) -> None:
        super().__init__()
        repeats, rest = divmod(dim_out * time * side * side, dim_in)
        if rest:
            raise ModelError(f"{dim_in} channels cannot be repeated into {dim_out} in blocks of {time}x{side}x{side}")
        self.shape, self.repeats = (dim_in, dim_out, time, side, side), repeats

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        dim_in, _, time, side, _ = self.shape
        share = torch.eye(dim_in, device=x.device, dtype=x.dtype).repeat_interleave(self.repeats, 1)
        y = F.conv_transpose3d(x, share.view(self.shape), stride=(time, side, side))
        return y[:, :, time - 1 :] if begins(past) else y
