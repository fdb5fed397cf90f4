"""Seven million rows a week: how long a day's profile, the week's comparison, and evidently take.

One day of 1,000,000 rows of about 1 kB is read from SQLite. Five weeks are sketched from the arrays
that they are drawn as, by the same code, and the last is compared with the first, which is pinned,
and with the four before it. Each step runs in a process of its own: part of ``make bench``.
Evidently gets as many rows of both weeks as 6 GiB hold; CPU seconds a row are what is compared.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sql.window import Grain, Window

ROWS, READ = 1_000_000, 35
# A side: evidently needs 1.1 kB for each row.
EVIDENTLY_ROWS = 2_500_000
FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
WEEK = Window.of(date(2026, 6, 1), Grain.WEEK).shift(4)
LIMITS = {"profile": (60.0, 1024.0), "compare": (10.0, 1024.0)}
NUMBERS = ("input_characters", "output_characters", "input_tokens", "output_tokens", "latency_ms")
NUMBERS += ("cost_usd", "preprocess_ms", "inference_ms")
CATEGORIES = {
    "language": 8,
    "feature": 12,
    "segment": 4,
    "request_model": 6,
    "prompt_version": 20,
    "hour": 24,
    "input_question": 2,
}
COLUMNS = [*NUMBERS, *CATEGORIES]
READ_COLUMNS = [*COLUMNS, "input_language"]
_PHRASES = [f"How do I change the {thing} of order " for thing in ("colour", "size", "address")]
_OUTPUT = "You will find it under settings, then display; the change is saved at once. " * 13

Arrays = dict[str, NDArray[Any]]


def drawn(place: int) -> Arrays:
    """A day: numbers as they are, categories as codes; the last week has moved a little."""
    rng = np.random.default_rng([7, place])
    moved = 0.15 * (place >= 28)
    made: Arrays = {
        name: rng.lognormal(3 + 0.3 * number + moved * (number < 3), 0.6, ROWS)
        for number, name in enumerate(NUMBERS)
    }
    for name in NUMBERS[:4]:
        made[name] = np.ceil(made[name])
    for name, count in CATEGORIES.items():
        shares = 1 / (np.arange(count) + 2 + 2 * moved)
        made[name] = rng.choice(count, ROWS, p=shares / shares.sum())
    return made


def label(name: str, code: int) -> str:
    if name == "input_question":
        return ("no", "yes")[code]
    return f"{code:02d}" if name == "hour" else f"{name}-{code}"


# ── steps ────────────────────────────────────────────────────────────────────────────────────


def context_in(folder: Path, columns: Sequence[str] = COLUMNS) -> Any:
    from sql.store import Store
    from tests.logs_kit import context_over

    return context_over(
        Store.open(f"sqlite:///{folder}/store.db"),
        f"sqlite:///{folder}/log.db",
        reference={"start": FIRST.first_day, "days": 7},
        drift={"columns": list(columns)},
    )


def prepare(folder: Path) -> Mapping[str, Any]:
    """Write the log of one day, and sketch five weeks."""
    from monitors.drift.columns import watched
    from monitors.drift.profiles import Day, _keep, _recipe
    from monitors.logs.embedded import write_rows
    from sql.engine import open_engine

    engine = open_engine(f"sqlite:///{folder}/log.db")
    write_rows(engine, [_row(FIRST, 0, {})], source_name="log", seed="tidegauge")
    write_rows(engine, _rows(drawn(READ)), source_name="log", seed="tidegauge")
    engine.dispose()
    with context_in(folder) as context:
        columns = watched(COLUMNS, context.source)
        recipes = {column.name: _recipe(column, ("segment",), context) for column in columns}
        for place in range(35):
            arrays, day = drawn(place), Day(columns, ROWS)
            known = [label("segment", code) for code in range(CATEGORIES["segment"])]
            codes = {"segment": (known, arrays["segment"])}
            for name in NUMBERS:
                day.add_numbers(name, arrays[name], codes)
            for name, count in CATEGORIES.items():
                names = pa.array([label(name, code) for code in range(count)])
                values = pa.DictionaryArray.from_arrays(pa.array(arrays[name]), names)
                day.add_categories(name, values, codes)
            _keep(FIRST.shift(place), context, day, recipes)
    return {}


def _row(window: Window, number: int, more: Mapping[str, Any]) -> dict[str, Any]:
    asked = f"{_PHRASES[number % 3]}{number}"
    return {"id": f"{window}-{number}", "at": window.start, "input": asked, "output": "", **more}


def _rows(arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Of the day that is read: lengths, hours and questions are made of real texts and times."""
    day = FIRST.shift(READ)
    columns: dict[str, list[Any]] = {}
    for name in NUMBERS[2:]:
        whole = name.endswith("_tokens")
        columns[name] = (arrays[name].astype(int) if whole else arrays[name]).tolist()
    for name, count in CATEGORIES.items():
        if name not in ("hour", "input_question"):
            texts = [label(name, code) for code in range(count)]
            columns[name] = [texts[code] for code in arrays[name]]
    hours, questions = arrays["hour"].tolist(), arrays["input_question"].tolist()
    for number in range(ROWS):
        made = _row(day, number, {name: column[number] for name, column in columns.items()})
        made["at"] += timedelta(hours=hours[number], seconds=number % 3600)
        made["input"] += "?" * questions[number]
        made["output"] = _OUTPUT
        yield made


def profile(folder: Path) -> Mapping[str, Any]:
    from monitors.drift.profiles import profile_day

    with context_in(folder, READ_COLUMNS) as context:
        facts = profile_day(FIRST.shift(READ), context)
    return {"rows": facts["rows"]}


def compare(folder: Path) -> Mapping[str, Any]:
    from monitors.drift.inputs import inputs

    with context_in(folder) as context:
        found = inputs.measure(WEEK, context)
    values = {
        f"{m.metric.rpartition('.')[2]} {m.labels.get('column', '')}": m.value
        for m in found
        if m.labels["reference"] == "pinned" and "segment" not in m.labels and m.value is not None
    }
    return {"values": values, "measurements": len(found)}


def exact(folder: Path) -> Mapping[str, Any]:
    """PSI and Wasserstein's distance of all rows of both weeks, with nothing left out."""
    from monitors.statistics.two_sample import binned, psi, quantile_edges, wasserstein_over_iqr

    values: dict[str, float] = {}
    weeks = [[drawn(place) for place in span] for span in (range(7), range(28, 35))]
    for name in NUMBERS:
        before, after = (np.concatenate([day[name] for day in days]) for days in weeks)
        edges = quantile_edges(before)
        values[f"psi {name}"] = psi(binned(before, edges), binned(after, edges))
        values[f"wasserstein {name}"] = wasserstein_over_iqr(before, after)
    for name, count in CATEGORIES.items():
        before, after = (sum(np.bincount(d[name], minlength=count) for d in days) for days in weeks)
        values[f"psi {name}"] = psi(before, after)
    return {"values": values}


def evidently(folder: Path) -> Mapping[str, Any]:
    """`DataDriftPreset` as it comes, on an equal part of each day of both weeks."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=list(NUMBERS), categorical_columns=list(CATEGORIES)
    )
    sides = []
    for span in (range(7), range(28, 35)):
        days = [drawn(place) for place in span]
        part = EVIDENTLY_ROWS // len(days)
        arrays = {name: np.concatenate([day[name][:part] for day in days]) for name in days[0]}
        frame = {
            name: np.array([label(name, code) for code in range(CATEGORIES[name])])[values]
            if name in CATEGORIES
            else values
            for name, values in arrays.items()
        }
        sides.append(Dataset.from_pandas(pd.DataFrame(frame), data_definition=definition))
    began, spent = time.perf_counter(), time.process_time()
    Report([DataDriftPreset()]).run(sides[1], sides[0])
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}


STEPS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    step.__name__: step for step in (prepare, profile, compare, exact, evidently)
}


def _child(step: str, folder: str) -> None:
    began, spent = time.perf_counter(), time.process_time()
    done = STEPS[step](Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent, "mib": peak}
    print(json.dumps({**own, **done}))


def main() -> int:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            command = [sys.executable, "-m", "tests.bench_profiles", step, folder]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[step] = json.loads(answer.stdout.splitlines()[-1])
    told = {
        "profile": f"a day's profile: {ROWS:,} rows, {len(READ_COLUMNS)} columns, segments, SQLite",
        "compare": f"the week's comparison: {7 * ROWS:,} rows with {7 * ROWS:,} and {28 * ROWS:,}",
        "evidently": f"evidently's preset: {EVIDENTLY_ROWS:,} rows with as many, already in memory",
    }
    print(f"{'':<82}{'seconds':>9}{'CPU':>9}{'peak MiB':>10}")
    for step, text in told.items():
        print(f"{text:<82}{found[step]['seconds']:>9.1f}{found[step]['cpu']:>9.1f}", end="")
        print(f"{found[step]['mib']:>10.0f}")
    ours, truth = found["compare"]["values"], found["exact"]["values"]
    worst = {
        kind: max(abs(ours[key] - value) for key, value in truth.items() if key.startswith(kind))
        for kind in ("psi", "wasserstein")
    }
    off = ", ".join(f"{kind} {value:.4f}" for kind, value in worst.items())
    print(f"sketches against all rows, furthest off: {off}")
    # The week is compared with the pinned one and with four more.
    rows = {"evidently": 2 * EVIDENTLY_ROWS, "compare": 42 * ROWS, "profile": ROWS}
    each = {step: 1e6 * found[step]["cpu"] / count for step, count in rows.items()}
    print(
        f"CPU seconds a million rows: evidently {each['evidently']:.1f}; ours "
        f"{each['profile']:.1f} to profile them once, and "
        f"{each['compare']:.3f} each time they are compared, "
        f"{each['evidently'] / each['compare']:.0f} times less"
    )
    within = all(
        found[step]["seconds"] <= seconds and found[step]["mib"] <= mib
        for step, (seconds, mib) in LIMITS.items()
    )
    return 0 if within and max(worst.values()) <= 0.01 else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _child(*sys.argv[1:])
    else:
        sys.exit(main())
