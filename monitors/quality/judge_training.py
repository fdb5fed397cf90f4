"""From the golden set to a judge: cross-validated, calibrated, kept with what it was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from monitors.context import Context
from monitors.quality.judge import (
    NAME,
    Judge,
    NoGoldenSet,
    design_matrix,
    digest_in_force,
    in_force,
    load,
    standardised,
)
from monitors.quality.judge_features import FEATURES_VERSION, NAMES
from monitors.quality.judge_review import compared, figures, put_in_force
from monitors.review import golden_versions
from monitors.review.golden import Golden, list_golden
from sql.tables import model_artifact
from sql.types import canonical_json

Array = NDArray[np.float64]

# Features count this much against the embeddings' unit length; inverse strengths to choose from.
_WEIGHT = 0.2
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_FOLDS = 5
# Fewer of one verdict than this and there is nothing to tell apart.
_LEAST_OF_A_KIND = 10
_DIGITS = 9


def train_judge(context: Context, actor: str = "judge train") -> Judge:
    """Train a judge on the golden set and keep it.

    The first one is in force at once; a later one is a candidate until a person approves it
    (`monitors.quality.judge_review`), with what it would change on its card.

    Anchors are left out: they are there to watch the judge. Labels of one half and more are good.
    The penalty's strength is the one with the best log loss out of fold; the scores out of fold
    also give Platt's calibration and the figures on the card. The same examples, embedding model
    and seed give the same judge.

    Raises:
        NoGoldenSet: fewer examples than ``[judge] golden_minimum``, or nearly all of one verdict.
    """
    examples = [golden for golden in list_golden(context) if not golden.is_anchor]
    truth = np.array([golden.label >= 0.5 for golden in examples], dtype=np.int64)
    _enough(truth, context)
    embedder = context.embedder()
    uses_context = any(golden.context for golden in examples)
    design = _design(examples, context)
    settings = context.settings.judge
    strength, linear = _out_of_fold(design, truth, settings.seed)
    slope, offset = _calibrated(linear, truth)
    centre, scale = _moments(design)
    model = _fitted(standardised(design, centre, scale, _WEIGHT), truth, strength)
    body = canonical_json(
        {
            "features_version": FEATURES_VERSION,
            "features": list(NAMES),
            "embedder": embedder.digest,
            "uses_context": uses_context,
            "centre": rounded(centre),
            "scale": rounded(scale),
            "weight": _WEIGHT,
            "coefficients": rounded(model.coef_[0]),
            "intercept": rounded(model.intercept_)[0],
            "slope": rounded([slope])[0],
            "offset": rounded([offset])[0],
        }
    ).encode()
    digest = hashlib.sha256(body).hexdigest()
    judge = load(digest, body)
    probability = expit(slope * linear + offset)
    previous = digest_in_force(context)
    card = {
        **_card(examples, context, strength),
        "cross_validated": figures(probability, truth, settings.threshold),
        "anchors": anchor_scores(judge, context),
    }
    if previous not in (None, digest):
        card["held_out"] = compared(in_force(context), judge, examples, probability, context)
    keep(NAME, digest, body, card, actor, first=previous is None, context=context)
    return judge


def keep(
    name: str,
    digest: str,
    body: bytes,
    card: dict[str, Any],
    actor: str,
    *,
    first: bool,
    context: Context,
) -> None:
    """Write a model with its card, and put it in force when it is the ``first`` of its name."""
    now = context.clock()
    with context.store.begin() as connection:
        reason = "as a judge learned it"
        record = {
            "name": name,
            "digest": digest,
            "body": body,
            "card": {
                **card,
                "golden": golden_versions.record(connection, context.store, actor, reason, now),
            },
            "created_at": now,
        }
        # The same examples make the same judge; the card that people approved by stays.
        context.store.upsert(connection, model_artifact, [record], keep=True)
        if first:
            put_in_force(connection, name, digest, actor, "the first judge", context)


def anchor_scores(judge: Judge, context: Context) -> dict[str, float]:
    """What ``judge`` says of each anchor of the golden set, by example."""
    anchors = [golden for golden in list_golden(context) if golden.is_anchor]
    found = judge.probabilities(
        [golden.input for golden in anchors],
        [golden.output for golden in anchors],
        [golden.context for golden in anchors],
        context.embedder(),
    )
    return {golden.key: float(value) for golden, value in zip(anchors, found, strict=True)}


def _enough(truth: NDArray[np.int64], context: Context) -> None:
    wanted = context.settings.judge.golden_minimum
    if len(truth) < wanted:
        raise NoGoldenSet(
            f"the golden set has {len(truth)} examples to train on and the judge needs {wanted}",
            where="[judge] golden_minimum",
            mend="import labelled examples with `tidegauge golden import FILE`",
        )
    fewest = int(min(truth.sum(), len(truth) - truth.sum()))
    if fewest < _LEAST_OF_A_KIND:
        raise NoGoldenSet(
            f"only {fewest} golden examples have the rarer verdict",
            where="golden_example",
            mend=f"add good and bad examples until there are {_LEAST_OF_A_KIND} of each",
        )


def _design(examples: Sequence[Golden], context: Context) -> Array:
    return design_matrix(
        [golden.input for golden in examples],
        [golden.output for golden in examples],
        [golden.context for golden in examples],
        context.embedder(),
    )


def _moments(design: Array) -> tuple[Array, Array]:
    features = design[:, : len(NAMES)]
    scale = features.std(axis=0)
    return features.mean(axis=0), np.where(scale > 1e-9, scale, 1.0)


def _fitted(design: Array, truth: NDArray[np.int64], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=5_000, tol=1e-8).fit(design, truth)


def _out_of_fold(design: Array, truth: NDArray[np.int64], seed: int) -> tuple[float, Array]:
    """The best strength, and the linear score of each example by a model that never saw it."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(design, truth))
    best: tuple[float, float, Array] | None = None
    for strength in _STRENGTHS:
        linear = np.zeros(len(truth))
        for learned, held in folds:
            centre, scale = _moments(design[learned])
            scaled = standardised(design, centre, scale, _WEIGHT)
            linear[held] = _fitted(scaled[learned], truth[learned], strength).decision_function(
                scaled[held]
            )
        loss = float(log_loss(truth, expit(linear)))
        if best is None or loss < best[0]:
            best = (loss, strength, linear)
    assert best is not None
    return best[1], best[2]


def _calibrated(linear: Array, truth: NDArray[np.int64]) -> tuple[float, float]:
    """Platt's slope and offset; a slope below 0 would turn the judge around, and is 0."""
    model = _fitted(linear.reshape(-1, 1), truth, 1e6)
    slope = max(float(model.coef_[0][0]), 0.0)
    if slope == 0.0:
        share = float(truth.mean())
        return 0.0, float(np.log(share / (1 - share)))
    return slope, float(model.intercept_[0])


def _card(examples: Sequence[Golden], context: Context, strength: float) -> dict[str, Any]:
    data = [[golden.key, golden.label] for golden in examples]
    return {
        "data": hashlib.sha256(canonical_json(data).encode()).hexdigest(),
        "examples": len(examples),
        "embedder": context.embedder().digest,
        "seed": context.settings.judge.seed,
        "strength": strength,
        "threshold": context.settings.judge.threshold,
    }


def rounded(numbers: Any) -> list[float]:
    """Fixed digits: the last bits of a solver are not the same on every machine."""
    return [float(f"{float(number):.{_DIGITS}g}") for number in numbers]
