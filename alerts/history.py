"""The stored verdicts of judged series, folded into the stored incidents."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from alerts.configuration import AlertConfiguration
from alerts.incidents import Incident, Kept, Seen, State, fingerprint, fold, matched
from alerts.rules import Verdict
from alerts.telling import Fresh, Judged, Story, facts_of, group_of
from sql.measurement import labels_key
from sql.store import Store
from sql.tables import evaluation, incident
from sql.window import Grain, Window

# A year's memory for the sequential detector and for the fold; older evidence is forgotten.
HISTORY = timedelta(days=400)


def renamed(connection: Connection, configuration: AlertConfiguration) -> None:
    """What was kept under the names that rules had before goes on under their new ones."""
    before = [(name, rule.name) for rule in configuration.rules for name in rule.was]
    for old, new in before:
        mine = incident.c.rule == old
        connection.execute(update(incident).where(mine).values(rule=new))
        later, key = evaluation.alias(), ("labels", "grain", "window_start")
        same = [later.c[name] == evaluation.c[name] for name in key]
        judged = select(later.c.rule).where(later.c.rule == new, *same)
        mine = evaluation.c.rule == old
        connection.execute(update(evaluation).where(mine, ~judged.exists()).values(rule=new))


def fold_all(
    connection: Connection,
    configuration: AlertConfiguration,
    judged: Sequence[Judged],
    window: Window,
) -> list[Story]:
    """The story of every judged series that has, or had, an incident."""
    since = window.start - HISTORY
    seen = _verdicts(connection, judged, window, since)
    kept = _kept(connection, judged, window)
    stories = []
    for entry in judged:
        name = fingerprint(entry.rule, entry.labels)
        windows, mine = seen[entry.rule.name, labels_key(entry.labels)], kept[name]
        if not mine and all(one.verdict is not Verdict.BREACH for one in windows):
            continue
        folded = fold(entry.rule, windows, reopen_windows=configuration.alerts.reopen_windows)
        incidents, gone = matched(folded, mine, since)
        if incidents or gone:
            stories.append(Story(entry, name, incidents, gone))
    return stories


def _verdicts(
    connection: Connection, judged: Sequence[Judged], window: Window, since: datetime
) -> dict[tuple[str, str], list[Seen]]:
    table = evaluation.c
    query = (
        select(
            table.rule, table.labels, table.window_start, table.verdict, table.severity, table.value
        )
        .where(
            table.rule.in_(sorted({entry.rule.name for entry in judged})),
            table.grain == window.grain.value,
            table.window_start >= since,
        )
        .order_by(table.window_start, table.version)
    )
    seen: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    ordinals: dict[datetime, int] = {}
    for rule, labels, start, verdict, severity, value in connection.execute(query):
        if start not in ordinals:
            ordinals[start] = Window.containing(start, window.grain, window.zone).ordinal
        mine = seen[rule, labels]
        if mine and mine[-1].window_start == start:
            mine.pop()  # an earlier version of the same window
        mine.append(Seen(start, ordinals[start], Verdict(verdict), severity, value))
    return seen


def _kept(
    connection: Connection, judged: Sequence[Judged], window: Window
) -> dict[str, list[Kept]]:
    table = incident.c
    query = select(incident).where(
        table.rule.in_(sorted({entry.rule.name for entry in judged})),
        table.grain == window.grain.value,
    )
    kept: dict[str, list[Kept]] = defaultdict(list)
    for row in connection.execute(query):
        kept[row.fingerprint].append(
            Kept(
                row.generation,
                row.opened_window,
                row.last_window,
                row.announced,
                row.announced_severity,
                row.thread,
                row.body,
            )
        )
    return kept


def keep(
    store: Store,
    connection: Connection,
    configuration: AlertConfiguration,
    stories: Sequence[Story],
    now: datetime,
) -> None:
    """Write what the stories hold."""
    rows = [
        {**_row(story, one, before, configuration), "updated_at": now}
        for story in stories
        for one, before in story.incidents
    ]
    store.upsert(connection, incident, rows)
    for story in stories:
        for gone in story.gone:
            _retire(connection, story, gone, now)


def _row(
    story: Story, one: Incident, before: Kept | None, configuration: AlertConfiguration
) -> dict[str, Any]:
    rule, window = story.entry.rule, story.entry.item.window
    facts = facts_of(story, one, configuration)
    if before is not None and not one.opened <= window.start <= one.last:
        # This window says nothing of an incident that was over before it, or began after it.
        facts = {**before.body, "state": one.state.value}
    return {
        "fingerprint": story.fingerprint,
        "generation": one.generation,
        "rule": rule.name,
        "metric": rule.metric,
        "labels": labels_key(story.entry.labels),
        "grain": window.grain.value,
        "state": one.state.value,
        "severity": one.severity,
        "group_key": group_of(configuration, story.entry),
        "opened_window": one.opened,
        "last_window": one.last,
        "resolved_window": one.resolved,
        "windows": one.windows,
        "worst_value": one.worst,
        "last_value": one.value,
        "body": facts,
    }


def _retire(connection: Connection, story: Story, gone: Kept, now: datetime) -> None:
    """What the history no longer holds: over for people who knew of it, else as if never kept."""
    mine = (
        incident.c.fingerprint == story.fingerprint,
        incident.c.generation == gone.generation,
    )
    if not gone.told:
        connection.execute(delete(incident).where(*mine))
    elif gone.told == "open":
        connection.execute(
            update(incident)
            .where(*mine)
            .values(
                state=State.RESOLVED.value,
                resolved_window=story.entry.item.window.start,
                body={**gone.body, "state": "resolved", "reason": "withdrawn"},
                updated_at=now,
            )
        )


def announce(connection: Connection, fresh: Sequence[Fresh], threads: Mapping[str, str]) -> None:
    """Keep what people are told, in the transaction that writes the messages.

    Args:
        threads: subject of a new incident → subject of the message that tells of it first.
    """
    table = incident.c
    for one in fresh:
        name, _, generation = one.subject.rpartition(":")
        connection.execute(
            update(incident)
            .where(table.fingerprint == name, table.generation == int(generation))
            .values(
                announced="resolved" if one.kind in ("resolved", "withdrawn") else "open",
                announced_severity=one.facts["severity"],
                thread=one.thread or threads[one.subject],
            )
        )


def open_beside(connection: Connection, window: Window) -> list[dict[str, str]]:
    """Incidents of any job and grain that are open as the window ends, the newest first.

    A reader of one incident wants to know of the others: quality that falls while the provider's
    answers move has a likely cause. Nothing is muted for it.
    """
    table = incident.c
    rows = connection.execute(
        select(table.fingerprint, table.rule, table.labels, table.grain, table.opened_window)
        .where(
            table.state == State.OPEN.value,
            table.opened_window < window.end,
        )
        .order_by(table.opened_window.desc(), table.rule, table.labels)
    )
    return [
        {
            "fingerprint": row.fingerprint,
            "incident": row.fingerprint[:10],
            "rule": row.rule,
            "labels": " ".join(str(value) for value in json.loads(row.labels).values()),
            "since": Window.containing(row.opened_window, Grain(row.grain), window.zone).label,
        }
        for row in rows
    ]
