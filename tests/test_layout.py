"""Where the things of a prompt are, before they are drawn: the network, its training, what generation makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import scramble, tiny_parts

from manzar.boxes.geometry import lerp
from manzar.boxes.layout import MOMENTS, Layout, LayoutConfig, course_of, moments, script_of
from manzar.curate import save_clips
from manzar.generate import FirstFrame, Generator, ModelParts, load_parts, save_parts
from manzar.generate.boxes import new_control
from manzar.generate.layout import imagine, load_layout, save_layout
from manzar.nouns import Box, DataError, ModelError, Request, VideoShape
from manzar.train import Budget, train_run
from manzar.train.log import read_log
from manzar.world import WorldConfig, clips

WORDS = ("blue", "red", "cat", "fish")
SHAPE = VideoShape(17, 32, 32)
ASKED = Request("a red ball", frames=9, height=32, width=32, steps=2, seed=4)


def named(*words: str) -> list[float]:
    """Logits of a thing of that name."""
    return [5.0, *(5.0 if word in words else -5.0 for word in WORDS)]


def course(box: Box, end: Box, frames: int = 17) -> torch.Tensor:
    """Of a thing that moves evenly from one box to the other."""
    return course_of([lerp(box, end, k / max(1, frames - 1)) for k in range(frames)])


def small() -> Layout:
    torch.manual_seed(0)
    return Layout(LayoutConfig(24, WORDS, things=2, width=16, layers=2, heads=2)).eval()


@pytest.fixture
def parts() -> ModelParts:
    """A model with box control and a layout of random weights, that takes every prompt to be of two things."""
    parts = tiny_parts()
    parts.control, parts.layout = new_control(parts.dit, objects=3, width=16).eval(), small()
    scramble(parts.control, 7)
    with torch.no_grad():
        parts.layout.told.bias[0] = 50.0
    return parts


def made(parts: ModelParts, request: Request) -> np.ndarray:
    return Generator(parts, "fp32").generate(request)[0].frames


def test_a_course_comes_back_as_the_boxes_it_was_made_of() -> None:
    start, end = Box(0.1, 0.2, 0.3, 0.5), Box(0.6, 0.2, 0.8, 0.5)
    script = script_of(torch.stack([course(start, end), course(end, start)]),
                       torch.tensor([named("red", "cat"), named("blue", "fish")]), WORDS, 17)
    assert script is not None
    assert [thing.name for thing in script.objects] == ["red cat 1", "blue fish 2"]
    keys = script.objects[0].keys
    assert [key.when for key in keys] == moments(17) == [*range(0, 17, 2)] and all(key.hard for key in keys)
    assert keys[0].box.as_list() == pytest.approx(start.as_list(), abs=1e-4)
    assert keys[-1].box.as_list() == pytest.approx(end.as_list(), abs=1e-4)
    plans = script.resolve(17, 8.0, 2)
    assert plans[0].exact[8].as_list() == pytest.approx([0.35, 0.2, 0.55, 0.5], abs=1e-4)


def test_what_leaves_the_frame_or_shrinks_away_is_still_a_box_that_can_be_meant() -> None:
    wild = torch.full((1, MOMENTS, 4), 9.0)
    wild[0, 3] = torch.tensor([1.0, 1.0, -1.0, -1.0])  # inside out
    script = script_of(wild.view(1, -1), torch.tensor([named("red")]), WORDS, 9)
    assert script is not None
    for plan in script.resolve(9, 8.0, 1):
        assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in plan.exact)


def test_a_still_image_has_one_box_a_thing_and_an_empty_prompt_none() -> None:
    here = Box(0.1, 0.2, 0.3, 0.5)
    script = script_of(course(here, here, 1)[None], torch.tensor([named("cat")]), WORDS, 1)
    assert script is not None and [len(thing.keys) for thing in script.objects] == [1]
    assert script_of(torch.zeros(1, 4 * MOMENTS), -torch.tensor([named("cat")]), WORDS, 17) is None


def test_a_layout_follows_from_seed_prompt_and_shape(parts: ModelParts) -> None:
    def of(prompt: str, seed: int, shape: VideoShape = SHAPE) -> object:
        assert parts.layout is not None
        return imagine(parts.layout, parts.text, [prompt], shape, [seed])[0]

    assert of("a red cat", 1) == of("a red cat", 1)
    assert of("a red cat", 1) != of("a red cat", 2)
    assert of("a red cat", 1) != of("a blue cat", 1)
    assert of("a red cat", 1) != of("a red cat", 1, VideoShape(17, 32, 64))
    assert parts.layout is not None
    both = imagine(parts.layout, parts.text, ["a red cat", "two fish in the sea"], SHAPE, [1, 2])
    assert both[0] is not None and [len(script.objects) for script in both if script] == [2, 2]
    first, again = both[0].objects[0].keys[0].box, of("a red cat", 1).objects[0].keys[0].box  # type: ignore[attr-defined]
    assert first.as_list() == pytest.approx(again.as_list(), abs=1e-3), "padding changes nothing"


def test_a_prompt_alone_is_laid_out_and_drawn_so(parts: ModelParts) -> None:
    generator = Generator(parts, "fp32")
    script = generator.layout(ASKED)
    assert script is not None
    alone = made(parts, replace(ASKED, layout=False))
    assert (made(parts, ASKED) != alone).any()
    parts.layout = None
    assert generator.layout(ASKED) is None
    assert np.array_equal(made(parts, ASKED), alone)


def test_what_is_given_is_not_laid_out_again(parts: ModelParts) -> None:
    first = replace(ASKED, conditions=(FirstFrame(np.zeros((32, 32, 3), np.uint8)),))
    long = replace(ASKED, frames=33)
    parts.info["defaults"]["window"] = 9
    for request in (first, long):
        assert np.array_equal(made(parts, request), made(parts, replace(request, layout=False)))


def test_several_samples_have_a_layout_each(parts: ModelParts) -> None:
    told: list[tuple[int, int]] = []
    two = replace(ASKED, count=2)
    films = Generator(parts, "fp32").generate(two, lambda done, total, _: told.append((done, total)))
    for index, film in enumerate(films):
        assert np.array_equal(film.frames, made(parts, replace(ASKED, seed=ASKED.seed + index)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_folder_keeps_it_and_refuses_one_of_another_encoder(parts: ModelParts, tmp_path: Path) -> None:
    save_parts(parts, tmp_path / "model")
    assert np.array_equal(made(load_parts(tmp_path / "model"), ASKED), made(parts, ASKED))
    other = Layout(LayoutConfig(25, WORDS))
    save_layout(other, tmp_path / "other")
    with pytest.raises(ModelError, match=r"embeddings of 25 numbers.*makes 24"):
        load_layout(tmp_path / "other", 24)
    with pytest.raises(ModelError, match="a width that the heads divide"):
        LayoutConfig(24, WORDS, width=30, heads=4)


TINY = ["batch=8", "size=32", "width=16", "layers=1", "things=2", "validations=1"]


def test_it_is_learned_from_captions_and_tracks(tmp_path: Path) -> None:
    save_clips(clips(60, 0, VideoShape(9, 32, 32), 8.0, WorldConfig(actors=(1, 2))), tmp_path / "data")
    save_parts(tiny_parts(), tmp_path / "base")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train_run("layout", tmp_path / "data", whole, Budget(steps=60), source=tmp_path / "base", pairs=TINY, quiet=True)
    log = [row for row in read_log(whole) if row["kind"] == "step"]
    early, late = (np.mean([row["loss"] for row in part]) for part in (log[:5], log[-5:]))
    assert late < 0.8 * early
    layout = load_layout(whole / "model", 24)
    colours = [word for word in layout.config.words if word in ("red", "blue", "green")]
    shapes = [word for word in layout.config.words if word in ("circle", "cat", "star")]
    assert max(map(layout.config.words.index, colours)) < min(map(layout.config.words.index, shapes))
    train_run("layout", tmp_path / "data", parted, Budget(steps=2), source=tmp_path / "base", pairs=TINY, quiet=True)
    train_run("layout", tmp_path / "data", parted, Budget(steps=4), resume=True, quiet=True)
    again = [row["loss"] for row in read_log(parted) if row["kind"] == "step"]
    assert again[:1] == [row["loss"] for row in log][:1] and len(again) == 4


def test_it_needs_things_that_have_names(tmp_path: Path) -> None:
    bare = ((video, replace(clip, tracks=())) for video, clip in clips(12, 0, VideoShape(9, 32, 32), 8.0))
    save_clips(bare, tmp_path / "data")
    save_parts(tiny_parts(), tmp_path / "base")
    with pytest.raises(DataError, match="no clip has tracks with names"):
        train_run("layout", tmp_path / "data", tmp_path / "run", Budget(steps=1), source=tmp_path / "base", pairs=TINY,
                  quiet=True)  # fmt: skip
