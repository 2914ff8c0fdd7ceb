"""Starting weights for an encoder that is trained from scratch together with its DiT."""

from __future__ import annotations

import torch
from torch import nn

from manzar.text.config import TextConfig

# Which neighbour each head looks at first, per layer in turn: distance of the key from the query, in tokens.
_LOOKS = ((-1, -2, 1, 2), (-3, -4, 1, 3), (-2, -6, 2, 5))
_PULL = 6.0  # logit of that neighbour; against a hundred others at 0 it gets four fifths of the attention


@torch.no_grad()
def init_weights(encoder: nn.Module, config: TextConfig) -> None:
    """Normal weights that keep every activation at order one, from torch's global generator.

    Each matrix has a standard deviation of fan_in^(−1/2). q is smaller by √d_kv, because the logits are not divided by
    it; the last of each branch by the root of the number of branches, so that all of them together add no more to a
    word than it brings along. The last norm has weight one, so an embedding starts with a root mean square of one.

    A token says little by itself: a byte nothing, a word not what it belongs to. An encoder whose heads start by
    averaging the whole prompt has to find out that neighbours belong together before it can tell two prompts apart.
    So every head starts by looking at one near neighbour, other layers at others: from the first step on, each
    position holds a random code of the tokens around it.
    """
    layer = 0
    for name, parameter in encoder.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        elif name.endswith("relative_attention_bias.weight"):
            parameter.zero_()  # (buckets, heads)
            looks = _LOOKS[layer % len(_LOOKS)]
            for head in range(config.num_heads):
                parameter[_bucket(looks[head % len(looks)], config), head] = _PULL
            layer += 1
        elif name == "shared.weight":
            parameter.normal_(std=1.0)
        elif name.endswith(".q.weight"):
            parameter.normal_(std=(parameter.shape[1] * config.d_kv) ** -0.5)
        elif name.endswith((".o.weight", ".wo.weight")):
            parameter.normal_(std=(parameter.shape[1] * 2 * config.num_layers) ** -0.5)
        else:
            parameter.normal_(std=parameter.shape[1] ** -0.5)


def _bucket(distance: int, config: TextConfig) -> int:
    """The bucket of a short signed distance: keys ahead in the upper half, and one bucket each for the nearest."""
    half = config.relative_attention_num_buckets // 2
    return min(abs(distance), half // 2 - 1) + (half if distance > 0 else 0)
