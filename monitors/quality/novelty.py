"""Does an arm's difference last, or was it the charm of the new?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.first_seen import LOOK_BACK, first_seen
from monitors.quality.recent import ARM, Recent, read_recent
from sql.measurement import Measurement, Status
from sql.window import Window

if TYPE_CHECKING:
    from monitors.statistics.clusters import Contrast

# A difference that moved is named by what it did; at this p-value it moved.
_MOVED = 0.01


def novelty(
    window: Window, context: Context, arms: Sequence[str], control: str, span: int
) -> Iterator[Measurement]:
    """``comparison.arm.novelty{candidate, control, metric}``: how much of an arm's first difference
    to its control is gone in its latest days.

    Of the arm's days so far the first third against the last third (Kohavi, Tang & Xu 2020,
    "Trustworthy online controlled experiments", chapter 23), each time against the control of the
    same days. Below 0 it grew; it flipped where the latest difference alone is of the other sign by
    more than chance. The p-value is two-sided, of "the difference is what it was", by persons as
    clusters. An arm younger than three times the compared days is ``too_early``; one that served on
    the first day that was watched, or began more than four weeks ago, is not new and has no such
    measurement.

    Args:
        arms: those that serve now.
        span: days in a comparison.
    """
    seen = first_seen(ARM, window, context)
    for arm in arms:
        label = slices.label_text(arm)
        began = min(
            (first[label] for first in seen.values.values() if label in first), default=None
        )
        if began is None or seen.watched is None or began <= seen.watched:
            continue
        days = next(back for back in range(LOOK_BACK + 1) if window.shift(-back).start <= began) + 1
        third = days // 3
        early = third < span
        ends = [*range(third), *range(days - third, days)]
        recent = read_recent(window, context, ends or [0])
        labels = {"candidate": label, "control": control}
        for metric in recent.values:
            about = {"labels": {**labels, "metric": metric}, "window": window}
            yield _moved(recent, metric, (arm, control), days - third, about, context, early=early)


def _moved(
    recent: Recent,
    metric: str,
    arms: tuple[str, str],
    first_from: int,
    about: dict[str, Any],
    context: Context,
    *,
    early: bool,
) -> Measurement:
    from monitors.statistics.clusters import contrast

    values = recent.values[metric]
    known = ~np.isnan(values)
    about |= {"monitor": "comparison", "metric": "comparison.arm.novelty"}
    # 0 and 1: the arm and its control in the first days; 2 and 3: in the latest.
    groups = np.full(len(values), -1, dtype=np.intp)
    late = 2 * (recent.day < first_from)
    for place, arm in enumerate(arms):
        chosen = known & (recent.fields[ARM] == arm)
        groups[chosen] = place + late[chosen]
    n = int((groups >= 0).sum())
    people = [len(np.unique(recent.persons[groups == group])) for group in range(4)]
    if early or min(people) < context.settings.quality.minimum_n:
        reason = "too_early" if early else "too_few"
        return Measurement(**about, n=n, status=Status.INSUFFICIENT, reason=reason)
    rows = (values, recent.weights, recent.persons, groups)
    first = contrast(*rows, (1.0, -1.0)).value
    gone = contrast(*rows, (1.0, -1.0, -1.0, 1.0) if first >= 0 else (-1.0, 1.0, 1.0, -1.0))
    latest = contrast(*rows, (0.0, 0.0, 1.0, -1.0))
    flipped = latest.value * first < 0 and latest.p_value <= _MOVED
    low, high = gone.interval()
    return Measurement(
        **about,
        n=n,
        value=gone.value,
        low=low,
        high=high,
        baseline=0.0,
        evidence=gone.p_value,
        detectable=2.8 * gone.error,
        method=f"p-value; the difference {_said(gone, flipped=flipped)}: first "
        "third of the arm's days against the last, each against its control; Welch, persons as "
        f"clusters, design effect {gone.design_effect:.2f}",
    )


def _said(gone: Contrast, *, flipped: bool) -> str:
    if gone.p_value > _MOVED:
        return "has not moved by more than chance"
    if gone.value < 0:
        return "grew"
    return "flipped" if flipped else "faded"
