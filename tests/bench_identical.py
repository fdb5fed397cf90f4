"""How often drift is flagged where both samples are drawn from one distribution: ten columns as
logs of language models have them. Part of ``make bench-detection``; alone: ``python -m
tests.bench_identical``.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from alerts.rules import Rule
from monitors.drift.cells import Histograms, histograms
from monitors.drift.sketches import Categories, Numbers, Sketch
from monitors.statistics.days import histogram_test_by_day
from monitors.statistics.multiplicity import benjamini_hochberg
from monitors.statistics.two_sample import floor_without_change, psi
from tests.bench_inputs import evidently, rules

SIZES = ((1_000, 1_000), (5_000, 200), (5_000, 500))
# Evidently takes most of a second a draw, so it gets the first hundred of them.
DRAWS, EVIDENTLY_DRAWS = 500, 100
CATEGORY_COUNTS = (5, 12, 30, 70, 150)


def drawn(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Ten columns as logs of language models have them."""
    columns: dict[str, Any] = {
        f"number {place}": rng.lognormal(4 + place, 0.4 + 0.2 * place, rows) for place in range(5)
    }
    for count in CATEGORY_COUNTS:
        shares = 1 / np.arange(1, count + 1)
        codes = rng.choice(count, rows, p=shares / shares.sum())
        columns[f"category of {count}"] = np.array([f"c{code}" for code in range(count)])[codes]
    return pd.DataFrame(columns)


def dealt(values: pd.Series[Any], days: int) -> list[Sketch]:
    """A column's rows on so many days, as profiles keep them."""
    made: list[Sketch] = []
    for part in np.array_split(values.to_numpy(), days):
        if part.dtype.kind == "f":
            made.append(Numbers())
            made[-1].add(part)
        else:
            counts = pa.array(part).value_counts()
            made.append(Categories())
            made[-1].add({str(c["values"]): c["counts"].as_py() for c in counts}, 0)
    return made


def ours(past: pd.DataFrame, week: pd.DataFrame, rule: Rule) -> bool:
    """Would the shipped rule flag any of the columns? Effect and evidence, as in `inputs`."""
    made = [histograms(dealt(past[name], 21), dealt(week[name], 7)) for name in past.columns]
    cells = [each for each in made if isinstance(each, Histograms)]
    evidence = benjamini_hochberg([histogram_test_by_day(c.reference, c.current) for c in cells])
    for each, p_value in zip(cells, evidence, strict=True):
        sides = each.reference.sum(axis=0), each.current.sum(axis=0)
        effect = psi(*sides) - floor_without_change(*sides, draws=200)["psi"][0]
        if p_value <= rule.alpha and effect >= rule.tolerance:
            return True
    return False


def flagged(reference: int, current: int) -> tuple[int, int, int]:
    """In how many draws ours flags a column, evidently a column, and evidently the dataset."""
    warnings.simplefilter("ignore")
    rule = next(rule for rule in rules() if rule.name == "input_drift")
    counts = [0, 0, 0]
    for seed in range(DRAWS):
        rng = np.random.default_rng([seed, reference, current])
        past, week = drawn(reference, rng), drawn(current, rng)
        counts[0] += ours(past, week, rule)
        if seed < EVIDENTLY_DRAWS:
            drifted = list(evidently(past, week).values())
            counts[1] += any(drifted)
            counts[2] += sum(drifted) >= len(drifted) / 2
    return counts[0], counts[1], counts[2]


def main() -> None:
    with ProcessPoolExecutor() as pool:
        same = {sizes: pool.submit(flagged, *sizes) for sizes in SIZES}
        print(f"\nidentical data, ten columns: of {DRAWS} draws, anything is flagged in")
        print(f"(evidently: of the first {EVIDENTLY_DRAWS})")
        print(f"{'rows':<20}{'Tidegauge':>12}{'evidently: a column':>22}{'the dataset':>14}")
        for (reference, current), counts in same.items():
            draws = (DRAWS, EVIDENTLY_DRAWS, EVIDENTLY_DRAWS)
            a, b, c = (f"{n / of:.1%}" for n, of in zip(counts.result(), draws, strict=True))
            print(f"{f'{reference:,} / {current:,}':<20}{a:>12}{b:>22}{c:>14}", flush=True)


if __name__ == "__main__":
    main()
