"""The spacetime transformer: noisy latent video, noise level and prompt in; velocity (or clean video) out.

Weight-compatible with diffusers' `WanTransformer3DModel` (Wan, arXiv 2503.20314), itself a DiT (arXiv 2212.09748):

    latents ─ patchify ─ + rotary positions ─ block × num_layers ─ norm ─ modulate ─ linear ─ unpatchify ─
                   timestep ─ sinusoids ─ mlp ──┘  └── mlp ─ prompt embedding
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from manzar.dit.blocks import Block, CrossAttention, Linear
from manzar.dit.hot import gelu, modulate
from manzar.dit.rope import rotation
from manzar.nouns import ModelError, ShapeError, Stride

STOCK_CLASS = "WanTransformer3DModel"


@dataclass(frozen=True)
class DiTConfig:
    """Field names and defaults of the stock class; raises ModelError for what this transformer does not do."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int | None = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    cross_attn_norm: bool = True
    qk_norm: str | None = "rms_norm_across_heads"
    eps: float = 1e-6
    image_dim: int | None = None
    added_kv_proj_dim: int | None = None
    rope_max_seq_len: int = 1024
    pos_embed_seq_len: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if len(self.patch_size) != 3 or min(self.patch_size) < 1:
            raise ModelError(f"transformer config: patch_size {self.patch_size} is not three positive numbers")
        for name in ("image_dim", "added_kv_proj_dim"):
            if getattr(self, name) is not None:
                raise ModelError(
                    f"transformer config: {name} = {getattr(self, name)} asks for the image-encoder branch of Wan 2.1 "
                    "image-to-video, which Manzar does not have; use a text-to-video or a Wan 2.2 TI2V folder (a first "
                    "frame is then given as tokens without noise)"
                )
        # The stock class builds the same norm for either value; any other would silently be ignored there.
        if self.qk_norm not in (None, "rms_norm_across_heads"):
            raise ModelError(f"transformer config: qk_norm {self.qk_norm!r} is unknown; use 'rms_norm_across_heads'")
        if self.attention_head_dim % 2 or self.attention_head_dim < 6:
            raise ModelError(
                f"transformer config: attention_head_dim {self.attention_head_dim} must be even and at least 6, "
                "so that time, height and width each have channel pairs to turn"
            )
        if self.freq_dim < 2:
            raise ModelError(f"transformer config: freq_dim {self.freq_dim} must be at least 2")

    @property
    def dim(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> DiTConfig:
        """From a stock config.json. Raises ModelError for another class's file or an unknown field."""
        stated = config.get("_class_name", STOCK_CLASS)
        if stated != STOCK_CLASS:
            raise ModelError(f"transformer config: _class_name is {stated}; only {STOCK_CLASS} can be read")
        values = {name: value for name, value in config.items() if not name.startswith("_")}
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ModelError(f"transformer config: unknown field {unknown[0]} = {values[unknown[0]]!r}")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """What the stock class's config.json holds."""
        return {"_class_name": STOCK_CLASS, **asdict(self), "patch_size": list(self.patch_size)}


class TextKeys:
    """A prompt's keys and values in every block, so that a sampler computes them once and not at every step."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]], bias: Tensor | None) -> None:
        self.layers = layers  # per block: keys and values, (B, L, dim) each
        self.bias = bias


class PairOfLinears(nn.Module):
    """linear_1, an activation, linear_2: the stock names of both small embedders."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.linear_1 = Linear(in_dim, dim)
        self.linear_2 = Linear(dim, dim)


class ConditionEmbedder(nn.Module):
    """Noise level -> modulation; prompt embedding -> the transformer's width."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.freq_dim = config.freq_dim
        self.time_embedder = PairOfLinears(config.freq_dim, config.dim)
        self.time_proj = Linear(config.dim, 6 * config.dim)
        self.text_embedder = PairOfLinears(config.text_dim, config.dim)

    def time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """timestep (U,) in [0, 1000] -> embedding (U, dim) and its projection (U, 6, dim), in fp32 always."""
        with torch.autocast(timestep.device.type, enabled=False):
            waves = sinusoids(timestep, self.freq_dim)  # (U, freq_dim)
            x = self.time_embedder.linear_2(F.silu(self.time_embedder.linear_1(waves)))  # (U, dim)
            return x, self.time_proj(F.silu(x)).unflatten(-1, (6, -1))

    def text(self, text: Tensor) -> Tensor:
        """(B, L, text_dim) -> (B, L, dim)."""
        x = gelu(self.text_embedder.linear_1(text))  # (B, L, dim)
        out: Tensor = self.text_embedder.linear_2(x)
        return out


def sinusoids(timestep: Tensor, channels: int) -> Tensor:
    """cos, then sin, of timestep (U,) at geometric frequencies 1 … 1/10000: (U, channels), fp32."""
    half = channels // 2
    octave = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep.float()[:, None] * torch.exp(-math.log(10000) * octave)  # (U, half)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, channels % 2))


LEAN = 6.0  # of a query against padding, over the root mean square of the rest of a fresh query
SHARPNESS = 2.0  # gain of a fresh query's norm


def ignore_padding(attention: CrossAttention) -> None:
    """Start a cross-attention so that it reads the prompt and cannot learn to read the padding after it instead.

    The stock pipeline pads every prompt to 512 rows of zeros and attends to all of them, so a prompt of a dozen words
    starts with a fortieth of the attention. Worse: padding has next to no value, and as long as prompts are only noise
    to the network, looking at padding is the way to be rid of them. Given the smallest share to start from, queries
    turn that way within two thousand steps and never come back.

    So the share is made too small to be found. A zero row's key is the key bias alone, blown up to full size by its
    norm; in other keys the same small bias drowns. Queries lean against it, with a gain that puts the logit of padding
    at −16: all of it together has a ten-thousandth of the attention, and as little gradient.
    """
    bias = torch.randn_like(attention.to_k.bias).sign()
    attention.to_k.bias.copy_(0.1 * bias)
    attention.to_q.bias.copy_(-LEAN * bias)
    attention.norm_q.weight.fill_(SHARPNESS)


class DiT(nn.Module):
    """The spacetime transformer. `checkpointing` trades a second forward pass of each block for its activations."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = Stride(*config.patch_size)
        self.checkpointing = False
        self.patch_embedding = nn.Conv3d(config.in_channels, config.dim, config.patch_size, config.patch_size)
        self.condition_embedder = ConditionEmbedder(config)
        self.blocks = nn.ModuleList(
            Block(
                config.dim,
                config.num_attention_heads,
                config.ffn_dim,
                eps=config.eps,
                cross_attn_norm=config.cross_attn_norm,
            )
            for _ in range(config.num_layers)
        )
        out_channels = config.out_channels or config.in_channels
        self.proj_out = Linear(config.dim, out_channels * math.prod(config.patch_size))
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, config.dim))
        self._turns: dict[tuple[tuple[int, int, int], torch.device], Tensor] = {}
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Weights for training from scratch; a model folder overwrites them all.

        Every block starts as the identity and the whole network as zero (DiT's AdaLN-zero), but not by zero gates:
        with the gates at 1 and the *last* linear of each branch at 0, that linear has a full gradient from the very
        first step, where zero gates would let only the gates learn at first. Muon sets the length of a matrix's step
        by its shape, whatever its gradient, so a matrix at zero is at full strength after a few steps.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                fan_in = module.weight[0].numel()
                nn.init.normal_(module.weight, std=fan_in**-0.5)  # keeps the variance of unit inputs
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for module in self.modules():  # after all linears, which a block's visit comes before
            if isinstance(module, Block):
                nn.init.zeros_(module.attn1.to_out[0].weight)  # type: ignore[arg-type]
                nn.init.zeros_(module.attn2.to_out[0].weight)  # type: ignore[arg-type]
                nn.init.zeros_(module.ffn.net[2].weight)  # type: ignore[arg-type]
                nn.init.zeros_(module.scale_shift_table)
                module.scale_shift_table[:, [2, 5]] = 1.0  # the two gates
                ignore_padding(module.attn2)
        time = self.condition_embedder
        # The last norm is modulated by the time embedding itself, unprojected: small, or it drowns the tokens.
        nn.init.normal_(time.time_embedder.linear_2.weight, std=0.02)
        nn.init.zeros_(time.time_proj.weight)  # no modulation until the noise level proves useful
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.scale_shift_table)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor | TextKeys,
        text_lengths: Tensor | None = None,
        padded_length: int = 512,
        control: Sequence[Callable[[Tensor], Tensor]] | None = None,
    ) -> Tensor:
        """Prediction for every latent position.

        latents: (B, in_channels, t, h, w).
        timestep: 1000 σ, (B,) or one per token (B, n) in the order t, h, w of the patched grid.
        text: (B, L, text_dim), or what `read_text` made of it.
        text_lengths: (B,) how many rows of `text` are real; see `read_text`.
        control: for every block, what is to become of its stream (B, n, dim) after self-attention.
        Returns (B, out_channels, t, h, w). Raises ShapeError for a grid that the patch does not divide.
        """
        grid = self._grid(latents)
        n = math.prod(grid)
        assert timestep.shape in ((len(latents),), (len(latents), n)), (timestep.shape, latents.shape, n)

        token = None
        if timestep.ndim == 2:  # few distinct levels, many tokens: embed each level once, then look it up
            timestep, token = torch.unique(timestep, return_inverse=True)  # (U,), (B, n)
        embedding, time = self.condition_embedder.time(timestep)  # (U, dim), (U, 6, dim)

        x = self._patchify(latents)  # (B, n, dim)
        turn = self._turn(grid, latents.device)  # (n, dim/2)
        if isinstance(text, TextKeys):
            assert text_lengths is None, "read_text was given the lengths already"
            keys: Sequence[Tensor | tuple[Tensor, Tensor]] = text.layers
            bias = text.bias
        else:
            embedded, bias = self._embed_text(text, text_lengths, padded_length)  # (B, L, dim)
            keys = [embedded] * len(self.blocks)

        hooks: Sequence[Callable[[Tensor], Tensor] | None] = control or [None] * len(self.blocks)
        for block, block_keys, hook in zip(self.blocks, keys, hooks, strict=True):
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, block_keys, bias, time, token, turn, hook, use_reentrant=False)
            else:
                x = block(x, block_keys, bias, time, token, turn, hook)  # (B, n, dim)

        table = self.scale_shift_table + embedding[:, None]  # (U, 2, dim)
        shift, scale = table.chunk(2, dim=1) if token is None else (F.embedding(token, r) for r in table.unbind(1))
        x = self.proj_out(modulate(x, shift, scale, self.config.eps))  # (B, n, patch·out_channels)
        return self._unpatchify(x, grid)

    def read_text(self, text: Tensor, text_lengths: Tensor | None = None, padded_length: int = 512) -> TextKeys:
        """Keys and values of a prompt embedding (B, L, text_dim), to be passed to many calls in its place.

        Without `text_lengths` every row is attended to. With it, the rows past a sample's length are padding, and the
        result equals the stock class's on the embedding padded with zeros to `padded_length` rows.
        """
        embedded, bias = self._embed_text(text, text_lengths, padded_length)
        return TextKeys([block.attn2.keys(embedded) for block in self.blocks], bias)  # type: ignore[union-attr, operator]

    def _embed_text(self, text: Tensor, lengths: Tensor | None, padded_length: int) -> tuple[Tensor, Tensor | None]:
        """The prompt at the transformer's width (B, L or L + 1, dim), and what to add to its attention logits.

        The stock pipeline attends to its zero padding. All padding rows have one and the same key and value, so a
        single one whose logit is raised by log(count) stands for them all: exp(l + log c) = c·exp(l).
        """
        length = text.shape[1]
        if lengths is None:
            return self.condition_embedder.text(text), None
        assert length <= padded_length, (length, padded_length)
        real = torch.arange(length, device=text.device) < lengths[:, None]  # (B, L)
        text = torch.where(real[..., None], text, 0)  # (B, L, text_dim)
        missing = padded_length - length
        if missing == 0:
            return self.condition_embedder.text(text), None
        bias = torch.zeros(1, 1, 1, length + 1, device=text.device)
        bias[..., -1] = math.log(missing)
        return self.condition_embedder.text(F.pad(text, (0, 0, 0, 1))), bias

    def _grid(self, latents: Tensor) -> tuple[int, int, int]:
        size = latents.shape[2:]
        if latents.ndim != 5 or any(length % step or not length for length, step in zip(size, self.patch, strict=True)):
            raise ShapeError(f"a latent grid of {tuple(size)} (t, h, w) does not divide by patches of {(*self.patch,)}")
        t, h, w = (length // step for length, step in zip(size, self.patch, strict=True))
        if max(t, h, w) > self.config.rope_max_seq_len:
            limit = self.config.rope_max_seq_len
            raise ShapeError(f"a token grid of {(t, h, w)} has a side longer than rope_max_seq_len {limit}")
        return t, h, w

    def _turn(self, grid: tuple[int, int, int], device: torch.device) -> Tensor:
        """Rotary factors of a grid, remembered: training sees a handful of grids thousands of times."""
        key = (grid, device)
        if key not in self._turns:
            self._turns[key] = rotation(grid, self.config.num_attention_heads, self.config.attention_head_dim, device)
        return self._turns[key]

    def _patchify(self, latents: Tensor) -> Tensor:
        """(B, c, t, h, w) -> (B, n, dim), fp32: a convolution with stride = size is a linear of flattened patches."""
        p, q, r = self.patch
        patches = rearrange(latents, "b c (t p) (h q) (w r) -> b (t h w) (c p q r)", p=p, q=q, r=r)
        return F.linear(patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias).float()

    def _unpatchify(self, x: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """(B, n, p·q·r·c) -> (B, c, t, h, w)."""
        (t, h, w), (p, q, r) = grid, self.patch
        out: Tensor = rearrange(x, "b (t h w) (p q r c) -> b c (t p) (h q) (w r)", t=t, h=h, w=w, p=p, q=q, r=r)
        return out
