"""The trained judge at work: the calibrated probability that people would call an answer good.

A logistic regression on the embeddings of input and output and on a few cheap features, trained on
the golden set (`monitors.quality.judge_training`). It is kept as JSON coefficients under the
sha256 of that JSON, which is part of the scorer's version: another judge is another yardstick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from monitors.context import Context, Embedder
from monitors.logs.interaction import Batch
from monitors.quality.judge_features import FEATURES_VERSION, NAMES, matrix
from monitors.scorer import Layer, Score, scorer
from sql.errors import ConfigurationError, TidegaugeError
from sql.tables import judge_approval, model_artifact

NAME = "judge"
# Both texts of a row are embedded together; this bounds what is held at once.
_ROWS = 512

Array = NDArray[np.float64]


class NoGoldenSet(TidegaugeError):
    """There are too few golden examples to train a judge."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Coefficients of a trained judge.

    Args:
        digest: sha256 of the artifact's JSON.
        embedder: digest of the embedding model that it was trained with.
        uses_context: whether examples with context were among its training data.
        centre, scale: of the features, which are standardised and then weighed down by ``weight``
            so that the penalty leans less on them than on the embeddings.
        coefficients: for features, input vector, output vector, in this order.
        slope, offset: Platt's (1999) calibration of the linear score.
    """

    digest: str
    embedder: str
    uses_context: bool
    centre: Array
    scale: Array
    weight: float
    coefficients: Array
    intercept: float
    slope: float
    offset: float

    def probabilities(
        self,
        asked: Sequence[str],
        answers: Sequence[str],
        contexts: Sequence[str | None],
        embedder: Embedder,
    ) -> Array:
        """Shape (rows,): P(good) of each answer.

        Raises:
            ConfigurationError: ``embedder`` is not the model that the judge was trained with.
        """
        if embedder.digest != self.embedder:
            raise ConfigurationError(
                "the judge was trained with another embedding model",
                where="[judge]",
                mend="train it again with `tidegauge judge train`",
            )
        parts = []
        for start in range(0, len(asked), _ROWS):
            part = slice(start, start + _ROWS)
            design = design_matrix(
                list(asked[part]),
                list(answers[part]),
                [text if self.uses_context else None for text in contexts[part]],
                embedder,
            )
            parts.append(self.of_design(design))
        return np.concatenate(parts) if parts else np.zeros(0)

    def of_design(self, design: Array) -> Array:
        """P(good) from `design_matrix`'s rows."""
        from scipy import special

        scaled = standardised(design, self.centre, self.scale, self.weight)
        linear = scaled @ self.coefficients + self.intercept
        found: Array = special.expit(self.slope * linear + self.offset)
        return found


def design_matrix(
    asked: list[str], answers: list[str], contexts: list[str | None], embedder: Embedder
) -> Array:
    """Shape (rows, features + 2 × dimension): raw features, input vectors, output vectors."""
    vectors = embedder.embed([*asked, *answers])
    first, second = vectors[: len(asked)], vectors[len(asked) :]
    return np.hstack([matrix(asked, answers, contexts, first, second), first, second])


def standardised(design: Array, centre: Array, scale: Array, weight: float) -> Array:
    """The design with its features centred, scaled and weighed; the vectors stay as they are."""
    features = (design[:, : len(NAMES)] - centre) / scale * weight
    # Nothing that training never saw may decide alone.
    return np.hstack([np.clip(features, -5 * weight, 5 * weight), design[:, len(NAMES) :]])


# ── which judge ──────────────────────────────────────────────────────────────────────────────


def in_force(context: Context) -> Judge:
    """The judge that was approved last; the first one is trained now when there is none.

    It stays in force until somebody approves another, so that running a window again gives the
    same.

    Raises:
        NoGoldenSet: too few golden examples to train one.
        ConfigurationError: the stored artifact is not what its digest says.
    """
    digest = digest_in_force(context)
    if digest is None:
        from monitors.quality.judge_training import train_judge

        return train_judge(context)
    table = model_artifact.c
    query = select(table.body).where(table.name == NAME, table.digest == digest)
    return load(digest, bytes(context.store.rows(query)[0].body))


def known_judge(context: Context) -> Judge | None:
    """The trained judge in force; None where none was ever trained, or another is wanted."""
    if context.settings.judge.kind != "trained" or digest_in_force(context) is None:
        return None
    return in_force(context)


def digest_in_force(context: Context, name: str = NAME) -> str | None:
    """The digest of the judge (or of another model of that ``name``) that was approved last."""
    table = judge_approval.c
    query = (
        select(table.digest).where(table.name == name).order_by(table.approved_at.desc()).limit(1)
    )
    rows = context.store.rows(query)
    return str(rows[0].digest) if rows else None


@lru_cache(maxsize=4)
def load(digest: str, body: bytes) -> Judge:
    """Read an artifact.

    Raises:
        ConfigurationError: the bytes are not those of the digest, or of another version.
    """
    if hashlib.sha256(body).hexdigest() != digest:
        raise ConfigurationError(
            "the stored judge is not what its digest says",
            where="model_artifact",
            mend="train it again with `tidegauge judge train`",
        )
    found = json.loads(body)
    if found["features_version"] != FEATURES_VERSION or found["features"] != list(NAMES):
        raise ConfigurationError(
            "the stored judge was trained by another version of Tidegauge",
            where="model_artifact",
            mend="train it again with `tidegauge judge train`",
        )
    return Judge(
        digest=digest,
        embedder=found["embedder"],
        uses_context=found["uses_context"],
        centre=np.array(found["centre"]),
        scale=np.array(found["scale"]),
        weight=found["weight"],
        coefficients=np.array(found["coefficients"]),
        intercept=found["intercept"],
        slope=found["slope"],
        offset=found["offset"],
    )


def judge_variant(context: Context) -> str:
    """Twelve digits of the digest of the judge in force: part of the scorer's version."""
    if context.settings.judge.llm is not None and context.settings.judge.kind == "llm":
        from monitors.quality.judge_prompt import digest_of

        return "llm." + digest_of(context.settings.judge.llm)[:12]
    if context.settings.judge.kind == "none":
        return "off"
    try:
        return (digest_in_force(context) or in_force(context).digest)[:12]
    except NoGoldenSet:
        return "none"


# ── scoring ──────────────────────────────────────────────────────────────────────────────────


def judge_batch(batch: Batch, context: Context) -> list[Score]:
    """P(good) of every row that has both texts; of an LLM judge its grade, from 0 to 1."""
    if context.settings.judge.kind == "llm":
        from monitors.quality.llm_judge import grades_of, overall

        return [
            Score(None, each) if isinstance(each, str) else Score(overall(each))
            for each in grades_of(batch, context)
        ]
    if context.settings.judge.kind == "none":
        return [Score(None, "no_judge")] * len(batch)
    try:
        judge = in_force(context)
    except NoGoldenSet:
        return [Score(None, "no_golden_set")] * len(batch)
    contexts = batch["context"] if "context" in batch else [None] * len(batch)
    texts = list(zip(batch["input"], batch["output"], contexts, strict=True))
    rows = [row for row, (asked, answer, _) in enumerate(texts) if asked and answer]
    chosen = [texts[row] for row in rows]
    found = judge.probabilities(
        [text[0] for text in chosen],
        [text[1] for text in chosen],
        [text[2] for text in chosen],
        context.embedder(),
    )
    scores = [Score(None, "no_text")] * len(batch)
    for row, value in zip(rows, found, strict=True):
        scores[row] = Score(float(value))
    return scores


@scorer(
    name=NAME,
    version="1",
    layer=Layer.CORRECTNESS,
    needs=("input", "output"),
    reads=("context",),
    variant=judge_variant,
)
def judge(batch: Batch, context: Context) -> Sequence[Score]:
    """How good the answer is: the trained judge's calibrated probability that people would call
    it good, or the mean grade of the LLM judge."""
    return judge_batch(batch, context)
