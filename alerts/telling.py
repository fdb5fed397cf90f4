"""What of a window's transitions is said, and in how many messages. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from alerts.configuration import AlertConfiguration
from alerts.incidents import Incident, Kept, news
from alerts.outbox import PAGER, Intent
from alerts.routes import route_of
from alerts.rules import Decision, Rule, Verdict, severity_of, times_of
from alerts.silences import matched_by
from sql.measurement import Measurement, labels_key
from sql.window import Window

# So many are named in a message: other open incidents, a root's and a digest's own.
_BESIDE, _ALSO, _NAMED = 5, 9, 10
# What a route put into the facts: who is called, and when.
CALLED = ("mention", "escalate", "repeat_s")


@dataclass(frozen=True, slots=True)
class Judged:
    """A measurement with what a rule says of it, and why it is so, where that is known.

    Args:
        cause: the likely one, in words.
        parts: (slice, what it took of the change), the foremost first.
    """

    rule: Rule
    item: Measurement
    labels: Mapping[str, str]
    decision: Decision
    cause: str = ""
    parts: Sequence[tuple[str, float]] = ()

    @property
    def severity(self) -> str:
        """Of this window; an incident has the gravest of its windows."""
        breached = self.decision.verdict is Verdict.BREACH
        return severity_of(self.rule, self.item) if breached else self.rule.severity


@dataclass(frozen=True, slots=True)
class Story:
    """A judged series with its whole history folded.

    Args:
        incidents: each with what was kept of it before.
        gone: kept incidents that the history no longer holds.
    """

    entry: Judged
    fingerprint: str
    incidents: Sequence[tuple[Incident, Kept | None]]
    gone: Sequence[Kept]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A change that people have not been told of.

    Args:
        kind: opened, reopened, severity_up, resolved, or withdrawn.
        thread: subject of the message that told of the incident first; ``""`` when it is new.
        channel: where it is told.
    """

    kind: str
    subject: str
    thread: str
    channel: str
    facts: Mapping[str, Any]


def channel_of(configuration: AlertConfiguration, rule: Rule) -> str:
    """Where the rule's incidents are told: its own channel, else the configured one."""
    return rule.channel or configuration.channel


def group_of(configuration: AlertConfiguration, entry: Judged) -> str:
    """Incidents of one group that open together are told in one message."""
    feature = entry.labels.get("feature", "")
    return f"{channel_of(configuration, entry.rule)}/{configuration.alerts.source}/{feature}"


def facts_of(story: Story, one: Incident, configuration: AlertConfiguration) -> dict[str, Any]:
    """What a message may say of an incident: names, numbers and codes, never a text of a user."""
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
        "zone": item.window.zone,
        "since": Window.containing(one.opened, item.window.grain, item.window.zone).label,
        "windows": one.windows,
        "before": _before(story, one),
        "worst": one.worst,
        "times": times_of(rule, item, decision),
        "runbook": rule.runbook,
        "owner": rule.owner,
        "first_step": rule.first_step,
        "reason": decision.reason,
        "cause": story.entry.cause,
        "parts": [list(part) for part in story.entry.parts],
        "source": configuration.alerts.source,
    }


def _before(story: Story, one: Incident) -> dict[str, Any]:
    """How often it was so before, in the history that is kept, and when it was last over."""
    window = story.entry.item.window
    earlier = [each for each, _ in story.incidents if each.opened < one.opened]
    if not earlier:
        return {"times": 0, "last": ""}
    last = max(earlier, key=lambda each: each.opened)
    over = Window.containing(last.resolved or last.last, window.grain, window.zone)
    return {"times": len(earlier), "last": over.label}


def fresh_of(
    stories: Sequence[Story],
    window: Window,
    configuration: AlertConfiguration,
    opened_in: Mapping[str, str],
    now: datetime,
) -> list[Fresh]:
    """What the stories hold that people were not told.

    Trouble whose last window lies beyond the horizon is kept and not told: it is no news. That an
    incident people know of is over is told whenever it is found.
    """
    fresh = []
    for story in stories:
        for one, kept in story.incidents:
            kind = news(one, kept)
            if not kind or (kind != "resolved" and _old(one, window, configuration, now)):
                continue
            subject = f"{story.fingerprint}:{one.generation}"
            facts = facts_of(story, one, configuration)
            thread = kept.thread if kept else ""
            channel = opened_in.get(thread)
            if channel is None:
                channel, called = _place(story, facts, configuration, now)
                facts |= called
            fresh.append(Fresh(kind, subject, thread, channel, facts))
        for gone in story.gone:
            if gone.told == "open":
                subject = f"{story.fingerprint}:{gone.generation}"
                channel = opened_in.get(gone.thread, configuration.channel)
                fresh.append(Fresh("withdrawn", subject, gone.thread, channel, gone.body))
    return fresh


def _place(
    story: Story, facts: Mapping[str, Any], configuration: AlertConfiguration, now: datetime
) -> tuple[str, dict[str, Any]]:
    """Where it is told, and who is called there: the rule's own channel, a route's, or the one."""
    route = route_of(configuration.routes, facts, now)
    if route is None:
        return channel_of(configuration, story.entry.rule), {}
    default = route.channel or configuration.channel
    return story.entry.rule.channel or default, route.told()


def _old(one: Incident, window: Window, configuration: AlertConfiguration, now: datetime) -> bool:
    last = Window.containing(one.last, window.grain, window.zone)
    return now > last.shift(configuration.alerts.notify_horizon).end


@dataclass(frozen=True, slots=True)
class Telling:
    """Messages, and which of them each change is told in.

    Args:
        threads: subject of an incident → subject of the message that tells of it first.
    """

    intents: Sequence[Intent]
    threads: Mapping[str, str]


def telling_of(
    fresh: Sequence[Fresh],
    configuration: AlertConfiguration,
    window: Window,
    beside: Sequence[Mapping[str, str]],
    scope: str,
) -> Telling:
    """One root a group, its members in it; too many become a digest a channel. A pager shares none.

    The rest goes in threads: what changed alike for incidents that one message opened is one
    answer below it. Positions (`Intent.sequence`) are given by `placed`.
    """
    threads: dict[str, list[Fresh]] = defaultdict(list)
    groups: dict[str, list[Fresh]] = defaultdict(list)
    for one in fresh:
        if one.thread:
            threads[f"{one.channel}/{one.thread}/{one.kind}"].append(one)
        else:
            feature = one.facts["labels"].get("feature", "")
            groups[f"{one.channel}/{one.subject if one.channel == PAGER else feature}"].append(one)
    made = [_thread(members) for members in threads.values()]
    alone = [members for members in groups.values() if members[0].channel == PAGER]
    posts = [members for members in groups.values() if members[0].channel != PAGER]
    digests: dict[str, list[Fresh]] = defaultdict(list)
    if len(posts) > configuration.alerts.max_posts_per_run:
        for members in posts:
            digests[members[0].channel] += members
        posts = []
    opening = [(_root(members, beside), members) for members in (*alone, *posts)]
    opening += [(_digest(members, window, scope), members) for members in digests.values()]
    told = {one.subject: intent.subject for intent, members in opening for one in members}
    return Telling([*made, *(intent for intent, _ in opening)], told)


def placed(intents: Sequence[Intent], free: Mapping[str, int]) -> list[Intent]:
    """The intents at the next free positions of their stories.

    Args:
        free: subject → its next free position.
    """
    following = dict(free)
    found = []
    for intent in intents:
        found.append(replace(intent, sequence=following[intent.subject]))
        following[intent.subject] += 1
    return found


def rank(facts: Mapping[str, Any]) -> tuple[bool, float, str, str]:
    """What stands first where there is no room for all: the gravest, then the largest effect."""
    grave, times = facts["severity"] == "critical", facts.get("times", 1.0)
    return not grave, -times, facts["metric"], facts["fingerprint"]


def _rank(one: Fresh) -> tuple[bool, float, str, str]:
    return rank(one.facts)


def _root(members: Sequence[Fresh], beside: Sequence[Mapping[str, str]]) -> Intent:
    first, *others = sorted(members, key=_rank)
    own = {member.facts["fingerprint"] for member in members}
    facts = {
        **_with(first, others),
        "beside": [dict(one) for one in beside if one["fingerprint"] not in own][:_BESIDE],
    }
    return Intent(first.channel, "root", first.subject, 0, facts)


def _thread(members: Sequence[Fresh]) -> Intent:
    first, *others = sorted(members, key=_rank)
    facts = {**_with(first, others), "transition": first.kind}
    return Intent(first.channel, "thread", first.thread, 0, facts)


def _with(first: Fresh, others: Sequence[Fresh]) -> dict[str, Any]:
    return {
        **first.facts,
        "also": [dict(other.facts) for other in others[:_ALSO]],
        "also_total": len(others),
        "members": sorted(one.subject for one in (first, *others)),
        "about": matched_by(one.facts for one in (first, *others)),
    }


def _digest(news: Sequence[Fresh], window: Window, scope: str) -> Intent:
    ranked = sorted(news, key=_rank)
    facts = {
        "total": len(ranked),
        "window": window.label,
        "incidents": [dict(one.facts) for one in ranked[:_NAMED]],
        "members": sorted(one.subject for one in ranked),
        "about": matched_by(one.facts for one in ranked),
        **{name: ranked[0].facts[name] for name in CALLED if name in ranked[0].facts},
    }
    # Two jobs of one window each have a digest of their own.
    name = hashlib.sha256(scope.encode()).hexdigest()[:8]
    subject = f"digest:{window.grain.value}:{window.label}:{name}"
    return Intent(ranked[0].channel, "digest", subject, 0, facts)
