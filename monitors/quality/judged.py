"""What is said of a difference between groups: is it worse by more than is tolerated?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitors.statistics.clusters import Contrast


def judged(found: Contrast, tolerance: float, what: str) -> dict[str, Any]:
    """A measurement's value, 95 % interval, evidence, smallest detectable change and method.

    Args:
        tolerance: how much lower, in the values' unit, does not count as worse.
        what: what was averaged, for the method.
    """
    from monitors.statistics.bayesian import probability_mean_worse

    worse = probability_mean_worse(
        found.value, found.error, 0.0, 0.0, tolerance, degrees=found.degrees
    )
    low, high = found.interval()
    return {
        "value": found.value,
        "low": low,
        "high": high,
        "baseline": 0.0,
        "evidence": 1 - worse,
        "detectable": 2.8 * found.error,
        "method": f"p-value; posterior probability {worse:.3f} of being worse by more than "
        f"{tolerance:g} (Student's t, flat prior), its complement as evidence; {what}, persons "
        f"as clusters, design effect {found.design_effect:.2f}",
    }
