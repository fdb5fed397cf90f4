"""A day of operations as its measurements need it, and how a rate of it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitors.context import Context
from monitors.quality.baseline import Key, Past, reference_value
from monitors.quality.traffic import Traffic
from sql.measurement import Measurement, Status, labels_key
from sql.window import Window

# A rate's rise by less than this share of the rate itself is no matter.
_RELATIVE = 0.25


@dataclass(frozen=True, slots=True)
class OperatedDay:
    """A window, its numbers and its past, as every measurement of operations needs them."""

    window: Window
    context: Context
    traffic: Traffic
    reference: Mapping[Key, list[Past]]

    def about(self, metric: str, labels: Mapping[str, str], unit: str) -> dict[str, Any]:
        return {
            "monitor": "operations",
            "metric": metric,
            "labels": labels,
            "window": self.window,
            "unit": unit,
        }

    def past(self, metric: str, labels: Mapping[str, str]) -> list[Past]:
        return self.reference.get((metric, labels_key(labels)), [])


def rate(
    day: OperatedDay, metric: str, labels: Mapping[str, str], hits: int, n: int, more_is_worse: bool
) -> Measurement:
    """A share of ``n`` rows, with evidence that it got worse since the reference.

    Args:
        hits: rows of the ``n`` that hold what ``metric`` counts.
        more_is_worse: which way is worse.
    """
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
