"""Tables that people have, as rows: CSV, TSV, JSON and JSON lines, in the encodings and dialects they come in.

Excel writes semicolons where the comma is the decimal sign, puts `sep=;` on top, and saves "Unicode text" as UTF-16
with tabs. All of that reads as it is; what cannot be read is named with its line.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manzar.nouns import DataError, UsageError

DELIMITERS = (",", ";", "\t", "|")  # in the order in which a tie is settled
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
MOST_FIELD = 2**24  # characters in one CSV field; the csv module's own bound of 2^17 refuses long texts


@dataclass(frozen=True)
class Row:
    """One row: its line in the file (0 if it has none), its cells by column, and the text beyond the last column."""

    line: int
    cells: dict[str, Any]
    overflow: str = ""


def read_rows(path: Path, path_names: Sequence[str]) -> list[Row]:
    """The rows of a table; `path_names` are the names that a path column may have, in lower case.

    A JSON object {path: caption} or {path: {…}} becomes rows with the columns "path" and "caption".
    Raises UsageError for an unknown extension, DataError for what is no such table.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".tab"):
        return _csv_rows(text_of(path), suffix, path)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _json_rows(text_of(path), suffix == ".json", path, path_names)
    raise UsageError(f'{path}: unknown kind of table "{path.suffix}"; use .csv, .tsv, .jsonl or .json')


def text_of(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 that says so by its byte order mark. Raises DataError for all else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read as text: {error.strerror}") from error
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        kind = "UTF-16" if encoding == "utf-16" else "UTF-8"
        raise DataError(f"{path} is not {kind} text (byte {error.start}); save it as UTF-8") from error
    if "\x00" in text:
        raise DataError(f"{path} is not UTF-8 text (a zero byte at {text.index(chr(0))}); save it as UTF-8")
    return text.strip()


def _csv_rows(text: str, suffix: str, path: Path) -> list[Row]:
    csv.field_size_limit(MOST_FIELD)
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # Windows, and the Macs of old
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r'"?sep=([,;|\t])"?', first.strip())
    if said is not None:
        text, delimiter = rest, said[1]
    else:
        delimiter = "\t" if suffix != ".csv" else _delimiter(first)
    # Strict: else a quotation mark that is never closed swallows the rest of the table without a word.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        for record in reader:
            cells: dict[str | None, Any] = dict(record)
            beyond: list[str] = cells.pop(None, None) or []
            overflow = "".join(delimiter + cell for cell in beyond) if any(map(str.strip, beyond)) else ""
            named = {column.strip(): value for column, value in cells.items() if column and column.strip()}
            rows.append(Row(reader.line_num + (said is not None), named, overflow))
    except csv.Error as error:
        begun = (rows[-1].line if rows else 1) + 1
        raise DataError(f"{path}, in the row from line {begun} on: {error}; check its quotation marks") from error
    return rows


def _delimiter(header: str) -> str:
    """The sign that splits the header into most columns."""
    return max(DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))


def _json_rows(text: str, whole: bool, path: Path, path_names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for number, line in [(0, text)] if whole else enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            place = number or getattr(error, "lineno", 1)
            raise DataError(f"{path}, line {place}: not JSON ({getattr(error, 'msg', error)})") from error
        rows.extend(Row(number, cells) for cells in _objects(value, path, path_names))
    return rows


def _objects(value: Any, path: Path, path_names: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Rows in one JSON value: a list of them, one of them, a mapping from path to caption, or a list in a wrapper."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    if not isinstance(value, dict):
        raise DataError(f"{path}: each row must be an object with a path and a caption")
    if any(name.strip().lower() in path_names and isinstance(cell, str | int) for name, cell in value.items()):
        return [value]
    lists = [cell for cell in value.values() if isinstance(cell, list) and cell and isinstance(cell[0], dict)]
    if len(lists) == 1 and not any(Path(name).suffix for name in value):
        return _objects(lists[0], path, path_names)
    return [_keyed(key, cell) for key, cell in value.items()]


def _keyed(key: str, cell: Any) -> dict[str, Any]:
    """One entry of {path: …}: a caption, a list of them, captions by language, or a row without its path."""
    if isinstance(cell, dict) and any(name.lower() in ("caption", "captions", "text") for name in cell):
        return {**cell, "path": key}
    return {"path": key, "caption": cell}
