"""``tidegauge rules``: try a rule on the past, weigh all of them, find those that cannot speak."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from alerts.replaying import Replayed
    from alerts.rules import Rule
    from monitors.suite import Suite

app = typer.Typer(help="The alert rules, on measurements of the past.", no_args_is_help=True)
_DAY = ["%Y-%m-%d"]
Since = Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="First day.")]
Until = Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="First day after.")]


@app.command(epilog="Example: tidegauge rules test cost --from 2026-06-01")
def test(
    rule: Annotated[str, typer.Argument(help="Its name in the configuration.")],
    since: Since = None,
    until: Until = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """When the rule, as it is configured now, would have spoken; nothing is sent or stored."""
    suite = suite_of(config)
    chosen = next((each for each in suite.alerting.rules if each.name == rule), None)
    if chosen is None:
        raise ConfigurationError(
            f"there is no rule {rule!r}", mend="`tidegauge metrics` lists them by metric"
        )
    replayed = _replayed(suite, chosen, since, until)
    lines = [
        {
            "labels": " ".join(f"{k}={v}" for k, v in sorted(one.labels.items())),
            "opened": f"{incident.opened:%Y-%m-%d}",
            "resolved": f"{incident.resolved:%Y-%m-%d}" if incident.resolved else "",
            "windows": incident.windows,
            "worst": incident.worst,
        }
        for one in replayed
        for incident in one.incidents
    ]
    if as_json:
        terminal.json_lines(lines)
        return
    if lines:
        columns = list(lines[0])
        terminal.table(f"{rule} would have opened", columns, (list(x.values()) for x in lines))
    years = max((one.years for one in replayed), default=0.0)
    a_year = f", {len(lines) / years:.1f} a year" if years else ""
    terminal.out.print(
        f"{len(lines)} incidents in {sum(one.windows for one in replayed):,} windows of "
        f"{len(replayed):,} series{a_year}"
    )


@app.command(epilog="Example: tidegauge rules budget --from 2026-06-01 --to 2026-07-01")
def budget(
    since: Since = None, until: Until = None, config: Config = None, as_json: Json = False
) -> None:
    """What the rules allow themselves a year, and what they would have said of a healthy past.

    Choose weeks in which nothing was wrong: every incident then is a false one.
    """
    from alerts.replaying import stated

    suite = suite_of(config)
    lines: list[dict[str, Any]] = []
    for rule in suite.alerting.rules:
        replayed = _replayed(suite, rule, since, until)
        years = max((one.years for one in replayed), default=0.0)
        spoke = sum(len(one.incidents) for one in replayed)
        allowed = stated(rule, replayed) if replayed else 0.0
        lines.append(
            {
                "rule": rule.name,
                "severity": rule.severity,
                "series": len(replayed),
                "allowed a year": None if allowed is None else round(allowed, 2),
                "incidents": spoke,
                "a year": round(spoke / years, 1) if years else None,
            }
        )
    if as_json:
        terminal.json_lines(lines)
        return
    shown = [["" if value is None else value for value in line.values()] for line in lines]
    terminal.table("Rules", list(lines[0]), shown)
    allowed = sum(float(line["allowed a year"] or 0) for line in lines)
    a_year = sum(float(line["a year"] or 0) for line in lines)
    terminal.out.print(
        f"allowed: at most {allowed:.1f} false incidents a year; on these measurements: "
        f"{sum(int(line['incidents'] or 0) for line in lines)} incidents, {a_year:.1f} a year"
    )


@app.command(epilog="Example: tidegauge rules check")
def check(config: Config = None, as_json: Json = False) -> None:
    """Rules that match nothing, can never speak, or repeat another; exit 2 when there are some."""
    from sqlalchemy import select

    from alerts.replaying import complaints
    from monitors.catalogue import metrics
    from sql.tables import measurement

    suite = suite_of(config)
    table = measurement.c
    measured: dict[str, list[dict[str, str]]] = {}
    for row in suite.store.rows(select(table.metric, table.labels).distinct()):
        measured.setdefault(row.metric, []).append(_labels(row.labels))
    known = {each.name: {*each.labels, *each.slices} for each in metrics()}
    found = complaints(suite.alerting.rules, known, measured)
    if as_json:
        terminal.json_lines({"rule": c.rule, "what": c.what, "mend": c.mend} for c in found)
    elif found:
        columns = ["rule", "what is wrong", "what to do"]
        terminal.table("Rules", columns, ([c.rule, c.what, c.mend] for c in found))
    else:
        terminal.out.print(f"{len(suite.alerting.rules)} rules, nothing to complain of")
    if found:
        raise typer.Exit(2)


def _labels(text: str) -> dict[str, str]:
    import json

    return {str(key): str(value) for key, value in json.loads(text).items()}


def _replayed(
    suite: Suite, rule: Rule, since: datetime | None, until: datetime | None
) -> list[Replayed]:
    from alerts.replaying import replay

    found = suite.store.measurements(
        metric=rule.metric,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
    )
    return replay(rule, found, reopen_windows=suite.alerting.alerts.reopen_windows)
