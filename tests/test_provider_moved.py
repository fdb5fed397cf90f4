"""What people see of a change: the prompts that moved, a candidate's verdict, the alerts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from alerts.configuration import parse
from alerts.evaluate import evaluate
from monitors.context import Context
from monitors.provider.baselines import Answer
from monitors.provider.candidate import try_candidate
from monitors.provider.comparison import provider
from monitors.provider.moved import most_moved
from monitors.provider.recorded import Answered, Asked, RecordedProvider
from monitors.provider.replay import prompts_of_day, replay
from monitors.provider.report import write_reports
from monitors.settings import load_settings
from sql.errors import NotReady
from sql.store import Store
from sql.tables import incident
from tests.browser import browser, chromium
from tests.conftest import ROOT, unavailable
from tests.provider_kit import DAY, context_for, questions, right, settings_for
from tests.test_provider_replay import again, measured, pinned, said

pytest.importorskip("openai")

HOSTILE = "<img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(1)</script> a@b.example"


def wrong(asked: Asked) -> Answered:
    """Every other prompt is answered otherwise, at length, and with what does not belong there."""
    if int(asked.trace["prompt"][-3:]) % 2:
        return said(asked)
    return replace(said(asked), text=f"[No], or perhaps. {HOSTILE}")


def test_the_prompts_that_moved_come_first(tmp_path: Path) -> None:
    prompts = questions(6)
    before = {p.id: (Answer(right(p.id)),) for p in prompts}
    after = {**before, "q004": (Answer("[No]"),), "q002": (Answer("[Yes] " + "so " * 9),)}
    after.pop("q005")
    settings = settings_for(tmp_path, prompts).providers["p"]
    found = most_moved(prompts, before, after, settings)
    assert [one.prompt_id for one in found] == ["q004", "q002"]
    assert found[0].notes[0] == "correctness 100.0 % → 0.0 %"
    assert found[1].notes == ("length 6 characters → 34 characters",)


def test_a_day_that_moved_has_a_page_and_a_quiet_one_has_none(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    assert write_reports(DAY, context) == []
    again(context, wrong)
    publish(context)
    [path] = write_reports(DAY, context)
    text = path.read_text()
    assert "The answers moved: correctness" in text
    assert "<img" not in text and "<script" not in text
    assert "a@b.example" not in text and "perhaps" in text, "shown, redacted"
    assert write_reports(DAY, context) == [path] and path.read_text() == text
    quiet = DAY.next()
    with RecordedProvider(said) as server:
        settings = context.settings.providers["p"].model_copy(update={"base_url": server.base_url})
        there = context.settings.model_copy(update={"providers": {"p": settings}})
        replay("p", quiet, replace(context, settings=there))
    publish(context, quiet)
    assert write_reports(quiet, context) == []


def publish(context: Context, window=DAY) -> None:  # type: ignore[no-untyped-def]
    with context.store.begin() as connection:
        found = list(provider.measure(window, context))
        context.store.publish(connection, "provider", window, found)


def test_the_page_in_a_browser(store: Store, tmp_path: Path) -> None:
    if chromium() is None:
        unavailable("Chromium", "apt-get install chromium")
    context = pinned(store, tmp_path)
    again(context, wrong)
    publish(context)
    [path] = write_reports(DAY, context)
    with browser(390, 800) as tab:
        tab.open(path.as_uri())
        assert tab.requests == [path.as_uri()] and tab.faults == []
        assert tab.run("document.documentElement.scrollWidth") <= 390
        assert tab.run("document.querySelectorAll('pre').length") == 30


# ── a candidate ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "go", "told"),
    [
        (said, True, "Go: nothing moved"),
        (wrong, False, "No-go: worse: correctness"),
        (
            lambda asked: replace(said(asked), text=f"{right(asked.trace['prompt'])}  And more."),
            True,
            "Go: different: length",
        ),
    ],
)
def test_a_candidate_is_held_against_the_pin(
    store: Store, tmp_path: Path, answer: object, go: bool, told: str
) -> None:
    context = pinned(store, tmp_path)
    with RecordedProvider(answer) as server:  # type: ignore[arg-type]
        found = try_candidate("p", context, model="next/1", base_url=server.base_url)
        assert server.asked == 40
    assert (found.go, found.verdict.startswith(told)) == (go, True), found.verdict
    assert found.page.name == f"candidate-p-next-1-{DAY}.html"
    assert found.verdict[:-1] in found.page.read_text()
    assert measured(context)["provider.drift"].value is None, "a candidate is no replay"


def test_a_candidate_that_does_not_answer_is_no_go(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    found = try_candidate("p", context, model="next", base_url="http://127.0.0.1:9/v1")
    assert not found.go and "only 0 of 40" in found.verdict


def test_without_a_pin_there_is_nothing_to_hold_against(store: Store, tmp_path: Path) -> None:
    context = context_for(settings_for(tmp_path, questions(20)), store)
    with pytest.raises(NotReady, match="nothing is pinned"):
        try_candidate("p", context, model="next")


# ── rotation ─────────────────────────────────────────────────────────────────────────────────


def test_parts_of_the_prompts_take_turns(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path, replay_prompts=25)
    with RecordedProvider(said) as server:
        section = context.settings.providers["p"].model_copy(update={"base_url": server.base_url})
        there = context.settings.model_copy(update={"providers": {"p": section}})
        facts = replay("p", DAY, replace(context, settings=there))
    assert (facts["asked"], facts["wanted"], facts["status"]) == (25, 25, "complete")
    found = measured(context)
    assert (found["provider.answered_share"].value, found["provider.drift"].value) == (1, 0)
    base = type("Pinned", (), {"prompts": tuple(questions(40))})()
    seen = {p.id for k in range(2) for p in prompts_of_day(base, section, DAY.shift(k))}
    assert len(seen) == 40


# ── alerts ───────────────────────────────────────────────────────────────────────────────────


def opened(store: Store) -> set[str]:
    return {row.rule for row in store.rows(select(incident.c.rule, incident.c.state))}


def judged(context: Context, window) -> None:  # type: ignore[no-untyped-def]
    publish(context, window)
    default = load_settings(ROOT / "tidegauge.toml")
    alerting = parse(default.rules, {"source": "log"}, {})
    now = window.end + timedelta(hours=2)
    evaluate(context.store, alerting, window, ["provider"], now=now)


def test_a_provider_that_is_down_alarms_about_itself_and_not_about_drift(
    store: Store, tmp_path: Path
) -> None:
    context = pinned(store, tmp_path)
    for count in range(2):
        replay("p", DAY.shift(count), context)  # nobody listens at that address any more
        judged(context, DAY.shift(count))
    assert opened(store) == {"monitor_error", "provider_unanswered"}


def test_drift_opens_an_incident_that_names_what_moved(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    again(context, wrong)
    judged(context, DAY)
    assert "provider_drift" in opened(store)
    [row] = store.rows(select(incident).where(incident.c.rule == "provider_drift"))
    assert json.loads(row.labels) == {"pin": "main"}
