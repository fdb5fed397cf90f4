"""Operations on all of a day's rows: time, errors, tokens, money, and graceful degradation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitors.context import Context
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.baseline import (
    Key,
    history,
    reference_history,
    reference_value,
    unusual_day,
)
from monitors.quality.histogram import Counts, quantiles, share_above
from monitors.quality.slices import WHOLE, Slice
from monitors.quality.traffic import Traffic, read_durations, read_traffic
from sql.measurement import Measurement, Status, labels_key
from sql.window import Grain, Window

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_STAGES = ("preprocess", "inference", "postprocess", "delivery")
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
# A rate's rise by less than this share of the rate itself is no matter.
_RELATIVE = 0.25
_WEEKS = 8


@dataclass(frozen=True, slots=True)
class _Day:
    """A window, its numbers and its past, as every measurement below needs them."""

    window: Window
    context: Context
    traffic: Traffic
    reference: Mapping[Key, list[Measurement]]

    def about(self, metric: str, labels: Mapping[str, str], unit: str) -> dict[str, Any]:
        return {
            "monitor": "operations",
            "metric": metric,
            "labels": labels,
            "window": self.window,
            "unit": unit,
        }

    def past(self, metric: str, labels: Mapping[str, str]) -> list[Measurement]:
        return self.reference.get((metric, labels_key(labels)), [])


@monitor(name="operations", grain=Grain.DAY)
def operations(window: Window, context: Context) -> Iterator[Measurement]:
    """Latency and its stages, errors, fallbacks, cold starts, completion, tokens and cost.

    Of all rows, overall and by ``[operations] slices``. Quantiles are of warm requests that went
    well, with order-statistic intervals; their evidence is the p-value of a new day among the
    reference's days. Rates carry log e-values that they got worse. ``operations.cost_per_day``
    and ``operations.requests`` are held against the same weekdays of the eight weeks before.
    ``operations.over_budget_share{interaction_type, budget}``: requests slower than the budget.
    """
    names = slices.fields_in(context, [*context.settings.operations.slices, "interaction_type"])
    traffic = read_traffic(window, context, names)
    day = _Day(window, context, traffic, reference_history("operations", window, context))
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
    yield from _error_types(day)
    yield from _times(day, read_durations(window, context, places))


# ── rates and means ──────────────────────────────────────────────────────────────────────────


def _rates(day: _Day, place: Slice) -> Iterator[Measurement]:
    for metric, (hits, known, worse) in _RATES.items():
        n = int(day.traffic.of(place, known))
        if n:
            labels = slices.labels(place)
            yield _rate(day, metric, labels, int(day.traffic.of(place, hits)), n, worse)


def _error_types(day: _Day) -> Iterator[Measurement]:
    """The share of all requests that failed in each way; a kind seen in the reference is 0 now."""
    rows = int(day.traffic.of(WHOLE, "rows"))
    kinds = {slices.label_text(kind): count for kind, count in day.traffic.errors.most_common(50)}
    for metric, labels in day.reference:
        if metric == "operations.error_rate" and '"error_type"' in labels:
            for item in day.reference[metric, labels][:1]:
                kinds.setdefault(item.labels["error_type"], 0)
    for kind, count in sorted(kinds.items()):
        yield _rate(day, "operations.error_rate", {"error_type": kind}, count, rows, True)


def _rate(
    day: _Day, metric: str, labels: Mapping[str, str], hits: int, n: int, more_is_worse: bool
) -> Measurement:
    from monitors.statistics.intervals import detectable_difference, wilson
    from monitors.statistics.sequential import log_e_value_rate_fell, log_e_value_rate_rose

    low, high = wilson(hits, n)
    baseline = reference_value(day.past(metric, labels))
    evidence, detectable = None, None
    direction: Any = "up" if more_is_worse else "down"
    if baseline is not None:
        bad = baseline.mean if more_is_worse else 1 - baseline.mean
        tolerance = max(day.context.settings.operations.tolerance, _RELATIVE * bad)
        effect = baseline.design_effect(n)
        if more_is_worse:
            null = max(baseline.ceiling(tolerance), 1e-6)
            evidence = log_e_value_rate_rose(hits, n, min(null, 1.0), design_effect=effect)
        else:
            null = min(baseline.floor(tolerance), 1 - 1e-6)
            evidence = log_e_value_rate_fell(hits, n, null, design_effect=effect)
        detectable = detectable_difference(
            min(max(baseline.mean, 0.0), 1.0), baseline.n, max(n / effect, 1.0), direction=direction
        )
    few = n < day.context.settings.quality.minimum_n
    return Measurement(
        **day.about(metric, labels, "ratio"),
        n=n,
        value=hits / n,
        low=low,
        high=high,
        baseline=None if baseline is None else baseline.mean,
        evidence=evidence,
        detectable=detectable,
        method="log e-value; betting against no change for the worse, days as clusters; "
        "Wilson interval",
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "",
    )


def _means(day: _Day, place: Slice) -> Iterator[Measurement]:
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


def _amounts(day: _Day) -> Iterator[Measurement]:
    """Requests and cost, as rates by time: days of 23 and 25 hours compare."""
    window, rows = day.window, int(day.traffic.of(WHOLE, "rows"))
    first = window.shift(-7 * _WEEKS)
    past = history("operations", first, window.previous(), day.context)
    days = [first.shift(number) for number in range(7 * _WEEKS)]
    amounts = [("operations.requests", rows / window.hours, "requests/hour")]
    if day.traffic.of(WHOLE, "cost_usd_n"):
        cost = day.traffic.of(WHOLE, "cost_usd") / window.hours * 24
        amounts.append(("operations.cost_per_day", cost, "usd"))
    for metric, value, unit in amounts:
        known = {item.window.start: item.value for item in past.get((metric, "{}"), [])}
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


# ── time ─────────────────────────────────────────────────────────────────────────────────────


def _times(day: _Day, durations: Mapping[str, Mapping[Slice, Counts]]) -> Iterator[Measurement]:
    for name, stem in (
        ("latency_ms", "operations.latency"),
        ("time_to_first_token_ms", "operations.time_to_first_token"),
    ):
        for place, counts in durations.get(name, {}).items():
            if int(counts.sum()):
                yield from _quantiles(day, stem, slices.labels(place), counts, _QUANTILES)
    for stage in _STAGES:
        counts_by_slice = durations.get(f"{stage}_ms", {})
        if WHOLE in counts_by_slice and int(counts_by_slice[WHOLE].sum()):
            labels = {"stage": stage}
            yield from _quantiles(
                day, "operations.stage", labels, counts_by_slice[WHOLE], {"p90": 0.9}
            )
    yield from _budgets(day, durations)


def _quantiles(
    day: _Day, stem: str, labels: Mapping[str, str], counts: Counts, qs: Mapping[str, float]
) -> Iterator[Measurement]:
    n = int(counts.sum())
    found = quantiles(counts, list(qs.values()))
    for name, q in qs.items():
        metric = f"{stem}_{name}"
        value, low, high = found[q]
        among = unusual_day(value, [item.value for item in day.past(metric, labels)])
        bounded = low is not None and high is not None
        yield Measurement(
            **day.about(metric, labels, "ms"),
            n=n,
            value=value,
            low=low,
            high=high,
            baseline=among.baseline if among else None,
            evidence=among.p if among else None,
            detectable=among.detectable if among else None,
            method="p-value; log of the day's quantile among the reference's days, t prediction; "
            "order-statistic interval, values to within 0.25 %",
            status=Status.COMPLETE if bounded else Status.INSUFFICIENT,
            reason="" if bounded else "too_few",
        )


def _budgets(day: _Day, durations: Mapping[str, Mapping[Slice, Counts]]) -> Iterator[Measurement]:
    """The share of requests beyond the time that their interaction type allows."""
    from monitors.statistics.intervals import wilson

    wanted = day.context.settings.operations
    budgets = (
        ("sync", "full", "latency_ms", wanted.sync_ms),
        ("progressive", "first_token", "time_to_first_token_ms", wanted.progressive_first_token_ms),
        ("progressive", "full", "latency_ms", wanted.progressive_ms),
        ("async", "full", "latency_ms", wanted.async_ms),
    )
    for kind, budget, duration, bound in budgets:
        counts = durations.get(duration, {}).get(("interaction_type", kind))
        if counts is None or not (n := int(counts.sum())):
            continue
        slow = share_above(counts, bound)
        low, high = wilson(slow, n)
        few = n < day.context.settings.quality.minimum_n
        yield Measurement(
            **day.about(
                "operations.over_budget_share",
                {"interaction_type": kind, "budget": budget},
                "ratio",
            ),
            n=n,
            value=slow / n,
            low=low,
            high=high,
            method=f"warm requests that went well and took longer than {bound:g} ms; "
            "Wilson interval",
            status=Status.INSUFFICIENT if few else Status.COMPLETE,
            reason="too_few" if few else "",
        )
