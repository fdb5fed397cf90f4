"""Texts and vectors are kept for a while, numbers for good."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, null, or_, update

from monitors.context import Context
from sql.tables import embedding, judge_verdict, quarantine, replay_answer, sample


def purge(context: Context) -> dict[str, int | float | str]:
    """Remove what is older than ``[privacy] retention_days``; measurements and counts stay.

    Sampled rows keep their ids, weights and scores, so that every published number can still be
    explained; their texts, and the vectors made of them, are gone for good.
    """
    limit = context.clock() - timedelta(days=context.settings.privacy.retention_days)
    with context.store.begin() as connection:
        texts = connection.execute(
            update(sample)
            .where(
                sample.c.at < limit,
                or_(
                    sample.c.input.is_not(None),
                    sample.c.output.is_not(None),
                    sample.c.context.is_not(None),
                    sample.c.reference.is_not(None),
                ),
            )
            .values(input=None, output=None, context=None, reference=None, user_key=None)
        )
        vectors = connection.execute(delete(embedding).where(embedding.c.last_used < limit))
        answers = connection.execute(
            update(replay_answer)
            .where(replay_answer.c.window_start < limit, replay_answer.c.answer.is_not(None))
            .values(answer=None)
        )
        connection.execute(
            update(judge_verdict).where(judge_verdict.c.said_at < limit).values(reasons=null())
        )
        rejected = connection.execute(delete(quarantine).where(quarantine.c.seen_at < limit))
    return {
        "before": limit.date().isoformat(),
        "texts": texts.rowcount,
        "vectors": vectors.rowcount,
        "answers": answers.rowcount,
        "quarantined": rejected.rowcount,
    }
