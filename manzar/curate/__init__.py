"""Footage to clips: shot cuts, measures, captions, the manifest; every refusal with its reason."""

from manzar.curate.cuts.find import Cut, find_cuts
from manzar.curate.dataset import IngestSummary, save_clips
from manzar.curate.ingest import ingest
from manzar.curate.manifest import read_clips, read_rejected, write_clips, write_rejected
from manzar.curate.measures.limits import LIMITS, Limit, parse_limits
from manzar.curate.plan import Settings
from manzar.curate.sheet.sheet import sheet
from manzar.curate.survey import Survey, survey

__all__ = [
    "LIMITS",
    "Cut",
    "IngestSummary",
    "Limit",
    "Settings",
    "Survey",
    "find_cuts",
    "ingest",
    "parse_limits",
    "read_clips",
    "read_rejected",
    "save_clips",
    "sheet",
    "survey",
    "write_clips",
    "write_rejected",
]
