"""Measures of a set of films as rows of a report: one number from what every film gives, and from what the films of a
reference set of real ones give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from manzar.score.beside import Features, SetMeasure
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film_features import feature_dimensions, features_name, unpacked
from manzar.score.intervals import interval
from manzar.score.measure import FilmScores
from manzar.score.plan import Plan
from manzar.score.rows import FilmValue, Row


def set_row(one: SetMeasure, planned: Plan, films: Sequence[FilmScores], reference: Sequence[FilmScores],
            lacking: Mapping[str, str]) -> Row:  # fmt: skip
    """One number for all films. Its interval, where it is a mean over prompts, is that of a bootstrap over them."""
    name = features_name(one)
    dimension = Dimension(one.name, "beside", feature_dimensions()[name].measure, one.backbones)
    absent = [each for each in one.backbones if each in lacking]
    if absent:
        reason = "; ".join(lacking[each] for each in absent)
        return Row(dimension, None, None, reason=reason, short=f"needs {' and '.join(absent)}", of_set=True)
    values = [FilmValue(film.path, planned.asked[film.path][one.name], film.outcomes[name])
              for film in films if name in film.outcomes]
    row = Row(dimension, None, None, values, of_set=True)
    own = [Features(film.path, film.asked.prompt, unpacked(found)) for film, found in row.scored]
    real = [Features(film.path, None, unpacked(found)) for film in reference
            if isinstance(found := film.outcomes.get(name), Measured)]
    try:
        found = one.measure(own, real)
    except Unscored as reason:
        return Row(dimension, None, None, values, reason=str(reason), short=str(reason), of_set=True)
    spread = interval([[Measured.of(part)] for part in found.parts]) if len(found.parts) > 1 else None
    return Row(dimension, float(found.value), spread, values, of_set=True)
