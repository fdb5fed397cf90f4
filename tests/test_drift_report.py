"""The week's page shows both verdicts side by side, names categories, and no text; the workspace
holds each week once."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from monitors.drift.inputs import inputs
from monitors.drift.report import write_report
from monitors.logs.draw import draw_sample
from sql.measurement import Measurement
from sql.store import Store
from sql.window import Grain, Window
from tests.logs_kit import DAY, context_over, days, fill, row

WEEK = Window.of(DAY.first_day, Grain.WEEK).shift(3)


def rules(item: Measurement) -> list[str]:
    """Stands in for the configured rules."""
    moved = item.metric == "drift.input.psi" and item.evidence is not None and item.evidence < 1e-4
    return ["moved_far"] if moved and item.value - item.baseline > 0.1 else []


def test_both_verdicts_stand_side_by_side(store: Store, tmp_path: Path) -> None:
    url, chance, rows = f"sqlite:///{tmp_path}/log.db", Random(4), []
    for place, day in enumerate(days(28)):
        for number in range(40):
            kind = "<b>fresh</b>" if place >= 21 and number % 4 == 0 else chance.choice("ab")
            words = f"peculiar{chance.randrange(10)} " * chance.randrange(1, 30)
            more = {"input": words, "segment": kind, "latency_ms": chance.lognormvariate(5, 1)}
            if number == 7:  # a failed request has no answer
                more |= {"output": "", "error_type": "timeout"}
            rows.append(row(place * 1000 + number, day, of=10**5, **more))
    fill(url, rows)
    sections = {
        "reference": {"days": 21},
        "reports": str(tmp_path / "reports"),
        "sampling": {"rate": 1, "force": True},
        "drift": {"columns": ["input_characters", "segment", "latency_ms", "hour"]},
    }
    with context_over(store, url, **sections) as context:  # type: ignore[arg-type]
        for day in days(28):
            draw_sample(day, context)
        found = inputs.measure(WEEK, context)
        with store.begin() as connection:
            store.publish(connection, "inputs", WEEK, found)
        path = write_report(WEEK, context, rules)
        assert path is not None
        page = path.read_text(encoding="utf-8")
        assert write_report(WEEK, context, rules) == path, "made again, it is one page and one run"
        assert write_report(WEEK.shift(-1), context, rules) is None, "the reference itself"
        assert write_report(WEEK.shift(9), context, rules) is None, "an empty week"
    lines = dict(re.findall(r"<tr><td>(\w+)</td>(.*?)</tr>", page, re.DOTALL))
    assert set(lines) == {"input_characters", "segment", "latency_ms", "hour"}
    assert "moved_far" in lines["segment"] and "drifted" in lines["segment"]
    assert "new: &lt;b&gt;fresh&lt;/b&gt; (25.0%" in lines["segment"]
    assert "moved_far" not in lines["latency_ms"] and "quiet" in lines["latency_ms"]
    assert "input: words" in page and "peculiar" not in page, "descriptors, but no text"

    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(tmp_path / "reports" / "evidently"))
    [project] = workspace.search_project("Tidegauge")
    [run] = workspace.list_runs(project.id)
    assert workspace.get_run(project.id, run).name == str(WEEK)
    kept = "".join(f.read_text() for f in (tmp_path / "reports" / "evidently").rglob("*.json"))
    assert "peculiar" not in kept


@pytest.mark.slow
def test_evidently_opens_the_workspace(store: Store, tmp_path: Path) -> None:
    import json
    import socket
    import subprocess
    import sys
    import time
    import urllib.request

    test_both_verdicts_stand_side_by_side(store, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("evidently")), "ui", "--workspace"]
    server = subprocess.Popen(
        [*command, str(tmp_path / "reports" / "evidently"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(60):
            time.sleep(1)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/projects") as answer:
                    projects = json.load(answer)
                break
            except OSError:
                continue
        assert [project["name"] for project in projects] == ["Tidegauge"]
    finally:
        server.kill()
        server.wait()
