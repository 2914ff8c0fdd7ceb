"""Captions that people already have: text files beside the video, or a table of them; and what is missing of them.

Beside NAME.mp4: NAME.txt or NAME.mp4.txt, and NAME.ur.txt for one language. A table (.csv, .tsv, .jsonl, .json) has a
column of paths and a column of captions, found by their usual names or given; `caption_ur` and the like hold one
language each, `language` says it for the row; a JSON object may map paths to captions. Where nothing says the
language, the text does. A clip has one caption in a language: where there are several the first stays, since a model
trains on one sentence at a time and a text made by joining them is nobody's caption; how many were passed over is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manzar.curate.captions.languages import clean, contradiction, detect_language, language_code, language_name, nfc
from manzar.curate.captions.tables import Row, read_rows, text_of
from manzar.nouns import LANGUAGES, Clip, DataError, existing

PATH_COLUMNS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "video", "video_path", "video_file",
    "clip", "clip_path", "media", "name", "video_name", "video_id", "videoid", "id",
)  # fmt: skip
CAPTION_COLUMNS = ("caption", "captions", "text", "prompt", "description", "sentence", "label", "title")
LICENCE_COLUMNS = ("licence", "license")
LANGUAGE_COLUMNS = ("language", "lang")
NOT_LANGUAGES = ("id", "no")  # caption_id and caption_no are numbers in most tables, not Indonesian and Norwegian
MOST_EXAMPLES = 10

# The .txt files of one folder by the name of the video they may belong to: (language, or "" where unsaid; file).
Beside = Mapping[str, Sequence[tuple[str, Path]]]


@dataclass(frozen=True)
class Entry:
    """What a table says about one video."""

    captions: Mapping[str, str]
    licence: str = ""


@dataclass(frozen=True)
class CaptionTable:
    """Rows of a table by the ways in which a video can be found in it; ambiguous file names are not among them.

    Names are compared in one Unicode form, and file names alone without regard to case, as file systems differ in
    both. `names` are the videos named, `passed_over` the number of second captions in a language.
    """

    by_location: Mapping[str, Entry] = field(default_factory=dict)
    by_path: Mapping[str, Entry] = field(default_factory=dict)
    by_name: Mapping[str, Entry] = field(default_factory=dict)
    passed_over: int = 0

    def find(self, video: Path, root: Path) -> Entry:
        """The row for `video`, found under the footage folder `root`: by place, by relative path, by file name."""
        entry, _ = self._found(video, root)
        return entry

    def unmatched(self, videos: Iterable[tuple[Path, Path]]) -> list[str]:
        """Names in the table that none of `videos`, (file, footage folder), answers to."""
        answered = {id(entry) for entry, known in (self._found(video, root) for video, root in videos) if known}
        return [name for name, entry in self.by_path.items() if id(entry) not in answered]

    def _found(self, video: Path, root: Path) -> tuple[Entry, bool]:
        relative = video.relative_to(root) if video.is_relative_to(root) else Path(video.name)
        below = Path(root.name) / relative
        for index, key in (
            (self.by_location, str(video.parent.resolve() / video.name)),
            *((self.by_path, path.as_posix()) for path in (relative, below, relative.with_suffix(""))),
            *((self.by_name, name.casefold()) for name in (video.name, video.stem)),
        ):
            entry = index.get(nfc(key))
            if entry is not None:
                return entry, True
        return Entry({}), False


@dataclass(frozen=True)
class Contradiction:
    """A caption that cannot be in the language it is filed under."""

    clip: str
    source: str
    stated: str
    found: str
    text: str


@dataclass(frozen=True)
class CaptionReport:
    """What the captions of a data set are, and what is missing of them.

    languages: clips with a caption in each, most first. missing: for those languages, clips without one. silent: clips
    without any; silent_sources names some. contradictions: some of the `contradicted` captions.
    """

    clips: int
    languages: Mapping[str, int]
    missing: Mapping[str, int]
    silent: int
    silent_sources: tuple[str, ...]
    contradicted: int
    contradictions: tuple[Contradiction, ...]

    def lines(self) -> list[str]:
        """The report in words, a line for each thing to know."""
        told = [
            f"{language_name(code)} ({code}): {count} of {self.clips} clips"
            + (f", {self.missing[code]} without" if self.missing[code] else "")
            for code, count in self.languages.items()
        ]
        if self.silent:
            named = ", ".join(self.silent_sources)
            told.append(f"without any caption: {self.silent} of {self.clips} clips, for example of {named}")
        for odd in self.contradictions:
            reads = language_name(odd.found)
            told.append(f'{odd.source}: filed as {language_name(odd.stated)}, reads as {reads}: "{odd.text[:60]}"')
        if self.contradicted > len(self.contradictions):
            told.append(f"… and {self.contradicted - len(self.contradictions)} more filed under a wrong language")
        return told


def missing(clips: Sequence[Clip]) -> CaptionReport:
    """What is missing of the captions of `clips`, and which of them cannot be in the language they are filed under."""
    counts = Counter(code for clip in clips for code, text in clip.captions.items() if text)
    silent = [clip.source for clip in clips if not any(clip.captions.values())]
    odd = [
        Contradiction(clip.id, clip.source, code, found, text)
        for clip in clips
        for code, text in clip.captions.items()
        if (found := contradiction(text, code)) is not None
    ]
    languages = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    return CaptionReport(
        clips=len(clips),
        languages=languages,
        missing={code: len(clips) - count for code, count in languages.items()},
        silent=len(silent),
        silent_sources=tuple(dict.fromkeys(silent))[:MOST_EXAMPLES],
        contradicted=len(odd),
        contradictions=tuple(odd[:MOST_EXAMPLES]),
    )


def captions_for(video: Path, root: Path, table: CaptionTable, texts: Mapping[Path, Beside]) -> Entry:
    """Captions {language: text} and licence of one video: the table's, and over them those of its side files.

    `texts` holds the text files of each folder, as `texts_beside` lists them.
    """
    entry = table.find(video, root)
    return Entry({**entry.captions, **side_captions(video, texts.get(video.parent, {}))}, entry.licence)


def texts_beside(videos: Iterable[Path]) -> dict[Path, Beside]:
    """The .txt files of each folder that holds a video; every folder is listed once, however many videos it holds."""
    return {folder: _by_video(sorted(folder.glob("*.[tT][xX][tT]"))) for folder in {video.parent for video in videos}}


def side_captions(video: Path, texts: Beside) -> dict[str, str]:
    """Captions in NAME.txt and NAME.<language>.txt among `texts`. Raises DataError for one that cannot be read."""
    found: dict[str, str] = {}
    names = dict.fromkeys((nfc(video.name), nfc(video.stem)))
    beside = [said for name in names for said in texts.get(name, ())]
    for code, path in sorted(beside, key=lambda said: not said[0]):  # those that say their language go first
        text = clean(text_of(path))
        if text:
            found.setdefault(code or detect_language(text), text)
    return found


def read_table(path: str | Path, *, path_column: str | None = None, caption_column: str | None = None) -> CaptionTable:
    """A table of captions.

    Raises UsageError for a missing file or an unknown extension, DataError for a table that cannot be read as text or
    whose columns cannot be told.
    """
    location = existing(path, "file")
    paths = (path_column.strip().lower(),) if path_column else PATH_COLUMNS
    rows = read_rows(location, paths)
    if not rows:
        raise DataError(f"{location} has no rows; a header and one row for each video are needed")
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    key = _column(columns, paths, path_column, location, "path")
    captions = _caption_columns(columns, caption_column, location)
    licence = _match(columns, LICENCE_COLUMNS)
    language = _match(columns, LANGUAGE_COLUMNS)
    entries: list[tuple[str, Entry]] = []
    passed_over = 0
    for row in rows:
        value = clean(row.cells.get(key)).replace("\\", "/").removeprefix("./")
        if value:
            cells = _mended(row, captions, location)
            stated = language_code(clean(cells.get(language))) if language else None
            texts, spare = _row_captions(cells, captions, stated)
            entries.append((value, Entry(texts, clean(cells.get(licence)) if licence else "")))
            passed_over += spare
    return _index(entries, location.parent, passed_over)


def _by_video(texts: Iterable[Path]) -> Beside:
    found: dict[str, list[tuple[str, Path]]] = {}
    for path in texts:
        stem = nfc(path.stem)
        found.setdefault(stem, []).append(("", path))
        name, _, ending = stem.rpartition(".")
        code = language_code(ending) if name else None
        if code is not None:
            found.setdefault(name, []).append((code, path))
    return found


def _index(entries: Iterable[tuple[str, Entry]], folder: Path, passed_over: int) -> CaptionTable:
    by_path: dict[str, Entry] = {}
    for value, entry in entries:
        known = by_path.get(value)
        if known is not None:  # rows for one video add languages; of two captions in one language the first stays
            passed_over += len(known.captions.keys() & entry.captions.keys())
            entry = Entry({**entry.captions, **known.captions}, known.licence or entry.licence)
        by_path[value] = entry
    names: dict[str, list[str]] = {}
    for value in by_path:
        names.setdefault(Path(value).name.casefold(), []).append(value)
    by_name = {nfc(name): by_path[values[0]] for name, values in names.items() if len(values) == 1}
    resolved: dict[Path, Path] = {}  # a folder is resolved once, not once for each of the 100,000 files in it
    by_location = {}
    for value, entry in by_path.items():
        place = folder / value
        if place.parent not in resolved:
            resolved[place.parent] = place.parent.resolve()
        by_location[nfc(str(resolved[place.parent] / place.name))] = entry
    return CaptionTable(by_location, by_path, by_name, passed_over)


def _mended(row: Row, captions: Mapping[str, str], location: Path) -> dict[str, Any]:
    """The cells of a row; what stands beyond the last column is a caption's end that was not quoted, or an error."""
    if not row.overflow:
        return row.cells
    last = list(row.cells)[-1]
    if last not in captions:
        raise DataError(
            f'{location}, line {row.line}: more cells than columns, beginning with "{row.overflow[1:41]}"; '
            "put captions with separators in them in quotation marks"
        )
    return {**row.cells, last: row.cells[last] + row.overflow}


def _row_captions(
    row: Mapping[str, Any], columns: Mapping[str, str], stated: str | None
) -> tuple[dict[str, str], int]:
    """({language: text}, captions passed over) of one row; a column without a language takes the row's or its own."""
    found: dict[str, str] = {}
    spare = 0
    for column, language in columns.items():
        for code, text in _told(row.get(column)):
            here = code or language or stated or detect_language(text)
            spare += here in found
            found.setdefault(here, text)
    return found, spare


def _told(value: Any) -> list[tuple[str, str]]:
    """(language or "", text) of one cell: a text, or in JSON {"ur": …}, a list, or {"language": …, "text": …}."""
    if isinstance(value, Mapping):
        caption = _match(list(value), CAPTION_COLUMNS)
        if caption is not None:
            said = _match(list(value), LANGUAGE_COLUMNS)
            stated = (language_code(clean(value[said])) if said else None) or ""
            return [(code or stated, text) for code, text in _told(value[caption])]
        return [
            (language_code(str(name)) or code, text) for name, cell in value.items() for code, text in _told(cell)
        ]
    if isinstance(value, list):
        return [pair for item in value for pair in _told(item)]
    text = clean(value)
    return [("", text)] if text else []


def _caption_columns(columns: list[str], given: str | None, location: Path) -> dict[str, str]:
    """Column name to language, "" where the text must show it: the plain caption column and those of one language."""
    names = (given.strip().lower(),) if given else CAPTION_COLUMNS
    found = {column: code for column in columns if (code := _column_language(column, names, alone=not given))}
    plain = _match(columns, names)
    if plain is not None:
        found[plain] = ""
    if not found:
        _column(columns, CAPTION_COLUMNS, given, location, "caption")
    return found


def _column_language(column: str, names: Sequence[str], alone: bool) -> str | None:
    """The language of a column such as caption_ur, "Urdu caption" or, if `alone`, Urdu or ur; None if it has none."""
    lowered = nfc(column).strip().lower()
    for name in names:
        match = re.fullmatch(rf"{re.escape(name)}[\s_.:\[(-]+(.+?)[\])]*|(.+?)[\s_.:-]+{re.escape(name)}", lowered)
        said = match and (match[1] or match[2])
        if said and said not in NOT_LANGUAGES:
            return language_code(said)
    if alone and (lowered in LANGUAGES or len(lowered) > 3):  # a column "it" or "no" need not be a language
        return language_code(lowered)
    return None


def _column(columns: list[str], names: Sequence[str], given: str | None, location: Path, what: str) -> str:
    found = _match(columns, names)
    if found is None:
        sought = f'"{given}"' if given else f"any of {', '.join(names)}"
        raise DataError(f"{location}: no {what} column ({sought}); the columns are {', '.join(columns)}")
    return found


def _match(columns: list[str], names: Sequence[str]) -> str | None:
    lowered = {nfc(column).strip().lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in names if name in lowered), None)
