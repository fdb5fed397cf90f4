"""What only a model can say of an answer: how odd its meaning is, and what the judge thinks of it.

Each reads all answers to a prompt, the pin's and the replay's, in the same way. So under "nothing
changed" its values are exchangeable within a prompt, as the permutation test asks, and both sides
are always measured by the same yardstick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from monitors.context import Context, Embedder
from monitors.provider.prompts import Prompt
from monitors.settings import ProviderSettings

if TYPE_CHECKING:
    from monitors.quality.judge import Judge

# Prompts, and for each of them the texts of all answers; as many numbers come back.
Extra = Callable[[Sequence[Prompt], Sequence[Sequence[str]]], list[list[float]]]


def extras_of(settings: ProviderSettings, context: Context) -> dict[str, Extra]:
    """By feature: ``meaning``, and ``judge`` where there is one; none without embeddings."""
    from monitors.quality.judge import known_judge

    if not settings.compare_meaning:
        return {}
    embedder = context.embedder()
    judge = known_judge(context)
    found: dict[str, Extra] = {"meaning": meaning(embedder)}
    if judge is not None and judge.embedder == embedder.digest:
        found["judge"] = judged_by(judge, embedder)
    return found


def meaning(embedder: Embedder) -> Extra:
    """1 − cosine of an answer to the mean of the others to its prompt; for three and more."""

    def read(_prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        count = len(texts[0]) if texts else 0
        if count < 3:
            return []
        vectors = embedder.embed([text for mine in texts for text in mine])
        cube = vectors.reshape(len(texts), count, -1).astype(float)
        others = (cube.sum(axis=1, keepdims=True) - cube) / (count - 1)
        lengths = np.linalg.norm(others, axis=2)
        cosine = np.einsum("kcd,kcd->kc", cube, others) / np.where(lengths > 0, lengths, 1.0)
        return _rounded(1 - cosine)

    return read


def judged_by(judge: Judge, embedder: Embedder) -> Extra:
    """The trained judge's probability that people would call the answer good."""

    def read(prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        if not texts:
            return []
        asked = ["\n\n".join(t.content for t in p.turns if t.role == "user") for p in prompts]
        each = [question for question, mine in zip(asked, texts, strict=True) for _ in mine]
        said = [text for mine in texts for text in mine]
        found = judge.probabilities(each, said, [None] * len(said), embedder)
        return _rounded(found.reshape(len(texts), -1))

    return read


def _rounded(values: np.ndarray) -> list[list[float]]:
    """The last bits depend on what else was embedded with a text; they must not break ties."""
    return [[float(value) for value in line] for line in np.round(values, 3)]


NO_EXTRAS: Mapping[str, Extra] = {}
