"""Weekly: do users ask for something new? Three tests on embeddings, each good at another thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.drift.texts import sampled_inputs
from monitors.monitor import monitor
from monitors.reference import is_reference, reference_days
from monitors.statistics.classifier import separation
from monitors.statistics.intervals import wilson
from monitors.statistics.multiplicity import holm
from monitors.statistics.neighbours import density_scan, novelty_tail
from monitors.statistics.two_sample import mmd_permutation
from sql.measurement import Measurement, Status, unmeasured
from sql.window import Grain, Window

_nothing = partial(unmeasured, "embeddings", "drift.embedding.density_scan")

_MINIMUM = 50
# MMD keeps a kernel of (n + m)² numbers; this many a side decide as well and in a second.
_MMD_ROWS = 600


@dataclass(frozen=True, slots=True)
class Found:
    """One test's effect (what share or distance), its interval if it has one, and its p-value."""

    metric: str
    value: float
    low: float | None
    high: float | None
    baseline: float | None
    p_value: float
    unit: str


@monitor(name="embeddings", grain=Grain.WEEK)
def embeddings(window: Window, context: Context) -> Iterator[Measurement]:
    """Compare the week's input embeddings with the reference period's.

    The density scan finds a small dense new topic, the novelty tail what is new but scattered,
    maximum mean discrepancy a broad shift (Gretton et al. 2012). Their p-values are adjusted by
    Holm over the three; the effect of the scan is the share of traffic above expectation in the
    densest new region. ``drift.embedding.auc`` describes and decides nothing: how well a domain
    classifier tells the windows apart.
    """
    current = sampled_inputs([window], context).inputs
    if not current:
        yield _nothing(window, Status.NO_DATA, "empty_window", n=0)
        return
    if is_reference(window, context):
        yield _nothing(window, Status.INSUFFICIENT, "reference_period", n=len(current))
        return
    past = sampled_inputs(reference_days(context), context).inputs
    if min(len(past), len(current)) < _MINIMUM:
        yield _nothing(window, Status.INSUFFICIENT, "too_few_rows", n=len(current))
        return
    embed = context.embedder().embed
    before, now = embed(past), embed(current)
    seed = context.settings.drift.seed
    found = compare(before, now, seed=seed)
    adjusted = holm([one.p_value for one in found])
    for one, p_value in zip(found, adjusted, strict=True):
        yield Measurement(
            monitor="embeddings",
            metric=one.metric,
            window=window,
            value=one.value,
            low=one.low,
            high=one.high,
            n=len(current),
            baseline=one.baseline,
            evidence=float(p_value),
            method="p-value; Holm over density scan, novelty tail and MMD",
            unit=one.unit,
        )
    apart = separation(before, now, seed=seed)
    yield Measurement(
        monitor="embeddings",
        metric="drift.embedding.auc",
        window=window,
        value=apart.auc,
        low=apart.low,
        high=apart.high,
        n=len(current),
        baseline=0.5,
        method="cross-fitted domain classifier; DeLong's interval within folds",
    )


def compare(past: NDArray[np.float32], current: NDArray[np.float32], *, seed: int) -> list[Found]:
    """The three tests on unit vectors of shapes (n, d) and (m, d)."""
    region = density_scan(past, current)
    members, m = len(region.members), len(current)
    low, high = wilson(members, m)
    expected = max(0.0, members / m - region.excess)
    tail = novelty_tail(past, current)
    tail_low, tail_high = wilson(tail.share * m, m)
    chosen = np.random.default_rng(seed)
    some_past = past[np.sort(chosen.permutation(len(past))[:_MMD_ROWS])]
    some_current = current[np.sort(chosen.permutation(m)[:_MMD_ROWS])]
    mmd2, mmd_p = mmd_permutation(some_past, some_current, seed=seed)
    return [
        Found("drift.embedding.density_scan", members / m, low, high, expected, region.p, "ratio"),
        Found("drift.embedding.novelty", tail.share, tail_low, tail_high, 0.05, tail.p, "ratio"),
        Found("drift.embedding.mmd", mmd2, None, None, 0.0, mmd_p, "distance"),
    ]
