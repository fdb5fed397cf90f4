"""Is the model in the shadow as good as the one that serves? Pairs of answers to one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.quality import slices
from monitors.quality.judged import judged
from monitors.quality.scored import read_rows, read_scores
from monitors.quality.scoring import lacks, sample_scorers
from monitors.scorer import Layer, Scorer
from sql.measurement import Measurement, Status
from sql.window import Window

SHADOW = "shadow"
_OF, _ARM = "shadow_of", "arm"
# From here on a score is a pass, when two answers are asked whether they agree.
_PASS = 0.5


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The shadows of one arm over some days, beside the answers that were served.

    Args:
        days: on which the arm has shadows in the sample.
        weights: shape (pairs,), 1 / probability that both are in the sample.
        persons: shape (pairs,), who was answered, as a number.
        shadow, served: metric → scores, shape (pairs,), NaN where there is none.
    """

    days: int
    weights: NDArray[np.float64]
    persons: NDArray[np.intp]
    shadow: Mapping[str, NDArray[np.float64]]
    served: Mapping[str, NDArray[np.float64]]


def shadows(window: Window, context: Context, span: int, tolerance: float) -> Iterator[Measurement]:
    """``comparison.shadow.difference{candidate, metric}``: score of a shadow answer less that of
    the served answer to the same request, the mean of the pairs of the last days; and
    ``comparison.shadow.agreement{candidate, metric}``: pairs that both pass or both fail.

    The candidate is the shadow's arm; the metrics are the scorers of correctness, because nobody
    accepts or rates what nobody saw. Pairs are weighted by 1 / inclusion probability, persons are
    clusters. Evidence is the posterior probability that the shadow is **not** worse by more than
    the tolerance. With shadows on fewer days than are compared: ``too_early``.

    Args:
        span: days in a comparison.
    """
    if _OF not in context.source.attributes:
        return
    scorers = [
        s for s in sample_scorers(context) if s.layer is Layer.CORRECTNESS and not lacks(s, context)
    ]
    for arm, pairs in _by_arm(_drawn(window, context, scorers, span)).items():
        early = pairs.days < span
        for scorer in scorers:
            about = {
                "monitor": "comparison",
                "labels": {"candidate": slices.label_text(arm), "metric": scorer.name},
                "window": window,
            }
            yield from _compared(about, pairs, scorer.name, context, tolerance, early=early)


@dataclass(slots=True)
class _Drawn:
    """The sample of some days, shadows included: one entry a row, scores by metric."""

    ids: list[str] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    days: list[int] = field(default_factory=list)
    of: list[str | None] = field(default_factory=list)
    arms: list[str | None] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)


def _drawn(window: Window, context: Context, scorers: Sequence[Scorer], span: int) -> _Drawn:
    names = [name for name in (_OF, _ARM) if name in context.source.attributes]
    drawn = _Drawn(scores={scorer.name: [] for scorer in scorers})
    for back in range(span):
        part = window.shift(-back)
        rows = read_rows(part, context, names, shadows=True)
        drawn.ids += rows.ids
        drawn.persons += rows.persons
        drawn.days += [back] * len(rows)
        drawn.of += rows.fields[_OF]
        drawn.arms += rows.fields.get(_ARM, [None] * len(rows))
        drawn.weights += rows.weights.tolist()
        for scorer in scorers:
            found = read_scores(part, context, scorer, rows)
            drawn.scores[scorer.name] += found.values.tolist()
    return drawn


def _by_arm(drawn: _Drawn) -> dict[str, _Pairs]:
    """Arm → its pairs; a served answer may be of another day than its shadow."""
    place = {item_id: row for row, item_id in enumerate(drawn.ids)}
    weights = np.array(drawn.weights)
    scores = {name: np.array(values) for name, values in drawn.scores.items()}
    arms: dict[str, list[int]] = {}
    for row, shadowed in enumerate(drawn.of):
        if shadowed is not None:
            arms.setdefault(drawn.arms[row] or SHADOW, []).append(row)
    found = {}
    for arm in sorted(arms)[: slices.MOST]:
        whole = [row for row in arms[arm] if drawn.of[row] in place]
        own = np.array(whole, dtype=np.intp)
        served = np.array([place[drawn.of[row] or ""] for row in whole], dtype=np.intp)
        # A shadow need not know whose request it repeats; the row that was served does.
        persons = np.unique([drawn.persons[row] for row in served], return_inverse=True)[1]
        found[arm] = _Pairs(
            len({drawn.days[row] for row in arms[arm]}),
            np.maximum(weights[own], weights[served]),
            persons.astype(np.intp),
            {name: values[own] for name, values in scores.items()},
            {name: values[served] for name, values in scores.items()},
        )
    return found


def _compared(
    about: dict[str, Any],
    pairs: _Pairs,
    metric: str,
    context: Context,
    tolerance: float,
    *,
    early: bool,
) -> Iterator[Measurement]:
    from monitors.statistics.clusters import contrast

    shadow, served = pairs.shadow[metric], pairs.served[metric]
    known = ~np.isnan(shadow - served)
    shadow, served, persons = shadow[known], served[known], pairs.persons[known]
    people = len(np.unique(persons))
    difference = about | {"metric": "comparison.shadow.difference", "n": len(shadow)}
    agreement = about | {"metric": "comparison.shadow.agreement", "n": len(shadow)}
    state: dict[str, Any] = {}
    if early or people < context.settings.quality.minimum_n:
        state = {"status": Status.INSUFFICIENT, "reason": "too_early" if early else "too_few"}
    if people < 2:
        yield Measurement(**difference, **state)
        yield Measurement(**agreement, **state)
        return
    rows = (pairs.weights[known], persons, np.zeros(len(shadow), dtype=np.intp), (1.0,))
    found = contrast(shadow - served, *rows)
    yield Measurement(
        **difference,
        **state,
        **judged(found, tolerance, "weighted mean of the pairs' differences"),
    )
    same = contrast(((shadow >= _PASS) == (served >= _PASS)).astype(np.float64), *rows)
    low, high = same.interval()
    yield Measurement(
        **agreement,
        **state,
        value=same.value,
        low=max(low, 0.0),
        high=min(high, 1.0),
        method="weighted share of pairs on the same side of 0.5, persons as clusters",
    )
