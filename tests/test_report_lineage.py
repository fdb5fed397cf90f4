"""`tidegauge explain`: what decided an incident, who was told, who did what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from alerts import silences
from alerts.acknowledgements import acknowledge, find_incident
from monitors.aftermath import Sheet
from monitors.cli import app
from monitors.lineage import Lineage, lineage
from monitors.report.lineage import write_page
from monitors.settings import load_settings
from monitors.suite import Suite
from sql.errors import ConfigurationError
from sql.tables import audit, coverage, incident, model_artifact, reference, score
from tests.slack_kit import fake_slack
from tests.test_alerts_charts import FIRST, World

CONFIGURATION = """
[store]
url = "sqlite:///store.db"
[source]
url = "sqlite:///log.db"
[monitors.quality]
use = "monitors.quality.quality:quality"
[[rules]]
name = "quality"
metric = "quality.score"
decision = "interval"
consecutive = 1
match = { feature = "*" }
"""
HOSTILE = "<script>alert(1)</script>"
DAY = FIRST.shift(6)


@dataclass
class Story:
    suite: Suite
    name: str
    folder: Path

    def found(self) -> Lineage:
        return lineage(self.suite, self.name)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """An incident of a series with a hostile name: told, looked after, silenced."""
    (tmp_path / "tidegauge.toml").write_text(CONFIGURATION)
    suite = Suite(load_settings(tmp_path / "tidegauge.toml"))
    store = suite.store
    with fake_slack() as (url, _):
        world = World(store, url, HOSTILE)
        world.relay()
        now = suite.as_of = world.now
    _beside(suite)
    (row,) = store.rows(select(incident))
    name = row.fingerprint[:10]
    acknowledge(
        store, find_incident(store, name), actor="ada", comment="on it", action="cli", now=now
    )
    matchers = [silences.Matcher("rule", "=", "quality")]
    span = {"starts": now, "ends": now + timedelta(hours=4), "now": now}
    silences.add(store, matchers, author="bob", comment="known", **span)
    yield Story(suite, name, tmp_path)
    store.close()


def _beside(suite: Suite) -> None:
    """What the store keeps of models, baselines and runs; of some a later one that is not meant."""
    scored = {"source": "log", "item_id": "r1", "at": DAY.start, "value": 0.5, "reason": ""}
    later = DAY.end + timedelta(days=9)
    artifacts = [
        {"name": "judge", "digest": digit * 64, "body": b"{}", "card": {}, "created_at": at}
        for digit, at in (("c", FIRST.start), ("d", DAY.start), ("e", later))
    ]
    span = {"window_start": FIRST.start, "window_end": DAY.start, "rows": 700}
    pinned = {"pinned_at": DAY.start, "pinned_by": "eva", "reason": "quiet weeks"}
    ran = {
        "job": "daily_quality", "grain": "day", "window_start": DAY.start, "window_end": DAY.end,
        "status": "complete", "reason": "", "rows": 2000, "measurements": 1, "seconds": 1.0,
        "config_digest": "a" * 64, "code_version": "0.0.9", "finished_at": DAY.end,
    }  # fmt: skip
    with suite.store.begin() as connection:
        put = suite.store.upsert
        put(connection, score, [{**scored, "scorer": "judge", "scorer_version": "3.abcdef"}])
        put(connection, model_artifact, artifacts)
        put(connection, reference, [{"name": "default", **span, **pinned}])
        put(connection, coverage, [ran])


def sheet(found: Lineage, title: str) -> Sheet:
    return next(one for one in found.sheets if one.title == title)


def column(found: Lineage, title: str, name: str) -> list[str]:
    one = sheet(found, title)
    return [row[one.columns.index(name)] for row in one.rows]


def test_everything_that_decided_it(story: Story) -> None:
    found = story.found()
    facts = dict(found.facts)
    assert (facts["rule"], facts["windows"], facts["worst"]) == ("quality", "1", "50.0 %")
    assert facts["configuration now"] == story.suite.settings.digest
    assert facts["audit chain"] == "whole"
    # Three windows before the trouble, and it.
    assert column(found, "windows", "window") == [FIRST.shift(n).label for n in (3, 4, 5, 6)]
    assert column(found, "windows", "verdict")[-1].startswith("breach")
    assert set(column(found, "windows", "rule version")) == {facts["rule version now"][:12]}
    rule = dict(sheet(found, "rule now").rows)
    assert (rule["decision"], rule["match"], rule["consecutive"]) == ("interval", "feature *", "1")
    assert sheet(found, "contributions").rows == (), "the series is no scorer's"
    assert column(found, "measurements", "monitor") == ["quality"] * 4
    assert sheet(found, "runs").rows == (
        (
            DAY.label,
            "daily_quality",
            "complete",
            "2,000",
            "a" * 12,
            "0.0.9",
            "2026-06-08 00:00:00Z",
        ),
    )
    assert sheet(found, "scorers").rows == (("judge", "3.abcdef"),)
    assert column(found, "models", "digest") == ["d" * 64]
    (told,) = sheet(found, "baselines").rows
    assert told[0] == "reference default" and "700 rows" in told[1] and told[2] == "eva"


def test_who_was_told_and_who_did_what(story: Story) -> None:
    found = story.found()
    told = column(found, "messages", "message")
    assert set(told) == {"root", "trend", "acknowledged", "unsilenced", "update"}
    states = dict(zip(told, column(found, "messages", "state"), strict=True))
    assert (states["root"], states["trend"]) == ("sent", "sent")
    assert column(found, "people", "who") == ["ada", "bob"]
    assert column(found, "people", "comment") == ["on it", "known"]
    assert column(found, "audit", "action") == ["acknowledge"]


def test_a_rule_that_changed_and_a_broken_chain_are_seen(story: Story) -> None:
    changed = CONFIGURATION.replace("consecutive = 1", "consecutive = 2")
    (story.folder / "tidegauge.toml").write_text(changed)
    suite = Suite(load_settings(story.folder / "tidegauge.toml"))
    with suite.store.begin() as connection:
        connection.execute(update(audit).where(audit.c.sequence == 1).values(actor="mallory"))
    found = lineage(suite, story.name)
    facts = dict(found.facts)
    assert facts["audit chain"] == "broken at entry 1"
    assert facts["rule version now"][:12] not in column(found, "windows", "rule version")
    suite.store.close()


def test_as_text_as_json_and_as_a_page(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(story.folder)
    monkeypatch.setenv("COLUMNS", "300")
    run = CliRunner().invoke
    text = run(app, ["explain", story.name]).output
    assert "Windows" in text and "breach" in text and "ada" in text
    record = json.loads(run(app, ["explain", story.name, "--json"]).output)
    assert record["rule"] == "quality" and len(record["windows"]) == 4
    assert record["people"][0]["who"] == "ada"
    path = Path(run(app, ["explain", story.name, "--html"]).output.strip())
    page = path.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "data:image/png;base64," in page and "http" not in page.replace(HOSTILE, "")


def test_the_page_says_the_same_again(story: Story) -> None:
    first = write_page(story.suite, story.found()).read_bytes()
    assert write_page(story.suite, story.found()).read_bytes() == first


def test_an_incident_that_is_not_there(story: Story) -> None:
    with pytest.raises(ConfigurationError, match="no incident begins"):
        lineage(story.suite, "zzz")
