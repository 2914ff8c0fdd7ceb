"""The shape of a video autoencoder: the fields, names and defaults of diffusers' `AutoencoderKLWan`.

Two forms share one configuration. The plain form (Wan 2.1, arXiv:2503.20314) keeps pixels as they are and halves the
channels while up-sampling. The residual form (Wan 2.2) first folds `patch_size` × `patch_size` pixels into channels
and gives every level a shortcut that averages going down and repeats going up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from manzar.nouns import ModelError, Stride

# Per-channel mean and standard deviation of the latents of the published Wan 2.1 encoder.
WAN_21_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_21_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


@dataclass(frozen=True)
class VAEConfig:
    """Field names are the stock ones, spelling included. Raises ModelError for a shape that cannot be built."""

    base_dim: int = 96
    decoder_base_dim: int | None = None  # None: the same as base_dim
    z_dim: int = 16
    dim_mult: Sequence[int] = (1, 2, 4, 4)  # channels of each level over base_dim; every level but the last halves
    num_res_blocks: int = 2
    attn_scales: Sequence[float] = ()
    temperal_downsample: Sequence[bool] = (False, True, True)  # which of the halvings halve time as well, from the top
    dropout: float = 0.0
    latents_mean: Sequence[float] = WAN_21_MEAN
    latents_std: Sequence[float] = WAN_21_STD
    is_residual: bool = False
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int | None = None
    scale_factor_temporal: int | None = 4  # for stock pipelines; written as derived from the levels, see `to_json`
    scale_factor_spatial: int | None = 8

    def __post_init__(self) -> None:
        for name in ("dim_mult", "attn_scales", "temperal_downsample", "latents_mean", "latents_std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.dim_mult or len(self.temperal_downsample) < len(self.dim_mult) - 1:
            raise ModelError(
                f"temperal_downsample={self.temperal_downsample} says too little for the {len(self.dim_mult) - 1} "
                f"halvings of dim_mult={self.dim_mult}; give one flag per halving"
            )
        if self.attn_scales:
            raise ModelError(
                f"attn_scales={self.attn_scales}: attention inside the levels cannot be run by the stock class either; "
                "leave it empty"
            )
        pixels = 3 * self.patch**2
        if self.in_channels != pixels or self.out_channels != pixels:
            raise ModelError(
                f"in_channels={self.in_channels} and out_channels={self.out_channels}: RGB video with "
                f"patch_size={self.patch_size} needs both to be {pixels}"
            )

    @property
    def patch(self) -> int:
        """Side of the pixel square that is folded into channels before the first convolution."""
        return self.patch_size or 1

    @property
    def decoder_dim(self) -> int:
        return self.decoder_base_dim or self.base_dim

    @property
    def halvings(self) -> tuple[bool, ...]:
        """One flag per halving of the sides: whether time is halved with them."""
        return tuple(bool(flag) for flag in self.temperal_downsample[: len(self.dim_mult) - 1])

    @property
    def stride(self) -> Stride:
        """How many frames, rows and columns one latent covers."""
        side = self.patch * 2 ** len(self.halvings)
        return Stride(2 ** sum(self.halvings), side, side)

    def with_statistics(self, mean: Sequence[float], std: Sequence[float]) -> VAEConfig:
        """The same network with other latent statistics, one number per latent channel."""
        if len(mean) != self.z_dim or len(std) != self.z_dim:
            raise ModelError(f"{len(mean)} means and {len(std)} deviations for {self.z_dim} latent channels")
        return replace(self, latents_mean=tuple(map(float, mean)), latents_std=tuple(map(float, std)))

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> VAEConfig:
        """Read a stock config.json; keys with a leading underscore are diffusers' own. ModelError for unknown ones."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(key for key in config if key not in known and not key.startswith("_"))
        if unknown:
            raise ModelError(f"vae/config.json: {unknown[0]} is not a field of AutoencoderKLWan")
        kind = config.get("_class_name", "AutoencoderKLWan")
        if kind != "AutoencoderKLWan":
            raise ModelError(f"vae/config.json describes a {kind}; an AutoencoderKLWan is needed")
        return cls(**{key: value for key, value in config.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        """The stock config.json. Scale factors are derived, so that a stock pipeline cannot be told a wrong one."""
        own = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        own["scale_factor_temporal"], own["scale_factor_spatial"] = self.stride.time, self.stride.height
        return {"_class_name": "AutoencoderKLWan", "_diffusers_version": "0.42.1", **own}


# The default to train from scratch on small machines: 4 × 8 × 8, 16 channels.
SMALL = VAEConfig(
    base_dim=32,
    decoder_base_dim=32,
    z_dim=16,
    dim_mult=(1, 2, 2),
    num_res_blocks=1,
    temperal_downsample=(True, True),
    latents_mean=(0.0,) * 16,
    latents_std=(1.0,) * 16,
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    scale_factor_temporal=4,
    scale_factor_spatial=8,
)
