"""A slow slide: changes too small for one day's replay, seen in a week of them.

The answers of the last days, together, against the pin's. Under "nothing changed" all answers to a
prompt are exchangeable whatever day they are of, so for features that are yes or no the number of
a prompt's good answers that fall to the pin is hypergeometric, and their sum over prompts has an
exact distribution: no draws, no approximation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitors.context import Context
from monitors.monitor import monitor
from monitors.provider.baselines import Answer, Baseline, current
from monitors.provider.comparison import replayed_answers
from monitors.provider.features import FEATURES, judged, pairs
from monitors.provider.prompts import Prompt
from monitors.provider.replay import mismatch
from monitors.provider.verdict import Moved, decided
from monitors.settings import ProviderSettings
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

# Looked at every day beside the day's own verdict: 0.05 false verdicts a year more, at most.
ALPHA = 0.05 / 365
DAYS, MINIMUM_DAYS = 7, 5
RATES = ("correctness", "format", "refusal", "cut_off")


@monitor(name="provider_slide", grain=Grain.DAY, job="provider_drift")
def provider_slide(window: Window, context: Context) -> Iterator[Measurement]:
    """Each provider's replays of the week that ends with the window, against its pin.

    ``provider.slide{pin}`` is 1 when correctness, format, refusals or cut-off answers moved; the
    reason names which. It needs answers of at least five of the seven days.
    """
    for settings in context.settings.providers.values():
        pinned = current(settings.pin, context, at=window.end)
        if pinned is not None and not mismatch(pinned, settings, context):
            yield _measured(pinned, settings, window, context)


def _measured(
    pinned: Baseline, settings: ProviderSettings, window: Window, context: Context
) -> Measurement:
    days = 0
    lately: dict[str, list[Answer]] = {prompt.id: [] for prompt in pinned.prompts}
    for back in range(DAYS):
        answers, _ = replayed_answers(pinned, window.shift(-back), context)
        days += bool(answers)
        for prompt_id, said in answers.items():
            lately[prompt_id] += said
    found: list[Moved] = []
    if days >= MINIMUM_DAYS:
        # Prompts that failed on most days would leave few answers to every other one.
        usual = max(len(said) for said in lately.values())
        kept = {key: said for key, said in lately.items() if 2 * len(said) >= usual}
        found = slides(pinned.prompts, pinned.answers, kept, settings)
    moved = [each.feature.name for each in found if each.moved]
    few = "few_days" if days < MINIMUM_DAYS else "few_prompts"
    return Measurement(
        monitor="provider_slide",
        metric="provider.slide",
        labels={"pin": settings.pin},
        window=window,
        value=float(bool(moved)) if found else None,
        baseline=0.0 if found else None,
        evidence=min(each.p for each in found) if found else None,
        n=found[0].effect.n if found else days,
        method=f"p-value; the answers of {days} days together against the pin's, exact and "
        f"stratified by prompt, after Holm's correction; 1 when at most {ALPHA:.2g} for a feature "
        "whose 95 % interval lies beyond its tolerance",
        status=Status.COMPLETE if found else Status.INSUFFICIENT,
        reason=" ".join(moved) if found else few,
        unit="fact",
    )


def slides(
    prompts: Sequence[Prompt],
    pinned: Mapping[str, Sequence[Answer]],
    lately: Mapping[str, Sequence[Answer]],
    settings: ProviderSettings,
) -> list[Moved]:
    """Every yes-or-no feature that enough prompts have on both sides.

    Args:
        lately: by prompt, the answers of the last days together.
    """
    table = judged(prompts, pinned, lately)
    rates = [(each, *pairs(each, table, settings)) for each in FEATURES if each.name in RATES]
    return decided(rates, alpha=ALPHA)
