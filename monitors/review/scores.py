"""What the judge said of a window's sample."""

from __future__ import annotations

from sqlalchemy import func, select

from monitors.context import Context
from sql.tables import score
from sql.window import Window


def judge_scores(window: Window, context: Context) -> dict[str, float]:
    """Item id → the score in [0, 1] of ``[review] scorer``; unscored items are absent.

    Of several versions the one that scored most of the window counts, alone: scores of two
    versions are two different yardsticks.
    """
    table = score.c
    here = (
        table.source == context.settings.source.name,
        table.scorer == context.settings.review.scorer,
        table.at >= window.start,
        table.at < window.end,
        table.value.is_not(None),
    )
    versions = context.store.rows(
        select(table.scorer_version, func.count().label("rows"))
        .where(*here)
        .group_by(table.scorer_version)
        .order_by(func.count().desc(), table.scorer_version.desc())
    )
    if not versions:
        return {}
    rows = context.store.rows(
        select(table.item_id, table.value).where(
            *here, table.scorer_version == versions[0].scorer_version
        )
    )
    return {row.item_id: row.value for row in rows}
