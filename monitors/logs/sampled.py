"""The sample as scorers and monitors read it: harmless texts, fields, and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Select, select

from monitors.context import Context
from monitors.logs.interaction import Batch
from sql.tables import sample
from sql.window import Window

_COLUMNS = {
    "id": "item_id",
    "at": "at",
    "input": "input",
    "output": "output",
    "context": "context",
    "reference": "reference",
    "input_sha256": "input_sha256",
    "output_sha256": "output_sha256",
    "stratum": "stratum",
    "sample_key": "sample_key",
    "user_key": "user_key",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of the sample, in the order of their keys.

    Args:
        batch: columns by attribute of `Interaction` (texts are None where the mode or retention
            took them), and ``input_sha256``, ``output_sha256``, ``stratum``, ``sample_key``,
            ``user_key``. A field that no row has is absent.
        weights: 1 / inclusion probability; they sum to the rows of the window.
    """

    batch: Batch
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def input_sha256(self) -> Sequence[str]:
        return self.batch["input_sha256"]

    @property
    def output_sha256(self) -> Sequence[str]:
        return self.batch["output_sha256"]

    @property
    def stratum(self) -> Sequence[str]:
        return self.batch["stratum"]


def read_sample(window: Window, context: Context) -> Sample:
    """The whole sample of a window; for large windows see `stream_sample`."""
    return _sample(context.store.rows(_query(window, context)))


def stream_sample(window: Window, context: Context, *, chunk: int = 5_000) -> Iterator[Sample]:
    """The sample in parts of at most ``chunk`` rows, in the order of the keys and flat memory.

    Every part is a query of its own, so that the reader may write to the store in between.
    """
    after: tuple[str, str] | None = None
    table = sample.c
    while True:
        query = _query(window, context).limit(chunk)
        if after is not None:
            key, item_id = after
            query = query.where(
                (table.sample_key > key) | ((table.sample_key == key) & (table.item_id > item_id))
            )
        rows = context.store.rows(query)
        if rows:
            after = (rows[-1].sample_key, rows[-1].item_id)
            yield _sample(rows)
        if len(rows) < chunk:
            return


def _query(window: Window, context: Context) -> Select[Any]:
    table = sample.c
    return (
        select(sample)
        .where(
            table.source == context.source.name,
            table.at >= window.start,
            table.at < window.end,
        )
        .order_by(table.sample_key, table.item_id)
    )


def _sample(rows: Sequence[Row[Any]]) -> Sample:
    columns: dict[str, list[Any]] = {
        name: [getattr(row, column) for row in rows] for name, column in _COLUMNS.items()
    }
    for name in ("context", "reference", "user_key"):
        if all(value is None for value in columns[name]):
            del columns[name]
    for name in sorted({name for row in rows for name in row.fields}):
        columns[name] = [row.fields.get(name) for row in rows]
    probabilities = np.array([row.inclusion_probability for row in rows], dtype=np.float64)
    return Sample(Batch(columns), 1.0 / probabilities)
