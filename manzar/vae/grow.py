"""More latent channels for a network that is trained already."""

from __future__ import annotations

from dataclasses import replace

import torch

from manzar.nouns import ModelError
from manzar.vae.model import VideoVAE


@torch.no_grad()
def grow(vae: VideoVAE, channels: int) -> VideoVAE:
    """The same network with more latent channels, which its decoder does not hear yet: it starts where `vae` stands.

    The first channels hold the picture so far, and the new ones learn what it lacks. The latent statistics are those of
    a fresh network, to be measured again. Raises ModelError if `channels` are not more than there are.
    """
    old = vae.config.z_dim
    if channels <= old:
        raise ModelError(f"a VAE of {old} latent channels cannot grow to {channels}; ask for more of them")
    grown = VideoVAE(replace(vae.config, z_dim=channels, latents_mean=(0.0,) * channels, latents_std=(1.0,) * channels))
    latent = torch.arange(old)
    posterior = torch.cat([latent, channels + latent])  # means, then log variances
    source, target = vae.state_dict(), grown.state_dict()
    target["decoder.conv_in.weight"].zero_()  # the new channels are not heard yet
    for name, tensor in target.items():
        if tensor.shape == source[name].shape:
            tensor.copy_(source[name])
        elif name == "decoder.conv_in.weight":
            tensor[:, :old] = source[name]
        elif name == "quant_conv.weight":
            tensor[posterior[:, None], posterior] = source[name]
        elif name == "post_quant_conv.weight":
            tensor[:old, :old] = source[name]
        else:  # rows of encoder.conv_out, and the biases of all three
            tensor[posterior if len(tensor) == 2 * channels else latent] = source[name]
    return grown
