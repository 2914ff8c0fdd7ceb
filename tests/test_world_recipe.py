from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manzar.nouns import LANGUAGES, DataError, UsageError
from manzar.world import (
    EXTRA_LOOKS,
    LOOKS,
    Kind,
    WorldConfig,
    WorldRecipe,
    captions,
    read_recipe,
    render,
    write_recipe,
)
from manzar.world.recipe import held_back

MIXED = WorldRecipe(
    7, (Kind(5, 32, 48, 60), Kind(1, 64, 32, 30, config=WorldConfig(actors=(1, 1))), Kind(5, 32, 48, 60)), 0.1
)


def test_a_recipe_survives_its_file_with_every_name_written_out(tmp_path: Path) -> None:
    path = write_recipe(MIXED, tmp_path / "deep" / "world.json")
    assert read_recipe(path) == MIXED
    told = json.loads(path.read_text())
    assert told["kinds"][0]["looks"] == list(LOOKS)
    path.write_text('{"seed": 3, "kinds": [{"frames": 17, "height": 64, "width": 64, "clips": 9, "looks": null}]}')
    assert read_recipe(path) == WorldRecipe(3, (Kind(17, 64, 64, 9),), 0.02)


def test_rows_are_distinct_light_and_told_in_every_language() -> None:
    train, val = MIXED.rows("train"), MIXED.rows("val")
    rows = train + val
    assert len(rows) == 150 == len({row.id for row in rows}) == len({row.source for row in rows})
    assert [row.id for row in train] == [row.id for row in MIXED.rows("train")]
    assert len(val) == 6 + 3 + 6
    assert {row.split for row in train} == {"train"} and {row.split for row in val} == {"val"}
    assert not any(row.tracks for row in rows)
    assert tuple(train[0].captions) == LANGUAGES
    for row in (*train[::17], *val[::4]):
        said, told = dict(row.captions), MIXED.scene(row)
        assert said in [captions(told, k, moving=row.frames > 1) for k in range(4)]


def test_no_two_scenes_are_alike_even_in_kinds_that_are() -> None:
    numbers = {MIXED.number(place, clip) for place in range(3) for clip in range(60)}
    numbers |= {replace(MIXED, seed=8).number(place, clip) for place in range(3) for clip in range(60)}
    assert len(numbers) == 360
    first, last = MIXED.scene(MIXED.rows("train")[0]), MIXED.scene(MIXED.rows("train")[-54])
    assert first.actors != last.actors


def test_frames_are_those_of_the_rows_in_their_order_however_they_are_mixed() -> None:
    rows = MIXED.rows("train")
    mixed = [rows[80], rows[0], rows[1], rows[60], rows[100]]
    filmed = list(MIXED.frames(mixed))
    assert [frames.shape for frames in filmed] == [(*_size(row), 3) for row in mixed]
    for row, frames in zip(mixed, filmed, strict=True):
        alone = render([MIXED.scene(row)], row.shape, row.fps)[0].numpy()
        assert frames.dtype == np.uint8
        assert np.abs(frames.astype(int) - alone).max() <= 1
    batches = list(MIXED.batches(rows))
    assert sum(len(batch) for batch in batches) == len(rows)
    assert all(batch.dtype == torch.uint8 for batch in batches)
    assert max(len(batch) for batch in batches) > 20


def _size(row: object) -> tuple[int, int, int]:
    return row.frames, row.height, row.width  # type: ignore[attr-defined]


def test_a_grown_recipe_keeps_what_it_had() -> None:
    grown = replace(MIXED, kinds=(replace(MIXED.kinds[0], clips=500), *MIXED.kinds[1:]))
    for split in ("train", "val"):
        assert {row.id for row in MIXED.rows(split)} <= {row.id for row in grown.rows(split)}
    other = replace(MIXED, kinds=(replace(MIXED.kinds[0], config=WorldConfig(looks=("flat",))), *MIXED.kinds[1:]))
    assert other.rows("train")[0].id != MIXED.rows("train")[0].id  # other pixels, another id


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 1 / 3, 0.9])
def test_validation_has_its_share_of_any_beginning(share: float) -> None:
    sides = np.cumsum([held_back(i, share) for i in range(2000)])
    assert np.abs(sides - share * np.arange(1, 2001)).max() <= 0.5 + 1e-9


def test_a_row_of_another_recipe_is_refused() -> None:
    with pytest.raises(AssertionError, match="no row of the recipe of seed 7"):
        list(MIXED.frames(replace(MIXED, seed=8).rows("val")))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no recipe"),
        ("[]", "object"),
        ('{"seed": 1}', "kinds"),
        ('{"seed": 1, "kinds": []}', "0 kinds"),
        ('{"seed": -1, "kinds": [{"frames": 1, "height": 64, "width": 64, "clips": 1}]}', "seed=-1"),
        ('{"seed": 1, "kinds": [{"frames": 1, "height": 64, "width": 64}]}', "lacks 'clips'"),
        ('{"seed": 1, "kinds": [{"frames": 1, "height": 4, "width": 64, "clips": 1}]}', "8x8"),
        ('{"seed": 1, "kinds": [{"frames": 1.5, "height": 64, "width": 64, "clips": 1}]}', "whole"),
        ('{"seed": 1, "kinds": [{"frames": 1, "height": 64, "width": 64, "clips": 1, "lucks": []}]}', "lucks"),
        ('{"seed": 1, "kinds": [{"frames": 1, "height": 64, "width": 64, "clips": 1, "looks": ["oil"]}]}', "oil"),
        ('{"seed": 1, "kinds": [{"frames": 1, "height": 64, "width": 64, "clips": 1, "actors": 2}]}', "no recipe"),
        ('{"seed": 1, "val_share": 1, "kinds": [{"frames": 1, "height": 64, "width": 64, "clips": 1}]}', "val_share"),
    ],
)
def test_wrong_recipes_are_named_with_their_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as told:
        read_recipe(path)
    assert "wrong.json" in str(told.value)


def test_a_recipe_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_recipe(tmp_path / "none.json")


def test_looks_beyond_the_usual_are_filmed_only_by_name() -> None:
    usual = WorldRecipe(1, (Kind(1, 16, 16, 400),))
    assert not {usual.scene(row).look for row in usual.rows("train")} & set(EXTRA_LOOKS)
    asked = WorldRecipe(1, (Kind(1, 16, 16, 20, config=WorldConfig(looks=EXTRA_LOOKS)),))
    assert {asked.scene(row).look for row in asked.rows("train")} == set(EXTRA_LOOKS)
