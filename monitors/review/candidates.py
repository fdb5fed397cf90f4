"""Rated answers offered to the golden set; nothing enters it without a person's word."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from monitors.context import Context
from monitors.review.closing import split
from monitors.review.desk import text_of
from monitors.review.golden import Golden, import_golden, list_golden
from monitors.review.rated import rated_items
from sql import audit
from sql.errors import ConfigurationError
from sql.tables import review_batch, review_entry, review_item, sample


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that people agree on, or that a third person has settled.

    Args:
        position: in the batch, by which it is chosen.
        golden: the example that it would become; its reference is a better answer, if one of
            the raters wrote one.
    """

    position: int
    golden: Golden


def candidates(batch: str, context: Context) -> list[Candidate]:
    """What a closed batch offers, without what the golden set has already.

    Raises:
        ConfigurationError: there is no such batch, or it is not closed: an example that is known
            to be golden would sway who still rates.
    """
    state = context.store.rows(select(review_batch.c.state).where(review_batch.c.batch_id == batch))
    if not state or state[0].state != "closed":
        what = f"{batch!r} is not closed" if state else f"there is no batch {batch!r}"
        raise ConfigurationError(what, mend="see `tidegauge review list`")
    known = {golden.key for golden in list_golden(context)}
    found = []
    facts = _facts(batch, context)
    for item in rated_items([batch], context):
        verdict = item.is_good(context.settings.review.pass_mark)
        text = text_of(batch, item.item_id, context)
        if verdict is None or not text.output:
            continue
        if item.settled is None and split(list(item.ratings.values())):
            continue
        position, feature, better = facts[item.item_id]
        golden = Golden(
            input=text.input,
            output=text.output,
            context=text.context or None,
            reference=better or None,
            label=float(verdict),
            feature=feature,
            provenance=f"batch {batch}",
        )
        if golden.key not in known:
            known.add(golden.key)  # the same answer twice in a batch is one example
            found.append(Candidate(position, golden))
    return sorted(found, key=lambda one: one.position)


def approve(
    batch: str, positions: Collection[int], actor: str, consented: bool, context: Context
) -> int:
    """Take candidates into the golden set.

    Args:
        positions: those that the person approves; empty for all.
        consented: the person says that these texts may be kept beyond the retention period.

    Returns:
        how many were taken.

    Raises:
        ConfigurationError: without consent, or a position is no candidate.
    """
    if not consented:
        raise ConfigurationError(
            "a golden example is kept when the log is long gone",
            where=batch,
            mend="say --consented when these texts may be kept",
        )
    offered = {one.position: one.golden for one in candidates(batch, context)}
    if unknown := sorted(set(positions) - set(offered)):
        raise ConfigurationError(f"item {unknown[0]} is no candidate", where=batch)
    chosen: Sequence[int] = sorted(positions or offered)
    taken = import_golden(
        [offered[position] for position in chosen], context, actor=actor, reason=f"batch {batch}"
    )
    with context.store.begin() as connection:
        detail = {"items": list(chosen), "consented": True}
        audit.append(connection, actor, "approve_golden", batch, detail, context.clock())
    return taken.examples


def _facts(batch: str, context: Context) -> dict[str, tuple[int, str, str]]:
    """Item → its position, its feature, and a better answer if somebody submitted one."""
    entries = review_entry.c
    better = {
        row.item_id: row.correction
        for row in context.store.rows(
            select(entries.item_id, entries.correction)
            .where(entries.batch_id == batch, entries.state == "done", entries.correction != "")
            .order_by(entries.updated_at)
        )
    }
    rows = context.store.rows(
        select(review_item.c.item_id, review_item.c.position, sample.c.fields)
        .join(
            sample,
            (sample.c.source == review_item.c.source) & (sample.c.item_id == review_item.c.item_id),
        )
        .where(review_item.c.batch_id == batch)
    )
    return {
        row.item_id: (
            row.position,
            str(row.fields.get("feature") or ""),
            better.get(row.item_id, ""),
        )
        for row in rows
    }
