"""Real logs from file to measurements, typed as a user would type it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.test_cli import run


def told(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run(folder, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def digest(folder: Path) -> str:
    """Of all measurements and of every message."""
    with sqlite3.connect(folder / "data" / "tidegauge.db") as database:
        rows = database.execute("SELECT * FROM measurement ORDER BY 1, 2, 3, 4, 5").fetchall()
        sent = database.execute("SELECT * FROM notification ORDER BY 1").fetchall()
    return hashlib.sha256(repr((rows, sent)).encode()).hexdigest()


def test_halueval_answers_without_times(real_data: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    [counts] = told(
        tmp_path,
        *("import", str(real_data / "halueval" / "general_3000.jsonl")),
        *("--map", "input=user_query", "--map", "output=chatgpt_response", "--map", "id=ID"),
        *("--start", "2026-06-01", "--per-day", "100"),
    )
    assert (counts["read"], counts["stored"], counts["quarantined"]) == (3000, 3000, 0)
    result = run(tmp_path, "replay", "--from", "2026-06-01", "--to", "2026-06-30")
    assert result.returncode == 0, result.stderr
    daily = told(tmp_path, "measurements", "--metric", "safety.pass_rate", "--last", "500")
    assert {one["window"] for one in daily if one["value"] is not None} == {
        f"2026-06-{day:02d}" for day in range(1, 31)
    }
    assert all(one["low"] <= one["value"] <= one["high"] for one in daily if one["value"])
    weekly = told(tmp_path, "measurements", "--metric", "drift.input.psi", "--grain", "week")
    assert any(one["value"] is not None for one in weekly)
    assert (tmp_path / "reports" / "drift").is_dir()
    before = digest(tmp_path)
    for job, window in (("daily", "2026-06-30"), ("weekly", "2026-W26")):
        assert "done already" in run(tmp_path, "run", job, "--window", window).stdout
    assert run(tmp_path, "run", "daily", "--window", "2026-06-30", "--force").returncode == 0
    assert digest(tmp_path) == before, "doing a day again changed a measurement or sent a message"


def test_llmdrift_with_its_own_times_models_latency_and_cost(
    real_data: Path, tmp_path: Path
) -> None:
    assert run(tmp_path, "init").returncode == 0
    for name, feature, rows in (
        ("PRIME_FULL_EVAL.csv", "primes", 4_000),
        ("LEETCODE_EASY_EVAL.csv", "code", 200),
    ):
        [counts] = told(
            tmp_path,
            *("import", str(real_data / "llmdrift" / name), "--set", f"feature={feature}"),
            *("--map", "id=dataset+model+id", "--map", "latency_ms=latency*1000"),
            *("--map", "timestamp=timestamp|%m/%d/%Y, %H:%M:%S"),
        )
        assert (counts["read"], counts["stored"], counts["renamed"]) == (rows, rows, 0)
    [log] = sqlite3.connect(tmp_path / "data" / "log.db").execute(
        "SELECT count(DISTINCT request_model), min(at), max(at), avg(latency_ms), sum(cost_usd)"
        " FROM interaction WHERE feature = 'primes'"
    )
    assert log[0] == 4 and log[1] >= "2023-07-02" and log[2] < "2023-07-25"
    assert 1_000 < log[3] < 60_000 and log[4] > 1
    for job, window in (("daily", "2023-07-24"), ("weekly", "2023-W29")):
        result = run(tmp_path, "run", job, "--window", window)
        assert result.returncode == 0, result.stderr
    scored = told(tmp_path, "measurements", "--metric", "correctness.score", "--last", "500")
    by_model = {
        one["labels"]["request_model"]: one["value"]
        for one in scored
        if one["labels"].get("scorer") == "reference_match" and "request_model" in one["labels"]
    }
    assert len(by_model) == 4
    assert all(value is None or 0 <= value <= 1 for value in by_model.values())
    cost = told(tmp_path, "measurements", "--metric", "operations.cost_per_day")
    assert cost[-1]["value"] > 0
