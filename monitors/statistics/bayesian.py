"""How probable is it that one variant is worse than another by more than a tolerance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from monitors.statistics.intervals import finite

_POINTS = 4_000


def probability_rate_worse(
    successes1: float,
    n1: float,
    successes0: float,
    n0: float,
    tolerance: float = 0.0,
    *,
    higher_is_better: bool = True,
    design_effect: float = 1.0,
    prior: float = 0.5,
) -> float:
    """Posterior P(rate1 < rate0 − tolerance), or of > rate0 + tolerance where higher is worse.

    Independent beta posteriors (Jeffreys' prior by default), integrated over 4,000 equally
    probable values of rate0.

    Args:
        successes1, n1: of the candidate; fractional counts of weighted data are fine.
        successes0, n0: of the control.
        design_effect: at least 1; counts are divided by it, because repeated answers to one
            request, or requests of one person, are not as many observations as they look.

    Raises:
        ValueError: counts that do not fit, NaN, or a design effect below 1.
    """
    for s, n in ((successes1, n1), (successes0, n0)):
        if not (math.isfinite(n) and 0 <= s <= n and n > 0):
            raise ValueError("successes must lie between 0 and n, and n above 0")
    if not (design_effect >= 1 and prior > 0 and math.isfinite(tolerance)):
        raise ValueError("a design effect is at least 1, a prior above 0")
    if not higher_is_better:
        successes1, successes0 = n1 - successes1, n0 - successes0
    a1, b1 = prior + successes1 / design_effect, prior + (n1 - successes1) / design_effect
    a0, b0 = prior + successes0 / design_effect, prior + (n0 - successes0) / design_effect
    middles = (np.arange(_POINTS) + 0.5) / _POINTS
    bar = np.clip(special.betaincinv(a0, b0, middles) - tolerance, 0.0, 1.0)
    return float(np.mean(special.betainc(a1, b1, bar)))


def probability_mean_worse(
    mean1: float,
    error1: float,
    mean0: float,
    error0: float,
    tolerance: float = 0.0,
    *,
    higher_is_better: bool = True,
    degrees: float = math.inf,
) -> float:
    """P(mean1 < mean0 − tolerance) for normal posteriors with the given standard errors.

    Args:
        degrees: of freedom where the errors are estimates: the posterior of a flat prior is then
            Student's t.

    Raises:
        ValueError: NaN, a negative error, both errors 0, or degrees not above 0.
    """
    error = math.hypot(error1, error0)
    numbers = (mean1, mean0, error, tolerance)
    if not all(map(math.isfinite, numbers)) or min(error1, error0) < 0 or error == 0:
        raise ValueError("means need finite standard errors above 0")
    if not degrees > 0:
        raise ValueError("degrees of freedom are above 0")
    gap = mean0 - mean1 if higher_is_better else mean1 - mean0
    place = (gap - tolerance) / error
    return float(special.ndtr(place) if math.isinf(degrees) else special.stdtr(degrees, place))


@dataclass(frozen=True, slots=True)
class RepeatedAnswers:
    """What repeats are worth.

    Args:
        correlation: of two answers to one request (intraclass, 0 to 1).
        design_effect: variance of the mean over that of as many independent answers, ≥ 1.
        effective: independent answers that would say as much.
    """

    correlation: float
    design_effect: float
    effective: float


def repeated_answers(groups: Sequence[ArrayLike]) -> RepeatedAnswers:
    """Design effect of several answers to the same request: 1 + (r̄ − 1)·ρ.

    ρ by one-way analysis of variance for unequal groups (Donner 1986), r̄ = Σr²/Σr (Kish 1965,
    § 5.4; Miller 2024, "Adding error bars to evals", § 2.2).

    Args:
        groups: for each request the values of its answers; at least two requests.

    Raises:
        ValueError: fewer than two requests with answers, or NaN.
    """
    values = [v for group in groups if len(v := finite(group, "answers"))]
    if len(values) < 2:
        raise ValueError("repeats need at least two requests")
    sizes = np.array([len(v) for v in values], dtype=np.float64)
    total, k = float(sizes.sum()), len(values)
    typical = float(np.sum(sizes**2)) / total
    if total == k:
        return RepeatedAnswers(0.0, 1.0, total)
    mean = sum(float(v.sum()) for v in values) / total
    between = sum(len(v) * (float(v.mean()) - mean) ** 2 for v in values) / (k - 1)
    within = sum(float(((v - v.mean()) ** 2).sum()) for v in values) / (total - k)
    size = (total - typical) / (k - 1)
    spread = between + (size - 1) * within
    correlation = min(max((between - within) / spread, 0.0), 1.0) if spread > 0 else 0.0
    effect = max(1.0, 1 + (typical - 1) * correlation)
    return RepeatedAnswers(correlation, effect, total / effect)
