"""The module that draws objects into boxes: what it leaves alone, what reaches it, and how it is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import scramble, tiny_parts

from manzar.boxes import BoxError, read_script
from manzar.boxes.control import BoxControl, ControlConfig, cells, fourier, palette, relation, without_boxes
from manzar.generate import Boxes, Edit, Extend, FirstFrame, Generator, Loop, ModelParts, load_parts, save_parts
from manzar.generate.boxes import load_control, new_control, read_names, save_control
from manzar.nouns import ModelError, Request, UsageError, Video

TWO = {"objects": [
    {"name": "a", "keys": [{"at": 0, "box": [0.0, 0.2, 0.3, 0.5]}, {"at": 1, "box": [0.6, 0.2, 0.9, 0.5]}]},
    {"name": "b", "keys": [{"at": 0, "box": [0.5, 0.5, 0.9, 0.9]}]},
]}  # fmt: skip
ASKED = Request("a red ball", frames=9, height=32, width=32, steps=3, guidance=2.0, seed=4)


def boxed(request: Request = ASKED, script: object = TWO) -> Request:
    return replace(request, conditions=(*request.conditions, Boxes(read_script(script))))  # type: ignore[arg-type]


def fresh(seed: int = 0) -> ModelParts:
    parts = tiny_parts(seed=seed)
    parts.control = new_control(parts.dit, objects=3, width=16).eval()
    return parts


@pytest.fixture
def parts() -> ModelParts:
    """A model whose box control has been at work: every weight of it random."""
    parts = fresh()
    assert parts.control is not None
    scramble(parts.control, 7)
    return parts


def made(parts: ModelParts, request: Request) -> torch.Tensor:
    return torch.from_numpy(Generator(parts, "fp32").generate(request)[0].frames)


def test_at_first_the_module_changes_nothing_bit_for_bit() -> None:
    plain = Generator(tiny_parts(), "fp32")
    base = plain.complete(ASKED)
    shape = plain.shape(base)
    noise = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    control = Generator(fresh(), "fp32")
    assert torch.equal(control.denoise(control.complete(boxed()), shape, noise), plain.denoise(base, shape, noise))


def test_once_trained_it_is_heard_and_its_base_is_the_same_without_boxes(parts: ModelParts) -> None:
    assert torch.equal(made(parts, ASKED), made(tiny_parts(), ASKED))
    assert not torch.equal(made(parts, boxed()), made(parts, ASKED))


def test_where_a_box_is_and_whether_it_is_hard_both_tell(parts: ModelParts) -> None:
    films = [made(parts, boxed(script={"objects": [{"keys": [{"at": 0, "box": box, "kind": kind}]}]}))
             for box, kind in (([0, 0, 0.4, 0.4], "hard"), ([0, 0, 0.4, 0.5], "hard"), ([0, 0, 0.4, 0.4], "soft"))]
    assert not torch.equal(films[0], films[1]) and not torch.equal(films[0], films[2])


def named(*names: str) -> dict[str, object]:
    return {"objects": [{"name": name, "keys": [{"at": 0, "box": [0.3 * k, 0, 0.3 * k + 0.3, 0.4]}]}
                        for k, name in enumerate(names)]}


def test_a_name_tells_what_goes_into_its_box(parts: ModelParts) -> None:
    ball = made(parts, boxed(script=named("red ball")))
    assert not torch.equal(ball, made(parts, boxed(script=named("blue cat"))))
    both = ("red ball", "blue cat")
    assert not torch.equal(made(parts, boxed(script=named(*both))), made(parts, boxed(script=named(*both[::-1]))))


def test_a_number_and_a_name_that_nobody_chose_tell_nothing(parts: ModelParts) -> None:
    ball = made(parts, boxed(script=named("red ball")))
    assert torch.equal(ball, made(parts, boxed(script=named("red ball 2"))))
    silent = made(parts, boxed(script=named("object 1")))
    assert not torch.equal(ball, silent)
    assert parts.control is not None
    for layer in parts.control.layers:
        layer.name = None  # what a module does that was made without names
    assert torch.equal(silent, made(parts, boxed(script=named("object 1"))))
    assert torch.equal(silent, made(parts, boxed(script=named("red ball"))))


def test_a_name_is_the_mean_of_its_words(parts: ModelParts) -> None:
    ball, nothing, spare = read_names(parts.text, ["red ball", ""], 3)
    with torch.no_grad():
        (words,), _ = parts.text.embed(["red ball"])
    torch.testing.assert_close(ball, words.mean(0))
    assert not nothing.any() and not spare.any()
    assert not read_names(parts.text, [], 2).any()


def test_a_latent_frame_sees_only_its_own_boxes(parts: ModelParts) -> None:
    assert parts.control is not None
    boxes = torch.rand(1, 3, 3, 9)
    other = boxes.clone()
    other[:, 2] = torch.rand(3, 9)
    x = torch.randn(1, 12, 32)
    one, two = (parts.control.hooks(each, (3, 2, 2))[0](x) for each in (boxes, other))
    assert torch.equal(one[:, :8], two[:, :8])
    assert not torch.equal(one[:, 8:], two[:, 8:])


def test_empty_slots_are_all_one_token_and_their_number_does_not_matter_to_the_others(parts: ModelParts) -> None:
    assert parts.control is not None
    tokens = parts.control.tokens(without_boxes(torch.rand(2, 3, 3, 9)))
    assert torch.equal(tokens, parts.control.null.expand_as(tokens))


def test_box_guidance_of_its_own_is_a_straight_line_away_from_no_boxes(parts: ModelParts) -> None:
    generator = Generator(parts, "fp32")
    at_rest = replace(boxed(), guidance=1.0, steps=1)
    noise = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(1))

    def latents(request: Request) -> torch.Tensor:
        request = generator.complete(request)
        return generator.denoise(request, generator.shape(request), noise)

    none, one, three = (latents(replace(at_rest, box_guidance=scale)) for scale in (0.0, 1.0, 3.0))
    torch.testing.assert_close(three - none, 3 * (one - none), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one, latents(at_rest), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(none, latents(replace(ASKED, guidance=1.0, steps=1)), rtol=1e-4, atol=1e-4)


def test_boxes_go_with_every_other_condition(parts: ModelParts) -> None:
    clip = Video(np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), dtype=np.uint8), 8.0)
    for condition in (FirstFrame(clip), Extend(clip), Extend(clip, "backward"), Loop()):
        request = replace(ASKED, conditions=(condition,))
        assert not torch.equal(made(parts, boxed(request)), made(parts, request)), condition


def test_near_the_data_the_base_goes_on_alone(parts: ModelParts) -> None:
    generator = Generator(parts, "fp32")
    request = generator.complete(boxed())
    x = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    state = generator.apply(request.conditions, generator.begin(x, generator.shape(request)))
    text = generator.embed(request)
    steered, alone = (generator.predictor(request, text, each) for each in (state, replace(state, boxes=None)))
    for sigma in (0.9, 0.5, 0.49, 0.1):
        assert torch.equal(steered(x, sigma), alone(x, sigma)) == (sigma < 0.5), sigma


def test_an_edit_that_begins_where_boxes_end_is_refused(parts: ModelParts) -> None:
    clip = Video(np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), dtype=np.uint8), 8.0)
    with pytest.raises(UsageError, match=r"strength 0\.4: take 0\.5 or more"):
        made(parts, boxed(replace(ASKED, conditions=(Edit(clip, 0.4),))))
    edited = replace(ASKED, conditions=(Edit(clip, 0.9),))
    assert not torch.equal(made(parts, boxed(edited)), made(parts, edited))


def test_time_counts_from_the_first_frame_that_is_made(parts: ModelParts) -> None:
    clip = Video(np.zeros((9, 32, 32, 3), np.uint8), 8.0)
    request = Generator(parts).complete(boxed(replace(ASKED, frames=8, conditions=(Extend(clip),))))
    boxes = next(each for each in request.conditions if isinstance(each, Boxes))
    timeline = Generator(parts).timeline(request)
    whole = boxes.whole(timeline.total, timeline.before, timeline.after, 4)
    assert timeline.before == 1
    assert not whole[: timeline.before, :, 8].any() and whole[timeline.before :, :2, 8].all()
    first, last = whole[timeline.before, 0, :4], whole[-1, 0, :4]
    assert math.isclose(float(first[0]), 0.6 * 2 / 7, abs_tol=1e-5)  # of frames 0 … 3 that in the middle
    assert math.isclose(float(last[2]), 0.3 + 0.6 * 6 / 7, abs_tol=1e-5)


def test_long_videos_carry_their_boxes_from_window_to_window(parts: ModelParts) -> None:
    parts.info["defaults"]["window"] = 9
    request = replace(ASKED, frames=25)
    assert len(Generator(parts).windows(Generator(parts).complete(request))) > 1
    assert not torch.equal(made(parts, boxed(request)), made(parts, request))


def test_a_model_without_the_module_and_too_many_objects_are_refused(parts: ModelParts) -> None:
    with pytest.raises(UsageError, match="manzar train boxes"):
        Generator(tiny_parts()).complete(boxed())
    many = {"objects": [{"keys": [{"at": 0, "box": [0.1, 0.1, 0.2, 0.2]}]} for _ in range(4)]}
    with pytest.raises(BoxError, match="holds 3 apart"):
        Generator(parts).complete(boxed(script=many))


def test_it_lies_in_a_folder_of_its_own_and_fits_any_model_of_its_width(parts: ModelParts, tmp_path: Path) -> None:
    assert parts.control is not None
    save_control(parts.control, tmp_path / "own")
    save_parts(tiny_parts(seed=5), tmp_path / "model")
    assert load_parts(tmp_path / "model").control is None
    other = load_parts(tmp_path / "model")
    loaded = load_control(tmp_path / "own", other.dit)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), parts.control.parameters(), strict=True))
    save_control(parts.control, tmp_path / "model")
    assert load_parts(tmp_path / "model").control is not None


def test_a_module_for_another_width_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    dit = tiny_parts().dit
    save_control(BoxControl(ControlConfig(dim=64, layers=2, objects=3, width=16)), tmp_path)
    with pytest.raises(ModelError, match="64 wide of 2 blocks; this one is 32 wide"):
        load_control(tmp_path, dit)
    with pytest.raises(ModelError, match="holds no box control"):
        load_control(tmp_path / "nowhere", dit)
    (tmp_path / "boxes" / "config.json").write_text('{"_class_name": "BoxControl", "dim": 32, "depth": 2}')
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        load_control(tmp_path, dit)


def test_fourier_and_cells() -> None:
    waves = fourier(torch.tensor([[0.0, 0.5]]))
    assert waves.shape == (1, 32) and torch.equal(waves[0, :8], torch.ones(8))
    assert math.isclose(float(waves[0, 16 + 8 + 7]), math.sin(0.5 * 100 ** (7 / 8)), abs_tol=1e-5)
    grid = cells(2, 4, torch.device("cpu"))
    assert grid[5].tolist() == [0.25, 0.5, 0.5, 1.0]
    assert len(set(palette(8))) == 8


def test_a_token_is_told_how_a_box_lies_to_it() -> None:
    boxes = torch.zeros(1, 1, 2, 9)
    boxes[0, 0, :, :4] = torch.tensor([0.25, 0.0, 0.75, 0.5])
    boxes[0, 0, 0, 8] = 1  # the second slot holds no box
    seen = relation(cells(2, 2, torch.device("cpu")), boxes)[0, 0]  # (m, N, 7)
    assert seen[:, 0, 0].tolist() == [0.5, 0.5, 0.0, 0.0]  # half of each upper token is covered
    left, top, right, bottom = seen[0, 0, 1:5].tolist()
    assert (left, top, right, bottom) == (0.5, 0.0, 1.5, 1.0)
    assert seen[0, 0, 5:].tolist() == [0.25, 0.0] and not seen[:, 1].any()
