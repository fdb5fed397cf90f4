"""Operations on all of a day's rows: errors, degradation, tokens, money, users, and time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.baseline import history, reference_history, unusual_day
from monitors.quality.operated import OperatedDay, rate
from monitors.quality.repeat_use import repeat_use
from monitors.quality.slices import WHOLE, Slice
from monitors.quality.timing import times
from monitors.quality.traffic import LEVELS, read_durations, read_traffic
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

# Metric → (rows that hold it, rows that could, is more of it worse?).
_RATES = {
    "operations.error_rate": ("errors", "rows", True),
    "operations.cold_start_share": ("cold_start", "cold_start_known", True),
    "operations.fallback_share": ("fallback", "fallback_known", True),
    "operations.completion_rate": ("finished", "finished_known", False),
}
_MEANS = {
    "operations.cost_per_request": ("cost_usd", "usd"),
    "operations.input_tokens": ("input_tokens", "tokens"),
    "operations.output_tokens": ("output_tokens", "tokens"),
    "operations.capability_level": ("capability_level", "level"),
}
_WEEKS = 8


@monitor(name="operations", grain=Grain.DAY)
def operations(window: Window, context: Context) -> Iterator[Measurement]:
    """Latency and its stages, errors, fallbacks, cold starts, completion, tokens, cost and use.

    Of all rows, overall and by ``[operations] slices``. Quantiles are of warm requests that went
    well, with order-statistic intervals; their evidence is the p-value of a new day among the
    reference's days. Rates carry log e-values that they got worse. ``operations.cost_per_day``
    and ``operations.requests`` are held against the same weekdays of the eight weeks before.
    ``operations.over_budget_share{interaction_type, budget}``: requests slower than the budget.
    ``operations.capability_share{capability_level}``, also by feature: requests at each level.
    ``operations.time_to_task_p50``: seconds until the task was done, of those that tell.
    ``operations.repeat_use``: see `monitors.quality.repeat_use`.
    """
    names = slices.fields_in(context, [*context.settings.operations.slices, "interaction_type"])
    traffic = read_traffic(window, context, names)
    day = OperatedDay(window, context, traffic, reference_history("operations", window, context))
    if not traffic.sums:
        yield Measurement(
            **day.about("operations.requests", {}, "requests/hour"),
            n=0,
            status=Status.NO_DATA,
            reason="empty_window",
        )
        return
    places = slices.reported(traffic.sizes())
    yield from _amounts(day)
    for place in places:
        yield from _rates(day, place)
        yield from _means(day, place)
        yield from _levels(day, place)
    yield from _error_types(day)
    yield from repeat_use(day)
    yield from times(day, read_durations(window, context, places))


# ── rates and means ──────────────────────────────────────────────────────────────────────────


def _rates(day: OperatedDay, place: Slice) -> Iterator[Measurement]:
    for metric, (hits, known, worse) in _RATES.items():
        n = int(day.traffic.of(place, known))
        if n:
            labels = slices.labels(place)
            yield rate(day, metric, labels, int(day.traffic.of(place, hits)), n, worse)


def _error_types(day: OperatedDay) -> Iterator[Measurement]:
    """The share of all requests that failed in each way; a kind seen in the reference is 0 now."""
    rows = int(day.traffic.of(WHOLE, "rows"))
    kinds = {slices.label_text(kind): count for kind, count in day.traffic.errors.most_common(50)}
    for metric, labels in day.reference:
        if metric == "operations.error_rate" and '"error_type"' in labels:
            kinds.setdefault(json.loads(labels)["error_type"], 0)
    for kind, count in sorted(kinds.items()):
        yield rate(day, "operations.error_rate", {"error_type": kind}, count, rows, True)


def _levels(day: OperatedDay, place: Slice) -> Iterator[Measurement]:
    """The share of requests at each level of what the feature could do, those of none too.

    Worse is less at the full level, and more at any below it.
    """
    n = int(day.traffic.of(place, "capability_level_n"))
    if not n or place[0] not in ("", "feature"):
        return
    for level in LEVELS:
        labels = slices.labels(place, capability_level=str(level))
        hits = int(day.traffic.of(place, f"level_{level}"))
        yield rate(day, "operations.capability_share", labels, hits, n, level < LEVELS[-1])


def _means(day: OperatedDay, place: Slice) -> Iterator[Measurement]:
    for metric, (name, unit) in _MEANS.items():
        n = int(day.traffic.of(place, f"{name}_n"))
        if not n:
            continue
        labels = slices.labels(place)
        mean = day.traffic.of(place, name) / n
        variance = max(day.traffic.of(place, f"{name}_squares") / n - mean * mean, 0.0)
        error = math.sqrt(variance / max(n - 1, 1))
        found = unusual_day(mean, [item.value for item in day.past(metric, labels)], error)
        few = n < day.context.settings.quality.minimum_n
        yield Measurement(
            **day.about(metric, labels, unit),
            n=n,
            value=mean,
            low=mean - 1.96 * error,
            high=mean + 1.96 * error,
            baseline=found.baseline if found else None,
            evidence=found.p if found else None,
            detectable=found.detectable if found else None,
            method="p-value; log of the day's mean among the reference's days, t prediction; "
            "normal interval",
            status=Status.INSUFFICIENT if few else Status.COMPLETE,
            reason="too_few" if few else "",
        )


# ── amounts of a day ─────────────────────────────────────────────────────────────────────────


def _amounts(day: OperatedDay) -> Iterator[Measurement]:
    """Requests and cost, as rates by time: days of 23 and 25 hours compare."""
    window, rows = day.window, int(day.traffic.of(WHOLE, "rows"))
    first = window.shift(-7 * _WEEKS)
    days = [first.shift(number) for number in range(7 * _WEEKS)]
    amounts = [("operations.requests", rows / window.hours, "requests/hour")]
    if day.traffic.of(WHOLE, "cost_usd_n"):
        cost = day.traffic.of(WHOLE, "cost_usd") / window.hours * 24
        amounts.append(("operations.cost_per_day", cost, "usd"))
    names = [metric for metric, *_ in amounts]
    past = history("operations", first, window.previous(), day.context, whole=names)
    for metric, value, unit in amounts:
        known = {item.start: item.value for item in past.get((metric, "{}"), [])}
        yield _seasonal(
            day.about(metric, {}, unit), value, rows, [known.get(each.start) for each in days]
        )


def _seasonal(
    about: dict[str, Any], value: float, n: int, earlier: list[float | None]
) -> Measurement:
    """Against the same weekdays; evidence is the p-value of the robust z on the log scale."""
    from scipy import special

    from monitors.statistics.seasonal import seasonal_day

    found = seasonal_day([*earlier, value])
    if found is None or value <= 0:
        return Measurement(**about, n=n, value=value, low=value, high=value, method="an exact sum")
    return Measurement(
        **about,
        n=n,
        value=value,
        low=value,
        high=value,
        baseline=found.baseline,
        evidence=2 * float(special.ndtr(-abs(found.z))),
        detectable=found.high - found.baseline,
        method=f"p-value; seasonal log z {found.z:.2f} against {found.weeks} same weekdays, "
        "median and MAD; an exact sum",
    )
