"""How often input drift is imagined, in years of weeks without change, and how often a
planted change is found.

Each simulated year has days and a reference of its own: the demo's traffic without its faults, and
real queries (CLINC150) with weekly season. Days become sketches, weeks are compared and the shipped
rules speak by the code of production; evidently's preset reads the same weeks. Part of ``make
bench-detection``; alone: ``python -m tests.bench_inputs``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from scipy import stats

from alerts.replaying import replay
from alerts.rules import Rule
from monitors.commands.metrics import rules_of
from monitors.context import Context
from monitors.demo.product import FEATURES
from monitors.drift.columns import TURNS, Column, categories, numbers, watched
from monitors.drift.inputs import _About, _compared
from monitors.drift.language import language_of
from monitors.drift.picture import dataset, opinions
from monitors.drift.profiles import Day
from monitors.drift.references import PINNED, SEASONAL, Reference
from monitors.drift.sketches import Numbers, Sketch
from monitors.logs.interaction import Batch
from monitors.quality.slices import WHOLE, Slice
from monitors.settings import DemoSettings
from monitors.statistics.seasonal import MINIMUM_WEEKS
from monitors.statistics.seasonal import WEEKS as SEASON
from monitors.statistics.two_sample import psi
from sql.measurement import Measurement
from sql.store import Store
from sql.window import Grain, Window
from tests.bench_topics import queries
from tests.conftest import ROOT
from tests.logs_kit import context_over, fill

DATA = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
FIRST = Window.of(date(2025, 6, 2), Grain.WEEK)
REFERENCE_WEEKS, WEEKS, ROWS_A_DAY = 3, 52, 700
# Changes are planted in the first of them. Evidently takes a second a week: it gets fewer.
YEARS, PLANTED_YEARS, EVIDENTLY_YEARS, ALLOWED = 10, 5, 1, 0.5
EVIDENTLY_ROWS = 5_000
DEMO_FEATURES = [feature.name for feature in FEATURES]
Row = dict[str, Any]
Make = Callable[[Window], list[Row]]


def rules() -> list[Rule]:
    """Those of the shipped configuration that watch input drift."""
    shipped = rules_of(ROOT / "tidegauge.toml").rules
    return [rule for rule in shipped if rule.metric.startswith("drift.input.")]


# ── years without change ─────────────────────────────────────────────────────────────────────


def demo(year: int) -> Make:
    """The demo's traffic, none of its faults: season, growth, weather."""
    from monitors.demo.incidents import Effects
    from monitors.demo.traffic import traffic

    settings = DemoSettings(seed=2026 + year, rows_per_day=ROWS_A_DAY)

    def day(window: Window) -> list[Row]:
        with mock.patch("monitors.demo.traffic.effects", lambda _day: Effects()):
            rows = traffic(window.first_day, settings, FIRST.first_day)
            return [row for row in rows if row["shadow_of"] is None]

    return day


def clinc150(year: int) -> Make:
    """CLINC150's queries as a log: on weekends fewer, later, and about other domains."""
    texts, intents = queries(DATA)
    domains = json.loads((DATA / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    of = {intent: domain for domain, known in domains.items() for intent in known}
    names = sorted(domains)
    by_domain = [
        [t for t, i in zip(texts, intents, strict=True) if of.get(i) == name] for name in names
    ]
    usual = np.random.default_rng(3).dirichlet(np.full(len(names), 8.0))

    def day(window: Window) -> list[Row]:
        rng = np.random.default_rng([year, window.first_day.toordinal()])
        weekend = window.first_day.weekday() >= 5
        tilt = np.linspace(-0.3, 0.3, len(names)) * weekend
        shares = usual * np.exp(tilt + 0.06 * rng.normal(size=len(names)))
        slower = 0.02 * rng.normal()
        rows = round(ROWS_A_DAY * (0.6 if weekend else 1.0) * np.exp(0.03 * rng.normal()))
        places = rng.choice(len(names), rows, p=shares / shares.sum())
        chosen = [
            by_domain[place][int(u * len(by_domain[place]))]
            for place, u in zip(places, rng.random(rows), strict=True)
        ]
        tokens = [1 + len(text) // 4 for text in chosen]
        columns: dict[str, Sequence[Any]] = {
            "at": [
                window.start + timedelta(hours=float(hour))
                for hour in rng.normal(15 if weekend else 13, 4, rows) % 24
            ],
            "input": chosen,
            "output": ["ok " * count for count in rng.integers(5, 60, rows)],
            "feature": [names[place] for place in places],
            "segment": rng.choice(["home", "trade", "work"], rows, p=(0.5, 0.15, 0.35)).tolist(),
            "language": rng.choice(["en", "de"], rows, p=(0.9, 0.1)).tolist(),
            "request_model": ["m-1"] * rows,
            "prompt_version": ["v1"] * rows,
            "input_tokens": tokens,
            "latency_ms": (800 * np.exp(0.4 * rng.normal(size=rows) + slower)).tolist(),
            "cost_usd": [count * 2e-6 for count in tokens],
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    return day


LOGS: dict[str, Callable[[int], Make]] = {"demo": demo, "CLINC150": clinc150}


@dataclass
class Year:
    """What was said in one year of a log, and of the changes planted at its end.

    Args:
        incidents: by rule.
        evidently: weeks in which it finds a column, and the dataset, drifted; None: not asked.
        found: by change, whether ours, and evidently, points at its column within two weeks; empty
            where none was planted.
    """

    incidents: Counter[str]
    evidently: tuple[int, int] | None
    found: dict[str, tuple[bool, bool]]


def year(log: str, number: int) -> Year:
    """Reference, a year without change, and its last two weeks again with each change."""
    warnings.simplefilter("ignore")  # evidently divides by zero where a category is new
    made = LOGS[log](number)
    weeks = [FIRST.shift(place) for place in range(REFERENCE_WEEKS + WEEKS)]
    asked, found = None, {}
    with Profiles(made) as profiles:
        frames = [profiles.keep(week, made) for week in weeks]
        past = sampled(frames[:REFERENCE_WEEKS])
        quiet = [profiles.measured(week) for week in weeks[REFERENCE_WEEKS:]]
        for kind, (column, *_) in PLANTED.items() if number < PLANTED_YEARS else ():
            changed = [profiles.keep(week, with_change(kind, made)) for week in weeks[-2:]]
            items = [item for week in weeks[-2:] for item in profiles.measured(week)]
            ours_ = any(labels["column"] == column for _, labels in spoken(items))
            theirs = any(evidently(past, sampled([f])).get(column, False) for f in changed)
            found[kind] = ours_, theirs
    if number < EVIDENTLY_YEARS:
        drifted = [list(evidently(past, sampled([f])).values()) for f in frames[REFERENCE_WEEKS:]]
        asked = sum(map(any, drifted)), sum(sum(d) >= len(d) / 2 for d in drifted)
    opened = spoken([item for week in quiet for item in week])
    return Year(Counter(name for name, _ in opened), asked, found)


class Profiles:
    """Days as sketches, in memory, and the comparison of weeks as `inputs` makes it.

    Left out is what no rule reads and what has tests of its own: intervals, the store, and whether
    the reference is as it was.
    """

    def __init__(self, made: Make) -> None:
        self.days: dict[Window, Day] = {}
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{self.folder.name}/log.db"
        # One row says which columns there are.
        fill(url, [{"id": "first", **made(FIRST.days()[0])[0]}])
        self.stack = ExitStack()
        self.context = self.stack.enter_context(
            context_over(Store.open(f"sqlite:///{self.folder.name}/store.db"), url)
        )
        self.columns = watched(self.context.settings.drift.columns, self.context.source)

    def __enter__(self) -> Profiles:
        for name, stand_in in {
            "inputs.read": self.read,
            "inputs.rows_of": lambda days, _: sum(self.days[day].rows for day in days),
            "inputs.shift": lambda before, after, seed: (0.0, 0.0, 0.0),
            "inputs._DISTANCES": (("psi", psi_alone, "nats"),),
            # A day is looked at in up to nine weeks, a text is asked more than once.
            "sketches.Numbers.points": remembered(Numbers.points),
            "language.language_of": lru_cache(100_000)(language_of),
        }.items():
            self.stack.enter_context(mock.patch(f"monitors.drift.{name}", stand_in))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
        self.folder.cleanup()

    def keep(self, week: Window, made: Make) -> pd.DataFrame:
        """Profile a week's days anew; the same columns as evidently reads them."""
        seen: dict[str, list[Any]] = {c.name: [] for c in self.columns if c.name != TURNS}
        for window in week.days():
            rows = made(window)
            names = {column.reads for column in self.columns} | {"segment"}
            batch = Batch({name: [row.get(name) for row in rows] for name in names})
            known = sorted({str(value) for value in batch["segment"]})
            codes = {"segment": (known, np.searchsorted(known, batch["segment"]))}
            day = self.days[window] = Day(self.columns, len(rows))
            for column in self.columns:
                if column.name == TURNS:
                    talks = Counter(talk for talk in batch[column.reads] if talk)
                    day.at(TURNS, WHOLE).add(np.array(list(talks.values()), dtype=np.float64))
                elif column.numeric:
                    values = numbers(column, batch)
                    day.add_numbers(column.name, values, codes)
                    seen[column.name].extend(values.tolist())
                else:
                    labels = categories(column, batch, window)
                    day.add_categories(column.name, labels, codes)
                    seen[column.name].extend(labels.to_pylist())
        return pd.DataFrame(seen)

    def read(self, column: Column, days: Sequence[Window], _: Context) -> dict[Slice, list[Sketch]]:
        """As `monitors.drift.profiles.read`."""
        found: dict[Slice, list[Sketch]] = {}
        for day in days:
            for (name, place), sketch in self.days[day].sketches.items():
                if name == column.name and sketch.rows:
                    found.setdefault(place, []).append(sketch)
        return found

    def measured(self, week: Window) -> list[Measurement]:
        """Against the pinned first weeks, and the eight weeks before."""
        past = [FIRST.shift(place) for place in range(REFERENCE_WEEKS)]
        before = [week.shift(-place) for place in range(SEASON, 0, -1)]
        sides = {PINNED: past, SEASONAL: [each for each in before if each.start >= FIRST.start]}
        found: list[Measurement] = []
        for name, weeks in sides.items():
            days = tuple(day for each in weeks for day in each.days())
            if name == PINNED or len(weeks) >= MINIMUM_WEEKS:
                about = _About(week, self.context, Reference(name, days))
                rows = sum(self.days[day].rows for day in week.days())
                found += _compared(about, week.days(), rows)
        return found


def psi_alone(ref_days: Any, cur_days: Any, *, seed: int) -> tuple[float, float, float]:
    value = psi(ref_days.sum(axis=0), cur_days.sum(axis=0))
    return value, value, value


def remembered(points: Callable[[Numbers], Any]) -> Callable[[Numbers], Any]:
    """The same answer for the same sketch (it is kept, too: an address is used again)."""
    known: dict[int, tuple[Numbers, Any]] = {}

    def asked(sketch: Numbers) -> Any:
        if id(sketch) not in known:
            known[id(sketch)] = sketch, points(sketch)
        return known[id(sketch)][1]

    return asked


def sampled(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """At most 5,000 rows, without the columns that hold nothing."""
    made = pd.concat(frames).dropna(axis=1, how="all")
    return made.sample(min(EVIDENTLY_ROWS, len(made)), random_state=1)


def spoken(items: Sequence[Measurement]) -> list[tuple[str, Mapping[str, str]]]:
    """The incidents that the shipped rules open: the rule, and the labels of its series."""
    return [
        (rule.name, one.labels)
        for rule in rules()
        for one in replay(rule, items)
        for _ in one.incidents
    ]


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


def _longer(row: Row) -> None:
    row["input"] += " " + row["input"][: len(row["input"]) // 3]


def _slower(row: Row) -> None:
    row["latency_ms"] = 1.5 * row["latency_ms"] if row["latency_ms"] else row["latency_ms"]


def _linked(row: Row) -> None:
    row["input"] += " https://a.example"


def _more(row: Row) -> None:
    row["feature"] = "summarise_ticket" if row["feature"] in DEMO_FEATURES else "banking"


# What is changed → the column that should say so, in which share of the rows, and how.
PLANTED: dict[str, tuple[str, float, Callable[[Row], None]]] = {
    "inputs are a third longer": ("input_characters", 1.0, _longer),
    "answers take 1.5 times as long": ("latency_ms", 1.0, _slower),
    "15 % of the rows turn German": ("language", 0.15, lambda row: row.update(language="de")),
    "a new segment of 3 %": ("segment", 0.03, lambda row: row.update(segment="partner")),
    "1.5 % of the inputs hold a web address": ("input_url", 0.015, _linked),
    "a fifth of the rows go to one feature": ("feature", 0.2, _more),
    "a tenth of the rows go to one feature": ("feature", 0.1, _more),
}


def with_change(kind: str, made: Make) -> Make:
    """The same days with the change."""
    _, share, change = PLANTED[kind]

    def day(window: Window) -> list[Row]:
        rng = np.random.default_rng([5, window.first_day.toordinal()])
        rows = made(window)
        for row in rows:
            if rng.random() < share:
                change(row)
        return rows

    return day


# ── telling ──────────────────────────────────────────────────────────────────────────────────


def told(log: str, years: Sequence[Year]) -> bool:
    """Print what the years said; is it proven that there are few enough false incidents?"""
    total = sum((one.incidents for one in years), Counter[str]())
    for rule in rules():
        print(f"{log:<10}{rule.name:<34}{total[rule.name]:>4} incidents in {len(years)} years")
    count = total.total()
    bound = float(stats.chi2.ppf(0.95, 2 * (count + 1))) / 2 / len(years)
    print(f"{log:<10}all rules: {count / len(years):.2f} a year, with 95 % at most {bound:.2f}")
    asked = [one.evidently for one in years if one.evidently]
    column, whole = (sum(each) for each in zip(*asked, strict=True))
    print(
        f"{log:<10}evidently: a column drifted in {column} of {WEEKS * len(asked)} weeks, "
        f"the dataset in {whole}",
        flush=True,
    )
    return bound <= ALLOWED


def told_of_changes(found: Mapping[str, Sequence[Year]]) -> None:
    title = f"a change of two weeks, found in {PLANTED_YEARS} years"
    print(f"\n{title:<44}" + "".join(f"{log:>14}{'evidently':>12}" for log in found))
    for kind in PLANTED:
        cells = ""
        for years in found.values():
            answers = [one.found[kind] for one in years[:PLANTED_YEARS]]
            mine, theirs = (sum(side) for side in zip(*answers, strict=True))
            cells += f"{mine:>14}{theirs:>12}"
        print(f"{kind:<44}{cells}", flush=True)


def main() -> int:
    if not (DATA / "clinc150").is_dir():
        sys.exit(f"the real data is not at {DATA}: set TIDEGAUGE_REAL_DATA")
    print(
        f"{YEARS} years of {WEEKS} weeks without change, {ROWS_A_DAY} rows a day, weekly season",
        flush=True,
    )
    with ProcessPoolExecutor() as pool:
        asked = {log: [pool.submit(year, log, n) for n in range(YEARS)] for log in LOGS}
        found = {log: [one.result() for one in each] for log, each in asked.items()}
        proven = [told(log, each) for log, each in found.items()]
        told_of_changes(found)
    if not all(proven):
        print(f"it is not proven that a log has at most {ALLOWED} false incidents a year")
    return 0 if all(proven) else 1


if __name__ == "__main__":
    sys.exit(main())
