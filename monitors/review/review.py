"""What the month's labels say: how far people agree, and what the traffic is truly worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.review.batch import batch_id
from monitors.review.rated import Rated, batches_before, rated_items, verdicts
from monitors.review.rubric import AGREEMENT_BAR, DIMENSIONS
from monitors.review.scores import judge_scores
from sql.measurement import Measurement, Status, unmeasured
from sql.tables import label, review_batch, sample
from sql.window import Grain, Window

_nothing = partial(unmeasured, "review")

# Intervals of prediction-powered estimates cover too seldom below so many labels.
MINIMUM_LABELS = 30
MINIMUM_PAIRS = 10
# Two people a point apart see the same thing; two points are put to a third.
_SAME = 1


@monitor(name="review", grain=Grain.MONTH)
def review(window: Window, context: Context) -> Iterator[Measurement]:
    """The month's batch, by its submitted ratings.

    ``review.items`` rated so far; ``review.agreement{dimension}`` and
    ``review.krippendorff_alpha{dimension}`` between people who rated the same item;
    ``review.judge_agreement{scorer}`` between people's verdict and the judge's, beside that of all
    earlier batches (of the first batch, beside the bar);
    ``review.quality{scorer}``, the share of good answers in the traffic: the judge's mean over the
    month's sample, corrected by people's verdicts (PPI++, Angelopoulos, Duchi, Zrnic 2023) with
    the batch's probabilities; its baseline is the judge's mean alone. Where the interval leaves
    the baseline, the judge is biased. ``review.feature_quality{scorer,feature}``: the same of each
    feature with thirty labels.
    """
    name = batch_id(window, context)
    found = context.store.rows(select(review_batch).where(review_batch.c.batch_id == name))
    if not found:
        yield _nothing("review.items", window, Status.NO_DATA, "no_batch", unit="count")
        return
    items = rated_items([name], context)
    if not items:
        yield _nothing("review.items", window, Status.NO_DATA, "no_labels", unit="count")
        return
    yield Measurement(
        monitor="review",
        metric="review.items",
        window=window,
        value=float(len(items)),
        baseline=float(found[0].design["items"]),
        n=len(items),
        method="items with a submitted rating; the baseline is the batch's size",
        unit="count",
    )
    for dimension in DIMENSIONS:
        yield from _agreement(dimension, items, window)
    yield _judge_agreement(items, window, context)
    yield from _quality(items, window, context)
    yield from _pace(name, window, context)


# The same of a week's batch, for a product that is too young to wait for a month.
review_of_week = replace(review, grain=Grain.WEEK)


def _agreement(dimension: str, items: Sequence[Rated], window: Window) -> Iterator[Measurement]:
    from monitors.statistics.agreement import krippendorff_alpha
    from monitors.statistics.intervals import wilson

    labels = {"dimension": dimension}
    shared = [values for item in items if len(values := item.values(dimension)) > 1]
    pairs = [pair for values in shared for pair in combinations(values, 2)]
    if len(pairs) < MINIMUM_PAIRS:
        for metric in ("review.agreement", "review.krippendorff_alpha"):
            yield _nothing(
                metric, window, Status.INSUFFICIENT, "few_pairs", labels=labels, n=len(pairs)
            )
        return
    same = sum(abs(a - b) <= _SAME for a, b in pairs)
    low, high = wilson(same, len(pairs))
    yield Measurement(
        monitor="review",
        metric="review.agreement",
        labels=labels,
        window=window,
        value=same / len(pairs),
        low=low,
        high=high,
        n=len(pairs),
        method=f"share of pairs of ratings at most {_SAME} point apart; Wilson",
    )
    if len({value for values in shared for value in values}) < 2:
        reason = "one_rating_throughout"  # nothing to agree about, so alpha is undefined
        metric, n = "review.krippendorff_alpha", len(shared)
        yield _nothing(metric, window, Status.INSUFFICIENT, reason, labels=labels, n=n)
        return
    alpha, low, high = krippendorff_alpha(shared, level="ordinal")
    yield Measurement(
        monitor="review",
        metric="review.krippendorff_alpha",
        labels=labels,
        window=window,
        value=alpha,
        low=low,
        high=high,
        n=len(shared),
        method="Krippendorff's alpha, ordinal; bootstrap over items",
        unit="alpha",
    )


def _judge_agreement(items: Sequence[Rated], window: Window, context: Context) -> Measurement:
    from monitors.statistics.agreement import percent_agreement

    labels = {"scorer": context.settings.review.scorer}
    people, judge, weights = verdicts(items, context)
    if len(people) < MINIMUM_LABELS:
        metric, reason = "review.judge_agreement", "few_labels"
        return _nothing(metric, window, Status.INSUFFICIENT, reason, labels=labels, n=len(people))
    value, low, high = percent_agreement(people, judge, weights)
    before = verdicts(rated_items(batches_before(window, context), context), context)
    known = len(before[0]) >= MINIMUM_LABELS
    return Measurement(
        monitor="review",
        metric="review.judge_agreement",
        labels=labels,
        window=window,
        value=value,
        low=low,
        high=high,
        n=len(people),
        baseline=percent_agreement(*before)[0] if known else AGREEMENT_BAR,
        method="weighted by inverse inclusion probability; Wilson at the effective n; the "
        + ("baseline is the agreement in all earlier batches" if known else "baseline is the bar"),
    )


def _quality(items: Sequence[Rated], window: Window, context: Context) -> Iterator[Measurement]:
    """Of the whole traffic, and of each feature under a name of its own that no rule reads."""
    labels = {"scorer": context.settings.review.scorer}
    weights, feature_of = _sample_of(window, context)
    scores = judge_scores(window, context)
    everyone = {key: score for key, score in scores.items() if key in weights}
    yield _corrected("review.quality", labels, items, everyone, weights, window, context)
    features = {feature for feature in feature_of.values() if feature}
    for feature in sorted(features) if len(features) > 1 else ():
        yield _corrected(
            "review.feature_quality",
            labels | {"feature": feature},
            [item for item in items if feature_of.get(item.item_id) == feature],
            {key: score for key, score in everyone.items() if feature_of[key] == feature},
            weights,
            window,
            context,
        )


def _corrected(
    metric: str,
    labels: Mapping[str, str],
    items: Sequence[Rated],
    everyone: Mapping[str, float],
    weights: Mapping[str, float],
    window: Window,
    context: Context,
) -> Measurement:
    from monitors.statistics.prediction_powered import ppi_mean

    mark = context.settings.review.pass_mark
    judged = [
        (float(verdict), item.judge, item.weight)
        for item in items
        if item.judge is not None and (verdict := item.is_good(mark)) is not None
    ]
    if len(judged) < MINIMUM_LABELS or len(everyone) < len(judged):
        reason = "few_labels" if len(judged) < MINIMUM_LABELS else "few_scores"
        return _nothing(metric, window, Status.INSUFFICIENT, reason, labels=labels, n=len(judged))
    people, judge, chosen = (list(column) for column in zip(*judged, strict=True))
    all_scores = list(everyone.values())
    all_weights = [weights[key] for key in everyone]
    value, low, high = ppi_mean(people, judge, all_scores, chosen, all_weights)
    alone = sum(s * w for s, w in zip(all_scores, all_weights, strict=True)) / sum(all_weights)
    return Measurement(
        monitor="review",
        metric=metric,
        labels=labels,
        window=window,
        value=value,
        low=low,
        high=high,
        n=len(judged),
        baseline=alone,
        method="PPI++ over the month's judge scores, labels weighted by the inverse of their "
        "inclusion probability; the baseline is the judge alone",
    )


def _sample_of(window: Window, context: Context) -> tuple[dict[str, float], dict[str, str]]:
    """Weight and feature of every sampled item."""
    table = sample.c
    rows = context.store.rows(
        select(table.item_id, table.inclusion_probability, table.fields).where(
            table.source == context.settings.source.name,
            table.at >= window.start,
            table.at < window.end,
        )
    )
    weights = {row.item_id: 1 / row.inclusion_probability for row in rows}
    return weights, {row.item_id: str(row.fields.get("feature") or "") for row in rows}


def _pace(name: str, window: Window, context: Context) -> Iterator[Measurement]:
    from monitors.statistics.intervals import quantile_interval

    rows = context.store.rows(
        select(label.c.item_id, label.c.evaluator, label.c.seconds)
        .where(
            label.c.batch_id == name,
            label.c.submitted_at.is_not(None),
            label.c.seconds.is_not(None),
        )
        .distinct()
    )
    if len(rows) < MINIMUM_PAIRS:
        return
    value, low, high = quantile_interval(sorted(row.seconds for row in rows), 0.5)
    yield Measurement(
        monitor="review",
        metric="review.seconds_per_item",
        window=window,
        value=value,
        low=low,
        high=high,
        n=len(rows),
        method="median over ratings; order statistics",
        unit="s",
    )
