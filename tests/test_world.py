from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from manzar.nouns import LANGUAGES, UsageError, VideoShape
from manzar.world import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    EXTRA_LOOKS,
    HELD_OUT,
    LOOKS,
    MOTIONS,
    SHAPES,
    Actor,
    Scene,
    WorldConfig,
    clips,
    held_out,
    relation,
    render,
    sample_scene,
    truth,
)
from manzar.world.path import unclipped
from manzar.world.sample import MIN_CONTRAST, MIN_LUMA_CONTRAST, Draw
from manzar.world.scene import SEPIA, TEXTURED, TURNLESS, border_of, luma, tones
from manzar.world.shapes import fit

SQUARE = VideoShape(17, 64, 64)
PLAIN = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), backgrounds=("plain",))


def still(shape: str = "circle", colour: str = "red", **changes: object) -> Actor:
    fields: dict[str, object] = {
        "shape": shape, "colour": colour, "size": "medium", "motion": "still", "start": (0.5, 0.5), "end": (0.5, 0.5),
        "diameter_start": 0.5, "diameter_end": 0.5,
    }  # fmt: skip
    return Actor(**{**fields, **changes})  # type: ignore[arg-type]


def scene_of(*actors: Actor, backdrop: str = "white", **changes: str) -> Scene:
    fields = {"background": "plain", "camera": "still", "look": "flat", **changes}
    return Scene(actors, backdrop=backdrop, **fields)  # type: ignore[arg-type]


# ---- sampling --------------------------------------------------------------------------------------------------------


def test_draws_are_those_of_splitmix64() -> None:
    draw = Draw(0)
    draw._state = 1234567  # the published first outputs for this state
    assert [draw.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_scenes_are_the_same_on_every_machine() -> None:
    assert sample_scene(5) == sample_scene(5) != sample_scene(6)
    words = " ".join(f"{a.colour} {a.shape} {a.motion}" for i in range(200) for a in sample_scene(i).actors)
    assert hashlib.sha256(words.encode()).hexdigest()[:16] == "6cb392a64b7c3325"


def test_everything_appears() -> None:
    scenes = [sample_scene(i) for i in range(1500)]
    actors = [actor for scene in scenes for actor in scene.actors]
    assert {a.shape for a in actors} == set(SHAPES)
    assert {a.colour for a in actors} == set(COLOURS)
    assert {a.motion for a in actors} == set(MOTIONS)
    assert {s.background for s in scenes} == set(BACKGROUNDS)
    assert {s.camera for s in scenes} == set(CAMERAS)
    assert {s.look for s in scenes} == set(LOOKS)
    assert {len(s.actors) for s in scenes} == {1, 2, 3}
    assert len({relation(s) for s in scenes}) == 5


def test_actors_stand_out_and_cameras_can_be_seen() -> None:
    for scene in map(sample_scene, range(600)):
        behind = tones(scene.background, scene.backdrop, scene.texture)[: 2 if scene.background == "night" else 3]
        for actor in scene.actors:
            bodies = [COLOURS[actor.colour]]
            if scene.look == "outline":
                bodies.append(border_of(bodies[0]))
            for body, tone in itertools.product(bodies, behind):
                assert np.linalg.norm(np.subtract(body, tone)) >= MIN_CONTRAST
                if scene.look == "monochrome":
                    assert abs(luma(body) - luma(tone)) >= MIN_LUMA_CONTRAST
        assert scene.camera == "still" or scene.background in TEXTURED
        assert len({(a.shape, a.colour) for a in scene.actors}) == len(scene.actors)


def test_held_out_combinations_keep_every_pair_in_training() -> None:
    every = [t for t in itertools.product(COLOURS, SHAPES, MOTIONS) if not (t[2] == "spin" and t[1] in TURNLESS)]
    assert 0.08 < len(HELD_OUT) / len(every) < 0.12
    assert set(every) >= HELD_OUT
    training = [t for t in every if t not in HELD_OUT]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert {(t[i], t[j]) for t in training} == {(t[i], t[j]) for t in every}
    for i in range(3):
        assert {t[i] for t in HELD_OUT} == {t[i] for t in every}
    assert not any(held_out(a) for i in range(300) for a in sample_scene(i).actors)
    assert all(held_out(a) for i in range(300) for a in sample_scene(i, WorldConfig(held_out="only")).actors)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shapes": ("circle", "hexagon")}, "hexagon"),
        ({"colours": ()}, "colours"),
        ({"looks": "flat"}, "flat"),
        ({"actors": (0, 2)}, "actors"),
        ({"actors": (3, 1)}, "actors"),
        ({"held_out": "never"}, "never"),
        ({"shapes": ("circle",), "motions": ("spin",)}, "no actor is left"),
    ],
)
def test_wrong_configurations_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        WorldConfig(**wrong)  # type: ignore[arg-type]


# ---- pixels and truth ------------------------------------------------------------------------------------------------


def test_colours_are_the_named_ones() -> None:
    for colour, rgb in COLOURS.items():
        frame = render([scene_of(still(colour=colour), backdrop="gray" if colour != "gray" else "white")], SQUARE)[0, 0]
        assert tuple(frame[32, 32].tolist()) == rgb


def test_boxes_hold_what_is_seen_at_any_size() -> None:
    """The box of the pixels that differ from the background is the box of the truth, to a pixel or two at its tips."""
    config = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), backgrounds=("plain",))
    for frames, height, width in ((3, 128, 128), (3, 96, 192), (5, 200, 120), (2, 80, 256), (2, 256, 80)):
        shape = VideoShape(frames, height, width)
        scenes = [  # no part of any body has the colour of these backgrounds
            replace(scene, backdrop="cyan" if scene.actors[0].colour == "magenta" else "magenta")
            for scene in (sample_scene(i, config) for i in range(40))
        ]
        for scene, video in zip(scenes, render(scenes, shape).float(), strict=True):
            backdrop = torch.tensor(COLOURS[scene.backdrop], dtype=torch.float32)
            other = (video - backdrop).abs().amax(-1) > 60  # (T, H, W)
            for seen, box in zip(other, truth(scene, shape)[0].boxes, strict=True):
                assert box is not None
                rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
                found = [
                    columns.min() / width,
                    rows.min() / height,
                    (columns.max() + 1) / width,
                    (rows.max() + 1) / height,
                ]
                slack = np.array([2.0 / width, 2.0 / height] * 2)
                assert (np.abs(np.array([float(v) for v in found]) - box.as_list()) <= slack).all(), (scene, box, found)


def test_actors_stay_in_view_and_move_far() -> None:
    shape = VideoShape(9, 64, 64)
    for scene in (sample_scene(i, PLAIN) for i in range(300)):
        actor, boxes = scene.actors[0], truth(scene, shape)[0].boxes
        for box in boxes:
            assert box is not None
            assert min(box.as_list()) >= -1e-6
            assert max(box.as_list()) <= 1 + 1e-6
        first, last = boxes[0], boxes[-1]
        assert first is not None
        assert last is not None
        dx, dy = (first.x0 + first.x1 - last.x0 - last.x1) / -2, (first.y0 + first.y1 - last.y0 - last.y1) / -2
        if actor.motion in ("left", "right"):
            assert abs(dy) < 1e-6
            assert dx * (1 if actor.motion == "right" else -1) >= 0.44
        if actor.motion in ("up", "down"):
            assert abs(dx) < 1e-6
            assert dy * (1 if actor.motion == "down" else -1) >= 0.44
        if actor.motion in ("still", "spin", "grow", "shrink"):
            assert abs(dx) < 0.15
            assert abs(dy) < 0.15


@pytest.mark.parametrize("size", [(1, 32, 32), (9, 64, 64), (5, 32, 102), (5, 102, 32), (5, 16, 160), (9, 90, 160)])
def test_no_actor_is_cut_off_at_any_aspect(size: tuple[int, int, int]) -> None:
    """Whatever the camera does, the whole body is in view on every frame."""
    shape = VideoShape(*size)
    for scene in (sample_scene(i) for i in range(250)):
        for actor in scene.actors:
            low, high = unclipped(scene, actor, shape)
            assert low.min() >= -1e-6, (scene.camera, actor)
            assert high.max() <= 1 + 1e-6, (scene.camera, actor)


def test_diameters_are_those_of_their_size() -> None:
    for scene in (sample_scene(i, PLAIN) for i in range(200)):
        actor = scene.actors[0]
        assert 0.28 <= max(actor.diameter_start, actor.diameter_end) <= 0.5


def test_every_body_fits_its_box() -> None:
    for shape in SHAPES:
        outline = fit(shape).outline
        assert np.allclose(outline.min(0), -np.array(fit(shape).half), atol=1e-6)
        assert np.allclose(outline.max(0), fit(shape).half, atol=1e-6)
        assert max(fit(shape).half) == pytest.approx(1)
        assert 1 - 1e-6 <= fit(shape).reach <= 2**0.5 + 1e-6


def test_spin_can_be_seen() -> None:
    for shape in set(SHAPES) - TURNLESS:
        scene = scene_of(still(shape, "blue", motion="spin", turn=0.6))
        for frames in (5, 17):
            video = render([scene], VideoShape(frames, 64, 64))[0].float()
            assert (video[1:] - video[:-1]).abs().amax(-1).gt(100).sum((1, 2)).min() > 20, shape


def test_pixels_do_not_depend_on_the_batch_or_the_rate() -> None:
    scenes = [sample_scene(i) for i in range(24)]
    together = render(scenes, SQUARE)
    alone = torch.cat([render([scene], SQUARE, fps=24.0) for scene in scenes])
    assert together.dtype == torch.uint8
    assert together.shape == (24, 17, 64, 64, 3)
    assert (together.int() - alone.int()).abs().max() <= 1
    assert torch.equal(together, render(scenes, SQUARE))


def test_motion_runs_in_fractions_of_the_clip() -> None:
    scenes = [sample_scene(i) for i in range(12)]
    long, short = render(scenes, VideoShape(17, 48, 48)), render(scenes, VideoShape(5, 48, 48))
    assert (long[:, ::4].int() - short.int()).abs().max() <= 1


@pytest.mark.parametrize("size", [(1, 32, 32), (2, 32, 96), (5, 90, 34), (1, 240, 416)])
def test_any_size_and_length(size: tuple[int, int, int]) -> None:
    shape = VideoShape(*size)
    scenes = [sample_scene(i) for i in range(16)]
    video = render(scenes, shape)
    assert video.shape == (16, *size, 3)
    assert all(len(track.boxes) == size[0] for scene in scenes for track in truth(scene, shape))
    assert (video.flatten(1).float().std(1) > 5).all()


def test_cameras_move_what_is_behind() -> None:
    for camera in CAMERAS:
        video = render([Scene((still(),), "night", camera, "flat")], SQUARE)[0]
        moved = bool((video[0] != video[-1]).any())
        assert moved == (camera != "still")
    boxes = {c: truth(scene_of(still(), camera=c), SQUARE)[0].boxes for c in CAMERAS}
    assert boxes["pan left"][0].x0 < boxes["pan left"][-1].x0  # type: ignore[union-attr]
    assert boxes["pan right"][0].x0 > boxes["pan right"][-1].x0  # type: ignore[union-attr]
    assert boxes["zoom in"][0].x0 > boxes["zoom in"][-1].x0  # type: ignore[union-attr]
    assert boxes["zoom out"][0].x0 < boxes["zoom out"][-1].x0  # type: ignore[union-attr]


def test_looks_show() -> None:
    plain, outlined, blocky, gray = (
        render([scene_of(still(), look=look, backdrop="cyan")], SQUARE)[0, 0] for look in LOOKS
    )
    assert (outlined != plain).any()
    assert (outlined.sum(-1) < 100).any()
    assert torch.equal(blocky[:63:3, :63:3], blocky[2:63:3, 2:63:3])
    assert torch.equal(gray[..., 0], gray[..., 1])
    assert torch.equal(gray[..., 0], gray[..., 2])


def test_sepia_leaves_brightness_and_takes_hue() -> None:
    """Every tone, drawn backgrounds included, is one warm tone as bright as its gray; each layer rounds once."""
    asked = WorldConfig(looks=EXTRA_LOOKS)
    scenes = [sample_scene(i, asked) for i in range(60)]
    assert {scene.look for scene in scenes} == {"sepia"}
    video = render(scenes, VideoShape(2, 48, 48)).double()
    gray = render([replace(scene, look="monochrome") for scene in scenes], VideoShape(2, 48, 48)).double()
    tone = torch.tensor(SEPIA, dtype=torch.float64) / 255
    assert (video - gray * tone).abs().max() <= 2.5
    assert (video[..., 0] - video[..., 2]).mean() > 20


def test_relations_hold_at_every_frame_and_aspect() -> None:
    two = WorldConfig(actors=(2, 2), cameras=("still",))
    told = [scene for scene in (sample_scene(i, two) for i in range(200)) if relation(scene)]
    assert len(told) > 10
    for scene, shape in itertools.product(told, (VideoShape(9, 64, 64), VideoShape(9, 64, 128), VideoShape(9, 96, 64))):
        first, second = truth(scene, shape)
        for a, b in zip(first.boxes, second.boxes, strict=True):
            assert a is not None
            assert b is not None
            side = {"left": b.x0 + b.x1 - a.x0 - a.x1, "right": a.x0 + a.x1 - b.x0 - b.x1,
                    "above": b.y0 + b.y1 - a.y0 - a.y1, "below": a.y0 + a.y1 - b.y0 - b.y1}  # fmt: skip
            assert side[relation(scene) or ""] > 0


# ---- clips -----------------------------------------------------------------------------------------------------------


def test_clips_carry_pixels_captions_and_truth() -> None:
    made = list(clips(40, 100, VideoShape(5, 32, 48), 10.0))
    assert [clip.source for _, clip in made] == [f"world:{100 + i}" for i in range(40)]
    for video, clip in made:
        assert video.frames.shape == (5, 32, 48, 3)
        assert video.frames.dtype == np.uint8
        assert video.fps == clip.fps == 10.0
        assert clip.shape == video.shape
        assert clip.end_s == pytest.approx(0.5)
        assert set(clip.captions) == set(LANGUAGES)
        assert not clip.measures
        assert all(len(track.boxes) == 5 for track in clip.tracks)
    again = next(clips(1, 107, VideoShape(5, 32, 48), 10.0))
    assert again[1] == made[7][1]
    assert (np.abs(again[0].frames.astype(int) - made[7][0].frames) <= 1).all()
    images = [clip for _, clip in clips(20, 0, VideoShape(1, 32, 32))]
    assert all("image" in clip.captions["en"] or "picture" in clip.captions["en"].lower() for clip in images)
    with pytest.raises(UsageError, match="fps"):
        clips(1, 0, SQUARE, fps=0.0)


def test_one_clip_in_twenty_is_for_validation() -> None:
    split = [clip.split for _, clip in clips(600, 0, VideoShape(1, 16, 16))]
    assert 0.02 < split.count("val") / len(split) < 0.09
