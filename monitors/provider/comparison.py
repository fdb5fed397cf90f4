"""Provider drift: do today's answers to the pinned prompts differ from the pinned answers?"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import NormalDist

from sqlalchemy import select

from monitors.context import Context
from monitors.monitor import monitor
from monitors.provider.baselines import Answer, Baseline, current
from monitors.provider.extras import extras_of
from monitors.provider.replay import mismatch, prompts_of_day
from monitors.provider.verdict import ALPHA, MINIMUM_PROMPTS, Moved, compare_answers
from monitors.settings import ProviderSettings
from sql.measurement import Measurement, Status, unmeasured
from sql.tables import replay_answer
from sql.window import Grain, Window

_nothing = partial(unmeasured, "provider", "provider.drift", unit="fact")

# With less than half of the day's prompts answered there is no verdict.
MINIMUM_SHARE = 0.5
_WHOLE_SHARE = 0.95


@monitor(name="provider", grain=Grain.DAY, job="provider_drift")
def provider(window: Window, context: Context) -> Iterator[Measurement]:
    """Each provider's replay of the day against its pin.

    ``provider.drift{pin}`` is the verdict (1: the model moved; the reason names the features),
    ``provider.<feature>{pin}`` the effects, ``provider.model_changed{pin}`` whether another model
    id or fingerprint answered than in the pin, ``provider.answered_share{pin}`` how much of the
    replay there was. Too few answers are no verdict.
    """
    if not context.settings.providers:
        yield _nothing(window, Status.NO_DATA, "no_provider")
    for settings in context.settings.providers.values():
        yield from _of_provider(settings, window, context)


def _of_provider(
    settings: ProviderSettings, window: Window, context: Context
) -> Iterator[Measurement]:
    labels = {"pin": settings.pin}
    pinned = current(settings.pin, context, at=window.end)
    if pinned is None:
        yield _nothing(window, Status.NO_DATA, "not_pinned", labels=labels)
        return
    if reason := mismatch(pinned, settings, context):
        yield _nothing(window, Status.ERROR, reason, labels=labels)
        return
    answers, failures = replayed_answers(pinned, window, context)
    wanted = len(prompts_of_day(pinned, settings, window))
    if not answers and not failures:
        yield _nothing(window, Status.NO_DATA, "not_replayed", labels=labels)
        return
    common = failures.most_common(1)[0][0] if failures else "unasked"
    yield _answered_share(window, labels, len(answers), wanted, common)
    if not answers:
        yield _nothing(window, Status.ERROR, common, labels=labels)
        return
    yield _model_changed(pinned, answers, window, labels)
    if len(answers) < max(MINIMUM_PROMPTS, math.ceil(MINIMUM_SHARE * wanted)):
        reason = common if len(answers) < wanted else "few_prompts"
        yield _nothing(window, Status.INSUFFICIENT, reason, labels=labels, n=len(answers))
        return
    whole = len(answers) >= _WHOLE_SHARE * wanted
    found = compare_answers(
        pinned.prompts,
        pinned.answers,
        answers,
        settings,
        extras=extras_of(settings, context),
        seed=seed_of(settings.pin, window),
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


def seed_of(pin: str, window: Window) -> int:
    """Of the permutations: the same answers in the same window have the same p-values.

    A pin's digest would not do: it holds how long each answer took.
    """
    return int(hashlib.sha256(f"{pin}/{window}".encode()).hexdigest()[:12], 16)


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
        f"{ALPHA:.2g} for a feature whose 95 % interval lies beyond its tolerance",
        status=status,
        reason=" ".join(moved) or reason,
        unit="fact",
    )


def _measured(
    each: Moved, window: Window, labels: Mapping[str, str], status: Status, reason: str
) -> Measurement:
    feature, effect = each.feature, each.effect
    # 80 % power at the verdict's level: (z of 1 − alpha / 2) + (z of 0.8) standard errors.
    detectable = (NormalDist().inv_cdf(1 - ALPHA / 2) + 0.8416) * effect.standard_error
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
        method=f"p-value; dealt anew within prompts{corrected}; {scale}, laid at the pin",
        status=status,
        reason=reason,
        unit=feature.unit,
    )
