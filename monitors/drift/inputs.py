"""Weekly: does what users ask still look like the reference? Column by column, day by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitors.context import Context
from monitors.drift.categories import changes
from monitors.drift.cells import MINIMUM_ROWS, Histograms, histograms, missing, shift
from monitors.drift.columns import watched
from monitors.drift.profiles import ensure, read, rows_of
from monitors.drift.references import Reference, references
from monitors.drift.sketches import Numbers, Sketch
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.slices import WHOLE, Slice
from monitors.statistics.days import (
    histogram_test_by_day,
    jensen_shannon_by_day,
    psi_by_day,
    share_by_day,
)
from monitors.statistics.multiplicity import benjamini_hochberg
from monitors.statistics.two_sample import floor_without_change
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

_DISTANCES = (("psi", psi_by_day, "nats"), ("jensen_shannon", jensen_shannon_by_day, "bits"))
_EVIDENCE = (
    "p-value; Rao–Scott chi-square on day histograms, Benjamini–Hochberg over columns and slices"
)


_DAYS = "p-value; all days of a category within one window, Bonferroni over categories; baseline: "
_CHANGES = {
    "new": _DAYS + "Good's share of unseen ones",
    "vanished": _DAYS + "categories that as many rows would miss",
    "exploded": "p-value; Rao–Scott chi-square on day counts, Bonferroni over categories; "
    "baseline: the same categories in the reference",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One column in one slice: the reference's days and the week's."""

    column: str
    place: Slice
    before: Sequence[Sketch]
    after: Sequence[Sketch]


@monitor(name="inputs", grain=Grain.WEEK)
def inputs(window: Window, context: Context) -> Iterator[Measurement]:
    """How far each configured column has moved from the references, in all rows of the log.

    Read are the days' profiles (`monitors.drift.profiles`), not the log. Days are the unit: real
    weeks wobble, and a test that takes rows as independent finds every week guilty once there are
    enough of them. Population stability index and Jensen–Shannon divergence come with a
    day-bootstrap interval (for numbers also Wasserstein's distance, over the interquartile range);
    their baseline is what the same sample sizes would show without any change. Evidence is a
    Rao–Scott corrected chi-square p-value, adjusted over columns and slices (Benjamini & Hochberg
    1995), by reference: ``pinned`` is the healthy past that was fixed once, ``seasonal`` the same
    weekdays of the eight weeks before.
    """
    days = window.days()
    ensure(days, context)
    rows = rows_of(days, context)
    for reference in references(window, context):
        about = _About(window, context, reference)
        if rows == 0:
            yield about.nothing(Status.NO_DATA, "empty_window", 0)
        elif reference.lacks:
            status = Status.ERROR if reference.refused else Status.INSUFFICIENT
            yield about.nothing(status, reference.lacks, rows)
        else:
            ensure(reference.days, context)
            yield from _compared(about, days, rows)


@dataclass(frozen=True, slots=True)
class _About:
    """What every measurement of one comparison shares."""

    window: Window
    context: Context
    reference: Reference

    def measurement(self, metric: str, unit: str, labels: Mapping[str, str], **more: Any) -> Any:
        return Measurement(
            monitor="inputs",
            metric=f"drift.input.{metric}",
            labels={**labels, "reference": self.reference.name},
            window=self.window,
            unit=unit,
            **more,
        )

    def nothing(self, status: Status, reason: str, n: int) -> Measurement:
        made: Measurement = self.measurement(
            "rows", "count", {}, n=n, status=status, reason=reason, method="rows of the profiles"
        )
        return made

    @property
    def seed(self) -> int:
        return self.context.settings.drift.seed


def _compared(about: _About, days: Sequence[Window], rows: int) -> Iterator[Measurement]:
    past = about.reference.days
    if min(rows, rows_of(past, about.context)) < MINIMUM_ROWS:
        yield about.nothing(Status.INSUFFICIENT, "too_few_rows", rows)
        return
    pairs = list(_pairs(about.context, past, days))
    found = {(p.column, p.place): histograms(p.before, p.after) for p in pairs}
    cells = {key: each for key, each in found.items() if isinstance(each, Histograms)}
    yield about.measurement(
        "rows",
        "count",
        {},
        value=rows,
        low=rows,
        high=rows,
        n=rows,
        baseline=rows_of(past, about.context) * len(days) / len(past),
        method="rows of the profiles; baseline: the reference's, for as many days",
    )
    raw = [histogram_test_by_day(each.reference, each.current) for each in cells.values()]
    evidence = dict(zip(cells, benjamini_hochberg(raw).tolist(), strict=True))
    for pair in pairs:
        key = (pair.column, pair.place)
        if key in cells:
            yield from _distances(about, pair, cells[key], evidence[key])
        elif pair.place == WHOLE:
            yield _silent(about, pair, str(found[key]))
    whole = [pair for pair in pairs if pair.place == WHOLE]
    yield from _missing(about, whole)
    for pair in whole:
        yield from _changes(about, pair)


def _pairs(context: Context, past: Sequence[Window], days: Sequence[Window]) -> Iterator[Pair]:
    """Every column in every slice that both windows have."""
    for column in watched(context.settings.drift.columns, context.source):
        before, after = read(column, past, context), read(column, days, context)
        sizes = {place: float(sum(day.rows for day in side)) for place, side in after.items()}
        for place in slices.reported(sizes):
            # A segment is not compared by segment: it is all of one.
            if place in before and place[0] != column.name:
                yield Pair(column.name, place, before[place], after[place])


def _distances(
    about: _About, pair: Pair, cells: Histograms, p_value: float
) -> Iterator[Measurement]:
    labels = slices.labels(pair.place, column=pair.column)
    floor = floor_without_change(
        cells.reference.sum(axis=0), cells.current.sum(axis=0), draws=200, seed=about.seed
    )
    whole = pair.place == WHOLE
    for name, distance, unit in _DISTANCES if whole else _DISTANCES[:1]:
        value, low, high = distance(cells.reference, cells.current, seed=about.seed)
        yield about.measurement(
            name,
            unit,
            labels,
            value=value,
            low=low,
            high=high,
            n=round(float(cells.current.sum())),
            baseline=floor[name][0],
            evidence=p_value,
            method=f"{_EVIDENCE}; interval by day bootstrap; baseline: expected without change",
        )
    before, after = (
        [d for d in side if isinstance(d, Numbers)] for side in (pair.before, pair.after)
    )
    if whole and before and after:
        value, low, high = shift(before, after, seed=about.seed)
        yield about.measurement(
            "wasserstein",
            "iqr",
            labels,
            value=value,
            low=low,
            high=high,
            n=sum(day.known for day in after),
            baseline=0.0,
            evidence=p_value,
            method=f"{_EVIDENCE}, of the histogram; earth mover's distance over the reference's "
            "interquartile range, interval by day bootstrap",
        )


def _silent(about: _About, pair: Pair, reason: str) -> Measurement:
    made: Measurement = about.measurement(
        "psi",
        "nats",
        {"column": pair.column},
        n=sum(day.known for day in pair.after),
        status=Status.INSUFFICIENT,
        reason=reason,
    )
    return made


def _missing(about: _About, pairs: Sequence[Pair]) -> Iterator[Measurement]:
    """The share of rows that lack the column, against the reference's."""
    counted = ((pair, missing(pair.before, pair.after)) for pair in pairs)
    found = [(pair, cells) for pair, cells in counted if cells is not None]
    raw = [histogram_test_by_day(cells.reference, cells.current) for _, cells in found]
    for (pair, cells), p_value in zip(found, benjamini_hochberg(raw), strict=True):
        value, low, high = share_by_day(cells.current[:, 1], cells.current.sum(axis=1))
        total = cells.reference.sum(axis=0)
        yield about.measurement(
            "missing_share",
            "ratio",
            {"column": pair.column},
            value=value,
            low=low,
            high=high,
            n=round(float(cells.current.sum())),
            baseline=float(total[1] / total.sum()),
            evidence=float(p_value),
            method="p-value; Rao–Scott chi-square on day counts, Benjamini–Hochberg over columns; "
            "interval with days as clusters",
        )


def _changes(about: _About, pair: Pair) -> Iterator[Measurement]:
    """Categories that came, went or exploded; their names stand on the week's page."""
    for change in changes(pair.before, pair.after):
        value, low, high = change.share
        yield about.measurement(
            f"{change.kind}_share",
            "ratio",
            {"column": pair.column},
            value=value,
            low=low,
            high=high,
            n=sum(day.known for day in pair.after),
            baseline=change.expected,
            evidence=change.evidence,
            method=_CHANGES[change.kind] + "; interval with days as clusters",
        )
