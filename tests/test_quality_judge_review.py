"""A new judge waits for a person, who sees what it would change on labels it never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from monitors.context import Context
from monitors.quality.judge import in_force, judge
from monitors.quality.judge_review import approve_judge, compared, judges, offered
from monitors.quality.judge_training import train_judge
from monitors.review.golden import Golden, import_golden
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import audit
from tests.test_quality_days import BAD, GOOD, over, teach


def more(context: Context, start: int, count: int) -> None:
    """Examples of another kind, which a judge that has not seen them gets wrong."""
    import_golden(
        [
            Golden(f"Which lamp fits room {n}?", BAD if n % 2 else GOOD, float(n % 2))
            for n in range(start, start + count)
        ],
        context,
    )


def test_only_the_first_judge_needs_nobody(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 1) as context:
        teach(context)
        first = train_judge(context, "ada")
        assert [one.is_current for one in judges(context)] == [True]
        assert judges(context)[0].card["golden"] == 1
        more(context, 0, 120)
        version = judge.version_in(context)
        second = train_judge(context, "ada")
        assert second.digest != first.digest == in_force(context).digest
        assert judge.version_in(context) == version, "a candidate scores nothing"
        with pytest.raises(ConfigurationError, match="needs a reason"):
            approve_judge(second.digest[:10], "ada", " ", context)
        with pytest.raises(ConfigurationError, match="0 judges"):
            approve_judge("xyz", "ada", "why not", context)
        approve_judge(second.digest[:10], "ada", "knows lamps", context)
        assert in_force(context).digest == second.digest
        assert judge.version_in(context) != version
        approve_judge(second.digest, "bob", "again", context)  # changes nothing
        approve_judge(first.digest, "bob", "back to what we knew", context)
        assert in_force(context).digest == first.digest
    entries = store.rows(select(audit).where(audit.c.action == "approve_judge"))
    assert [(row.actor, row.detail["reason"]) for row in entries] == [
        ("ada", "the first judge"),
        ("ada", "knows lamps"),
        ("bob", "back to what we knew"),
    ]
    assert entries[1].detail["previous"] == first.digest


def test_before_and_after_are_of_labels_that_neither_saw(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 1) as context:
        teach(context)
        first = train_judge(context)
        more(context, 0, 20)
        second = train_judge(context)
        cards = {one.digest: one.card for one in judges(context)}
        assert cards[second.digest]["held_out"]["reason"] == "few_labels"
        more(context, 20, 100)
        third = train_judge(context)
        found = {one.digest: one.card for one in judges(context)}[third.digest]["held_out"]
    assert (found["before"], found["labels"], found["reviewed"]) == (first.digest, 120, 0)
    before, after = found["figures"]["before"], found["figures"]["after"]
    assert before["agreement"] < 0.2, "it takes a good answer for a bad one, and knows no lamps"
    assert after["agreement"] > before["agreement"]
    change, low, high = found["agreement_change"]
    assert 0 < low < change <= high
    assert change == pytest.approx(after["agreement"] - before["agreement"], abs=1e-3)


def test_another_embedding_model_is_not_compared(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 1) as context:
        teach(context)
        made = train_judge(context)

        class Other(type(context.embedder())):  # type: ignore[misc]
            digest = "1" * 64

        other = replace(context, embedder=Other)
        assert compared(made, made, [], np.zeros(0), other)["reason"] == "other_embedder"


def test_a_form_shows_figures_and_no_text(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, 1) as context:
        teach(context)
        first = train_judge(context)
        shown = offered(first.digest[:10], context)
        assert (shown["digest"], shown["state"]) == (first.digest, "in force")
        assert "agreement_out_of_fold" in shown and "verdict" not in shown
        more(context, 0, 20)
        few = offered(train_judge(context).digest, context)
        assert "too few labels" in str(few["verdict"]) and "agreement" not in few
        more(context, 20, 100)
        second = train_judge(context)
        shown = offered(second.digest, context)
        card = {one.digest: one.card for one in judges(context)}[second.digest]
        figures = card["held_out"]["figures"]
        assert (shown["state"], shown["labels_new_to_both"]) == ("candidate", 120)
        assert shown["compared_with"] == first.digest[:12]
        for name in ("agreement", "kappa", "auc", "always_good"):
            pair = f"{figures['before'][name]:.3f} → {figures['after'][name]:.3f}"
            assert shown[name] == pair
        assert str(shown["verdict"]).endswith("more often right")
        assert not any("lamp" in str(one) or "bank" in str(one) for one in shown.values())
        approve_judge(second.digest, "ada", "knows lamps", context)
        again = offered(first.digest, context)
        assert again["state"] == "was in force"
        third = replace_newest(context)
        assert str(offered(third, context)["compared_with"]).startswith(second.digest[:12])
        assert "not in force" not in str(offered(third, context)["compared_with"])
        approve_judge(first.digest, "bob", "back", context)
        assert str(offered(third, context)["compared_with"]).endswith("not in force any more")
        with pytest.raises(ConfigurationError, match="0 judges"):
            offered("xyz", context)


def replace_newest(context: Context) -> str:
    """One more candidate, of one more example; its digest."""
    more(context, 120, 1)
    return train_judge(context).digest
