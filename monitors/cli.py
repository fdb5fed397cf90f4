"""The jobs by hand: ``tidegauge …``. Everything that Airflow runs can be typed here."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import astuple
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select

from monitors import terminal
from monitors.calendar import due_between
from monitors.commands import (
    attribution,
    baselines,
    erase,
    explain,
    golden,
    heartbeat,
    judge,
    metrics,
    outbox,
    quarter,
    reference,
    review,
    rules,
    silence,
    slack,
)
from monitors.commands.options import Actor, Config, Json, pairs, suite_of
from monitors.jobs import JOBS, find_job
from monitors.jobs import run as run_job
from sql.errors import ConfigurationError, LockHeld, NotReady, TidegaugeError
from sql.window import Grain, Window
from sql.words import number

app = typer.Typer(
    name="tidegauge",
    help="Drift monitoring for LLM features: notices first, says what changed, else is quiet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Jobs in which a person decides: what that is, and the command that asks for it.
BY_HAND = {
    "pin_baseline": ("a pin", "pin"),
    "quarter_decisions": ("a decision", "quarter decide"),
    "retrain_judge": ("a judge", "judge train"),
}


def main() -> None:
    """The console script: explained errors, no traceback unless TIDEGAUGE_DEBUG is set."""
    try:
        app(standalone_mode=True)
    except TidegaugeError as error:
        terminal.err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(3 if isinstance(error, (LockHeld, NotReady)) else 2)
    except Exception as error:
        if os.environ.get("TIDEGAUGE_DEBUG"):
            raise
        terminal.err.print(
            f"[bold red]error:[/] Tidegauge broke ({type(error).__name__}) — run again with "
            "TIDEGAUGE_DEBUG=1 and report what it prints",
            soft_wrap=True,
        )
        sys.exit(1)


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        console=terminal.err,
        transient=True,
    )


@app.command(epilog="Example: tidegauge init")
def init(config: Config = None) -> None:
    """Make the store, or bring its schema up to date; write a configuration if there is none."""
    from monitors.settings import find_file

    path = find_file(config)
    if not path.exists():
        default = Path(__file__).resolve().parent.parent / "tidegauge.toml"
        path.write_text(default.read_text(encoding="utf-8"), encoding="utf-8")
        terminal.out.print(f"wrote {path}", markup=False)
    suite = suite_of(path)
    terminal.out.print(f"the store is ready ({suite.store.dialect})")


@app.command(epilog="Example: tidegauge check")
def check(config: Config = None, as_json: Json = False) -> None:
    """Check configuration, store, source, models and destinations; exit 2 if any is not right."""
    from monitors.check import check as look

    findings = list(look(config))
    if as_json:
        terminal.json_lines(
            {"what": one.what, "good": one.good, "text": one.text} for one in findings
        )
    else:
        for one in findings:
            mark = "[green]ok[/]  " if one.good else "[bold red]bad[/] "
            terminal.out.print(f"{mark} {one.what}: {escape(one.text)}", soft_wrap=True)
    if not all(one.good for one in findings):
        raise typer.Exit(2)


@app.command(
    "import",
    epilog="Example: tidegauge import log.jsonl --map input=user_query --map output=answer",
)
def import_(
    files: Annotated[list[Path], typer.Argument(help="Log files; the kind is detected.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="field=column, where the names differ; a.b reaches into objects, latency*1000 "
            "scales, model+id joins, 'day|%d.%m.%Y' reads a time; may be repeated",
        ),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", help="field=value for every row; may be repeated")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="jsonl, csv, parquet, otlp …")
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day, for logs without times"),
    ] = None,
    per_day: Annotated[int | None, typer.Option(help="Rows a day, with --start")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read log files into the embedded source: JSONL, CSV, Parquet, OTLP, Langfuse, LiteLLM."""
    from monitors.logs.importing import import_files

    settings = suite_of(config).settings
    with _bar() as bar:
        task = bar.add_task("importing", total=1)
        report = import_files(
            files,
            settings.source.url,
            format=kind,
            mapping=pairs(mapping, "--map"),
            constants=pairs(constants, "--set"),
            start=start.date() if start else None,
            per_day=per_day,
            progress=lambda _read, done, total: bar.update(task, completed=done, total=total),
            source_name=settings.source.name,
            seed=settings.sampling.seed,
        )
    facts = {
        "read": report.read,
        "stored": report.stored,
        "duplicate": report.duplicate,
        "renamed": report.renamed,
        "skipped": report.skipped,
        "quarantined": sum(report.quarantined.values()),
    }
    if as_json:
        terminal.json_lines([{**facts, "reasons": dict(report.quarantined)}])
        return
    terminal.out.print("  ".join(f"{name} {count:,}" for name, count in facts.items()))
    for title, counted in (("quarantined", report.quarantined), ("mended", report.mended)):
        for reason, count in counted.most_common():
            terminal.out.print(f"  {title}: {reason} {count:,}", markup=False)


@app.command(epilog="Example: tidegauge run daily --window 2026-06-01")
def run(
    job: Annotated[
        str, typer.Argument(help="daily, provider, weekly, monthly, quarterly, relay …")
    ],
    window: Annotated[
        str | None, typer.Option(help="2026-06-01, 2026-W23, 2026-06 or 2026-Q2; default: the last")
    ] = None,
    force: Annotated[bool, typer.Option(help="Do it again although it is done.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Do one job for one window; nothing when that is done already."""
    suite = suite_of(config)
    chosen = find_job(job)
    if chosen.name in BY_HAND:
        what, command = BY_HAND[chosen.name]
        raise ConfigurationError(f"{what} needs a person", mend=f"use `tidegauge {command}`")
    span = None
    if chosen.grain is not None:
        zone = suite.settings.timezone
        span = (
            Window.parse(window, zone)
            if window
            else Window.last_full(suite.clock(), chosen.grain, zone)
        )
    path = str(config) if config else None
    with terminal.err.status(f"{chosen.alias} {span or ''}") as status:
        result = run_job(
            chosen.name,
            span,
            config=path,
            force=force,
            progress=lambda name, step: status.update(f"{name} {span or ''}: {step}"),
        )
    if as_json:
        terminal.json_lines([{"job": result.job, "window": result.window, "facts": result.facts}])
        return
    if result.skipped:
        terminal.out.print(f"{result.job} {result.window}: done already (use --force to repeat)")
        return
    for step, facts in result.facts.items():
        shown = ", ".join(f"{key} {value}" for key, value in facts.items())
        terminal.out.print(f"{step}: {shown or 'ok'}", markup=False)


@app.command(epilog="Example: tidegauge replay --from 2026-06-01 --to 2026-06-30")
def replay(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"])],
    config: Config = None,
) -> None:
    """Run all jobs whose windows end in these days, in calendar order, without Airflow."""
    suite = suite_of(config)
    plan = list(due_between(first.date(), last.date(), suite.settings.timezone))
    grace = timedelta(hours=suite.settings.source.grace_hours)
    done = 0
    with _bar() as bar:
        task = bar.add_task("replay", total=len(plan))
        for due in plan:
            bar.update(task, description=f"{due.job} {due.window or ''}")
            result = run_job(
                due.job, due.window, config=str(config) if config else None, as_of=due.at + grace
            )
            done += not result.skipped
            bar.advance(task)
    terminal.out.print(f"{len(plan)} runs due, {done} done now")


@app.command(epilog="Example: tidegauge status")
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
    unfinished = ("open", "recovering")
    states = suite.store.rows(
        select(incident.c.severity, func.count())
        .where(incident.c.state.in_(unfinished))
        .group_by(incident.c.severity)
    )
    outbox = suite.store.rows(
        select(notification.c.state, func.count()).group_by(notification.c.state)
    )
    counts = {
        "incidents": {row[0]: row[1] for row in states},
        "outbox": {row[0]: row[1] for row in outbox},
    }
    if as_json:
        terminal.json_lines([{"jobs": [dict(row._mapping) for row in rows], **counts}])
        return
    terminal.table(
        "Coverage",
        ["job", "windows", "until", "measurements"],
        [[r.job, r.windows, f"{r.until:%Y-%m-%d %H:%M}Z", r.measurements] for r in rows],
    )
    for name, by_state in counts.items():
        shown = ", ".join(f"{count} {state}" for state, count in by_state.items()) or "none"
        terminal.out.print(f"{'open ' if name == 'incidents' else ''}{name}: {shown}")


@app.command(epilog="Example: tidegauge measurements --metric safety.pass_rate --last 7")
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


@app.command(epilog="Example: tidegauge incidents --all")
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


@app.command("jobs", epilog="Example: tidegauge jobs")
def jobs_() -> None:
    """The jobs, their steps and schedules."""
    terminal.table(
        "Jobs",
        ["name", "window", "schedule", "what it does"],
        ([j.alias, j.grain or "", j.schedule or "by hand", j.doc] for j in JOBS.values()),
    )


@app.command(epilog="Example: tidegauge pin main --reason 'first pin' --repeats 5")
def pin(
    provider: Annotated[str, typer.Argument(help="Name under [providers].")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    prompts: Annotated[
        Path | None, typer.Option(help="Regression prompts; default: the provider's own.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Answers for each prompt; default: the provider's.")
    ] = None,
    actor: Actor = "cli",
    approve: Annotated[bool, typer.Option(help="Make it the pin at once.")] = False,
    config: Config = None,
) -> None:
    """Ask the provider the regression prompts and store the answers as a candidate baseline."""
    suite = suite_of(config)
    params = {"name": provider, "reason": reason, "actor": actor}
    if prompts is not None:
        params["prompts"] = str(prompts.resolve())
    if repeats is not None:
        params["repeats"] = str(repeats)
    with terminal.err.status(f"asking {provider}"), suite.recorded_provider():
        facts = suite.pin(params)
    digest = str(facts["digest"])
    terminal.out.print(f"candidate {digest[:12]}, {facts['prompts']} prompts", markup=False)
    if approve:
        suite.approve({**params, "digest": digest})
        terminal.out.print("approved: it is the pin now")
    else:
        name = suite.settings.providers[provider].pin
        terminal.out.print(f"to approve: tidegauge baselines approve {name} {digest[:12]}")


@app.command(epilog="Example: tidegauge candidate main --model gpt-5-mini")
def candidate(
    provider: Annotated[str, typer.Argument(help="Name under [providers].")],
    model: Annotated[str, typer.Option(help="The model that might take over.")],
    base_url: Annotated[str, typer.Option(help="Another address; default: the provider's.")] = "",
    actor: Actor = "cli",
    config: Config = None,
) -> None:
    """Ask another model the pinned prompts: go or no-go before a switch; exit 1 on no-go."""
    from monitors.provider.candidate import try_candidate

    suite = suite_of(config)
    with terminal.err.status(f"asking {model}"), suite.recorded_provider():
        found = try_candidate(provider, suite.context, model=model, base_url=base_url, actor=actor)
    terminal.out.print(found.verdict, markup=False, soft_wrap=True)
    terminal.out.print(str(found.page), markup=False, soft_wrap=True)
    if not found.go:
        raise typer.Exit(1)


@app.command(epilog="Example: tidegauge demo")
def demo(
    rows: Annotated[int, typer.Option(help="Requests a day, when the demo is first made.")] = 2_000,
) -> None:
    """Thirteen weeks of a demo product through the real DAGs, and what of it was found."""
    from monitors.demo.run import prepare, scorecard, write_configuration
    from monitors.local import rehearsal
    from monitors.report.overview import summarise
    from monitors.report.page import write_report

    config = write_configuration(Path.cwd(), rows)
    suite = suite_of(config)
    with _bar() as bar:
        task = bar.add_task("writing the demo's log", total=7 * suite.settings.demo.weeks)
        ready = prepare(
            config,
            today=suite.clock().date(),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    fill = ready.fill
    terminal.out.print(f"log: {fill.rows:,} requests, {fill.first_day} to {fill.last_day}")
    with rehearsal.progress_bar() as progress:
        report = rehearsal.rehearse(config, fill.first_day, fill.last_day, progress=progress)
    terminal.out.print(
        f"{report.runs} DAG runs now, {report.skipped} done before, {report.seconds:.0f} s"
    )
    suite = suite_of(config)
    terminal.table(
        "Monitors",
        ["monitor", "each", "windows", "measurements", "without value", "incidents", "last"],
        (astuple(line) for line in summarise(suite)),
    )
    card = scorecard(suite, fill.first_day)
    planted = card.told()
    terminal.table(
        "Planted",
        ["what", "from", "to", "found by", "after"],
        ([one.title, one.first, one.last, one.found_by or "missed", one.after] for one in planted),
    )
    for one in card.false:
        labels = " ".join(f"{key}={value}" for key, value in one.labels.items())
        terminal.out.print(f"False: {one.rule} {labels} on {one.opened}", markup=False)
    if not card.false:
        terminal.out.print("No incident without a cause.")
    sent = suite.settings.path(suite.alerting.alerts.file)
    terminal.out.print(f"Messages: {sent}", markup=False, soft_wrap=True)
    report_path = write_report(suite, planted, [f"{f.rule} on {f.opened}" for f in card.false])
    terminal.out.print(f"Report:   {report_path}", markup=False, soft_wrap=True)
    terminal.out.print(f"Look further: tidegauge incidents --all -c {config.name}", markup=False)


@app.command("report", epilog="Example: tidegauge report")
def report_(config: Config = None) -> None:
    """Write the report, one self-contained HTML page, and print its path."""
    from monitors.report.page import write_report

    suite = suite_of(config)
    planted, false = [], []
    if suite.settings.demo.enabled and (first := suite.source.first_instant()):
        from monitors.demo.run import scorecard

        card = scorecard(suite, first.date())
        planted, false = card.told(), [f"{one.rule} on {one.opened}" for one in card.false]
    terminal.out.print(str(write_report(suite, planted, false)), markup=False, soft_wrap=True)


@app.command(epilog="Example: tidegauge up")
def up(
    port: Annotated[int, typer.Option(help="of Airflow's pages")] = 8080, config: Config = None
) -> None:
    """Start Airflow on this machine over the same store and history."""
    from monitors.local import server

    with terminal.err.status("starting Airflow") as status_line:
        started = server.up(
            config,
            port=port,
            progress=lambda what, ready, of: status_line.update(f"{what} ({ready}/{of})"),
        )
    terminal.out.print(f"Airflow: {started.url}" + ("" if started.started else " (ran already)"))
    users = ([name, role, password] for name, (role, password) in started.users.items())
    terminal.table("Users", ["user", "role", "password"], users)
    terminal.out.print("All DAGs are paused: unpause what you want scheduled. Stop: make down")


@app.command(epilog="Example: tidegauge down")
def down(config: Config = None) -> None:
    """Stop what `tidegauge up` started."""
    from monitors.local import server

    stopped = server.down(config)
    terminal.out.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


app.command("metrics", epilog="Example: tidegauge metrics --json")(metrics.show)
app.command("check-heartbeat", epilog="Example: tidegauge check-heartbeat --fill 3")(
    heartbeat.check
)
app.command("explain", epilog="Example: tidegauge explain 1f9c0a3b7d --html")(explain.explain)
app.command("attribution", epilog="Example: tidegauge attribution --scorer judge")(attribution.show)
app.command("erase", epilog="Example: tidegauge erase --subject user-1734")(erase.erase)
app.command("ack", epilog="Example: tidegauge ack 1f9c0a3b7d --by ada")(silence.acknowledge)
app.add_typer(rules.app, name="rules")
app.add_typer(silence.app, name="silence")
app.add_typer(outbox.app, name="outbox")
app.add_typer(slack.app, name="slack")
app.add_typer(baselines.app, name="baselines")
app.add_typer(reference.app, name="reference")
app.add_typer(golden.app, name="golden")
app.add_typer(judge.app, name="judge")
app.add_typer(quarter.app, name="quarter")
app.add_typer(review.app, name="review")
source_app = typer.Typer(help="The production log.", no_args_is_help=True)
app.add_typer(source_app, name="source")


@source_app.command("ddl", epilog="Example: tidegauge source ddl")
def source_ddl(config: Config = None) -> None:
    """Print the statements that give the log a stored, indexed sample key."""
    from monitors.logs.ddl import sample_key_ddl

    suite = suite_of(config)
    for statement in sample_key_ddl(suite.source, suite.settings.sampling.seed):
        terminal.out.print(f"{statement};", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
