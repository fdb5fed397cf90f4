"""The quarter asks people for decisions: what it lays before them, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from monitors.context import Context
from monitors.review.batch import make_batch
from monitors.review.decisions import decide, decisions
from monitors.review.evaluation import evaluation
from monitors.review.golden import Golden, import_golden
from monitors.review.quarter import Evidence, evidence
from monitors.review.quarter_page import write_quarter
from monitors.review.questions import QUESTIONS
from sql import audit
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import acknowledgement, incident, label, review_entry
from sql.tables import evaluation as evaluation_table
from tests.review_kit import MONTH, NOW, QUARTER, rate_all, review_context
from tests.test_cli import run
from tests.test_review_results import Topics, a_month


def a_quarter(store: Store, folder: Path, **month: float) -> Context:
    context = review_context(store, folder, embedder=Topics(), size=200)
    truth = a_month(context, **month)  # type: ignore[arg-type]
    make_batch(MONTH, context)
    rate_all(context, "log-2026-05", truth)
    return context


def measured(context: Context) -> dict[str, Evidence]:
    found = list(evaluation.measure(QUARTER, context))
    with context.store.begin() as connection:
        context.store.publish(connection, "evaluation", QUARTER, found)
    return {one.question.name: one for one in evidence(QUARTER, context)}


def test_every_question_is_asked_of_an_empty_quarter(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    found = evidence(QUARTER, context)
    assert [one.question for one in found] == list(QUESTIONS)
    assert all(one.findings for one in found if one.question.name != "golden")
    assert all(one.suggested in one.question.choices for one in found)


def test_a_good_judge_is_kept_and_a_lazy_one_retrained(store: Store, tmp_path: Path) -> None:
    context = a_quarter(store, tmp_path, share=0.7)
    good = measured(context)["judge"]
    assert good.suggested == "keep"
    assert any("passes its bar" in finding for finding in good.findings)
    # The same labels, and a judge that passes everything.
    context = replace(
        context,
        settings=context.settings.model_copy(
            update={"judge": context.settings.judge.model_copy(update={"threshold": 1e-6})}
        ),
    )
    lazy = measured(context)["judge"]
    assert lazy.suggested == "retrain"
    assert any("kappa" in finding and "misses" in finding for finding in lazy.findings)


def test_anchors_that_are_missing_old_or_learned_are_renewed(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, embedder=Topics())
    assert measured(context)["anchors"].suggested == "renew"
    fresh = QUARTER.end - timedelta(days=10)
    import_golden([Golden("cats one", "cats yes", 1.0, is_anchor=True, added_at=fresh)], context)
    assert measured(context)["anchors"].suggested == "keep"
    import_golden([Golden("cats two", "cats yes", 1.0, added_at=fresh)], context)
    learned = measured(context)["anchors"]
    assert learned.suggested == "renew"
    assert any("nearly among what the judge learns" in finding for finding in learned.findings)


def test_a_question_that_nobody_can_answer_and_a_failure_that_none_asks_about(
    store: Store, tmp_path: Path
) -> None:
    context = a_quarter(store, tmp_path)
    with store.begin() as connection:
        table = label.c
        connection.execute(update(label).where(table.dimension == "tone").values(value=None))
        row = {
            "batch_id": "log-2026-05",
            "item_id": "r00001",
            "evaluator": "eva",
            "revision": 1,
            "state": "done",
            "scores": {"accuracy": 5.0},
            "comment": "",
            "flags": ["unsafe"],
            "correction": "",
            "reason": "",
            "seconds": 1.0,
            "guidelines": "1",
            "updated_at": NOW,
        }
        store.upsert(connection, review_entry, [row])
    found = measured(context)["rubric"]
    assert found.suggested == "change"
    told = " ".join(found.findings)
    assert "tone: " in told and "100.0 % could not judge" in told
    assert "1 answers are flagged though every score is 4 or 5" in told
    assert "Flags: unsafe 1." in told
    talk = measured(context)["raters"]
    assert talk.suggested == "keep", "one question in five is not the people's fault"


def test_rules_that_never_look_or_speak_and_those_that_speak_alone(
    store: Store, tmp_path: Path
) -> None:
    context = review_context(store, tmp_path)
    rules = [{"name": name} for name in ("loud", "quiet", "blind")]
    context = replace(context, settings=context.settings.model_copy(update={"rules": rules}))
    with store.begin() as connection:
        for number, rule in enumerate(("loud", "loud", "quiet")):
            connection.execute(evaluation_table.insert().values(**_looked(rule, number)))
        for number in range(4):
            connection.execute(incident.insert().values(**_incident("loud", number)))
        for number, (actor, verdict) in enumerate(
            (("ada", ""), ("ada", "real"), ("bob", "false"), ("ada", "real"))
        ):
            said = {"fingerprint": f"f{max(number - 1, 0)}", "actor": actor, "verdict": verdict}
            said |= {"action_id": f"a{number}", "at": NOW + timedelta(hours=number)}
            connection.execute(acknowledgement.insert().values(generation=1, comment="", **said))
    found = measured(context)["rules"]
    assert found.suggested == "change"
    told = " ".join(found.findings)
    # f0: looked after, then called real; f1: false; f2: real; f3: nobody saw it.
    assert "loud: 4 incidents; people called 1 a false alarm and 2 real; 1 went by" in told
    assert "(a guess: perhaps false)" in told
    assert "Looked and never fired: quiet." in told
    assert "Had nothing to look at: blind." in told


def _looked(rule: str, number: int) -> dict[str, object]:
    return {
        "rule": rule,
        "labels": "{}",
        "grain": "month",
        "version": number,
        "metric": "m",
        "window_start": MONTH.start,
        "window_end": MONTH.end,
        "verdict": "clear",
        "severity": "warning",
        "n": 1,
        "excess": 0.0,
        "reason": "",
        "rule_digest": "d",
        "evaluated_at": NOW,
    }


def _incident(rule: str, number: int) -> dict[str, object]:
    return {
        "fingerprint": f"f{number}",
        "generation": 1,
        "rule": rule,
        "metric": "m",
        "labels": "{}",
        "grain": "month",
        "state": "resolved",
        "severity": "warning",
        "group_key": "g",
        "opened_window": MONTH.start,
        "last_window": MONTH.start,
        "resolved_window": MONTH.end,
        "windows": 1,
        "body": {},
        "updated_at": NOW,
    }


def test_a_decision_has_a_name_and_a_reason_and_the_last_stands(
    store: Store, tmp_path: Path
) -> None:
    context = review_context(store, tmp_path)
    for wrong in (
        (MONTH, "judge", "keep", "ada", "why"),
        (QUARTER, "weather", "keep", "ada", "why"),
        (QUARTER, "judge", "prune", "ada", "why"),
        (QUARTER, "judge", "keep", "ada", "  "),
        (QUARTER, "judge", "keep", "", "why"),
    ):
        with pytest.raises(ConfigurationError):
            decide(*wrong, context)
    decide(QUARTER, "judge", "keep", "ada", "passes", context)
    decide(QUARTER, "judge", "retrain", "bob", "not on refunds", context)
    decide(QUARTER.next(), "judge", "stop", "bob", "gone", context)
    found = decisions(QUARTER, context)
    assert {name: (one.choice, one.actor) for name, one in found.items()} == {
        "judge": ("retrain", "bob")
    }
    page = write_quarter(QUARTER, context)[0].read_text()
    assert "not on refunds" in page and "bob" in page
    assert "1 of 6 decided" in page
    assert "tidegauge quarter decide 2026-Q2 rules" in page
    assert "secret-model" not in page and "<script" not in page
    with store.connect() as connection:
        assert audit.first_broken(connection) is None


def test_a_reason_is_text_on_the_page(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    decide(QUARTER, "rules", "keep", "<b>ada</b>", "<img src=x>", context)
    page = write_quarter(QUARTER, context)[0].read_text()
    assert "<img" not in page and "<b>" not in page


def test_by_the_command_line(tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    written = run(tmp_path, "quarter", "report", "2026-Q2")
    assert written.returncode == 0, written.stderr
    assert Path(written.stdout.split("\n")[0]).name == "2026-Q2.html"
    given = ("rubric", "change", "--reason", "nobody judges tone", "--actor", "ada")
    assert run(tmp_path, "quarter", "decide", "2026-Q2", *given).returncode == 0
    shown = run(tmp_path, "quarter", "show", "2026-Q2").stdout
    assert "nobody judges tone" in shown and "open" in shown
    refused = run(tmp_path, "quarter", "decide", "2026-05", "judge", "keep", "--reason", "x")
    assert refused.returncode != 0 and "not a quarter" in refused.stderr
