"""The replay asks each question once, within its budget, and says why answers are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from monitors.context import Context
from monitors.provider.baselines import approve, current, pin_provider
from monitors.provider.comparison import provider
from monitors.provider.prompts import write_prompts
from monitors.provider.recorded import Answer, Answered, Asked, RecordedProvider
from monitors.provider.replay import replay
from monitors.settings import Settings
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import replay_answer
from tests.provider_kit import DAY, context_for, questions, right, settings_for

pytest.importorskip("openai")


def said(asked: Asked) -> Answered:
    return Answered(
        right(asked.trace["prompt"]),
        model="gpt-1",
        fingerprint="fp_1",
        input_tokens=20,
        output_tokens=2,
    )


def pinned(store: Store, folder: Path, **changes: Any) -> Context:
    with RecordedProvider(said) as server:
        context = context_for(settings_for(folder, questions(40), server, **changes), store)
        made = pin_provider("p", "start", "ada", context)
    approve(made.name, made.digest, "grace", "good", context)
    return context


def served_by(context: Context, server: RecordedProvider, **changes: Any) -> Context:
    settings = context.settings
    p = settings.providers["p"].model_copy(update={"base_url": server.base_url, **changes})
    return replace(context, settings=settings.model_copy(update={"providers": {"p": p}}))


def again(context: Context, answer: Answer, **changes: Any) -> dict[str, Any]:
    with RecordedProvider(answer) as server:
        return dict(replay("p", DAY, served_by(context, server, **changes))) | {
            "calls": server.asked
        }


def measured(context: Context) -> dict[str, Measurement]:
    return {item.metric: item for item in provider.measure(DAY, context)}


def test_the_same_answers_have_the_same_p_values(tmp_path: Path) -> None:
    """Two pins of one model differ in how long its answers took, and so in their digests."""

    def longer(asked: Asked) -> Answered:
        tail = ", indeed" if int(asked.trace["prompt"][1:]) % 5 == 0 else ""
        answer = said(asked)
        return replace(answer, text=answer.text + tail)

    seen = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        store = Store.open(f"sqlite:///{folder}/t.db")
        context = pinned(store, folder, repeats=2)
        again(context, longer)
        current_pin = current("main", context, at=DAY.end)
        assert current_pin is not None
        seen.append((current_pin.digest, measured(context)["provider.length"].evidence))
        store.close()
    (one, p), (other, same) = seen
    assert one != other
    assert p == same and 0 < p < 0.01, "drawn, and drawn alike"


def test_a_whole_replay_is_quiet_and_is_asked_only_once(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    facts = again(context, said)
    assert (facts["status"], facts["answered"], facts["calls"]) == ("complete", 40, 40)
    assert again(context, said)["calls"] == 0
    assert store.rows(select(func.count()).select_from(replay_answer))[0][0] == 40
    found = measured(context)
    assert found["provider.drift"].value == 0
    assert found["provider.correctness"].value == found["provider.correctness"].baseline == 1
    assert found["provider.correctness"].low < 1
    assert found["provider.model_changed"].value == 0
    assert found["provider.answered_share"].value == 1


def test_a_crash_loses_little_and_the_rest_is_asked_later(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)

    def until_30(asked: Asked) -> Answered:
        return replace(said(asked), fault="server_error" if asked.number >= 30 else None)

    facts = again(context, until_30, concurrency=1)
    assert (facts["status"], facts["reason"]) == ("partial", "server_error")
    assert facts["answered"] == 30
    assert facts["calls"] == 38  # eight failures in a row are an outage: no more is asked
    facts = again(context, said)
    assert (facts["status"], facts["answered"], facts["calls"]) == ("complete", 40, 10)
    assert measured(context)["provider.drift"].status is Status.COMPLETE


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("server_error", "server_error"),
        ("rate_limit", "rate_limited"),
        ("other_shape", "malformed"),
        ("half", "malformed"),
        ("unauthorized", "refused"),
    ],
)
def test_a_provider_that_is_down_is_no_drift(
    store: Store, tmp_path: Path, fault: Any, reason: str
) -> None:
    context = pinned(store, tmp_path)
    facts = again(context, lambda _asked: Answered(fault=fault))
    assert (facts["status"], facts["reason"], facts["answered"]) == ("partial", reason, 0)
    found = measured(context)
    assert set(found) == {"provider.drift", "provider.answered_share"}
    assert found["provider.drift"].status is Status.ERROR
    assert found["provider.drift"].reason == reason
    assert found["provider.answered_share"].value == 0


def test_too_few_answers_are_no_verdict(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)

    def mostly_down(asked: Asked) -> Answered:
        # What does come back is all wrong, and still says nothing about the whole.
        return Answered("[Maybe]", fault=None if asked.number % 4 == 0 else "server_error")

    again(context, mostly_down, concurrency=1)
    found = measured(context)
    assert found["provider.drift"].status is Status.INSUFFICIENT
    assert "provider.correctness" not in found


def test_the_budget_stops_before_it_is_passed(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    # A call sets aside 258 millionths (58 bytes, 100 tokens) and then costs 24.
    budget = 0.0005
    facts = again(context, said, budget_usd_per_day=budget, concurrency=1)
    assert (facts["status"], facts["reason"]) == ("partial", "over_budget")
    assert 0 < facts["answered"] < 40
    assert facts["spent_usd"] == pytest.approx(24e-6 * facts["answered"])
    assert facts["spent_usd"] <= budget
    # The day's money is spent: a second run does not begin anew.
    assert again(context, said, budget_usd_per_day=budget, concurrency=1)["calls"] == 0
    assert measured(context)["provider.drift"].status is Status.INSUFFICIENT


@pytest.mark.parametrize("change", ["prompt", "parameters", "check", "model", "checks"])
def test_apples_are_not_compared_with_pears(
    store: Store, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = pinned(store, tmp_path)
    prompts = questions(40)
    first = prompts[0]
    update: dict[str, Any] = {
        "prompt": {"input": "Something else?"},
        "parameters": {"parameters": {"temperature": 1}},
        "check": {"check": first.check.model_copy(update={"reference": "[No]"})},
    }.get(change, {})
    write_prompts(tmp_path / "prompts.jsonl", [first.model_copy(update=update), *prompts[1:]])
    if change == "checks":
        monkeypatch.setattr("monitors.provider.replay.CHECKS_VERSION", "checks-99")
    changes = {"model": "gpt-other"} if change == "model" else {}
    with RecordedProvider(said) as server:
        other = served_by(context, server, **changes)
        facts = replay("p", DAY, other)
        assert server.asked == 0
    named = {"model": "model_changed", "checks": "checks_changed"}.get(change, "prompts_changed")
    assert (facts["status"], facts["reason"]) == ("refused", named)
    (only,) = provider.measure(DAY, other)
    assert (only.status, only.reason) == (Status.ERROR, named)


def test_without_provider_pin_or_replay_there_is_no_data(store: Store, tmp_path: Path) -> None:
    (only,) = provider.measure(DAY, context_for(Settings(root=tmp_path), store))
    assert (only.status, only.reason) == (Status.NO_DATA, "no_provider")
    context = context_for(settings_for(tmp_path, questions(40)), store)
    assert replay("p", DAY, context)["status"] == "not_pinned"
    (only,) = provider.measure(DAY, context)
    assert (only.status, only.reason) == (Status.NO_DATA, "not_pinned")
    context = pinned(store, tmp_path)
    (only,) = provider.measure(DAY, context)
    assert (only.status, only.reason) == (Status.NO_DATA, "not_replayed")


def test_another_model_behind_the_same_name_is_a_fact(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)
    again(context, lambda asked: replace(said(asked), fingerprint="fp_2"))
    found = measured(context)
    assert (found["provider.model_changed"].value, found["provider.model_changed"].reason) == (
        1,
        "fingerprint",
    )
    assert found["provider.drift"].value == 0


def test_a_planted_fall_is_declared_and_named(store: Store, tmp_path: Path) -> None:
    context = pinned(store, tmp_path)

    def worse(asked: Asked) -> Answered:
        wrong = int(asked.trace["prompt"][-3:]) % 2 == 0
        return Answered("[No], I would say" if wrong else right(asked.trace["prompt"]))

    again(context, worse)
    found = measured(context)
    assert found["provider.drift"].value == 1
    assert "correctness" in found["provider.drift"].reason
    correctness = found["provider.correctness"]
    assert (correctness.value, correctness.baseline) == (0.5, 1)
    assert correctness.high < 0.8
