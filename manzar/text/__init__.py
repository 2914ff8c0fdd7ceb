"""Prompt to embedding: a UMT5 encoder, reading the words of its captions when trained here, a hub's pieces else.

Read in this order: config, prompt, vocabulary, tokenizer, encoder, init, meaning.
"""

from __future__ import annotations

from manzar.text.config import SMALL, TextConfig
from manzar.text.encoder import TextEncoder
from manzar.text.meaning import word_vectors
from manzar.text.prompt import PROMPT_LIMIT, clean
from manzar.text.tokenizer import MAX_TOKENS, ByteTokenizer, HubTokenizer, Tokenizer, WordTokenizer, load_tokenizer
from manzar.text.vocabulary import misspell

__all__ = [
    "MAX_TOKENS",
    "PROMPT_LIMIT",
    "SMALL",
    "ByteTokenizer",
    "HubTokenizer",
    "TextConfig",
    "TextEncoder",
    "Tokenizer",
    "WordTokenizer",
    "clean",
    "load_tokenizer",
    "misspell",
    "word_vectors",
]
