"""Pages: PagerDuty is told of each incident by itself, however many share a message elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select

from alerts.configuration import AlertConfiguration
from alerts.escalation import ESCALATION
from alerts.outbox import PAGER, Intent
from alerts.silences import matched_by
from alerts.telling import CALLED, Fresh
from sql.tables import notification


def pages(
    fresh: Sequence[Fresh], configuration: AlertConfiguration, called: Collection[str]
) -> list[Intent]:
    """An intent for each change of an incident that is grave enough to page. Pure.

    Each is delivered, tried again and silenced by itself, under the incident's own key. What is
    told to PagerDuty and nowhere else is not here: `alerts.telling.telling_of` makes that.

    Args:
        called: subjects of which PagerDuty knows because nobody came (`called_before`).
    """
    table = configuration.pagerduty
    least = None if table is None else table.severity

    def wanted(one: Fresh) -> bool:
        grave = least == "warning" or (least is not None and one.facts["severity"] == least)
        return one.channel != PAGER and (grave or one.subject in called)

    return [_page(one, configuration.alerts.page) for one in fresh if wanted(one)]


def _page(one: Fresh, page: str) -> Intent:
    # Who is called next, and when, stands in the message that people share.
    own = {name: value for name, value in one.facts.items() if name not in CALLED}
    facts: dict[str, Any] = {
        **own,
        "also": [],
        "also_total": 0,
        "members": [one.subject],
        "about": matched_by([one.facts]),
    }
    if page:
        facts["page"] = page
    if not one.thread:
        return Intent(PAGER, "root", one.subject, 0, facts)
    return Intent(PAGER, "thread", one.subject, 0, {**facts, "transition": one.kind})


def called_before(connection: Connection, fresh: Sequence[Fresh]) -> set[str]:
    """Of whose incidents PagerDuty was told because nobody looked after them."""
    table = notification.c
    names = {name for one in fresh for name in (one.subject, one.thread) if name}
    query = select(table.subject).where(
        table.channel == PAGER, table.kind == ESCALATION, table.subject.in_(sorted(names))
    )
    known = set(connection.scalars(query)) if names else set()
    return {one.subject for one in fresh if {one.subject, one.thread} & known}
