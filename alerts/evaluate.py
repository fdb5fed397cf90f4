"""One window's measurements → verdicts → incidents → intents, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from alerts.configuration import AlertConfiguration
from alerts.escalation import followed
from alerts.history import HISTORY, announce, fold_all, keep, open_beside, renamed
from alerts.outbox import enqueue, sequences
from alerts.paging import called_before, pages
from alerts.routing import is_machine, routed
from alerts.rules import MONITOR_ERROR, Decision, Verdict, decide
from alerts.telling import Judged, Story, fresh_of, placed, telling_of
from sql.measurement import Measurement, Status, labels_key
from sql.store import Store
from sql.tables import evaluation, notification
from sql.tables import measurement as measurement_table
from sql.window import Window

# Published beside a scorer's means: its reason names what a fall is likely due to.
_CAUSE, _PART = "quality.cause", "quality.contribution"


# What makes a verdict another one; the same said again is no new version.
_SAID = (
    "verdict",
    "severity",
    "value",
    "low",
    "high",
    "n",
    "baseline",
    "threshold",
    "evidence",
    "reason",
    "rule_digest",
)


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What judging a window did."""

    evaluations: int
    breaches: int
    opened: int
    resolved: int
    notifications: int


def evaluate(
    store: Store,
    configuration: AlertConfiguration,
    window: Window,
    monitors: Sequence[str],
    *,
    now: datetime,
) -> EvaluationReport:
    """Judge everything that ``monitors`` measured in ``window``.

    Idempotent: judging the window again changes nothing and says nothing new.

    Args:
        now: decides what is too old to be told; in a replay the end of the window.
    """
    with store.begin() as connection:
        renamed(connection, configuration)
        items = [
            item
            for item in store.measurements(
                grain=window.grain, since=window.start, until=window.end, connection=connection
            )
            if item.monitor in monitors
        ]
        judged = _judge(connection, configuration, items, window)
        judged += _monitor_errors(items, window, monitors)
        _record(store, connection, judged, window, now)
        stories = fold_all(connection, configuration, judged, window)
        keep(store, connection, configuration, stories, now)
        opened_in = _opened_in(connection, stories)
        fresh = fresh_of(stories, window, configuration, opened_in, now)
        beside = open_beside(connection, window)
        told = telling_of(fresh, configuration, window, beside, " ".join(sorted(monitors)))
        announce(connection, fresh, told.threads)
        alone = pages(fresh, configuration, called_before(connection, fresh))
        free = sequences(connection, [one.subject for one in (*told.intents, *alone)])
        shared = placed(told.intents, free)
        out = [*routed(shared, configuration), *placed(alone, free)]
        sent = enqueue(store, connection, [*out, *followed(connection, out)], now)
    kinds = [one.kind for one in fresh]
    return EvaluationReport(
        evaluations=len(judged),
        breaches=sum(entry.decision.verdict is Verdict.BREACH for entry in judged),
        opened=kinds.count("opened") + kinds.count("reopened"),
        resolved=kinds.count("resolved"),
        notifications=sent,
    )


def _opened_in(connection: Connection, stories: Sequence[Story]) -> dict[str, str]:
    """Subject of a message that opened incidents → the channel where people read it."""
    threads = {
        kept.thread
        for story in stories
        for kept in (*(before for _, before in story.incidents), *story.gone)
        if kept is not None and kept.thread
    }
    table = notification.c
    query = (
        select(table.subject, table.channel)
        .where(table.subject.in_(sorted(threads)), table.kind.in_(("root", "digest")))
        .order_by(table.created_at)
    )
    return {
        subject: channel
        for subject, channel in (connection.execute(query) if threads else ())
        if not is_machine(channel)
    }


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────


def _judge(
    connection: Connection,
    configuration: AlertConfiguration,
    items: Sequence[Measurement],
    window: Window,
) -> list[Judged]:
    pairs = [
        (rule, item)
        for item in items
        for rule in configuration.rules
        if rule.takes(item.metric, item.labels)
    ]
    metrics = {item.metric for rule, item in pairs if rule.decision == "sequential"}
    history = _evidence(connection, metrics, window)
    causes = {i.labels["scorer"]: i.reason for i in items if i.metric == _CAUSE and i.value}
    judged = []
    for rule, item in pairs:
        earlier = history.get((item.metric, item.labels_key), [])
        scorer = item.labels.get("scorer", "")
        cause, parts = causes.get(scorer, ""), _parts(items, scorer)
        judged.append(Judged(rule, item, item.labels, decide(rule, item, earlier), cause, parts))
    muted = {
        name
        for entry in judged
        if entry.decision.verdict is Verdict.BREACH
        for name in entry.rule.inhibits
    }
    return [_muted(entry) if entry.rule.name in muted else entry for entry in judged]


def _parts(items: Sequence[Measurement], scorer: str) -> list[tuple[str, float]]:
    found = [
        (f"{item.labels['field']}={item.labels['slice']}", item.value)
        for item in items
        if item.metric == _PART and item.value is not None and item.labels["scorer"] == scorer
    ]
    return sorted(found, key=lambda part: part[1])


def _muted(entry: Judged) -> Judged:
    """What rests on a broken log says nothing, rather than something wrong."""
    if entry.decision.verdict is not Verdict.BREACH:
        return entry
    quiet = Decision(Verdict.INCONCLUSIVE, "inhibited", entry.decision.threshold)
    return Judged(entry.rule, entry.item, entry.labels, quiet)


def _evidence(
    connection: Connection, metrics: set[str], window: Window
) -> dict[tuple[str, str], list[float | None]]:
    history: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    table = measurement_table.c
    query = (
        select(table.metric, table.labels, table.evidence)
        .where(
            table.metric.in_(sorted(metrics)),
            table.grain == window.grain.value,
            table.window_start >= window.start - HISTORY,
            table.window_start < window.start,
        )
        .order_by(table.window_start)
    )
    for metric, labels, evidence in connection.execute(query) if metrics else ():
        history[metric, labels].append(evidence)
    return history


def _monitor_errors(
    items: Sequence[Measurement], window: Window, monitors: Sequence[str]
) -> list[Judged]:
    failed = {item.monitor: item for item in items if item.status is Status.ERROR}
    judged = []
    for name in monitors:
        broken = failed.get(name)
        item = Measurement(
            monitor=name,
            metric=MONITOR_ERROR.metric,
            window=window,
            labels={"monitor": name},
            value=1.0 if broken else 0.0,
            n=1,
            unit="count",
        )
        verdict = Verdict.BREACH if broken else Verdict.CLEAR
        reason = broken.reason if broken else ""
        judged.append(Judged(MONITOR_ERROR, item, item.labels, Decision(verdict, reason, 1.0)))
    return judged


def _record(
    store: Store,
    connection: Connection,
    judged: Sequence[Judged],
    window: Window,
    now: datetime,
) -> None:
    """Keep what is said, beside what was said before: a verdict that changes is a new version."""
    before = _standing(connection, judged, window)
    rows = []
    for entry in judged:
        row = _row(entry, now)
        old = before.get((row["rule"], row["labels"]))
        if old is None or any(getattr(old, name) != row[name] for name in _SAID):
            rows.append({**row, "version": 1 if old is None else old.version + 1})
    store.upsert(connection, evaluation, rows)


def _standing(
    connection: Connection, judged: Sequence[Judged], window: Window
) -> dict[tuple[str, str], Row[Any]]:
    """(rule, labels) → the last version of this window's verdict."""
    table = evaluation.c
    query = (
        select(evaluation)
        .where(
            table.rule.in_(sorted({entry.rule.name for entry in judged})),
            table.grain == window.grain.value,
            table.window_start == window.start,
        )
        .order_by(table.version)
    )
    return {(row.rule, row.labels): row for row in connection.execute(query)}


def _row(entry: Judged, now: datetime) -> dict[str, Any]:
    item = entry.item
    return {
        "rule": entry.rule.name,
        "labels": labels_key(entry.labels),
        "grain": item.window.grain.value,
        "window_start": item.window.start,
        "window_end": item.window.end,
        "metric": item.metric,
        "verdict": entry.decision.verdict.value,
        "severity": entry.severity,
        "value": item.value,
        "low": item.low,
        "high": item.high,
        "n": item.n,
        "baseline": item.baseline,
        "threshold": entry.decision.threshold,
        "evidence": entry.decision.evidence,
        "reason": entry.decision.reason,
        "rule_digest": entry.rule.digest,
        "evaluated_at": now,
    }
