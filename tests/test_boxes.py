"""Boxes: arithmetic, tracks in pixel and latent frames, drawing, measures, wanted against found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from manzar.boxes import Plan, latent_plan
from manzar.boxes.draw import colours, draw, line_width, paint
from manzar.boxes.geometry import (
    FRAME,
    MEAN_MARGIN,
    SIDES,
    area,
    beyond,
    border,
    centre,
    clip,
    cropped,
    flipped,
    from_view,
    intersection,
    iou,
    lerp,
    margin,
    relax,
    to_view,
    union,
    visible,
)
from manzar.boxes.measures import (
    Sighting,
    average_precision,
    by_number,
    centre_errors,
    figure,
    ious,
    match,
    measures,
)
from manzar.boxes.tracks import (
    crop_track,
    flip_track,
    groups,
    hard_latent,
    lined,
    soft_latent,
    span,
)
from manzar.boxes.view import overlay, strip, told
from manzar.cli.talk import app
from manzar.media import read, write
from manzar.nouns import Box, BoxTrack, Video, VideoShape
from manzar.score.truth.boxes import called, find, sight
from manzar.world import WorldConfig, render, sample_scene, truth

share = st.floats(0, 1)
anywhere = st.floats(-2, 2)


def box_of(numbers: tuple[float, float, float, float]) -> Box:
    x0, x1 = sorted(numbers[:2])
    y0, y1 = sorted(numbers[2:])
    return Box(x0, y0, x1, y1)


boxes = st.tuples(share, share, share, share).map(box_of)
loose_boxes = st.tuples(anywhere, anywhere, anywhere, anywhere).map(box_of)
windows = st.tuples(share, share, st.floats(0.1, 1), st.floats(0.1, 1)).map(
    lambda n: Box(n[0], n[1], n[0] + n[2], n[1] + n[3])
)


def near(a: Box, b: Box) -> bool:
    return all(math.isclose(p, q, abs_tol=1e-9) for p, q in zip(a.as_list(), b.as_list(), strict=True))


def holds(outer: Box, inner: Box) -> bool:
    return (outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and outer.x1 >= inner.x1 and outer.y1 >= inner.y1)


# ---- geometry --------------------------------------------------------------------------------------------------------


@given(boxes, boxes)
def test_overlap_is_symmetric_and_bounded(a, b):
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert area(union([a, b])) >= max(area(a), area(b)) - 1e-12
    assert intersection(a, b) <= min(area(a), area(b)) + 1e-12
    if area(a) > 1e-12:
        assert iou(a, a) == pytest.approx(1)


def test_overlap_of_two_halves():
    assert iou(Box(0, 0, 0.5, 1), Box(0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert iou(Box(0, 0, 0, 1), Box(0, 0, 0, 1)) == 0


@given(loose_boxes)
def test_what_is_out_of_view_is_a_line_on_the_border_it_left_by(box):
    inside = border(box)
    assert holds(FRAME, inside)
    if box.x1 <= 0:
        assert inside.x0 == inside.x1 == 0
    if box.x0 >= 1:
        assert inside.x0 == inside.x1 == 1
    if box.y1 <= 0:
        assert inside.y0 == inside.y1 == 0
    assert visible(box) == (clip(box) is not None)
    assert border(inside) == inside


@given(boxes, windows)
def test_crop_then_uncrop(box, window):
    assert near(from_view(to_view(box, window), window), box)
    inside = cropped(box, window)
    assert holds(FRAME, inside)
    if visible(to_view(box, window)):
        shared = Box(max(box.x0, window.x0), max(box.y0, window.y0), min(box.x1, window.x1), min(box.y1, window.y1))
        assert near(from_view(inside, window), shared)


@given(boxes, st.tuples(share, share, share, share))
def test_a_relaxed_box_holds_the_box(box, margins):
    region = relax(box, margins)
    assert holds(region, box)
    assert holds(FRAME, region)
    if not visible(box):
        assert region == box


@given(boxes, st.sampled_from(SIDES))
def test_pushed_out_by_a_side_only_touches_it(box, side):
    out = beyond(box, side)
    assert not visible(out)
    line = border(out)
    at = {"left": line.x0 == line.x1 == 0, "right": line.x0 == line.x1 == 1,
          "top": line.y0 == line.y1 == 0, "bottom": line.y0 == line.y1 == 1}  # fmt: skip
    assert at[side] or math.isclose({"left": line.x1, "right": 1 - line.x0, "top": line.y1,
                                     "bottom": 1 - line.y0}[side], 0, abs_tol=1e-9)  # fmt: skip


@given(boxes)
def test_a_mirror_twice_is_none(box):
    assert near(flipped(flipped(box)), box)
    assert centre(flipped(box))[0] == pytest.approx(1 - centre(box)[0])


def test_between_two_boxes_corners_move_evenly():
    assert near(lerp(Box(0, 0, 0.2, 0.4), Box(0.4, 0.2, 1, 0.6), 0.5), Box(0.2, 0.1, 0.6, 0.5))


def test_margins_are_those_of_the_beta_distribution():
    draws = np.array([margin(u) for u in (np.arange(20_000) + 0.5) / 20_000])
    assert draws.mean() == pytest.approx(MEAN_MARGIN, abs=1e-4)
    assert draws.var() == pytest.approx(8 / (81 * 10), rel=1e-2)  # of Beta(1, 8): ab / ((a + b)^2 (a + b + 1))
    assert margin(0.0) == 0


# ---- tracks ----------------------------------------------------------------------------------------------------------


def test_groups_cover_every_pixel_frame_once():
    assert groups(9, 4) == [range(0, 1), range(1, 5), range(5, 9)]
    for frames, r in ((1, 4), (17, 4), (5, 1), (13, 3)):
        assert [frame for group in groups(frames, r) for frame in group] == [*range(frames)]


def moving(frames: int) -> tuple[Box, ...]:
    return tuple(Box(0.05 * k, 0.2, 0.05 * k + 0.1, 0.4) for k in range(frames))


def test_latent_boxes_are_the_middle_one_or_the_union():
    track = moving(9)
    assert hard_latent(track, 4) == (track[0], track[3], track[7])
    soft = soft_latent(track, 4)
    assert soft[0] == track[0]
    assert near(soft[1], Box(track[1].x0, 0.2, track[4].x1, 0.4))
    away = Box(0, 0, 0, 1), Box(1, 0, 1, 1)
    assert soft_latent((away[0], *away, *away), 4)[1] in away  # not the whole frame, which two borders would span


def test_a_latent_frame_is_hard_where_one_of_its_frames_is():
    exact = moving(9)
    regions = tuple(relax(box, (0.1,) * 4) for box in exact)
    plan = Plan("a", regions, tuple(k in (0, 8) for k in range(9)), exact)
    chosen, hard = latent_plan(plan, 4)
    assert hard == (True, False, True)
    assert chosen == (exact[0], soft_latent(regions, 4)[1], exact[7])  # as trained: the outline in the middle


def test_missing_boxes_are_lines_at_the_ends_and_filled_between():
    box = Box(0.05, 0.4, 0.25, 0.6)
    far = Box(0.6, 0.75, 0.8, 0.95)
    whole = lined([None, box, None, far, None])
    assert whole is not None
    assert whole[0] == Box(0, 0.4, 0, 0.6)  # came in by the left, the nearest border
    assert whole[4] == Box(0.6, 1, 0.8, 1)
    assert near(whole[2], lerp(box, far, 0.5))
    assert lined([None, None]) is None
    assert span([None, box, None, far, None]) == range(1, 4)
    assert not span([None, Box(0, 0, 0, 1)])


def test_tracks_follow_crops_and_flips():
    track = BoxTrack("a", (Box(0.1, 0.2, 0.3, 0.4), None, Box(0.6, 0.2, 0.8, 0.4)))
    half = crop_track(track, Box(0, 0, 0.5, 1))
    assert half.boxes[1:] == (None, None)
    assert near(half.boxes[0], Box(0.2, 0.2, 0.6, 0.4))
    assert near(flip_track(track).boxes[0], Box(0.7, 0.2, 0.9, 0.4))


# ---- drawing ---------------------------------------------------------------------------------------------------------


def test_a_line_goes_around_the_box_and_stays_on_the_frame():
    frame = np.zeros((32, 32, 3), np.uint8)
    draw(frame, Box(0.25, 0.25, 0.75, 0.75), (255, 0, 0))
    marked = frame[..., 0] == 255
    assert not marked[8:24, 8:24].any()  # what the box holds is left to be seen
    assert marked[7, 7:25].all() and marked[24, 7:25].all() and marked[7:25, 7].all() and marked[7:25, 24].all()
    assert marked.sum() == 4 * 17
    whole = np.zeros((32, 32, 3), np.uint8)
    draw(whole, FRAME, (255, 0, 0))
    assert (whole[..., 0] == 255).sum() == 4 * 31


def test_out_of_view_is_a_line_on_the_border():
    frame = np.zeros((32, 32, 3), np.uint8)
    draw(frame, Box(1, 0.25, 1, 0.75), (0, 255, 0))
    rows, columns = np.nonzero(frame[..., 1])
    assert set(columns) == {31}
    assert (rows.min(), rows.max()) == (7, 24)


@settings(max_examples=50)
@given(boxes, st.integers(1, 3), st.booleans())
def test_any_box_can_be_drawn(box, width, dashed):
    frame = np.zeros((20, 30, 3), np.uint8)
    draw(frame, box, (255, 255, 255), width=width, dashed=dashed, phase=1)
    assert dashed or frame.any()


def test_dashes_are_half_of_the_line():
    solid, dashed = (np.zeros((64, 64, 3), np.uint8) for _ in range(2))
    draw(solid, Box(0.1, 0.1, 0.9, 0.9), (255, 0, 0))
    draw(dashed, Box(0.1, 0.1, 0.9, 0.9), (255, 0, 0), dashed=True)
    assert 0.4 < dashed.any(-1).sum() / solid.any(-1).sum() < 0.6
    assert not (dashed.any(-1) & ~solid.any(-1)).any()


def test_painting_leaves_the_frames_and_marks_every_object():
    frames = np.full((3, 64, 64, 3), 100, np.uint8)
    one, two = (Box(0.1, 0.1, 0.3, 0.3),) * 3, (None, Box(0.5, 0.5, 0.9, 0.9), None)
    painted = paint(frames, [one, two], [(255, 0, 0), (0, 0, 255)])
    assert (frames == 100).all()
    assert [int((frame == (255, 0, 0)).all(-1).sum() > 0) for frame in painted] == [1, 1, 1]
    assert [int((frame == (0, 0, 255)).all(-1).sum() > 0) for frame in painted] == [0, 1, 0]
    assert line_width(64, 64) == 1 and line_width(480, 640) == 5
    assert len(set(colours(8))) == 8


# ---- measures --------------------------------------------------------------------------------------------------------


def still(box: Box, frames: int = 3) -> tuple[Box, ...]:
    return (box,) * frames


HERE, THERE = Box(0.1, 0.1, 0.3, 0.3), Box(0.6, 0.6, 0.8, 0.8)
HALF_OFF = Box(0.1, 0.1, 0.3, 0.2)  # IoU 0.5 with HERE


def test_overlap_per_frame_counts_misses_and_things_that_should_be_away():
    line = Box(0, 0, 0, 1)
    assert ious((HERE, HERE, line, line), (HERE, None, HERE, None)) == [1.0, 0.0, 0.0]
    assert ious((HERE, line), ()) == [0.0]
    assert centre_errors((HERE, HERE, line), (THERE, None, HERE)) == [pytest.approx(math.hypot(0.5, 0.5))]


def test_who_is_who_is_settled_by_looks_and_then_by_place():
    wanted, found = [still(HERE), still(THERE)], [still(HERE), still(THERE)]
    assert match(wanted, found, [[0, 1], [1, 0]]) == [1, 0]  # swapped, and found to be
    assert match(wanted, found, [[0.5, 0.5], [0.5, 0.5]]) == [0, 1]
    assert match(wanted, found, [[0, 0], [0, 1]]) == [None, 1]
    assert match(wanted, [], [[], []]) == [None, None]


def test_average_precision_by_hand():
    """Three things: two found, of which one only half overlaps, and the more confident detection is of nothing."""
    films = [
        [Sighting(still(HERE), still(HERE), 0.9)],
        [Sighting(still(HERE), still(HALF_OFF), 0.5), Sighting((), still(THERE), 1.0)],
        [Sighting(still(HERE))],
    ]
    at50, at75 = average_precision(films, 0, (0.5, 0.75))
    # recall 1/3 at precision 1/2, recall 2/3 at precision 2/3: interpolated, 67 of 101 recalls (0 to 0.66) have 2/3
    assert at50 == pytest.approx(67 / 101 * 2 / 3)
    assert at75 == pytest.approx(34 / 101 * 1 / 2)


def test_average_precision_of_all_and_of_nothing():
    perfect = [[Sighting(still(HERE), still(HERE), 1.0)]] * 3
    assert average_precision(perfect, -1) == pytest.approx([1.0] * 10)
    assert average_precision([[Sighting(still(HERE))]], 0) == pytest.approx([0.0] * 10)
    away = [[Sighting((Box(0, 0, 0, 1), HERE), (None, HERE), 1.0)]]
    assert np.isnan(average_precision(away, 0)).all()
    assert average_precision(away, -1) == pytest.approx([1.0] * 10)


def test_a_thing_lost_on_one_frame_is_no_detection():
    lost = Sighting(still(HERE), (HERE, None, HERE), 1.0)
    assert not lost.followed
    assert average_precision([[lost]], 0) == pytest.approx([0.0] * 10)
    away = Sighting((HERE, Box(0, 0, 0, 1), HERE), (HERE, None, HERE), 1.0)
    assert away.followed


def test_order_among_equals_does_not_matter():
    right, wrong = Sighting(still(HERE), still(HERE), 0.5), Sighting(still(HERE), still(THERE), 0.5)
    assert average_precision([[right], [wrong]], 0) == pytest.approx(average_precision([[wrong], [right]], 0))


def test_figures_have_intervals_and_groups():
    films = [[Sighting(still(HERE), still(HERE if k % 2 else HALF_OFF), 1.0)] for k in range(40)]
    films += [[Sighting(still(HERE), still(HERE), 1.0)] * 2]
    table = measures()
    overlap = figure(films, table["IoU"])
    assert overlap.value == pytest.approx((20 * 0.5 + 20 + 2) / 42)
    assert overlap.low < overlap.value < overlap.high
    assert figure(films, table["EPE"]).value == pytest.approx(20 * 0.05 / 42)
    assert figure(films, table["AP50"]).value == pytest.approx(1)
    assert list(by_number(films)) == ["all", "1", "2"]
    assert figure(films, measures(first_frame=True)["mAP"]).value == pytest.approx(
        float(np.mean(average_precision(films, -1)))
    )


# ---- found on films --------------------------------------------------------------------------------------------------

SHAPE = VideoShape(17, 64, 64)


def test_the_world_is_found_where_it_is():
    scenes = [sample_scene(300_000 + k, WorldConfig(actors=(1 + k,) * 2, looks=("flat",))) for k in range(2)]
    overlaps = []
    for scene, frames in zip(scenes, render(scenes, SHAPE).numpy(), strict=True):
        tracks = truth(scene, SHAPE)
        seen = find(sight(frames), [called(track.name) for track in tracks], [track.boxes for track in tracks])
        overlaps += [sighting.overlap for sighting in seen.film if sighting.wanted]
    assert np.mean(overlaps) > 0.8


def discs(courses: dict[str, tuple[Box, ...]], side: int = 64) -> np.ndarray:
    """A film of discs in boxes, drawn here and not by the world."""
    shades = {"red": (255, 0, 0), "blue": (0, 0, 255)}
    frames = np.full((len(next(iter(courses.values()))), side, side, 3), 225, np.uint8)
    ys, xs = (np.mgrid[:side, :side] + 0.5) / side
    for colour, course in courses.items():
        for frame, box in zip(frames, course, strict=True):
            (x, y), radius = centre(box), (box.x1 - box.x0) / 2
            frame[(xs - x) ** 2 + (ys - y) ** 2 <= radius**2] = shades[colour]
    return frames


def across(start: float, end: float, frames: int = 17) -> tuple[Box, ...]:
    a, b = Box(start, 0.4, start + 0.25, 0.65), Box(end, 0.4, end + 0.25, 0.65)
    return tuple(lerp(a, b, k / (frames - 1)) for k in range(frames))


def test_things_that_pass_before_each_other_are_not_mixed_up():
    right, left = across(0.05, 0.7), across(0.7, 0.05)
    seen = find(sight(discs({"red": right, "blue": left})), [called("red disc"), called("blue ball")], [right, left])
    red, blue = (sighting for sighting in seen.film if sighting.wanted)
    assert blue.overlap > 0.85  # in front all the time
    assert red.overlap > 0.6
    assert iou(red.found[-1], right[-1]) > 0.8
    wrong = find(sight(discs({"red": right, "blue": left})), [called("blue disc"), called("red disc")], [right, left])
    assert all(sighting.overlap < 0.3 for sighting in wrong.film if sighting.wanted)


def test_what_was_not_asked_for_is_a_detection_of_its_own():
    right, left = across(0.05, 0.3), across(0.7, 0.7)
    seen = find(sight(discs({"red": right, "blue": left})), [called("red disc")], [right])
    assert [bool(sighting.wanted) for sighting in seen.film] == [True, False]
    assert seen.actors[0] is not None and seen.actors[0].colour == "red"


@pytest.mark.parametrize(("name", "colour", "shape"), [
    ("red ball", "red", "circle"), ("Grey House", "gray", "house"), ("object 1", None, ""), ("the car", None, "car"),
])  # fmt: skip
def test_names_say_what_to_look_for(name, colour, shape):
    assert (called(name).colour, called(name).shape) == (colour, shape)


# ---- shown -----------------------------------------------------------------------------------------------------------


def plan_of(name: str, course: tuple[Box, ...]) -> Plan:
    return Plan(name, course, (True,) * len(course), course)


def test_wanted_and_found_boxes_are_drawn_on_enlarged_frames():
    course = across(0.05, 0.7)
    frames = discs({"red": course})
    drawn = overlay(frames, [plan_of("red disc", course)], [course])
    assert drawn.shape == (17, 256, 256, 3)
    assert (drawn == colours(1)[0]).all(-1).any(axis=(1, 2)).all()
    assert (drawn == 0).all(-1).any(axis=(1, 2)).all()  # between the dashes
    bare = overlay(frames, [plan_of("red disc", course)], [()])
    assert not (bare == 0).all(-1).any()
    assert strip(frames, [plan_of("red disc", course)], [course]).shape[2] == 3
    assert told([plan_of("red disc", course)], [()]) == [("red disc", "IoU 0.00", "", "never found")]


BOXES = '{"objects": [{"name": "red ball", "keys": [{"at": 0, "box": [0.05, 0.4, 0.3, 0.65]}, ' \
        '{"at": 1, "box": [0.7, 0.4, 0.95, 0.65]}]}]}'


@pytest.mark.parametrize("kind", [".png", ".html", ".mp4"])
def test_show_writes_a_strip_a_page_or_a_film(tmp_path: Path, kind: str):
    film, script, out = tmp_path / "film.mp4", tmp_path / "boxes.json", tmp_path / f"out{kind}"
    write(Video(discs({"red": across(0.05, 0.7)}, 128), 8.0), film)
    script.write_text(BOXES)
    answer = CliRunner().invoke(app, ["show", str(film), "--boxes", str(script), "-o", str(out)])
    assert answer.exit_code == 0, answer.output
    assert "red ball, IoU 0.9" in answer.output
    if kind == ".html":
        text = out.read_text()
        assert "data:video/mp4;base64," in text and "red ball" in text and "http" not in text
    if kind == ".mp4":
        assert read(out).frames.shape == (17, 256, 256, 3)


def test_show_names_the_kinds_it_can_write(tmp_path: Path):
    film, script = tmp_path / "film.mp4", tmp_path / "boxes.json"
    write(Video(discs({"red": across(0.05, 0.7)}), 8.0), film)
    script.write_text(BOXES)
    answer = CliRunner().invoke(app, ["show", str(film), "--boxes", str(script), "-o", str(tmp_path / "out.txt")])
    assert "shown as .html" in str(answer.exception)
