"""The quarter's question: may the judge still speak for people, and of what is asked now?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.review.golden import list_golden
from monitors.review.rated import batches_in, rated_items, verdicts
from monitors.review.rubric import AGREEMENT_BAR
from sql.measurement import Measurement, Status, unmeasured
from sql.tables import sample
from sql.window import Grain, Window

_nothing = partial(unmeasured, "evaluation")

Array = NDArray[np.float64]
Estimate = tuple[float, float, float]

# The bar. Agreement alone is no proof: where most answers are good, a judge that passes
# everything agrees with people on most of them.
KAPPA_BAR = 0.6
MINIMUM_LABELS, MINIMUM_BAD = 50, 10
# Two texts about the same thing lie at least this close in the bundled model's space.
COVERED = 0.6


@monitor(name="evaluation", grain=Grain.QUARTER)
def evaluation(window: Window, context: Context) -> Iterator[Measurement]:
    """The judge against people over the quarter's batches, and the golden set against the traffic.

    ``evaluation.agreement|kappa|recall|always_pass{scorer}`` and the verdict
    ``evaluation.judge_ok{scorer}``; ``evaluation.coverage`` (share of the sampled inputs within
    cosine 0.6 of a golden input), ``evaluation.golden_size``, ``evaluation.golden_age_days``.
    """
    yield from _judge(window, context)
    yield from _golden(window, context)


# ── the judge ────────────────────────────────────────────────────────────────────────────────


def _judge(window: Window, context: Context) -> Iterator[Measurement]:
    settings = context.settings.review
    labels = {"scorer": settings.scorer}
    items = rated_items(batches_in(window, context), context)
    people, judge, weights = verdicts(items, context)
    if len(people) >= MINIMUM_LABELS:
        yield from _judged(people, judge, weights, window, labels)
        return
    status = Status.INSUFFICIENT if len(people) else Status.NO_DATA
    reason = "few_labels" if len(people) else "no_labels"
    for metric in ("evaluation.agreement", "evaluation.judge_ok"):
        yield _nothing(metric, window, status, reason, labels=labels, n=len(people))


def _judged(
    people: NDArray[np.bool_],
    judge: NDArray[np.bool_],
    weights: Array,
    window: Window,
    labels: Mapping[str, str],
) -> Iterator[Measurement]:
    from monitors.statistics.agreement import cohen_kappa, percent_agreement, recall

    agreement = percent_agreement(people, judge, weights)
    always = _share(people, weights)
    # The lower end of the two-sided 90 % interval is the one-sided 95 % limit.
    bar = percent_agreement(people, judge, weights, level=0.90)[1]
    kappa = cohen_kappa(people, judge, weights)
    found = recall(~people, ~judge, weights)
    yield _rate(
        window,
        "evaluation.agreement",
        labels,
        agreement,
        len(people),
        baseline=always[0],
        note=f"one-sided 95 % lower limit {bar:.3f} against {AGREEMENT_BAR}; "
        f"{_needed(agreement[0])}; the baseline is a judge that passes everything",
    )
    yield _rate(window, "evaluation.always_pass", labels, always, len(people))
    yield Measurement(
        monitor="evaluation",
        metric="evaluation.kappa",
        labels=labels,
        window=window,
        value=kappa[0],
        low=kappa[1],
        high=kappa[2],
        n=len(people),
        method="Cohen's kappa of the table weighted by inverse inclusion probability; linearised",
        unit="kappa",
    )
    bad = int((~people).sum())
    if found is None or bad < MINIMUM_BAD:
        yield _nothing(
            "evaluation.recall", window, Status.INSUFFICIENT, "few_bad", labels=labels, n=bad
        )
    else:
        yield _rate(window, "evaluation.recall", labels, found, bad)
    missed = [
        code
        for code, failed in (
            ("agreement", bar < AGREEMENT_BAR),
            ("kappa", kappa[0] < KAPPA_BAR),
            ("always_pass", agreement[0] <= always[0]),
        )
        if failed
    ]
    yield _verdict(missed, len(people), window, labels)


def _verdict(
    missed: Sequence[str], n: int, window: Window, labels: Mapping[str, str]
) -> Measurement:
    return Measurement(
        monitor="evaluation",
        metric="evaluation.judge_ok",
        labels=labels,
        window=window,
        value=float(not missed),
        baseline=1.0,
        n=n,
        method=f"fact; lower limit of agreement at least {AGREEMENT_BAR}, kappa at least "
        f"{KAPPA_BAR}, and more agreement than by passing everything",
        reason=" ".join(missed),
        unit="fact",
    )


def _share(hits: NDArray[np.bool_], weights: Array) -> Estimate:
    from monitors.statistics.intervals import mean_interval

    return mean_interval(hits.astype(float), weights, bounded=True)


def labels_needed(agreement: float) -> int | None:
    """Labels that would settle it: 80 % power to show more than the bar at the observed rate.

    None when the observed agreement does not reach the bar, so that no number would.
    """
    if agreement <= AGREEMENT_BAR:
        return None
    if agreement >= 1:
        return math.ceil(1.644854**2 * AGREEMENT_BAR / (1 - AGREEMENT_BAR))
    spread = 1.644854 * math.sqrt(AGREEMENT_BAR * (1 - AGREEMENT_BAR))
    spread += 0.841621 * math.sqrt(agreement * (1 - agreement))
    return math.ceil((spread / (agreement - AGREEMENT_BAR)) ** 2)


def _needed(agreement: float) -> str:
    count = labels_needed(agreement)
    return "no number of labels would pass it" if count is None else f"{count} labels settle it"


# ── the golden set ───────────────────────────────────────────────────────────────────────────


def _golden(window: Window, context: Context) -> Iterator[Measurement]:
    golden = list_golden(context, before=window.end)
    if not golden:
        yield _nothing("evaluation.golden_size", window, Status.NO_DATA, "no_golden_set")
        return
    ages = [
        (window.end - example.added_at).total_seconds() / 86_400
        for example in golden
        if example.added_at is not None
    ]
    for metric, value, unit, method in (
        ("evaluation.golden_size", float(len(golden)), "count", "examples"),
        ("evaluation.golden_age_days", median(ages), "days", "median age at the window's end"),
    ):
        yield Measurement(
            monitor="evaluation",
            metric=metric,
            window=window,
            value=value,
            n=len(golden),
            method=method,
            unit=unit,
        )
    yield _coverage([example.input for example in golden], window, context)


def _coverage(golden: Sequence[str], window: Window, context: Context) -> Measurement:
    table = sample.c
    rows = context.store.rows(
        select(table.input, table.inclusion_probability)
        .where(
            table.source == context.settings.source.name,
            table.at >= window.start,
            table.at < window.end,
            table.input.is_not(None),
        )
        .order_by(table.sample_key)  # a hash: the first so many are as good as random
        .limit(context.settings.drift.embedding_rows)
    )
    if len(rows) < MINIMUM_LABELS:
        status = Status.INSUFFICIENT if rows else Status.NO_DATA
        return _nothing("evaluation.coverage", window, status, "few_rows", n=len(rows))
    embedder = context.embedder()
    inputs = embedder.embed([row.input for row in rows])
    nearest = (inputs @ embedder.embed(list(dict.fromkeys(golden))).T).max(axis=1)
    weights = 1 / np.array([row.inclusion_probability for row in rows], dtype=float)
    share = _share(nearest >= COVERED, weights)
    note = f"sampled inputs within cosine {COVERED} of a golden input"
    return _rate(window, "evaluation.coverage", {}, share, len(rows), note=note)


# ── measurements ─────────────────────────────────────────────────────────────────────────────


def _rate(
    window: Window,
    metric: str,
    labels: Mapping[str, str],
    share: Estimate,
    n: int,
    *,
    baseline: float | None = None,
    note: str = "",
) -> Measurement:
    value, low, high = share
    method = "weighted by inverse inclusion probability; Wilson at the effective n"
    return Measurement(
        monitor="evaluation",
        metric=metric,
        labels=labels,
        window=window,
        value=value,
        low=low,
        high=high,
        n=n,
        baseline=baseline,
        method=f"{method}; {note}" if note else method,
    )
