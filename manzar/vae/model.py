"""The video autoencoder: pixels (B, 3, T, H, W) in [−1, 1] to a Gaussian over latents (B, c, t, h, w) and back.

Causal in time, so a one-frame video is an image and a prefix of a clip encodes to a prefix of its latents. Weight for
weight the stock `AutoencoderKLWan`; see blocks.py for how a whole clip is taken at once, stream.py for clips in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from manzar.nouns import ModelError, ShapeError, Stride, VideoShape
from manzar.vae.blocks import (
    Attention,
    AverageDown,
    CausalConv3d,
    Downsample,
    MidBlock,
    Past,
    RepeatUp,
    ResidualBlock,
    RMSNorm,
    Upsample,
    norm_silu_conv,
)
from manzar.vae.config import VAEConfig


@dataclass(frozen=True)
class Posterior:
    """A Gaussian with independent coordinates, fp32: `mean` and `logvar` (B, c, t, h, w)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(B, c, t, h, w); noise is drawn on the generator's device."""
        device = generator.device if generator is not None else self.mean.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device).to(self.mean.device)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def kl(self) -> Tensor:
        """(B,) divergence from the standard normal in nats per latent coordinate, so clips of any size compare."""
        per_coordinate = 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar)
        return per_coordinate.flatten(1).mean(1)


class ClampThrough(torch.autograd.Function):
    """Clamp to [−1, 1] whose gradient passes as if it were not there, so that saturated pixels still learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def residual_blocks(dim_in: int, dim_out: int, count: int, dropout: float) -> nn.ModuleList:
    """`count` blocks in a row, the first of which changes the channels."""
    return nn.ModuleList([ResidualBlock(dim_out if index else dim_in, dim_out, dropout) for index in range(count)])


class DownBlock(nn.Module):
    """One level of the residual encoder."""

    def __init__(self, dim_in: int, dim_out: int, config: VAEConfig, halving: bool | None) -> None:
        super().__init__()
        self.avg_shortcut = AverageDown(dim_in, dim_out, time=2 if halving else 1, side=1 if halving is None else 2)
        self.resnets = residual_blocks(dim_in, dim_out, config.num_res_blocks, config.dropout)
        self.downsampler = None if halving is None else Downsample(dim_out, time=halving)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        y = x
        for resnet in self.resnets:
            y = resnet(y, past)
        if self.downsampler is not None:
            y = self.downsampler(y, past)
        return cast(Tensor, y + self.avg_shortcut(x, past))


class UpBlock(nn.Module):
    """One level of either decoder. The plain form halves the channels as it doubles the sides, and has no shortcut."""

    def __init__(self, dim_in: int, dim_out: int, config: VAEConfig, doubling: bool | None) -> None:
        super().__init__()
        self.resnets = residual_blocks(dim_in, dim_out, config.num_res_blocks + 1, config.dropout)
        self.avg_shortcut = None
        if doubling is None:
            self.upsamplers = nn.ModuleList()
        elif config.is_residual:
            self.upsampler = Upsample(dim_out, dim_out, time=doubling)
            self.avg_shortcut = RepeatUp(dim_in, dim_out, time=2 if doubling else 1, side=2)
        else:
            self.upsamplers = nn.ModuleList([Upsample(dim_out, dim_out // 2, time=doubling)])

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        y = x
        for resnet in self.resnets:
            y = resnet(y, past)
        if self.avg_shortcut is not None:
            return cast(Tensor, self.upsampler(y, past) + self.avg_shortcut(x, past))
        for upsampler in self.upsamplers:
            y = upsampler(y, past)
        return y


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        dims = [config.base_dim * mult for mult in (1, *config.dim_mult)]
        self.conv_in = CausalConv3d(config.in_channels, dims[0], (3, 3, 3))
        self.down_blocks = nn.ModuleList()
        for dim_in, dim_out, halving in zip(dims, dims[1:], (*config.halvings, None), strict=False):
            if config.is_residual:
                self.down_blocks.append(DownBlock(dim_in, dim_out, config, halving))
                continue
            self.down_blocks.extend(residual_blocks(dim_in, dim_out, config.num_res_blocks, config.dropout))
            if halving is not None:
                self.down_blocks.append(Downsample(dim_out, time=halving))
        self.mid_block = MidBlock(dims[-1], config.dropout)
        self.norm_out = RMSNorm(dims[-1])
        self.conv_out = CausalConv3d(dims[-1], 2 * config.z_dim, (3, 3, 3))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        x = self.conv_in(x, past)  # (B, C, T, H, W)
        for block in self.down_blocks:
            x = block(x, past)
        x = self.mid_block(x, past)  # (B, C, t, h, w)
        return norm_silu_conv(self.norm_out, self.conv_out, x, past)  # (B, 2c, t, h, w)


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        mults = config.dim_mult[::-1]
        dims = [config.decoder_dim * mult for mult in (mults[0], *mults)]
        self.conv_in = CausalConv3d(config.z_dim, dims[0], (3, 3, 3))
        self.mid_block = MidBlock(dims[0], config.dropout)
        self.up_blocks = nn.ModuleList()
        for index, doubling in enumerate((*config.halvings[::-1], None)):
            halved = index > 0 and not config.is_residual  # by the plain form's up-sampler
            dim_in = dims[index] // 2 if halved else dims[index]
            self.up_blocks.append(UpBlock(dim_in, dims[index + 1], config, doubling))
        self.norm_out = RMSNorm(dims[-1])
        self.conv_out = CausalConv3d(dims[-1], config.out_channels, (3, 3, 3))

    def forward(self, z: Tensor, past: Past | None = None) -> Tensor:
        x = self.mid_block(self.conv_in(z, past), past)  # (B, C, t, h, w)
        for block in self.up_blocks:
            x = block(x, past)
        return norm_silu_conv(self.norm_out, self.conv_out, x, past)  # (B, 3p², T, H/p, W/p)


class VideoVAE(nn.Module):
    """Encode and decode whole clips; `state_dict` has the keys and shapes of the stock class."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, (1, 1, 1))
        self.post_quant_conv = CausalConv3d(config.z_dim, config.z_dim, (1, 1, 1))
        self.decoder = Decoder(config)
        initialise(self)

    @property
    def stride(self) -> Stride:
        return self.config.stride

    def encode(self, video: Tensor) -> Posterior:
        """Posterior of a video (B, 3, T, H, W) in [−1, 1]. Raises ShapeError off the grid of `stride`."""
        if video.ndim != 5 or video.shape[1] != 3:
            raise ShapeError(f"a video of shape {tuple(video.shape)}; (B, 3, T, H, W) is needed")
        VideoShape(*video.shape[2:]).latent(self.stride)
        return self.encode_piece(video)

    def encode_piece(self, video: Tensor, past: Past | None = None) -> Posterior:
        """As `encode`, of a piece after what `past` has seen."""
        x = fold_pixels(video.to(self.quant_conv.weight.dtype), self.config.patch)  # (B, 3p², T, H/p, W/p)
        mean, logvar = self.quant_conv(self.encoder(x, past)).float().chunk(2, dim=1)  # (B, c, t, h, w) each
        return Posterior(mean, logvar.clamp(-30, 20))

    def decode(self, latents: Tensor) -> Tensor:
        """Video (B, 3, T, H, W) in [−1, 1], fp32, of latents (B, c, t, h, w), T = 1 + r (t − 1)."""
        if latents.ndim != 5 or latents.shape[1] != self.config.z_dim:
            raise ShapeError(f"latents of shape {tuple(latents.shape)}; (B, {self.config.z_dim}, t, h, w) is needed")
        return self.decode_piece(latents)

    def decode_piece(self, latents: Tensor, past: Past | None = None) -> Tensor:
        """As `decode`, of a piece after what `past` has seen."""
        x = latents.to(self.post_quant_conv.weight.dtype).contiguous(memory_format=torch.channels_last_3d)
        x = self.decoder(self.post_quant_conv(x), past)  # (B, 3p², T, H/p, W/p)
        video: Tensor = ClampThrough.apply(unfold_pixels(x.float(), self.config.patch))  # type: ignore[no-untyped-call]
        return video

    def normalise(self, latents: Tensor) -> Tensor:
        """Raw latents to mean 0 and deviation 1 per channel, as the diffusion transformer sees them."""
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        mean, std = self._statistics(latents)
        return latents * std + mean

    def with_statistics(self, mean: Sequence[float], std: Sequence[float]) -> VideoVAE:
        """Take these latent statistics, one number per channel, into `config`; returns this same model."""
        self.config = self.config.with_statistics(mean, std)
        return self

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.config.latents_mean, self.config.latents_std
        if not len(mean) == len(std) == self.config.z_dim:
            raise ModelError(
                f"latents_mean has {len(mean)} and latents_std {len(std)} numbers for {self.config.z_dim} latent "
                "channels; measure them and set them with `with_statistics`"
            )
        return like.new_tensor(mean).view(1, -1, 1, 1, 1), like.new_tensor(std).view(1, -1, 1, 1, 1)


def fold_pixels(video: Tensor, patch: int) -> Tensor:
    """(B, C, T, H, W) -> (B, C·p², T, H/p, W/p), channels last in memory; a patch lies column by column."""
    x: Tensor = rearrange(video, "b c t (h p) (w q) -> b t h w (c q p)", p=patch, q=patch)
    return x.contiguous().movedim(-1, 1)


def unfold_pixels(x: Tensor, patch: int) -> Tensor:
    """The inverse of `fold_pixels`, channels first in memory."""
    video: Tensor = rearrange(x, "b (c q p) t h w -> b c t (h p) (w q)", p=patch, q=patch)
    return video.contiguous()


@torch.no_grad()
def initialise(vae: VideoVAE) -> None:
    """From-scratch weights under which a fresh model is a plain resampler with little noise.

    Convolutions keep variance (σ² = 1/fan-in). Each residual branch ends in zeros, so blocks begin as identities.
    Convolutions along time begin as what they refine: a mean of two frames going down, a repeat going up. The latent
    begins as the encoder's own mean with standard deviation e⁻³, small enough for detail to pass from the first step.
    """
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=fan_in**-0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    for module in vae.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, Attention):
            nn.init.zeros_(module.proj.weight)
        elif isinstance(module, Downsample) and module.time_conv is not None:
            nn.init.zeros_(module.time_conv.weight)
            module.time_conv.weight[:, :, 1:, 0, 0] = 0.5 * torch.eye(len(module.time_conv.weight)).unsqueeze(2)
        elif isinstance(module, Upsample) and module.time_conv is not None:
            nn.init.zeros_(module.time_conv.weight)
            module.time_conv.weight[:, :, -1, 0, 0] = torch.eye(module.time_conv.in_channels).repeat(2, 1)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight[:, :, 0, 0, 0] = torch.eye(conv.in_channels)
    assert vae.quant_conv.bias is not None
    channels = vae.config.z_dim
    nn.init.zeros_(vae.encoder.conv_out.weight[channels:])
    nn.init.constant_(vae.quant_conv.bias[channels:], -6.0)
