"""Silences: what shall not be said for a while, who said so, why, and until when.

A silence is looked at when a message is about to be sent. What it matches waits in the outbox; the
incident lives on. When the silence ends, what is still going on is told; what has ended meanwhile
was never news.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from alerts.outbox import SILENCED, tell_below
from sql.audit import append
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import incident, notification, silence
from sql.types import canonical_json

LONGEST = timedelta(days=30)
_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(=~|!=|=)\s*(.*?)\s*", re.DOTALL)
_WHERE = "tidegauge silence add"
# Matchers that take an incident of no known rule, mild or grave, take every incident.
_ANY: tuple[Mapping[str, Any], ...] = tuple(
    {"labels": {}, "rule": "any-rule-at-all", "metric": "any.metric", "severity": severity}
    for severity in ("warning", "critical")
)


@dataclass(frozen=True, slots=True)
class Matcher:
    """``feature=answer``, ``rule!=cost`` or ``segment=~eu.*`` (RE2, the whole value).

    Names are the incident's labels, and ``rule``, ``metric`` and ``severity``. A label that an
    incident does not have is empty.
    """

    name: str
    operator: str
    value: str

    def takes(self, labels: Mapping[str, str]) -> bool:
        import re2

        there = labels.get(self.name, "")
        if self.operator == "=~":
            return re2.fullmatch(self.value, there) is not None
        return (there == self.value) == (self.operator == "=")


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence; ``matchers`` must all fit, none fits everything."""

    key: str
    matchers: tuple[Matcher, ...]
    starts: datetime
    ends: datetime
    author: str
    comment: str

    def takes(self, facts: Mapping[str, Any]) -> bool:
        """Does it hide the incident with these facts?"""
        return fits(self.matchers, facts)


# What of an incident's facts its labels and these names are matched by.
_NAMES = ("rule", "metric", "severity")


def fits(matchers: Iterable[Matcher], facts: Mapping[str, Any]) -> bool:
    """Do all of them take the incident with these facts?"""
    labels = {name: str(value) for name, value in facts["labels"].items()}
    labels |= {name: str(facts[name]) for name in _NAMES}
    return all(matcher.takes(labels) for matcher in matchers)


def matched_by(some: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each incident in a message what `fits` looks at: the message carries it as ``about``."""
    return [{name: facts[name] for name in ("labels", *_NAMES)} for facts in some]


def held_until(
    kind: str, payload: Mapping[str, Any], silences: Sequence[Silence], now: datetime
) -> datetime | None:
    """Until when a message waits; None when nothing hides it. Pure.

    A message about several incidents waits only when each of them is silenced: one that is not
    must be told, and then names the others beside it.
    """
    about = payload.get("about") or ([payload] if kind in ("root", "thread") else [])
    if not about:
        return None
    running = [each for each in silences if each.starts <= now < each.ends]
    ends = []
    for facts in about:
        hiding = [each.ends for each in running if each.takes(facts)]
        if not hiding:
            return None
        ends.append(max(hiding))
    return min(ends)


def silenced_in(payload: Mapping[str, Any], silences: Sequence[Silence], now: datetime) -> int:
    """How many of a message's incidents a silence hides now. Pure."""
    running = [each for each in silences if each.starts <= now < each.ends]
    about = payload.get("about", ())
    return sum(any(each.takes(facts) for each in running) for facts in about)


# ── keeping them ─────────────────────────────────────────────────────────────────────────────


def matcher(text: str) -> Matcher:
    """Read one.

    Raises:
        ConfigurationError: it is none, or its pattern is not RE2.
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"{text[:60]!r} is no matcher",
            where=_WHERE,
            mend="write label=value, label!=value or label=~pattern",
        )
    one = Matcher(found[1], found[2], found[3])
    if one.operator == "=~":
        import re2

        try:
            re2.compile(one.value)
        except re2.error:
            raise ConfigurationError(
                f"the pattern of {one.name} is not a regular expression (RE2 syntax)", where=_WHERE
            ) from None
    return one


def series(row: Any) -> list[Matcher]:
    """What takes the incidents of this very series: its rule and all its labels."""
    labels = {name: str(value) for name, value in row.body["labels"].items()}
    return [Matcher(name, "=", value) for name, value in {**labels, "rule": row.rule}.items()]


def add(
    store: Store,
    matchers: Sequence[Matcher],
    *,
    starts: datetime,
    ends: datetime,
    author: str,
    comment: str,
    everything: bool = False,
    now: datetime,
) -> Silence:
    """Keep a silence, with an audit entry.

    Raises:
        ConfigurationError: no author or comment, an end that does not fit, or matchers that fit
            everything without ``everything``.
    """
    if not author.strip() or not comment.strip():
        raise ConfigurationError(
            "a silence needs an author and a comment",
            where=_WHERE,
            mend="say who you are with --by and why with --comment",
        )
    if not starts < ends <= starts + LONGEST or ends <= now:
        raise ConfigurationError(
            f"a silence lasts up to {LONGEST.days} days and ends in the future", where=_WHERE
        )
    key_of = [[each.name, each.operator, each.value] for each in matchers]
    body = canonical_json([key_of, starts.isoformat(), ends.isoformat(), author])
    made = Silence(
        hashlib.sha256(body.encode()).hexdigest()[:10],
        tuple(matchers),
        starts,
        ends,
        author,
        comment,
    )
    if all(made.takes(each) for each in _ANY) and not everything:
        raise ConfigurationError(
            "this would silence everything",
            where=_WHERE,
            mend="say with a matcher what shall be silent, or add --all",
        )
    row = {
        "silence_id": made.key,
        "matchers": key_of,
        "starts_at": starts,
        "ends_at": ends,
        "author": author,
        "comment": comment,
        "created_at": now,
    }
    detail = {"matchers": key_of, "ends": ends.isoformat()}
    with store.begin() as connection:
        store.upsert(connection, silence, [row])
        append(connection, author, "silence", made.key, detail, now)
        _remind(store, connection, made, now)
    return made


def _remind(store: Store, connection: Connection, made: Silence, now: datetime) -> None:
    """What is open and told already is told again if it goes on when the silence ends."""
    table = incident.c
    told = select(incident).where(table.announced == "open", table.state != "resolved")
    for row in connection.execute(told.order_by(table.fingerprint)).all():
        if made.takes(row.body):
            subject = f"{row.fingerprint}:{row.generation}"
            facts = {**row.body, "transition": "unsilenced", "members": [subject]}
            tell_below(store, connection, row.thread, facts, now, held=made.ends)


def end(store: Store, key: str, *, author: str, now: datetime) -> Silence:
    """End a silence now; it stays in the table for the audit.

    Raises:
        ConfigurationError: there is no such silence, or it has ended.
    """
    found = next((each for each in read(store) if each.key == key), None)
    if found is None or found.ends <= now:
        raise ConfigurationError(
            f"there is no silence {key!r} that goes on",
            where="tidegauge silence end",
            mend="`tidegauge silence list` shows them",
        )
    with store.begin() as connection:
        connection.execute(update(silence).where(silence.c.silence_id == key).values(ends_at=now))
        # What it held back is looked at anew; another silence may still hold it.
        connection.execute(
            update(notification)
            .where(notification.c.state == "pending", notification.c.last_error == SILENCED)
            .values(next_at=now)
        )
        append(connection, author, "end_silence", key, {}, now)
    return found


def read(store: Store, *, at: datetime | None = None) -> list[Silence]:
    """All silences, or those that go on at an instant; the earliest first."""
    query = select(silence).order_by(silence.c.starts_at, silence.c.silence_id)
    if at is not None:
        query = query.where(silence.c.starts_at <= at, silence.c.ends_at > at)
    return [
        Silence(
            row.silence_id,
            tuple(Matcher(*each) for each in row.matchers),
            row.starts_at,
            row.ends_at,
            row.author,
            row.comment,
        )
        for row in store.rows(query)
    ]


def written(matchers: Iterable[Matcher]) -> str:
    """As a person would type them."""
    return " ".join(f"{each.name}{each.operator}{each.value}" for each in matchers) or "everything"
