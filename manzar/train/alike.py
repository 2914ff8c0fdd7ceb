"""A new text encoder learns from captions alone, before any video depends on it.

Two captions of one clip, in two languages where it has them, shall be embedded alike and unlike those of all other
clips of the batch (InfoNCE, arXiv:1807.03748, over pooled embeddings as in SimCSE, arXiv:2104.08821). Two things come
of it. The languages share one space from the start, so that what the transformer learns of one it has learned of all.
And no two prompts look the same: to a transformer that cannot use them yet prompts are noise, and while an encoder
still embeds all of them nearly alike, the quickest way to less loss is to be rid of them for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manzar.device import autocast
from manzar.nouns import Clip, Progress
from manzar.text import PROMPT_LIMIT, TextEncoder, misspell
from manzar.train.data import randint, random_generator
from manzar.train.optimiser import Optimiser, rate_scale

BATCH = 96  # clips; each is told from as many others
TEMPERATURE = 0.05  # of the similarities, cosines
MUON_LR, ADAM_LR = 0.02, 3e-3
WARMUP, COOLDOWN = 20, 0.5


def learn_captions(text: TextEncoder, rows: Sequence[Clip], languages: Sequence[str], steps: int, seed: int,
                   typos: float, report: Progress) -> None:
    """Train `text` in place on the captions of `rows` in `languages`.

    typos: share of captions that are read with a slip of the pen. All randomness derives from (seed, step).
    """
    told = [[row.captions[code] for code in languages if row.captions.get(code)] for row in rows]
    told = [captions for captions in told if captions]
    if len(told) < 2:
        return
    optimiser = Optimiser(text, is_hidden_matrix, muon_lr=MUON_LR, adam_lr=ADAM_LR, weight_decay=0.0)
    for step in range(steps):
        generator = random_generator(seed, step)
        picks = torch.randperm(len(told), generator=generator)[:BATCH].tolist()
        views = [two_views(told[index], typos, generator) for index in picks]
        with autocast():
            pooled = pool(text, [first for first, _ in views] + [second for _, second in views])  # (2B, d)
        loss = contrast(*pooled.float().chunk(2))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(rate_scale(step, step / steps, WARMUP, COOLDOWN))
        report(step + 1, steps, f"loss {float(loss.detach()):.3f}")


def is_hidden_matrix(name: str, p: nn.Parameter) -> bool:
    return "block." in name and p.ndim == 2 and "relative_attention_bias" not in name


def two_views(captions: Sequence[str], typos: float, generator: torch.Generator) -> tuple[str, str]:
    """Two of one clip's captions, different ones if there are two."""
    first = randint(generator, len(captions))
    second = (first + 1 + randint(generator, len(captions) - 1)) % len(captions) if len(captions) > 1 else first
    views = []
    for text in (captions[first], captions[second]):
        slip = torch.rand((), generator=generator).item() < typos
        dice = (randint(generator, 1 << 30) for _ in repeat(None))
        views.append((misspell(text, dice) if slip else text)[:PROMPT_LIMIT])
    return views[0], views[1]


def pool(text: TextEncoder, prompts: Sequence[str]) -> Tensor:
    """(B, d): the mean of each prompt's embeddings over its own tokens."""
    embeddings, lengths = text.embed(prompts)  # (B, L, d), (B,)
    real = torch.arange(embeddings.shape[1], device=lengths.device) < lengths[:, None]  # (B, L)
    return (embeddings * real[..., None]).sum(1) / lengths[:, None]


def contrast(first: Tensor, second: Tensor) -> Tensor:
    """InfoNCE both ways between two views (B, d) of the same clips: row i of one belongs to row i of the other."""
    likeness = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / TEMPERATURE  # (B, B)
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.T, own)) / 2
