"""What a step has counted of a window, kept so that nobody counts it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from monitors.context import Context
from sql.tables import partial_result
from sql.window import Window


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of ``partial_result`` that one step of one job writes.

    A body is JSON that holds counts, ids and codes; never a text of a user or a model.
    """

    job: str
    step: str

    def row(self, window: Window, body: Any, now: datetime, shard: int = 0) -> dict[str, Any]:
        """The record of a window, as the table takes it."""
        return {
            "job": self.job,
            "grain": window.grain.value,
            "window_start": window.start,
            "step": self.step,
            "shard": shard,
            "body": body,
            "finished_at": now,
        }

    def write(self, window: Window, body: Any, context: Context, shard: int = 0) -> None:
        """Keep what a window (or one shard of it) came to, in place of what was kept before.

        Raises:
            StoreError: the database refused.
        """
        with context.store.begin() as connection:
            row = self.row(window, body, context.clock(), shard)
            context.store.upsert(connection, partial_result, [row])

    def rows(self, first: Window, last: Window, context: Context) -> Sequence[Row[Any]]:
        """``window_start``, ``shard``, ``body`` and ``finished_at`` of the windows from ``first``
        to ``last`` (with it, and of the same grain) that are kept; the oldest first."""
        table = partial_result.c
        query = select(table.window_start, table.shard, table.body, table.finished_at).where(
            table.job == self.job,
            table.grain == first.grain.value,
            table.step == self.step,
            table.window_start >= first.start,
            table.window_start <= last.start,
        )
        return context.store.rows(query.order_by(table.window_start, table.shard))

    def bodies(self, first: Window, last: Window, context: Context) -> dict[datetime, Any]:
        """Start → body, of windows that are kept in one piece; see `rows`."""
        return {row.window_start: row.body for row in self.rows(first, last, context)}

    def body(self, window: Window, context: Context) -> Any | None:
        """What is kept of one window in one piece; None where it was never counted."""
        return self.bodies(window, window, context).get(window.start)
