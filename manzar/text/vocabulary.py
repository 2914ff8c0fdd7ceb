"""A vocabulary of the words that a model's captions use, in any script, built from the captions themselves.

A small model cannot afford to spell: read as bytes, a caption in Hindi is longer than the video it describes. Here
each word of the captions is one token, a Chinese character is one, and whatever else a person types falls apart into
letters, at last into bytes, so that nothing is lost. The result is an ordinary `tokenizer.json`: stock pipelines read
it, and what is made alike here (letter case, full-width forms, vowel signs that people leave out) is alike there too.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("<pad>", "</s>", "<unk>")  # ids 0, 1, 2, as in every UMT5 vocabulary
LETTER_SCORE = -30.0  # log probability of a single letter: any word is likelier than its spelling
MAX_WORDS = 30_000

# Written differently, meant alike. Order matters: NFKC and lower case come first.
ALIKE: tuple[tuple[str, str], ...] = (
    ("[\u064b-\u065f\u0670\u0640\u0621]", ""),  # Arabic vowel signs, stretching, the lone hamza
    ("[\u200b-\u200f\u2060\ufeff]", ""),  # invisible joiners and marks of direction
    ("[\u0622\u0623\u0625\u0671]", "\u0627"),  # alef with any hat is alef
    ("[\u064a\u0649\u0626\u06d2]", "\u06cc"),  # yeh: Arabic, without dots, with hamza, the Urdu long one
    ("\u0643", "\u06a9"),  # kaf: Arabic → Urdu
    ("[\u0629\u06c1\u06c2\u06c3\u06d5]", "\u0647"),  # heh and teh marbuta
    ("\u0624", "\u0648"),  # waw with hamza
    ("\u093c", ""),  # nukta: फ़ is written फ as often
    ("\u0901", "\u0902"),  # chandrabindu as anusvara
    ("[\u3002\u06d4\u0964]", "."),
    ("[\u3001\u060c]", ","),
    ("\u061b", ";"),
    ("\u061f", "?"),
)
DIGITS = "".join(chr(first + k) for first in (0x0660, 0x06F0, 0x0966) for k in range(10))  # Arabic, Urdu, Devanagari
LETTERS = (
    "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-"
    + "".join(map(chr, range(0x0900, 0x0970)))  # Devanagari
    + "".join(map(chr, (*range(0x0621, 0x063B), *range(0x0641, 0x064B))))  # Arabic
    + "\u0679\u067e\u0686\u0688\u0691\u0698\u06a9\u06af\u06ba\u06be\u06c1\u06cc\u06d2"  # what Urdu adds
)


def build_tokenizer(captions: Iterable[str]) -> Tokenizer:
    """A tokenizer whose tokens are the words of `captions`, every letter, and every byte.

    The same captions, in any order, give the same tokenizer. Ids 0, 1 and 2 are padding, end of text and unknown.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    normaliser = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Lowercase(),
        *(normalizers.Replace(Regex(pattern), plain) for pattern, plain in ALIKE),
        *(normalizers.Replace(digit, str(k % 10)) for k, digit in enumerate(DIGITS)),
    ])  # fmt: skip
    splitter = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
        pre_tokenizers.Punctuation("isolated"),
    ])  # fmt: skip
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(caption)))
    tokenizer = Tokenizer(models.Unigram(list(_pieces(counts)), unk_id=2, byte_fallback=True))
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _pieces(counts: Counter[str]) -> Iterator[tuple[str, float]]:
    """(piece, log probability) in the order of their ids."""
    yield from ((name, 0.0) for name in SPECIAL)
    yield from ((f"<0x{byte:02X}>", LETTER_SCORE) for byte in range(256))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:MAX_WORDS]
    total = sum(counts.values())
    yield from ((word, math.log(counts[word] / total)) for word in words)
    spelt = {letter for word in words for letter in word} | set(LETTERS)
    yield from ((letter, LETTER_SCORE) for letter in sorted(spelt - set(words)))


def unknown_words(tokenizer: Tokenizer, text: str) -> dict[str, str | None]:
    """The words of `text` that no caption had, in order, each with the known word that it may be a slip of, or None."""
    state = json.loads(tokenizer.to_str())
    known = {piece for piece, score in state["model"]["vocab"] if score > LETTER_SCORE and piece not in SPECIAL}
    words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    unknown = dict.fromkeys(word for word, _ in words if word not in known and any(map(str.isalnum, word)))
    return {word: next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.7)), None) for word in unknown}


def misspell(text: str, choices: Iterator[int]) -> str:
    """`text` with one slip of the pen: two letters swapped, one left out, or one doubled, in a word of four or more.

    choices: an endless stream of non-negative integers, the only source of chance. A text without such a word stays.
    """
    words = [match.span() for match in re.finditer(r"\w{4,}", text)]
    if not words:
        return text
    start, end = words[next(choices) % len(words)]
    at, kind = start + next(choices) % (end - start - 1), next(choices) % 3
    first, second = text[at], text[at + 1]
    return text[:at] + (second + first, second, first + first + second)[kind] + text[at + 2 :]
