"""The classifier of unsafe answers: what it learns, when it is silent, and who puts it in force."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from monitors.context import Context
from monitors.logs.interaction import Batch
from monitors.quality.judge import NoGoldenSet
from monitors.quality.judge_review import approve_judge, find_judge, judges, offered
from monitors.quality.ngrams import BUCKETS, matrix, weighed
from monitors.quality.safety import safety, scan_shard
from monitors.quality.unsafe import LEAST_UNSAFE, NAME, classifier_in_force, unsafe
from monitors.quality.unsafe_training import train_unsafe
from monitors.review.golden import Golden, import_golden
from sql.errors import ConfigurationError
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import model_artifact
from sql.window import Window
from tests import unsafe_texts
from tests.logs_kit import context_over, days, fill, row
from tests.test_cli import run

ROWS, REFERENCE = 300, 7
WEIGHTS = np.random.default_rng(5).normal(size=BUCKETS).astype(np.float32)


def teach(context: Context, bad: int = 60, good: int = 240, seed: int = 0) -> None:
    """Graded examples; a few are anchors, and a few nobody graded for safety."""
    texts = [(text, 1.0) for text in unsafe_texts.unsafe(0, bad, seed)]
    texts += [(text, 5.0) for text in unsafe_texts.safe(good, seed)]
    graded = [Golden("What now?", text, 1.0, dimensions={"safety": at}) for text, at in texts]
    others = [
        Golden("Why?", "It is careless to say so.", 1.0, dimensions={"safety": 3.0}),
        Golden("How?", "Nobody graded this one.", 0.0),
        Golden("Who?", "You are too dumb.", 0.0, dimensions={"safety": 1.0}, is_anchor=True),
    ]
    import_golden([*graded, *others], context)


def day_of(number: int, window: Window, bad: int) -> list[dict[str, Any]]:
    texts = unsafe_texts.unsafe(1, bad, number) + unsafe_texts.safe(ROWS - bad, number + 50)
    return [
        row(number * ROWS + place, window, of=10**6, feature="chat", output=text)
        for place, text in enumerate(texts)
    ]


@contextmanager
def over(
    store: Store, folder: Path, bad: Sequence[int] = (0,), **sections: Any
) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    for number, (window, count) in enumerate(zip(days(len(bad)), bad, strict=True)):
        fill(url, day_of(number, window, count))
    reference = {"start": days(1)[0].first_day.isoformat(), "days": REFERENCE}
    with context_over(store, url, reference=reference, **sections) as context:
        yield replace(context, scorers=(unsafe,))


def measured(window: Window, context: Context) -> Measurement:
    scan_shard(window, context)
    found = safety.measure(window, context)
    with context.store.begin() as connection:
        context.store.publish(connection, "safety", window, found)
    return next(one for one in found if len(one.labels) == 1)


def failed(texts: Sequence[str], context: Context) -> list[bool]:
    return [score.value == 0 for score in unsafe(Batch({"output": list(texts)}), context)]


def test_what_it_learned_it_finds_in_other_words(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path) as context:
        teach(context)
        made = train_unsafe(context)
        found = failed(unsafe_texts.unsafe(1, 200), context)
        alarms = failed(unsafe_texts.safe(400, 9), context)
        batch = Batch(
            {
                "output": [
                    None,
                    "",
                    "Your parcel is on its way and should arrive with the lamp on Thursday.",
                    "You are too dumb for it.",
                ]
            }
        )
        scores = unsafe(batch, context)
    assert sum(found) > 100 and sum(alarms) <= 8
    assert [s.reason for s in scores] == ["no_output", "no_output", "", "unsafe"]
    card = judges(context, NAME)[0].card
    assert (card["examples"], card["unsafe_examples"]) == (300, 60)
    assert card["cross_validated"]["auc"] > 0.95 and card["auc_interval"][1] > 0.9
    assert made.threshold == card["threshold"] and len(card["data"]) == 64 and card["golden"] == 1


@pytest.mark.parametrize("wanted", [0.005, 0.01, 0.05])
def test_out_of_fold_no_more_safe_answers_fail_than_stated(
    wanted: float, store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, judge={"unsafe_false_positives": wanted}) as context:
        teach(context)
        train_unsafe(context)
        card = judges(context, NAME)[0].card
    share, low, high = card["false_positives"]
    assert card["false_positives_wanted"] == wanted
    # As many as are allowed, because the threshold is the highest that keeps to it.
    assert share == pytest.approx(math.floor(wanted * 240) / 240) and low <= share < high


def test_the_same_examples_give_the_same_and_other_grades_another(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path) as context:
        teach(context)
        first = train_unsafe(context).digest
        assert train_unsafe(context).digest == first
        teach(context, bad=70)
        assert train_unsafe(context).digest != first
        assert len(judges(context, NAME)) == 2 and not judges(context)


def test_it_is_silent_with_a_reason_until_it_is_trained(store: Store, tmp_path: Path) -> None:
    day, found = days(1)[0], []
    with over(store, tmp_path) as context:
        for bad, good in ((LEAST_UNSAFE - 1, 90), (LEAST_UNSAFE, 90)):
            teach(context, bad, good)
            found.append(measured(day, context))
            with pytest.raises(NoGoldenSet, match=f"{bad} golden examples are graded unsafe"):
                train_unsafe(context)
        teach(context, LEAST_UNSAFE, 100)
        found.append(measured(day, context))
    assert {one.status for one in found} == {Status.NO_DATA}
    assert [one.reason for one in found] == ["too_few_unsafe", "too_few_safe", "not_trained"]


def test_grades_without_meaning_teach_nothing(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path) as context:
        texts = unsafe_texts.safe(300)
        rows = [
            Golden("What now?", text, 1.0, dimensions={"safety": 1.0 if n % 5 == 0 else 5.0})
            for n, text in enumerate(texts)
        ]
        import_golden(rows, context)
        with pytest.raises(NoGoldenSet, match="nothing tells unsafe"):
            train_unsafe(context)
        assert judges(context, NAME) == [] and classifier_in_force(context) is None
        assert measured(days(1)[0], context).reason == "not_trained"


def test_a_later_one_waits_for_a_person(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path) as context:
        teach(context)
        first = train_unsafe(context, "ada").digest
        version = unsafe.version_in(context)
        assert version.endswith(first[:12]) and offered(first, context)["state"] == "in force"
        teach(context, bad=100, good=300, seed=4)
        second = train_unsafe(context, "ada").digest
        assert unsafe.version_in(context) == version, "a candidate scores nothing"
        facts = offered(second[:12], context)
        assert facts["model"] == NAME and facts["state"] == "candidate"
        held = find_judge(second, context).card["held_out"]
        assert (
            held["before"] == first
            and held["labels"] > 300
            and set(held["figures"])
            == {
                "before",
                "after",
            }
        )
        with pytest.raises(ConfigurationError, match="needs a reason"):
            approve_judge(second[:12], "ada", "", context)
        approve_judge(second[:12], "ada", "knows more", context)
        assert unsafe.version_in(context).endswith(second[:12])


def test_a_rise_of_unsafe_answers_is_found_and_quiet_days_are_silent(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, [2] * 10 + [40]) as context:
        teach(context)
        train_unsafe(context)
        found = [measured(window, context) for window in days(11)]
    assert all(one.status is Status.COMPLETE for one in found)
    assert max(one.evidence or 0.0 for one in found[REFERENCE:10]) < math.log(20)
    assert found[10].evidence is not None and found[10].evidence > math.log(1e4)
    assert found[10].value < found[9].value - 0.05


def test_what_is_kept_is_json_and_another_than_its_digest_says_is_refused(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path) as context:
        teach(context)
        train_unsafe(context)
        table = model_artifact.c
        body = bytes(store.rows(select(table.body).where(table.name == NAME))[0].body)
        assert set(json.loads(body)) == {
            *("ngrams_version", "weights", "intercept", "slope", "offset", "threshold")
        }
        with store.begin() as connection:
            bent = body.replace(b'"intercept":', b'"intercept":1')
            connection.execute(update(model_artifact).where(table.name == NAME).values(body=bent))
        with pytest.raises(ConfigurationError, match="not what its digest says"):
            classifier_in_force(context)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=8), st.integers(1, 60))
def test_a_texts_number_is_the_matrixs_and_does_not_depend_on_its_neighbours(
    texts: list[str], block: int
) -> None:
    from monitors.quality import ngrams

    whole = weighed(texts, WEIGHTS)
    assert np.allclose(matrix(texts) @ WEIGHTS.astype(float), whole, atol=1e-4)
    assert whole.tolist() == [float(weighed([text], WEIGHTS)[0]) for text in texts]
    plain, ngrams._BLOCK = ngrams._BLOCK, block
    try:
        assert weighed(texts, WEIGHTS).tolist() == whole.tolist()
    finally:
        ngrams._BLOCK = plain
    assert weighed([text.swapcase() for text in texts if text.isascii()], WEIGHTS).tolist() == [
        number for text, number in zip(texts, whole.tolist(), strict=True) if text.isascii()
    ]


def test_on_real_answers_it_fails_about_as_many_as_stated(
    real_data: Path, store: Store, tmp_path: Path
) -> None:
    """Answers of HaluEval stand for safe ones; it learns from 1,000 and is asked about 2,000."""
    lines = (real_data / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [str(json.loads(line)["chatgpt_response"]) for line in lines]
    with over(store, tmp_path) as context:
        rows = [Golden("?", text, 1.0, dimensions={"safety": 5}) for text in answers[:1_000]]
        bad = unsafe_texts.unsafe(0, 60)
        rows += [Golden("?", text, 0.0, dimensions={"safety": 1}) for text in bad]
        import_golden({one.key: one for one in rows}.values(), context)
        train_unsafe(context)
        alarms = sum(failed([text for text in answers[1_000:] if text], context))
        found = sum(failed(unsafe_texts.unsafe(1, 200), context))
    assert alarms <= 40, "1 % of 2,000 is 20; twice that is beyond any luck"
    assert found > 60


def test_from_graded_answers_to_a_classifier_by_hand(tmp_path: Path) -> None:
    graded = [(text, 1) for text in unsafe_texts.unsafe(0, 60)]
    graded += [(text, 5) for text in unsafe_texts.safe(240)]
    rows = [
        {"input": f"{n}?", "output": text, "label": n % 2, "dimensions": {"safety": grade}}
        for n, (text, grade) in enumerate(graded)
    ]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows[40:])))
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run(tmp_path, "init").returncode == 0
    assert run(tmp_path, "golden", "import", "few.jsonl").returncode == 0
    said = run(tmp_path, "judge", "train").stdout
    assert said.count("is in force") == 2 and "no classifier" not in said
    assert run(tmp_path, "golden", "import", "all.jsonl").returncode == 0
    again = run(tmp_path, "judge", "train").stdout
    assert again.count("is a candidate") == 2 and "of safe answers" in again
    digest = again.split("unsafe ")[1].split()[0]
    approved = run(tmp_path, "judge", "approve", digest, "--reason", "knows more sentences")
    assert f"unsafe {digest} is in force now" in approved.stdout
    shown = run(tmp_path, "judge", "show").stdout
    assert [line.split()[-2:] for line in shown.splitlines() if digest in line] == [["in", "force"]]
