"""What the incidents page shows. Evidence is numbers only; nothing of a user's text is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from alerts.acknowledgements import VERDICTS, verdicts
from sql.store import Store
from sql.tables import incident as incident_table
from sql.tables import measurement
from sql.window import Grain, Window
from sql.words import NOTHING

_OVER = ("resolved", "closed")
_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One incident; windows by their labels, values in ``unit``."""

    id: str
    rule: str
    metric: str
    labels: dict[str, str]
    grain: str
    state: str
    severity: str
    opened: str
    last: str
    windows: int
    worst: float | None
    value: float | None
    unit: str
    inhibited: bool
    said: str


def by_state(store: Store, zone: str) -> dict[str, list[Line]]:
    """Incidents that go on, and the latest of those that are over."""
    table = incident_table.c
    rows = store.rows(
        select(incident_table).order_by(table.last_window.desc(), table.rule).limit(_LIMIT)
    )
    known = select(measurement.c.metric, measurement.c.unit).distinct()
    units = {row.metric: row.unit for row in store.rows(known)}
    said = verdicts(store)
    lines = [_line(row, zone, units.get(row.metric, ""), said) for row in rows]
    rank = {"critical": 0, "warning": 1}
    going_on = [line for line in lines if line.state not in _OVER]
    going_on.sort(key=lambda line: (rank.get(line.severity, 2), line.rule))
    return {"Going on": going_on, "Over": [line for line in lines if line.state in _OVER]}


def _line(
    row: Row[Any], zone: str, unit: str, said: Mapping[tuple[str, int], tuple[str, str]]
) -> Line:
    def label(start: datetime | None) -> str:
        return Window.containing(start, Grain(row.grain), zone).label if start else NOTHING

    verdict, actor = said.get((row.fingerprint, row.generation), ("", ""))
    return Line(
        id=row.fingerprint[:10],
        rule=row.rule,
        metric=row.metric,
        labels=json.loads(row.labels),
        grain=row.grain,
        state=row.state,
        severity=row.severity,
        opened=label(row.opened_window),
        last=label(row.resolved_window or row.last_window),
        windows=row.windows,
        worst=row.worst_value,
        value=row.last_value,
        unit=unit,
        inhibited=bool(row.inhibited_by),
        said=f"{VERDICTS[verdict]}, says {actor}" if verdict else "",
    )
