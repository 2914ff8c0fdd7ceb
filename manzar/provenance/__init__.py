"""Marks that say a film was made by a model, and reading them back."""

from manzar.provenance.certificate import default_folder
from manzar.provenance.findings import Finding, verify
from manzar.provenance.marks import Marks, Stamp, finish_file, mark_stream, metadata_of

__all__ = ["Finding", "Marks", "Stamp", "default_folder", "finish_file", "mark_stream", "metadata_of", "verify"]
