"""The sampled inputs that a week's look at embeddings is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.logs.sampled import read_sample
from sql.window import Window

Values = NDArray[np.float64]
_NUMBERS = ("latency_ms", "cost_usd")


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows with a text, column by column.

    Args:
        ids: of the rows.
        inputs: redacted.
        weights: 1 / inclusion probability, so that shares are of the traffic, not of the sample.
        numbers: ``latency_ms`` and ``cost_usd``, NaN where the log has none.
    """

    ids: list[str]
    inputs: list[str]
    weights: Values
    numbers: dict[str, Values]

    def __len__(self) -> int:
        return len(self.ids)


def sampled_inputs(windows: Sequence[Window], context: Context) -> Texts:
    """Inputs with a text, at most ``[drift] embedding_rows``, chosen by its seed: always the same.

    Rows whose text retention has removed are left out.
    """
    limit = context.settings.drift.embedding_rows
    rows: list[tuple[str, str, float, tuple[float, ...]]] = []
    for window in windows:
        sampled = read_sample(window, context)
        batch = sampled.batch
        columns = [batch[name] if name in batch else [None] * len(batch) for name in _NUMBERS]
        for place, text in enumerate(batch["input"]):
            if text:
                numbers = tuple(_number(column[place]) for column in columns)
                rows.append((batch["id"][place], text, float(sampled.weights[place]), numbers))
    if len(rows) > limit:
        generator = np.random.default_rng(context.settings.drift.seed)
        rows = [rows[place] for place in np.sort(generator.permutation(len(rows))[:limit])]
    return Texts(
        [row[0] for row in rows],
        [row[1] for row in rows],
        np.array([row[2] for row in rows]),
        {name: np.array([row[3][place] for row in rows]) for place, name in enumerate(_NUMBERS)},
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else np.nan
