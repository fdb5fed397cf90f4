"""A slow slide: changes too small for one day's replay, seen in a week of them.

The answers of the last days, together, against the pin's. Under "nothing changed" all answers to a
prompt are exchangeable whatever day they are of, so for features that are yes or no the number of
a prompt's good answers that fall to the pin is hypergeometric, and their sum over prompts has an
exact distribution: no draws, no approximation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitors.context import Context
from monitors.monitor import monitor
from monitors.provider.baselines import Answer, Baseline, current
from monitors.provider.comparison import FEATURES, MINIMUM_PROMPTS, judged, replayed_answers
from monitors.provider.effects import Array, difference_interval
from monitors.provider.prompts import Prompt
from monitors.provider.replay import mismatch
from monitors.settings import ProviderSettings
from sql.measurement import Measurement, Status
from sql.window import Grain, Window

# Looked at every day beside the day's own verdict: 0.07 false alarms a year more, at most.
ALPHA = 0.0002
DAYS, MINIMUM_DAYS = 7, 5
_RATES = ("correctness", "format", "refusal", "cut_off")


@dataclass(frozen=True, slots=True)
class Slid:
    """One feature over the days.

    Args:
        p: two-sided, after Holm's correction.
        low, high: 95 % interval of the change.
    """

    feature: str
    pinned: float
    lately: float
    low: float
    high: float
    p: float
    n: int
    moved: bool


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
    found: list[Slid] = []
    if days >= MINIMUM_DAYS:
        # Prompts that failed on most days would leave few answers to every other one.
        usual = max(len(said) for said in lately.values())
        kept = {key: said for key, said in lately.items() if 2 * len(said) >= usual}
        found = slides(pinned.prompts, pinned.answers, kept, settings)
    moved = [each.feature for each in found if each.moved]
    few = "few_days" if days < MINIMUM_DAYS else "few_prompts"
    return Measurement(
        monitor="provider_slide",
        metric="provider.slide",
        labels={"pin": settings.pin},
        window=window,
        value=float(bool(moved)) if found else None,
        baseline=0.0 if found else None,
        evidence=min(each.p for each in found) if found else None,
        n=found[0].n if found else days,
        method=f"p-value; the answers of {days} days together against the pin's, exact and "
        f"stratified by prompt, after Holm's correction; 1 when at most {ALPHA:g} for a feature "
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
) -> list[Slid]:
    """Every yes-or-no feature that enough prompts have on both sides.

    Args:
        lately: by prompt, the answers of the last days together.
    """
    from monitors.statistics.multiplicity import holm

    table = judged(prompts, pinned, lately)
    found = [
        (feature, *sides, exact_p(*sides))
        for feature in FEATURES
        if feature.name in _RATES
        for sides in _sides(table, feature.read, settings)
    ]
    # Where no prompt's answers differ nothing can be rejected, so it costs no correction.
    family = [entry for entry in found if np.ptp(np.hstack(entry[1:3]), axis=1).any()]
    corrected = dict(
        zip(
            (entry[0].name for entry in family),
            holm([entry[3] for entry in family]),
            strict=True,
        )
    )
    out = []
    for feature, before, after, p in found:
        low, high, _ = difference_interval(after.mean(axis=1) - before.mean(axis=1), share=True)
        p = float(corrected.get(feature.name, p))
        beyond = low > feature.tolerance or high < -feature.tolerance
        out.append(
            Slid(
                feature.name,
                float(before.mean()),
                float(after.mean()),
                low,
                high,
                p,
                len(before),
                p <= ALPHA and beyond,
            )
        )
    return out


def _sides(table, read, settings: ProviderSettings) -> Iterator[tuple[Array, Array]]:  # type: ignore[no-untyped-def]
    """The feature as 0 and 1, prompts × answers; nothing where it is neither."""
    before, after = [], []
    for old, new in table:
        x, y = [read(seen, settings) for seen in old], [read(seen, settings) for seen in new]
        if None not in x and None not in y:
            before.append(x)
            after.append(y)
    if len(before) < MINIMUM_PROMPTS:
        return
    sides = np.array(before, float), np.array(after, float)
    if all(np.isin(side, (0.0, 1.0)).all() for side in sides):
        yield sides


def exact_p(pinned: Array, lately: Array) -> float:
    """Two-sided p-value of "which of a prompt's answers are the pin's is a matter of chance".

    The sum over prompts of the good answers among the pin's r of r + m is a sum of independent
    hypergeometric numbers (Fisher's exact test, stratified by prompt; Mantel & Haenszel 1959); its
    distribution is the convolution of theirs. Two-sided by distance from the mean.

    Args:
        pinned: K prompts × r, of 0 and 1. lately: K × m.
    """
    r, m = pinned.shape[1], lately.shape[1]
    good = (pinned.sum(axis=1) + lately.sum(axis=1)).astype(int)
    distribution: NDArray[np.float64] = np.ones(1)
    for count, times in zip(*np.unique(good, return_counts=True), strict=True):
        each = _hypergeometric(int(count), r, m)
        for _ in range(int(times)):
            distribution = np.convolve(distribution, each)
    support = np.arange(len(distribution))
    mean = float(good.sum()) * r / (r + m)
    distance = abs(float(pinned.sum()) - mean)
    return float(min(1.0, distribution[np.abs(support - mean) >= distance - 1e-9].sum()))


def _hypergeometric(good: int, r: int, m: int) -> NDArray[np.float64]:
    """P(k of the pin's r answers are good), k = 0 … r, when ``good`` of r + m are."""
    from scipy import stats

    return np.asarray(stats.hypergeom.pmf(np.arange(r + 1), r + m, good, r), dtype=float)
