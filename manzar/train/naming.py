"""Half-way through the transformer every token is asked which object it is part of: what it is called, and how far it
is to that object's four sides.

The denoising loss alone is slow to teach what the words of a prompt have to do with places in a picture. Where a data
set says where its objects are and what they are called, a linear head asks for just that, less and less as the learning
rates fall, and is thrown away when the training is over.

Deep supervision: Lee et al. 2015 (arXiv 1409.5185). Of a diffusion transformer's middle, by another network's features:
REPA, Yu et al. 2025 (arXiv 2410.06940). Distances to the sides: FCOS, Tian et al. 2019 (arXiv 1904.01355).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manzar.boxes.control import Hook
from manzar.boxes.tracks import hard_latent, lined
from manzar.dit import DiTConfig
from manzar.train.box_clips import held
from manzar.train.data import Clips
from manzar.train.latents import Item

LOOKED_THROUGH = 1000  # clips that the words are taken from
RARE = 0.02  # what the head takes a word's probability for before it has learned anything
REACH = 0.25  # tokens that the middle of a token may lie outside a box: small things have a token, too
SIDES_WEIGHT = 0.25  # of the sides' loss, in tokens, against that of the words, in nats

Known = tuple[Tensor, Tensor]  # boxes (N, t, 4) of a sample's objects on each latent frame, their words (N, W)


class Naming(nn.Module):
    """The head, and what it should say of the clips of a training split, some of which have tracks."""

    def __init__(self, clips: Clips, words: Sequence[str], config: DiTConfig, weight: float) -> None:
        super().__init__()
        self.clips, self.words, self.weight, self.blocks = clips, words, weight, config.num_layers
        self.norm = nn.LayerNorm(config.dim)
        self.linear = nn.Linear(config.dim, len(words) + 4)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        nn.init.constant_(self.linear.bias[: len(words)], torch.logit(torch.tensor(RARE)).item())
        self._known: dict[Item, Known] = {}
        self._tokens: Tensor | None = None

    def hooks(self) -> list[Hook]:
        """For each block; the middle one's keeps the stream of tokens of the forward pass, and changes nothing."""
        def keep(tokens: Tensor) -> Tensor:
            self._tokens = tokens
            return tokens

        hooks: list[Hook] = [lambda tokens: tokens] * self.blocks
        hooks[self.blocks // 2] = keep
        return hooks

    def loss(self, items: Sequence[Item], start: int, grid: tuple[int, int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """What the tokens of the last forward pass, laid out as `grid`, add to the loss; that of words and of sides.

        items: what the samples were cut from, and `start` the latent frame of theirs that the tokens begin with.
        """
        assert self._tokens is not None, "no forward pass has come before"
        tokens, self._tokens = self._tokens.float(), None  # (B, n, dim)
        names, borders = (target.to(tokens.device) for target in self._targets(items, start, grid))
        said, measured = self.linear(self.norm(tokens)).split([len(self.words), 4], dim=-1)
        words = F.binary_cross_entropy_with_logits(said, names, reduction="none").sum(-1).mean()
        inside = names.amax(-1)  # (B, n)
        apart = F.smooth_l1_loss(measured, borders, reduction="none").sum(-1)  # (B, n)
        sides = (apart * inside).sum() / inside.sum().clamp_min(1)
        return self.weight * (words + SIDES_WEIGHT * sides), {"words": words, "sides": sides}

    def _targets(self, items: Sequence[Item], start: int, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Words (B, n, W), ones and zeros, and distances to left, top, right and bottom (B, n, 4) in tokens."""
        t, h, w = grid
        known = [self._objects(item) for item in items]
        most = max(len(names) for _, names in known)
        words, sides = torch.zeros(len(items), t, h, w, len(self.words)), torch.zeros(len(items), t, h, w, 4)
        y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")  # (h, w)
        for k in range(most):  # the last is painted over the others
            has = [b for b, (_, names) in enumerate(known) if k < len(names)]
            boxes = torch.stack([known[b][0][k, start : start + t] for b in has]) * torch.tensor([w, h, w, h])
            x0, y0, x1, y1 = boxes[:, :, :, None, None].unbind(2)  # (b, t, 1, 1)
            away = torch.stack([x - x0, y - y0, x1 - x, y1 - y], dim=-1)  # (b, t, h, w, 4)
            inside = (away.amin(-1) > -REACH)[..., None]  # (b, t, h, w, 1)
            names = torch.stack([known[b][1][k] for b in has])[:, None, None, None]  # (b, 1, 1, 1, W)
            words[has] = torch.where(inside, names, words[has])
            sides[has] = torch.where(inside, away, sides[has])
        return words.flatten(1, 3), sides.flatten(1, 3)

    def _objects(self, item: Item) -> Known:
        """The objects of a sample that are seen at all; remembered, since a scene has to be drawn for them."""
        if item not in self._known:
            boxes, names = [], []
            for track in self.clips.tracks(item.clip):
                course = lined(held(track.boxes, item.start, item.frames))
                if course is not None:
                    boxes.append([box.as_list() for box in hard_latent(course, self.clips.stride.time)])
                    names.append([float(word in track.name.split()) for word in self.words])
            latents = 1 + (item.frames - 1) // self.clips.stride.time
            self._known[item] = (torch.tensor(boxes).view(-1, latents, 4),
                                 torch.tensor(names).view(-1, len(self.words)))
        return self._known[item]


def naming_head(clips: Clips, config: DiTConfig, weight: float) -> Naming | None:
    """A head for a transformer of this kind; None without a weight, and where nothing is known of objects."""
    some = range(0, len(clips), -(-len(clips) // LOOKED_THROUGH)) if weight else ()
    words = {word for index in some for track in clips.tracks(index) for word in track.name.split()}
    return Naming(clips, sorted(words), config, weight) if words else None
