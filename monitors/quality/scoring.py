"""Every scorer but those of safety over the day's sample, resumable at any row."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import select

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.logs.sampled import stream_sample
from monitors.scorer import Layer, Score, Scorer
from sql.tables import score as score_table
from sql.window import Window

log = logging.getLogger("tidegauge")

# Rows that are scored and committed together: what a kill can cost.
_CHUNK = 500
_REASON = 80
FAILED = "scorer_error"


def sample_scorers(context: Context) -> tuple[Scorer, ...]:
    """The configured scorers that work on the sample: all but those of safety."""
    return tuple(scorer for scorer in context.scorers if scorer.layer is not Layer.SAFETY)


def lacks(scorer: Scorer, context: Context) -> str:
    """The reason why the log can give this scorer nothing to score; empty when it can."""
    missing = sorted(set(scorer.needs) - context.source.attributes)
    return f"no_{missing[0]}" if missing else ""


def score_sample(
    window: Window, context: Context, scorers: Sequence[Scorer] | None = None
) -> dict[str, int | float | str]:
    """Score the window's sample and keep the scores in table ``score``.

    A value that stands there under the same scorer and version is left as it is; rows without a
    value (an error, feedback that had not come) are tried again. A scorer that raises marks its
    rows ``scorer_error`` and does not stop the others.

    Args:
        scorers: only these; None for all that are configured for the sample.

    Returns:
        counts: items in the sample, scores written, scores that stood already, scorer errors.

    Raises:
        StoreError: the database refused.
    """
    chosen = sample_scorers(context) if scorers is None else scorers
    runnable = [(s, s.version_in(context)) for s in chosen if not lacks(s, context)]
    facts: Counter[str] = Counter(items=0, scored=0, kept=0, errors=0)
    for part in stream_sample(window, context, chunk=_CHUNK):
        batch = part.batch
        facts["items"] += len(batch)
        for scorer, version in runnable:
            standing = _standing(scorer, version, batch["id"], context)
            rows = [row for row, item in enumerate(batch["id"]) if item not in standing]
            facts["kept"] += len(batch) - len(rows)
            if not rows:
                continue
            todo = Batch({name: [batch[name][row] for row in rows] for name in batch})
            scores = _scored(scorer, todo, context)
            facts["errors"] += sum(s.reason == FAILED for s in scores)
            facts["scored"] += len(scores)
            _keep(scorer, version, todo, scores, context)
    return dict(facts)


def _standing(scorer: Scorer, version: str, ids: Sequence[str], context: Context) -> frozenset[str]:
    """Those of the items that have a value already."""
    table = score_table.c
    query = select(table.item_id).where(
        table.source == context.source.name,
        table.scorer == scorer.name,
        table.scorer_version == version,
        table.item_id.in_(ids),
        table.value.is_not(None),
    )
    return frozenset(row.item_id for row in context.store.rows(query))


def _scored(scorer: Scorer, batch: Batch, context: Context) -> Sequence[Score]:
    missing = [name for name in scorer.needs if name not in batch or not batch.has([name])]
    if missing:
        # The log has the field, but none of these rows does (or retention took their texts).
        return [Score(None, f"no_{missing[0]}")] * len(batch)
    try:
        return scorer(batch, context)
    except Exception as error:  # a scorer of a user's own may raise anything
        # The exception's text may quote a row, so only its type is told.
        log.error("scorer %s broke: %s", scorer.name, type(error).__name__)
        return [Score(None, FAILED)] * len(batch)


def _keep(
    scorer: Scorer, version: str, batch: Batch, scores: Sequence[Score], context: Context
) -> None:
    def records() -> Iterator[dict[str, object]]:
        for item_id, at, found in zip(batch["id"], batch["at"], scores, strict=True):
            yield {
                "source": context.source.name,
                "item_id": item_id,
                "scorer": scorer.name,
                "scorer_version": version,
                "at": at,
                "value": found.value,
                "reason": found.reason[:_REASON],
            }

    with context.store.begin() as connection:
        context.store.upsert(connection, score_table, records())
