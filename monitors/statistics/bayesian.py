"""How probable is it that one variant is worse than another by more than a tolerance?"""

from __future__ import annotations

import math

from scipy import special


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
