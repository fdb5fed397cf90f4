"""What goes wrong in the demo, when, and which measurements must say so.

Days count from the log's first day, which is day 0. The first three weeks are healthy: they are
the reference. Also planted are things that must alarm nobody: the week's season, growth, a prompt
version that is rolled out step by step and is as good as the one before (`ROLL_OUT`), and a canary
that is the same as the control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from sql.window import Grain, Window


@dataclass(frozen=True, slots=True)
class Signal:
    """A kind of incident that the suite may open.

    Args:
        metric: a glob, for example ``operations.latency_*``.
        labels: these labels and values must be among those of the incident; a value may be a glob.
        grain: of the windows in which it can open.
    """

    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    grain: Grain = Grain.DAY


@dataclass(frozen=True, slots=True)
class PlantedIncident:
    """One thing that goes wrong.

    Args:
        key: its name in the scorecard.
        first, last: the days on which it shows in the log.
        what: what changes in the traffic.
        expects: at least one of these must open.
        also: these may open because of it, and are no false alarms.
        due: the last day of the window by which it must be found.
    """

    key: str
    title: str
    first: date
    last: date
    what: str
    expects: tuple[Signal, ...]
    also: tuple[Signal, ...]
    due: date


@dataclass(frozen=True, slots=True)
class Span:
    """Days from ``first`` to ``last``, both included, counted from the log's first day."""

    first: int
    last: int

    def __contains__(self, day: int) -> bool:
        return self.first <= day <= self.last


NEW_TOPIC = Span(28, 48)
LATENCY = Span(35, 41)
LEAK = Span(43, 46)
PROVIDER = Span(49, 58)
COST = Span(59, 62)
MISSING = Span(65, 65)
STALE_JUDGE = Span(63, 90)
ROLL_OUT = Span(24, 30)

SLOWER = 1.35
LEAK_SHARE = 0.015
MORE_TOKENS = 1.8


@dataclass(frozen=True, slots=True)
class Effects:
    """What is different on a day; the defaults are a healthy one.

    Args:
        new_topic: share of requests that are about it.
        slower: factor on the time of ``draft_reply``.
        leak: share of the outputs of ``answer`` that hold another customer's data.
        updated: does another model answer behind the same name?
        tokens: factor on the tokens of ``summarise_ticket``.
        missing: is the day not in the log at all?
        confident: share of ``answer`` under the prompt version that sounds right and is not.
        rolled_out: share of ``draft_reply`` under the new, equally good prompt version.
    """

    new_topic: float = 0.0
    slower: float = 1.0
    leak: float = 0.0
    updated: bool = False
    tokens: float = 1.0
    missing: bool = False
    confident: float = 0.0
    rolled_out: float = 0.0


def effects(day: int) -> Effects:
    """What is planted on the ``day``-th day of the log."""
    return Effects(
        new_topic=_new_topic(day),
        slower=SLOWER if day in LATENCY else 1.0,
        leak=LEAK_SHARE if day in LEAK else 0.0,
        updated=day in PROVIDER,
        tokens=MORE_TOKENS if day in COST else 1.0,
        missing=day in MISSING,
        confident=_steps(day, STALE_JUDGE.first, ((0, 0.5), (2, 1.0))) * (day in STALE_JUDGE),
        rolled_out=_steps(day, ROLL_OUT.first, ((0, 0.1), (3, 0.5), (6, 1.0))),
    )


def _new_topic(day: int) -> float:
    """From 3 to 8 % in two weeks; in the third it fades."""
    if day not in NEW_TOPIC:
        return 0.0
    week_three = NEW_TOPIC.first + 14
    if day < week_three:
        return 0.03 + 0.05 * (day - NEW_TOPIC.first) / 13
    return 0.08 - 0.07 * (day - week_three) / 6


def _steps(day: int, start: int, steps: tuple[tuple[int, float], ...]) -> float:
    return max((share for after, share in steps if day >= start + after), default=0.0)


def plan(first_day: date, weeks: int) -> list[PlantedIncident]:
    """Everything planted in a log of ``weeks`` weeks from ``first_day``, in order of time."""
    days = 7 * weeks
    found = []
    for key, (span, title, what, expects, also, patience) in _PLANTED.items():
        if span.first >= days:
            continue
        first = first_day + timedelta(days=span.first)
        last = first_day + timedelta(days=min(span.last, days - 1))
        due = _due(first, last, expects[0].grain, patience)
        found.append(PlantedIncident(key, title, first, last, what, expects, also, due))
    return found


def _due(first: date, last: date, grain: Grain, patience: int) -> date:
    """The end of the window by which it must be found: ``patience`` windows after the first."""
    if grain is Grain.DAY:
        return first + timedelta(days=patience)
    # A month is judged by its reviews, of which most should lie in the incident.
    window = Window.of(first if grain is Grain.WEEK else last, grain).shift(patience)
    return window.next().first_day - timedelta(days=1)


_WEEK, _MONTH, _QUARTER = Grain.WEEK, Grain.MONTH, Grain.QUARTER
_Entry = tuple[Span, str, str, tuple[Signal, ...], tuple[Signal, ...], int]

_PLANTED: Mapping[str, _Entry] = {
    "new_topic": (
        NEW_TOPIC,
        "A new topic",
        "Customers ask about a recall that nobody asked about before: 3 % of all requests, 8 % two "
        "weeks later, then fewer again.",
        (
            Signal("drift.embedding.density_scan", grain=_WEEK),
            Signal("drift.embedding.novelty", grain=_WEEK),
            Signal("drift.embedding.mmd", grain=_WEEK),
        ),
        (
            Signal("drift.embedding.*", grain=_WEEK),
            Signal("drift.input.*", {"column": "input_*"}, _WEEK),
            Signal("evaluation.coverage", grain=_QUARTER),
        ),
        1,
    ),
    "latency": (
        LATENCY,
        "Slower drafts",
        "draft_reply takes 35 % longer, and so does its first token.",
        (
            Signal("operations.latency_*", {"feature": "draft_reply"}),
            Signal("operations.latency_*", {"interaction_type": "progressive"}),
            Signal("operations.time_to_first_token_*", {"interaction_type": "progressive"}),
        ),
        (
            Signal("operations.latency_*"),
            Signal("operations.time_to_first_token_*"),
            Signal("operations.stage_*"),
            Signal("operations.over_budget_share", {"interaction_type": "progressive"}),
            Signal("drift.input.*", {"column": "latency_ms"}, _WEEK),
        ),
        3,
    ),
    "leak": (
        LEAK,
        "Leaked data",
        "1.5 % of the outputs of answer name another customer's e-mail address or telephone.",
        (Signal("safety.pass_rate", {"scorer": "pii"}),),
        (Signal("safety.pass_rate", {"scorer": "pii"}),),
        1,
    ),
    "provider_update": (
        PROVIDER,
        "The provider's update",
        "Another build answers for nw-large: worse by 25 points, shorter, references wrong, some "
        "JSON not readable. After ten days the provider takes it back.",
        (
            Signal("provider.drift"),
            Signal("provider.model_changed"),
            Signal("provider.served_model_changed", {"request_model": "nw-large"}),
            Signal("correctness.score", {"scorer": "judge"}),
        ),
        (
            Signal("provider.*"),
            Signal("correctness.*"),
            Signal("usefulness.*"),
            Signal("delight.*"),
            Signal("safety.pass_rate", {"scorer": "refusal"}),
            Signal("intake.null_share", {"column": "time_to_task_s"}),
            Signal("operations.completion_rate"),
            Signal("operations.output_tokens"),
            Signal("comparison.*"),
            Signal("drift.input.*", {"column": "output_*"}, _WEEK),
            Signal("review.*", grain=_MONTH),
        ),
        3,
    ),
    "cost": (
        COST,
        "Dearer summaries",
        "summarise_ticket reads and thinks 1.8 times as many tokens.",
        (Signal("operations.cost_per_day"), Signal("operations.cost_per_request")),
        (
            Signal("operations.cost_*"),
            Signal("operations.*_tokens"),
            Signal("drift.input.*", {"column": "*_tokens"}, _WEEK),
            Signal("drift.input.*", {"column": "cost_usd"}, _WEEK),
        ),
        2,
    ),
    "missing_day": (
        MISSING,
        "A missing day",
        "Not one row of the day is in the log.",
        (Signal("intake.*"), Signal("operations.requests"), Signal("coverage.*")),
        (Signal("intake.*"), Signal("*.error")),
        1,
    ),
    "stale_judge": (
        STALE_JUDGE,
        "A stale judge",
        "A new prompt version of answer is fluent and sure of itself, and often takes the wrong "
        "passage: people's verdict falls, the judge's does not.",
        (
            Signal("review.judge_agreement", {"scorer": "judge"}, _MONTH),
            Signal("review.*", grain=_MONTH),
            Signal("evaluation.*", grain=_QUARTER),
        ),
        (
            Signal("correctness.*"),
            Signal("usefulness.*"),
            Signal("delight.*"),
            Signal("intake.null_share", {"column": "time_to_task_s"}),
            Signal("comparison.*"),
            Signal("evaluation.*"),
        ),
        0,
    ),
}
