"""Tracks that people already have: MOT tables, COCO-style JSON, YOLO text files.

    MOT     rows of frame, id, left, top, width, height[, confidence, ...] in pixels; frames count from 1; a row with a
            confidence of 0 is to be ignored. NAME.mot.csv, NAME.csv, or NAME/gt/gt.txt; a det.txt is passed over, for
            detections are no tracks.
    COCO    images (file_name, frame_id or frame_index, video_id, width, height), annotations (image_id, bbox, track_id
            or instance_id, category_id), perhaps videos (id, name or file_name, fps) and categories. A video with an
            fps of its own is met by time, else pictures are met by their number.
    YOLO    one file per picture, NAME_000123.txt, rows of class, centre x, centre y, width, height in [0, 1]
            [, confidence][, id]. A sixth value is an id if it is whole. Without ids the class is the identity.

Numbers in file names count from 1, unless there is a picture 0.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manzar.nouns import Box, BoxTrack, DataError, UsageError, existing

Rect = tuple[float, float, float, float]  # x0, y0, x1, y1
NUMBERED = re.compile(r"^(.*?)[_\-.]?(\d+)$")
TRACK_KEYS, INDEX_KEYS = ("track_id", "instance_id"), ("frame_index", "frame_id")


@dataclass(frozen=True)
class SourceTracks:
    """Tracks of one whole source: {name: {picture: rectangle}}, pictures counted from 0.

    size: width and height that the rectangles are measured in; None if that is the source's own.
    fps: the rate at which the pictures are counted; None if that is the source's own.
    """

    objects: Mapping[str, Mapping[int, Rect]]
    size: tuple[float, float] | None = None
    fps: float | None = None

    def cut(self, times: Sequence[float], width: int, height: int, indices: Sequence[int]) -> tuple[BoxTrack, ...]:
        """The tracks of a clip: a box in [0, 1], or None, for each of its frames; objects it never shows are left out.

        times: seconds of each frame in the source; indices: the source's picture that each frame is;
        width, height: the source's, in pixels.
        """
        assert len(times) == len(indices), (len(times), len(indices))
        pictures = indices if self.fps is None else [round(second * self.fps) for second in times]
        wide, high = self.size or (width, height)
        tracks = []
        for name, rects in self.objects.items():
            boxes = tuple(_box(rects.get(picture), wide, high) for picture in pictures)
            if any(boxes):
                tracks.append(BoxTrack(name, boxes))
        return tuple(tracks)


@dataclass(frozen=True)
class Annotations:
    """Tracks of several sources, by the stem of their file names."""

    sources: Mapping[str, SourceTracks]

    def find(self, video: Path) -> SourceTracks | None:
        """The tracks of a video, by its stem; None if there are none."""
        return self.sources.get(_key(video.stem))


def read_tracks(path: Path) -> Annotations:
    """Everything in one file, or in a folder and those below it.

    Raises:
        UsageError: no such path, or nothing in it that holds tracks.
        DataError: a row or entry that cannot be read, with its file and line.
    """
    sources: dict[str, SourceTracks] = {}
    labels: list[Path] = []
    for file in sorted(existing(path).rglob("*")) if path.is_dir() else [existing(path)]:
        if file.suffix.lower() == ".json":
            sources |= _read_coco(file, _json(file))
        elif file.suffix.lower() == ".csv" or file.name == "gt.txt" or file.name.endswith(".mot.txt"):
            sources[_key(_mot_stem(file))] = _read_mot(file)
        elif file.suffix.lower() == ".txt" and NUMBERED.match(file.stem):
            labels.append(file)
    sources |= _read_yolo(labels)
    if not sources:
        raise UsageError(f"{path}: no tracks found; NAME.mot.csv, a COCO .json or NAME_000123.txt files are read")
    return Annotations(sources)


def tracks_beside(video: Path) -> SourceTracks | None:
    """The tracks in files beside a video: NAME.mot.csv, NAME.mot.txt, a COCO-style NAME.json, or labels/NAME_*.txt.

    Raises:
        DataError: such a file that cannot be read, with its line.
    """
    for ending in (".mot.csv", ".mot.txt"):
        if (file := video.with_name(video.stem + ending)).is_file():
            return _read_mot(file)
    if (file := video.with_suffix(".json")).is_file():
        found = _read_coco(file, _json(file, strict=False))
        if found:
            return found.get(_key(video.stem)) or (next(iter(found.values())) if len(found) == 1 else None)
    folder = video.parent / "labels"
    if folder.is_dir():
        pattern = re.compile(re.escape(video.stem) + r"[_\-.]?\d+")
        return _read_yolo(file for file in folder.glob("*.txt") if pattern.fullmatch(file.stem)).get(_key(video.stem))
    return None


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem)


def _box(rect: Rect | None, width: float, height: float) -> Box | None:
    if rect is None:
        return None
    x0, x1 = (min(max(x / width, 0.0), 1.0) for x in rect[0::2])
    y0, y1 = (min(max(y / height, 0.0), 1.0) for y in rect[1::2])
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _numbers(place: str, texts: Sequence[str]) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"{place}: {','.join(texts)!r} is not a row of numbers; correct it or take it out")
    return numbers


def _sized(place: str, left: float, top: float, width: float, height: float) -> Rect:
    if not (width > 0 and height > 0):
        raise DataError(f"{place}: a box of {width:g}x{height:g} has no area; correct it or take it out")
    return left, top, left + width, top + height


def _lines(file: Path) -> list[tuple[str, list[str]]]:
    """The rows of a text file with their places, split at commas or blanks, without empty ones.

    A field left empty stays, as empty text, lest those behind it move up; empty ones at the end of a row go.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text: {error}") from error
    return [
        (f"{file}, line {number}", re.split(r"\s*[,;]\s*|\s+", row.lstrip()))
        for number, line in enumerate(text.splitlines(), start=1)
        if (row := line.rstrip(" \t,;"))
    ]


# ---- MOT -------------------------------------------------------------------------------------------------------------


def _mot_stem(file: Path) -> str:
    if file.name == "gt.txt":
        return (file.parent.parent if file.parent.name == "gt" else file.parent).name
    return file.stem.removesuffix(".mot")


def _read_mot(file: Path) -> SourceTracks:
    objects: dict[str, dict[int, Rect]] = defaultdict(dict)
    for number, (place, texts) in enumerate(_lines(file)):
        if number == 0 and texts[0].lower().startswith("frame"):
            continue
        row = _numbers(place, texts)
        if len(row) < 6 or row[0] < 1 or row[0] % 1 or row[1] < 0:
            raise DataError(f"{place}: {row} is not frame (from 1), id (from 0), left, top, width, height")
        if len(row) > 6 and row[6] == 0:
            continue
        _put(objects, f"object {row[1]:g}", int(row[0]) - 1, _sized(place, *row[2:6]), place)
    return SourceTracks(dict(objects))


def _put(objects: dict[str, dict[int, Rect]], name: str, picture: int, rect: Rect, place: str) -> None:
    if picture in objects[name]:
        raise DataError(f"{place}: {name!r} has a box on this frame already; give each object an id of its own")
    objects[name][picture] = rect


# ---- YOLO ------------------------------------------------------------------------------------------------------------


def _read_yolo(files: Iterable[Path]) -> dict[str, SourceTracks]:
    groups: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in files:
        match = NUMBERED.match(file.stem)
        assert match, file
        groups[_key(match[1])][int(match[2])] = file
    found = {}
    for stem, pictures in groups.items():
        objects: dict[str, dict[int, Rect]] = defaultdict(dict)
        first = 0 if 0 in pictures else 1
        for number, file in sorted(pictures.items()):
            for place, texts in _lines(file):
                row = _numbers(place, texts)
                if not 5 <= len(row) <= 7:
                    raise DataError(
                        f"{place}: {len(row)} values; class, x, y, width, height[, confidence][, id] needed"
                    )
                with_id = len(row) == 7 or (len(row) == 6 and "." not in texts[5])
                name = f"object {row[-1]:g}" if with_id else f"class {row[0]:g}"
                x, y, width, height = row[1:5]
                rect = _sized(place, x - width / 2, y - height / 2, width, height)
                _put(objects, name, number - first, rect, place)
        found[stem] = SourceTracks(dict(objects), size=(1.0, 1.0))
    return found


# ---- COCO ------------------------------------------------------------------------------------------------------------


@dataclass
class _Gathered:
    """What is known of one video while its annotations are read; pictures by the number the file gives them."""

    objects: dict[str, dict[int, Rect]] = field(default_factory=lambda: defaultdict(dict))
    first: int = 0
    fps: float | None = None


def _json(file: Path, strict: bool = True) -> dict[str, Any]:
    """The file's object if it is COCO-style; empty if it is not and need not be."""
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        if not strict:
            return {}
        raise DataError(f"{file}: cannot be read as JSON: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("images"), list) and isinstance(data.get("annotations"), list):
        return data
    if strict:
        raise DataError(f"{file}: not COCO-style; an object with lists 'images' and 'annotations' is needed")
    return {}


def _read_coco(file: Path, data: Mapping[str, Any]) -> dict[str, SourceTracks]:
    try:
        return _gather(file, data)
    except (AttributeError, TypeError, ArithmeticError) as error:  # a text or a null where an object or number belongs
        raise DataError(f"{file}: not COCO-style in one of its entries: {error}; correct it or take it out") from error


def _gather(file: Path, data: Mapping[str, Any]) -> dict[str, SourceTracks]:
    videos = {video.get("id"): video for video in data.get("videos") or []}
    names = {category.get("id"): str(category.get("name")) for category in data.get("categories") or []}
    images = {image.get("id"): image for image in data.get("images") or []}
    counted = {key: _counted(image) for key, image in images.items()}
    gathered: dict[str, _Gathered] = {}
    for key, image in images.items():
        video = videos.get(image.get("video_id"), {})
        one = gathered.setdefault(_stem(file, image, video), _Gathered(first=1, fps=_fps(file, video)))
        number, by_name = counted[key]
        if not by_name or number == 0:
            one.first = 0
    for order, entry in enumerate(data.get("annotations") or []):
        place = f"{file}, annotation {entry.get('id', order)}"
        image = images.get(entry.get("image_id"))
        attributes = entry.get("attributes") or {}
        identity = next((entry[key] for key in TRACK_KEYS if key in entry), attributes.get("track_id"))
        box = entry.get("bbox")
        if image is None or identity is None or not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{place}: an image_id that exists, a track_id or instance_id, and a bbox of 4 are needed")
        width, height = image.get("width"), image.get("height")
        if not width or not height:
            raise DataError(f"{place}: image {image.get('id')} has no width and height to measure the box by")
        x0, y0, x1, y1 = _sized(place, *_numbers(place, [str(value) for value in box]))
        one = gathered[_stem(file, image, videos.get(image.get("video_id"), {}))]
        name = f"{names.get(entry.get('category_id'), 'object')} {identity}"
        rect = (x0 / width, y0 / height, x1 / width, y1 / height)
        _put(one.objects, name, counted[image.get("id")][0] - one.first, rect, place)
    return {stem: SourceTracks(dict(one.objects), (1.0, 1.0), one.fps) for stem, one in gathered.items()}


def _fps(file: Path, video: Mapping[str, Any]) -> float | None:
    fps = video.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and 0 < fps < math.inf):
        raise DataError(f"{file}: video {video.get('id')} has an fps of {fps!r}; a number above 0 or none is needed")
    return fps


def _counted(image: Mapping[str, Any]) -> tuple[int, bool]:
    """The number of a picture, and whether it is only known by its name."""
    for key in INDEX_KEYS:
        if isinstance(image.get(key), int):
            return int(image[key]), False
    match = NUMBERED.match(Path(str(image.get("file_name", ""))).stem)
    return (int(match[2]), True) if match else (0, False)


def _stem(file: Path, image: Mapping[str, Any], video: Mapping[str, Any]) -> str:
    """Which video a picture is of: its video's name, its folder, its own name less the number, or the file's name."""
    if named := video.get("name") or video.get("file_name"):
        return _key(Path(str(named)).stem)
    own = Path(str(image.get("file_name", "")))
    match = NUMBERED.match(own.stem)
    return _key((match[1] if match else "") or own.parent.name or file.stem)
