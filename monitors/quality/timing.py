"""How long requests took, and tasks: quantiles by slice, stages, and budgets of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitors.quality import slices
from monitors.quality.baseline import unusual_day
from monitors.quality.histogram import Counts, quantiles, share_above
from monitors.quality.operated import OperatedDay
from monitors.quality.slices import WHOLE, Slice
from sql.measurement import Measurement, Status

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_STAGES = ("preprocess", "inference", "postprocess", "delivery")


def times(
    day: OperatedDay, durations: Mapping[str, Mapping[Slice, Counts]]
) -> Iterator[Measurement]:
    """Latency, first token and time to task in every slice, stages, and what was too slow.

    Args:
        durations: from `monitors.quality.traffic.read_durations`.
    """
    for name, stem, qs, unit in (
        ("latency_ms", "operations.latency", _QUANTILES, "ms"),
        ("time_to_first_token_ms", "operations.time_to_first_token", _QUANTILES, "ms"),
        ("time_to_task_s", "operations.time_to_task", {"p50": 0.5}, "s"),
    ):
        for place, counts in durations.get(name, {}).items():
            if int(counts.sum()):
                yield from _quantiles(day, stem, slices.labels(place), counts, qs, unit)
    for stage in _STAGES:
        counts_by_slice = durations.get(f"{stage}_ms", {})
        if WHOLE in counts_by_slice and int(counts_by_slice[WHOLE].sum()):
            labels = {"stage": stage}
            yield from _quantiles(
                day, "operations.stage", labels, counts_by_slice[WHOLE], {"p90": 0.9}
            )
    yield from _budgets(day, durations)


def _quantiles(
    day: OperatedDay,
    stem: str,
    labels: Mapping[str, str],
    counts: Counts,
    qs: Mapping[str, float],
    unit: str = "ms",
) -> Iterator[Measurement]:
    n = int(counts.sum())
    found = quantiles(counts, list(qs.values()))
    for name, q in qs.items():
        metric = f"{stem}_{name}"
        value, low, high = found[q]
        among = unusual_day(value, [item.value for item in day.past(metric, labels)])
        bounded = low is not None and high is not None
        yield Measurement(
            **day.about(metric, labels, unit),
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


def _budgets(
    day: OperatedDay, durations: Mapping[str, Mapping[Slice, Counts]]
) -> Iterator[Measurement]:
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
