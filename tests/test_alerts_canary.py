"""What users and models wrote reaches no message, no log and no error, however Slack behaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitors.context import Context
from monitors.monitor import monitor
from sql.measurement import Measurement
from sql.window import Grain, Window
from tests.cli_kit import run
from tests.logs_kit import fill, row
from tests.slack_kit import fake_slack

CANARY = "quetzal-7f3a"
_CONFIGURATION = """
[store]
url = "sqlite:///store.db"
[source]
url = "sqlite:///log.db"
[sampling]
rate = 1
force = true
[slack]
channel = "C1"
[scorers.pii]
use = "monitors.quality.hazards:pii"
[monitors.safety]
use = "monitors.quality.safety:safety"
[monitors.broken]
use = "tests.test_alerts_canary:broken"
[[rules]]
name = "leaks"
metric = "safety.pass_rate"
match = { scorer = "pii" }
decision = "threshold"
threshold = 0.99
direction = "below"
consecutive = 1
"""


@monitor(name="broken", grain=Grain.DAY)
def broken(window: Window, context: Context) -> list[Measurement]:
    """A monitor of a user's own, whose error quotes a row."""
    raise ValueError(f"cannot read {CANARY}")


@pytest.mark.parametrize(
    "faults", [[], ["html", "accepted_500", "invalid_blocks"], ["token_revoked"]]
)
def test_no_canary_comes_out(tmp_path: Path, faults: list[str]) -> None:
    (tmp_path / "tidegauge.toml").write_text(_CONFIGURATION)
    day = Window.containing(datetime.now(UTC), Grain.DAY).shift(-1)
    words = {"input": f"{CANARY}?", "output": f"ask {CANARY}@example.org", "user_id": CANARY}
    rows = [row(n, day, of=300, **words) for n in range(300)]
    fill(f"sqlite:///{tmp_path}/log.db", rows)
    with fake_slack() as (url, server):
        server.faults[:] = faults
        shown = ""
        for command in (
            ["run", "daily", "--window", day.label],
            ["run", "relay"],
            ["incidents", "--json"],
        ):
            done = run(tmp_path, *command, SLACK_BOT_TOKEN="xoxb-secret", SLACK_API_URL=url)
            shown += done.stdout + done.stderr
        # A picture is looked through byte by byte.
        posted = json.dumps(server.messages, default=lambda raw: raw.decode("latin-1"))
    assert "leaks" in shown and "monitor_error" in shown
    assert bool(server.messages) is (faults != ["token_revoked"])
    assert CANARY not in posted + shown
    assert "xoxb-secret" not in posted + shown
