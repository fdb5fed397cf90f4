"""How small a change of a provider is found, and how often nothing is: ``make bench-detection``.

Real answers: GPT-4 and GPT-3.5 of March and June 2023 (LLMDrift). The data has one answer to a
prompt and version, so what repeated pins are worth, and false alarms of a model that is merely
random, come from a simulated model: each prompt has its own chance to be answered right, in form,
with a refusal or cut off, its own length and meaning, and every answer varies about them.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from monitors.provider import slide
from monitors.provider.baselines import Answer
from monitors.provider.features import FEATURES, Feature
from monitors.provider.prompts import Prompt
from monitors.provider.verdict import compare_answers, decided
from monitors.settings import ProviderSettings
from monitors.statistics.intervals import wilson
from tests.conftest import ROOT
from tests.provider_kit import llmdrift

SUBSETS, REPLAYS, SIMULATED, YEARS = 200, 1_000, 400, 120
SIZES = (10, 20, 30, 40, 50, 100, 200)
REPEATS = (1, 2, 3, 4, 5)
CHANGES = (
    ("primes", "gpt-4-0314", "gpt-4-0613"),
    ("primes", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613"),
    ("code", "gpt-4-0314", "gpt-4-0613"),
    ("code", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613"),
)
PRICED = ProviderSettings(
    base_url="http://127.0.0.1:9/v1",
    model="m",
    pin="main",
    prompts="p.jsonl",
    usd_per_million_input_tokens=30,
    usd_per_million_output_tokens=60,
)


def drift(prompts: Sequence[Prompt], old: dict[str, Answer], new: dict[str, Answer]) -> bool:
    """The verdict of one replay."""
    pinned = {p.id: (old[p.id],) for p in prompts}
    replayed = {p.id: (new[p.id],) for p in prompts}
    return any(each.moved for each in compare_answers(prompts, pinned, replayed, PRICED))


def real_power(folder: Path, subsets: int = SUBSETS) -> dict[tuple[str, str], dict[str, float]]:
    """Share of random sets of the prompts in which drift is declared, by their size.

    ``n`` are sets without repetition: prompts of the data. ``n*`` are drawn with repetition
    (bootstrap), as new prompts of the same kind would differ.
    """
    table: dict[tuple[str, str], dict[str, float]] = {}
    for task, old, new in CHANGES:
        prompts, before = llmdrift(folder, task, old)
        _, after = llmdrift(folder, task, new)
        rng = np.random.default_rng(5)
        line = table[task, old.rpartition("-")[0]] = {}
        for size in SIZES:
            if size < len(prompts):
                line[f"{size}"] = _declared(prompts, before, after, size, subsets, rng, again=False)
        line["50*"] = _declared(prompts, before, after, 50, subsets, rng, again=True)
    return table


def _declared(
    prompts: Sequence[Prompt],
    before: dict[str, Answer],
    after: dict[str, Answer],
    size: int,
    subsets: int,
    rng: np.random.Generator,
    *,
    again: bool,
) -> float:
    hits = 0
    for _ in range(subsets):
        chosen = [prompts[i] for i in rng.choice(len(prompts), size, replace=again)]
        # A prompt drawn twice is two prompts.
        named = [p.model_copy(update={"id": f"{k}-{p.id}"}) for k, p in enumerate(chosen)]
        hits += drift(
            named,
            {n.id: before[p.id] for n, p in zip(named, chosen, strict=True)},
            {n.id: after[p.id] for n, p in zip(named, chosen, strict=True)},
        )
    return hits / subsets


def dealt_null(folder: Path, replays: int = REPLAYS) -> tuple[int, int]:
    """Drift declared where which real answer is "today's" was tossed; (alarms, replays)."""
    rng = np.random.default_rng(6)
    pairs = []
    for task, old, new in CHANGES:
        prompts, before = llmdrift(folder, task, old)
        _, after = llmdrift(folder, task, new)
        pairs.append((prompts, before, after))
    alarms = 0
    for count in range(replays):
        prompts, before, after = pairs[count % len(pairs)]
        chosen = [prompts[i] for i in rng.choice(len(prompts), 50, replace=False)]
        tossed = rng.integers(2, size=50).astype(bool)
        old = {p.id: (before if t else after)[p.id] for p, t in zip(chosen, tossed, strict=True)}
        new = {p.id: (after if t else before)[p.id] for p, t in zip(chosen, tossed, strict=True)}
        alarms += drift(chosen, old, new)
    return alarms, replays


class Model:
    """A model that is random and stays what it is.

    Args:
        fall: taken from each prompt's chance to be right when it is asked ``changed``.
    """

    def __init__(self, prompts: int, rng: np.random.Generator, fall: float = 0.0) -> None:
        self._rng, self._fall = rng, fall
        self._chance = {
            "correctness": rng.beta(4, 1, prompts),
            "format": rng.beta(30, 1, prompts),
            "first_option": rng.beta(2, 2, prompts),
            "refusal": rng.beta(1, 60, prompts),
            "cut_off": rng.beta(1, 80, prompts),
        }
        self._judged = rng.beta(8, 2, prompts)
        self._length = rng.normal(6, 0.8, prompts)

    def answers(self, count: int, *, changed: bool = False) -> dict[str, np.ndarray]:
        """By feature, prompts × count."""
        rng = self._rng
        out = {}
        for name, chance in self._chance.items():
            if changed and name == "correctness":
                chance = np.clip(chance - self._fall, 0, 1)
            out[name] = (rng.random((len(chance), count)) < chance[:, None]).astype(float)
        shape = (len(self._judged), count)
        out["judge"] = np.clip(self._judged[:, None] + rng.normal(0, 0.1, shape), 0, 1).round(3)
        out["meaning"] = rng.lognormal(-2.5, 0.5, shape).round(3)
        out["length"] = np.exp(self._length[:, None] + rng.normal(0, 0.35, shape)).round() + 1
        out["cost"] = (500 + out["length"]) * 1e-5
        return out


def values(
    pinned: dict[str, np.ndarray], today: dict[str, np.ndarray], only: Sequence[str] = ()
) -> list[tuple[Feature, np.ndarray, np.ndarray]]:
    return [
        (each, pinned[each.name], today[each.name])
        for each in FEATURES
        if each.name in pinned and (not only or each.name in only)
    ]


def simulated(prompts: int, repeats: int, fall: float, runs: int, seed: int = 7) -> tuple[int, int]:
    """Drift declared by any feature for a model that is random; (declared, runs)."""
    rng = np.random.default_rng([seed, prompts, repeats, round(100 * fall)])
    declared = 0
    for run in range(runs):
        model = Model(prompts, rng, fall)
        pinned, today = model.answers(repeats), model.answers(1, changed=True)
        declared += any(each.moved for each in decided(values(pinned, today), seed=run))
    return declared, runs


def year(seed: int, days: int = 365) -> tuple[int, int]:
    """One pin of a model that stays what it is, replayed daily.

    Returns:
        Days on which a replay declared drift; times that the week's comparison began to.
    """
    rng = np.random.default_rng([8, seed])
    model = Model(200, rng)
    pinned = model.answers(3)
    week: list[dict[str, np.ndarray]] = []
    alarms = slides = sliding = 0
    for day in range(days):
        today = model.answers(1)
        alarms += any(each.moved for each in decided(values(pinned, today), seed=day))
        week = [*week, today][-slide.DAYS :]
        if len(week) >= slide.MINIMUM_DAYS:
            lately = {name: np.hstack([each[name] for each in week]) for name in today}
            rates = values(pinned, lately, slide.RATES)
            now = any(each.moved for each in decided(rates, alpha=slide.ALPHA))
            slides, sliding = slides + (now and not sliding), now
    return alarms, slides


def yearly(years: int = YEARS) -> tuple[int, int]:
    """The same for many pins: (false verdicts of a day, false slides)."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        counts = pool.map(year, range(years), chunksize=4)
    return sum(day for day, _ in counts), sum(week for _, week in counts)


def per_year(events: int, years: int) -> str:
    """Rate with Garwood's (1936) exact 95 % interval."""
    low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    high = stats.chi2.ppf(0.975, 2 * events + 2) / 2
    return f"{events / years:.2f} a year ({low / years:.2f} to {high / years:.2f})"


def percent(hits: int, runs: int) -> str:
    low, high = wilson(hits, runs)
    return f"{hits / runs:7.1%}  ({low:.1%} to {high:.1%})"


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "llmdrift").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    began = time.monotonic()
    print(f"Power on real answers, {SUBSETS} random sets, one pinned answer a prompt")
    columns = [*(f"{size}" for size in SIZES), "50*"]
    print("change                " + "".join(f"{size:>8}" for size in columns) + "  prompts")
    for (task, model), line in real_power(folder).items():
        cells = "".join(f"{line[size]:8.1%}" if size in line else f"{'':8}" for size in columns)
        print(f"{model + ' ' + task:<22}{cells}")
    print("* drawn with repetition. The data has 50 code tasks.")
    print("\nPower by pinned repeats (simulated, correctness falls by 20 points of about 80)")
    print("repeats               " + "".join(f"{size:>8}" for size in SIZES) + "  prompts")
    for repeats in REPEATS:
        shares = (simulated(size, repeats, 0.20, SIMULATED) for size in SIZES)
        print(f"{repeats:<22}" + "".join(f"{hits / runs:8.1%}" for hits, runs in shares))
    print("\nFalse alarms, all features together")
    print(f"real answers tossed   {percent(*dealt_null(folder))} of {REPLAYS:,} replays")
    print(f"random model, 3 pins  {percent(*simulated(200, 3, 0.0, REPLAYS))} of {REPLAYS:,}")
    days, weeks = yearly()
    print(f"one pin, each day     {per_year(days, YEARS)}, {YEARS} years")
    print(f"a week together       {per_year(weeks, YEARS)}")
    print(f"both                  {per_year(days + weeks, YEARS)}")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
