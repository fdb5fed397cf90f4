"""What a judge can see of an answer without a model: length, form, what it adds to its source."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from monitors.provider.checks import is_refusal
from monitors.quality.support import content_words, numbers_in, support

# Raise it whenever a feature is computed differently: artifacts of another version do not load.
FEATURES_VERSION = 1

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_NAME = re.compile(r"(?<=[\w,;:] )[A-ZÄÖÜÀ-Þ][^\W\d_]{2,}")
_YEAR = re.compile(r"\b(?:1[5-9]\d\d|20\d\d)\b")
_HEDGE = re.compile(
    r"\b(?:may|might|could|possibly|perhaps|generally|typically|usually|often|likely"
    r"|approximately|about)\b",
    re.IGNORECASE,
)
_FACT = re.compile(r"\s*(?:who|when|where|which|what year|how many|how much)\b", re.IGNORECASE)
_TASK = re.compile(r"\s*(?:write|create|generate|compose|design|draft)\b", re.IGNORECASE)

NAMES = (
    "log_output_characters",
    "log_input_characters",
    "log_output_words",
    "log_lines",
    "log_sentences",
    "mean_word_length",
    "distinct_words",
    "commas",
    "ends_a_sentence",
    "begins_with_digit",
    "code",
    "links",
    "refusal",
    "hedges",
    "log_numbers",
    "number_share",
    "log_new_numbers",
    "year",
    "log_names",
    "name_share",
    "input_covered",
    "from_input",
    "log_input_numbers",
    "input_is_question",
    "input_asks_fact",
    "input_asks_text",
    "has_context",
    "context_support",
    "log_numbers_beyond_context",
    "log_names_beyond_context",
    "cosine",
)


def features(asked: str, answer: str, context: str | None) -> list[float]:
    """`NAMES` without the last: ``cosine`` needs the embeddings.

    Args:
        context: the passages given, or None.
    """
    words = _WORD.findall(answer)
    n = max(len(words), 1)
    here, there = content_words(answer), content_words(asked)
    numbers, given = numbers_in(answer), set(numbers_in(asked))
    names = _NAME.findall(answer)
    stripped = answer.strip()
    return [
        math.log1p(len(answer)),
        math.log1p(len(asked)),
        math.log1p(len(words)),
        math.log1p(answer.count("\n")),
        math.log1p(len(_SENTENCE_END.findall(answer))),
        sum(map(len, words)) / n,
        len({word.casefold() for word in words}) / n,
        answer.count(",") / n,
        float(stripped[-1:] in {".", "!", "?", '"', "'", ")"}),
        float(stripped[:1].isdigit()),
        float("```" in answer or "def " in answer),
        math.log1p(answer.count("http")),
        float(is_refusal(answer)),
        len(_HEDGE.findall(answer)) / n,
        math.log1p(len(numbers)),
        len(numbers) / n,
        math.log1p(sum(number not in given for number in numbers)),
        float(_YEAR.search(answer) is not None),
        math.log1p(len(names)),
        len(names) / n,
        len(here & there) / max(len(there), 1),
        len(here & there) / max(len(here), 1),
        math.log1p(len(given)),
        float("?" in asked),
        float(_FACT.match(asked) is not None),
        float(_TASK.match(asked) is not None),
        *_against(context, asked, answer),
    ]


def _against(context: str | None, asked: str, answer: str) -> list[float]:
    if not context:
        return [0.0, 0.0, 0.0, 0.0]
    found = support(answer, f"{context}\n{asked}")
    return [
        1.0,
        found.mean,
        math.log1p(found.numbers_missing),
        math.log1p(found.names_missing),
    ]


def matrix(
    asked: list[str],
    answers: list[str],
    contexts: list[str | None],
    asked_vectors: NDArray[np.float32],
    answer_vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Shape (rows, len(NAMES)): all features."""
    plain = [features(*row) for row in zip(asked, answers, contexts, strict=True)]
    cosine = np.sum(asked_vectors * answer_vectors, axis=1, dtype=np.float64)
    table = np.array(plain, dtype=np.float64).reshape(len(plain), len(NAMES) - 1)
    return np.column_stack([table, cosine])
