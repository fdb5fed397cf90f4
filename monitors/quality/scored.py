"""The scores of a window beside the slices and weights of their rows, without any text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.slices import WHOLE, Slice
from monitors.scorer import Scorer
from sql.tables import sample, score
from sql.window import Window


@dataclass(frozen=True, slots=True)
class Rows:
    """The sampled rows of a window that users were served; shadow answers are nobody's, and are
    there only where they were asked for.

    Args:
        ids: in the order of their keys.
        weights: 1 / inclusion probability.
        fields: slice field → one value or None a row.
        persons: who was answered: the user's keyed id, else the conversation, else the row alone.
    """

    ids: Sequence[str]
    weights: NDArray[np.float64]
    fields: dict[str, list[str | None]]
    persons: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def places(self) -> dict[Slice, NDArray[np.intp]]:
        """Slice → its rows."""
        found: dict[Slice, list[int]] = {}
        for name, values in self.fields.items():
            for row, value in enumerate(values):
                if value is not None:
                    found.setdefault((name, value), []).append(row)
        every: dict[Slice, NDArray[np.intp]] = {WHOLE: np.arange(len(self), dtype=np.intp)}
        return every | {place: np.array(rows, dtype=np.intp) for place, rows in found.items()}


@dataclass(frozen=True, slots=True)
class Scores:
    """What one scorer said of each row.

    Args:
        values: shape (rows,), NaN where there is no value; it never leaves the computation.
        reasons: why there is none → rows; ``unscored`` where the scorer never ran.
    """

    values: NDArray[np.float64]
    reasons: Counter[str]

    @property
    def known(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.values)


def read_rows(
    window: Window, context: Context, names: Sequence[str], *, shadows: bool = False
) -> Rows:
    """The sample's ids, weights and the named fields."""
    table = sample.c
    query = (
        select(table.item_id, table.inclusion_probability, table.fields, table.user_key)
        .where(
            table.source == context.source.name,
            table.at >= window.start,
            table.at < window.end,
        )
        .order_by(table.sample_key, table.item_id)
    )
    rows = context.store.rows(query)
    if not shadows:
        rows = [row for row in rows if not row.fields.get("shadow_of")]
    weights = np.array([1 / row.inclusion_probability for row in rows], dtype=np.float64)
    fields = {name: slices.as_text(row.fields.get(name) for row in rows) for name in names}
    persons = [_person(row.user_key, row.fields, row.item_id) for row in rows]
    return Rows([row.item_id for row in rows], weights, fields, persons)


def _person(user_key: str | None, fields: Mapping[str, Any], item_id: str) -> str:
    if user_key:
        return f"user {user_key}"
    conversation = fields.get("conversation_id")
    return f"conversation {conversation}" if conversation else f"row {item_id}"


def read_scores(window: Window, context: Context, scorer: Scorer, rows: Rows) -> Scores:
    """The scores of ``scorer``, of its present version only, in the order of ``rows``."""
    table = score.c
    query = select(table.item_id, table.value, table.reason).where(
        table.source == context.source.name,
        table.scorer == scorer.name,
        table.scorer_version == scorer.version_in(context),
        table.at >= window.start,
        table.at < window.end,
    )
    found = {row.item_id: row for row in context.store.rows(query)}
    values = np.full(len(rows), np.nan)
    reasons: Counter[str] = Counter()
    for place, item_id in enumerate(rows.ids):
        said = found.get(item_id)
        if said is None or said.value is None:
            reasons["unscored" if said is None else said.reason] += 1
        else:
            values[place] = said.value
    return Scores(values, reasons)
