"""Which features of the answers have moved: the decision that a replay comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitors.provider.baselines import Answer
from monitors.provider.effects import Array, Effect, compare
from monitors.provider.extras import NO_EXTRAS, Extra
from monitors.provider.features import FEATURES, Feature, judged, pairs
from monitors.provider.prompts import Prompt
from monitors.settings import ProviderSettings

# What a pin that is replayed daily may cost, before the tolerance: 0.4 false verdicts a year.
ALPHA = 0.4 / 365
# Below so many pairs there is no verdict.
MINIMUM_PROMPTS = 20
# Enough that p near the level (Holm over six: 0.0002) is known to a quarter of itself.
DRAWS = 99_999


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
    draws: int = DRAWS,
) -> list[Moved]:
    """Every feature that at least `MINIMUM_PROMPTS` prompts have on both sides; see `decided`.

    Args:
        extras: what models say of answers, by feature.
    """
    table = judged(prompts, pinned, replayed, extras)
    values = ((feature, *pairs(feature, table, settings)) for feature in FEATURES)
    return decided(values, alpha=alpha, seed=seed, draws=draws)


def decided(
    values: Iterable[tuple[Feature, Array, Array]],
    *,
    alpha: float = ALPHA,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Moved]:
    """Which features have moved.

    One has when its p-value, corrected by Holm over the features of the verdict, is at most
    ``alpha`` *and* the whole 95 % interval of the effect lies beyond the tolerance. A feature in
    which no prompt's answers differ cannot reject, so it costs no correction (Tarone 1990); nor
    does one whose numbers are another's (where right means in form): that is one test. Neither
    depends on which answers are today's, so the level holds.

    Args:
        values: each feature with its numbers, K prompts × r pinned and K × m replayed.
    """
    from monitors.statistics.multiplicity import holm

    effects: list[tuple[Feature, Effect, bytes]] = []
    for feature, pinned, replayed in values:
        if len(pinned) >= MINIMUM_PROMPTS:
            if not feature.share:
                pinned, replayed = np.log(pinned), np.log(replayed)
            effect = compare(pinned, replayed, share=feature.share, draws=draws, seed=seed)
            effects.append((feature, effect, pinned.tobytes() + replayed.tobytes()))
    tests = {seen: e.p for f, e, seen in effects if f.in_verdict and e.testable}
    corrected = dict(zip(tests, holm(list(tests.values())), strict=True))
    found = []
    for feature, effect, seen in effects:
        p = float(corrected.get(seen, effect.p)) if feature.in_verdict else effect.p
        moved = feature.in_verdict and p <= alpha and effect.beyond(feature.tolerance)
        found.append(Moved(feature, effect, p, moved))
    return found
