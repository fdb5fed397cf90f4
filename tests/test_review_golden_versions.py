"""Versions of the golden set, what changed between them, and what is wrong with a set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from monitors.context import Context
from monitors.review.golden import Golden, import_golden, list_golden
from monitors.review.golden_check import check_golden, near_pairs
from monitors.review.golden_versions import (
    AlteredVersion,
    content_digest,
    difference,
    latest,
    load,
    restore,
    versions,
)
from monitors.settings import ProviderSettings
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import audit, golden_example, golden_text, golden_version
from tests.review_kit import review_context
from tests.test_cli import run
from tests.test_review_results import Topics

SET = [Golden(f"question {n}", f"answer {n}", float(n % 2), provenance="hand") for n in range(6)]


def test_each_change_is_a_version_and_the_same_again_is_none(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    assert latest(context) is None
    assert import_golden(SET[:4], context, actor="ada", reason="begin").version == 1
    assert import_golden(SET[:4], context, actor="bob").version == 1
    done = import_golden(SET, context, actor="bob", reason="more")
    assert (done.version, done.added, done.verdicts) == (2, 2, ())
    first, second = versions(context)
    assert (first.made_by, first.reason, second.made_by) == ("ada", "begin", "bob")
    found = difference(first, second)
    assert set(found.added) == {one.key for one in SET[4:]}
    assert (found.removed, found.verdicts, found.reworded) == ((), (), ())
    bodies = " ".join(row.body for row in store.rows(select(golden_version)))
    assert "question" not in bodies, "a version holds no text"


def test_a_verdict_never_changes_silently(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    import_golden(SET, context)
    turned = replace(SET[0], label=1.0)
    for allowed in ({}, {"change_verdicts": True}, {"reason": "because"}):
        with pytest.raises(ConfigurationError, match="1 known examples would get another verdict"):
            import_golden([turned], context, **allowed)  # type: ignore[arg-type]
    assert len(versions(context)) == 1
    done = import_golden([turned], context, actor="ada", reason="settled", change_verdicts=True)
    assert (done.version, done.verdicts) == (2, (SET[0].key,))
    found = difference(load(1, context), load(2, context))
    assert found.verdicts == ((SET[0].key, 0.0, 1.0),)
    assert load(1, context).members[SET[0].key].label == 0.0, "the first version stands"
    entries = store.rows(select(audit).where(audit.c.action == "golden_version"))
    assert [(row.subject, row.detail["reason"]) for row in entries][-1] == ("2", "settled")


def test_what_was_removed_reworded_or_made_an_anchor_is_seen(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    import_golden(SET, context)
    with store.begin() as connection:
        connection.execute(delete(golden_example).where(golden_example.c.example_id == SET[5].key))
    import_golden([replace(SET[1], context="a passage"), replace(SET[2], is_anchor=True)], context)
    found = difference(load(1, context), load(2, context))
    assert (found.added, found.removed) == ((), (SET[5].key,))
    assert (found.reworded, found.anchors) == ((SET[1].key,), (SET[2].key,))


def test_an_altered_version_is_noticed(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path)
    import_golden(SET, context)
    with pytest.raises(ConfigurationError, match="no version 7"):
        load(7, context)
    with store.begin() as connection:
        connection.execute(update(golden_version).values(body="{}"))
    with pytest.raises(AlteredVersion):
        load(1, context)


# ── bringing one back ────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.dictionaries(
        st.integers(0, 5),
        st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 1.0]), st.booleans()),
        min_size=1,
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=30)
@given(steps=STEPS, back=st.integers(0, 4))
def test_any_version_comes_back_whole(steps: list[dict[int, Any]], back: int) -> None:
    """Whatever was imported, reworded, turned and removed in between."""
    with TemporaryDirectory() as folder:
        context = review_context(Store.open("sqlite://"), Path(folder))
        sets = []
        for step in steps:
            rows = [
                Golden(f"q{n}", word, label, is_anchor=anchor, example_id=f"e{n}")
                for n, (word, label, anchor) in step.items()
            ]
            import_golden(rows, context, reason="so", change_verdicts=True)
            sets.append(list_golden(context))
        number = back % len(sets)
        wanted = next(n for n in range(1, 9) if _members(context, n) == _ids(sets[number]))
        with context.store.begin() as connection:
            connection.execute(delete(golden_example).where(golden_example.c.example_id == "e0"))
        done = restore(wanted, "ada", "it was right", context)
        assert (list_golden(context), done.missing) == (sets[number], ())
        assert _members(context, done.version) == _ids(sets[number])
        assert restore(wanted, "ada", "again", context).version == done.version
        context.store.close()


def _ids(examples: list[Golden]) -> dict[str, tuple[str, float, bool]]:
    return {
        one.key: (
            content_digest(one.input, one.output, one.context, one.reference),
            one.label,
            one.is_anchor,
        )
        for one in examples
    }


def _members(context: Context, number: int) -> dict[str, tuple[str, float, bool]]:
    return {
        key: (one.content, one.label, one.is_anchor)
        for key, one in load(number, context).members.items()
    }


def test_what_was_not_kept_stays_away_and_what_was_altered_is_noticed(
    store: Store, tmp_path: Path
) -> None:
    context = review_context(store, tmp_path)
    import_golden(SET, context)
    import_golden([replace(SET[0], context="a passage")], context)
    with pytest.raises(ConfigurationError, match="needs a reason"):
        restore(1, "ada", " ", context)
    with pytest.raises(ConfigurationError, match="no version 9"):
        restore(9, "ada", "why", context)
    with store.begin() as connection:
        gone = golden_text.c.example_id == SET[0].key
        connection.execute(delete(golden_text).where(gone, golden_text.c.context.is_(None)))
    done = restore(1, "ada", "why", context)
    assert (done.version, done.removed, done.missing) == (3, 1, (SET[0].key,))
    assert len(list_golden(context)) == len(SET) - 1
    assert load(3, context).reason == "version 1 again: why"
    with store.begin() as connection:
        connection.execute(update(golden_text).values(output="another"))
    with pytest.raises(AlteredVersion):
        restore(2, "ada", "why", context)
    assert len(list_golden(context)) == len(SET) - 1, "nothing was half done"


# ── what is wrong with a set ─────────────────────────────────────────────────────────────────


class Words(Topics):
    """Texts of the same words in any order are the same; others have nothing in common."""

    def embed(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        return np.stack([super(Words, self).embed([" ".join(sorted(t.split()))])[0] for t in texts])


def test_a_sound_set_has_no_findings_and_each_fault_is_named(store: Store, tmp_path: Path) -> None:
    context = review_context(store, tmp_path, embedder=Words())
    sound = [Golden(f"{n} question", f"{n} answer", n % 2, provenance="hand") for n in range(500)]
    import_golden(sound, context)
    assert check_golden(context) == []
    (tmp_path / "prompts.jsonl").write_text(
        json.dumps({"id": "a", "input": "Please answer: what of the big blue kettle"})
        + "\n"
        + json.dumps({"id": "b", "messages": [{"role": "user", "content": "question 9"}]})
    )
    provider = ProviderSettings(
        kind="openai",
        base_url="http://127.0.0.1:9",
        model="m",
        usd_per_million_input_tokens=1,
        usd_per_million_output_tokens=1,
        pin="main",
        prompts="prompts.jsonl",
    )
    context = replace(
        context, settings=context.settings.model_copy(update={"providers": {"main": provider}})
    )
    asked = "what of the big blue kettle"
    faults = [
        Golden("question 3", "answer 3", 0.0, provenance="hand"),
        Golden("question 4", "answer 4", 0.0, provenance="hand", is_anchor=True),
        Golden(asked, "yes", 1.0),
    ]
    import_golden(faults, context)
    found = {one.kind: one for one in check_golden(context)}
    assert set(found) == {
        *("near_duplicates", "contradictions", "anchor_leak", "prompt_leak", "no_provenance"),
    }
    assert set(found["contradictions"].ids) == {sound[3].key, faults[0].key}
    assert found["anchor_leak"].ids == (faults[1].key,)
    assert set(found["prompt_leak"].ids) == {faults[2].key, sound[9].key}
    assert found["no_provenance"].ids == (faults[2].key,)
    assert not any("kettle" in one.what for one in found.values()), "no text of an example"


@pytest.mark.parametrize(("count", "word"), [(3, "497 short of 500"), (2_001, "1 beyond 2,000")])
def test_its_size_is_checked(store: Store, tmp_path: Path, count: int, word: str) -> None:
    context = review_context(store, tmp_path, embedder=Words())
    import_golden((Golden(f"{n} q", f"{n} a", 1.0, provenance="h") for n in range(count)), context)
    assert [(one.kind, word in one.what) for one in check_golden(context)] == [("size", True)]


def test_pairs_are_found_across_chunks() -> None:
    vectors = np.random.default_rng(0).normal(size=(1_200, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[1_100] = vectors[3]
    assert near_pairs(vectors) == [(3, 1_100)]
    assert near_pairs(vectors, vectors[::-1].copy()) == []


def test_versions_by_the_command_line(tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    file = tmp_path / "g.jsonl"

    def write(label: int) -> None:
        rows = [
            {"input": "q", "output": "a", "label": label},
            {"input": "r", "output": "b", "label": 1},
        ]
        file.write_text("\n".join(map(json.dumps, rows)))

    write(0)
    assert "version 1" in run(tmp_path, "golden", "import", str(file)).stdout
    write(1)
    refused = run(tmp_path, "golden", "import", str(file))
    assert refused.returncode != 0 and "another verdict" in refused.stderr
    taken = run(
        tmp_path,
        *("golden", "import", str(file), "--change-verdicts", "--reason", "people settled it"),
    )
    assert "1 known examples have another verdict now" in taken.stdout
    listed = run(tmp_path, "golden", "versions").stdout
    assert "people settled it" in listed
    assert "0 → 1" in run(tmp_path, "golden", "diff", "1", "2").stdout
    back = run(tmp_path, "golden", "restore", "1", "--reason", "they had not")
    assert "version 3 is as version 1 was: 0 examples added, 1 changed" in back.stdout
