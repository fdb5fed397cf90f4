"""How often input drift is imagined, in a year of weeks without change and on identical data, and
how often a planted change is found.

The year goes the whole way (log, profiles, measurements, the shipped rules) on the demo's traffic
without its faults and on real queries (CLINC150) with weekly season; evidently's preset reads the
same weeks. Part of ``make bench-detection``; alone: ``python -m tests.bench_inputs``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa

from alerts.replaying import replay
from alerts.rules import Rule, Verdict, decide
from monitors.commands.metrics import rules_of
from monitors.context import Context
from monitors.drift.cells import Histograms, histograms
from monitors.drift.columns import TURNS, categories, numbers, watched
from monitors.drift.inputs import inputs
from monitors.drift.picture import dataset, opinions
from monitors.drift.sketches import Categories, Numbers, Sketch
from monitors.settings import DemoSettings
from monitors.statistics.days import histogram_test_by_day
from monitors.statistics.multiplicity import benjamini_hochberg
from monitors.statistics.two_sample import floor_without_change, psi
from sql.store import Store
from sql.window import Grain, Window
from tests.bench_topics import queries
from tests.conftest import ROOT
from tests.logs_kit import context_over, fill

FIRST = Window.of(date(2025, 6, 2), Grain.WEEK)
REFERENCE_WEEKS, WEEKS, PLANTED_WEEKS, ROWS_A_DAY = 3, 52, 5, 700
SIZES = ((1_000, 1_000), (5_000, 200), (5_000, 500))
# Evidently takes most of a second a draw, so it gets the first hundred of them.
DRAWS, EVIDENTLY_DRAWS, EVIDENTLY_ROWS = 500, 100, 5_000
CATEGORY_COUNTS = (5, 12, 30, 70, 150)
Rows = Iterator[dict[str, Any]]


def rules() -> list[Rule]:
    """Those of the shipped configuration that watch input drift."""
    shipped = rules_of(ROOT / "tidegauge.toml").rules
    return [rule for rule in shipped if rule.metric.startswith("drift.input.")]


# ── a year without change ────────────────────────────────────────────────────────────────────


def demo_day(day: Window) -> Rows:
    """The demo's traffic, none of its faults: season, growth, weather."""
    from monitors.demo.incidents import Effects
    from monitors.demo.traffic import traffic

    with mock.patch("monitors.demo.traffic.effects", lambda _day: Effects()):
        yield from traffic(day.first_day, DemoSettings(rows_per_day=ROWS_A_DAY), FIRST.first_day)


class Queries:
    """CLINC150's queries as a log: on weekends fewer, later, and about other domains."""

    def __init__(self, folder: Path) -> None:
        texts, intents = queries(folder)
        domains = json.loads((folder / "clinc150" / "domains.json").read_text(encoding="utf-8"))
        of = {intent: domain for domain, known in domains.items() for intent in known}
        self.domains = sorted(domains)
        self.texts = {
            name: [t for t, i in zip(texts, intents, strict=True) if of.get(i) == name]
            for name in self.domains
        }
        self.shares = np.random.default_rng(3).dirichlet(np.full(len(self.domains), 8.0))

    def day(self, day: Window) -> Rows:
        rng = np.random.default_rng(day.first_day.toordinal())
        weekend = day.first_day.weekday() >= 5
        tilt = np.linspace(-0.3, 0.3, len(self.domains)) * weekend
        shares = self.shares * np.exp(tilt + 0.06 * rng.normal(size=len(self.domains)))
        slower = 0.02 * rng.normal()
        for number in range(
            round(ROWS_A_DAY * (0.6 if weekend else 1.0) * np.exp(0.03 * rng.normal()))
        ):
            domain = self.domains[rng.choice(len(self.domains), p=shares / shares.sum())]
            text = self.texts[domain][rng.integers(len(self.texts[domain]))]
            tokens = 1 + len(text) // 4
            latency = 800 * np.exp(0.4 * rng.normal() + slower)
            hour = rng.normal(15 if weekend else 13, 4) % 24
            yield {
                "id": f"{day}-{number}",
                "at": day.start + timedelta(hours=float(hour)),
                "input": text,
                "output": "ok " * int(rng.integers(5, 60)),
                "feature": domain,
                "segment": ("home", "trade", "work")[rng.choice(3, p=(0.5, 0.15, 0.35))],
                "request_model": "m-1",
                "prompt_version": "v1",
                "input_tokens": tokens,
                "latency_ms": float(latency),
                "cost_usd": tokens * 2e-6,
            }


def year(name: str, made: Any, folder: Path) -> tuple[dict[str, int], int, int]:
    """Incidents of each rule; weeks in which evidently finds a column, and the dataset, drifted."""
    url = f"sqlite:///{folder}/{name}-log.db"
    weeks = [FIRST.shift(number) for number in range(REFERENCE_WEEKS + WEEKS)]
    for week in weeks:
        fill(url, (row for day in week.days() for row in made(day)))
    store = Store.open(f"sqlite:///{folder}/{name}-store.db")
    reference = {"start": FIRST.first_day, "days": 7 * REFERENCE_WEEKS}
    column = whole = 0
    with context_over(store, url, reference=reference) as context:
        measured = [item for week in weeks for item in inputs.measure(week, context)]
        past = frame([day for week in weeks[:REFERENCE_WEEKS] for day in week.days()], context)
        for week in weeks[REFERENCE_WEEKS:]:
            drifted = list(evidently(past, frame(week.days(), context)).values())
            column, whole = column + any(drifted), whole + (sum(drifted) >= len(drifted) / 2)
    spoke = {
        rule.name: sum(len(one.incidents) for one in replay(rule, measured)) for rule in rules()
    }
    return spoke, column, whole


def frame(days: Sequence[Window], context: Context) -> pd.DataFrame:
    """The same columns as evidently reads them, at most 5,000 rows."""
    named = watched(context.settings.drift.columns, context.source)
    columns = [column for column in named if column.name != TURNS]
    attributes = list(dict.fromkeys(column.reads for column in columns))
    held: dict[str, list[Any]] = {column.name: [] for column in columns}
    for day in days:
        for batch in context.source.stream(day, attributes):
            for column in columns:
                if column.numeric:
                    held[column.name].extend(numbers(column, batch).tolist())
                else:
                    held[column.name].extend(categories(column, batch, day).to_pylist())
    made = pd.DataFrame(held).dropna(axis=1, how="all")
    return made.sample(min(EVIDENTLY_ROWS, len(made)), random_state=1)


def evidently(past: pd.DataFrame, week: pd.DataFrame) -> dict[str, bool]:
    """Which columns `DataDriftPreset` as it comes finds drifted."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    shared = [name for name in past.columns if name in week.columns and week[name].notna().any()]
    run = Report([DataDriftPreset()], include_tests=True).run(
        dataset(week[shared]), dataset(past[shared])
    )
    return {name: opinion.drifted for name, opinion in opinions(run.dict()).items()}


# ── planted changes ──────────────────────────────────────────────────────────────────────────

# What is changed → the column that should say so.
PLANTED = {
    "one domain has 10 points more": "feature",
    "inputs are a third longer": "input_characters",
    "answers take 1.5 times as long": "latency_ms",
    "a new segment of 3 %": "segment",
    "1.5 % of the inputs hold a web address": "input_url",
}


def planted(kind: str, rows: Rows, name: str) -> Rows:
    """The rows with the change."""
    rng = np.random.default_rng(5)
    for row in rows:
        if kind.startswith("one domain") and rng.random() < 0.1:
            row["feature"] = name
        elif kind.startswith("inputs"):
            row["input"] += " " + row["input"][: len(row["input"]) // 3]
        elif kind.startswith("answers"):
            row["latency_ms"] *= 1.5
        elif kind.startswith("a new") and rng.random() < 0.03:
            row["segment"] = "partner"
        elif kind.startswith("1.5 %") and rng.random() < 0.015:
            row["input"] += " https://a.example"
        yield row


def found(kind: str, made: Queries, folder: Path) -> tuple[int, int]:
    """In how many weeks with the change a shipped rule, and evidently, points at the column."""
    url = f"sqlite:///{folder}/{kind[:8]}-log.db"
    weeks = [FIRST.shift(number) for number in range(REFERENCE_WEEKS + PLANTED_WEEKS)]
    for place, week in enumerate(weeks):
        rows = (row for day in week.days() for row in made.day(day))
        fill(url, planted(kind, rows, made.domains[0]) if place >= REFERENCE_WEEKS else rows)
    store = Store.open(f"sqlite:///{folder}/{kind[:8]}-store.db")
    reference = {"start": FIRST.first_day, "days": 7 * REFERENCE_WEEKS}
    ours = theirs = 0
    with context_over(store, url, reference=reference) as context:
        past = frame([day for week in weeks[:REFERENCE_WEEKS] for day in week.days()], context)
        for week in weeks[REFERENCE_WEEKS:]:
            said = {
                item.labels["column"]
                for item in inputs.measure(week, context)
                for rule in rules()
                if rule.takes(item.metric, item.labels)
                and decide(rule, item).verdict is Verdict.BREACH
            }
            ours += PLANTED[kind] in said
            theirs += evidently(past, frame(week.days(), context)).get(PLANTED[kind], False)
    return ours, theirs


# ── identical data ───────────────────────────────────────────────────────────────────────────


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


def identical() -> None:
    rule = next(rule for rule in rules() if rule.name == "input_drift")
    print(f"\nidentical data, ten columns: share of {DRAWS} draws in which anything is flagged")
    print(f"(evidently: of the first {EVIDENTLY_DRAWS})")
    print(f"{'rows':<20}{'Tidegauge':>12}{'evidently: a column':>22}{'the dataset':>14}")
    for reference, current in SIZES:
        counts = [0, 0, 0]
        for seed in range(DRAWS):
            rng = np.random.default_rng([seed, reference, current])
            past, week = drawn(reference, rng), drawn(current, rng)
            counts[0] += ours(past, week, rule)
            if seed < EVIDENTLY_DRAWS:
                drifted = list(evidently(past, week).values())
                counts[1] += any(drifted)
                counts[2] += sum(drifted) >= len(drifted) / 2
        draws = (DRAWS, EVIDENTLY_DRAWS, EVIDENTLY_DRAWS)
        a, b, c = (f"{count / of:.1%}" for count, of in zip(counts, draws, strict=True))
        print(f"{f'{reference:,} / {current:,}':<20}{a:>12}{b:>22}{c:>14}", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")  # evidently divides by zero where a category is new
    data = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "clinc150").is_dir():
        sys.exit(f"the real data is not at {data}: set TIDEGAUGE_REAL_DATA")
    print(f"{WEEKS} weeks without change, about {ROWS_A_DAY} rows a day, weekly season", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, made in (("demo", demo_day), ("CLINC150", Queries(data).day)):
            spoke, column, whole = year(name, made, Path(folder))
            for rule, count in spoke.items():
                print(f"{name:<10}{rule:<42}{count:>4} incidents")
            print(f"{name:<10}{'evidently: a column drifted':<42}{column:>4} weeks")
            print(f"{name:<10}{'evidently: the dataset drifted':<42}{whole:>4} weeks", flush=True)
        print(f"\n{f'found in {PLANTED_WEEKS} weeks':<48}{'Tidegauge':>14}{'evidently':>12}")
        for kind in PLANTED:
            ours_, theirs = found(kind, Queries(data), Path(folder))
            print(f"{kind:<48}{ours_:>14}{theirs:>12}", flush=True)
    identical()


if __name__ == "__main__":
    main()
