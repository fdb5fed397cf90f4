"""What the monitors page shows: of every series its latest measurement and its past."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from sql.measurement import Measurement
from sql.store import Store
from sql.tables import measurement as measurement_table
from sql.window import Grain, Window

_WINDOWS = {Grain.DAY: 60, Grain.WEEK: 26, Grain.MONTH: 18, Grain.QUARTER: 8}
# Labels that say what was measured rather than of whom; with any other label it is a slice.
WHOLE = frozenset({"scorer", "column", "stage", "pin", "metric", "error_type", "dimension"})


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one slice.

    Args:
        history: in order of the windows, the latest last; at least one.
    """

    metric: str
    labels: dict[str, str]
    history: tuple[Measurement, ...]

    @property
    def latest(self) -> Measurement:
        return self.history[-1]


@dataclass(frozen=True, slots=True)
class Group:
    """The series of one monitor."""

    monitor: str
    grain: Grain
    window: Window
    series: tuple[Series, ...]
    slices: int


def latest(store: Store, *, monitor: str = "", slices: bool = False) -> list[Group]:
    """Series of every monitor (or of one), the shorter grains first.

    Args:
        slices: also those of single features, models, prompt versions and so on.
    """
    wanted: list[Measurement] = []
    for grain, count in _WINDOWS.items():
        newest = _newest(store, grain)
        if newest is not None:
            since = newest.shift(-(count - 1)).start
            wanted += store.measurements(grain=grain, monitor=monitor or None, since=since)
    grouped: dict[str, list[Measurement]] = defaultdict(list)
    for item in wanted:
        grouped[item.monitor].append(item)
    return [_group(name, items, slices) for name, items in grouped.items()]


def is_slice(labels: Iterable[str]) -> bool:
    """Do these names of labels tell a part of the traffic, and not only what measured?"""
    return not WHOLE.issuperset(labels)


def _group(monitor: str, items: list[Measurement], slices: bool) -> Group:
    by_series: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for item in items:
        by_series[item.metric, item.labels_key].append(item)
    all_series = [
        Series(metric, dict(history[-1].labels), tuple(history))
        for (metric, _), history in sorted(by_series.items())
    ]
    shown = [one for one in all_series if slices or not is_slice(one.labels)]
    window = max(item.window for item in items)
    return Group(monitor, window.grain, window, tuple(shown), len(all_series) - len(shown))


def _newest(store: Store, grain: Grain) -> Window | None:
    table = measurement_table.c
    query = (
        select(table.window_start, table.window_end, table.zone)
        .where(
            table.grain == grain.value,
            table.window_start
            == select(func.max(table.window_start))
            .where(table.grain == grain.value)
            .scalar_subquery(),
        )
        .limit(1)
    )
    row = next(iter(store.rows(query)), None)
    return None if row is None else Window(row.window_start, row.window_end, row.zone, grain)
