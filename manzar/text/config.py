"""Sizes of the text encoder, under the names of transformers' UMT5Config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from manzar.nouns import ModelError


@dataclass(frozen=True)
class TextConfig:
    """The part of UMT5Config that shapes the encoder; the defaults are SMALL."""

    vocab_size: int = 384  # 3 special ids, 256 bytes, 125 spare ids: the byte-level tokenizer's
    d_model: int = 256
    d_kv: int = 64
    d_ff: int = 512
    num_layers: int = 3
    num_heads: int = 4
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> TextConfig:
        """Read text_encoder/config.json. Raises ModelError for another kind of model or feed-forward layer."""
        if config.get("model_type") != "umt5":
            raise ModelError(f"text encoder of model_type {config.get('model_type')!r} is not supported; umt5 is")
        feed_forward = config.get("feed_forward_proj", "gated-gelu")
        if feed_forward != "gated-gelu":
            raise ModelError(f"text encoder with feed_forward_proj {feed_forward!r} is not supported; gated-gelu is")
        missing = [field.name for field in fields(cls) if field.name not in config]
        if missing:
            raise ModelError(f"the text encoder's config.json lacks {missing[0]} ({len(missing)} missing in all)")
        return cls(**{field.name: config[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """config.json as UMT5EncoderModel reads it."""
        return {
            "architectures": ["UMT5EncoderModel"],
            "model_type": "umt5",
            **asdict(self),
            "feed_forward_proj": "gated-gelu",
            "dropout_rate": 0.0,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
            "is_encoder_decoder": True,
            "tie_word_embeddings": True,
        }


SMALL = TextConfig()
