"""How small a change of a provider is found, and how often nothing is: ``make bench-detection``.

Real answers: GPT-4 and GPT-3.5 of March and June 2023 (LLMDrift). The data has one answer to a
prompt and version, so what repeated pins are worth, and false alarms of a model that is merely
random, come from a simulated model whose chance to be right differs by prompt.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitors.provider.baselines import Answer
from monitors.provider.comparison import ALPHA, compare_answers
from monitors.provider.effects import Effect, compare
from monitors.provider.prompts import Prompt
from monitors.settings import ProviderSettings
from monitors.statistics.intervals import wilson
from tests.conftest import ROOT
from tests.provider_kit import llmdrift

SUBSETS, REPLAYS, SIMULATED = 200, 1_000, 400
SIZES = (10, 20, 30, 50, 100, 200)
REPEATS = (1, 2, 3, 4, 5)
DRAWS = 9_999
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
    found = compare_answers(prompts, pinned, replayed, PRICED, draws=DRAWS)
    return any(each.moved for each in found)


def real_power(folder: Path, subsets: int = SUBSETS) -> dict[tuple[str, str], dict[int, float]]:
    """Share of random subsets of the prompts in which drift is declared, by their size."""
    table: dict[tuple[str, str], dict[int, float]] = {}
    for task, old, new in CHANGES:
        prompts, before = llmdrift(folder, task, old)
        _, after = llmdrift(folder, task, new)
        rng = np.random.default_rng(5)
        line = table[task, old.rpartition("-")[0]] = {}
        for size in SIZES:
            if size > len(prompts):
                continue
            # All of the prompts make one subset only.
            count = 1 if size == len(prompts) else subsets
            hits = 0
            for _ in range(count):
                chosen = [prompts[i] for i in rng.choice(len(prompts), size, replace=False)]
                hits += drift(chosen, before, after)
            line[size] = hits / count
    return table


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


def simulated(prompts: int, repeats: int, fall: float, runs: int, seed: int = 7) -> tuple[int, int]:
    """Drift declared by correctness alone for a model that is random; (declared, runs).

    A prompt's chance to be right is drawn from Beta(4, 1); after the change it is ``fall`` less.
    """
    rng = np.random.default_rng([seed, prompts, repeats, round(100 * fall)])
    declared = 0
    for run in range(runs):
        chance = rng.beta(4, 1, size=prompts)
        pinned = rng.random((prompts, repeats)) < chance[:, None]
        today = rng.random((prompts, 1)) < np.clip(chance - fall, 0, 1)[:, None]
        effect: Effect = compare(
            pinned.astype(float), today.astype(float), share=True, draws=DRAWS, seed=run
        )
        declared += effect.p <= ALPHA and effect.beyond(0.02)
    return declared, runs


def yearly(days: int = 365, years: int = 20) -> tuple[int, int]:
    """Drift declared against one pin replayed daily by the same random model; (alarms, days).

    All days share the pin's answers, so they are not independent: this is what a year is like.
    """
    alarms = 0
    for year in range(years):
        rng = np.random.default_rng([8, year])
        chance = rng.beta(4, 1, size=200)
        pinned = (rng.random((200, 3)) < chance[:, None]).astype(float)
        for day in range(days):
            today = (rng.random((200, 1)) < chance[:, None]).astype(float)
            effect = compare(pinned, today, share=True, draws=DRAWS, seed=day)
            alarms += effect.p <= ALPHA and effect.beyond(0.02)
    return alarms, days * years


def percent(hits: int, runs: int) -> str:
    low, high = wilson(hits, runs)
    return f"{hits / runs:7.1%}  ({low:.1%} to {high:.1%})"


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "llmdrift").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    began = time.monotonic()
    print(f"Power on real answers, {SUBSETS} random subsets, one pinned answer a prompt")
    print("change                " + "".join(f"{size:>8}" for size in SIZES) + "  prompts")
    for (task, model), line in real_power(folder).items():
        cells = "".join(f"{line[size]:8.1%}" if size in line else f"{'':8}" for size in SIZES)
        print(f"{model + ' ' + task:<22}{cells}")
    print("\nPower by pinned repeats (simulated, correctness falls by 20 points of about 80)")
    print("repeats               " + "".join(f"{size:>8}" for size in SIZES) + "  prompts")
    for repeats in REPEATS:
        shares = (simulated(size, repeats, 0.20, SIMULATED) for size in SIZES)
        print(f"{repeats:<22}" + "".join(f"{hits / runs:8.1%}" for hits, runs in shares))
    print("\nFalse alarms")
    print(f"real answers tossed   {percent(*dealt_null(folder))} of {REPLAYS:,} replays")
    print(f"random model, 3 pins  {percent(*simulated(100, 3, 0.0, REPLAYS))}")
    alarms, days = yearly()
    print(f"one pin, daily        {365 * alarms / days:.2f} a year ({alarms} in {days:,} days)")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
