"""One window's measurements → verdicts → incidents → intents, in one transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from alerts.configuration import AlertConfiguration
from alerts.incidents import Folded, Incident, Seen, State, Transition, fingerprint, fold
from alerts.outbox import Intent, enqueue
from alerts.rules import Decision, Rule, Verdict, decide
from sql.measurement import Measurement, Status, labels_key
from sql.store import Store
from sql.tables import evaluation, incident
from sql.tables import measurement as measurement_table
from sql.window import Grain, Window

# A year's memory for the sequential detector and for the fold; older evidence is forgotten.
_HISTORY = timedelta(days=400)
# So many other open incidents are named in a message.
_BESIDE = 5
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


@dataclass(frozen=True, slots=True)
class _Judged:
    rule: Rule
    item: Measurement
    labels: Mapping[str, str]
    decision: Decision


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
        fresh = _fresh(stories, window, configuration, now)
        beside = _open_beside(connection, window)
        sent = enqueue(store, connection, _intents(fresh, configuration, window, beside), now)
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
) -> list[_Judged]:
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
        judged.append(_Judged(rule, item, item.labels, decide(rule, item, earlier)))
    muted = {
        name
        for entry in judged
        if entry.decision.verdict is Verdict.BREACH
        for name in entry.rule.inhibits
    }
    return [_muted(entry) if entry.rule.name in muted else entry for entry in judged]


def _muted(entry: _Judged) -> _Judged:
    """What rests on a broken log says nothing, rather than something wrong."""
    if entry.decision.verdict is not Verdict.BREACH:
        return entry
    quiet = Decision(Verdict.INCONCLUSIVE, "inhibited", entry.decision.threshold)
    return _Judged(entry.rule, entry.item, entry.labels, quiet)


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
) -> list[_Judged]:
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
        judged.append(_Judged(_MONITOR_ERROR, item, item.labels, Decision(verdict, reason, 1.0)))
    return judged


def _record(store: Store, connection: Connection, judged: Sequence[_Judged], now: datetime) -> None:
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


@dataclass(frozen=True, slots=True)
class _Story:
    """A judged series with its whole history folded."""

    entry: _Judged
    fingerprint: str
    folded: Folded


def _fold_all(
    connection: Connection,
    configuration: AlertConfiguration,
    judged: Sequence[_Judged],
    window: Window,
) -> list[_Story]:
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
            stories.append(_Story(entry, fingerprint(entry.rule, entry.labels), folded))
    return stories


def _save(
    store: Store,
    connection: Connection,
    configuration: AlertConfiguration,
    stories: Sequence[_Story],
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
                    "group_key": _group(configuration, labels),
                    "opened_window": one.opened,
                    "last_window": one.last,
                    "resolved_window": one.resolved,
                    "windows": one.windows,
                    "worst_value": one.worst,
                    "last_value": one.value,
                    "body": _facts(story, one, configuration),
                    "updated_at": now,
                }
            )
    store.upsert(connection, incident, rows)


def _group(configuration: AlertConfiguration, labels: Mapping[str, str]) -> str:
    return f"{configuration.channel}/{configuration.alerts.source}/{labels.get('feature', '')}"


def _facts(story: _Story, one: Incident, configuration: AlertConfiguration) -> dict[str, Any]:
    item, rule, decision = story.entry.item, story.entry.rule, story.entry.decision
    return {
        "incident": story.fingerprint[:10],
        "fingerprint": story.fingerprint,
        "generation": one.generation,
        "severity": one.severity,
        "state": one.state.value,
        "title": rule.title or rule.name.replace("_", " ").capitalize(),
        "rule": rule.name,
        "metric": item.metric,
        "labels": json.loads(labels_key(story.entry.labels)),
        "unit": item.unit,
        "value": item.value,
        "low": item.low,
        "high": item.high,
        "baseline": item.baseline,
        "threshold": decision.threshold,
        "n": item.n,
        "window": item.window.label,
        "window_start": item.window.start.isoformat(),
        "window_end": item.window.end.isoformat(),
        "since": Window.containing(one.opened, item.window.grain, item.window.zone).label,
        "windows": one.windows,
        "worst": one.worst,
        "runbook": rule.runbook,
        "owner": rule.owner,
        "first_step": rule.first_step,
        "reason": decision.reason,
        "source": configuration.alerts.source,
    }


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


# ── what is told ─────────────────────────────────────────────────────────────────────────────

_Fresh = tuple[_Story, Transition, Incident]


def _fresh(
    stories: Sequence[_Story], window: Window, configuration: AlertConfiguration, now: datetime
) -> list[_Fresh]:
    """The transitions of this very window, unless it is too old to be news."""
    horizon = window.shift(configuration.alerts.notify_horizon).end
    if now > horizon:
        return []
    fresh = []
    for story in stories:
        by_generation = {one.generation: one for one in story.folded.incidents}
        for transition in story.folded.transitions:
            if transition.window_start == window.start:
                fresh.append((story, transition, by_generation[transition.generation]))
    return fresh


def _intents(
    fresh: Sequence[_Fresh],
    configuration: AlertConfiguration,
    window: Window,
    beside: Sequence[Mapping[str, str]],
) -> list[Intent]:
    """One root a group, its members in it; too many become one digest; the rest goes in threads."""
    news = [entry for entry in fresh if entry[1].kind == "opened"]
    later = [entry for entry in fresh if entry[1].kind != "opened"]
    intents = [_thread(entry, configuration) for entry in later]
    groups: dict[str, list[_Fresh]] = defaultdict(list)
    for entry in news:
        groups[_group(configuration, entry[0].entry.labels)].append(entry)
    if len(groups) > configuration.alerts.max_posts_per_run:
        return [*intents, _digest(news, configuration, window)]
    return [*intents, *(_root(members, configuration, beside) for members in groups.values())]


def _subject(entry: _Fresh) -> str:
    return f"{entry[0].fingerprint}:{entry[2].generation}"


def _rank(entry: _Fresh) -> tuple[bool, str, str]:
    return entry[2].severity != "critical", entry[0].entry.rule.metric, entry[0].fingerprint


def _root(
    members: Sequence[_Fresh],
    configuration: AlertConfiguration,
    beside: Sequence[Mapping[str, str]],
) -> Intent:
    (story, transition, one), *others = sorted(members, key=_rank)
    facts = _facts(story, one, configuration)
    facts["also"] = [_facts(other, its, configuration) for other, _, its in others[:9]]
    facts["also_total"] = len(others)
    facts["members"] = sorted(_subject(member) for member in members)
    own = {member[0].fingerprint for member in members}
    facts["beside"] = [dict(one) for one in beside if one["fingerprint"] not in own][:_BESIDE]
    channel = story.entry.rule.channel or configuration.channel
    subject = f"{story.fingerprint}:{one.generation}"
    return Intent(channel, "root", subject, transition.sequence, facts)


def _thread(entry: _Fresh, configuration: AlertConfiguration) -> Intent:
    story, transition, one = entry
    facts = {**_facts(story, one, configuration), "transition": transition.kind}
    channel = story.entry.rule.channel or configuration.channel
    subject = f"{story.fingerprint}:{one.generation}"
    return Intent(channel, "thread", subject, transition.sequence, facts)


def _digest(news: Sequence[_Fresh], configuration: AlertConfiguration, window: Window) -> Intent:
    top = sorted(news, key=_rank)[:10]
    facts = {
        "total": len(news),
        "window": window.label,
        "incidents": [_facts(story, one, configuration) for story, _, one in top],
        "members": sorted(_subject(entry) for entry in news),
    }
    subject = f"digest:{window.grain.value}:{window.label}"
    return Intent(configuration.channel, "digest", subject, 0, facts)
