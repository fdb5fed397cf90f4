"""Provider drift: do today's answers to the pinned prompts differ from the pinned answers?"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.provider.baselines import Answer, Baseline, current
from monitors.provider.checks import Verdict, judge
from monitors.provider.effects import Effect, compare
from monitors.provider.extras import NO_EXTRAS, Extra, extras_of
from monitors.provider.prompts import Prompt
from monitors.provider.replay import mismatch, prompts_of_day
from monitors.settings import ProviderSettings
from sql.measurement import Measurement, Status
from sql.tables import replay_answer
from sql.window import Grain, Window

# A replay every day at this level costs 0.4 false verdicts a year, before the tolerance.
ALPHA = 0.001
# Below so many pairs, or so small a part of the pin, there is no verdict.
MINIMUM_PROMPTS = 20
MINIMUM_SHARE = 0.5
_WHOLE_SHARE = 0.95
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


@dataclass(frozen=True, slots=True)
class Moved:
    """One feature's effect with its evidence after Holm's correction, and the decision."""

    feature: Feature
    effect: Effect
    p: float
    moved: bool


def compare_answers(
    prompts: Sequence[Prompt],
    pinned: Mapping[str, Sequence[Answer]],
    replayed: Mapping[str, Sequence[Answer]],
    settings: ProviderSettings,
    *,
    extras: Mapping[str, Extra] = NO_EXTRAS,
    alpha: float = ALPHA,
    seed: int = 0,
    draws: int = 19_999,
) -> list[Moved]:
    """Every feature that at least `MINIMUM_PROMPTS` prompts have on both sides.

    A feature has moved when its p-value, corrected by Holm over the features of the verdict, is
    at most ``alpha`` *and* the whole 95 % interval of the effect lies beyond the tolerance. A
    feature in which no prompt's answers differ cannot reject, so it costs no correction (Tarone
    1990).

    Args:
        extras: what models say of answers, by feature.
    """
    effects: list[tuple[Feature, Effect]] = []
    table = judged(prompts, pinned, replayed, extras)
    for feature in FEATURES:
        effect = _effect(feature, table, settings, seed, draws)
        if effect is not None:
            effects.append((feature, effect))
    from monitors.statistics.multiplicity import holm

    family = [(f.name, e.p) for f, e in effects if f.in_verdict and e.testable]
    corrected = holm([p for _, p in family])
    by_name = {name: float(p) for (name, _), p in zip(family, corrected, strict=True)}
    found = []
    for feature, effect in effects:
        p = by_name.get(feature.name, effect.p)
        moved = feature.in_verdict and p <= alpha and effect.beyond(feature.tolerance)
        found.append(Moved(feature, effect, p, moved))
    return found


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


def _effect(
    feature: Feature, table: Sequence[Sides], settings: ProviderSettings, seed: int, draws: int
) -> Effect | None:
    before, after = [], []
    for old, new in table:
        x = [feature.read(seen, settings) for seen in old]
        y = [feature.read(seen, settings) for seen in new]
        if None not in x and None not in y:
            before.append(x)
            after.append(y)
    if len(before) < MINIMUM_PROMPTS:
        return None
    pinned, replayed = np.array(before, float), np.array(after, float)
    if not feature.share:
        pinned, replayed = np.log(pinned), np.log(replayed)
    return compare(pinned, replayed, share=feature.share, draws=draws, seed=seed)


# ── the monitor ──────────────────────────────────────────────────────────────────────────────


@monitor(name="provider", grain=Grain.DAY, job="provider_drift")
def provider(window: Window, context: Context) -> Iterator[Measurement]:
    """Each provider's replay of the day against its pin.

    ``provider.drift{pin}`` is the verdict (1: the model moved; the reason names the features),
    ``provider.<feature>{pin}`` the effects, ``provider.model_changed{pin}`` whether another model
    id or fingerprint answered than in the pin, ``provider.answered_share{pin}`` how much of the
    replay there was. Too few answers are no verdict.
    """
    if not context.settings.providers:
        yield _nothing(window, {}, Status.NO_DATA, "no_provider")
    for settings in context.settings.providers.values():
        yield from _of_provider(settings, window, context)


def _of_provider(
    settings: ProviderSettings, window: Window, context: Context
) -> Iterator[Measurement]:
    labels = {"pin": settings.pin}
    pinned = current(settings.pin, context, at=window.end)
    if pinned is None:
        yield _nothing(window, labels, Status.NO_DATA, "not_pinned")
        return
    if reason := mismatch(pinned, settings, context):
        yield _nothing(window, labels, Status.ERROR, reason)
        return
    answers, failures = replayed_answers(pinned, window, context)
    wanted = len(prompts_of_day(pinned, settings, window))
    if not answers and not failures:
        yield _nothing(window, labels, Status.NO_DATA, "not_replayed")
        return
    common = failures.most_common(1)[0][0] if failures else "unasked"
    yield _answered_share(window, labels, len(answers), wanted, common)
    if not answers:
        yield _nothing(window, labels, Status.ERROR, common)
        return
    yield _model_changed(pinned, answers, window, labels)
    if len(answers) < max(MINIMUM_PROMPTS, math.ceil(MINIMUM_SHARE * wanted)):
        reason = common if len(answers) < wanted else "few_prompts"
        yield _nothing(window, labels, Status.INSUFFICIENT, reason, len(answers))
        return
    whole = len(answers) >= _WHOLE_SHARE * wanted
    found = compare_answers(
        pinned.prompts,
        pinned.answers,
        answers,
        settings,
        extras=extras_of(settings, context),
        seed=seed_of(pinned, window),
    )
    status = Status.COMPLETE if whole else Status.PARTIAL
    yield _verdict(found, len(answers), window, labels, status, "" if whole else common)
    for each in found:
        yield _measured(each, window, labels, status, "" if whole else common)


def replayed_answers(
    pinned: Baseline, window: Window, context: Context
) -> tuple[dict[str, list[Answer]], Counter[str]]:
    """The window's answers by prompt, and how many there are not, by reason."""
    table = replay_answer.c
    rows = context.store.rows(
        select(replay_answer)
        .where(table.baseline_digest == pinned.digest, table.window_start == window.start)
        .order_by(table.prompt_id, table.repeat)
    )
    answers: dict[str, list[Answer]] = {}
    failures: Counter[str] = Counter()
    for row in rows:
        if row.error:
            failures[row.error] += 1
        elif row.answer is not None:  # None: retention has removed the text
            answer = Answer(
                text=row.answer,
                model=row.response_model,
                fingerprint=row.system_fingerprint,
                finish_reason=row.finish_reason,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                latency_ms=row.latency_ms,
                cost_usd=row.cost_usd,
            )
            answers.setdefault(row.prompt_id, []).append(answer)
        else:
            failures["text_removed"] += 1
    return answers, failures


def seed_of(pinned: Baseline, window: Window) -> int:
    """Of the permutations: the same window, measured again, has the same p-values."""
    return int(hashlib.sha256(f"{pinned.digest}/{window}".encode()).hexdigest()[:12], 16)


def _nothing(
    window: Window, labels: Mapping[str, str], status: Status, reason: str, n: int = 0
) -> Measurement:
    return Measurement(
        monitor="provider",
        metric="provider.drift",
        labels=labels,
        window=window,
        n=n,
        status=status,
        reason=reason,
        unit="fact",
    )


def _answered_share(
    window: Window, labels: Mapping[str, str], answered: int, wanted: int, reason: str
) -> Measurement:
    from monitors.statistics.intervals import wilson

    low, high = wilson(answered, wanted)
    return Measurement(
        monitor="provider",
        metric="provider.answered_share",
        labels=labels,
        window=window,
        value=answered / wanted,
        low=low,
        high=high,
        n=wanted,
        baseline=1.0,
        method="pinned prompts with an answer today; Wilson",
        reason="" if answered == wanted else reason,
    )


def _model_changed(
    pinned: Baseline,
    answers: Mapping[str, Sequence[Answer]],
    window: Window,
    labels: Mapping[str, str],
) -> Measurement:
    def served(sides: Mapping[str, Sequence[Answer]]) -> Counter[tuple[str, str]]:
        return Counter((a.model, a.fingerprint) for side in sides.values() for a in side)

    before, now = served(pinned.answers), served(answers)
    new = {pair for pair in now if pair not in before}
    models = {model for model, _ in new} - {model for model, _ in before}
    return Measurement(
        monitor="provider",
        metric="provider.model_changed",
        labels=labels,
        window=window,
        value=float(bool(new)),
        baseline=0.0,
        n=sum(now.values()),
        method="fact; a model id or fingerprint answers that did not when the pin was made",
        reason="model" if models else "fingerprint" if new else "",
        unit="fact",
    )


def _verdict(
    found: Sequence[Moved],
    prompts: int,
    window: Window,
    labels: Mapping[str, str],
    status: Status,
    reason: str,
) -> Measurement:
    family = [each for each in found if each.feature.in_verdict]
    moved = [each.feature.name for each in family if each.moved]
    names = ", ".join(each.feature.name for each in family)
    return Measurement(
        monitor="provider",
        metric="provider.drift",
        labels=labels,
        window=window,
        value=float(bool(moved)),
        baseline=0.0,
        evidence=min((each.p for each in family), default=1.0),
        n=prompts,
        method=f"p-value; the smallest of {names} after Holm's correction; 1 when it is at most "
        f"{ALPHA:g} for a feature whose 95 % interval lies beyond its tolerance",
        status=status,
        reason=" ".join(moved) or reason,
        unit="fact",
    )


def _measured(
    each: Moved, window: Window, labels: Mapping[str, str], status: Status, reason: str
) -> Measurement:
    feature, effect = each.feature, each.effect
    # 80 % power at the verdict's level: (z of 1 − alpha / 2) + (z of 0.8) standard errors.
    detectable = (3.2905 + 0.8416) * effect.standard_error
    if feature.share:
        value, baseline = effect.replayed, effect.pinned
        top = 1.0 if feature.unit == "ratio" else 2.0
        low, high = max(0.0, baseline + effect.low), min(top, baseline + effect.high)
        scale = "mean over prompts; interval of the paired difference (Agresti & Min)"
    else:
        value, baseline = math.exp(effect.replayed), math.exp(effect.pinned)
        low, high = baseline * math.exp(effect.low), baseline * math.exp(effect.high)
        detectable = baseline * math.expm1(min(detectable, 50.0))
        scale = "geometric mean over prompts; interval of the paired log ratio (t)"
    corrected = ", Holm" if feature.in_verdict else ", uncorrected and not part of the verdict"
    return Measurement(
        monitor="provider",
        metric=f"provider.{feature.name}",
        labels=labels,
        window=window,
        value=value,
        low=min(low, value),
        high=max(high, value),
        baseline=baseline,
        evidence=each.p,
        detectable=detectable,
        n=effect.n,
        method=f"p-value; permutation within prompts{corrected}; {scale}, laid at the pin",
        status=status,
        reason=reason,
        unit=feature.unit,
    )
