"""The demo's golden set: examples of the healthy product that people have judged."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from monitors.demo.product import TRUTH, Kind
from monitors.demo.traffic import traffic, truths
from monitors.review.golden import Golden
from monitors.review.rubric import DIMENSIONS
from monitors.settings import DemoSettings

_ANCHORS = 60
_DISAGREE = 0.03
_DAYS = 7
_NO_ANSWER = (Kind.NONE, Kind.TEMPLATE)


def golden_examples(settings: DemoSettings, first_day: date, count: int = 600) -> list[Golden]:
    """``count`` different examples of the first week, good and bad as they come.

    Labels are the generator's truth with three in a hundred turned round, as people would.
    """
    rng = np.random.default_rng([settings.seed, 97])
    kept: list[Golden] = []
    seen: set[tuple[str, str]] = set()
    for number in range(_DAYS):
        rows = list(traffic(first_day + timedelta(days=number), settings, first_day))
        kinds = truths([row["id"] for row in rows], settings, first_day)
        for row, (kind, _) in zip(rows, kinds, strict=True):
            text = (row["input"], row["output"])
            if kind in _NO_ANSWER or text in seen or len(kept) >= count * (number + 1) // _DAYS:
                continue
            seen.add(text)
            truth = TRUTH[kind]
            good = truth.good != (rng.random() < _DISAGREE)
            kept.append(_example(row, truth.dimensions, good, is_anchor=len(kept) < _ANCHORS))
    return kept


def _example(
    row: dict[str, Any], dimensions: tuple[float, ...], good: bool, *, is_anchor: bool
) -> Golden:
    return Golden(
        input=row["input"],
        output=row["output"],
        context=row["context"],
        reference=row["reference"],
        label=float(good),
        dimensions=dict(zip(DIMENSIONS, dimensions, strict=True)),
        feature=row["feature"],
        provenance="demo",
        is_anchor=is_anchor,
    )
