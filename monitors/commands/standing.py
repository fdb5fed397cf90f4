"""``tidegauge status``, ``measurements``, ``incidents`` and ``report``: how things stand."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy import Select, func, select

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.window import Grain, Window
from sql.words import number

if TYPE_CHECKING:
    from monitors.suite import Suite


def status(config: Config = None, as_json: Json = False) -> None:
    """What has been covered, what is open, what waits to be sent."""
    from sql.tables import coverage, incident, notification

    suite = suite_of(config)
    table = coverage.c
    rows = suite.store.rows(
        select(
            table.job,
            func.count().label("windows"),
            func.max(table.window_end).label("until"),
            func.sum(table.measurements).label("measurements"),
        )
        .group_by(table.job)
        .order_by(table.job)
    )
    unfinished = incident.c.state.in_(("open", "recovering"))
    counts = {
        "incidents": _counts(suite, select(incident.c.severity, func.count()).where(unfinished)),
        "outbox": _counts(suite, select(notification.c.state, func.count())),
    }
    if as_json:
        terminal.json_lines([{"jobs": [dict(row._mapping) for row in rows], **counts}])
        return
    terminal.table(
        "Coverage",
        ["job", "windows", "until", "measurements"],
        [[r.job, r.windows, f"{r.until:%Y-%m-%d %H:%M}Z", r.measurements] for r in rows],
    )
    for name, by_kind in counts.items():
        shown = ", ".join(f"{count} {kind}" for kind, count in by_kind.items()) or "none"
        terminal.out.print(f"{'open ' if name == 'incidents' else ''}{name}: {shown}")


def _counts(suite: Suite, query: Select[*tuple[Any, ...]]) -> dict[str, int]:
    """By the first column of the query, how often it stands."""
    found = suite.store.rows(query.group_by(query.selected_columns[0]))
    return {row[0]: row[1] for row in found}


def measurements(
    metric: Annotated[str | None, typer.Option(help="One metric; default: all.")] = None,
    grain: Annotated[Grain | None, typer.Option(help="day, week, month or quarter")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    last: Annotated[int, typer.Option(help="At most this many rows, the newest.")] = 50,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What the monitors measured, newest last."""
    suite = suite_of(config)
    zone = suite.settings.timezone
    found = suite.store.measurements(
        metric=metric,
        grain=grain,
        since=Window.of(since.date(), Grain.DAY, zone).start if since else None,
        until=Window.of(until.date(), Grain.DAY, zone).end if until else None,
    )[-last:]
    if as_json:
        terminal.json_lines(terminal.measurement_record(item) for item in found)
        return
    columns = ["window", "metric", "labels", "value", "95 %", "baseline", "n", "status"]
    terminal.table("Measurements", columns, (terminal.measurement_row(item) for item in found))


def incidents(
    every: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Incidents, the newest last, and who looks after them."""
    from alerts.acknowledgements import VERDICTS, verdicts, who
    from sql.tables import incident

    query = select(incident).order_by(incident.c.opened_window, incident.c.fingerprint)
    if not every:
        query = query.where(incident.c.state != "resolved")
    store = suite_of(config).store
    rows, looks, said = store.rows(query), who(store), verdicts(store)

    def key(row: Any) -> tuple[str, int]:
        return row.fingerprint, row.generation

    if as_json:
        terminal.json_lines(
            {
                **row._mapping,
                "acknowledged_by": looks.get(key(row)),
                "said_to_be": said[key(row)][0] if key(row) in said else None,
            }
            for row in rows
        )
        return
    terminal.table(
        "Incidents",
        ["id", "state", "severity", "rule", "labels", "opened", "resolved", "worst", "who", ""],
        (
            [
                row.fingerprint[:10],
                row.state,
                row.severity,
                row.rule,
                " ".join(f"{k}={v}" for k, v in json.loads(row.labels).items()),
                f"{row.opened_window:%Y-%m-%d}",
                f"{row.resolved_window:%Y-%m-%d}" if row.resolved_window else "",
                number(row.worst_value, row.body.get("unit", "")),
                looks.get(key(row), ""),
                VERDICTS[said[key(row)][0]] if key(row) in said else "",
            ]
            for row in rows
        ),
    )


def report(config: Config = None) -> None:
    """Write the report, one self-contained HTML page, and print its path."""
    from monitors.report.page import write_report

    suite = suite_of(config)
    planted, false = [], []
    if suite.settings.demo.enabled and (first := suite.source.first_instant()):
        from monitors.demo.run import scorecard

        card = scorecard(suite, first.date())
        planted, false = card.told(), [f"{one.rule} on {one.opened}" for one in card.false]
    terminal.out.print(str(write_report(suite, planted, false)), markup=False, soft_wrap=True)
