"""Words of several languages placed by the company they keep."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from manzar.text import WordTokenizer, word_vectors
from manzar.world import WorldConfig, captions, sample_scene


@pytest.fixture(scope="module")
def told() -> list[list[str]]:
    config = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",))
    return [list(captions(sample_scene(seed, config), seed).values()) for seed in range(1500)]


def test_words_for_one_thing_stand_together(told: list[list[str]]) -> None:
    tokenizer = WordTokenizer.from_captions(text for clip in told for text in clip)
    vectors, known = word_vectors(tokenizer, told, 128)
    likeness = F.normalize(vectors, dim=1) @ F.normalize(vectors, dim=1).T
    ids = tokenizer.stock.get_vocab()
    for same, other in ((("red", "लाल", "سرخ"), "blue"), (("triangle", "त्रिभुज", "مثلث"), "circle"),
                        (("left", "左", "बाईं"), "right")):
        places = [ids[word] for word in same]
        assert likeness[places][:, places].min() > 0.8, same
        assert likeness[places, ids[other]].max() < 0.3, same
    torch.testing.assert_close(vectors[known].square().mean(1), torch.ones(int(known.sum())))


def test_what_is_never_said_has_no_place(told: list[list[str]]) -> None:
    tokenizer = WordTokenizer.from_captions(text for clip in told for text in clip)
    few = [["a red circle", "ایک سرخ دائرہ"], ["a blue square", "ایک نیلا مربع"]]
    vectors, known = word_vectors(tokenizer, few, 16)
    ids = tokenizer.stock.get_vocab()
    assert known[ids["red"]] and not known[ids["green"]] and not known[:3].any()
    assert not vectors[~known].any()
    assert vectors.shape == (tokenizer.vocab_size, 16)
