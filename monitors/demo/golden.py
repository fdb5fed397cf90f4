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
_BAD_SHARE = 0.35
_DISAGREE = 0.03
_DAYS = 7


def golden_examples(settings: DemoSettings, first_day: date, count: int = 600) -> list[Golden]:
    """``count`` examples of the first week, bad ones over-represented so that a judge can learn.

    Labels are the generator's truth with three in a hundred turned round, as people would.
    """
    rng = np.random.default_rng([settings.seed, 97])
    bad = round(count * _BAD_SHARE)
    wanted = {True: count - bad, False: bad}
    kept: list[Golden] = []
    seen: set[tuple[str, str]] = set()
    for day in (first_day + timedelta(days=number) for number in range(_DAYS)):
        rows = list(traffic(day, settings, first_day))
        kinds = truths([row["id"] for row in rows], settings, first_day)
        for row, (kind, _) in zip(rows, kinds, strict=True):
            truth = TRUTH[kind]
            text = (row["input"], row["output"])
            if kind in (Kind.NONE, Kind.TEMPLATE) or not wanted[truth.good] or text in seen:
                continue
            seen.add(text)
            wanted[truth.good] -= 1
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
