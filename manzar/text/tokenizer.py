"""Text to token ids: words of its captions for a model trained here, bytes, or a hub model's own pieces.

The words are those of vocabulary.py. The byte-level ids are those of transformers' ByT5Tokenizer (Xue et al. 2021,
arXiv:2105.13626): every language is spelt in the same 256 symbols, so nothing is out of vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from manzar.nouns import ModelError
from manzar.text.vocabulary import build_tokenizer, unknown_words

MAX_TOKENS = 512  # what the stock pipeline reads, and the number of text positions the DiT attends to
PAD, EOS, UNKNOWN = 0, 1, 2
BYTE_OFFSET = 3  # byte b has id b + 3
SPARE_IDS = 125  # <extra_id_0> … <extra_id_124>, ids 259 … 383

# Special tokens written out in a prompt are honoured, as stock does; the first three swallow the space around them.
_SPECIAL = re.compile(r"\s*(<pad>|</s>|<unk>)\s*|(<extra_id_(?:\d|[1-9]\d|1[01]\d|12[0-4])>)")
_NAMED = {"<pad>": PAD, "</s>": EOS, "<unk>": UNKNOWN}

_CONFIG_NAME = "tokenizer_config.json"
_VOCABULARIES = ("tokenizer.json", "spiece.model")
_BYTE_CLASS = "ByT5Tokenizer"
_WORD_CLASS, _WORD_FILE = "PreTrainedTokenizerFast", "tokenizer.json"
_WORD_CONFIG: dict[str, Any] = {
    "tokenizer_class": _WORD_CLASS,
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "model_max_length": MAX_TOKENS,
}
_BYTE_CONFIG: dict[str, Any] = {
    "tokenizer_class": _BYTE_CLASS,
    "extra_ids": SPARE_IDS,
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "model_max_length": MAX_TOKENS,
}


class Tokenizer(Protocol):
    """What the encoder asks of a tokenizer. Ids 0 and 1 are padding and end of text in every UMT5 vocabulary."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, at most MAX_TOKENS, the last one end-of-text even where the text was cut."""

    def notes(self, text: str) -> list[str]:
        """What a person should know about how `text` is read: its words that the model has never seen, if it knows."""

    def save(self, folder: Path) -> None:
        """Write the files from which transformers' AutoTokenizer loads the same tokenizer."""


class ByteTokenizer:
    """UTF-8 bytes plus three; needs no files, and transformers only to be read back by others."""

    vocab_size = BYTE_OFFSET + 256 + SPARE_IDS

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._encode(text) for text in texts]

    def notes(self, text: str) -> list[str]:
        return []  # bytes spell every word alike, seen or not

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = []
        position = 0
        for match in _SPECIAL.finditer(text):
            ids += _bytes(text[position : match.start()])
            ids.append(_NAMED[match[1]] if match[1] else BYTE_OFFSET + 256 + int(match[2][10:-1]))
            position = match.end()
        ids += _bytes(text[position:])
        ids = ids[: MAX_TOKENS - 1]
        return ids if ids and ids[-1] == EOS else [*ids, EOS]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _CONFIG_NAME).write_text(json.dumps(_BYTE_CONFIG, indent=2) + "\n", encoding="utf-8")


class WordTokenizer:
    """A `tokenizer.json` read by the tokenizers library alone: transformers would take seconds to load for the same."""

    def __init__(self, stock: Any) -> None:
        self.stock = stock

    @classmethod
    def from_captions(cls, captions: Iterable[str]) -> WordTokenizer:
        return cls(build_tokenizer(captions))

    @classmethod
    def from_file(cls, path: Path) -> WordTokenizer:
        """Raises ModelError if the file is missing or does not load."""
        from tokenizers import Tokenizer as Stock

        try:
            stock = Stock.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{path} does not load as a tokenizer: {str(error).splitlines()[0]}") from None
        if (stock.token_to_id("<pad>"), stock.token_to_id("</s>")) != (PAD, EOS):
            raise ModelError(f"{path}: padding and end-of-text have ids {stock.token_to_id('<pad>')} and "
                             f"{stock.token_to_id('</s>')}; they must be {PAD} and {EOS}")
        return cls(stock)

    @property
    def vocab_size(self) -> int:
        size: int = self.stock.get_vocab_size()
        return size

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        rows = (encoding.ids for encoding in self.stock.encode_batch(list(texts)))
        return [ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], EOS] for ids in rows]

    def notes(self, text: str) -> list[str]:
        return [f'unknown word: "{word}"' + (f' (the nearest known is "{near}")' if near else "")
                for word, near in unknown_words(self.stock, text).items()]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stock.save(str(folder / _WORD_FILE))
        (folder / _CONFIG_NAME).write_text(json.dumps(_WORD_CONFIG, indent=2) + "\n", encoding="utf-8")


class HubTokenizer:
    """A tokenizer in transformers' own files, such as umT5's 256,300 pieces. Nothing is downloaded or executed."""

    def __init__(self, folder: Path) -> None:
        if not any((folder / name).is_file() for name in _VOCABULARIES):  # transformers would make up an empty one
            raise ModelError(f"{folder} holds no vocabulary; one of {' and '.join(_VOCABULARIES)} is needed")
        from transformers import AutoTokenizer

        try:
            stock: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"{folder} does not load as a tokenizer: {reason}") from error
        if (stock.pad_token_id, stock.eos_token_id) != (PAD, EOS):
            raise ModelError(f"{folder}: padding and end-of-text have ids {stock.pad_token_id} and "
                             f"{stock.eos_token_id}; a UMT5 tokenizer has {PAD} and {EOS}")
        self._stock = stock

    @property
    def vocab_size(self) -> int:
        return len(self._stock)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self._stock(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return ids

    def notes(self, text: str) -> list[str]:
        return []  # pieces of a published vocabulary say nothing about what its model was shown

    def save(self, folder: Path) -> None:
        self._stock.save_pretrained(str(folder))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises ModelError if there is none or it does not load."""
    config_file = folder / _CONFIG_NAME
    if not config_file.is_file():
        raise ModelError(f"{config_file} is missing; a model folder needs its tokenizer")
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{config_file} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{config_file} holds a {type(config).__name__}; an object is needed")
    if config.get("tokenizer_class") == _BYTE_CLASS:
        return ByteTokenizer()
    if config.get("tokenizer_class") == _WORD_CLASS:
        return WordTokenizer.from_file(folder / _WORD_FILE)
    return HubTokenizer(folder)


def _bytes(text: str) -> list[int]:
    return [byte + BYTE_OFFSET for byte in text.encode("utf-8")]
