"""What a Tuesday usually is: a robust baseline for cost, tokens and volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

MINIMUM_WEEKS = 4
WEEKS = 8
# The normal's standard deviation over its median absolute deviation, and, by number of values,
# what makes the latter right on average in small samples (Croux & Rousseeuw 1992).
_NORMAL = 1.4826
_SMALL = {4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
# Far below anything seen, yet finite: what a day of nothing is taken for.
_NOTHING = 1e-3


@dataclass(frozen=True, slots=True)
class Seasonal:
    """A day against the same weekday of earlier weeks.

    Args:
        baseline: their median, in the value's unit.
        low, high: where 95 % of unchanged days would lie.
        ratio: value over baseline.
        z: log ratio in robust standard deviations.
        weeks: how many earlier days there were.
    """

    baseline: float
    low: float
    high: float
    ratio: float
    z: float
    weeks: int

    def unusual(self, z: float = 4.0, change: float = 0.25) -> bool:
        """Both far out and large: |z| above ``z`` and a change of more than ``change``, where a
        fall is as large as the rise that would undo it."""
        return abs(self.z) > z and abs(math.log(max(self.ratio, _NOTHING))) > math.log1p(change)


def seasonal(
    value: float,
    earlier: Sequence[float | None],
    others: Sequence[Sequence[float | None]] = (),
    *,
    noise: float = 0.03,
) -> Seasonal | None:
    """Compare a day with the same weekday of the last 8 weeks, on the log scale.

    Median and median absolute deviation, so that one incident among the earlier days neither
    moves the baseline nor hides the next.

    Args:
        value: the day's amount, not negative; a rate per hour where days differ in length.
        earlier: the same weekday's amounts, in any order; None for a day without data. An amount
            of 0 is no usual day and is passed over.
        others: the same of the other weekdays. Eight values know a spread badly; the deviations
            of all weekdays from their own medians know it seven times better.
        noise: smallest standard deviation to believe, on the log scale (0.03: three per cent);
            four weeks that happen to agree would otherwise make the fifth an outlier.

    Returns:
        None with fewer than `MINIMUM_WEEKS` usable days: insufficient.

    Raises:
        ValueError: an amount is negative or not finite.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("an amount must be finite and not negative")
    own = _logs(earlier)
    n = len(own)
    if n < MINIMUM_WEEKS:
        return None
    centre = float(np.median(own))
    histories = [own, *(logs for each in others if len(logs := _logs(each)) >= MINIMUM_WEEKS)]
    # What is left after taking out a median of m is too small by about m/(m − 0.8).
    left = np.concatenate(
        [(x - np.median(x)) * _SMALL.get(len(x), len(x) / (len(x) - 0.8)) for x in histories]
    )
    # A new day varies around the centre, and so does the median (variance π/2 · σ²/n).
    sigma = max(_NORMAL * float(np.median(np.abs(left))), noise) * math.sqrt(1 + math.pi / (2 * n))
    ratio = value / math.exp(centre)
    half = float(special.stdtrit(len(left) - len(histories), 0.975)) * sigma
    return Seasonal(
        baseline=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        ratio=ratio,
        z=math.log(max(ratio, _NOTHING)) / sigma,
        weeks=n,
    )


def seasonal_day(days: Sequence[float | None], *, noise: float = 0.03) -> Seasonal | None:
    """`seasonal` for the last of consecutive calendar days, oldest first; 57 are the full history.

    Returns:
        None when the last day is None, or its weekday has too short a history.
    """
    if not days or days[-1] is None:
        return None
    past = list(days[-1 - 7 * WEEKS : -1])
    by_weekday = [past[::-1][offset::7] for offset in range(7)]  # offset 6: a week ago
    return seasonal(days[-1], by_weekday[6], by_weekday[:6], noise=noise)


def _logs(amounts: Sequence[float | None]) -> NDArray[np.float64]:
    known = np.array([v for v in amounts if v is not None], dtype=np.float64)
    if not np.isfinite(known).all() or (known < 0).any():
        raise ValueError("an amount must be finite and not negative")
    logs: NDArray[np.float64] = np.log(known[known > 0])
    return logs
