"""The whole suite over the demo: traffic, golden set, pin, thirteen weeks of DAGs, a score."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sqlalchemy import select

from monitors.demo.fill import FillReport, fill_log
from monitors.demo.golden import golden_examples
from monitors.demo.incidents import plan
from monitors.demo.prompts import regression_prompts
from monitors.demo.scorecard import FoundIncident, Scorecard, score
from monitors.provider.baselines import current
from monitors.provider.prompts import write_prompts
from monitors.review.golden import import_golden, list_golden
from monitors.settings import DEFAULT_FILE
from monitors.suite import Suite, open_suite
from sql.tables import incident
from sql.window import Grain, Window

DEMO_FILE = "demo.toml"
_ADDITIONS = """

# ── the demo ─────────────────────────────────────────────────────────────────────────────────

[demo]
enabled = true
rows_per_day = {rows}

[providers.demo]                        # a recorded provider on this machine: no key, no network
base_url = "http://127.0.0.1:{port}/v1"
model = "nw-large"
api_key = "none"
pin = "demo"
prompts = "data/demo-prompts.jsonl"
repeats = 3
usd_per_million_input_tokens = 2.0
usd_per_million_output_tokens = 6.0
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The demo, ready to be rehearsed."""

    config: Path
    fill: FillReport


def write_configuration(folder: Path, rows: int) -> Path:
    """``demo.toml`` in ``folder``: the default configuration and the demo's additions, once."""
    path = folder / DEMO_FILE
    if not path.exists():
        default = Path(__file__).resolve().parents[2] / DEFAULT_FILE
        text = default.read_text(encoding="utf-8").rstrip("\n")
        path.write_text(text + _ADDITIONS.format(rows=rows, port=_free_port()), encoding="utf-8")
    return path


def _free_port() -> int:
    """One of its own for each demo, below those that the system gives to callers."""
    while True:
        port = 18_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def prepare(
    config: Path, *, today: date, progress: Callable[[int, int], None] | None = None
) -> Prepared:
    """Fill the log, import the golden set, pin the provider; what is there already stays.

    Raises:
        ConfigurationError: the log is not the demo's, or a port is taken.
    """
    suite = open_suite(config)
    fill = fill_log(suite.settings, today=today, progress=progress)
    start = datetime.combine(fill.first_day, time(), UTC)
    suite = suite.at(start)
    context = suite.context
    if not list_golden(context):
        import_golden(golden_examples(suite.settings.demo, fill.first_day), context)
    for name, provider in suite.settings.providers.items():
        if current(provider.pin, context) is None:
            write_prompts(
                suite.settings.path(provider.prompts), regression_prompts(suite.settings.demo.seed)
            )
            reason, actor = "the demo's first pin", "demo"
            with suite.recorded_provider():
                facts = suite.pin({"name": name, "reason": reason, "actor": actor})
            digest = str(facts["digest"])
            suite.approve({"name": name, "reason": reason, "actor": actor, "digest": digest})
    return Prepared(config, fill)


def scorecard(suite: Suite, first_day: date) -> Scorecard:
    """What of the planted was found, from the store's incidents."""
    rows = suite.store.rows(select(incident).order_by(incident.c.opened_window))
    zone = suite.settings.timezone
    found = [
        FoundIncident(
            row.rule,
            row.metric,
            json.loads(row.labels),
            Grain(row.grain),
            window.first_day,
            window.next().first_day - timedelta(days=1),
        )
        for row in rows
        for window in [Window.containing(row.opened_window, Grain(row.grain), zone)]
    ]
    return score(plan(first_day, suite.settings.demo.weeks), found)
