"""How much memory and time importing and drawing take: ``python -m tests.bench_memory``.

Each step runs in a process of its own over a day of 100,000 and of 1,000,000 rows; the peak of its
resident set must not depend on the volume. Exit status 1 when it does, by more than 20 %.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

VOLUMES = (100_000, 1_000_000)
TOLERANCE = 0.20
_FEATURES = ("search", "answers", "summaries")
_DAY = datetime(2026, 6, 1, tzinfo=UTC)


def write_log(path: Path, rows: int) -> None:
    """A JSONL log of one day, about 1 kB a row; one text in fifty holds something to redact."""
    answer = "You will find it under settings, then display; the change is saved at once. " * 10
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            extra = " Write to me at jane.doe@example.org." if number % 50 == 0 else ""
            record = {
                "id": f"r{number:08d}",
                "timestamp": (_DAY + timedelta(days=1) * (number / rows)).isoformat(),
                "input": f"How do I change the colour of tile {number}?{extra}",
                "output": answer,
                "feature": _FEATURES[number % 3] if number % 997 else f"rare-{number % 7}",
                "request_model": "m-1",
                "latency_ms": 100.0 + number % 900,
                "input_tokens": 20,
                "output_tokens": 180,
                "user_id": f"u{number % 5_000}",
            }
            file.write(json.dumps(record) + "\n")


def importing(folder: Path, rows: int) -> int:
    from monitors.logs.importing import import_files

    report = import_files([folder / f"{rows}.jsonl"], _source(folder, rows))
    return report.stored


def _context(folder: Path, rows: int) -> Any:
    from sql.store import Store
    from tests.logs_kit import context_over

    now = _DAY + timedelta(days=1, hours=6)
    store = Store.open(f"sqlite:///{folder}/{rows}-store.db")
    return context_over(store, _source(folder, rows), now=now, sampling={"rate": 0.05})


def drawing(folder: Path, rows: int) -> int:
    from monitors.logs.draw import draw_sample

    with _context(folder, rows) as context:
        return draw_sample(_window(), context).rows


def streaming(folder: Path, rows: int) -> int:
    with _context(folder, rows) as context:
        batches = context.source.stream(_window(), ["id", "output", "feature"])
        return sum(len(batch) for batch in batches)


def measuring(folder: Path, rows: int) -> int:
    from monitors.logs.intake import intake

    with _context(folder, rows) as context:
        return max(measurement.n for measurement in intake.measure(_window(), context))


def whole_day(folder: Path, rows: int) -> int:
    """`tidegauge run daily`: sample, safety on every output, scorers, measurements, rules."""
    from monitors.jobs import run
    from monitors.settings import DEFAULT_FILE

    default = Path(__file__).resolve().parent.parent / DEFAULT_FILE
    text = default.read_text(encoding="utf-8").replace("rate = 0.05 ", "rate = 0.01 ")
    config = folder / f"{rows}.toml"
    text = text.replace("data/tidegauge.db", f"{folder}/{rows}-day.db")
    config.write_text(text.replace("data/log.db", f"{folder}/{rows}-log.db"), encoding="utf-8")
    now = _DAY + timedelta(days=1, hours=6)
    facts = run("daily_quality", _window(), config=str(config), as_of=now).facts
    return int(facts["sample"]["rows"])


STEPS: dict[str, Callable[[Path, int], int]] = {
    "import": importing,
    "draw the sample": drawing,
    "stream every output": streaming,
    "measure the intake": measuring,
    "the whole day": whole_day,
}


def _window() -> Any:
    from sql.window import Grain, Window

    return Window.of(date(2026, 6, 1), Grain.DAY)


def _source(folder: Path, rows: int) -> str:
    return f"sqlite:///{folder}/{rows}-log.db"


def _child(step: str, folder: str, rows: str) -> None:
    began = time.perf_counter()
    done = STEPS[step](Path(folder), int(rows))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": done, "seconds": seconds, "mib": peak}))


def _measured(folder: Path) -> Iterator[tuple[str, list[dict[str, float]]]]:
    for step in STEPS:
        results = []
        for rows in VOLUMES:
            command = [sys.executable, "-m", "tests.bench_memory", step, str(folder), str(rows)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(answer.stdout.splitlines()[-1]))
            assert results[-1]["rows"] == rows, f"{step} did {results[-1]['rows']} of {rows} rows"
        yield step, results


def main() -> int:
    print(
        f"{'step':<22}{'rows a day':>12}{'seconds':>10}{'rows/s':>12}{'peak MiB':>10}{'growth':>9}"
    )
    grown = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in VOLUMES:
            write_log(folder / f"{rows}.jsonl", rows)
        for step, results in _measured(folder):
            for rows, found in zip(VOLUMES, results, strict=True):
                growth = found["mib"] / results[0]["mib"] - 1
                grown += abs(growth) > TOLERANCE
                print(
                    f"{step:<22}{rows:>12,}{found['seconds']:>10.1f}"
                    f"{rows / found['seconds']:>12,.0f}{found['mib']:>10.0f}{growth:>+9.0%}"
                )
    print("memory is flat" if not grown else f"memory grew by more than {TOLERANCE:.0%}")
    return 1 if grown else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _child(*sys.argv[1:])
    else:
        sys.exit(main())
