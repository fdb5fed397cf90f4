"""What of a window's transitions is said, and in how many messages. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.configuration import AlertConfiguration
from alerts.incidents import Folded, Incident, Transition
from alerts.outbox import Intent
from alerts.rules import Decision, Rule
from sql.measurement import Measurement, labels_key
from sql.window import Window

# So many other open incidents are named in a message.
_BESIDE = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A measurement with what a rule says of it."""

    rule: Rule
    item: Measurement
    labels: Mapping[str, str]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Story:
    """A judged series with its whole history folded."""

    entry: Judged
    fingerprint: str
    folded: Folded


def group_of(configuration: AlertConfiguration, labels: Mapping[str, str]) -> str:
    return f"{configuration.channel}/{configuration.alerts.source}/{labels.get('feature', '')}"


def facts_of(story: Story, one: Incident, configuration: AlertConfiguration) -> dict[str, Any]:
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


Fresh = tuple[Story, Transition, Incident]


def fresh_of(
    stories: Sequence[Story], window: Window, configuration: AlertConfiguration, now: datetime
) -> list[Fresh]:
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


def intents_of(
    fresh: Sequence[Fresh],
    configuration: AlertConfiguration,
    window: Window,
    beside: Sequence[Mapping[str, str]],
    scope: str,
) -> list[Intent]:
    """One root a group, its members in it; too many become one digest; the rest goes in threads."""
    news = [entry for entry in fresh if entry[1].kind == "opened"]
    later = [entry for entry in fresh if entry[1].kind != "opened"]
    intents = [_thread(entry, configuration) for entry in later]
    groups: dict[str, list[Fresh]] = defaultdict(list)
    for entry in news:
        groups[group_of(configuration, entry[0].entry.labels)].append(entry)
    if len(groups) > configuration.alerts.max_posts_per_run:
        return [*intents, _digest(news, configuration, window, scope)]
    return [*intents, *(_root(members, configuration, beside) for members in groups.values())]


def _subject(entry: Fresh) -> str:
    return f"{entry[0].fingerprint}:{entry[2].generation}"


def _rank(entry: Fresh) -> tuple[bool, str, str]:
    return entry[2].severity != "critical", entry[0].entry.rule.metric, entry[0].fingerprint


def _root(
    members: Sequence[Fresh],
    configuration: AlertConfiguration,
    beside: Sequence[Mapping[str, str]],
) -> Intent:
    (story, transition, one), *others = sorted(members, key=_rank)
    facts = facts_of(story, one, configuration)
    facts["also"] = [facts_of(other, its, configuration) for other, _, its in others[:9]]
    facts["also_total"] = len(others)
    facts["members"] = sorted(_subject(member) for member in members)
    own = {member[0].fingerprint for member in members}
    facts["beside"] = [dict(one) for one in beside if one["fingerprint"] not in own][:_BESIDE]
    channel = story.entry.rule.channel or configuration.channel
    subject = f"{story.fingerprint}:{one.generation}"
    return Intent(channel, "root", subject, transition.sequence, facts)


def _thread(entry: Fresh, configuration: AlertConfiguration) -> Intent:
    story, transition, one = entry
    facts = {**facts_of(story, one, configuration), "transition": transition.kind}
    channel = story.entry.rule.channel or configuration.channel
    subject = f"{story.fingerprint}:{one.generation}"
    return Intent(channel, "thread", subject, transition.sequence, facts)


def _digest(
    news: Sequence[Fresh], configuration: AlertConfiguration, window: Window, scope: str
) -> Intent:
    top = sorted(news, key=_rank)[:10]
    facts = {
        "total": len(news),
        "window": window.label,
        "incidents": [facts_of(story, one, configuration) for story, _, one in top],
        "members": sorted(_subject(entry) for entry in news),
    }
    # Two jobs of one window each have a digest of their own.
    name = hashlib.sha256(scope.encode()).hexdigest()[:8]
    subject = f"digest:{window.grain.value}:{window.label}:{name}"
    return Intent(configuration.channel, "digest", subject, 0, facts)
