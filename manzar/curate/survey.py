"""A look before the work: what footage there is, how long it is, what is unreadable, what has no caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manzar import media
from manzar.curate.captions.read import CaptionTable, captions_for, read_table, texts_beside
from manzar.curate.dataset import output_folder
from manzar.curate.footage import find_footage, name_of
from manzar.nouns import ManzarError, Progress, Rejection


@dataclass(frozen=True)
class Survey:
    """What `ingest` would meet: nothing is decoded beyond each header, nothing is written."""

    files: int
    seconds: float
    unreadable: tuple[Rejection, ...]
    without_caption: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{self.files} files, {self.seconds / 60:.1f} minutes by their headers; nothing was written"]
        lines += [f"unreadable: {row.detail}" for row in self.unreadable]
        if self.without_caption:
            names = ", ".join(self.without_caption[:5]) + (", …" if len(self.without_caption) > 5 else "")
            lines.append(f"{len(self.without_caption)} files without a caption: {names}")
        return "\n".join(lines)


def survey(
    footage: Sequence[Path],
    out: Path,
    *,
    captions: Path | None = None,
    path_column: str | None = None,
    caption_column: str | None = None,
    report: Progress | None = None,
) -> Survey:
    """Look at what there is: headers, captions, lengths. Raises what `ingest` raises for wrong requests."""
    table = CaptionTable()
    if captions is not None:
        table = read_table(captions, path_column=path_column, caption_column=caption_column)
    found = find_footage(footage, output_folder(out))
    texts = texts_beside(path for path, _ in found)
    seconds, unreadable, silent = 0.0, [], []
    for done, (path, root) in enumerate(found, 1):
        try:
            seconds += media.probe(path).seconds or 0.0
        except ManzarError as error:
            unreadable.append(Rejection(name_of(path), 0.0, "unreadable", str(error)))
        else:
            if not captions_for(path, root, table, texts).captions:
                silent.append(name_of(path))
        if report is not None:
            report(done, len(found), path.name)
    return Survey(len(found), seconds, tuple(unreadable), tuple(silent))
