"""Footage to clips: shot cuts, captions, the manifest; every refusal with its reason."""

from manzar.curate.cuts import Cut, find_cuts
from manzar.curate.ingest import IngestSummary, ingest, save_clips
from manzar.curate.manifest import read_clips, read_rejected, write_clips, write_rejected
from manzar.curate.sheet import sheet

__all__ = [
    "Cut",
    "IngestSummary",
    "find_cuts",
    "ingest",
    "read_clips",
    "read_rejected",
    "save_clips",
    "sheet",
    "write_clips",
    "write_rejected",
]
