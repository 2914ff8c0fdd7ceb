"""A model small enough for tests, with random weights that leave no output at zero, so that parity means something."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from manzar.dit import DiT, DiTConfig
from manzar.flow import Schedule
from manzar.generate import ModelParts
from manzar.text import ByteTokenizer, TextConfig, TextEncoder
from manzar.vae import VAEConfig, VideoVAE

CHANNELS = 4
DIT: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": CHANNELS, "out_channels": CHANNELS,
    "text_dim": 24, "freq_dim": 32, "ffn_dim": 48, "num_layers": 2,
}  # fmt: skip
VAE: dict[str, Any] = {
    "base_dim": 8, "z_dim": CHANNELS, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
    "latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.7, 1.0, 2.0],
}  # fmt: skip
TEXT: dict[str, Any] = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3}


@torch.no_grad()
def scramble(module: nn.Module, seed: int) -> None:
    """Every parameter random: matrices keep variance, vectors lie near one where they scale and near zero elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        squeezed = parameter.squeeze()
        if squeezed.ndim >= 2:
            parameter.copy_(noise * parameter[0].numel() ** -0.5)
        else:
            parameter.copy_(0.1 * noise + ("norm" in name and not name.endswith("bias")))


def tiny_parts(schedule: Schedule | None = None, seed: int = 0, **vae: Any) -> ModelParts:
    parts = ModelParts(
        DiT(DiTConfig(**DIT)),
        VideoVAE(VAEConfig(**VAE | vae)),
        TextEncoder(TextConfig(**TEXT), ByteTokenizer()),
        schedule or Schedule("euler", 3.0),
        {"defaults": {"frames": 5, "height": 32, "width": 32, "fps": 8.0, "steps": 2, "guidance": 3.0}},
    )
    for index, module in enumerate(parts.modules.values()):
        scramble(module, seed + index)
    return parts
