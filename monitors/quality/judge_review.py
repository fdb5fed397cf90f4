"""A new judge is a new yardstick: what it would change on labels it never saw, and who approved it.

The first judge is in force as soon as it is trained. Every later one is a candidate until a person
approves it with a reason; the one before stays on record and can be approved again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from monitors.context import Context
from monitors.quality.judge import NAME, Judge, digest_in_force
from monitors.quality.unsafe import NAME as UNSAFE
from monitors.review import golden_versions
from monitors.review.golden import Golden
from monitors.review.rated import rated_items
from sql import audit
from sql.errors import ConfigurationError
from sql.tables import judge_approval, model_artifact, review_batch, review_item, sample

Array = NDArray[np.float64]

# Fewer labels, or fewer of one verdict, show no difference between two judges.
LEAST, LEAST_OF_A_KIND = 30, 5
# What is trained from the golden set and waits for a person.
MODELS = (NAME, UNSAFE)


@dataclass(frozen=True, slots=True)
class Listed:
    """A judge in a list; ``approved_at`` is None for one that was never in force."""

    name: str
    digest: str
    created_at: Any
    card: Mapping[str, Any]
    approved_at: Any
    approved_by: str
    is_current: bool


# ── before and after ─────────────────────────────────────────────────────────────────────────


def compared(
    before: Judge, after: Judge, examples: Sequence[Golden], out_of_fold: Array, context: Context
) -> dict[str, Any]:
    """Both judges on labels that neither has learned from, for the candidate's card.

    These are the rated answers of all batches that are not in the golden set, and the golden
    examples that are newer than what the judge in force learned from; on those the candidate is
    scored out of fold.

    Args:
        examples: what the candidate learned from.
        out_of_fold: P(good) of each of them by a model that never saw it.

    Returns:
        ``before`` (a digest), ``labels``, ``reviewed``, ``reason`` (few_labels, other_embedder,
        or empty), and where they can be compared: ``figures`` {before, after} and
        ``agreement_change`` with its 95 % interval.
    """
    if before.embedder != context.embedder().digest:
        return {"before": before.digest, "labels": 0, "reviewed": 0, "reason": "other_embedder"}
    reviewed = _reviewed({one.key for one in examples}, context)
    asked = [one.input for one in reviewed]
    answers, passages = [one.output for one in reviewed], [one.context for one in reviewed]
    fresh = unseen(NAME, before.digest, examples, context)
    embedder = context.embedder()
    newer = [examples[place] for place in fresh]
    first = np.concatenate(
        [
            before.probabilities(asked, answers, passages, embedder),
            before.probabilities(
                [one.input for one in newer],
                [one.output for one in newer],
                [one.context for one in newer],
                embedder,
            ),
        ]
    )
    second = np.concatenate(
        [after.probabilities(asked, answers, passages, embedder), out_of_fold[fresh]]
    )
    truth = np.array([one.label >= 0.5 for one in (*reviewed, *newer)], dtype=np.int64)
    threshold = context.settings.judge.threshold
    return comparison(
        before.digest, (first, threshold), (second, threshold), truth, reviewed=len(reviewed)
    )


def comparison(
    before: str,
    first: tuple[Array, float],
    second: tuple[Array, float],
    truth: NDArray[np.int64],
    *,
    reviewed: int,
) -> dict[str, Any]:
    """What `compared` says, from P(good) and the threshold of the one in force and the next."""
    facts = {"before": before, "labels": len(truth), "reviewed": reviewed}
    fewest = int(min(truth.sum(), len(truth) - truth.sum()))
    if len(truth) < LEAST or fewest < LEAST_OF_A_KIND:
        return {**facts, "reason": "few_labels"}
    (old, old_threshold), (new, new_threshold) = first, second
    return {
        **facts,
        "reason": "",
        "figures": {
            "before": figures(old, truth, old_threshold),
            "after": figures(new, truth, new_threshold),
        },
        "agreement_change": _change(old >= old_threshold, new >= new_threshold, truth == 1),
    }


def figures(probability: Array, truth: NDArray[np.int64], threshold: float) -> dict[str, float]:
    """How good a judge is beside what always saying "good" would score."""
    from sklearn.metrics import brier_score_loss, cohen_kappa_score, roc_auc_score

    said = probability >= threshold
    bad = truth == 0
    kappa = float(cohen_kappa_score(truth, said)) if len(set(said)) > 1 else 0.0
    return {
        "auc": round(float(roc_auc_score(truth, probability)), 4),
        "agreement": round(float((said == truth).mean()), 4),
        "kappa": round(kappa, 4),
        "recall_of_bad": round(float((~said[bad]).mean()), 4),
        "brier": round(float(brier_score_loss(truth, probability)), 4),
        "always_good": round(float(truth.mean()), 4),
    }


def _change(
    first: NDArray[np.bool_], second: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> list[float]:
    from monitors.statistics.paired import paired_rate_difference

    old, new = first == truth, second == truth
    counts = ((old & new), (old & ~new), (~old & new), (~old & ~new))
    found = paired_rate_difference(*(int(count.sum()) for count in counts))
    return [round(value, 4) for value in found]


def unseen(name: str, digest: str, examples: Sequence[Golden], context: Context) -> list[int]:
    """Places of the examples that were not in the set when that model learned; none if unknown."""
    table = model_artifact.c
    rows = context.store.rows(select(table.card).where(table.name == name, table.digest == digest))
    number = rows[0].card.get("golden") if rows else None
    if number is None:
        return []
    seen = golden_versions.load(int(number), context).members
    return [place for place, one in enumerate(examples) if one.key not in seen]


def _reviewed(golden: set[str], context: Context) -> list[Golden]:
    """Rated answers whose text is still there, as examples; without what is golden."""
    mark = context.settings.review.pass_mark
    batches = [
        row.batch_id
        for row in context.store.rows(
            select(review_batch.c.batch_id).where(
                review_batch.c.source == context.settings.source.name
            )
        )
    ]
    texts = {
        row.item_id: row
        for row in context.store.rows(
            select(sample.c.item_id, sample.c.input, sample.c.output, sample.c.context)
            .join(
                review_item,
                (review_item.c.source == sample.c.source)
                & (review_item.c.item_id == sample.c.item_id),
            )
            .where(review_item.c.batch_id.in_(batches))
        )
    }
    found = {}
    for item in rated_items(batches, context):
        verdict, text = item.is_good(mark), texts.get(item.item_id)
        if verdict is None or text is None or not text.input or not text.output:
            continue
        example = Golden(text.input, text.output, float(verdict), context=text.context)
        if example.key not in golden:
            found[example.key] = example
    return list(found.values())


# ── approval ─────────────────────────────────────────────────────────────────────────────────


def judges(context: Context, name: str = NAME) -> list[Listed]:
    """All judges (or other models of that ``name``), the oldest first."""
    approvals = context.store.rows(
        select(judge_approval)
        .where(judge_approval.c.name == name)
        .order_by(judge_approval.c.approved_at)
    )
    last = {row.digest: row for row in approvals}
    current = digest_in_force(context, name)
    table = model_artifact.c
    rows = context.store.rows(
        select(table.digest, table.created_at, table.card)
        .where(table.name == name)
        .order_by(table.created_at, table.digest)
    )
    return [
        Listed(
            name=name,
            digest=row.digest,
            created_at=row.created_at,
            card=row.card,
            approved_at=last[row.digest].approved_at if row.digest in last else None,
            approved_by=last[row.digest].approved_by if row.digest in last else "",
            is_current=row.digest == current,
        )
        for row in rows
    ]


def find_judge(digest: str, context: Context) -> Listed:
    """The one judge whose digest begins so.

    Raises:
        ConfigurationError: not exactly one does.
    """
    every = [one for name in MODELS for one in judges(context, name)]
    found = [one for one in every if one.digest.startswith(digest)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} judges begin with {digest!r}", mend="see `tidegauge judge show`"
        )
    return found[0]


def offered(digest: str, context: Context) -> dict[str, int | float | str]:
    """What a person reads before approving a judge: figures only, in the order of their weight.

    Args:
        digest: its first characters.

    Raises:
        ConfigurationError: not exactly one judge begins so.
    """
    one = find_judge(digest, context)
    state = "in force" if one.is_current else "was in force" if one.approved_at else "candidate"
    facts: dict[str, int | float | str] = {"model": one.name, "digest": one.digest, "state": state}
    facts["examples"] = one.card["examples"]
    if "golden" in one.card:
        facts["golden_version"] = one.card["golden"]
    held = one.card.get("held_out")
    if held is None:
        known = one.card["cross_validated"]
        return {**facts, **{f"{name}_out_of_fold": value for name, value in known.items()}}
    before = str(held["before"])
    gone = "" if before == digest_in_force(context, one.name) else ", not in force any more"
    facts |= {"compared_with": before[:12] + gone, "labels_new_to_both": held["labels"]}
    if not held["reason"]:
        old, new = held["figures"]["before"], held["figures"]["after"]
        facts |= {name: f"{old[name]:.3f} → {new[name]:.3f}" for name in old}
    facts["verdict"] = verdict_on(held)
    return facts


def verdict_on(held: Mapping[str, Any]) -> str:
    """What the comparison on a card says, in a sentence."""
    if held["reason"] == "few_labels":
        return f"too few labels that neither judge has learned from ({held['labels']}) to compare"
    if held["reason"]:
        return "not comparable with the judge in force: it reads another embedding model"
    change, low, high = held["agreement_change"]
    clear = "more often right" if low > 0 else "less often right" if high < 0 else "no clear change"
    return (
        f"agreement changes by {100 * change:+.1f} points "
        f"(95 %: {100 * low:+.1f} to {100 * high:+.1f}): {clear}"
    )


def approve_judge(digest: str, actor: str, reason: str, context: Context) -> str:
    """Put a candidate in force; approving the judge in force again changes nothing.

    Args:
        digest: its first characters.

    Returns:
        the whole digest.

    Raises:
        ConfigurationError: no reason was given, or not exactly one judge begins so.
    """
    if not reason.strip():
        raise ConfigurationError("an approval needs a reason", mend='give --reason "…"')
    found = find_judge(digest, context)
    with context.store.begin() as connection:
        put_in_force(connection, found.name, found.digest, actor, reason, context)
    return found.digest


def put_in_force(
    connection: Connection, name: str, digest: str, actor: str, reason: str, context: Context
) -> None:
    """Write the approval and its audit entry within the caller's transaction."""
    now = context.clock()
    audit.approve(connection, judge_approval, name, digest, actor, reason, "approve_judge", now)
