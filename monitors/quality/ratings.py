"""Users' ratings, and what they would be if everybody rated alike often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.delight import rating
from monitors.quality.scored import Rows, Scores, read_rows, read_scores
from monitors.quality.scoring import lacks
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

# The more important first: a thin cell gives up the last one.
_FIELDS = ("feature", "segment", "interaction_type")


@monitor(name="ratings", grain=Grain.DAY)
def ratings(window: Window, context: Context) -> Iterator[Measurement]:
    """``delight.rated_share`` and ``delight.rating``, from the scores of the scorer ``rating``.

    The share of the sample that users rated, weighted to the day, overall and by feature, segment
    and interaction type. And the mean rating as a share of the way from 1 to 5, post-stratified:
    each combination of these fields counts by its share of all rows, not of the rated ones. Its
    baseline is the raw mean of the same day, so the two stand side by side. That mends who rates,
    as far as the fields tell; not that the annoyed rate more than the pleased within a cell.
    """
    if reason := lacks(rating, context) or _unless_configured(context):
        yield _nothing(window, reason)
        return
    names = slices.fields_in(context, _FIELDS)
    rows = read_rows(window, context, names)
    if not len(rows):
        yield _nothing(window, "no_sample")
        return
    scores = read_scores(window, context, rating, rows)
    yield from _shares(window, context, rows, scores)
    if scores.known.any():
        yield _corrected(window, context, rows, scores)
    else:
        yield _nothing(window, scores.reasons.most_common(1)[0][0])


def _unless_configured(context: Context) -> str:
    return "" if any(s.name == rating.name for s in context.scorers) else "no_scorer"


def _about(metric: str, window: Window) -> dict[str, Any]:
    return {"monitor": "ratings", "metric": metric, "window": window}


def _nothing(window: Window, reason: str) -> Measurement:
    return Measurement(
        **_about("delight.rating", window), n=0, status=Status.NO_DATA, reason=reason
    )


def _shares(window: Window, context: Context, rows: Rows, scores: Scores) -> Iterator[Measurement]:
    from monitors.statistics.intervals import mean_interval

    members, rated = rows.places(), scores.known.astype(np.float64)
    sizes = {place: float(len(found)) for place, found in members.items()}
    for place in slices.reported(sizes):
        chosen = members[place]
        mean, low, high = mean_interval(rated[chosen], rows.weights[chosen], bounded=True)
        few = len(chosen) < context.settings.quality.minimum_n
        yield Measurement(
            **_about("delight.rated_share", window),
            labels=slices.labels(place),
            n=len(chosen),
            value=mean,
            low=low,
            high=high,
            method="mean weighted by inverse inclusion probability; Wilson at the effective n",
            status=Status.INSUFFICIENT if few else Status.COMPLETE,
            reason="too_few" if few else "",
        )


def _corrected(window: Window, context: Context, rows: Rows, scores: Scores) -> Measurement:
    from monitors.statistics.poststratified import poststratified

    columns = [[value or "" for value in values] for values in rows.fields.values()]
    cells = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
    found = poststratified(scores.values, cells, rows.weights)
    n = int(scores.known.sum())
    few = n < context.settings.quality.minimum_n
    return Measurement(
        **_about("delight.rating", window),
        n=n,
        value=found.mean,
        low=found.low,
        high=found.high,
        baseline=found.raw,
        method=f"post-stratified in {found.cells} cells of feature, segment and interaction type; "
        "Wilson at the effective n; baseline: the raw mean",
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "",
    )
