"""The page of a report: radar, tables, the films at both ends of every dimension, what is unscored, the receipt."""

from manzar.score.report.other import Other, read_other
from manzar.score.report.page import page

__all__ = ["Other", "page", "read_other"]
