"""How good the day was: the sample's mean score by scorer, overall and in every slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.baseline import Baseline
from monitors.quality.precision import precision
from monitors.quality.profile import (
    Profile,
    Sums,
    baseline_in,
    keep,
    profile_of,
    reference_profiles,
)
from monitors.quality.scored import Rows, Scores, read_rows, read_scores
from monitors.quality.scoring import FAILED, lacks, sample_scorers
from monitors.quality.slices import WHOLE
from monitors.reference import is_reference, reference_days
from monitors.scorer import Scorer
from sql.measurement import Measurement, Status, unmeasured
from sql.window import Grain, Window

# Rows with these reasons should have a score: their lack may hide the worst of the day.
_BROKEN = (FAILED, "unscored", "judge_")

_METHOD = (
    "log e-value; betting on the scores against no fall, days as clusters; "
    "mean weighted by inverse inclusion probability; Wilson at the effective sample size"
)


@monitor(name="quality", grain=Grain.DAY)
def quality(window: Window, context: Context) -> Iterator[Measurement]:
    """``correctness.score``, ``usefulness.score`` and ``delight.score`` ``{scorer}``: mean scores.

    Overall and by each slice field, weighted so that the sample speaks for the day. Baseline:
    the reference's days, scored by the same version. Evidence: the log e-value that the mean fell
    by more than ``[quality] tolerance``. ``quality.unscored_share{scorer}``: sampled rows that
    have no score. ``quality.rate_for_tolerance{scorer}``: the sampling rate at which a day would
    show a change of ``[quality] tolerance``, see `monitors.quality.precision`.
    """
    rows = read_rows(window, context, slices.fields_in(context, context.settings.quality.slices))
    runnable = [s for s in sample_scorers(context) if not lacks(s, context)]
    scores = {s.name: read_scores(window, context, s, rows) for s in runnable}
    profiles = {s.name: (s.version_in(context), profile_of(rows, scores[s.name])) for s in runnable}
    if runnable:
        keep(window, profiles, context)
    reference: dict[str, list[Profile]] = {}
    if not is_reference(window, context):
        reference = reference_profiles(reference_days(context), runnable, context)
    for scorer in sample_scorers(context):
        if reason := lacks(scorer, context):
            yield _nothing(scorer, window, reason)
        elif not len(rows):
            yield _nothing(scorer, window, "no_sample")
        else:
            said, days = scores[scorer.name], reference.get(scorer.name, [])
            yield _unscored(scorer, window, said, len(rows))
            yield from _means(scorer, window, context, rows, said, days)


def _nothing(scorer: Scorer, window: Window, reason: str) -> Measurement:
    metric, labels = f"{scorer.layer}.score", {"scorer": scorer.name}
    return unmeasured("quality", metric, window, Status.NO_DATA, reason, labels=labels)


def _unscored(scorer: Scorer, window: Window, scores: Scores, n: int) -> Measurement:
    from monitors.statistics.intervals import wilson

    missing = n - int(scores.known.sum())
    low, high = wilson(missing, n)
    return Measurement(
        monitor="quality",
        metric="quality.unscored_share",
        labels={"scorer": scorer.name},
        window=window,
        n=n,
        value=missing / n,
        low=low,
        high=high,
        reason=scores.reasons.most_common(1)[0][0] if missing else "",
        method="of the sampled rows; Wilson interval",
    )


def _rate_needed(
    scorer: Scorer,
    window: Window,
    context: Context,
    rows: Rows,
    scores: Scores,
    baseline: Baseline | None,
) -> Measurement:
    """What sampling rate would see the tolerance; at 1 with a reason, not even all rows would."""
    settings = context.settings.quality
    about: dict[str, Any] = {
        "monitor": "quality",
        "metric": "quality.rate_for_tolerance",
        "labels": {"scorer": scorer.name},
        "window": window,
        "n": int(scores.known.sum()),
        "method": "rate × r² / (tolerance² − f²), of the detectable change r what today's rows "
        "leave, f what the reference and the day do; interval of the variance",
    }
    seen = precision(scores.values[scores.known], rows.weights[scores.known], baseline)
    if seen is None:
        return Measurement(**about, status=Status.INSUFFICIENT, reason="no_spread")
    rate = len(rows) / float(rows.weights.sum())
    value, low, high = seen.rate_for(settings.tolerance, rate)
    few = about["n"] < settings.minimum_n
    return Measurement(
        **about,
        value=value,
        low=low,
        high=high,
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "not_even_all" if value == 1 else "",
    )


def _means(
    scorer: Scorer,
    window: Window,
    context: Context,
    rows: Rows,
    scores: Scores,
    reference: Sequence[Profile],
) -> Iterator[Measurement]:
    known = scores.known
    members = {place: found[known[found]] for place, found in rows.places().items()}
    sizes = {place: float(len(found)) for place, found in members.items() if len(found)}
    if not sizes:
        yield _nothing(scorer, window, scores.reasons.most_common(1)[0][0])
        return
    yield _rate_needed(scorer, window, context, rows, scores, baseline_in(WHOLE, reference))
    broken = Counter({why: rows for why, rows in scores.reasons.items() if why.startswith(_BROKEN)})
    lost = broken.total() / (broken.total() + int(known.sum()))
    for place in slices.reported(sizes):
        chosen = members[place]
        about = {
            "monitor": "quality",
            "metric": f"{scorer.layer}.score",
            "labels": slices.labels(place, scorer=scorer.name),
            "window": window,
        }
        yield mean_score(
            about,
            scores.values[chosen],
            rows.weights[chosen],
            baseline_in(place, reference),
            context,
            partial=broken.most_common(1)[0][0] if broken else "",
            inconclusive=lost > context.settings.quality.inconclusive_share,
        )


def mean_score(
    about: dict[str, Any],
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    baseline: Baseline | None,
    context: Context,
    *,
    partial: str = "",
    inconclusive: bool = False,
) -> Measurement:
    """One weighted mean with its interval, and with evidence that it fell, if there is a baseline.

    Args:
        partial: a reason why rows are missing that should be there.
        inconclusive: so many are missing that the rest must not speak for them.
    """
    from monitors.statistics.intervals import mean_interval
    from monitors.statistics.sequential import log_e_value_mean_fell

    settings = context.settings.quality
    mean, low, high = mean_interval(values, weights, bounded=True)
    status, reason = Status.COMPLETE, ""
    if len(values) < settings.minimum_n:
        status, reason = Status.INSUFFICIENT, "too_few"
    elif partial:
        status = Status.INSUFFICIENT if inconclusive else Status.PARTIAL
        reason = partial
    evidence = None
    if baseline is not None:
        evidence = log_e_value_mean_fell(
            values,
            min(baseline.floor(settings.tolerance), 1 - 1e-6),
            weights=weights,
            spread=baseline.spread,
            design_effect=baseline.design_effect(Sums.of(values, weights).effective),
        )
    seen = precision(values, weights, baseline)
    return Measurement(
        **about,
        value=mean,
        low=low,
        high=high,
        n=len(values),
        baseline=None if baseline is None else baseline.mean,
        evidence=evidence,
        detectable=None if seen is None else seen.detectable,
        method=_METHOD,
        status=status,
        reason=reason,
    )
