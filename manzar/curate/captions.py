"""Captions that people already have: text files beside the video, or a table of them.

Beside NAME.mp4: NAME.txt, or NAME.ur.txt for one language. A table (.csv, .tsv, .jsonl, .json) has a column of paths
and a column of captions, found by their usual names or given; `caption_ur` and the like hold one language each,
`language` says it for the row. Where nothing says it, the script of the text does.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manzar.nouns import LANGUAGES, DataError, UsageError, existing

PATH_COLUMNS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "video", "video_path", "video_file",
    "clip", "clip_path", "media", "name", "video_name", "video_id", "videoid", "id",
)  # fmt: skip
CAPTION_COLUMNS = ("caption", "captions", "text", "prompt", "description", "sentence", "label", "title")
LICENCE_COLUMNS = ("licence", "license")
LANGUAGE_COLUMNS = ("language", "lang")
LANGUAGE_CODE = re.compile(r"[a-z]{2}(-[a-z0-9]{2,8})?")
NOT_LANGUAGES = ("id",)  # caption_id is a number in most tables, not Indonesian

# Letters that Urdu has and Arabic has not, and the other way round. Both write ا ب ت …, so one such letter decides.
URDU_LETTERS = frozenset("ٹڈڑںےۓکیہھۂۃگچپژ")
ARABIC_LETTERS = frozenset("كيىةهأإؤئ")


@dataclass(frozen=True)
class Entry:
    """What a table says about one video."""

    captions: Mapping[str, str]
    licence: str = ""


@dataclass(frozen=True)
class CaptionTable:
    """Rows of a table by the ways in which a video can be found in it; ambiguous file names are not among them."""

    by_location: Mapping[Path, Entry] = field(default_factory=dict)
    by_path: Mapping[str, Entry] = field(default_factory=dict)
    by_name: Mapping[str, Entry] = field(default_factory=dict)

    def find(self, video: Path, root: Path) -> Entry:
        """The row for `video`, found under the footage folder `root`: by place, by relative path, by file name."""
        location = video.resolve()
        if location in self.by_location:
            return self.by_location[location]
        relative = video.relative_to(root) if video.is_relative_to(root) else Path(video.name)
        for path in (relative.as_posix(), (Path(root.name) / relative).as_posix(), relative.with_suffix("").as_posix()):
            if path in self.by_path:
                return self.by_path[path]
        return self.by_name.get(video.name) or self.by_name.get(video.stem) or Entry({})


def captions_for(video: Path, root: Path, table: CaptionTable, texts: Mapping[Path, Sequence[Path]]) -> Entry:
    """Captions {language: text} and licence of one video: the table's, and over them those of its side files.

    `texts` holds the text files of each folder, as `texts_beside` lists them.
    """
    entry = table.find(video, root)
    return Entry({**entry.captions, **side_captions(video, texts.get(video.parent, ()))}, entry.licence)


def texts_beside(videos: Iterable[Path]) -> dict[Path, list[Path]]:
    """The .txt files of each folder that holds a video; every folder is listed once, however many videos it holds."""
    return {folder: sorted(folder.glob("*.txt")) for folder in {video.parent for video in videos}}


def side_captions(video: Path, texts: Sequence[Path]) -> dict[str, str]:
    """Captions in NAME.txt and NAME.<language>.txt among `texts`. Raises DataError for one that is not UTF-8."""
    found: dict[str, str] = {}
    for path in texts:
        name, _, code = path.stem.rpartition(".")
        stated = name == video.stem and LANGUAGE_CODE.fullmatch(code.lower()) is not None
        if not stated and path.stem != video.stem:
            continue
        text = " ".join(_text_of(path).split())
        if text and stated:
            found[code.lower()] = text
        elif text:
            found.setdefault(detect_language(text), text)
    return found


def detect_language(text: str) -> str:
    """Language code by script: zh, hi, ja, ko, ru, ar or ur (told apart by their letters); for all else en.

    A script is not a language: French comes out as "en" and Persian as "ur". Say the language where that matters.
    """
    counts = dict.fromkeys(("ja", "ko", "zh", "hi", "ar", "ru", "en"), 0)
    for letter in text:
        code = ord(letter)
        if 0x3040 <= code <= 0x30FF:
            counts["ja"] += 1000  # a few kana among Han characters are enough
        elif 0xAC00 <= code <= 0xD7AF:
            counts["ko"] += 1
        elif 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x3134F:
            counts["zh"] += 3  # one character says about as much as three letters
        elif 0x0900 <= code <= 0x097F:
            counts["hi"] += 1
        elif 0x0600 <= code <= 0x06FF or 0x0750 <= code <= 0x077F or 0xFB50 <= code <= 0xFEFC:
            counts["ar"] += 1
        elif 0x0400 <= code <= 0x04FF:
            counts["ru"] += 1
        elif letter.isalpha():
            counts["en"] += 1
    best = max(counts, key=lambda language: counts[language])
    if counts[best] == 0:
        return "en"
    if best == "ar":
        urdu = sum(letter in URDU_LETTERS for letter in text)
        return "ur" if urdu > sum(letter in ARABIC_LETTERS for letter in text) else "ar"
    return best


def read_table(path: str | Path, *, path_column: str | None = None, caption_column: str | None = None) -> CaptionTable:
    """A table of captions.

    Raises UsageError for a missing file or an unknown extension, DataError for a table that cannot be read as text or
    whose columns cannot be told.
    """
    location = existing(path, "file")
    rows = _rows(location)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not rows:
        raise DataError(f"{location} has no rows; a header and one row for each video are needed")
    key = _column(columns, PATH_COLUMNS, path_column, location, "path")
    captions = _caption_columns(columns, caption_column, location)
    licence = _match(columns, LICENCE_COLUMNS)
    language = _match(columns, LANGUAGE_COLUMNS)
    entries: list[tuple[str, Entry]] = []
    for row in rows:
        value = _clean(row.get(key)).replace("\\", "/").removeprefix("./")
        if value:
            stated = _clean(row.get(language)).lower() if language else ""
            entries.append(
                (value, Entry(_row_captions(row, captions, stated), _clean(row.get(licence)) if licence else ""))
            )
    return _index(entries, location.parent)


def _index(entries: Iterable[tuple[str, Entry]], folder: Path) -> CaptionTable:
    by_location: dict[Path, Entry] = {}
    by_path: dict[str, Entry] = {}
    names: dict[str, list[str]] = {}
    for value, entry in entries:
        merged = Entry({**entry.captions, **by_path[value].captions}, entry.licence) if value in by_path else entry
        by_path[value] = merged  # rows for one video add languages; of two captions in one language the first stays
        by_location[(folder / value).resolve()] = merged
        if value not in names.setdefault(Path(value).name, []):
            names[Path(value).name].append(value)
    by_name = {name: by_path[values[0]] for name, values in names.items() if len(values) == 1}
    return CaptionTable(by_location, by_path, by_name)


def _row_captions(row: Mapping[str, Any], columns: Mapping[str, str], stated: str) -> dict[str, str]:
    """{language: text} of one row; a column without a language takes the row's, else the one its script shows."""
    found: dict[str, str] = {}
    for column, language in columns.items():
        value = row.get(column)
        if isinstance(value, Mapping):  # JSON: {"captions": {"en": …, "ur": …}}
            found.update({str(code).lower(): _clean(text) for code, text in value.items() if _clean(text)})
            continue
        text = _clean(value[0] if isinstance(value, list) and value else value)
        if text:
            found.setdefault(language or stated or detect_language(text), text)
    return found


def _caption_columns(columns: list[str], given: str | None, location: Path) -> dict[str, str]:
    """Column name to language, "" where the text must show it: the plain caption column and those of one language."""
    found: dict[str, str] = {}
    names = (given.lower(),) if given else CAPTION_COLUMNS
    for column in columns:
        stem, _, code = column.lower().rpartition("_")
        spoken = LANGUAGE_CODE.fullmatch(code) and code not in NOT_LANGUAGES
        if (stem in names and spoken) or (not given and column.lower() in LANGUAGES):
            found[column] = code
    if given or not found or _match(columns, CAPTION_COLUMNS):
        plain = _match(columns, names)
        if plain is not None:
            found[plain] = ""
        elif not found:
            _column(columns, CAPTION_COLUMNS, given, location, "caption")
    return found


def _column(columns: list[str], names: tuple[str, ...], given: str | None, location: Path, what: str) -> str:
    found = _match(columns, (given.lower(),) if given else names)
    if found is None:
        sought = f'"{given}"' if given else f"any of {', '.join(names)}"
        raise DataError(f"{location}: no {what} column ({sought}); the columns are {', '.join(columns)}")
    return found


def _match(columns: list[str], names: tuple[str, ...]) -> str | None:
    lowered = {column.strip().lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in names if name in lowered), None)


def _rows(path: Path) -> list[dict[str, Any]]:
    text = _text_of(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",")
        try:
            return [{column: value for column, value in row.items() if column} for row in reader]
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    if suffix not in (".jsonl", ".ndjson", ".json"):
        raise UsageError(f'{path}: unknown kind of table "{path.suffix}"; use .csv, .tsv, .jsonl or .json')
    lines = [(0, text)] if suffix == ".json" else list(enumerate(text.split("\n"), 1))
    rows: list[Any] = []
    for number, line in lines:
        if line.strip():
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number or error.lineno}: not JSON ({error.msg})") from error
            rows.extend(value if isinstance(value, list) else [value])
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: each row must be an object with a path and a caption")
    return rows


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read as text: {error.strerror}") from error


def _clean(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""
