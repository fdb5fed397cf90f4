"""The sample of the last days with the scores by which variants are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.scored import read_rows, read_scores
from monitors.quality.scoring import lacks
from monitors.scorer import Scorer
from sql.window import Window

FEATURE, VERSION, ARM = "feature", "prompt_version", "arm"
METRICS = ("judge", "accepted")


@dataclass(frozen=True, slots=True)
class Recent:
    """The sampled rows of some days, one after the other; every array has one entry a row.

    Args:
        day: 0 is the window itself, 1 the day before it …
        persons: who was answered, as a number (see `scored.Rows`).
        fields: feature, prompt version and arm; None where the row has none.
        values: metric → scores, NaN where there is none.
    """

    day: NDArray[np.intp]
    weights: NDArray[np.float64]
    persons: NDArray[np.intp]
    fields: Mapping[str, NDArray[np.object_]]
    values: Mapping[str, NDArray[np.float64]]


def read_recent(window: Window, context: Context, days: Sequence[int]) -> Recent:
    """The sample of the days so many back, at least one."""
    names = slices.fields_in(context, [FEATURE, VERSION, ARM])
    scorers = _scorers(context)
    day, weights = [], []
    persons: dict[str, int] = {}
    numbers: list[int] = []
    fields: dict[str, list[str | None]] = {name: [] for name in (FEATURE, VERSION, ARM)}
    values: dict[str, list[NDArray[np.float64]]] = {scorer.name: [] for scorer in scorers}
    for back in days:
        part = window.shift(-back)
        rows = read_rows(part, context, names)
        day.append(np.full(len(rows), back, dtype=np.intp))
        weights.append(rows.weights)
        numbers += [persons.setdefault(person, len(persons)) for person in rows.persons]
        for name, column in fields.items():
            column += rows.fields.get(name, [None] * len(rows))
        for scorer in scorers:
            values[scorer.name].append(read_scores(part, context, scorer, rows).values)
    return Recent(
        np.concatenate(day),
        np.concatenate(weights),
        np.array(numbers, dtype=np.intp),
        {name: np.array(column, dtype=object) for name, column in fields.items()},
        {name: np.concatenate(column) for name, column in values.items()},
    )


def _scorers(context: Context) -> list[Scorer]:
    return [s for s in context.scorers if s.name in METRICS and not lacks(s, context)]
