"""Golden examples from files, and back to them without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitors.review.golden import Golden, with_anchors
from monitors.review.golden_files import read_golden, write_golden
from sql.errors import ConfigurationError
from tests.test_cli import run

TEXT = st.text(min_size=1, max_size=40).map(
    lambda text: text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
)
EXAMPLE = st.builds(
    Golden,
    input=TEXT,
    output=TEXT,
    label=st.sampled_from([0.0, 0.25, 1.0]),
    context=st.none() | TEXT,
    reference=st.none() | TEXT,
    dimensions=st.dictionaries(st.sampled_from(["tone", "safety"]), st.floats(1, 5)),
    feature=st.sampled_from(["", "chat", "1e5"]),
    provenance=st.just("batch"),
    is_anchor=st.booleans(),
    example_id=st.uuids().map(str),
)


@given(examples=st.lists(EXAMPLE, min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_nothing_is_lost_on_the_way_out_and_in(examples: list[Golden], tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    assert write_golden(path, examples) == len(examples)
    found = read_golden(path, {})
    assert found.examples == examples
    assert found.skipped == {}


@pytest.mark.parametrize(
    ("label", "good", "wanted"),
    [
        (1, (), 1.0),
        (0.5, (), 0.5),
        ("yes", (), 1.0),
        ("BAD", (), 0.0),
        ("no", ("no",), 1.0),
        ("ok", ("OK", "fine"), 1.0),
        ("awful", ("ok",), 0.0),
    ],
)
def test_verdicts_are_understood(
    tmp_path: Path, label: object, good: tuple[str, ...], wanted: float
) -> None:
    path = tmp_path / "g.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "a", "grade": label}))
    [example] = read_golden(path, {"label": "grade"}, good=good).examples
    assert (example.input, example.output, example.label) == ("q", "a", wanted)


@pytest.mark.parametrize("label", [None, "", "perhaps", 7, -1, "nan"])
def test_what_is_no_verdict_is_left_out_and_counted(tmp_path: Path, label: object) -> None:
    path = tmp_path / "g.jsonl"
    rows = [{"input": "q", "output": "a", "label": label}, {"input": "q", "output": "b"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ConfigurationError, match="2 × no_verdict"):
        read_golden(path, {})
    path.write_text(path.read_text() + "\n" + json.dumps({**rows[0], "label": 1}) + "\n{broken")
    found = read_golden(path, {})
    assert len(found.examples) == 1
    assert sum(found.skipped.values()) == 3


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no field 'verdict'"):
        read_golden(tmp_path / "g.jsonl", {"verdict": "x"})


def test_anchors_are_the_same_whatever_the_order() -> None:
    examples = [Golden(input=f"q{n}", output="a", label=1.0) for n in range(50)]
    chosen = {one.key for one in with_anchors(examples, 10) if one.is_anchor}
    assert len(chosen) == 10
    assert chosen == {one.key for one in with_anchors(examples[::-1], 10) if one.is_anchor}


def test_from_labelled_answers_to_a_judge(real_data: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    result = run(tmp_path, "judge", "train")
    assert result.returncode != 0 and "golden import" in result.stderr
    result = run(
        tmp_path,
        *("golden", "import", str(real_data / "halueval" / "general_3000.jsonl")),
        *("--map", "input=user_query", "--map", "output=chatgpt_response"),
        *("--map", "label=hallucination", "--good", "no", "--anchors", "50"),
    )
    assert result.returncode == 0, result.stderr
    assert "3,000 examples read, 3,000 in the golden set" in result.stdout
    listed = run(tmp_path, "golden", "list").stdout.split()
    assert listed[-3:] == ["3000", "2467", "50"]
