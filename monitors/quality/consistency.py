"""Is the same question answered the same way? Repeated questions among the week's sampled rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.logs.sampled import stream_sample
from monitors.monitor import monitor
from monitors.quality import slices
from monitors.quality.same_answer import agree, question
from monitors.quality.slices import WHOLE, Slice
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

_DAYS = 7
# A popular question speaks as one of many, and a large log costs no more than this in vectors.
_ROWS_OF_ONE, _QUESTIONS = 10, 500
_NORMAL = 1.959964


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """A question within a feature, by digest: the same every day, so that the same are chosen."""

    digest: bytes
    feature: str


@monitor(name="consistency", grain=Grain.DAY)
def consistency(window: Window, context: Context) -> Iterator[Measurement]:
    """``correctness.consistency``: share of pairs of answers to one question that agree.

    Among the sampled rows of the day and the six days before that users were served, overall and
    by feature. One question: the same input but for case and white space, within a feature. Short
    answers agree by words and numbers (`monitors.quality.same_answer`), others where the cosine of
    their embeddings is ``[quality] consistency_cosine`` or more; so a long answer that contradicts
    another in one number agrees with it. Questions are the clusters of the interval. Passages
    that changed between two askings count as disagreement, too. Days share six days of rows with
    the next, so there is no baseline and no evidence here.
    """
    span = replace(window, start=window.shift(1 - _DAYS).start)
    rows = Counter(asked for asked, _ in _answers(span, context))
    repeated = sorted(asked for asked, count in rows.items() if count > 1)[:_QUESTIONS]
    answers: dict[Asked, list[str]] = {asked: [] for asked in repeated}
    for asked, output in _answers(span, context) if answers else ():
        if asked in answers and len(answers[asked]) < _ROWS_OF_ONE:
            answers[asked].append(output)
    verdicts = _verdicts(answers, context)
    yield _share(window, context, WHOLE, list(verdicts.values()))
    features = {asked.feature for asked in verdicts if asked.feature}
    sizes = {("feature", name): 1.0 for name in features}
    for place in slices.reported(sizes):
        some = [found for asked, found in verdicts.items() if asked.feature == place[1]]
        yield _share(window, context, place, some)


def _answers(span: Window, context: Context) -> Iterator[tuple[Asked, str]]:
    """Question and answer of each row that has both; in the order of the keys, always the same."""
    for part in stream_sample(span, context):
        batch = part.batch
        columns = (
            batch[name] if name in batch else [None] * len(batch)
            for name in ("input", "output", "feature", "shadow_of", "error_type")
        )
        for asked, output, feature, shadow_of, error in zip(*columns, strict=True):
            text = question(asked)
            if text is None or not output or shadow_of or error:
                continue
            place = str(feature or "")
            digest = hashlib.sha256(f"{place}\0{text}".encode("utf-8", "replace")).digest()[:16]
            yield Asked(digest, place), output


def _verdicts(
    answers: Mapping[Asked, Sequence[str]], context: Context
) -> dict[Asked, NDArray[np.float64]]:
    """Of each question, one number a pair of its answers: 1 where they agree."""
    found = {
        asked: [(one, other, agree(one, other)) for one, other in combinations(texts, 2)]
        for asked, texts in answers.items()
    }
    unclear = {
        text
        for pairs in found.values()
        for one, other, verdict in pairs
        if verdict is None
        for text in (one, other)
    }
    vectors: dict[str, NDArray[np.float32]] = {}
    if unclear:  # the model is not loaded for nothing
        texts = sorted(unclear)
        vectors = dict(zip(texts, context.embedder().embed(texts), strict=True))
    least = context.settings.quality.consistency_cosine

    def said(one: str, other: str, verdict: bool | None) -> bool:
        return verdict if verdict is not None else float(vectors[one] @ vectors[other]) >= least

    return {
        asked: np.array([said(*pair) for pair in pairs], dtype=np.float64)
        for asked, pairs in found.items()
    }


def _share(
    window: Window, context: Context, place: Slice, questions: Sequence[NDArray[np.float64]]
) -> Measurement:
    about: dict[str, Any] = {
        "monitor": "consistency",
        "metric": "correctness.consistency",
        "labels": slices.labels(place),
        "window": window,
    }
    if not questions:
        return Measurement(**about, n=0, status=Status.NO_DATA, reason="no_repeats")
    if len(questions) < 2:
        return Measurement(**about, n=1, status=Status.INSUFFICIENT, reason="too_few")
    value, low, high = clustered_share(questions)
    few = len(questions) < context.settings.quality.minimum_n
    return Measurement(
        **about,
        n=len(questions),
        value=value,
        low=low,
        high=high,
        method=f"{sum(map(len, questions))} pairs of answers to n questions of seven days; "
        "Wilson at the effective n, questions as clusters",
        status=Status.INSUFFICIENT if few else Status.COMPLETE,
        reason="too_few" if few else "",
    )


def clustered_share(clusters: Sequence[NDArray[np.float64]]) -> tuple[float, float, float]:
    """The share of ones over all clusters and its 95 % interval: Wilson's at the effective n that
    the variance by clusters implies, shortened by Student's t (Korn & Graubard 1998).

    Args:
        clusters: two at least, of zeros and ones; none is empty.
    """
    from scipy import special

    from monitors.statistics.clusters import contrast
    from monitors.statistics.intervals import wilson

    values = np.concatenate(clusters)
    mean, count = float(values.mean()), len(clusters)
    if mean in (0.0, 1.0):  # each cluster has said it once
        return mean, *wilson(mean * count, count)
    numbers = np.repeat(np.arange(count), [len(cluster) for cluster in clusters])
    one_group = np.zeros(len(values), dtype=np.intp)
    found = contrast(values, np.ones(len(values)), numbers, one_group, [1.0])
    student = float(special.stdtrit(found.degrees, 0.975)) / _NORMAL
    effective = mean * (1 - mean) / (found.error * student) ** 2
    effective = min(max(effective, 1.0), float(len(values)))
    return mean, *wilson(mean * effective, effective)
