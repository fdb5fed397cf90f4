"""What a number was in the reference period, how far days wander by themselves, and what follows
for the evidence of a new day: shared by safety, quality and operations.

A day's mean has two sources of noise, its rows and the day itself. With day means mᵢ of nᵢ rows
whose values have variance σ² within a day, the variance τ² between days comes from DerSimonian &
Laird's (1986) moments, and a new day of n rows scatters as if each row counted 1 / D, with
D = 1 + n τ² / σ² (the design effect of the day as a cluster).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from monitors.context import Context
from monitors.reference import is_reference, reference_days
from sql.measurement import Status
from sql.tables import measurement
from sql.window import Grain, Window

# Fewer days tell nothing of how days differ.
ENOUGH_DAYS = 3
# The variance between days comes from few days, and too small a one makes false alarms.
_CAUTION = 1.5
Key = tuple[str, str]
_USABLE = (Status.COMPLETE.value, Status.PARTIAL.value, Status.INSUFFICIENT.value)


class Past(NamedTuple):
    """What was measured on an earlier day, as far as a baseline needs it.

    Thousands of them are read for a day's baselines, so they are bare tuples.
    """

    start: datetime
    value: float
    n: int
    method: str


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the reference: the mean of ``n`` (effective) rows."""

    mean: float
    n: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """The reference period in one slice.

    Args:
        mean: over all its rows.
        n: how many (effective) rows.
        variance: of single values within a day (σ²).
        between: of day means beyond that (τ²).
        days: how many.
    """

    mean: float
    n: float
    variance: float
    between: float
    days: int

    @property
    def error(self) -> float:
        """Standard error of ``mean``."""
        return math.sqrt(self.variance / self.n + self.between / self.days)

    @property
    def spread(self) -> float:
        """Standard deviation of single values, σ."""
        return math.sqrt(self.variance)

    def design_effect(self, n: float) -> float:
        """By how much a day of ``n`` rows scatters more than its rows alone would; at least 1."""
        if self.variance <= 0:
            return 1.0
        return 1.0 + _CAUTION * n * self.between / self.variance

    def floor(self, tolerance: float) -> float:
        """The null of a fall: lower than this is a fall that matters.

        The baseline is an estimate too; one standard error more keeps a small reference from
        being taken for a high one.
        """
        return self.mean - tolerance - self.error

    def ceiling(self, tolerance: float) -> float:
        """The null of a rise."""
        return self.mean + tolerance + self.error


def baseline_of(days: Iterable[Day], variance: float | None = None) -> Baseline | None:
    """Pool the reference's days; None when they are too few.

    Args:
        variance: of single values within a day; None for that of a coin (rates).
    """
    known = [day for day in days if day.n > 0]
    if len(known) < ENOUGH_DAYS:
        return None
    n = sum(day.n for day in known)
    mean = sum(day.mean * day.n for day in known) / n
    # A rate of exactly 0 or 1 has been seen n times, not proved: half a case is left over.
    edge = (mean * n + 0.5) / (n + 1)
    within = edge * (1 - edge) if variance is None else variance
    return Baseline(mean, n, within, _between(known, mean, n, within), len(known))


def _between(days: Sequence[Day], mean: float, n: float, variance: float) -> float:
    scatter = sum(day.n * (day.mean - mean) ** 2 for day in days)
    scale = n - sum(day.n**2 for day in days) / n
    return max((scatter - (len(days) - 1) * variance) / scale, 0.0) if scale > 0 else 0.0


def reference_value(history: Sequence[Past]) -> Baseline | None:
    """The baseline of a published rate from its measurements in the reference period."""
    return baseline_of(Day(found.value, found.n) for found in history if found.n)


def reference_history(monitor: str, window: Window, context: Context) -> Mapping[Key, list[Past]]:
    """What a monitor measured on the reference's days, by (metric, labels); empty within it.

    Days whose measurement was partial count too: they are few rows, not wrong ones.
    """
    if is_reference(window, context):
        return {}
    days = reference_days(context)
    return history(monitor, days[0], days[-1], context)


def history(
    monitor: str,
    first: Window,
    last: Window,
    context: Context,
    *,
    whole: Collection[str] = (),
) -> Mapping[Key, list[Past]]:
    """What a monitor measured on the days from ``first`` to ``last``, in order of time.

    Args:
        whole: only these metrics, and only of all rows together; empty for everything.
    """
    table = measurement.c
    query = select(
        table.metric, table.labels, table.window_start, table.value, table.n, table.method
    ).where(
        table.monitor == monitor,
        table.grain == Grain.DAY.value,
        table.window_start >= first.start,
        table.window_start < last.end,
        table.value.is_not(None),
        table.status.in_(_USABLE),
    )
    if whole:
        query = query.where(table.metric.in_(whole), table.labels == "{}")
    found: dict[Key, list[Past]] = {}
    for metric, labels, *day in context.store.rows(query.order_by(table.window_start)):
        found.setdefault((metric, labels), []).append(Past(*day))
    return found


@dataclass(frozen=True, slots=True)
class AmongDays:
    """A positive number of a new day among those of the reference's days.

    Args:
        baseline: their geometric mean.
        p: two-sided, of a day as far out as this one.
        detectable: the rise that such a test would find with 80 % power, at level 0.05.
    """

    baseline: float
    p: float
    detectable: float


# Days agree by chance; two per cent is the least that a log of durations or sizes wanders.
_LEAST_SPREAD = 0.02


def unusual_day(value: float, past: Sequence[float | None], error: float = 0.0) -> AmongDays | None:
    """Is ``value`` a day like those of ``past``? Days, not rows, are the observations.

    Student's t prediction on the log scale (Hahn & Meeker 1991, § 4.7).

    Args:
        error: standard error of ``value`` from its own rows: a slice with few rows today must not
            look unusual for that.

    Returns:
        None with too few days, or where a number is not positive.
    """
    from scipy import special

    logs = [math.log(day) for day in past if day is not None and day > 0]
    if len(logs) < ENOUGH_DAYS or value <= 0:
        return None
    mean = sum(logs) / len(logs)
    own = sum((day - mean) ** 2 for day in logs) / (len(logs) - 1)
    variance = max(own, _LEAST_SPREAD**2, (error / value) ** 2)
    scale = math.sqrt(variance * (1 + 1 / len(logs)))
    df = len(logs) - 1
    p = 2 * float(special.stdtr(df, -abs(math.log(value) - mean) / scale))
    reach = float(special.stdtrit(df, 0.975) + special.stdtrit(df, 0.8))
    detectable = math.exp(mean) * math.expm1(min(reach * scale, 50.0))
    return AmongDays(math.exp(mean), min(p, 1.0), detectable)
