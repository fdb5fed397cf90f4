"""What people decided of a quarter: in the audit's chain, by name and with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from monitors.context import Context
from monitors.review.questions import BY_NAME
from sql import audit
from sql.errors import ConfigurationError
from sql.tables import audit as audit_table
from sql.window import Grain, Window

_ACTION = "decide_quarter"


@dataclass(frozen=True, slots=True)
class Decision:
    """The last word on one question."""

    question: str
    choice: str
    reason: str
    actor: str
    at: datetime


def decide(
    window: Window, question: str, choice: str, actor: str, reason: str, context: Context
) -> None:
    """Record a decision; a later one on the same question stands instead, both are kept.

    Raises:
        ConfigurationError: no such quarter, question or choice, or no reason or name was given.
    """
    if window.grain is not Grain.QUARTER:
        raise ConfigurationError(f"{window} is not a quarter", mend="write 2026-Q2")
    if question not in BY_NAME:
        raise ConfigurationError(
            f"no quarter asks about {question!r}", mend=f"choose one of {', '.join(BY_NAME)}"
        )
    if choice not in BY_NAME[question].choices:
        raise ConfigurationError(
            f"{question} cannot be answered by {choice!r}",
            mend=f"choose one of {', '.join(BY_NAME[question].choices)}",
        )
    if not reason.strip() or not actor.strip():
        raise ConfigurationError("a decision needs a name and a reason", mend='give --reason "…"')
    with context.store.begin() as connection:
        detail = {"choice": choice, "reason": reason.strip()}
        subject = f"{_subject(window, context)}{question}"
        audit.append(connection, actor, _ACTION, subject, detail, context.clock())


def decisions(window: Window, context: Context) -> dict[str, Decision]:
    """Question → what stands; absent where nobody has decided."""
    table, start = audit_table.c, _subject(window, context)
    rows = context.store.rows(
        select(audit_table)
        .where(table.action == _ACTION, table.subject.startswith(start, autoescape=True))
        .order_by(table.sequence)
    )
    return {
        name: Decision(name, row.detail["choice"], row.detail["reason"], row.actor, row.at)
        for row in rows
        for name in [row.subject.removeprefix(start)]
    }


def _subject(window: Window, context: Context) -> str:
    return f"{context.settings.source.name}/{window.label}/"
