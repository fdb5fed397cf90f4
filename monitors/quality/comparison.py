"""Is the new prompt version, or the canary, worse? Compared over the last days of the sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import case, func, select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.scored import read_rows, read_scores
from monitors.quality.scoring import lacks
from monitors.quality.traffic import served
from monitors.scorer import Scorer
from sql.measurement import Measurement, Status
from sql.tables import partial_result
from sql.window import Grain, Window

JOB, STEP = "daily_quality", "versions"
METRICS = ("judge", "accepted")
_CONTROL, _SHADOW = "control", "shadow"
# A version older than this is no longer new, and its predecessor no longer a fair control.
_NEW = timedelta(days=14)
_LOOK_BACK = 28
# Worse by less than this is no matter.
_TOLERANCE = 0.02
_FEATURE, _VERSION, _ARM = "feature", "prompt_version", "arm"


@dataclass(frozen=True, slots=True)
class _Pair:
    """A candidate and what it is held against, each a choice of rows."""

    field: str
    labels: Mapping[str, str]
    candidate: NDArray[np.bool_]
    control: NDArray[np.bool_]
    early: bool


@dataclass(frozen=True, slots=True)
class _Recent:
    """The sampled rows of the last days, one after the other."""

    day: NDArray[np.intp]
    weights: NDArray[np.float64]
    fields: Mapping[str, NDArray[np.object_]]
    values: Mapping[str, NDArray[np.float64]]


@monitor(name="comparison", grain=Grain.DAY)
def comparison(window: Window, context: Context) -> Iterator[Measurement]:
    """``comparison.prompt_version.difference{feature, metric, candidate, control}`` and
    ``comparison.arm.difference{metric, candidate, control}``: candidate minus control.

    The newest prompt version of each feature (not older than two weeks) against the one most used
    before it, and every arm against *control*, by mean score of the judge and share accepted, over
    the last ``[quality] comparison_hours`` of the sample. Where both versions served in these
    hours they are compared within them; else the control's rows are those of as many hours before.
    Evidence is the posterior probability that the candidate is **not** worse by more than two
    points. Younger than the hours: ``insufficient``, ``too_early``.
    """
    span = max(math.ceil(context.settings.quality.comparison_hours / 24), 1)
    versions = _versions(window, context)
    recent = _recent(window, context, 2 * span)
    for pair in [*_version_pairs(window, context, versions, recent, span), *_arms(recent, span)]:
        for metric in recent.values:
            yield _difference(window, context, pair, metric, recent)


# ── which versions there are ─────────────────────────────────────────────────────────────────


def _versions(window: Window, context: Context) -> dict[str, dict[str, datetime]]:
    """Feature → version → the start of the first day that served it, of the last four weeks.

    Counted once a day in the log, and remembered.
    """
    if _VERSION not in context.source.attributes:
        return {}
    _keep(window, context)
    table = partial_result.c
    rows = context.store.rows(
        select(table.window_start, table.body)
        .where(
            table.job == JOB,
            table.grain == Grain.DAY.value,
            table.step == STEP,
            table.window_start >= window.shift(-_LOOK_BACK).start,
            table.window_start <= window.start,
        )
        .order_by(table.window_start)
    )
    found: dict[str, dict[str, datetime]] = {}
    for row in rows:
        for feature, counts in row.body.items():
            for version in counts:
                found.setdefault(feature, {}).setdefault(version, row.window_start)
    return found


def _keep(window: Window, context: Context) -> None:
    source = context.source
    version = source.column(_VERSION)
    feature = source.column(_FEATURE) if _FEATURE in source.attributes else case((False, ""))
    query = (
        select(feature, version, func.count())
        .where(*source.within(window), *served(context), version.is_not(None))
        .group_by(feature, version)
    )
    body: dict[str, dict[str, int]] = {}
    for name, value, count in source.rows(query):
        body.setdefault(slices.label_text(name or ""), {})[slices.label_text(value)] = int(count)
    record = {
        "job": JOB,
        "grain": window.grain.value,
        "window_start": window.start,
        "step": STEP,
        "shard": 0,
        "body": body,
        "finished_at": context.clock(),
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, partial_result, [record])


# ── the rows ─────────────────────────────────────────────────────────────────────────────────


def _recent(window: Window, context: Context, days: int) -> _Recent:
    """The sample of the last ``days`` days with the scores by which versions are compared."""
    names = slices.fields_in(context, [_FEATURE, _VERSION, _ARM])
    scorers = _scorers(context)
    parts = [(back, window.shift(-back)) for back in range(days)]
    day, weights = [], []
    fields: dict[str, list[str | None]] = {name: [] for name in (_FEATURE, _VERSION, _ARM)}
    values: dict[str, list[NDArray[np.float64]]] = {scorer.name: [] for scorer in scorers}
    for back, part in parts:
        rows = read_rows(part, context, names)
        day.append(np.full(len(rows), back, dtype=np.intp))
        weights.append(rows.weights)
        for name, column in fields.items():
            column += rows.fields.get(name, [None] * len(rows))
        for scorer in scorers:
            values[scorer.name].append(read_scores(part, context, scorer, rows).values)
    return _Recent(
        np.concatenate(day),
        np.concatenate(weights),
        {name: np.array(column, dtype=object) for name, column in fields.items()},
        {name: np.concatenate(column) for name, column in values.items()},
    )


def _scorers(context: Context) -> list[Scorer]:
    return [s for s in context.scorers if s.name in METRICS and not lacks(s, context)]


def _version_pairs(
    window: Window,
    context: Context,
    versions: Mapping[str, Mapping[str, datetime]],
    recent: _Recent,
    span: int,
) -> Iterator[_Pair]:
    for feature, seen in sorted(versions.items()):
        since = max(seen.values())
        first = min(seen.values())
        # Versions that were there when watching began are not new.
        if since == first or window.end - since > _NEW:
            continue
        newest = min(version for version, start in seen.items() if start == since)
        here = np.ones(len(recent.day), dtype=bool)
        if feature:
            here = recent.fields[_FEATURE] == feature
        inside = here & (recent.day < span)
        candidate = inside & (recent.fields[_VERSION] == newest)
        chosen = _control(recent, here, inside, [v for v, s in seen.items() if s < since], context)
        if chosen is None:
            continue
        name, control = chosen
        hours = (window.end - since).total_seconds() / 3600
        early = hours < context.settings.quality.comparison_hours
        labels = {"candidate": newest, "control": name}
        if feature:
            labels["feature"] = feature
        yield _Pair(_VERSION, labels, candidate, control, early)


def _control(
    recent: _Recent,
    here: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    older: Sequence[str],
    context: Context,
) -> tuple[str, NDArray[np.bool_]] | None:
    """The older version most seen in the same hours; too little of it, then in those before."""
    for rows, least in ((inside, context.settings.quality.minimum_n), (here, 1)):
        counts = {v: int((rows & (recent.fields[_VERSION] == v)).sum()) for v in older}
        most = max(sorted(counts), key=lambda v: counts[v], default=None)
        if most is not None and counts[most] >= least:
            return most, rows & (recent.fields[_VERSION] == most)
    return None


def _arms(recent: _Recent, span: int) -> Iterator[_Pair]:
    inside = recent.day < span
    control = inside & (recent.fields[_ARM] == _CONTROL)
    if not control.any():
        return
    present = {arm for arm in recent.fields[_ARM][inside] if arm is not None}
    for arm in sorted(present - {_CONTROL, _SHADOW})[: slices.MOST]:
        candidate = inside & (recent.fields[_ARM] == arm)
        # An arm that was there on fewer days than are compared has only begun.
        early = len(set(recent.day[candidate].tolist())) < span
        labels = {"candidate": slices.label_text(arm), "control": _CONTROL}
        yield _Pair(_ARM, labels, candidate, control, early)


# ── the difference ───────────────────────────────────────────────────────────────────────────


def _difference(
    window: Window, context: Context, pair: _Pair, metric: str, recent: _Recent
) -> Measurement:
    from monitors.statistics.bayesian import probability_mean_worse

    about: dict[str, Any] = {
        "monitor": "comparison",
        "metric": f"comparison.{pair.field}.difference",
        "labels": {**pair.labels, "metric": metric},
        "window": window,
    }
    values = recent.values[metric]
    known = ~np.isnan(values)
    one, nought = pair.candidate & known, pair.control & known
    n, fewest = int(one.sum() + nought.sum()), int(min(one.sum(), nought.sum()))
    if fewest < 2:
        reason = "too_early" if pair.early else "too_few"
        return Measurement(**about, n=n, status=Status.INSUFFICIENT, reason=reason)
    first, error1 = _mean(values[one], recent.weights[one])
    second, error0 = _mean(values[nought], recent.weights[nought])
    error = math.hypot(error1, error0)
    difference = first - second
    worse = probability_mean_worse(first, error1, second, error0, _TOLERANCE)
    status, reason = Status.COMPLETE, ""
    if pair.early:
        status, reason = Status.INSUFFICIENT, "too_early"
    elif fewest < context.settings.quality.minimum_n:
        status, reason = Status.INSUFFICIENT, "too_few"
    return Measurement(
        **about,
        n=n,
        value=difference,
        low=difference - 1.96 * error,
        high=difference + 1.96 * error,
        baseline=0.0,
        evidence=1 - worse,
        detectable=2.8 * error,
        method=f"p-value; posterior probability {worse:.3f} of being worse by more than "
        f"{_TOLERANCE:g} (normal, flat prior), its complement as evidence; weighted means",
        status=status,
        reason=reason,
    )


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Weighted mean and its linearised standard error, never 0: equal values are no certainty."""
    share = weights / weights.sum()
    mean = float(share @ values)
    n = len(values)
    error = math.sqrt(n / (n - 1) * float(np.sum(share**2 * (values - mean) ** 2)))
    return mean, max(error, 0.5 / n)
