"""`tidegauge demo`, as a person types it: thirteen weeks through Airflow, and then once more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from monitors.catalogue import metrics

pytestmark = pytest.mark.slow


def demo(folder: Path) -> tuple[str, str]:
    """Run it in ``folder``; its standard output, and a digest of measurements and messages."""
    result = subprocess.run(
        [sys.executable, "-m", "monitors.cli", "demo", "--rows", "400"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-2_000:]
    assert "Traceback" not in result.stdout + result.stderr
    with sqlite3.connect(folder / "data" / "tidegauge.db") as database:
        rows = database.execute("SELECT * FROM measurement ORDER BY 1, 2, 3, 4, 5").fetchall()
    messages = (folder / "reports" / "alerts.jsonl").read_bytes()
    digest = hashlib.sha256(repr(rows).encode() + messages).hexdigest()
    return result.stdout, digest


def published_metrics(path: Path) -> set[tuple[str, str, str, tuple[str, ...]]]:
    """(metric, unit, monitor, names of the labels) of everything that was measured."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        rows = store.execute("SELECT DISTINCT metric, unit, monitor, labels FROM measurement")
        return {
            (name, unit, monitor, tuple(json.loads(labels))) for name, unit, monitor, labels in rows
        }


def test_the_suite_works_from_end_to_end_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    told, digest = demo(tmp_path)
    assert "303 DAG runs now, 0 done before" in told
    lines = {line.split("  ")[0].strip(): line for line in told.splitlines()}
    for planted in ("Slower drafts", "Dearer summaries", "A missing day"):
        assert "missed" not in lines[planted], told
    assert "provider_drift" in told
    for monitor in ("intake", "safety", "quality", "operations", "embeddings", "review"):
        assert monitor in lines, f"{monitor} has measured nothing"

    messages = (tmp_path / "reports" / "alerts.jsonl").read_text()
    for cause in ("provider demo, nw-large", "version prompt_version=answer-5"):
        assert f"Likely cause:* {cause}" in messages, "the planted cause stands in its message"

    published = published_metrics(tmp_path / "data" / "tidegauge.db")
    listed = {metric.name: metric for metric in metrics()}
    for name, unit, monitor, labels in published:
        assert name in listed, f"add {name} to monitors/catalogue.py"
        assert (listed[name].unit, listed[name].monitor) == (unit, monitor), name
        assert listed[name].allows(labels), (name, labels)
    always = {name for name, metric in listed.items() if not metric.when}
    assert always <= {name for name, *_ in published}, "listed, but nobody publishes it"

    words = [sys.executable, "-m", "monitors.cli", "rules", "budget", "-c", "demo.toml", "--json"]
    lines = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    allowed = [json.loads(line)["allowed a year"] or 0 for line in lines.splitlines()]
    assert sum(allowed) <= 4, "the default rules allow themselves four false incidents a year"

    again, after = demo(tmp_path)
    assert "0 DAG runs now, 303 done before" in again
    assert after == digest, "the second run changed a measurement or sent a message"
