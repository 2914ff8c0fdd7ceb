"""Questions to a data set: a condition in SQL over clips.parquet gives the ids of the clips that meet it.

    where(data, "motion > 2 and seconds >= 3 and 'ur' in languages")

The columns are those of the manifest, every measure under its own name, and what people ask most: `seconds`,
`languages`, `tracks` (how many) and one `caption_xx` for each language. The table is copied into memory first and the
database is then shut off from files and settings: a condition can read nothing but the clips, and change nothing.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from manzar.curate.manifest import CLIPS
from manzar.nouns import LANGUAGES, DataError, UsageError, existing

# What each column is made of, from the rows of the manifest. A missing measure or caption is null, and a condition
# on null holds for no clip.
COLUMNS = {
    "id": "id",
    "path": "path",
    "source": "source",
    "start_s": "start_s",
    "end_s": "end_s",
    "seconds": "frames / fps",
    "width": "width",
    "height": "height",
    "fps": "fps",
    "frames": "frames",
    "split": "split",
    "licence": "licence",
    "phash": "phash",
    "captions": "captions",
    "languages": "map_keys(captions)",
    "measures": "measures",
    "tracks": "len(tracks)",
}
READ = ("id", "path", "source", "start_s", "end_s", "width", "height", "fps", "frames", "split", "licence", "phash",
        "captions", "measures", "tracks")  # fmt: skip


def where(data: Path, condition: str) -> list[str]:
    """Ids of the clips of the data set `data` that meet `condition`, in the order of the data set.

    Raises UsageError for a condition that is not one SQL expression of true and false over the columns, naming them;
    DataError for a folder that is no data set.
    """
    with duckdb.connect(":memory:", config={"python_enable_replacements": False}) as database:
        columns = _load(database, _rows(Path(data)))
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        clips = database.table("clips")
        try:
            # SQLExpression takes one expression and nothing else: no second statement, no UNION, no ORDER BY.
            asked = duckdb.SQLExpression(condition)
            kind = str(clips.select(asked).types[0])
            if kind != "BOOLEAN":
                raise UsageError(
                    f"the condition {condition!r} is not true or false but {kind.strip(chr(34))}; "
                    f"compare it with something, as in: motion > 2 and seconds >= 3"
                )
            met = clips.filter(asked).select("id").fetchall()  # DuckDB keeps the order of rows as they were put in
        except duckdb.Error as error:
            raise UsageError(_explained(condition, str(error), columns)) from error
    return [row[0] for row in met]


def _rows(data: Path) -> pa.Table:
    path = existing(data, "folder") / CLIPS
    if not path.exists():
        raise DataError(f"{data} is no data set: {CLIPS} is missing; make one with `manzar ingest` or `manzar world`")
    try:
        with pq.ParquetFile(path) as file:
            leaves = [file.schema.column(number).path for number in range(len(file.schema))]
            # How many tracks there are is asked, not where: the boxes are nearly all of a large manifest.
            table = file.read([leaf for leaf in leaves if leaf.split(".")[0] in READ and ".boxes." not in leaf])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); run `manzar ingest` again") from error
    missing = [name for name in READ if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}; run `manzar ingest` again")
    return table


def _load(database: duckdb.DuckDBPyConnection, rows: pa.Table) -> list[str]:
    """Make the table `clips` and return its columns; a measure named as a column stays reachable as measures['…']."""
    database.register("rows", rows)
    measures = _keys(database, "measures")
    languages = sorted({*LANGUAGES, *_keys(database, "captions")})
    made = {
        **{name: f"measures[{_text(name)}]" for name in measures},
        **{f"caption_{language}": f"captions[{_text(language)}]" for language in languages},
        **COLUMNS,
    }
    chosen = ", ".join(f"{source} AS {_name(name)}" for name, source in made.items())
    database.execute(f"CREATE TABLE clips AS SELECT {chosen} FROM rows")
    database.unregister("rows")
    return [*COLUMNS, *(name for name in made if name not in COLUMNS)]


def _keys(database: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    found = database.execute(f"SELECT DISTINCT unnest(map_keys({column})) FROM rows").fetchall()
    return sorted(row[0] for row in found)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _explained(condition: str, error: str, columns: list[str]) -> str:
    """DuckDB's own first line, the nearest column where one was misspelt, and what columns there are."""
    reason = error.splitlines()[0].partition("Error: ")[2].rstrip("! ") or error.splitlines()[0]
    hint = "."
    if reason.startswith("Referenced column"):
        name = reason.split('"')[1]
        near = get_close_matches(name, columns, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; a text is written in single quotes, '{name}'."
    return f"the condition {condition!r} cannot be asked: {reason}{hint} The columns are {', '.join(columns)}"
