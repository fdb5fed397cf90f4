"""Harbour, an imaginary shop for outdoor gear, and the assistant that its support uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What became of an answer. The log does not tell; the generator knows.

    ``WRONG_NUMBER`` contradicts the passages, ``INVENTED`` ignores them, ``WRONG_PASSAGE`` rests on
    a passage about something else (nothing on its surface is wrong), ``BROKEN`` is not in the form
    that was asked for.
    """

    GOOD = 0
    FAIR = 1
    WRONG_NUMBER = 2
    INVENTED = 3
    TRUNCATED = 4
    OFF_TOPIC = 5
    EVASIVE = 6
    REFUSAL = 7
    WRONG_PASSAGE = 8
    BROKEN = 9
    TEMPLATE = 10
    NONE = 11


@dataclass(frozen=True, slots=True)
class Truth:
    """What a careful person would think of a kind of answer, and what users do with it.

    Args:
        dimensions: accuracy, helpfulness, tone, completeness, safety, each 1 to 5.
        accepted, regenerated, completed: probabilities.
        rating: mean of the users' ratings.
        edited: mean share that is edited before it is used.
    """

    dimensions: tuple[float, float, float, float, float]
    accepted: float
    regenerated: float
    completed: float
    rating: float
    edited: float

    @property
    def good(self) -> bool:
        return self.dimensions[0] >= 4


TRUTH: Mapping[Kind, Truth] = {
    Kind.GOOD: Truth((5.0, 4.8, 4.8, 4.8, 5.0), 0.88, 0.03, 0.88, 4.6, 0.06),
    Kind.FAIR: Truth((4.9, 4.1, 4.2, 3.7, 5.0), 0.78, 0.07, 0.80, 4.1, 0.14),
    Kind.WRONG_NUMBER: Truth((1.6, 2.0, 4.5, 3.9, 4.4), 0.52, 0.20, 0.34, 2.6, 0.38),
    Kind.INVENTED: Truth((1.2, 1.7, 4.2, 2.6, 4.0), 0.40, 0.28, 0.28, 2.2, 0.52),
    Kind.TRUNCATED: Truth((2.2, 2.1, 3.4, 1.4, 5.0), 0.22, 0.46, 0.30, 2.0, 0.48),
    Kind.OFF_TOPIC: Truth((1.2, 1.2, 4.0, 1.2, 4.9), 0.07, 0.52, 0.16, 1.4, 0.85),
    Kind.EVASIVE: Truth((2.1, 1.6, 3.4, 1.5, 5.0), 0.14, 0.44, 0.22, 1.8, 0.70),
    Kind.REFUSAL: Truth((2.0, 1.2, 3.0, 1.2, 5.0), 0.06, 0.50, 0.14, 1.4, 0.92),
    Kind.WRONG_PASSAGE: Truth((1.6, 2.0, 4.8, 4.1, 4.5), 0.80, 0.06, 0.36, 3.6, 0.14),
    Kind.BROKEN: Truth((2.2, 2.0, 3.4, 3.2, 5.0), 0.30, 0.40, 0.30, 2.2, 0.40),
    Kind.TEMPLATE: Truth((2.4, 1.6, 4.0, 1.4, 5.0), 0.16, 0.30, 0.22, 2.2, 0.80),
    Kind.NONE: Truth((1.0, 1.0, 3.0, 1.0, 5.0), 0.0, 0.0, 0.0, 1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is asked for, and what its provider says has answered.

    Args:
        price: US dollars for a million tokens of input and of output.
    """

    provider: str
    request: str
    response: str
    fingerprint: str
    price: tuple[float, float]


FAST = Model("lumen", "lumen-mini-2", "lumen-mini-2-0415", "fp_7d21c0", (0.15, 0.60))
STRONG = Model("northwind", "nw-large", "nw-large-0302", "fp_3ac91e", (2.50, 10.00))
# What answers for nw-large while the provider's update lasts.
UPDATED = Model("northwind", "nw-large", "nw-large-0611", "fp_e08b57", (2.50, 10.00))
SHADOW = Model("lumen", "lumen-large-2", "lumen-large-2-0520", "fp_51f3aa", (2.00, 8.00))
MODELS = (FAST, STRONG, UPDATED, SHADOW)


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of the assistant.

    Args:
        share: of all requests.
        versions: of its prompt, the older first.
        latency_ms: median of a warm request, and its standard deviation on the log scale.
        first_token_ms: the same for the first token; None where the answer comes whole.
        prompt_tokens: of the instructions that go with every request.
        feedback: share of the answers of which it is known whether they were taken.
    """

    name: str
    interaction_type: str
    share: float
    model: Model
    versions: tuple[str, str]
    latency_ms: tuple[float, float]
    first_token_ms: tuple[float, float] | None
    prompt_tokens: int
    feedback: float


FEATURES = (
    Feature("answer", "sync", 0.45, FAST, ("answer-4", "answer-5"), (470, 0.29), None, 210, 0.70),
    Feature(
        "draft_reply",
        "progressive",
        0.30,
        STRONG,
        ("draft-2", "draft-3"),
        (2500, 0.27),
        (235, 0.28),
        340,
        0.75,
    ),
    Feature(
        "summarise_ticket",
        "async",
        0.25,
        STRONG,
        ("summary-1", "summary-1"),
        (6200, 0.36),
        None,
        420,
        0.45,
    ),
)
ANSWER, DRAFT, SUMMARY = range(3)

SEGMENTS = ("guest", "member", "trade", "marketplace")
SEGMENT_SHARES = (0.38, 0.40, 0.12, 0.10)
LANGUAGES = ("en-GB", "en-US", "en-IE")
# Monday to Sunday; the weekend buys and does not trade.
WEEKDAYS = (1.14, 1.07, 1.03, 1.00, 0.96, 0.84, 0.96)
WEEKEND_TRADE = 0.5
GROWTH_A_WEEK = 0.007
HOURS = (6, 4, 3, 2, 2, 4, 9, 18, 34, 50, 60, 64, 62, 58, 57, 56, 54, 52, 54, 58, 56, 46, 30, 15)
CANARY_SHARE = 0.1

# Kind → share, by which answers are good or fail. Golden examples are drawn from the healthy mix.
HEALTHY: Mapping[Kind, float] = {
    Kind.GOOD: 0.615,
    Kind.FAIR: 0.20,
    Kind.WRONG_NUMBER: 0.050,
    Kind.INVENTED: 0.035,
    Kind.TRUNCATED: 0.020,
    Kind.OFF_TOPIC: 0.023,
    Kind.EVASIVE: 0.026,
    Kind.REFUSAL: 0.016,
    Kind.WRONG_PASSAGE: 0.005,
    Kind.BROKEN: 0.010,
}
# While another build answers for nw-large.
WORSE: Mapping[Kind, float] = {
    Kind.GOOD: 0.255,
    Kind.FAIR: 0.31,
    Kind.WRONG_NUMBER: 0.145,
    Kind.INVENTED: 0.060,
    Kind.TRUNCATED: 0.065,
    Kind.OFF_TOPIC: 0.030,
    Kind.EVASIVE: 0.045,
    Kind.REFUSAL: 0.025,
    Kind.WRONG_PASSAGE: 0.010,
    Kind.BROKEN: 0.055,
}
# Sure of itself and wrong: what fails looks as good as what does not.
CONFIDENT: Mapping[Kind, float] = {**HEALTHY, Kind.GOOD: 0.165, Kind.WRONG_PASSAGE: 0.455}
MIXES = (HEALTHY, WORSE, CONFIDENT)

SYSTEM_PROMPTS = {
    "answer": "You are Harbour's assistant. Answer shoppers in at most three short sentences and "
    "rest every statement on the passages below.",
    "draft_reply": "You help Harbour's support staff. Write a friendly reply to the customer's "
    "message, resting every statement on the passages below.",
    "summarise_ticket": "You file support tickets for Harbour. Return one JSON object with the "
    "keys category, order, summary and open, and nothing around it.",
}
