"""The week's sign of life: silence in the channel shall mean that all is well, and not that nobody
is looking."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from alerts.outbox import SILENCED
from sql.store import Store
from sql.tables import coverage, evaluation, incident, notification, sample, silence, spending
from sql.window import Grain, Window


def facts_of(store: Store, window: Window, now: datetime) -> dict[str, Any] | None:
    """What was done in a week, and what stands as it ends: counts alone.

    Args:
        window: a week that is over.

    Returns:
        None when nothing ran in it: then there is no life to tell of.
    """
    within = (coverage.c.finished_at >= window.start, coverage.c.finished_at < window.end)
    done = {
        status: int(count)
        for status, count in store.rows(
            select(coverage.c.status, func.count()).where(*within).group_by(coverage.c.status)
        )
    }
    if not done:
        return None
    table, message = incident.c, notification.c
    opened = (table.opened_window >= window.start, table.opened_window < window.end)
    first = window.start.date()
    return {
        "week": window.label,
        "windows": sum(done.values()),
        "failed": done.get("error", 0),
        "sampled": _count(store, _rows(sample).where(
            sample.c.at >= window.start, sample.c.at < window.end
        )),
        "usd": float(store.rows(
            select(func.coalesce(func.sum(spending.c.usd), 0.0)).where(
                spending.c.day >= first, spending.c.day < window.end.date()
            )
        )[0][0]),
        "open": _count(store, _rows(incident).where(table.state != "resolved")),
        "opened": _count(store, _rows(incident).where(*opened)),
        "untold": _count(store, _rows(incident).where(*opened, table.announced == "")),
        "late": _count(store, _late(window)),
        "silences": _count(store, _rows(silence).where(
            silence.c.starts_at <= now, silence.c.ends_at > now
        )),
        "held": _count(store, _rows(notification).where(
            message.state == "pending", message.last_error == SILENCED
        )),
        "waiting": _count(store, _rows(notification).where(
            message.state.in_(("pending", "inflight")), message.last_error != SILENCED
        )),
        "dead": _count(store, _rows(notification).where(message.state == "dead")),
    }  # fmt: skip


def _late(window: Window) -> Select[Any]:
    """Trouble that was over or old when a backfill found it in this week: kept, and not told."""
    one, judged = incident.c, evaluation.c
    found = select(judged.rule).where(
        judged.rule == one.rule,
        judged.labels == one.labels,
        judged.grain == one.grain,
        judged.window_start == one.opened_window,
        judged.verdict == "breach",
        judged.evaluated_at >= window.start,
        judged.evaluated_at < window.end,
    )
    return _rows(incident).where(
        one.announced == "", one.opened_window < window.start, found.exists()
    )


def week_before(now: datetime, zone: str) -> Window:
    """The last week that is over, Monday to Monday on the clock of ``zone``."""
    return Window.last_full(now, Grain.WEEK, zone)


def _rows(table: Any) -> Select[Any]:
    return select(func.count()).select_from(table)


def _count(store: Store, query: Select[Any]) -> int:
    return int(store.rows(query)[0][0])
