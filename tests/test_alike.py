"""A text encoder that learns from captions alone: the same scene in two languages, told from all other scenes."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from manzar.nouns import LANGUAGES, Clip
from manzar.text import TextConfig, TextEncoder, WordTokenizer
from manzar.train.alike import contrast, learn_captions, pool, two_views
from manzar.world import WorldConfig, captions, sample_scene


def rows(count: int, seed: int) -> list[Clip]:
    config = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",))
    told = (captions(sample_scene(seed + index, config), index) for index in range(count))
    return [Clip(str(index), "", "", 0, 1, 8, 8, 8.0, 8, own) for index, own in enumerate(told)]


def encoder(learn_from: list[Clip]) -> TextEncoder:
    torch.manual_seed(0)
    tokenizer = WordTokenizer.from_captions(text for row in learn_from for text in row.captions.values())
    return TextEncoder(TextConfig(vocab_size=tokenizer.vocab_size, d_model=64, d_ff=128, num_layers=1, num_heads=1),
                       tokenizer)


@torch.no_grad()
def told_apart(text: TextEncoder, held_out: list[Clip]) -> float:
    """How often a Chinese caption is nearest to the Urdu one of the same scene."""
    first, second = (F.normalize(pool(text, [row.captions[code] for row in held_out]), dim=-1) for code in ("zh", "ur"))
    return float(((first @ second.T).argmax(1) == torch.arange(len(held_out))).float().mean())


def test_languages_come_to_share_one_space() -> None:
    learn_from, held_out = rows(300, 0), rows(40, 10_000)
    text = encoder(learn_from)
    before = told_apart(text, held_out)
    learn_captions(text, learn_from, LANGUAGES, 40, 0, 0.05, lambda *_: None)
    assert before < 0.1 and told_apart(text, held_out) > 0.2  # chance is 0.025


def test_the_same_seed_gives_the_same_encoder_and_nothing_to_compare_changes_nothing() -> None:
    learn_from = rows(20, 0)
    first, second, alone = (encoder(learn_from) for _ in range(3))
    fresh = {name: value.clone() for name, value in alone.state_dict().items()}
    for text in (first, second):
        learn_captions(text, learn_from, LANGUAGES, 2, 5, 0.5, lambda *_: None)
    learn_captions(alone, learn_from[:1], LANGUAGES, 2, 5, 0.5, lambda *_: None)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(value, fresh[name]) for name, value in alone.state_dict().items())


def test_two_views_are_of_two_languages_where_there_are_two() -> None:
    generator = torch.Generator().manual_seed(0)
    assert all(len(set(two_views(("a", "b", "c"), 0, generator))) == 2 for _ in range(20))
    assert two_views(("a",), 0, generator) == ("a", "a")


def test_contrast_is_least_where_each_is_nearest_to_its_own() -> None:
    views = torch.eye(4)
    assert contrast(views, views) < 0.01 < contrast(views, views.roll(1, 0))
