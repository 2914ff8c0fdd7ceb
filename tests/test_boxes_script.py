"""boxes.json: what it says becomes boxes for every frame, and what it cannot mean becomes one clear line."""

from __future__ import annotations

import json
from math import dist
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manzar.boxes import BoxError, Plan, latent_plan, read_script
from manzar.boxes.geometry import MEAN_MARGIN, centre, lerp, size, visible
from manzar.nouns import Box, UsageError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "boxes"
FRAMES, FPS, MOST = 17, 8.0, 8


def plans(*objects: dict[str, Any], **others: Any) -> list[Plan]:
    return read_script({"objects": [*objects], **others}).resolve(FRAMES, FPS, MOST)


def key(box: list[float], **others: Any) -> dict[str, Any]:
    return {"box": box, **(others if {"time", "frame", "at"} & {*others} else {"frame": 0, **others})}


def near(box: Box, numbers: list[float]) -> bool:
    return box.as_list() == pytest.approx(numbers, abs=1e-9)


A, B = [0.1, 0.2, 0.3, 0.4], [0.5, 0.4, 0.9, 0.8]


# ---- what it means ---------------------------------------------------------------------------------------------------


def test_hard_at_the_keys_and_let_out_between():
    (plan,) = plans({"keys": [key(A), key(B, frame=16)]})
    assert plan.name == "object 1"
    assert near(plan.boxes[0], A) and near(plan.boxes[16], B)
    assert plan.hard == (True, *[False] * 15, True)
    assert near(plan.exact[8], [0.3, 0.3, 0.6, 0.6])
    m = MEAN_MARGIN
    assert near(plan.boxes[8], [0.3 - m, 0.3 - m, 0.6 + m, 0.6 + m])


def test_relax_scales_the_margins():
    (plan,) = plans({"keys": [key(A), key(B, frame=16)]}, relax=0)
    assert plan.boxes == plan.exact


@pytest.mark.parametrize(("when", "frame"), [
    ({"time": 1.0}, 8), ({"time": 1.01}, 8), ({"time": 2.125}, 16), ({"frame": 3}, 3), ({"at": 1}, 16),
])  # fmt: skip
def test_a_key_says_when_in_one_of_three_ways(when, frame):
    (plan,) = plans({"keys": [{"box": A, **when}]})
    assert [index for index, hard in enumerate(plan.hard) if hard] == [frame]


def test_a_soft_key_is_a_region_and_is_not_let_out_again():
    (plan,) = plans({"keys": [key(A), key([0.3, 0.1, 0.9, 0.9], frame=16, kind="soft")]})
    assert near(plan.boxes[16], [0.3, 0.1, 0.9, 0.9])
    assert not plan.hard[16]
    assert size(plan.exact[16]) == pytest.approx((0.2, 0.2))  # as large as the hard box says, in the region's middle
    assert centre(plan.exact[16]) == pytest.approx((0.6, 0.5))


def test_a_single_key_holds_for_the_whole_clip():
    (plan,) = plans({"keys": [key(A, frame=8)]})
    assert plan.hard == tuple(frame == 8 for frame in range(FRAMES))
    assert all(near(box, A) for box in plan.exact)
    (pinned,) = plans({"keys": [key(A)], "pin": True})
    assert all(pinned.hard) and all(near(box, A) for box in pinned.boxes)


def test_entering_slides_in_whole_from_behind_the_border():
    (plan,) = plans({"keys": [key([0.4, 0.4, 0.6, 0.6], frame=16)], "enter": "left"})
    assert near(plan.boxes[0], [0, 0.4, 0, 0.6]) and plan.hard[0]
    assert not visible(plan.boxes[0]) and visible(plan.boxes[1])
    assert near(plan.exact[4], [0, 0.4, 0.15, 0.6])  # a quarter of the way from [-0.2, 0] to [0.4, 0.6]: cut off
    assert near(plan.exact[8], [0.1, 0.4, 0.3, 0.6])


@pytest.mark.parametrize(("side", "line"), [
    ("left", [0, 0.4, 0, 0.6]), ("right", [1, 0.4, 1, 0.6]), ("top", [0.4, 0, 0.6, 0]), ("bottom", [0.4, 1, 0.6, 1]),
])  # fmt: skip
def test_leaving_ends_on_a_line_on_the_border(side, line):
    (plan,) = plans({"keys": [key([0.4, 0.4, 0.6, 0.6])], "leave": side})
    assert near(plan.boxes[16], line) and plan.hard[16]
    assert visible(plan.boxes[15])


def test_a_line_key_is_out_of_view_and_grows_no_thing():
    (plan,) = plans({"keys": [key([0, 0.4, 0, 0.6]), key([0.4, 0.4, 0.6, 0.6], frame=16)]})
    (other,) = plans({"keys": [key([0.4, 0.4, 0.6, 0.6], frame=16)], "enter": "left"})
    assert all(near(a, b.as_list()) for a, b in zip(plan.boxes, other.boxes, strict=True))


def test_a_path_is_followed_at_an_even_speed():
    (plan,) = plans({"keys": [key([0.1, 0.1, 0.3, 0.3]), key([0.7, 0.7, 0.9, 0.9], frame=16)], "path": [[0.8, 0.2]]})
    assert centre(plan.exact[4]) == pytest.approx((0.5, 0.2))
    assert centre(plan.exact[8]) == pytest.approx((0.8, 0.2))
    assert centre(plan.exact[12]) == pytest.approx((0.8, 0.5))


def test_a_path_from_one_key_leads_to_its_end():
    (plan,) = plans({"keys": [key([0.1, 0.1, 0.3, 0.3])], "path": [[0.8, 0.2]]})
    assert near(plan.boxes[16], [0.7, 0.1, 0.9, 0.3]) and plan.hard[16]
    (gone,) = plans({"keys": [key([0.1, 0.1, 0.3, 0.3])], "path": [[0.5, 0.5]], "leave": "bottom"})
    assert not visible(gone.boxes[16])
    assert any(centre(box) == pytest.approx((0.5, 0.5), abs=0.06) for box in gone.exact)


def test_the_camera_moves_the_view_and_not_the_thing():
    camera = {"keys": [{"at": 0, "box": [0, 0, 1, 1]}, {"at": 1, "box": [0.5, 0, 1.5, 1]}]}
    (plan,) = plans({"keys": [key([0.4, 0.4, 0.6, 0.6])], "pin": True}, camera=camera)
    assert all(plan.hard)
    assert near(plan.boxes[8], [0.15, 0.4, 0.35, 0.6])
    assert near(plan.boxes[16], [0, 0.4, 0.1, 0.6])  # half out of view
    (beside,) = plans({"keys": [key([1.1, 0.4, 1.3, 0.6])], "pin": True}, camera=camera)
    assert near(beside.boxes[0], [1, 0.4, 1, 0.6])  # not in view yet
    assert near(beside.boxes[16], [0.6, 0.4, 0.8, 0.6])


def test_a_zooming_camera_makes_things_larger():
    camera = {"keys": [{"at": 0, "box": [0, 0, 1, 1]}, {"at": 1, "box": [0.25, 0.25, 0.75, 0.75]}]}
    (plan,) = plans({"keys": [key([0.4, 0.4, 0.6, 0.6])], "pin": True}, camera=camera)
    assert near(plan.boxes[16], [0.3, 0.3, 0.7, 0.7])


def test_latent_frames_of_a_plan():
    (plan,) = plans({"keys": [key(A), key(B, frame=16)]})
    chosen, hard = latent_plan(plan, 4)
    assert hard == (True, False, False, False, True)
    assert near(chosen[0], A)
    assert chosen[4] == plan.exact[15]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 16), st.floats(0, 0.6), st.floats(0, 0.6), st.booleans()), min_size=1,
                max_size=4, unique_by=lambda one: one[0]))  # fmt: skip
def test_whatever_is_asked_for_stays_within_the_frame_and_keeps_its_keys(rows):
    keys = [key([x, y, x + 0.3, y + 0.4], frame=frame, kind="hard" if hard else "soft") for frame, x, y, hard in rows]
    (plan,) = plans({"keys": keys})
    for box in plan.boxes:
        assert 0 <= box.x0 <= box.x1 <= 1 and 0 <= box.y0 <= box.y1 <= 1
    for frame, x, y, hard in rows:
        assert near(plan.boxes[frame], [x, y, x + 0.3, y + 0.4])
        assert plan.hard[frame] == hard


def test_a_script_is_told_as_it_was_read(tmp_path):
    for path in sorted(EXAMPLES.glob("*.json")):
        script = read_script(path)
        assert read_script(script.to_dict()).to_dict() == script.to_dict()
        assert read_script(path.read_text()).objects == script.objects
        assert all(len(plan.boxes) == FRAMES for plan in script.resolve(FRAMES, FPS, MOST))


def test_examples_show_what_they_are_named_after():
    def example(name: str) -> list[Plan]:
        return read_script(EXAMPLES / f"{name}.json").resolve(FRAMES, FPS, MOST)

    assert not visible(example("entering")[0].boxes[0]) and visible(example("entering")[0].boxes[16])
    assert visible(example("leaving")[0].boxes[0]) and not visible(example("leaving")[0].boxes[16])
    one, two = example("swapping")
    assert centre(one.exact[0])[0] < centre(two.exact[0])[0] and centre(one.exact[16])[0] > centre(two.exact[16])[0]
    one, two = example("crossing")
    met = [(i, j) for i, a in enumerate(one.exact) for j, b in enumerate(two.exact) if dist(centre(a), centre(b)) < 0.1]
    assert met and all(i < j for i, j in met), "the second comes where the first has passed"
    (pinned,) = example("pinned")
    assert all(pinned.hard) and centre(pinned.boxes[16])[0] == pytest.approx(centre(pinned.boxes[0])[0] - 0.2)
    assert near(lerp(pinned.boxes[0], pinned.boxes[16], 0.5), pinned.boxes[8].as_list())


# ---- what it cannot mean ---------------------------------------------------------------------------------------------

BALL = "red ball"
NUMBERS = "shares of the frame from 0 to 1 are needed, and enter or leave for what goes beyond"


def one(keys: Any, **others: Any) -> dict[str, Any]:
    return {"objects": [{"name": BALL, "keys": keys, **others}]}


@pytest.mark.parametrize(("given", "line"), [
    ("{", "boxes: not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    ('{"objects":\n [}', "boxes: not JSON: Expecting value at line 2, column 3"),
    ("[]", "boxes: [] stands where an object {…} is needed, with objects, camera, relax"),
    ({}, "boxes: objects is missing"),
    ({"objects": []}, "boxes: objects is []; a list with at least one is needed"),
    ({"objects": "all"}, 'boxes: objects is "all"; a list with at least one is needed'),
    ({"object": []}, "boxes: there is no \"object\" here; did you mean 'objects'?"),
    ({"objects": [3]}, "boxes: object 1: 3 stands where an object {…} is needed, with name, keys, path, enter, leave, "
                       "pin"),
    ({"objects": [{"nam": "x", "keys": [key(A)]}]}, "boxes: object 1: there is no \"nam\" here; did you mean 'name'?"),
    ({"objects": [{"name": 7, "keys": [key(A)]}]}, "boxes: object 1: its name is 7; a text is needed"),
    ({"objects": [{"name": "x"}]}, "boxes: object 1: keys is missing"),
    ({"objects": [{"name": BALL, "keys": [key(A)]}] * 2},
     "boxes: object 2: the name 'red ball' is taken; names tell objects apart"),
    (one([]), "boxes: 'red ball': keys is []; a list with at least one is needed"),
    (one([{"frame": 0}]), "boxes: 'red ball', key 1: box is missing"),
    (one([{"frame": 0, "bok": A}]), "boxes: 'red ball', key 1: there is no \"bok\" here; did you mean 'box'?"),
    (one([{"box": A}]), "boxes: 'red ball', key 1: it does not say when; give one of time (seconds), frame, and at (a "
                        "share of the clip)"),
    (one([{"box": A, "time": 0, "at": 0}]), "boxes: 'red ball', key 1: it says when by time and at; give one of time "
                                            "(seconds), frame, and at (a share of the clip)"),
    (one([key(A, time="now")]), "boxes: 'red ball', key 1, time: \"now\" is not a finite number"),
    (one([key(A, time=-1)]), "boxes: 'red ball', key 1: time is -1; 0 seconds or more is needed"),
    (one([key(A, frame=1.5)]), "boxes: 'red ball', key 1: frame is 1.5; a whole number, 0 or more, is needed"),
    (one([key(A, at=1.2)]), "boxes: 'red ball', key 1: at is 1.2; a share from 0 to 1 is needed"),
    (one([key(A, kind="firm")]), "boxes: 'red ball', key 1: kind is \"firm\"; hard (its outline) or soft (a region "
                                 "around it) is needed"),
    (one([key(A), key([0.1, 0.2, 0.3], frame=2)]),
     "boxes: 'red ball', key 2: box is [0.1, 0.2, 0.3]; four numbers [x0, y0, x1, y1] are needed"),
    (one([key([0.1, 0.2, 0.3, None])]), "boxes: 'red ball', key 1, box y1: null is not a finite number"),
    (one([key([0.1, 0.2, 0.3, True])]), "boxes: 'red ball', key 1, box y1: true is not a finite number"),
    (one([key([0.1, 0.2, float("nan"), 0.4])]), "boxes: 'red ball', key 1, box x1: NaN is not a finite number"),
    (one([key([0.1, float("inf"), 0.3, 0.4])]), "boxes: 'red ball', key 1, box y0: Infinity is not a finite number"),
    (one([key([0.1, 0.2, 1.3, 0.4])]), f"boxes: 'red ball', key 1: box x1 is 1.3; {NUMBERS}"),
    (one([key([0.1, -0.2, 0.3, 0.4])]), f"boxes: 'red ball', key 1: box y0 is -0.2; {NUMBERS}"),
    (one([key([0.5, 0.2, 0.3, 0.4])]), "boxes: 'red ball', key 1: box x1 0.3 is less than x0 0.5; [x0, y0, x1, y1] go "
                                       "from the upper left corner to the lower right"),
    (one([key([0.5, 0.2, 0.5, 0.4])]), "boxes: 'red ball', key 1: box x0 and x1 are both 0.5, so it has no area; only "
                                       "a line on the border, at 0 or 1, can stand for out of view"),
    (one([key([10**400, 0, 1, 1])]), f"boxes: 'red ball', key 1, box x0: 1{58 * '0'}… is not a finite number"),
    (one([key([0, 0.2, 0, 0.4])]), "boxes: 'red ball': it is out of view at every key; give it one box with an area"),
    (one([key(A)], enter="west"), "boxes: 'red ball': enter is \"west\"; one of left, right, top, bottom is needed"),
    (one([key(A)], path=[[0.5]]), "boxes: 'red ball', path point 1: [0.5] is no point; two numbers [x, y] are needed"),
    (one([key(A)], path=[[0.5, 0.5], [0.5, 2]]), f"boxes: 'red ball', path point 2: y is 2; {NUMBERS}"),
    ({**one([key([0, 0, 1e300, 1])]), "camera": {"keys": [key([0, 0, 1, 1])]}},
     "boxes: 'red ball', key 1: box x1 is 1e+300; a camera's scene ends 100 frames away"),
    (one([key(A), key(A, frame=1), key(A, frame=2)], path=[[0.5, 0.5]]),
     "boxes: 'red ball': a path leads from its first key to its last, and there are 3; leave out the keys between, or "
     "the path"),
    (one([key(A)], pin="yes"), "boxes: 'red ball': pin is \"yes\"; true or false is needed"),
    (one([key(A), key(B, frame=4)], pin=True), "boxes: 'red ball': pin holds one box for the whole clip; leave out "
                                               "pin, or all but one key"),
    ({**one([key(A)]), "relax": -1}, "boxes: relax: -1 is below 0; 1 is as loose as in training, 0 not at all"),
    ({**one([key(A)]), "camera": {"keys": [key([0, 0, 0, 1])]}},
     "boxes: camera, key 1: box x0 and x1 are both 0, so it has no area; a camera's scene needs boxes with one"),
    ({**one([key(A)]), "camera": {"keys": [key([0, 0, 1, 1], kind="soft")]}},
     "boxes: camera, key 1: there is no \"kind\" here; did you mean 'time'?"),
])  # fmt: skip
def test_what_cannot_be_meant_is_one_clear_line(given, line):
    with pytest.raises(BoxError) as caught:
        read_script(given)
    assert str(caught.value) == line
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(("given", "line"), [
    (one([key(A), key(B, time=5)]),
     "boxes: 'red ball', key 2: time 5 s is beyond the clip, 17 frames (0 to 16), 2.125 s at 8 a second"),
    (one([key(A, frame=17)]),
     "boxes: 'red ball', key 1: frame 17 is beyond the clip, 17 frames (0 to 16), 2.125 s at 8 a second"),
    (one([key(A, time=1), key(B, frame=8)]),
     "boxes: 'red ball', key 2: key 1 lies on frame 8 as well; one thing has one box at a time"),
    (one([key(A)], enter="left"),
     "boxes: 'red ball': it is to enter, but its first key lies on frame 0, before which there is no time to"),
    (one([key(A, at=1)], leave="left"),
     "boxes: 'red ball': it is to leave, but its last key lies on frame 16, after which there is no time to"),
    (one([key(A, at=1)], path=[[0.5, 0.5]]),
     "boxes: 'red ball': its path leads on from key 1, which lies on the last frame, 16"),
    ({"objects": [{"keys": [key(A)]}] * 50},
     "boxes: 50 objects, of which 'object 9' is the first too many; this model holds 8 apart"),
    ({**one([key(A)]), "camera": {"keys": [key([0, 0, 1, 1], time=9)]}},
     "boxes: camera, key 1: time 9 s is beyond the clip, 17 frames (0 to 16), 2.125 s at 8 a second"),
])  # fmt: skip
def test_what_does_not_fit_the_clip_is_one_clear_line(given, line):
    script = read_script(given)
    with pytest.raises(BoxError) as caught:
        script.resolve(FRAMES, FPS, MOST)
    assert str(caught.value) == line


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(one([key([0.1, 0.2, 1.3, 0.4])])))
    with pytest.raises(BoxError, match=r"boxes.json: 'red ball', key 1: box x1 is 1.3"):
        read_script(path)
    path.write_text(json.dumps(one([key(A, time=9)])))
    with pytest.raises(BoxError, match=r"boxes.json: 'red ball', key 1: time 9 s"):
        read_script(path).resolve(FRAMES, FPS, MOST)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BoxError, match="not text"):
        read_script(path)
    with pytest.raises(UsageError, match="no such file"):
        read_script(tmp_path / "none.json")


anything = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.lists(st.floats(-1, 2), max_size=5),
    st.sampled_from([{}, [], [[]], {"keys": []}, 10**400, "left", "soft", {"x": 1}]),
)  # fmt: skip
WHOLE = {
    "objects": [{"name": BALL, "keys": [key(A, at=0.2), key(B, at=0.8, kind="soft")], "path": [[0.5, 0.5]],
                 "enter": "left", "leave": "top"}, {"keys": [key(A)], "pin": True}],
    "camera": {"keys": [key([0, 0, 1, 1]), key([0.1, 0, 1.1, 1], frame=16)]}, "relax": 0.5,
}  # fmt: skip


def changed(draw: st.DrawFn, value: Any) -> Any:
    """The same JSON with something else at one place of it, at any depth."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(anything)
    place = draw(st.sampled_from([*value] if isinstance(value, dict) else [*range(len(value))]))
    copy = value.copy()
    copy[place] = changed(draw, value[place])
    return copy


@settings(max_examples=120)
@given(st.composite(lambda draw: changed(draw, WHOLE))())
def test_whatever_is_written_somewhere_is_read_or_named_in_one_line(script):
    assert len(read_script(WHOLE).resolve(FRAMES, FPS, MOST)) == 2
    problem = ""
    try:
        read_script(json.dumps(script)).resolve(FRAMES, FPS, MOST)
    except BoxError as error:
        problem = str(error)
    assert "\n" not in problem


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000])
def test_text_that_no_parser_takes_is_not_json(text):
    with pytest.raises(BoxError, match="boxes: not JSON"):
        read_script(text)
