"""What people said, counted: the judge beside them, why items were skipped, what questions tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.review.rated import Rated, verdicts
from monitors.review.rubric import AGREEMENT_BAR, DIMENSIONS
from sql.tables import label, review_entry

Estimate = tuple[float, float, float]

# Fewer answers that both judged show no table.
LEAST = 10


@dataclass(frozen=True, slots=True)
class Confusion:
    """Judge × people on the answers that both judged.

    Args:
        counts: (people, judge) → answers, each of them "good" or "bad".
        shares: the same, of the traffic: weighted by inverse inclusion probability.
        agreement: with its 95 % interval.
        lower_limit: one-sided 95 % limit of the agreement, which the bar is held against.
        kappa: agreement beyond chance.
        recall: share of the bad answers that the judge fails; None where none is bad.
        always_pass: the agreement of a judge that passes everything.
    """

    counts: dict[tuple[str, str], int]
    shares: dict[tuple[str, str], float]
    agreement: Estimate
    lower_limit: float
    kappa: Estimate
    recall: Estimate | None
    always_pass: float
    bar: float = AGREEMENT_BAR


@dataclass(frozen=True, slots=True)
class Use:
    """How one question of the rubric was answered.

    Args:
        given: ratings, of which ``unable`` (a share) were "cannot judge".
        usual: share of the most frequent score among the scores; a question that always gets the
            same answer tells nothing.
    """

    dimension: str
    given: int
    unable: float
    usual: float


def confusion(items: Sequence[Rated], context: Context) -> Confusion | None:
    """The table of these items; None below ten that both judged."""
    from monitors.statistics.agreement import cohen_kappa, percent_agreement, recall

    people, judge, weights = verdicts(items, context)
    if len(people) < LEAST:
        return None
    cells = {
        (said, scored): (people if said == "good" else ~people)
        & (judge if scored == "good" else ~judge)
        for said in ("good", "bad")
        for scored in ("good", "bad")
    }
    total = float(weights.sum())
    return Confusion(
        counts={key: int(cell.sum()) for key, cell in cells.items()},
        shares={key: float(weights[cell].sum()) / total for key, cell in cells.items()},
        agreement=percent_agreement(people, judge, weights),
        # The lower end of the two-sided 90 % interval is the one-sided 95 % limit.
        lower_limit=percent_agreement(people, judge, weights, level=0.90)[1],
        kappa=cohen_kappa(people, judge, weights),
        recall=recall(~people, ~judge, weights),
        always_pass=float(np.average(people, weights=weights)),
    )


def skips(batches: Sequence[str], context: Context) -> dict[str, int]:
    """Reason → items skipped for it, the most frequent first."""
    table = review_entry.c
    rows = context.store.rows(
        select(table.reason).where(table.batch_id.in_(batches), table.state == "skipped")
    )
    return dict(Counter(row.reason for row in rows).most_common())


def flags(batches: Sequence[str], context: Context) -> dict[str, int]:
    """Flag → ratings that carry it, the most frequent first."""
    table = review_entry.c
    rows = context.store.rows(
        select(table.flags).where(table.batch_id.in_(batches), table.state == "done")
    )
    return dict(Counter(flag for row in rows for flag in row.flags).most_common())


def uses(batches: Sequence[str], context: Context) -> list[Use]:
    """Each question of the rubric, in its order, over the submitted ratings."""
    table = label.c
    scores: dict[str, list[float | None]] = {name: [] for name in DIMENSIONS}
    for row in context.store.rows(
        select(table.dimension, table.value).where(
            table.batch_id.in_(batches), table.submitted_at.is_not(None)
        )
    ):
        scores.setdefault(row.dimension, []).append(row.value)
    found = []
    for name, values in scores.items():
        able = [value for value in values if value is not None]
        most = Counter(able).most_common(1)
        found.append(
            Use(
                dimension=name,
                given=len(values),
                unable=1 - len(able) / len(values) if values else 0.0,
                usual=most[0][1] / len(able) if most else 0.0,
            )
        )
    return found
