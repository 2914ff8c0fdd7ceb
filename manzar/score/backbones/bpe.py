"""CLIP's byte-pair tokenizer (Radford et al. 2021, arXiv 2103.00020), which ViCLIP shares.

The vocabulary is not shipped: it lies beside the checkpoints, either as OpenAI's bpe_simple_vocab_16e6.txt.gz or as
transformers' vocab.json with merges.txt. Both give the same numbers.
"""

from __future__ import annotations

import functools
import gzip
import html
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from manzar.score.dimension import Unscored

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 49408  # 256 bytes, inside a word and at its end; the merges; start and end
MERGES = TOKENS - 2 * 256 - 2
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenize(text: str, length: int, vocabulary: Path) -> torch.Tensor:
    """Token numbers int64 (1, length): start, the text's, end, then zeros; a text too long is cut before its end.

    vocabulary: the file that `checkpoints.find_vocabulary` found. Raises Unscored if it is not CLIP's.
    """
    numbers = [TOKENS - 2, *_tokenizer(vocabulary).encode(_plain(text)).ids][: length - 1]
    tokens = torch.zeros(1, length, dtype=torch.int64)
    tokens[0, : len(numbers) + 1] = torch.tensor([*numbers, TOKENS - 1])
    return tokens


def _plain(text: str) -> str:
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


@functools.cache
def _tokenizer(vocabulary: Path) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, pre_tokenizers
    from tokenizers.models import BPE

    merges = _merges(vocabulary)
    alphabet = _alphabet()
    symbols = [*alphabet, *(byte + "</w>" for byte in alphabet), *(a + b for a, b in merges), START, END]
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(BPE(numbers, merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _merges(vocabulary: Path) -> list[tuple[str, str]]:
    """The pairs in the order in which they are merged."""
    try:
        if vocabulary.suffix == ".gz":
            lines = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")
        else:
            lines = vocabulary.with_name("merges.txt").read_text(encoding="utf-8").split("\n")
            known = len(json.loads(vocabulary.read_text(encoding="utf-8")))
            if known != TOKENS:
                raise Unscored(f"{vocabulary} is not CLIP's vocabulary: it has {known} tokens, expected {TOKENS}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Unscored(f"{vocabulary} cannot be read as CLIP's vocabulary ({error}); get it again") from error
    pairs = [line.split() for line in lines[1 : MERGES + 1]]  # the first line names the format
    if len(pairs) != MERGES or any(len(pair) != 2 for pair in pairs):
        raise Unscored(f"{vocabulary} is not CLIP's vocabulary: {len(pairs)} merges of two, expected {MERGES}")
    return [(first, second) for first, second in pairs]


def _alphabet() -> list[str]:
    """A visible character for every byte: itself where it is one, else one from beyond Latin-1, in CLIP's order."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [*map(chr, visible), *(chr(256 + place) for place in range(len(hidden)))]
