"""Reading back the marks that say a film was made by a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from manzar.cli.talk import Json, app, show_result


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Films, or anything that may be one.")],
    id: Annotated[str | None, typer.Option("--id", help="Of the film that these may be copies of: a weaker trace of "
                                                        "its invisible mark is found then.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Folder whose root.pem is trusted; else your own.")] = None,
    as_json: Json = False,
) -> None:
    """What marks a film carries: signature, metadata, label, invisible mark.

    Exit codes: 0 something was found in every file and all of it holds; 3 nothing found in one; 4 one was changed
    after it was marked; 1 one cannot be read. The last of these that applies is returned.
    """
    from manzar.nouns import MediaError
    from manzar.provenance.findings import exit_code
    from manzar.provenance.findings import verify as marks_of

    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    codes = []
    for file in files:
        try:
            findings = marks_of(file, certificate_folder=certificate, id=id)
        except MediaError as error:
            rows.append({"file": str(file), "code": 1, "error": str(error), "findings": []})
            lines.append(str(error))
        else:
            code = exit_code(findings)
            rows.append({"file": str(file), "code": code, "error": None, "findings": [vars(each) for each in findings]})
            lines += [f"{file}: {VERDICTS[code]}", *(f"  {finding}" for finding in findings)]
        codes.append(rows[-1]["code"])
    show_result({"files": rows}, as_json, "\n".join(lines))
    raise typer.Exit(max(codes, key=GRAVEST.index))


VERDICTS = {
    0: "marked as AI-generated",
    3: "no mark found; that says nothing about how it was made",
    4: "marked, and changed since",
}
GRAVEST = (0, 3, 4, 1)
