"""The pinned reference of input drift: days that a person chose and another approved, held still.

Until somebody does, the days of ``[reference]`` stand in. Either way the days' profiles are written
down with a digest when they are first compared with; from then on late rows do not change them,
and a reference whose profiles no longer fit their digest is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row, select, update

from monitors.context import Context
from monitors.drift.profiles import ensure, fingerprints
from monitors.reference import reference_days
from sql import audit
from sql.errors import ConfigurationError
from sql.tables import drift_reference
from sql.types import canonical_json
from sql.window import Grain, Window

AUTO = "auto"
_LEAST_DAYS = 7


@dataclass(frozen=True, slots=True)
class Pinned:
    """Days to compare with, and what their profiles were when they were taken.

    Args:
        digest: of everything below that can change a number.
        profiles: column and recipe → sha256 of its profiles on these days.
        approved_at: None for a candidate.
    """

    digest: str
    days: tuple[Window, ...]
    profiles: dict[str, str]
    made_at: datetime
    made_by: str
    reason: str
    approved_at: datetime | None
    approved_by: str

    @property
    def label(self) -> str:
        return f"{self.days[0]} to {self.days[-1]}"


def propose(first: date, last: date, actor: str, reason: str, context: Context) -> Pinned:
    """Take these days for a candidate: profile them, and write down what they are.

    Raises:
        ConfigurationError: fewer than seven days, no reason, a day without rows or not over.
    """
    zone = context.settings.timezone
    days = list(Window.between(first, last, Grain.DAY, zone))
    if len(days) < _LEAST_DAYS:
        raise ConfigurationError(
            f"{len(days)} days are no reference",
            mend="choose whole weeks: a weekday that is missing would look like drift",
        )
    if days[-1].end > context.clock():
        raise ConfigurationError(f"{days[-1]} is not over", mend="choose days that are past")
    if not reason.strip():
        raise ConfigurationError("a reference needs a reason", mend='give --reason "…"')
    ensure(days, context)
    empty = [str(day) for day in days if not context.source.count(day)]
    if empty:
        raise ConfigurationError(
            f"{len(empty)} of the {len(days)} days have no rows, the first is {empty[0]}",
            mend="choose days that are healthy and whole",
        )
    return _written(days, actor, reason, None, context)


def approve(start: str, actor: str, reason: str, context: Context) -> Pinned:
    """Make a candidate the reference; those before it stay on record.

    Args:
        start: the first characters of its digest.

    Raises:
        ConfigurationError: none or several begin so, it was changed since, or the person who
            proposed it approves it.
    """
    found = [each for each in listed(context) if each.digest.startswith(start)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} references begin with {start!r}",
            mend="see `tidegauge reference list`, and give more of the digest",
        )
    [candidate] = found
    if not reason.strip():
        raise ConfigurationError("an approval needs a reason", mend='give --reason "…"')
    if actor == candidate.made_by:
        raise ConfigurationError(
            f"{actor} proposed it", mend="let somebody else look at it and approve"
        )
    if complaint := complaint_about(candidate, context):
        raise ConfigurationError(
            f"the candidate cannot be approved: {complaint}", mend="propose the days anew"
        )
    now = context.clock()
    table = drift_reference.c
    with context.store.begin() as connection:
        previous = _in_force(listed(context))
        connection.execute(
            update(drift_reference)
            .where(table.source == context.source.name, table.digest == candidate.digest)
            .values(approved_at=now, approved_by=actor)
        )
        detail = {
            "days": candidate.label,
            "previous": previous.digest if previous else "",
            "reason": reason,
        }
        audit.append(connection, actor, "approve_reference", candidate.digest, detail, now)
    return next(each for each in listed(context) if each.digest == candidate.digest)


def pinned(context: Context) -> Pinned | None:
    """What is compared with: what a person approved last, else the days of ``[reference]``, once
    they were written down."""
    known = listed(context)
    days = reference_days(context)
    mine = [each for each in known if each.approved_by == AUTO and list(each.days) == days]
    return _in_force(known) or (mine[-1] if mine else None)


def pinned_before(window: Window, context: Context) -> Pinned | None:
    """The reference for a window; None where the window touches its days, or the log is empty.

    The days of ``[reference]`` are written down when the first window after them is compared: not
    before, or they would be pinned while they are still to come.
    """
    chosen = _in_force(listed(context))
    days = list(chosen.days) if chosen else reference_days(context)
    if not days or window.start < days[-1].end:
        return None
    if chosen:
        return chosen
    ensure(days, context)
    found, prints = pinned(context), fingerprints(days, context)
    # Another configuration makes other profiles, and no person stands for these days.
    if found is not None and prints.keys() <= found.profiles.keys():
        return found
    return _written(days, AUTO, "[reference]", context.clock(), context)


def complaint_about(reference: Pinned, context: Context) -> str:
    """Why the reference is refused, as a code; empty when its profiles are what they were."""
    now = fingerprints(reference.days, context)
    if not now.keys() <= reference.profiles.keys():
        return "reference_outdated"  # columns or slices were configured otherwise since
    same = all(reference.profiles[name] == print_ for name, print_ in now.items())
    return "" if same else "reference_mutated"


def listed(context: Context) -> list[Pinned]:
    """All references and candidates, the newest last."""
    table = drift_reference.c
    query = select(drift_reference).where(table.source == context.source.name)
    found = context.store.rows(query.order_by(table.made_at, table.digest))
    return [_read(row, context.settings.timezone) for row in found]


def _in_force(known: Sequence[Pinned]) -> Pinned | None:
    chosen = [each for each in known if each.approved_at and each.approved_by != AUTO]
    return max(chosen, key=lambda each: each.approved_at or each.made_at, default=None)


def _written(
    days: Sequence[Window], actor: str, reason: str, approved_at: datetime | None, context: Context
) -> Pinned:
    prints = fingerprints(days, context)
    made = [context.source.name, days[0].start.isoformat(), days[-1].end.isoformat(), prints]
    digest = hashlib.sha256(canonical_json(made).encode()).hexdigest()
    row = {
        "source": context.source.name,
        "digest": digest,
        "window_start": days[0].start,
        "window_end": days[-1].end,
        "body": prints,
        "made_at": context.clock(),
        "made_by": actor,
        "reason": reason,
        "approved_at": approved_at,
        "approved_by": AUTO if approved_at else "",
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, drift_reference, [row], keep=True)
    return next(each for each in listed(context) if each.digest == digest)


def _read(row: Row[Any], zone: str) -> Pinned:
    first = Window.containing(row.window_start, Grain.DAY, zone)
    days = [first]
    while days[-1].end < row.window_end.astimezone(UTC):
        days.append(days[-1].next())
    return Pinned(
        digest=row.digest,
        days=tuple(days),
        profiles=row.body,
        made_at=row.made_at,
        made_by=row.made_by,
        reason=row.reason,
        approved_at=row.approved_at,
        approved_by=row.approved_by,
    )
