"""From people's safety grades to a classifier, with a stated share of false positives."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from monitors.context import Context
from monitors.quality.judge import NoGoldenSet, digest_in_force
from monitors.quality.judge_review import comparison, figures, unseen
from monitors.quality.judge_training import keep, rounded
from monitors.quality.ngrams import NGRAMS_VERSION, matrix
from monitors.quality.unsafe import (
    LEAST_UNSAFE,
    NAME,
    Classifier,
    classifier_in_force,
    grade_of,
    lacking,
    least_safe,
    load,
    packed,
)
from monitors.review.golden import Golden, list_golden
from sql.types import canonical_json

Array = NDArray[np.float64]

_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
_FOLDS = 5


def train_unsafe(context: Context, actor: str = "judge train") -> Classifier:
    """Train a classifier on the golden examples that people graded for safety, and keep it.

    The first one is in force at once; a later one is a candidate until a person approves it, with
    what it would change on its card. Anchors are left out, as they are for the judge. The
    penalty's strength is the one with the best log loss out of fold; those scores also give the
    calibration, the figures and the threshold, below which lie no more of the safe examples
    than ``[judge] unsafe_false_positives``.

    Raises:
        NoGoldenSet: too few unsafe or safe examples, or nothing in them tells the two apart.
    """
    graded = [
        (golden, grade)
        for golden in list_golden(context)
        if not golden.is_anchor and (grade := grade_of(golden.dimensions)) is not None
    ]
    truth = np.array([grade for _, grade in graded], dtype=np.int64)
    examples = [golden for golden, _ in graded]
    _enough(truth, context)
    design = matrix([golden.output for golden in examples])
    strength, linear = _out_of_fold(design, truth, context.settings.judge.seed)
    area = _skill(linear, truth)
    slope, offset = _platt(linear, truth)
    probability = expit(slope * linear + offset)
    wanted = context.settings.judge.unsafe_false_positives
    threshold = _threshold(probability[truth == 1], wanted)
    weights, intercept = _fitted(design, truth, strength)
    body = canonical_json(
        {
            "ngrams_version": NGRAMS_VERSION,
            "weights": packed(weights),
            "intercept": rounded([intercept])[0],
            "slope": rounded([slope])[0],
            "offset": rounded([offset])[0],
            "threshold": threshold,
        }
    ).encode()
    made = load(hashlib.sha256(body).hexdigest(), body)
    data = [[golden.key, grade] for golden, grade in graded]
    card: dict[str, Any] = {
        "data": hashlib.sha256(canonical_json(data).encode()).hexdigest(),
        "examples": len(examples),
        "unsafe_examples": int((truth == 0).sum()),
        "seed": context.settings.judge.seed,
        "strength": strength,
        "threshold": threshold,
        "cross_validated": figures(probability, truth, threshold),
        "auc_interval": area,
        **_rates(probability, truth, threshold, wanted),
    }
    before = classifier_in_force(context)
    if before is not None and before.digest != made.digest:
        card["held_out"] = _held_out(before, threshold, examples, truth, probability, context)
    first = digest_in_force(context, NAME) is None
    keep(NAME, made.digest, body, card, actor, first=first, context=context)
    return made


def train_unsafe_if_possible(context: Context, actor: str) -> tuple[str, str]:
    """(digest, empty) of the classifier, or (empty, why there is none)."""
    try:
        return train_unsafe(context, actor).digest, ""
    except NoGoldenSet as error:
        return "", error.what


def _enough(truth: NDArray[np.int64], context: Context) -> None:
    reason = lacking((bool(grade) for grade in truth), context)
    if reason:
        raise NoGoldenSet(
            f"{int((truth == 0).sum())} golden examples are graded unsafe and "
            f"{int(truth.sum())} safe; {LEAST_UNSAFE} and {least_safe(context)} are needed",
            where="golden_example",
            mend='import examples with dimensions {"safety": 1} and {"safety": 5}',
        )


def _fitted(design: Any, truth: NDArray[np.int64], strength: float) -> tuple[Array, float]:
    """(weights, intercept) of a logistic regression; a bucket that no text fills weighs nothing."""
    from sklearn.linear_model import LogisticRegression

    used = np.unique(design.indices)
    model = LogisticRegression(C=strength, max_iter=2_000, tol=1e-5).fit(design[:, used], truth)
    weights = np.zeros(design.shape[1])
    weights[used] = model.coef_[0]
    return weights, float(model.intercept_[0])


def _out_of_fold(design: Any, truth: NDArray[np.int64], seed: int) -> tuple[float, Array]:
    """The best strength, and the linear score of each example by a model that never saw it."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(design, truth))
    found: dict[float, tuple[float, Array]] = {}
    for strength in _STRENGTHS:
        linear = np.zeros(len(truth))
        for learned, held in folds:
            weights, intercept = _fitted(design[learned], truth[learned], strength)
            linear[held] = design[held] @ weights + intercept
        found[strength] = (float(log_loss(truth, expit(linear))), linear)
    best = min(found, key=lambda strength: found[strength][0])
    return best, found[best][1]


def _skill(linear: Array, truth: NDArray[np.int64]) -> list[float]:
    """The area under the curve with its 95 % interval (DeLong et al. 1988), which excludes ½."""
    from monitors.statistics.classifier import auc_with_variance

    area, variance = auc_with_variance(linear[truth == 0], linear[truth == 1])
    half = 1.96 * math.sqrt(variance)
    if area - half <= 0.5:
        raise NoGoldenSet(
            f"nothing tells unsafe golden examples from safe ones: AUC {area:.2f} ± {half:.2f}",
            where="golden_example",
            mend="add examples, or let people look at their safety grades again",
        )
    return rounded([area, max(area - half, 0.0), min(area + half, 1.0)])


def _platt(linear: Array, truth: NDArray[np.int64]) -> tuple[float, float]:
    """Slope and offset of Platt's calibration with his own smoothed targets (1999, section 2.2).

    Without them, where nothing overlaps, all probabilities would be 0 or 1, and no threshold could
    lie among those of the safe examples.
    """
    from sklearn.linear_model import LogisticRegression

    safe, unsafe = int(truth.sum()), int((truth == 0).sum())
    target = np.where(truth == 1, (safe + 1) / (safe + 2), 1 / (unsafe + 2))
    found = LogisticRegression(C=1e6, max_iter=2_000).fit(
        np.tile(linear, 2).reshape(-1, 1),
        np.repeat([1, 0], len(linear)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return float(found.coef_[0][0]), float(found.intercept_[0])


def _threshold(safe: Array, wanted: float) -> float:
    """Below it lie at most ``wanted`` of the safe examples; halfway to the next of them."""
    allowed = math.floor(wanted * len(safe))
    lower, upper = np.sort(safe)[allowed - 1 : allowed + 1]
    return min(rounded([(lower + upper) / 2])[0], float(upper))


def _rates(
    probability: Array, truth: NDArray[np.int64], threshold: float, wanted: float
) -> dict[str, Any]:
    """What fails at the threshold, out of fold: of the safe and of the unsafe, with intervals."""
    from monitors.statistics.intervals import wilson

    fails = probability < threshold
    rates: dict[str, Any] = {"false_positives_wanted": wanted}
    for name, chosen in (("false_positives", fails[truth == 1]), ("found", fails[truth == 0])):
        count = int(chosen.sum())
        rates[name] = rounded([count / len(chosen), *wilson(count, len(chosen))])
    return rates


def _held_out(
    before: Classifier,
    threshold: float,
    examples: Sequence[Golden],
    truth: NDArray[np.int64],
    probability: Array,
    context: Context,
) -> dict[str, Any]:
    """Both classifiers on the examples that are newer than what the one in force learned from."""
    fresh = unseen(NAME, before.digest, examples, context)
    old = before.safe([examples[place].output for place in fresh])
    return comparison(
        before.digest,
        (old, before.threshold),
        (probability[fresh], threshold),
        truth[fresh],
        reviewed=0,
    )
