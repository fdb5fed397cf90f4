"""The demo's golden set: examples of the healthy product that people have judged."""

from __future__ import annotations

from datetime import date

import numpy as np

from monitors.demo.traffic import traffic, truth
from monitors.review.golden import Golden
from monitors.review.rubric import RUBRIC
from monitors.settings import DemoSettings

_ANCHORS = 60
_BAD_SHARE = 0.3
_DISAGREE = 0.03


def golden_examples(settings: DemoSettings, first_day: date, count: int = 600) -> list[Golden]:
    """``count`` examples of the first week, bad ones over-represented so that a judge can learn.

    Labels are the generator's truth with three in a hundred turned round, as people would.
    """
    rng = np.random.default_rng([settings.seed, 97])
    kept: list[Golden] = []
    seen: set[str] = set()
    wanted = {0.0: round(count * _BAD_SHARE), 1.0: count - round(count * _BAD_SHARE)}
    for day in range(7):
        for row in traffic(date.fromordinal(first_day.toordinal() + day), settings, first_day):
            label = truth(row["id"], settings, first_day)
            if wanted[label] == 0 or row["output"] in seen:
                continue
            seen.add(row["output"])
            wanted[label] -= 1
            told = 1 - label if rng.random() < _DISAGREE else label
            kept.append(
                Golden(
                    input=row["input"],
                    output=row["output"],
                    context=row["context"],
                    reference=row["reference"],
                    label=told,
                    dimensions={one.name: 1.0 + 4.0 * told for one in RUBRIC},
                    feature=row["feature"],
                    provenance="demo",
                    is_anchor=len(kept) < _ANCHORS,
                )
            )
    return kept
