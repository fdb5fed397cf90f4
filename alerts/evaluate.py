"""One window's measurements → verdicts → incidents → intents, in one transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from alerts.configuration import AlertConfiguration
from alerts.incidents import Seen, State, fingerprint, fold
from alerts.outbox import enqueue
from alerts.rules import Decision, Rule, Verdict, decide
from alerts.telling import Judged, Story, facts_of, fresh_of, group_of, intents_of
from sql.measurement import Measurement, Status, labels_key
from sql.store import Store
from sql.tables import evaluation, incident
from sql.tables import measurement as measurement_table
from sql.window import Grain, Window

# A year's memory for the sequential detector and for the fold; older evidence is forgotten.
_HISTORY = timedelta(days=400)
_MONITOR_ERROR = Rule(
    name="monitor_error",
    metric="monitor.error",
    decision="fact",
    match={"monitor": "*"},
    consecutive=1,
    clear_after=1,
    title="A monitor could not measure",
    first_step="Read the task's log: it names the monitor, the kind of error and its place.",
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
        items = [
            item
            for item in store.measurements(
                grain=window.grain, since=window.start, until=window.end, connection=connection
            )
            if item.monitor in monitors
        ]
        judged = _judge(connection, configuration, items, window)
        judged += _monitor_errors(items, window, monitors)
        _record(store, connection, judged, now)
        stories = _fold_all(connection, configuration, judged, window)
        _save(store, connection, configuration, stories, now)
        fresh = fresh_of(stories, window, configuration, now)
        beside = _open_beside(connection, window)
        told = intents_of(fresh, configuration, window, beside, " ".join(sorted(monitors)))
        sent = enqueue(store, connection, told, now)
    kinds = [transition.kind for _, transition, _ in fresh]
    return EvaluationReport(
        evaluations=len(judged),
        breaches=sum(entry.decision.verdict is Verdict.BREACH for entry in judged),
        opened=kinds.count("opened") + kinds.count("reopened"),
        resolved=kinds.count("resolved"),
        notifications=sent,
    )


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
    judged = []
    for rule, item in pairs:
        earlier = history.get((item.metric, item.labels_key), [])
        judged.append(Judged(rule, item, item.labels, decide(rule, item, earlier)))
    muted = {
        name
        for entry in judged
        if entry.decision.verdict is Verdict.BREACH
        for name in entry.rule.inhibits
    }
    return [_muted(entry) if entry.rule.name in muted else entry for entry in judged]


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
            table.window_start >= window.start - _HISTORY,
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
            metric=_MONITOR_ERROR.metric,
            window=window,
            labels={"monitor": name},
            value=1.0 if broken else 0.0,
            n=1,
            unit="count",
        )
        verdict = Verdict.BREACH if broken else Verdict.CLEAR
        reason = broken.reason if broken else ""
        judged.append(Judged(_MONITOR_ERROR, item, item.labels, Decision(verdict, reason, 1.0)))
    return judged


def _record(store: Store, connection: Connection, judged: Sequence[Judged], now: datetime) -> None:
    rows = []
    for entry in judged:
        item = entry.item
        rows.append(
            {
                "rule": entry.rule.name,
                "labels": labels_key(entry.labels),
                "grain": item.window.grain.value,
                "window_start": item.window.start,
                "version": 1,
                "window_end": item.window.end,
                "metric": item.metric,
                "verdict": entry.decision.verdict.value,
                "severity": entry.rule.severity,
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
        )
    store.upsert(connection, evaluation, rows)


# ── incidents ────────────────────────────────────────────────────────────────────────────────


def _fold_all(
    connection: Connection,
    configuration: AlertConfiguration,
    judged: Sequence[Judged],
    window: Window,
) -> list[Story]:
    table = evaluation.c
    query = (
        select(
            table.rule, table.labels, table.window_start, table.verdict, table.severity, table.value
        )
        .where(
            table.rule.in_(sorted({entry.rule.name for entry in judged})),
            table.grain == window.grain.value,
            table.window_start >= window.start - _HISTORY,
        )
        .order_by(table.window_start)
    )
    seen: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for rule, labels, start, verdict, severity, value in connection.execute(query):
        seen[rule, labels].append(Seen(start, Verdict(verdict), severity, value))
    stories = []
    for entry in judged:
        windows = seen[entry.rule.name, labels_key(entry.labels)]
        if all(one.verdict is not Verdict.BREACH for one in windows):
            continue
        folded = fold(entry.rule, windows, reopen_windows=configuration.alerts.reopen_windows)
        if folded.incidents:
            stories.append(Story(entry, fingerprint(entry.rule, entry.labels), folded))
    return stories


def _save(
    store: Store,
    connection: Connection,
    configuration: AlertConfiguration,
    stories: Sequence[Story],
    now: datetime,
) -> None:
    rows = []
    for story in stories:
        rule, labels = story.entry.rule, story.entry.labels
        for one in story.folded.incidents:
            rows.append(
                {
                    "fingerprint": story.fingerprint,
                    "generation": one.generation,
                    "rule": rule.name,
                    "metric": rule.metric,
                    "labels": labels_key(labels),
                    "grain": story.entry.item.window.grain.value,
                    "state": one.state.value,
                    "severity": one.severity,
                    "group_key": group_of(configuration, labels),
                    "opened_window": one.opened,
                    "last_window": one.last,
                    "resolved_window": one.resolved,
                    "windows": one.windows,
                    "worst_value": one.worst,
                    "last_value": one.value,
                    "body": facts_of(story, one, configuration),
                    "updated_at": now,
                }
            )
    store.upsert(connection, incident, rows)


def _open_beside(connection: Connection, window: Window) -> list[dict[str, str]]:
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
