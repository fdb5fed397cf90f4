"""The ways in which two answers to one prompt can differ, each read as a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitors.provider.baselines import Answer
from monitors.provider.checks import Verdict, judge
from monitors.provider.effects import Array
from monitors.provider.extras import NO_EXTRAS, Extra
from monitors.provider.prompts import Prompt
from monitors.settings import ProviderSettings

_CALLS = frozenset({"tool_calls", "function_call", "tool_use"})
_FINISHED = {"", "stop", "end_turn", "stop_sequence", *_CALLS}


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer with what is known of it.

    Args:
        extra: what models say of it, by feature; see `monitors.provider.extras`.
    """

    answer: Answer
    verdict: Verdict
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feature:
    """One way in which answers can differ.

    Args:
        read: the feature of an answer; None where the prompt does not ask for it.
        share: is it a difference of plain numbers? Else it is positive and compared by ratio.
        tolerance: a difference (or log ratio) within it does not matter.
        in_verdict: may it say "drift"? Latency may not: all calls of a day share one network,
            so they are not as many observations as they look.
    """

    name: str
    read: Callable[[Seen, ProviderSettings], float | None]
    unit: str
    share: bool
    tolerance: float
    in_verdict: bool = True


def _cost(seen: Seen, settings: ProviderSettings) -> float | None:
    # Today's prices on both sides: a new price list is not a new model.
    answer = seen.answer
    if answer.input_tokens is None or answer.output_tokens is None:
        return None
    cost = (
        answer.input_tokens * settings.usd_per_million_input_tokens
        + answer.output_tokens * settings.usd_per_million_output_tokens
    ) / 1e6
    return cost or None


def _latency(seen: Seen, _settings: ProviderSettings) -> float | None:
    answer = seen.answer
    if not answer.latency_ms or not answer.output_tokens:
        return None
    return answer.latency_ms / answer.output_tokens


def _cut_off(seen: Seen, _settings: ProviderSettings) -> float:
    return float(seen.answer.finish_reason not in _FINISHED)


def _calls(seen: Seen, _settings: ProviderSettings) -> float:
    return float(seen.answer.finish_reason in _CALLS)


FEATURES: tuple[Feature, ...] = (
    Feature("correctness", lambda s, _: s.verdict.correct.value, "ratio", True, 0.02),
    Feature("format", lambda s, _: s.verdict.format.value, "ratio", True, 0.02),
    Feature("first_option", lambda s, _: s.verdict.first_option, "ratio", True, 0.02),
    Feature("refusal", lambda s, _: float(s.verdict.refused), "ratio", True, 0.02),
    Feature("cut_off", _cut_off, "ratio", True, 0.02),
    Feature("judge", lambda s, _: s.extra.get("judge"), "ratio", True, 0.02),
    Feature("meaning", lambda s, _: s.extra.get("meaning"), "distance", True, 0.02),
    Feature("tool_calls", _calls, "ratio", True, 0.02),
    Feature("length", lambda s, _: len(s.answer.text) + 1.0, "characters", False, math.log(1.1)),
    Feature("cost", _cost, "usd", False, math.log(1.1)),
    Feature("latency", _latency, "ms", False, math.log(1.25), in_verdict=False),
)


Sides = tuple[list[Seen], list[Seen]]


def judged(
    prompts: Sequence[Prompt],
    pinned: Mapping[str, Sequence[Answer]],
    replayed: Mapping[str, Sequence[Answer]],
    extras: Mapping[str, Extra] = NO_EXTRAS,
) -> list[Sides]:
    """For each prompt with answers on both sides, both sides with their verdicts."""
    both = [p for p in prompts if pinned.get(p.id) and replayed.get(p.id)]
    # Every prompt gives the same numbers of answers, so that all of them weigh the same.
    r = min((len(pinned[p.id]) for p in both), default=0)
    m = min((len(replayed[p.id]) for p in both), default=0)
    answers = [[*pinned[p.id][:r], *replayed[p.id][:m]] for p in both]
    texts = [[answer.text for answer in mine] for mine in answers]
    told = {name: values for name, extra in extras.items() if (values := extra(both, texts))}
    table = []
    for place, (prompt, mine) in enumerate(zip(both, answers, strict=True)):
        seen = [
            Seen(
                answer,
                judge(prompt.check, answer.text),
                {name: values[place][k] for name, values in told.items()},
            )
            for k, answer in enumerate(mine)
        ]
        table.append((seen[:r], seen[r:]))
    return table


def pairs(
    feature: Feature, table: Sequence[Sides], settings: ProviderSettings
) -> tuple[Array, Array]:
    """The feature of the prompts that have it on both sides: K × r pinned, K × m replayed."""
    before, after = [], []
    for old, new in table:
        x = [feature.read(seen, settings) for seen in old]
        y = [feature.read(seen, settings) for seen in new]
        if None not in x and None not in y:
            before.append(x)
            after.append(y)
    return np.array(before, float), np.array(after, float)
