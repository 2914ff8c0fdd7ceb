"""The UMT5 encoder (Chung et al. 2023, arXiv:2304.09151), under the tensor names of transformers' UMT5EncoderModel.

A pre-norm transformer in T5's manner: no biases, norms that only scale, attention logits that are not divided by
√d_kv, and position known only through a learnt bias on those logits, of which every layer has its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.nouns import ModelError
from manzar.text.config import TextConfig
from manzar.text.init import init_weights
from manzar.text.prompt import check, clean
from manzar.text.tokenizer import PAD, Tokenizer, load_tokenizer

GROUP = 16  # prompts that go through the encoder together
_TIED_NAME, _NAME = "encoder.embed_tokens.weight", "shared.weight"  # one tensor; stock files hold the second


class TextEncoder(nn.Module):
    """Prompts to embeddings. A new one has the weights of `init_weights`."""

    def __init__(self, config: TextConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        if tokenizer.vocab_size > config.vocab_size:
            raise ModelError(f"the tokenizer has {tokenizer.vocab_size} ids and the text encoder knows "
                             f"{config.vocab_size}; they belong to different models")
        self.config = config
        self.tokenizer = tokenizer
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config)
        init_weights(self, config)

    @classmethod
    def from_parts(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor] | None, tokenizer_folder: Path
    ) -> TextEncoder:
        """An encoder from the contents of text_encoder/ and the folder tokenizer/; fresh weights if `tensors` is None.

        Raises ModelError naming the first setting or tensor that does not fit, or a tokenizer that does not load.
        """
        parsed, tokenizer = TextConfig.from_json(config), load_tokenizer(tokenizer_folder)
        if tensors is None:
            return cls(parsed, tokenizer)
        with torch.device("meta"):  # a hub encoder is too large to initialise for nothing
            encoder = cls(parsed, tokenizer)
        given = {name: tensor.float() for name, tensor in tensors.items() if name != _TIED_NAME}
        if _TIED_NAME in tensors:
            given.setdefault(_NAME, tensors[_TIED_NAME].float())
        _check_tensors(encoder.state_dict(), given)
        encoder.load_state_dict(given, assign=True)
        return encoder.requires_grad_(True)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Clean and tokenize: ids (B, L) int64, padded to the longest of the batch only, and lengths (B,) int64.

        At most 512 tokens each, the end-of-text id kept. Raises UsageError for a prompt over PROMPT_LIMIT characters.
        """
        assert prompts, "at least one prompt is needed"
        for prompt in prompts:
            check(prompt)
        rows = self.tokenizer.encode([clean(prompt) for prompt in prompts])
        longest = max(len(row) for row in rows)
        ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], dtype=torch.int64)
        return ids, torch.tensor([len(row) for row in rows], dtype=torch.int64)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, L), lengths (B,) → embeddings (B, L, d), fp32; rows at and past each length are zero.

        The longest length is L at most. Prompts of like length go through together, a few at a time: one long caption
        does not make all others pay for its padding, and the activations of a few stay in a CPU's cache.
        """
        order = lengths.argsort()
        starts = range(0, len(ids), GROUP)
        parts = [self._forward_group(ids[rows], lengths[rows]) for rows in (order[i : i + GROUP] for i in starts)]
        return torch.cat(parts)[order.argsort()]  # (B, L, d)

    def _forward_group(self, ids: Tensor, lengths: Tensor) -> Tensor:
        padded, longest = ids.shape[1], int(lengths.max())
        valid = torch.arange(longest, device=ids.device) < lengths[:, None]  # (B, longest)
        x = self.shared(ids[:, :longest]).float()  # (B, longest, d)
        x = self.encoder(x, valid).float() * valid[..., None]  # (B, longest, d)
        return F.pad(x, (0, 0, 0, padded - longest))  # (B, L, d)

    def embed(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """`tokenize`, then `forward` on the encoder's device: embeddings (B, L, d) and lengths (B,)."""
        ids, lengths = (tensor.to(self.shared.weight.device) for tensor in self.tokenize(prompts))
        return self(ids, lengths), lengths

    def save_tokenizer(self, folder: Path) -> None:
        """Write tokenizer/ of a model folder, as transformers and the stock pipeline load it."""
        self.tokenizer.save(folder)


class Stack(nn.Module):
    """The blocks and the last norm. The positions' buckets are worked out once for all layers."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.block = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer_norm = RMSNorm(config)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        length = x.shape[1]
        buckets = relative_buckets(
            torch.arange(1 - length, length, device=x.device),
            self.config.relative_attention_num_buckets,
            self.config.relative_attention_max_distance,
        )  # (2L - 1,)
        mask = torch.zeros(valid.shape, device=x.device).masked_fill(~valid, -math.inf)[:, None, None]  # (B, 1, 1, L)
        for block in self.block:
            x = block(x, buckets, mask)  # (B, L, d)
        out: Tensor = self.final_layer_norm(x)
        return out  # (B, L, d)


class Block(nn.Module):
    """Attention, then the feed-forward layer, each on the normed stream and added to it."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([SelfAttentionLayer(config), FeedForwardLayer(config)])

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor) -> Tensor:
        x = self.layer[0](x, buckets, mask)  # (B, L, d)
        out: Tensor = self.layer[1](x)
        return out  # (B, L, d)


class SelfAttentionLayer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(config)
        self.layer_norm = RMSNorm(config)

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = x + self.SelfAttention(self.layer_norm(x), buckets, mask)
        return out  # (B, L, d)


class FeedForwardLayer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(config)
        self.layer_norm = RMSNorm(config)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.DenseReluDense(self.layer_norm(x))
        return out  # (B, L, d)


class SelfAttention(nn.Module):
    """softmax(q kᵀ + bias) v: the logits are not scaled; `init_weights` makes q small instead."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor) -> Tensor:
        qkv = F.linear(x, torch.cat([self.q.weight, self.k.weight, self.v.weight]))  # (B, L, 3·h·d_kv)
        q, k, v = rearrange(qkv, "b l (three h d) -> three (b h) l d", three=3, h=self.heads)
        bias = (self._position_bias(buckets) + mask).flatten(0, 1)  # (B·h, L, L)
        # In the open, since no fused kernel gives the bias a gradient and torch's own fallback is half as fast.
        with torch.autocast(x.device.type, enabled=False):
            logits = torch.baddbmm(bias.to(q.dtype), q, k.transpose(1, 2))  # (B·h, L, L)
            x = torch.bmm(logits.softmax(-1), v)  # (B·h, L, d_kv)
        out: Tensor = self.o(rearrange(x, "(b h) l d -> b l (h d)", h=self.heads))
        return out  # (B, L, d)

    def _position_bias(self, buckets: Tensor) -> Tensor:
        """(h, L, L): row i, column j holds the bias at distance j − i, looked up once per distance."""
        by_distance: Tensor = self.relative_attention_bias(buckets).T  # (h, 2L - 1), distances 1 − L … L − 1
        length = (len(buckets) + 1) // 2
        # Window s of length L starts at distance s + 1 − L; row i is the window that starts at −i.
        return by_distance.unfold(1, length, 1).flip(1)


class GatedFeedForward(nn.Module):
    """wo(gelu(wi_0 x) · wi_1 x) (Shazeer 2020, arXiv:2002.05202), gelu by its tanh formula."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))
        return out  # (B, L, d)


class RMSNorm(nn.Module):
    """x / rms(x) · weight, in fp32 whatever comes in."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.d_model))
        self.eps = config.layer_norm_epsilon

    def forward(self, x: Tensor) -> Tensor:
        unit: Tensor = _UnitRMS.apply(x.float(), self.eps)  # type: ignore[no-untyped-call]
        out: Tensor = unit.to(self.weight.dtype) * self.weight
        return out


class _UnitRMS(torch.autograd.Function):
    """x / rms(x) along the last axis, with the gradient in closed form: a third of the passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        rms = (torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1] + eps).sqrt()  # (..., 1)
        y: Tensor = x / rms
        ctx.save_for_backward(y, rms)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,), (y, rms) = grads, ctx.saved_tensors
        along = (grad * y).mean(-1, keepdim=True)  # (..., 1): the part of the gradient that only rescales x is lost
        grad_x: Tensor = (grad - y * along) / rms
        return grad_x, None


def relative_buckets(distance: Tensor, buckets: int, max_distance: int) -> Tensor:
    """The bucket of each signed distance (key − query): one half of the buckets for each direction.

    In each half the first half are single distances, the rest widen logarithmically up to max_distance, and the last
    takes all beyond (Raffel et al. 2019, arXiv:1910.10683, section 2.1).
    """
    half = buckets // 2
    exact = half // 2
    steps = distance.abs()
    # In fp32 and in this order, so that a distance on the edge of two buckets falls where stock lets it fall.
    spread = torch.log(steps.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + spread.long()).clamp(max=half - 1)
    return torch.where(steps < exact, steps, far) + (distance > 0) * half


def _check_tensors(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing:
        raise ModelError(f"text_encoder: tensor {missing[0]} is missing ({len(missing)} in all)")
    if unknown:
        raise ModelError(f"text_encoder: tensor {unknown[0]} is not part of this model ({len(unknown)} in all)")
    for name, tensor in given.items():
        if tensor.shape != own[name].shape:
            raise ModelError(f"text_encoder: tensor {name} has shape {tuple(tensor.shape)}, "
                             f"the configuration asks for {tuple(own[name].shape)}")
