"""The scheduled jobs, step by step: Airflow, the command line and tests all call these functions.

Light to import (a DAG file does): whatever is heavy is imported inside the step that needs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sql.errors import ConfigurationError, LockHeld
from sql.window import Grain, Window

if TYPE_CHECKING:
    from monitors.suite import Suite

Facts = dict[str, int | float | str]
Progress = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What one step is asked to do.

    Args:
        window: the job's window; None for jobs without one (relay, retention, pin).
        shard, shards: which part of the window, of how many.
        params: what a person gave (pin_baseline: name, reason, actor, digest).
    """

    job: str
    window: Window | None
    shard: int = 0
    shards: int = 1
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def span(self) -> Window:
        """The window of a job that has one.

        Raises:
            ConfigurationError: none was given.
        """
        if self.window is None:
            raise ConfigurationError(f"{self.job} needs a window", mend="give --window")
        return self.window


@dataclass(frozen=True, slots=True)
class Step:
    """One restartable part of a job.

    Args:
        shards: may it be split among workers?
        after: it comes when the window is covered, and is no part of that.
    """

    name: str
    function: Callable[[Task, Suite], Facts]
    doc: str
    shards: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled piece of work.

    Args:
        grain: of its windows; None when it has none.
        schedule: cron expression of its DAG.
        alias: short name for the command line.
    """

    name: str
    alias: str
    grain: Grain | None
    schedule: str | None
    doc: str
    steps: tuple[Step, ...]

    @property
    def covering(self) -> Step:
        """The step with which a window is done."""
        return [part for part in self.steps if not part.after][-1]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a run did: the facts of each step, or that there was nothing to do."""

    job: str
    window: str
    status: str
    skipped: bool
    seconds: float
    facts: dict[str, Facts]


# ── steps ────────────────────────────────────────────────────────────────────────────────────


def _ready(task: Task, suite: Suite) -> Facts:
    from monitors.logs.intake import ensure_landed

    ensure_landed(task.span, suite.context)
    return {}


def _sample(task: Task, suite: Suite) -> Facts:
    from monitors.logs.draw import draw_sample

    report = draw_sample(task.span, suite.context)
    return {"rows": report.rows, "sampled": report.sampled, "quarantined": report.quarantined}


def _profile(task: Task, suite: Suite) -> Facts:
    from monitors.drift.profiles import profile_day

    return profile_day(task.span, suite.context)


def _safety(task: Task, suite: Suite) -> Facts:
    from monitors.quality.safety import scan_shard

    return scan_shard(task.span, suite.context, task.shard, task.shards)


def _score(task: Task, suite: Suite) -> Facts:
    from monitors.quality.scoring import score_sample

    return score_sample(task.span, suite.context)


def _measure(task: Task, suite: Suite) -> Facts:
    """Run every configured monitor of the job; a monitor that breaks does not stop the others.

    Of a day that was measured before, the difference is kept as its next version.
    """
    from monitors.versions import set_aside, settle

    counts = {"monitors": 0, "measurements": 0, "errors": 0}
    names = [monitor.name for monitor in suite.monitors_of(task.job)]
    daily = task.span.grain is Grain.DAY
    if daily:
        set_aside(task.job, task.span, names, suite.context)
    for monitor in suite.monitors_of(task.job):
        published, failed = suite.measure(monitor, task.span)
        counts["monitors"] += 1
        counts["measurements"] += published
        counts["errors"] += failed
    version = settle(task.job, task.span, names, suite.context) if daily else 0
    return {**counts, "version": version} if version else dict(counts)


def _alert(task: Task, suite: Suite) -> Facts:
    return suite.evaluate_rules(task.job, task.span)


def _late(task: Task, suite: Suite) -> Facts:
    """Measure days again whose rows came in late: the worst of the week before, a few a run.

    A day that another run is at work on is left to it.
    """
    from monitors.late import late_days

    job, again = find_job(task.job), 0
    found = late_days(job.name, task.span, suite.context)
    for day in found[: suite.settings.source.late_days]:
        try:
            for part in job.steps:
                if not part.after:
                    _all_shards(job, part, Task(job.name, day.window), suite)
            again += 1
        except LockHeld:
            continue
    return {"late_days": len(found), "measured_again": again}


def _replay(task: Task, suite: Suite) -> Facts:
    from monitors.provider.replay import replay

    facts: Facts = {"providers": len(suite.settings.providers)}
    with suite.recorded_provider():
        for name in suite.settings.providers:
            for key, value in replay(name, task.span, suite.context).items():
                facts[f"{name}_{key}"] = value
    return facts


def _report(task: Task, suite: Suite) -> Facts:
    from monitors.drift.report import write_report
    from monitors.drift.topic_map_page import write_map
    from monitors.drift.topics_page import write_topics

    made = {
        "report": write_report(task.span, suite.context, suite.speaking),
        "topics": write_topics(task.span, suite.context),
        "map": write_map(task.span, suite.context),
    }
    return {name: path.name if path else "" for name, path in made.items()}


def _provider_report(task: Task, suite: Suite) -> Facts:
    from monitors.provider.report import write_reports

    pages = write_reports(task.span, suite.context)
    return {"pages": len(pages), "report": pages[-1].name if pages else ""}


def _batch(task: Task, suite: Suite) -> Facts:
    from monitors.review.batch import make_batch

    facts = dict(make_batch(task.span, suite.context))
    if suite.settings.demo.enabled:
        from monitors.demo.evaluators import rate_batch

        facts["simulated_labels"] = rate_batch(task.span, suite.context)
    return facts


def _deliver(_task: Task, suite: Suite) -> Facts:
    from monitors.watch import watch

    if not suite.settings.demo.enabled:  # simulated people need no reminder, and no sign
        suite.tell_reviews()
        suite.tell_alive()
        watch(suite.store, suite.alerting, suite.settings.timezone, suite.clock())
    return suite.deliver()


def _purge(_task: Task, suite: Suite) -> Facts:
    from monitors.retention import purge

    return purge(suite.context)


def _pin(task: Task, suite: Suite) -> Facts:
    with suite.recorded_provider():
        return suite.pin(task.params)


def _approve(task: Task, suite: Suite) -> Facts:
    return suite.approve(task.params)


def _quarter_report(task: Task, suite: Suite) -> Facts:
    return _asked(task.span, suite)


def _ask(task: Task, suite: Suite) -> Facts:
    return _asked(_quarter(task, suite), suite)


def _asked(window: Window, suite: Suite) -> Facts:
    from monitors.review.quarter_page import write_quarter

    path, laid = write_quarter(window, suite.context)
    suggested: Facts = {one.question.name: one.suggested for one in laid}
    return {"report": path.name, **suggested}


def _record(task: Task, suite: Suite) -> Facts:
    from monitors.review.decisions import decide
    from monitors.review.quarter_page import write_quarter
    from monitors.review.questions import BY_NAME

    window, given = _quarter(task, suite), task.params
    chosen = [name for name in BY_NAME if name in given]
    for name in chosen:
        decide(window, name, given[name], given["actor"], given["reason"], suite.context)
    path, _ = write_quarter(window, suite.context)
    return {"decided": len(chosen), "report": path.name}


def _train(task: Task, suite: Suite) -> Facts:
    from monitors.quality.judge_review import offered
    from monitors.quality.judge_training import train_judge
    from monitors.quality.unsafe_training import train_unsafe_if_possible

    if known := task.params.get("judge", ""):
        return offered(known, suite.context)
    actor = task.params["actor"]
    facts = offered(train_judge(suite.context, actor).digest, suite.context)
    # Of a golden set that has both, both are trained; the form asks about one at a time.
    unsafe, reason = train_unsafe_if_possible(suite.context, actor)
    return {**facts, "classifier_of_unsafe_answers": unsafe[:12] or reason}


def _approve_judge(task: Task, suite: Suite) -> Facts:
    from monitors.quality.judge_review import approve_judge

    given = task.params
    return {"digest": approve_judge(given["judge"], given["actor"], given["reason"], suite.context)}


def _quarter(task: Task, suite: Suite) -> Window:
    window = Window.parse(task.params["quarter"], suite.settings.timezone)
    if window.grain is not Grain.QUARTER:
        raise ConfigurationError(f"{window} is not a quarter", mend="write 2026-Q2")
    return window


_MEASURE = Step("measure", _measure, "run the job's monitors and publish their measurements")
_ALERT = Step("alert", _alert, "judge the measurements by the rules; open, update, close incidents")

JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job(
            "daily_quality",
            "daily",
            Grain.DAY,
            "0 0 * * *",
            "Score yesterday: safety on every output, the other layers on the sample, operations.",
            (
                Step("ready", _ready, "wait until the window has landed in the log"),
                Step("sample", _sample, "draw the day's sample, redact it, keep it"),
                Step("profile", _profile, "keep the day's distributions, column by column"),
                Step("safety", _safety, "scan every output", shards=True),
                Step("score", _score, "run the scorers on the sample"),
                _MEASURE,
                _ALERT,
                Step("late", _late, "measure days again whose rows came in late", after=True),
            ),
        ),
        Job(
            "provider_drift",
            "provider",
            Grain.DAY,
            "0 0 * * *",
            "Replay the pinned prompts and compare with the pin; read the log for a changed model.",
            (
                Step("replay", _replay, "ask the provider the pinned prompts"),
                _MEASURE,
                Step("report", _provider_report, "show the prompts that moved, if any did"),
                _ALERT,
            ),
        ),
        Job(
            "weekly_drift",
            "weekly",
            Grain.WEEK,
            "0 0 * * 1",
            "Compare the week's inputs, embeddings and topics with the reference.",
            (_MEASURE, Step("report", _report, "write the week's drift report"), _ALERT),
        ),
        Job(
            "monthly_review",
            "monthly",
            Grain.MONTH,
            "0 0 1 * *",
            "Draw the month's review batch and say what people's labels say of the scores.",
            (Step("batch", _batch, "draw and write the review batch"), _MEASURE, _ALERT),
        ),
        Job(
            "quarterly_evaluation",
            "quarterly",
            Grain.QUARTER,
            "0 0 1 1,4,7,10 *",
            "Is the judge still fit, and does the golden set still cover the traffic?",
            (
                _MEASURE,
                Step("report", _quarter_report, "lay the quarter's questions before people"),
                _ALERT,
            ),
        ),
        Job(
            "alert_relay",
            "relay",
            None,
            "*/5 * * * *",
            "Send what the outbox holds, each message once.",
            (Step("deliver", _deliver, "send due messages"),),
        ),
        Job(
            "retention",
            "retention",
            None,
            "30 3 * * *",
            "Remove texts and vectors that are older than the retention period.",
            (Step("purge", _purge, "delete what is too old"),),
        ),
        Job(
            "pin_baseline",
            "pin",
            None,
            None,
            "Pin a provider's answers as the baseline, once a person approves.",
            (
                Step("pin", _pin, "ask the provider and store the candidate baseline"),
                Step("approve", _approve, "make the candidate the pin"),
            ),
        ),
        Job(
            "quarter_decisions",
            "decisions",
            None,
            None,
            "Record what people decide of a quarter: judge, golden set, rubric, raters, rules.",
            (
                Step("ask", _ask, "write the page with the evidence"),
                Step("record", _record, "record the decisions, write the page anew"),
            ),
        ),
        Job(
            "retrain_judge",
            "judge",
            None,
            None,
            "Train a judge on the golden set; it is in force once a person approves.",
            (
                Step("train", _train, "train it, or look one up, and say what it would change"),
                Step("approve", _approve_judge, "put it in force"),
            ),
        ),
    )
}
SCHEDULED = tuple(name for name, job in JOBS.items() if job.grain is not None)


def find_job(name: str) -> Job:
    """A job by its name or alias.

    Raises:
        ConfigurationError: there is none of that name.
    """
    for job in JOBS.values():
        if name in (job.name, job.alias):
            return job
    known = ", ".join(sorted(job.alias for job in JOBS.values()))
    raise ConfigurationError(f"there is no job {name!r}", mend=f"choose one of {known}")


# ── running ──────────────────────────────────────────────────────────────────────────────────


def run_step(
    job: str,
    step: str,
    window: Window | None = None,
    *,
    shard: int = 0,
    shards: int = 1,
    config: str | None = None,
    as_of: datetime | None = None,
    params: Mapping[str, str] | None = None,
) -> Facts:
    """Do one step and record that it was done.

    Args:
        config: path of the configuration; None finds it as the command line does.
        as_of: the present instant, for replays of the past; None is the real one.

    Returns:
        counts and ids, small enough for XCom; never a text of a user or a model.

    Raises:
        TidegaugeError: explained to a person; `LockHeld` and `NotReady` deserve a retry.
    """
    from monitors.suite import open_suite

    suite = open_suite(config, as_of=as_of)
    chosen = find_job(job)
    part = next((part for part in chosen.steps if part.name == step), None)
    if part is None:
        raise ConfigurationError(f"{job} has no step {step!r}")
    return _do(chosen, part, Task(chosen.name, window, shard, shards, dict(params or {})), suite)


def _do(job: Job, part: Step, task: Task, suite: Suite) -> Facts:
    """One step under its lock, and the record that it was done."""
    began, window = time.monotonic(), task.window
    with suite.store.lock(f"{job.name}/{part.name}/{window or '-'}/{task.shard}-{task.shards}"):
        facts = part.function(task, suite)
        if window is not None:
            seconds, last = time.monotonic() - began, part is job.covering
            suite.record_step(job.name, part.name, window, task.shard, facts, seconds, last=last)
    return facts


def _all_shards(job: Job, part: Step, task: Task, suite: Suite) -> None:
    shards = suite.settings.quality.safety_shards if part.shards else 1
    for shard in range(shards):
        _do(job, part, replace(task, shard=shard, shards=shards), suite)


def shard_count(job: str, config: str | None = None) -> int:
    """Into how many parts the sharded steps of ``job`` are split."""
    from monitors.suite import open_suite

    sharded = any(step.shards for step in find_job(job).steps)
    return open_suite(config).settings.quality.safety_shards if sharded else 1


def is_done(job: str, window: Window, *, config: str | None = None) -> bool:
    """Has this very work been finished under the present configuration, over the same rows?"""
    from monitors.suite import open_suite

    return open_suite(config).is_done(find_job(job).name, window)


def run(
    job: str,
    window: Window | None = None,
    *,
    config: str | None = None,
    progress: Progress | None = None,
    force: bool = False,
    as_of: datetime | None = None,
    params: Mapping[str, str] | None = None,
) -> JobResult:
    """Do all steps of a job in this process; nothing when it is done already, unless forced."""
    chosen = find_job(job)
    began = time.monotonic()
    if window is not None and window.grain is not chosen.grain:
        wanted = chosen.grain.value if chosen.grain else "no window"
        raise ConfigurationError(f"{chosen.alias} takes {wanted}, not the {window.grain} {window}")
    if window is not None and not force and is_done(job, window, config=config):
        return JobResult(chosen.name, str(window), "done", True, time.monotonic() - began, {})
    facts: dict[str, Facts] = {}
    for step in chosen.steps:
        if progress:
            progress(chosen.name, step.name)
        shards = shard_count(job, config) if step.shards else 1
        for shard in range(shards):
            facts[step.name] = run_step(
                job,
                step.name,
                window,
                shard=shard,
                shards=shards,
                config=config,
                as_of=as_of,
                params=params,
            )
    status = str(facts[chosen.covering.name].get("status", "complete"))
    return JobResult(
        chosen.name, str(window or "-"), status, False, time.monotonic() - began, facts
    )
