"""Where an incident comes from, for whoever must answer for it: everything that decided it.

Only what the store kept is shown, with its digests and versions; no text of a user or a model is
among it. A window that was judged again has a line for each verdict that differed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from alerts.acknowledgements import find_incident
from alerts.rules import BUILT_IN, Rule, Verdict
from monitors import aftermath
from monitors.aftermath import Sheet, at
from monitors.quality import attribution
from monitors.suite import Suite, code_version
from monitors.versions import versions
from monitors.web.words import labels_text
from sql.audit import first_broken
from sql.measurement import Measurement
from sql.tables import (
    coverage,
    drift_reference,
    evaluation,
    incident,
    model_artifact,
    pin,
    reference,
    score,
)
from sql.window import Grain, Window
from sql.words import between, number

# So many windows before the trouble are shown beside it.
_BEFORE = 3
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Lineage:
    """An incident's story.

    Args:
        facts: what it is, as (name, value).
        sheets: what it rests on, who was told and what people did.
    """

    name: str
    fingerprint: str
    generation: int
    facts: tuple[tuple[str, str], ...]
    sheets: tuple[Sheet, ...]

    def record(self) -> dict[str, Any]:
        """The same for a machine."""
        tables = {
            sheet.title: [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
            for sheet in self.sheets
        }
        return {"incident": self.name, **dict(self.facts), **tables}


def lineage(suite: Suite, text: str, generation: int = 0) -> Lineage:
    """Gather it.

    Args:
        text: the beginning of the incident's id.
        generation: 0 is its latest.

    Raises:
        ConfigurationError: there is no such incident, or more than one.
    """
    found = find_incident(suite.store, text)
    if generation:
        table = incident.c
        mine = (table.fingerprint == found.fingerprint, table.generation == generation)
        found = next(iter(suite.store.rows(select(incident).where(*mine))), found)
    return _Gathered(suite, found).lineage()


class _Gathered:
    """One incident, its span of windows and the judgements within."""

    def __init__(self, suite: Suite, row: Row[Any]) -> None:
        self._suite, self._store, self._row = suite, suite.store, row
        self._labels: dict[str, str] = json.loads(row.labels)
        self._grain, self._zone = Grain(row.grain), suite.settings.timezone
        opened = Window.containing(row.opened_window, self._grain, self._zone)
        last = max(filter(None, (row.last_window, row.resolved_window)))
        self._first = opened.shift(-_BEFORE).start
        self._end = Window.containing(last, self._grain, self._zone).end
        self._fall = self._found_fall()
        self._measured = self._measurements()
        self._jobs = self._jobs_of(self._measured)

    def lineage(self) -> Lineage:
        row = self._row
        return Lineage(
            f"{row.fingerprint[:10]}-{row.generation}",
            row.fingerprint,
            row.generation,
            tuple(self._facts()),
            (
                self._rule(),
                self._windows(),
                self._contributions(),
                self._measurement_sheet(),
                self._runs(),
                self._versions(),
                self._scorers(),
                self._models(),
                self._baselines(),
                aftermath.told(self._store, row),
                aftermath.people(self._store, row, self._first),
                aftermath.entries(self._store, row),
            ),
        )

    def _facts(self) -> Iterable[tuple[str, str]]:
        row, unit, rule = self._row, str(self._row.body.get("unit") or ""), self._rule_now()
        with self._store.connect() as connection:
            broken = first_broken(connection)
        yield "rule", row.rule
        yield "metric", row.metric
        yield "labels", labels_text(self._labels)
        yield "state", f"{row.state}, {row.severity}"
        yield "opened", self._label(row.opened_window)
        yield "last", self._label(row.last_window)
        yield "resolved", self._label(row.resolved_window)
        yield "windows", str(row.windows)
        yield "worst", number(row.worst_value, unit)
        if self._fall is not None:
            day, fall = self._fall
            yield "change of the mean", attribution.change_text(fall, day)
        yield "likely cause", str(row.body.get("cause") or "")
        yield "fingerprint", row.fingerprint
        yield "rule version now", rule.digest if rule else "the rule is gone from the configuration"
        yield "configuration now", self._suite.settings.digest
        yield "code now", code_version()
        yield "audit chain", "whole" if broken is None else f"broken at entry {broken}"

    def _rule_now(self) -> Rule | None:
        rules = (*self._suite.alerting.rules, *BUILT_IN)
        return next((one for one in rules if one.name == self._row.rule), None)

    def _rule(self) -> Sheet:
        """What the present rule says; whether it is the one that judged, its version tells."""
        rule = self._rule_now()
        said = {} if rule is None else asdict(rule)
        rows = [
            (name, labels_text(value) if isinstance(value, dict) else str(value))
            for name, value in said.items()
            if value not in ("", 0, None, (), {})
        ]
        return Sheet("rule now", ("key", "value"), tuple(rows))

    def _found_fall(self) -> tuple[Window, attribution.Fall] | None:
        """Of a scorer's series the fall as it was found on the last day that breached."""
        table = evaluation.c
        query = (
            select(table.window_start, table.verdict)
            .where(*self._judged_here())
            .order_by(table.window_start, table.version)
        )
        verdicts = {one.window_start: one.verdict for one in self._store.rows(query)}
        bad = [start for start, verdict in verdicts.items() if verdict == Verdict.BREACH]
        if not bad or self._grain is not Grain.DAY:
            return None
        day = Window.containing(max(bad), self._grain, self._zone)
        found = attribution.read_attribution(day, self._suite.context)
        name = self._labels.get("scorer", "")
        return (day, found[name][0]) if name in found else None

    def _contributions(self) -> Sheet:
        """Who took part in that fall; the parts of each field add up to it."""
        rows = attribution.rows_of(self._fall[1]) if self._fall else []
        return Sheet("contributions", attribution.COLUMNS, tuple(rows))

    def _judged_here(self) -> tuple[Any, ...]:
        """Which evaluations are of this incident's series and span."""
        table = evaluation.c
        return (
            table.rule == self._row.rule,
            table.labels == self._row.labels,
            table.grain == self._row.grain,
            table.window_start >= self._first,
            table.window_start < self._end,
        )

    def _windows(self) -> Sheet:
        table, unit = evaluation.c, str(self._row.body.get("unit") or "")
        query = (
            select(evaluation)
            .where(*self._judged_here())
            .order_by(table.window_start, table.version)
        )
        rows = [
            (
                self._label(one.window_start),
                one.verdict + (f" ({one.reason})" if one.reason else ""),
                number(one.value, unit),
                between(one.low, one.high, unit),
                number(one.baseline, unit),
                number(one.threshold, unit),
                f"{one.n:,}",
                "" if one.evidence is None else f"{one.evidence:.4g}",
                one.rule_digest[:_SHORT],
                f"{at(one.evaluated_at)} ({one.version})",
            )
            for one in self._store.rows(query)
        ]
        columns = (
            "window", "verdict", "value", "95 %", "baseline", "threshold", "rows", "evidence",
            "rule version", "judged (time)",
        )  # fmt: skip
        return Sheet("windows", columns, tuple(rows))

    def _measurements(self) -> list[Measurement]:
        return self._store.measurements(
            metric=self._row.metric,
            labels=self._labels,
            grain=self._grain,
            since=self._first,
            until=self._end,
        )

    def _measurement_sheet(self) -> Sheet:
        rows = [
            (
                item.window.label,
                item.monitor,
                item.status.value + (f" ({item.reason})" if item.reason else ""),
                number(item.detectable, item.unit),
                item.method,
            )
            for item in self._measured
        ]
        columns = ("window", "monitor", "status", "would have seen", "method")
        return Sheet("measurements", columns, tuple(rows))

    def _jobs_of(self, measured: Sequence[Measurement]) -> set[str]:
        names = {item.monitor for item in measured} | {self._labels.get("monitor", "")}
        return {monitor.job for monitor in self._suite.monitors if monitor.name in names}

    def _runs(self) -> Sheet:
        table = coverage.c
        query = (
            select(coverage)
            .where(
                table.job.in_(sorted(self._jobs)),
                table.grain == self._row.grain,
                table.window_start >= self._first,
                table.window_start < self._end,
            )
            .order_by(table.window_start, table.job)
        )
        rows = [
            (
                self._label(one.window_start),
                one.job,
                one.status,
                f"{one.rows:,}",
                one.config_digest[:_SHORT],
                one.code_version,
                at(one.finished_at),
            )
            for one in self._store.rows(query)
        ]
        columns = ("window", "job", "status", "rows", "configuration", "code", "finished")
        return Sheet("runs", columns, tuple(rows))

    def _versions(self) -> Sheet:
        """Windows that were measured again with another outcome: what this series said before."""
        unit = str(self._row.body.get("unit") or "")
        first = Window.containing(self._first, self._grain, self._zone)
        last = Window.containing(self._end - timedelta(seconds=1), self._grain, self._zone)
        rows = []
        for job in sorted(self._jobs):
            for one in versions(self._store, job, first, last):
                (before, after), own = one.rows, one.of(self._row.metric, self._labels)
                rows.append(
                    (
                        self._label(one.window_start),
                        job,
                        str(one.number),
                        f"{before:,} → {after:,}",
                        f"{one.changed:,}",
                        " → ".join(number(value, unit) or status for value, status in own)
                        if own
                        else "the same",
                        at(one.at),
                    )
                )
        columns = ("window", "job", "version", "rows", "changed", "of this series", "measured")
        return Sheet("measured again", columns, tuple(rows))

    def _scorers(self) -> Sheet:
        """What scored rows in these windows, by what they left on the scores."""
        table = score.c
        query = (
            select(table.scorer, table.scorer_version)
            .where(
                table.source == self._suite.settings.source.name,
                table.at >= self._first,
                table.at < self._end,
            )
            .distinct()
            .order_by(table.scorer, table.scorer_version)
        )
        rows = tuple((one.scorer, one.scorer_version) for one in self._store.rows(query))
        return Sheet("scorers", ("scorer", "version"), rows)

    def _models(self) -> Sheet:
        """Of each name the artifact that was the newest when the incident's last window ended."""
        table = model_artifact.c
        query = select(table.name, table.digest, table.created_at).order_by(table.created_at)
        newest = {
            one.name: (one.name, one.digest, at(one.created_at))
            for one in self._store.rows(query.where(table.created_at <= self._judged()))
        }
        return Sheet("models", ("model", "digest", "made"), tuple(newest.values()))

    def _judged(self) -> datetime:
        """When the last of the windows was judged: later work cannot have decided it."""
        table = evaluation.c
        query = select(table.evaluated_at).where(
            table.rule == self._row.rule,
            table.labels == self._row.labels,
            table.window_start < self._end,
        )
        return max((one.evaluated_at for one in self._store.rows(query)), default=self._end)

    def _baselines(self) -> Sheet:
        """What the present was compared with: pins, the reference, the drift reference."""
        rows: list[tuple[str, ...]] = []
        wanted, until = self._labels.get("pin"), self._judged()
        pins = select(pin).where(pin.c.approved_at <= until).order_by(pin.c.approved_at)
        newest = {one.name: one for one in self._store.rows(pins)}
        for one in newest.values():
            if wanted in (None, one.name):
                told = (f"pin {one.name}", one.digest, one.approved_by, at(one.approved_at))
                rows.append((*told, one.reason))
        for one in self._store.rows(select(reference).order_by(reference.c.name)):
            span = f"{one.window_start:%Y-%m-%d} to {one.window_end:%Y-%m-%d}, {one.rows:,} rows"
            told = (f"reference {one.name}", span, one.pinned_by, at(one.pinned_at))
            rows.append((*told, one.reason))
        table = drift_reference.c
        query = select(drift_reference).where(
            table.source == self._suite.settings.source.name, table.approved_at <= until
        )
        for one in self._store.rows(query.order_by(table.approved_at.desc()).limit(1)):
            told = ("columns' reference", one.digest, one.approved_by, at(one.approved_at))
            rows.append((*told, one.reason))
        return Sheet("baselines", ("baseline", "digest or span", "by", "at", "why"), tuple(rows))

    def _label(self, start: datetime | None) -> str:
        return Window.containing(start, self._grain, self._zone).label if start else ""
