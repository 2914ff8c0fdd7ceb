"""Measures mean what they say, at any size and rate; limits refuse what they should and parse what people write."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from manzar import media
from manzar.curate.measures.clip import bars, content_id, frozen_ends, measures
from manzar.curate.measures.limits import LIMITS, REASONS, Limit, parse_limits, refusal
from manzar.nouns import UsageError, Video

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_clips = pytest.mark.skipif(not (SHARED / "clips").exists(), reason="no footage beside the checkout")
Picture = NDArray[np.uint8]


def ground(seed: int, height: int = 180, width: int = 320, detail: float = 6) -> Picture:
    """A textured picture: smooth noise of the given grain in pixels."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), detail)
    return np.clip(128 + 45 * soft / soft.std(), 0, 255).astype(np.uint8)


def panning(seconds: float, fps: float, percent_a_second: float, height: int = 180, width: int = 320) -> Video:
    """A ground moving left by a share of the longer side a second."""
    count = round(seconds * fps)
    longer = max(height, width)
    wide = ground(1, height, 3 * width, 6 * longer / 320)
    size = (width, height)
    frames = []
    for index in range(count):
        offset = percent_a_second / 100 * longer * index / fps
        shift = np.array([[1, 0, -offset], [0, 1, 0]], np.float32)
        frames.append(cv2.warpAffine(wide, shift, size, flags=cv2.INTER_LINEAR))
    return Video(np.stack(frames), fps)


def passing(count: int = 30) -> Video:
    """A textured square crossing a resting ground by 20 % of the width a second."""
    frames = np.stack([ground(2)] * count)
    for index in range(count):
        x = 40 + round(index * 0.2 * 320 / 25)
        frames[index, 60:120, x : x + 60] = ground(3)[60:120, 60:120]
    return Video(frames, 25.0)


def card(lines: tuple[str, ...] = ("A MANZAR FILM", "in five languages")) -> Picture:
    picture = np.zeros((180, 320, 3), np.uint8)
    for row, line in enumerate(lines):
        cv2.putText(picture, line, (30, 80 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (235, 235, 235), 2, cv2.LINE_AA)
    return picture


def held(*pictures: Picture, frames_each: int = 25) -> Video:
    return Video(np.concatenate([np.stack([picture] * frames_each) for picture in pictures]), 25.0)


SIZES = [(25.0, 180, 320), (60.0, 180, 320), (10.0, 288, 512), (24.0, 512, 288)]
ODD_SHAPES = [(1, 16, 16), (2, 16, 16), (1, 180, 320), (17, 64, 64), (5, 16, 512), (5, 512, 16), (3, 2, 2)]


@pytest.mark.parametrize(("fps", "height", "width"), SIZES)
def test_motion_is_percent_of_the_longer_side_a_second(fps: float, height: int, width: int) -> None:
    for speed in (2.0, 20.0):
        found = measures(panning(1.0, fps, speed, height, width))
        assert found["motion"] == pytest.approx(speed, rel=0.12), (fps, height, width)
        assert found["camera"] == pytest.approx(speed, rel=0.12)
        assert found["objects"] < 0.25 * found["camera"]


def test_a_thing_that_moves_is_not_the_camera() -> None:
    found = measures(passing())
    share = 60 * 60 / (180 * 320)
    assert found["camera"] < 0.1
    assert found["objects"] == pytest.approx(found["motion"], rel=0.1)
    assert 0.6 * 20 * share < found["objects"] < 2 * 20 * share


def test_a_zoom_is_camera_motion() -> None:
    wide = ground(4, 360, 640)
    middle = (320.0, 180.0)
    frames = [cv2.warpAffine(wide, cv2.getRotationMatrix2D(middle, 0, 1 + 0.006 * k), (640, 360)) for k in range(25)]
    found = measures(Video(np.stack(frames), 25.0))
    assert found["camera"] > 3
    assert found["objects"] < 0.3 * found["camera"]


def test_grain_is_no_motion() -> None:
    noise = np.random.default_rng(0).normal(0, 6, (25, 180, 320, 3))
    assert measures(Video(np.clip(ground(5) + noise, 0, 255).astype(np.uint8), 25.0))["motion"] < 0.5


def test_sharpness_falls_with_blur_and_ignores_contrast() -> None:
    crisp = np.kron(np.random.default_rng(1).integers(0, 2, (18, 32, 1)), np.ones((10, 10, 3))).astype(np.float32)

    def sharpness(sigma: float, contrast: float) -> float:
        blurred = cv2.GaussianBlur(crisp * contrast + 20, (0, 0), sigma)
        return measures(held(blurred.astype(np.uint8), frames_each=2))["sharpness"]

    values = [sharpness(sigma, 200) for sigma in (0.3, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9 and values[3] < 0.4
    assert sharpness(1.0, 80) == pytest.approx(values[1], rel=0.1)


def test_exposure_and_colour() -> None:
    half = np.zeros((32, 48, 3), np.uint8)
    half[:, 24:] = 255
    found = measures(held(half, frames_each=3))
    assert found["dark"] == found["bright"] == found["brightness"] == found["contrast"] == 0.5
    assert found["colour"] == 0
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    assert measures(held(red))["colour"] > 40


def test_still_counts_pairs_without_change() -> None:
    assert measures(held(ground(6)))["still"] == 1.0
    assert measures(held(ground(6)))["slides"] == 0.0  # one picture is still, not a slideshow
    twice = Video(np.repeat(panning(1.0, 12.5, 20).frames, 2, axis=0), 25.0)
    assert measures(twice)["still"] == pytest.approx(0.5, abs=0.05)
    assert measures(passing())["still"] == 0.0


def test_slideshows_with_cuts_and_with_dissolves() -> None:
    cuts = held(ground(7), ground(8), ground(9), frames_each=40)
    assert measures(cuts)["slides"] > 0.9
    weights = np.linspace(0, 1, 10).reshape(-1, 1, 1, 1)
    mixed = (ground(7) * (1 - weights) + ground(8) * weights).astype(np.uint8)
    dissolve = Video(np.concatenate([np.stack([ground(7)] * 45), mixed, np.stack([ground(8)] * 45)]), 25.0)
    assert measures(dissolve)["slides"] > 0.8
    rest = np.stack([ground(2)] * 60)  # something passes through a still scene: no slideshow
    assert measures(Video(np.concatenate([rest, passing(20).frames, rest]), 25.0))["slides"] < 0.1


def test_text_is_high_on_a_title_card_only() -> None:
    assert measures(held(card()))["text"] > 0.9
    assert measures(held(255 - card()))["text"] > 0.9
    assert measures(held(ground(10, detail=2)))["text"] < 0.1
    titled = ground(11)
    titled[card() > 100] = 235
    assert measures(held(titled))["text"] < 0.5


def test_mosaic_is_high_for_a_split_screen_only() -> None:
    tiles = [ground(seed, 90, 160) for seed in range(20, 24)]
    grid = np.concatenate([np.concatenate(tiles[:2], axis=1), np.concatenate(tiles[2:], axis=1)], axis=0)
    side_by_side = np.concatenate([ground(24)[:, :160], ground(25)[:, :160]], axis=1)
    assert measures(held(grid))["mosaic"] > 0.3
    assert measures(held(side_by_side))["mosaic"] > 0.3
    door = ground(26)
    door[:, 160:] = np.clip(door[:, 160:].astype(int) + 60, 0, 255)  # one and the same edge all along
    lined = ground(27, detail=12)
    lined[:, 159:161] = 255  # a line drawn through one picture
    for plain in (ground(28), door, lined):
        assert measures(held(plain))["mosaic"] < LIMITS["mosaic"].high  # type: ignore[operator]


def boxed(inside: Video, top: int, left: int, colour: int = 16) -> Video:
    frames = np.pad(inside.frames, ((0, 0), (top, top), (left, left), (0, 0)), constant_values=colour)
    return Video(frames, inside.fps)


def near(found: tuple[int, int, int, int], true: tuple[int, int, int, int]) -> bool:
    return all(abs(a - b) <= 2 for a, b in zip(found, true, strict=True))


def test_bars_are_found_on_any_side() -> None:
    inside = panning(1.0, 25.0, 10.0, 120, 240)
    assert bars(inside) == (0, 0, 240, 120)
    assert near(bars(boxed(inside, 30, 0)), (0, 30, 240, 150))
    assert near(bars(boxed(inside, 0, 25)), (25, 0, 265, 120))
    assert near(bars(boxed(inside, 30, 25)), (25, 30, 265, 150))
    assert near(bars(boxed(inside, 30, 0, colour=250)), (0, 30, 240, 150))
    x0, y0, x1, y1 = bars(boxed(inside, 31, 25))
    assert (x1 - x0) % 2 == (y1 - y0) % 2 == 0
    assert measures(boxed(inside, 30, 0))["bars"] == pytest.approx(60 / 180, abs=0.03)


def test_bars_are_not_seen_in_the_dark() -> None:
    dusk = panning(1.0, 25.0, 10.0).frames * np.linspace(0, 1, 180).reshape(1, 180, 1, 1)  # night sky over a lit street
    lamp = np.zeros((25, 180, 320, 3), np.uint8)
    for index in range(25):  # something bright crosses a black scene: its track has straight edges
        lamp[index, 60:120, 10 * index : 10 * index + 60] = 230
    sky = panning(1.0, 25.0, 10.0).frames.copy()
    sky[:, :60] = (120, 160, 230)
    for frames in (dusk.astype(np.uint8), lamp, sky, np.zeros_like(lamp)):
        assert bars(Video(frames, 25.0)) == (0, 0, 320, 180)


def test_frozen_ends_are_trimmed_to_one_picture() -> None:
    times = np.arange(100) / 25
    steps = np.full(100, 0.01)
    steps[0] = 0.4  # the cut before the shot is not this shot's
    assert frozen_ends(steps, times) == (0, 100)
    steps[1:31], steps[81:] = 0.0, 1e-6
    assert frozen_ends(steps, times) == (30, 81)
    steps[1:31] = 0.01
    steps[1:6] = 0.0  # shorter than half a second
    assert frozen_ends(steps, times) == (0, 81)
    assert frozen_ends(np.zeros(100), times) == (0, 100)
    assert frozen_ends(np.zeros(1), times[:1]) == (0, 1)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_every_clip_has_every_measure(shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for frames in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        found = measures(Video(frames, 8.0))
        assert set(found) == set(REASONS)
        assert all(type(value) is float and np.isfinite(value) for value in found.values())


def test_content_ids_differ_with_pixels_and_rate() -> None:
    video = passing(5)
    other = video.frames.copy()
    other[3, 7, 7, 1] ^= 1
    ids = {content_id(video), content_id(Video(other, 25.0)), content_id(Video(video.frames, 24.0))}
    assert len(ids) == 3 and all(len(name) == 16 for name in ids)
    assert content_id(Video(video.frames.copy(), 25.0)) in ids


def test_refusal_names_reason_value_and_bound() -> None:
    assert refusal({"dark": 1.0, "sharpness": 0.0}, LIMITS) == ("near black", "dark 1 is above 0.995")
    assert refusal({"sharpness": 0.05}, LIMITS) == ("blurred", "sharpness 0.05 is below 0.15")
    assert refusal({"motion": 3.0}, LIMITS) is None
    assert refusal({}, LIMITS) is None
    assert refusal({"motion": 0.2}, {"motion": Limit(0.2, 0.2, "x")}) is None  # bounds themselves pass


def test_limits_are_changed_added_and_taken_away() -> None:
    assert parse_limits([]) == LIMITS
    found = parse_limits(["motion=0.5:", "text=:0.3", "still=:", "brightness = 0.1 : 0.9"])
    assert found["motion"] == Limit(0.5, None, "little motion")
    assert found["text"] == Limit(None, 0.3, "title card")
    assert found["brightness"] == Limit(0.1, 0.9, "brightness out of bounds")
    assert "still" not in found and found["dark"] == LIMITS["dark"]
    assert set(LIMITS) <= set(REASONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("moton=1:", r'no measure is called "moton"; did you mean "motion"\?'),
        ("motion", "write motion=LOW:HIGH"),
        ("motion=3", "write motion=LOW:HIGH"),
        ("motion=a:", '"a" is not a number'),
        ("motion=nan:", "must be finite"),
        ("motion=3:1", "nothing lies between 3 and 1"),
    ],
)
def test_wrong_limits_are_named(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_limits([change])


@needs_clips
@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("awkward/no_duration_dark.webm", (512, 288), "near black"),
        ("awkward/mosaic_droid_bathroom.mp4", (512, 192), "mosaic"),
        ("awkward/mosaic_droid_kitchen.mp4", (512, 192), "mosaic"),
        ("awkward/h264_10bit_testsrc.mp4", (200, 200), None),
        ("good/mdn_flower.mp4", (512, 288), None),
        ("good/intel_head_female.gif", (480, 270), None),
        ("good/droid/droid_bathroom_04f5a0f1.mp4", (320, 180), None),
    ],
)
def test_default_limits_on_real_footage(name: str, size: tuple[int, int], reason: str | None) -> None:
    video = media.read(SHARED / "clips" / name, end_s=2.0, size=size)
    found = refusal(measures(video), LIMITS)
    assert (found[0] if found else None) == reason, found
