"""Evidence that may be looked at every day: betting e-values and the detector that adds them up.

A bettor starts each window with one unit and bets that the mean has fallen below the null. While
it has not, no strategy gains on average, so the wealth at the window's end is an *e-value*: at
most 1 in expectation under the null (Waudby-Smith & Ramdas 2024, "Estimating means of bounded
random variables by betting", § 4). E-values of successive windows multiply, and their
Shiryaev–Roberts sum is an *e-detector*: it crosses c on average no earlier than after c windows
without a change (Shin, Ramdas & Rinaldo 2023, "E-detectors", § 3). No correction for looking
often is needed.

Give "baseline minus tolerance" as the null, not the baseline: changes too small to matter then
cost no alarms, the uncertainty of the baseline is covered, and on unchanged days, which lie above
the null, the wealth shrinks.

All e-values are natural logarithms; > 0 speaks against the null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitors.statistics.intervals import finite

Array = NDArray[np.float64]

# The bets, as the fall each is best against, in standard errors of one window's mean; and the
# shares of the stake. A mixture is an e-value too. A fall that takes weeks to show is worth
# about one standard error a window, hence the weight on the left; the right end is there for
# collapses, which need little. (Other grids and stakes changed the delays by less than a tenth.)
_FALLS = np.array([0.6, 0.9, 1.3, 2.0, 4.0, 8.0])
_STAKES = np.array([2.0, 3.0, 2.0, 0.4, 0.1, 0.05])
_LOG_STAKES = np.log(_STAKES / _STAKES.sum())
# No bet may lose everything on one value.
_BOLDEST = 0.99


def log_e_value_rate_fell(
    successes: float, n: float, null_rate: float, *, design_effect: float = 1.0
) -> float:
    """One window's log e-value against "the success rate is at least ``null_rate``".

    Args:
        successes: out of ``n``.
        n: rows of the window; 0 says nothing (0.0).
        null_rate: below 1. At or below 0 nothing can be lower (0.0).
        design_effect: variance of the window's rate over a coin's (1 + n·τ²/(p(1−p)) where days
            have a standard deviation τ of their own). Each bet's log wealth is divided by it: a
            power ≤ 1 of an e-value is one, and a day effect is then paid for.

    Raises:
        ValueError: NaN, counts that do not fit, a null of 1 or more, a design effect below 1.
    """
    if not (math.isfinite(n) and 0 <= successes <= n):
        raise ValueError("successes must lie between 0 and n")
    if not _says_something(n, null_rate, design_effect):
        return 0.0
    bets = _bets(null_rate, n, None)
    wealth = successes * np.log1p(bets * (null_rate - 1)) + (n - successes) * np.log1p(
        bets * null_rate
    )
    return _mixed(wealth / design_effect)


def log_e_value_rate_rose(
    successes: float, n: float, null_rate: float, *, design_effect: float = 1.0
) -> float:
    """The mirror: against "the rate is at most ``null_rate``" (above 0), for errors, refusals."""
    return log_e_value_rate_fell(n - successes, n, 1 - null_rate, design_effect=design_effect)


def log_e_value_mean_fell(
    values: ArrayLike,
    null_mean: float,
    *,
    weights: ArrayLike | None = None,
    spread: float | None = None,
    design_effect: float = 1.0,
) -> float:
    """One window's log e-value against "the mean is at least ``null_mean``".

    Args:
        values: shape (n,), each in [0, 1]; empty says nothing (0.0).
        null_mean: below 1. At or below 0 nothing can be lower (0.0).
        weights: shape (n,), inverse inclusion probabilities of a sample: then the hypothesis is
            about the weighted mean of the traffic. Bets are scaled by weight over the largest
            weight, so very unequal weights cost power.
        spread: standard deviation of single values in the reference; it makes the bets bolder
            where scores vary less than a coin. It must not come from the window itself.
        design_effect: as in `log_e_value_rate_fell`.

    Raises:
        ValueError: NaN, values outside of [0, 1], bad weights, a null of 1 or more.
    """
    x = finite(values, "values")
    if (x < 0).any() or (x > 1).any():
        raise ValueError("values must lie in [0, 1]")
    if not _says_something(len(x), null_mean, design_effect):
        return 0.0
    if weights is None:
        bets = _bets(null_mean, len(x), spread)
        gains = null_mean - x
    else:
        scale = _scale(weights, len(x))
        # n values of mean squared scale s² are worth, to a bet of size λ, n·s² of full scale.
        bets = _bets(null_mean, float(np.sum(scale**2)), spread)
        gains = scale * (null_mean - x)
    wealth = np.array([np.log1p(bet * gains).sum() for bet in bets])
    return _mixed(wealth / design_effect)


def _says_something(n: float, null: float, design_effect: float) -> bool:
    if not (math.isfinite(null) and null < 1):
        raise ValueError("the null must be a number that the mean can cross")
    if not design_effect >= 1:
        raise ValueError("a design effect is at least 1")
    return n > 0 and null > 0


def _bets(null: float, n: float, spread: float | None) -> Array:
    """λ of 1 + λ(null − x): against a fall of δ the best is δ/σ²; see `_FALLS`."""
    sigma = math.sqrt(null * (1 - null))
    if spread is not None:
        if not spread >= 0:
            raise ValueError("a spread is not negative")
        sigma = min(max(spread, 0.02), sigma)
    return np.minimum(_FALLS / (sigma * math.sqrt(n)), _BOLDEST / (1 - null))


def _scale(weights: ArrayLike, n: int) -> Array:
    array = finite(weights, "weights")
    if len(array) != n or (array <= 0).any():
        raise ValueError("each value needs one positive weight")
    scaled: Array = array / array.max()
    return scaled


def _mixed(log_wealth: Array) -> float:
    total = log_wealth + _LOG_STAKES
    top = float(total.max())
    return top + math.log(float(np.exp(total - top).sum()))


# ── over days ────────────────────────────────────────────────────────────────────────────────


def threshold(false_alarms_per_year: float, looks_per_year: float = 365.25) -> float:
    """Log threshold for `shiryaev_roberts` that costs at most so many false alarms a year.

    The mean time to a false alarm is at least the threshold, in looks; in truth it is longer,
    because the sum jumps over it and unchanged days lie above the null.

    Raises:
        ValueError: a number is not positive, or the budget allows an alarm at every look.
    """
    if not (false_alarms_per_year > 0 and looks_per_year > false_alarms_per_year):
        raise ValueError("the budget must be positive and below one alarm a look")
    return math.log(looks_per_year / false_alarms_per_year)


def shiryaev_roberts(
    log_e_values: Sequence[float | None], *, restart_above: float | None = None
) -> list[float]:
    """log R after each window: R_t = (R_{t−1} + 1)·e_t from R_0 = 0.

    Args:
        log_e_values: one per window in order; None where the window says nothing (no data, too
            few rows), which carries R over.
        restart_above: a log threshold; the window after an alarm starts again from 0, so that
            one change is not one alarm a day for ever, and a recovery shows at once.

    Returns:
        As many numbers; −inf until the first window that says something.

    Raises:
        ValueError: a log e-value is NaN or infinite.
    """
    path: list[float] = []
    log_r = -math.inf
    for value in log_e_values:
        if path and restart_above is not None and path[-1] >= restart_above and value is not None:
            log_r = -math.inf
        if value is not None:
            if not math.isfinite(value):
                raise ValueError("a log e-value must be a finite number")
            log_r = float(np.logaddexp(log_r, 0.0)) + value
        path.append(log_r)
    return path


def alarms(log_e_values: Sequence[float | None], log_threshold: float) -> list[int]:
    """Indices of the windows that alarm, the detector starting again after each."""
    path = shiryaev_roberts(log_e_values, restart_above=log_threshold)
    return [
        index
        for index, (log_r, value) in enumerate(zip(path, log_e_values, strict=True))
        if value is not None and log_r >= log_threshold
    ]


def expected_delay(
    null_rate: float,
    new_rate: float,
    n: int,
    log_threshold: float,
    *,
    design_effect: float = 1.0,
    horizon: int = 365,
    runs: int = 400,
    seed: int = 0,
) -> float | None:
    """Median number of windows from a change to its alarm; shown beside each rule.

    By simulation of rates (coins are the hardest values in [0, 1]) that jump to ``new_rate`` with
    the detector at zero. The direction is that of ``new_rate`` from ``null_rate``.

    Returns:
        At least 1 (the first window after the change), or None when half of the runs see no alarm
        within ``horizon``.
    """
    if new_rate > null_rate:
        null_rate, new_rate = 1 - null_rate, 1 - new_rate
    if not _says_something(n, null_rate, design_effect):
        return None
    generator = np.random.default_rng(seed)
    bets = _bets(null_rate, n, None)
    # Day effects spread the rates themselves: a beta distribution with the wanted variance.
    rates = np.full(runs, new_rate)
    lose, gain = np.log1p(bets * (null_rate - 1)), np.log1p(bets * null_rate)
    log_r, waiting = np.full(runs, -np.inf), np.ones(runs, dtype=bool)
    for look in range(1, horizon + 1):
        if design_effect > 1 and n > 1 and 0 < new_rate < 1:
            precision = max((n - design_effect) / (design_effect - 1), 1e-3)
            rates = generator.beta(new_rate * precision, (1 - new_rate) * precision, runs)
        hits = generator.binomial(n, rates)[:, None]
        wealth = (hits * lose + (n - hits) * gain) / design_effect + _LOG_STAKES
        log_r = np.logaddexp(log_r, 0.0) + np.logaddexp.reduce(wealth, axis=1)
        waiting &= log_r < log_threshold
        if waiting.sum() * 2 <= runs:
            return float(look)
    return None
