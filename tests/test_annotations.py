"""People's own tracks: MOT, COCO and YOLO, and what a bad row says."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from manzar.curate.objects.annotations import SourceTracks, read_tracks, tracks_beside
from manzar.nouns import Box, DataError, UsageError


def cut(source: SourceTracks | None, indices: list[int], fps: float = 10.0) -> dict[str, tuple[Box | None, ...]]:
    assert source is not None
    tracks = source.cut([index / fps for index in indices], 200, 100, indices)
    return {track.name: track.boxes for track in tracks}


def coco(path: Path, **changes: object) -> Path:
    data = {
        "videos": [{"id": 7, "name": "films/walk.mp4"}],
        "images": [
            {"id": 1, "file_name": "walk/000000.jpg", "video_id": 7, "frame_id": 0, "width": 400, "height": 200},
            {"id": 2, "file_name": "walk/000001.jpg", "video_id": 7, "frame_id": 1, "width": 400, "height": 200},
        ],
        "annotations": [
            {"id": 10, "image_id": 1, "bbox": [40, 20, 80, 40], "track_id": 3, "category_id": 1},
            {"id": 11, "image_id": 2, "bbox": [80, 20, 80, 40], "track_id": 3, "category_id": 1},
        ],
        "categories": [{"id": 1, "name": "dog"}],
        **changes,
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_mot_counts_frames_from_one_and_pixels_of_the_source(tmp_path: Path) -> None:
    file = tmp_path / "street.mot.csv"
    file.write_text("frame,id,x,y,w,h,conf\n1,4,20,10,40,20,1\n3,4,40,10,40,20,1\n2,5,0,0,10,10,0\n")
    boxes = cut(read_tracks(file).find(Path("elsewhere/street.mkv")), [0, 1, 2])
    assert boxes == {"object 4": (Box(0.1, 0.1, 0.3, 0.3), None, Box(0.2, 0.1, 0.4, 0.3))}


def test_a_cut_takes_its_own_pictures_clips_them_and_drops_what_it_never_shows(tmp_path: Path) -> None:
    file = tmp_path / "street.mot.csv"
    file.write_text("1,1,0,0,20,10\n6,2,-20,50,40,80,-1\n7,2,300,0,10,10,-1\n")
    boxes = cut(read_tracks(file).find(Path("street.mp4")), [4, 5, 5, 6])
    seen = Box(0.0, 0.5, 0.1, 1.0)
    assert boxes == {"object 2": (None, seen, seen, None)}


def test_mot_challenge_folders_are_named_by_their_sequence(tmp_path: Path) -> None:
    (tmp_path / "MOT17-02" / "gt").mkdir(parents=True)
    (tmp_path / "MOT17-02" / "gt" / "gt.txt").write_text("1,1,0,0,20,10,1,1,0.9\n")
    assert read_tracks(tmp_path).find(Path("MOT17-02.mp4")) is not None
    assert read_tracks(tmp_path).find(Path("MOT17-04.mp4")) is None


def test_detections_beside_the_ground_truth_are_passed_over(tmp_path: Path) -> None:
    for name, row in (("gt", "1,1,0,0,20,10,1,1,0.9\n"), ("det", "1,-1,5,5,20,10,0.7\n1,-1,60,5,20,10,0.6\n")):
        (tmp_path / "MOT17-02" / name).mkdir(parents=True)
        (tmp_path / "MOT17-02" / name / f"{name}.txt").write_text(row)
    assert cut(read_tracks(tmp_path).find(Path("MOT17-02.mp4")), [0]) == {"object 1": (Box(0.0, 0.0, 0.1, 0.1),)}
    with pytest.raises(UsageError, match="no tracks"):
        read_tracks(tmp_path / "MOT17-02" / "det")


def test_coco_has_its_own_picture_size_and_names(tmp_path: Path) -> None:
    boxes = cut(read_tracks(coco(tmp_path / "all.json")).find(Path("walk.mp4")), [0, 1, 2])
    assert boxes == {"dog 3": (Box(0.1, 0.1, 0.3, 0.3), Box(0.2, 0.1, 0.4, 0.3), None)}


def test_coco_with_a_rate_of_its_own_is_met_by_time(tmp_path: Path) -> None:
    file = coco(tmp_path / "all.json", videos=[{"id": 7, "name": "walk.mp4", "fps": 2}])
    boxes = cut(read_tracks(file).find(Path("walk.mp4")), [0, 5, 10], fps=10.0)  # 0, 0.5 and 1 s
    assert boxes["dog 3"] == (Box(0.1, 0.1, 0.3, 0.3), Box(0.2, 0.1, 0.4, 0.3), None)


def test_coco_pictures_known_by_name_alone_count_from_one(tmp_path: Path) -> None:
    images = [{"id": k, "file_name": f"run_{k:05d}.png", "width": 100, "height": 100} for k in (1, 2)]
    boxes = cut(read_tracks(coco(tmp_path / "x.json", images=images, videos=[])).find(Path("run.mp4")), [0, 1])
    assert boxes["dog 3"] == (Box(0.4, 0.2, 1.0, 0.6), Box(0.8, 0.2, 1.0, 0.6))


def test_yolo_rows_with_and_without_identity(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "cat_000001.txt").write_text("0 0.5 0.5 0.2 0.4 0.91 8\n1 0.25 0.5 0.1 0.1 0.8 9\n")
    (labels / "cat_000003.txt").write_text("0 0.6 0.5 0.2 0.4 8\n")
    (labels / "dog_0.txt").write_text("2 0.5 0.5 1 1 0.7\n")
    found = read_tracks(tmp_path)
    cat = cut(found.find(Path("cat.mp4")), [0, 1, 2])
    assert set(cat) == {"object 8", "object 9"}
    first, gap, last = cat["object 8"]
    assert first is not None and first.as_list() == pytest.approx([0.4, 0.3, 0.6, 0.7])
    assert gap is None
    assert last is not None and last.x0 == pytest.approx(0.5)
    assert cut(found.find(Path("dog.mp4")), [0]) == {"class 2": (Box(0, 0, 1, 1),)}
    assert cut(tracks_beside(tmp_path / "cat.mp4"), [0, 1, 2]) == cat
    assert tracks_beside(tmp_path / "ca.mp4") is None


def test_files_beside_a_video_are_found_and_other_json_is_left_alone(tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    assert tracks_beside(video) is None
    (tmp_path / "walk.json").write_text('{"title": "a walk"}')
    assert tracks_beside(video) is None
    (tmp_path / "walk.json").write_text("not json")
    assert tracks_beside(video) is None
    coco(tmp_path / "walk.json")
    assert set(cut(tracks_beside(video), [0])) == {"dog 3"}
    (tmp_path / "walk.mot.csv").write_text("1,1,0,0,20,10\n")
    assert set(cut(tracks_beside(video), [0])) == {"object 1"}


def test_names_match_however_their_accents_are_written(tmp_path: Path) -> None:
    (tmp_path / (unicodedata.normalize("NFD", "café") + ".mot.csv")).write_text("1,1,0,0,20,10\n")
    assert read_tracks(tmp_path).find(Path(unicodedata.normalize("NFC", "café") + ".mp4")) is not None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.mot.csv", "1,1,0,0,20,10\n2,1,0,zero,20,10\n", "line 2"),
        ("a.mot.csv", "1,1,0,0,20,10\n\n0,1,0,0,20,10\n", "line 3"),
        ("a.mot.csv", "1,-1,0,0,20,10\n", "id"),
        ("a.mot.csv", "1,1,0,0,-20,10\n", "no area"),
        ("a.mot.csv", "1,1,0,0,20,10\n1,1,5,5,20,10\n", "already"),
        ("a.mot.csv", "1,1,0,0,nan,10\n", "line 1"),
        ("a.mot.csv", "1,1,5,5,20,10\n1,2,,200,50,60,1,-1,-1,-1\n", "line 2"),
        ("a.mot.csv", ",1,1,5,5,20,10\n", "line 1"),
        ("a.mot.csv", "1; 1; ; 200; 50; 60; 1\n", "line 1"),
        ("a_1.txt", "0 0.5 0.5 0.2\n", "4 values"),
        ("a_1.txt", "0 .5 .5 .2 .2\n0 .1 .1 .2 .2\n", "already"),
        ("a.json", "{", "JSON"),
        ("a.json", "[]", "COCO"),
    ],
)
def test_bad_rows_name_their_file_and_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_tracks(tmp_path / name)
    assert name in str(caught.value)


def test_bad_coco_entries_are_named(tmp_path: Path) -> None:
    for entry in ({"id": 12, "image_id": 99, "bbox": [0, 0, 1, 1], "track_id": 1},
                  {"id": 12, "image_id": 1, "bbox": [0, 0, 1, 1]},
                  {"id": 12, "image_id": 1, "bbox": [0, 0, "wide", 1], "track_id": 1}):  # fmt: skip
        with pytest.raises(DataError, match="annotation 12"):
            read_tracks(coco(tmp_path / "bad.json", annotations=[entry]))


def test_nulls_in_coco_are_nothing_there(tmp_path: Path) -> None:
    entry = {"id": 12, "image_id": 1, "bbox": [40, 20, 80, 40], "instance_id": 5, "attributes": None}
    coco(tmp_path / "walk.json", videos=None, categories=None, annotations=[entry])
    assert set(cut(tracks_beside(tmp_path / "walk.mp4"), [0])) == {"object 5"}


@pytest.mark.parametrize(
    "changes",
    [
        {"images": ["walk/000000.jpg"]},
        {"annotations": ["a dog"]},
        {"videos": [7]},
        {"videos": [{"id": [7]}]},
        {"videos": [{"id": 7, "name": "walk.mp4", "fps": "25"}]},
        {"images": [{"id": 1, "width": "400", "height": "200"}]},
        {"annotations": [{"id": 12, "image_id": 1, "bbox": [0, 0, 1, 1], "attributes": ["track_id"]}]},
    ],
)
def test_json_that_only_looks_like_coco_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    coco(tmp_path / "walk.json", **changes)
    with pytest.raises(DataError, match=r"walk\.json"):
        tracks_beside(tmp_path / "walk.mp4")


def test_nothing_to_read_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tracks"):
        read_tracks(tmp_path)
    with pytest.raises(UsageError, match="no such"):
        read_tracks(tmp_path / "gone")
