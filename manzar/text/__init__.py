"""Prompt to embedding: a UMT5 encoder, reading bytes when trained from scratch, pieces when it comes from a hub.

Read in this order: config, prompt, tokenizer, encoder, init.
"""

from __future__ import annotations

from manzar.text.config import SMALL, TextConfig
from manzar.text.encoder import TextEncoder
from manzar.text.prompt import PROMPT_LIMIT, clean
from manzar.text.tokenizer import MAX_TOKENS, ByteTokenizer, HubTokenizer, Tokenizer, load_tokenizer

__all__ = [
    "MAX_TOKENS",
    "PROMPT_LIMIT",
    "SMALL",
    "ByteTokenizer",
    "HubTokenizer",
    "TextConfig",
    "TextEncoder",
    "Tokenizer",
    "clean",
    "load_tokenizer",
]
