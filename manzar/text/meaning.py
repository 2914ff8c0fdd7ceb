"""Where the words of captions stand before any video is seen: near the words that are said of the same clips.

A clip's captions in several languages say the same, so the words for one thing turn up together, clip after clip:
"red", "红", "लाल", "سرخ". Counting that is enough to place them side by side (latent semantic analysis: the leading
eigenvectors of positive pointwise mutual information, as in Levy & Goldberg 2014). What the transformer then learns of
one language it has learned of all; and from its first step on prompts say something about pictures. Prompts that are
noise to it are silenced for good: that is the quickest way to less loss, and it finds one every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from manzar.text.tokenizer import UNKNOWN, Tokenizer

AT_ONCE = 4096  # clips that are counted together
LEAST = 1e-4  # a word whose vector is shorter has no company that tells anything


def word_vectors(tokenizer: Tokenizer, told: Sequence[Sequence[str]], width: int) -> tuple[Tensor, Tensor]:
    """Vectors (V, width) with a root mean square of one for every id, and which ids (V,) have one.

    told: the captions of each clip, in however many languages; an id without a vector (special, unseen, or everywhere
    alike) has zeros. Deterministic up to the sign of a channel.
    """
    together = counts(tokenizer, told)  # (V, V)
    own = together.diagonal()
    expected = own[:, None] * own[None] / max(1, len(told))
    seen = expected > 0
    information = torch.where(seen & (together > 0), (together / expected.clamp_min(1e-12)).log(), 0).clamp_min(0)
    values, vectors = torch.linalg.eigh(information)
    leading = values.abs().argsort(descending=True)[:width]
    placed = vectors[:, leading] * values[leading].abs().sqrt()  # (V, ≤ width)
    placed = torch.nn.functional.pad(placed, (0, width - placed.shape[1]))
    size = placed.square().mean(1, keepdim=True).sqrt()
    known = size[:, 0] > LEAST
    return torch.where(known[:, None], placed / size.clamp_min(LEAST), 0), known


def counts(tokenizer: Tokenizer, told: Sequence[Sequence[str]]) -> Tensor:
    """(V, V): of how many clips both words are said, in whichever language; padding, end and unknown are no words."""
    total = torch.zeros(tokenizer.vocab_size, tokenizer.vocab_size)
    for start in range(0, len(told), AT_ONCE):
        part = told[start : start + AT_ONCE]
        owner = torch.tensor([clip for clip, captions in enumerate(part) for _ in captions])
        rows = tokenizer.encode([caption for captions in part for caption in captions])
        lengths = torch.tensor([len(ids) for ids in rows])
        ids = torch.tensor([i for row in rows for i in row])
        said = torch.zeros(len(part), tokenizer.vocab_size)
        said[owner.repeat_interleave(lengths), ids] = 1
        said[:, : UNKNOWN + 1] = 0
        total += said.T @ said
    return total
