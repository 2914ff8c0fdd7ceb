"""Class-free tracks: what moves is followed, what does not is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from manzar.curate.objects import tracks as tracks_module
from manzar.curate.objects.backdrop import separate
from manzar.curate.objects.camera import camera_path
from manzar.curate.objects.tracks import object_tracks
from manzar.nouns import Box, BoxTrack, Video
from manzar.world import clips

Bytes = NDArray[np.uint8]
Place = Callable[[int], tuple[float, float] | None]  # the centre of a disc on a frame, in pixels
WIDTH, HEIGHT, FPS = 160, 96, 12.0
RED, BLUE = (210, 40, 30), (30, 60, 220)


def scenery(width: int = WIDTH, height: int = HEIGHT) -> Bytes:
    """A smooth random texture, the same every time."""
    coarse = np.random.default_rng(3).integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    smooth: Bytes = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


def film(frames: int, *discs: tuple[Place, int, tuple[int, int, int]], pan: float = 0.0) -> Video:
    """Discs of (place, radius, colour) before the scenery, which slides `pan` pixels to the left on every frame."""
    wide = scenery(WIDTH + 96)
    pictures = []
    for t in range(frames):
        picture = np.ascontiguousarray(wide[:, round(pan * t) : round(pan * t) + WIDTH])
        for place, radius, colour in discs:
            if (at := place(t)) is not None:
                cv2.circle(picture, (round(at[0]), round(at[1])), radius, colour, -1, cv2.LINE_AA)
        pictures.append(picture)
    return Video(np.stack(pictures), FPS)


def iou(box: Box | None, at: tuple[float, float], radius: int) -> float:
    if box is None:
        return 0.0
    true = ((at[0] - radius) / WIDTH, (at[1] - radius) / HEIGHT, (at[0] + radius) / WIDTH, (at[1] + radius) / HEIGHT)
    wide = max(0.0, min(box.x1, true[2]) - max(box.x0, true[0]))
    high = max(0.0, min(box.y1, true[3]) - max(box.y0, true[1]))
    both = (box.x1 - box.x0) * (box.y1 - box.y0) + (true[2] - true[0]) * (true[3] - true[1])
    return wide * high / (both - wide * high)


def follows(track: BoxTrack, place: Place, radius: int, frames: range) -> float:
    """Least IoU of a track with a disc over some frames."""
    return min(iou(track.boxes[t], at, radius) for t in frames if (at := place(t)) is not None)


def rolls(t: int) -> tuple[float, float]:
    return 20 + 4 * t, 50


def test_one_thing_that_moves_has_a_tight_box_on_every_frame() -> None:
    video = film(30, (rolls, 11, RED))
    (track,) = object_tracks(video)
    assert track.name == "object 1" and len(track.boxes) == 30
    assert follows(track, rolls, 11, range(30)) > 0.7


def test_a_thing_keeps_its_box_while_it_stands_still() -> None:
    def stops(t: int) -> tuple[float, float]:
        return 20 + 5 * min(t, 14), 40

    (track,) = object_tracks(film(40, (stops, 10, BLUE)))
    assert follows(track, stops, 10, range(40)) > 0.65


def test_things_that_cross_keep_their_names() -> None:
    def back(t: int) -> tuple[float, float]:
        return 140 - 4 * t, 56

    tracks = object_tracks(film(30, (rolls, 11, RED), (back, 11, BLUE)))
    assert len(tracks) == 2
    red = max(tracks, key=lambda track: iou(track.boxes[0], rolls(0), 11))
    (blue,) = [track for track in tracks if track is not red]
    for place, track in ((rolls, red), (back, blue)):
        assert follows(track, place, 11, range(0, 10)) > 0.6
        assert follows(track, place, 11, range(21, 30)) > 0.6


def test_a_thing_that_comes_and_goes_has_no_box_while_it_is_away() -> None:
    def visits(t: int) -> tuple[float, float] | None:
        return (30 + 6 * (t - 10), 50) if 10 <= t < 25 else None

    (track,) = object_tracks(film(40, (visits, 10, RED)))
    assert [t for t, box in enumerate(track.boxes) if box is not None] == list(range(10, 25))


def test_the_camera_is_not_a_thing() -> None:
    assert object_tracks(film(30, pan=2.0)) == ()


def test_what_moves_is_found_under_a_moving_camera() -> None:
    def crosses(t: int) -> tuple[float, float]:
        return 130 - 3.4 * t, 30 + 1.2 * t

    tracks = object_tracks(film(30, (crosses, 12, RED), pan=2.0))
    assert follows(tracks[0], crosses, 12, range(30)) > 0.6


def test_camera_path_says_how_far_the_picture_slid() -> None:
    frames = film(21, (rolls, 12, RED), pan=2.0).frames
    path = camera_path([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames])
    assert [at[0, 2] for at in path] == pytest.approx([2.0 * (10 - t) for t in range(21)], abs=0.3)
    assert all(abs(np.hypot(at[0, 0], at[1, 0]) - 1) < 0.01 for at in path)


def test_the_backdrop_is_seen_behind_what_stands_most_of_the_time() -> None:
    """A disc on a plain wall that leaves only at the end: the median of its place is the disc."""
    wall = np.full((60, 80, 3), 180, np.uint8)
    pictures = [cv2.circle(wall.copy(), (30 + 5 * max(0, t - 14), 30), 9, RED, -1) for t in range(20)]
    layers = separate(pictures)
    assert layers is not None
    assert np.abs(layers.grounds[0].astype(int) - cv2.cvtColor(wall, cv2.COLOR_RGB2Lab).astype(int)).max() < 12


def test_the_empty_place_of_a_thing_taken_away_is_no_thing() -> None:
    def taken(t: int) -> tuple[float, float] | None:
        return (80, 50) if t < 24 else None

    for track in object_tracks(film(36, (taken, 12, RED))):
        assert not any(track.boxes[26:])


def test_nothing_is_found_where_nothing_moves() -> None:
    still = scenery()
    noisy = np.random.default_rng(0).normal(0, 3, (20, *still.shape)) + still
    assert object_tracks(Video(np.stack([still] * 20), FPS)) == ()
    assert object_tracks(Video(noisy.clip(0, 255).astype(np.uint8), FPS)) == ()
    assert object_tracks(Video(still[None], FPS)) == ()


def test_a_change_of_light_is_not_a_thing() -> None:
    frames = [np.clip(scenery() * (1 + 0.01 * t), 0, 255).astype(np.uint8) for t in range(30)]
    assert object_tracks(Video(np.stack(frames), FPS)) == ()


def test_the_largest_come_first_and_no_more_than_asked_for() -> None:
    def low(t: int) -> tuple[float, float]:
        return 140 - 4 * t, 80

    def high(t: int) -> tuple[float, float]:
        return 20 + 4 * t, 20

    video = film(30, (low, 6, BLUE), (high, 13, RED))
    first, second = object_tracks(video)
    assert follows(first, high, 13, range(30)) > 0.6 and follows(second, low, 6, range(30)) > 0.4
    assert object_tracks(video, most=1) == (first,)
    assert object_tracks(video, most=0) == ()


def test_a_flicker_does_not_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety patches that twinkle at every look: each piece that is kept has its colours counted a few times at most,
    however many things were lost before it."""
    rng = np.random.default_rng(0)
    frames = np.full((24, 108, 192, 3), 120, np.uint8)
    for picture in frames:
        for cell in rng.choice(9 * 16, 90, replace=False):
            y, x = 12 * (cell // 16) + 2, 12 * (cell % 16) + 2
            picture[y : y + 7, x : x + 7] = rng.integers(0, 255, 3)
    calls, counted = 0, tracks_module._colours

    def counting(regions: Sequence[tracks_module.Region]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        return counted(regions)

    monkeypatch.setattr(tracks_module, "_colours", counting)
    object_tracks(Video(frames, FPS))
    assert 0 < calls <= 3 * 40 * 24


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(16, 16), (17, 301), (4000, 64), (540, 960)])
def test_any_size_and_rate_gives_boxes_within_the_frame(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (9, *size, 3), dtype=np.uint8)
    noise[2:7, : size[0] // 2] = 0
    for fps in (2.0, 60.0):
        for track in object_tracks(Video(noise, fps)):
            assert len(track.boxes) == 9
            for box in filter(None, track.boxes):
                assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1


def test_clips_of_the_world_are_followed() -> None:
    """A floor under the benchmark's figures: one thing of the world, moving before a camera that may move too."""
    near, shown = 0.0, 0
    for video, clip in clips(8, seed=50_100):
        tracks = object_tracks(video)
        for true in clip.tracks:
            rects = [None if box is None else np.array(box.as_list()) for box in true.boxes]
            best = 0.0
            for track in tracks:
                each = [_iou(a, b) for a, b in zip(rects, track.boxes, strict=True) if a is not None]
                best = max(best, float(np.mean(each)))
            near, shown = near + best, shown + 1
    assert near / shown > 0.5


def _iou(a: NDArray[np.float64], box: Box | None) -> float:
    if box is None:
        return 0.0
    b = np.array(box.as_list())
    both = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))
