"""The composition root: from the configuration to everything that runs, built here alone."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select

from alerts.channels import Channel
from alerts.channels.opening import open_channels
from alerts.configuration import AlertConfiguration, parse
from alerts.evaluate import evaluate
from alerts.relay import deliver
from alerts.rules import Verdict, decide
from monitors.context import Context, Embedder
from monitors.kept import Kept
from monitors.logs.source import Source
from monitors.monitor import Monitor
from monitors.scorer import Scorer
from monitors.settings import Component, Settings, find_file, load_settings
from sql.errors import ConfigurationError, TidegaugeError
from sql.measurement import Measurement, Status, unmeasured
from sql.store import Store
from sql.tables import coverage, heartbeat, partial_result
from sql.tables import measurement as measurement_table
from sql.window import Window

log = logging.getLogger("tidegauge")

_open: dict[tuple[int, str, int], Suite] = {}


def open_suite(config: str | Path | None = None, *, as_of: datetime | None = None) -> Suite:
    """The suite of a configuration file; built once a process and file version.

    Args:
        as_of: the present instant that jobs shall see; None is the real one.

    Raises:
        ConfigurationError, StoreError: explained to a person.
    """
    path = find_file(config).resolve()
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    key = (os.getpid(), str(path), stamp)  # a forked process must not share connections
    if key not in _open:
        _open[key] = Suite(load_settings(path))
    return _open[key].at(as_of)


class Suite:
    """Settings, store, source, scorers, monitors and rules of one configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store.open(settings.store.url)
        self.as_of: datetime | None = None

    def at(self, as_of: datetime | None) -> Suite:
        """This suite, with its clock standing at ``as_of`` (None: running)."""
        self.as_of = as_of
        return self

    def clock(self) -> datetime:
        return self.as_of or datetime.now(UTC)

    # ── parts ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def source(self) -> Source:
        return Source.open(self.settings.source)

    @cached_property
    def scorers(self) -> tuple[Scorer, ...]:
        return tuple(
            _resolve(name, component, Scorer, "scorers")
            for name, component in self.settings.scorers.items()
        )

    @cached_property
    def monitors(self) -> tuple[Monitor, ...]:
        return tuple(
            _resolve(name, component, Monitor, "monitors")
            for name, component in self.settings.monitors.items()
        )

    def monitors_of(self, job: str) -> list[Monitor]:
        return [monitor for monitor in self.monitors if monitor.job == job]

    @cached_property
    def embedder(self) -> Embedder:
        from monitors.drift.embedder import SentenceEmbedder

        drift = self.settings.drift
        return SentenceEmbedder(
            self.store, self.clock, characters=drift.text_characters, device=drift.device
        )

    @cached_property
    def context(self) -> Context:
        return Context(
            settings=self.settings,
            store=self.store,
            source=self.source,
            scorers=self.scorers,
            clock=self.clock,
            embedder=lambda: self.embedder,
        )

    # ── measuring ────────────────────────────────────────────────────────────────────────────

    def measure(self, monitor: Monitor, window: Window) -> tuple[int, int]:
        """Run one monitor and publish what it says, an explained failure included.

        Returns:
            (measurements published, 1 if it failed else 0).
        """
        failed = 0
        try:
            found = monitor.measure(window, self.context)
        except TidegaugeError as error:
            log.error("%s could not measure %s: %s", monitor.name, window, error)
            found, failed = [_failure(monitor, window, type(error).__name__)], 1
        except Exception as error:  # a monitor of a user's own may raise anything
            # The exception's text may quote a row, so only its type and place are told.
            log.error(
                "%s broke in %s: %s at %s",
                monitor.name,
                window,
                type(error).__name__,
                _place(error),
            )
            found, failed = [_failure(monitor, window, type(error).__name__)], 1
        with self.store.begin() as connection:
            return self.store.publish(connection, monitor.name, window, found), failed

    # ── the ledger ───────────────────────────────────────────────────────────────────────────

    def record_step(
        self,
        job: str,
        step: str,
        window: Window,
        shard: int,
        facts: Mapping[str, Any],
        seconds: float,
        *,
        last: bool,
    ) -> None:
        """Note a finished step; with the last one the window is covered and the job has beaten."""
        now = self.clock()
        with self.store.begin() as connection:
            body = {**facts, "seconds": round(seconds, 3)}
            row = Kept(job, f"step:{step}").row(window, body, now, shard)
            self.store.upsert(connection, partial_result, [row])
            if not last:
                return
            self.store.upsert(connection, coverage, [self._covered(connection, job, window, now)])
            beat = {"job": job, "window_start": window.start, "beat_at": now}
            self.store.upsert(connection, heartbeat, [beat])

    def _covered(self, connection: Any, job: str, window: Window, now: datetime) -> dict[str, Any]:
        steps = connection.execute(
            select(partial_result.c.step, partial_result.c.body).where(
                partial_result.c.job == job,
                partial_result.c.grain == window.grain.value,
                partial_result.c.window_start == window.start,
                partial_result.c.step.like("step:%"),
            )
        ).all()
        rows: Counter[str] = Counter()
        for step, body in steps:
            rows[step] += int(body.get("rows", 0))
        measured = connection.execute(
            select(measurement_table.c.status, func.count())
            .where(
                measurement_table.c.monitor.in_([m.name for m in self.monitors_of(job)]),
                measurement_table.c.grain == window.grain.value,
                measurement_table.c.window_start == window.start,
            )
            .group_by(measurement_table.c.status)
        )
        counts = {row[0]: row[1] for row in measured}
        read = [int(body["rows"]) for _, body in steps if "rows" in body]
        status = _overall(counts)
        if read and not any(read) and status == Status.COMPLETE:
            # What is known on such a day is of other days: how many of their rows came late.
            status = Status.NO_DATA
        return {
            "job": job,
            "grain": window.grain.value,
            "window_start": window.start,
            "window_end": window.end,
            "status": status,
            "reason": "",
            # Several steps may each have read the whole window: the sum would count it twice.
            "rows": max(rows.values(), default=0),
            "measurements": sum(counts.values()),
            "seconds": sum(float(body.get("seconds", 0)) for _, body in steps),
            "config_digest": self.settings.digest,
            "code_version": code_version(),
            "finished_at": now,
        }

    def is_done(self, job: str, window: Window) -> bool:
        """Is the window covered, under this configuration and code, with the rows it has now?"""
        table = coverage.c
        found = self.store.rows(
            select(coverage).where(
                table.job == job,
                table.grain == window.grain.value,
                table.window_start == window.start,
            )
        )
        if not found or found[0].status == Status.ERROR:
            return False
        row = found[0]
        same = (row.config_digest, row.code_version) == (self.settings.digest, code_version())
        late = job == "daily_quality" and self.source.count(window) != row.rows
        return same and not late

    # ── alerts, provider ─────────────────────────────────────────────────────────────────────

    @cached_property
    def alerting(self) -> AlertConfiguration:
        settings = self.settings
        return parse(
            settings.rules,
            {"source": settings.source.name, **settings.alerts},
            settings.slack,
            settings.pagerduty,
            settings.webhooks,
            settings.routes,
            settings.timezone,
        )

    def evaluate_rules(self, job: str, window: Window) -> dict[str, int | float | str]:
        """Judge the window's measurements; what is new goes into the outbox."""
        names = [monitor.name for monitor in self.monitors_of(job)]
        report = evaluate(self.store, self.alerting, window, names, now=self.clock())
        return dict(asdict(report))

    def speaking(self, item: Measurement) -> list[str]:
        """The rules that this measurement alone would make speak."""
        return [
            rule.name
            for rule in self.alerting.rules
            if rule.takes(item.metric, item.labels) and decide(rule, item).verdict is Verdict.BREACH
        ]

    def channels(self) -> dict[str, Channel]:
        """The destinations: the file always, Slack where there is a channel and a token."""
        file = self.settings.path(self.alerting.alerts.file)
        return open_channels(self.alerting, file, os.environ)

    def tell_reviews(self) -> int:
        """Put what is new of the review batches into the outbox, each chapter once.

        Returns:
            how many messages are new.
        """
        from alerts.outbox import Intent, enqueue
        from monitors.review.standing import standings
        from monitors.review.telling import STORY, due_stage, facts_of

        now, review = self.clock(), self.settings.review
        intents = []
        for standing in standings(self.store, self.settings.source.name):
            stage = due_stage(standing, now)
            facts = facts_of(standing, stage, review.mentions, review.url)
            subject, place = f"review:{standing.batch_id}", STORY.index(stage)
            intents.append(Intent(self.alerting.channel, "review", subject, place, facts))
        with self.store.begin() as connection:
            return enqueue(self.store, connection, intents, now)

    def tell_alive(self) -> int:
        """Put last week's sign of life into the outbox, once.

        Returns:
            1 when it is new.
        """
        from alerts.outbox import Intent, enqueue
        from monitors.alive import facts_of, week_before

        if not self.alerting.alerts.alive:
            return 0
        now = self.clock()
        week = week_before(now, self.settings.timezone)
        facts = facts_of(self.store, week, now)
        if facts is None:
            return 0
        intent = Intent(self.alerting.channel, "alive", f"alive:{week.label}", 0, facts)
        with self.store.begin() as connection:
            return enqueue(self.store, connection, [intent], now)

    def deliver(self) -> dict[str, int | float | str]:
        """Send what the outbox holds.

        Raises:
            ConfigurationError: a destination refuses; its messages wait.
        """
        from alerts.escalation import escalate

        escalate(self.store, self.clock())
        fallback = self.alerting.alerts.fallback
        report = deliver(self.store, self.channels(), now=self.clock, fallback=fallback)
        if report.refused:
            raise ConfigurationError(
                f"{report.waiting} messages wait: the destination refuses them",
                where=", ".join(report.refused),
                mend="check the token, its scopes, and that the bot is in the channel",
            )
        return {"sent": report.sent, "waiting": report.waiting, "dead": report.dead}

    def pin(self, params: Mapping[str, str]) -> dict[str, int | float | str]:
        """Ask a provider its prompts and store the answers as a candidate.

        Args:
            params: ``name`` of the provider's section, ``reason``, ``actor``; ``prompts`` (a path)
                and ``repeats`` where they are not the section's own.
        """
        from monitors.provider.baselines import pin_provider

        reason = params.get("reason") or "candidate, to be approved"
        made = pin_provider(
            params["name"],
            reason,
            params.get("actor", ""),
            self.context,
            prompts=params.get("prompts", ""),
            repeats=int(params.get("repeats", 0)),
        )
        return {"digest": made.digest, "prompts": len(made.prompts)}

    def approve(self, params: Mapping[str, str]) -> dict[str, int | float | str]:
        """Make a candidate the pin; ``params`` also name its ``digest``."""
        from monitors.provider.baselines import approve, provider_settings

        pin = provider_settings(params["name"], self.context).pin
        made = approve(pin, params["digest"], params["actor"], params["reason"], self.context)
        return {"digest": made.digest, "pin": pin}

    @contextmanager
    def recorded_provider(self) -> Iterator[None]:
        """In the demo, a provider on this machine that answers from a script."""
        first = self.source.first_instant() if self.settings.demo.enabled else None
        if first is None:
            yield
            return
        from monitors.demo.prompts import answerer
        from monitors.provider.recorded import RecordedProvider

        address = next(iter(self.settings.providers.values())).base_url
        answer = answerer(self.settings.demo.seed, first.date())
        with RecordedProvider(answer, port=urlsplit(address).port or 0):
            yield


def code_version() -> str:
    """Of the installed package, such as ``0.1.0``."""
    return importlib.metadata.version("tidegauge")


def _resolve(name: str, component: Component, kind: type[Any], section: str) -> Any:
    where = f"[{section}.{name}] use"
    try:
        found = pkgutil.resolve_name(component.use)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{component.use!r} cannot be imported ({type(error).__name__})",
            where=where,
            mend="write it as module:attribute of an installed package",
        ) from error
    if isinstance(found, kind):
        return found
    made: Callable[..., Any] | None = found if callable(found) else None
    if made is not None:
        # A factory takes the options and returns the scorer or monitor.
        built = made(**component.options)
        if isinstance(built, kind):
            return built
    raise ConfigurationError(
        f"{component.use!r} is not a {kind.__name__.lower()}",
        where=where,
        mend=f"declare it with @{kind.__name__.lower()}",
    )


def _failure(monitor: Monitor, window: Window, reason: str) -> Measurement:
    metric = f"{monitor.name}.error"
    return unmeasured(monitor.name, metric, window, Status.ERROR, reason, unit="count")


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _overall(counts: Mapping[str, int]) -> str:
    """One word for a window: the worst thing that is true of all of it."""
    if counts.get(Status.ERROR):
        return Status.ERROR if len(counts) == 1 else Status.PARTIAL
    if counts.get(Status.PARTIAL):
        return Status.PARTIAL
    if counts.get(Status.COMPLETE):
        return Status.COMPLETE
    if counts.get(Status.INSUFFICIENT):
        return Status.INSUFFICIENT
    return Status.NO_DATA


__all__ = ["Suite", "code_version", "open_suite"]
