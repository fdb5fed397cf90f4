"""How small a change a day's mean can show, and how much of the log would have to be drawn to see
the one that matters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.quality.baseline import Baseline
from monitors.quality.profile import Sums

_NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Precision:
    """A day's mean of scores beside its baseline, by where its noise comes from.

    Args:
        rows: variance that today's rows leave, σ²/n; the only one that a higher rate lowers.
        reference: that of the reference's rows; 0 without a reference.
        day: that of the day itself, however many of its rows are looked at.
        detectable: smallest change that the day shows with 80 % power.
        doubt: by which share σ² may be larger or smaller than it seems (95 %).
    """

    rows: float
    reference: float
    day: float
    detectable: float
    doubt: float

    def rate_for(self, tolerance: float, rate: float) -> tuple[float, float, float]:
        """The sampling rate at which ``tolerance`` would be the smallest change seen, with its
        interval; 1 where not even all rows would show it.

        With d² = f² + r², d the change that is seen at ``rate``, r the part of it that today's rows
        leave and f the part that stays, the reference's and the day's: rate × r² / (tolerance² −
        f²). Without f that is rate × (d / tolerance)². The reference is taken as it stands, drawn
        at the rate of its days. The interval is that of σ²; Student's quantiles are today's.

        Args:
            rate: share of the day's rows that was drawn.
        """
        reach = self.detectable**2 / (self.rows + self.reference + self.day)

        def needed(scale: float) -> float:
            left = tolerance**2 / reach - scale * self.reference - self.day
            return min(rate * scale * self.rows / left, 1.0) if left > 0 else 1.0

        return needed(1.0), needed(max(1 - self.doubt, 0.0)), needed(1 + self.doubt)


def precision(
    values: NDArray[np.float64], weights: NDArray[np.float64], baseline: Baseline | None
) -> Precision | None:
    """Of scores in [0, 1]; None with fewer than two rows, or where all scores are the same.

    Args:
        values, weights: today's scores.
        baseline: what they are compared with; None takes it as known exactly.
    """
    from monitors.statistics.intervals import detectable_mean_difference

    if len(values) < 2:
        return None
    spread = float(np.std(values)) if baseline is None else baseline.spread
    if spread <= 0:
        return None
    own = Sums.of(values, weights)
    effect = 1.0 if baseline is None else baseline.design_effect(own.effective)
    before = math.inf if baseline is None else baseline.n
    rows = spread**2 / own.effective
    return Precision(
        rows=rows,
        reference=spread**2 / before,
        day=(effect - 1) * rows,
        detectable=detectable_mean_difference(
            spread, before, spread * math.sqrt(effect), own.effective
        ),
        doubt=_doubt(spread**2, own, baseline),
    )


def _doubt(variance: float, own: Sums, baseline: Baseline | None) -> float:
    """1.96 standard errors of σ² over σ², from above: (y − μ)² ≤ max(μ, 1 − μ)², so its variance
    is at most σ² max(μ, 1 − μ)² − σ⁴; of zeros and ones with μ ≥ ½ it is nearly that."""
    mean, n = (own.mean, own.effective) if baseline is None else (baseline.mean, baseline.n)
    most = max(mean, 1 - mean) ** 2
    return _NORMAL * math.sqrt(max(most / variance - 1, 0.0) / n)
