"""Box control: a small module beside a frozen DiT that draws its objects into boxes.

Boximator (Wang et al. 2024, arXiv 2402.01566): a token per box, MLP(Fourier(location, identity, hard or soft)), and in
every block, between self-attention and attention to the prompt, one more self-attention over the visual tokens of a
latent frame and the box tokens of that frame, of which the visual tokens alone are kept.

    x ─ norm ─ enter ─ + cell ─┬─ self-attention with the frame's box tokens ─ + ─ norm ─ mlp ─ + ─ leave ─ + x
    boxes ─ Fourier ─ mlp ─────┘

Four things are our own. The attention runs at a fraction of the DiT's width, so that a step costs a tenth more, not
half as much again. Tokens are told where they lie (`cell`): a DiT with rotary positions knows distances only. And what
a token sees of a box is told in the token's own terms (`relation`): how much of it the box covers, and where the box's
sides pass it. A token is many pixels wide; to find out from two positions in a Fourier basis where an edge cuts through
it takes ten thousands of steps. And a box may carry what its object is called, as in GLIGEN (Li et al. 2023, arXiv
2301.07093): the prompt says that there are a red cat and a blue fish, the name which of them goes here. `leave` starts
at zero, so that at first the module adds nothing, bit for bit.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.nouns import ModelError

WAVES = 8  # per scalar: frequencies 100^(k/8), k = 0 … 7, each as cosine and sine
SCALARS = 8  # x0, y0, x1, y1, the identity's red, green and blue, and 1 for hard or 0 for soft
# A batch of boxes is one tensor (B, t, N, 9), per latent frame: the scalars of each, and 1 where the slot holds a box.
RELATIONS = 7  # numbers that say what a token sees of a box
FEW = 1 << 18  # elements of the stream
COVERED = 4.0  # logit of a box that covers the whole token, at first

Hook = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ControlConfig:
    """dim and layers are the DiT's; objects is the most boxes in a frame; width that of the module's attention; text
    that of the embeddings that names come in, 0 for a module that hears no names. Below σ = until the DiT goes on by
    itself: things have their places, and a module trained beside a frozen DiT hardly goes so near the data."""

    dim: int
    layers: int
    objects: int = 8
    width: int = 64
    heads: int = 2
    hidden: int = 512
    text: int = 0
    until: float = 0.5

    def __post_init__(self) -> None:
        needed = [value for name, value in asdict(self).items() if name not in ("text", "until")]
        if min(needed) < 1 or self.text < 0 or self.width % self.heads or not 0 <= self.until <= 1:
            raise ModelError(f"box control: {self} needs numbers above 0, a width that its heads divide, and until "
                             "from 0 to 1")

    def to_json(self) -> dict[str, Any]:
        return {"_class_name": "BoxControl", **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ControlConfig:
        return cls(**{name: value for name, value in values.items() if not name.startswith("_")})


class BoxControl(nn.Module):
    """Box tokens and one gated attention per block of the DiT. `hooks` is what `DiT.forward` takes."""

    def __init__(self, config: ControlConfig) -> None:
        super().__init__()
        self.config = config
        widths = [2 * WAVES * SCALARS, *[config.hidden] * 3]
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.GELU())]
        self.embed = nn.Sequential(*hidden, nn.Linear(config.hidden, config.width))
        self.null = nn.Parameter(torch.zeros(config.width))
        self.layers = nn.ModuleList(BoxLayer(config) for _ in range(config.layers))

    def tokens(self, boxes: Tensor) -> Tensor:
        """boxes (B, t, N, 9) -> (B, t, N, width); a slot without a box has the learned null token."""
        assert boxes.shape[2] <= self.config.objects, (boxes.shape, self.config.objects)
        scalars, used = boxes[..., :SCALARS], boxes[..., SCALARS:] > 0
        return torch.where(used, self.embed(fourier(scalars)).float(), self.null)

    def hooks(self, boxes: Tensor, grid: tuple[int, int, int], names: Tensor | None = None) -> list[Hook]:
        """For every block the function of its stream x (B, n, dim), n = t·h·w tokens of the patched grid (t, h, w).

        boxes: (B, t, N, 9). names: (B, N, text), what the objects are; zeros say nothing.
        """
        assert boxes.shape[1] == grid[0], f"boxes for {boxes.shape[1]} latent frames of {grid[0]}"
        tokens = self.tokens(boxes)  # (B, t, N, width)
        places = cells(*grid[1:], boxes.device)  # (m, 4), m = h·w
        seen = relation(places, boxes).flatten(0, 1)  # (B·t, m, N, 7)
        if names is not None:
            names = F.layer_norm(names, names.shape[-1:]).repeat_interleave(boxes.shape[1], 0)  # (B·t, N, text)
        return [layer.hook(tokens, fourier(places), seen, names) for layer in self.layers]  # type: ignore[operator]


def without_boxes(boxes: Tensor) -> Tensor:
    """The same (…, N, 9) with every slot empty."""
    return torch.cat([boxes[..., :SCALARS], torch.zeros_like(boxes[..., SCALARS:])], dim=-1)


class BoxLayer(nn.Module):
    """One transformer layer at `width`, over a latent frame and its boxes, added to the DiT's stream."""

    def __init__(self, config: ControlConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.enter = nn.Linear(config.dim, width)
        self.cell = nn.Linear(2 * WAVES * 4, width)
        self.near = nn.Linear(RELATIONS, config.heads)
        self.view = nn.Linear(config.heads * RELATIONS, width)
        self.name = nn.Linear(config.text, width, bias=False) if config.text else None
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width))
        self.leave = nn.Linear(width, config.dim)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        if self.name is not None:
            nn.init.zeros_(self.name.weight)
        nn.init.zeros_(self.near.weight)
        nn.init.zeros_(self.near.bias)
        with torch.no_grad():
            self.near.weight[:, 0] = COVERED  # from the start a token looks at the boxes that cover it

    def hook(self, tokens: Tensor, where: Tensor, seen: Tensor, names: Tensor | None) -> Hook:
        """What this layer does to the stream, with all that is the same at every step of a sampler done once.

        tokens (B, t, N, width), where (m, 64), seen (B·t, m, N, 7), names (B·t, N, text).
        """
        _, keys, values = self._attended(tokens.flatten(0, 1))  # (B·t, heads, N, c) each
        nearness = self.near(seen).movedim(-1, 1)  # (B·t, heads, m, N)
        called = None if self.name is None or names is None else self.name(names)  # (B·t, N, width)
        return partial(self, cell=self.cell(where), keys=keys, values=values, nearness=nearness, seen=seen,
                       called=called)

    def forward(self, x: Tensor, cell: Tensor, keys: Tensor, values: Tensor, nearness: Tensor, seen: Tensor,
                called: Tensor | None) -> Tensor:
        """x (B, t·m, dim), cell (m, width), keys and values of the boxes (B·t, heads, N, c), nearness added to their
        logits (B·t, heads, m, N), seen (B·t, m, N, 7), called (B·t, N, width) -> (B, t·m, dim)."""
        # a CPU takes longer to cast the weights than to multiply a few hundred tokens by them
        with torch.autocast(x.device.type, enabled=torch.is_autocast_enabled(x.device.type) and x.numel() > FEW):
            return x + self._added(x, cell, keys, values, nearness, seen, called)

    def _added(self, x: Tensor, cell: Tensor, keys: Tensor, values: Tensor, nearness: Tensor, seen: Tensor,
               called: Tensor | None) -> Tensor:
        y = self.enter(F.layer_norm(x, x.shape[-1:])).view(-1, *cell.shape) + cell  # (B·t, m, width)
        q, k, v = self._attended(y)  # (B·t, heads, m, c) each
        logits = q @ torch.cat([k, keys.to(k.dtype)], dim=2).mT * q.shape[-1] ** -0.5  # (B·t, heads, m, m + N)
        weights = (logits.float() + F.pad(nearness.float(), (k.shape[2], 0))).softmax(-1)
        attended = weights.to(v.dtype) @ torch.cat([v, values.to(v.dtype)], dim=2)  # (B·t, heads, m, c)
        boxes = weights[..., k.shape[2] :].transpose(1, 2)  # (B·t, m, heads, N)
        told = (boxes @ seen).flatten(2)  # (B·t, m, heads·7)
        y = y + self.out(attended.transpose(1, 2).flatten(2)) + self.view(told)
        if called is not None:
            y = y + boxes.mean(2) @ called.to(boxes.dtype)
        y = y + self.mlp(F.layer_norm(y, y.shape[-1:]))
        added: Tensor = self.leave(y).float().view(x.shape)
        return added

    def _attended(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of tokens (b, n, width): (b, heads, n, c) each."""
        parts = self.qkv(F.layer_norm(y, y.shape[-1:]))
        q, k, v = rearrange(parts, "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        return q, k, v


def fourier(values: Tensor) -> Tensor:
    """cos and sin of values (…, s) at 100^(k/8), k = 0 … 7: (…, 16 s), fp32. Values lie in [0, 1]."""
    frequencies = 100.0 ** (torch.arange(WAVES, device=values.device) / WAVES)
    angles = values.float()[..., None] * frequencies  # (…, s, 8)
    return torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(-2)


def cells(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows · columns, 4): the box of every token of a frame, in reading order."""
    y, x = (torch.arange(n, device=device) / n for n in (rows, columns))
    top, left = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([left, top, left + 1 / columns, top + 1 / rows], dim=-1).view(-1, 4)


def relation(places: Tensor, boxes: Tensor) -> Tensor:
    """What each cell (m, 4) sees of each box (B, t, N, 9): (B, t, m, N, 7), all 0 for a slot without a box.

    The share of the cell that the box covers; the box's left, top, right and bottom side in widths and heights of the
    cell, from the cell's own left and top, held to [-1, 2]; and how far right of and below the cell's middle the box's
    middle lies, in shares of the frame.
    """
    sides = boxes[:, :, None, :, :4]  # (B, t, 1, N, 4)
    corner, extent = places[:, None, :2], places[:, None, 2:] - places[:, None, :2]  # (m, 1, 2)
    low, high = ((each - corner) / extent for each in (sides[..., :2], sides[..., 2:]))  # (B, t, m, N, 2)
    covered = (high.clamp(0, 1) - low.clamp(0, 1)).prod(-1, keepdim=True)  # (B, t, m, N, 1)
    offset = (sides[..., :2] + sides[..., 2:]) / 2 - corner - extent / 2  # (B, t, m, N, 2)
    features = torch.cat([covered, low.clamp(-1, 2), high.clamp(-1, 2), offset], dim=-1)
    return features * (boxes[:, :, None, :, SCALARS:] > 0)


def palette(n: int) -> list[tuple[float, float, float]]:
    """`n` colours that are told apart easily, RGB in [0, 1]: hues evenly spaced, light and dark in turn."""
    return [colorsys.hsv_to_rgb(k / n, 1.0, 1.0 if k % 2 == 0 else 0.6) for k in range(n)]

