"""Starting weights for an encoder that is trained from scratch together with its DiT."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def init_weights(encoder: nn.Module, d_kv: int) -> None:
    """Normal weights that keep every activation at order one, from torch's global generator.

    Each matrix has a standard deviation of fan_in^(−1/2); q alone is smaller by √d_kv, because the logits are not
    divided by it. Position biases start at zero. The last norm has weight one, so an embedding starts with a
    root mean square of one.
    """
    for name, parameter in encoder.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        elif name.endswith("relative_attention_bias.weight"):
            parameter.zero_()
        elif name == "shared.weight":
            parameter.normal_(std=1.0)
        elif name.endswith(".q.weight"):
            parameter.normal_(std=(parameter.shape[1] * d_kv) ** -0.5)
        else:
            parameter.normal_(std=parameter.shape[1] ** -0.5)
