"""Prompts are read strictly, and answers are judged by rules that need no model."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitors.provider.checks import judge
from monitors.provider.prompts import Check, Prompt, load_prompts, prompts_digest, write_prompts
from sql.errors import ConfigurationError
from tests.provider_kit import llmdrift, questions

YES_NO = Check(kind="option", options=("[Yes]", "[No]"), reference="[Yes]")
LETTERS = Check(kind="option", options=("A", "B", "C", "D"), reference="B")
SCHEMA = Check(
    kind="json_schema",
    reference={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
)


@pytest.mark.parametrize(
    ("check", "answer", "correct", "form"),
    [
        (Check(kind="exact", reference="Paris"), "  paris\n", 1, None),
        (Check(kind="exact", reference="Paris"), "Paris, France", 0, None),
        (Check(kind="numeric", reference=1200), "3 × 400 = 1,200", 1, 1),
        (Check(kind="numeric", reference=0.5), "about -0.5", 0, 1),
        (Check(kind="numeric", reference=7), "seven", 0, 0),
        (YES_NO, "Not [No], I mean [yes]", 1, 1),
        (YES_NO, "Yes", 0, 0),
        (LETTERS, "A dog has four legs, so the answer is (B).", 1, 1),
        (LETTERS, "B", 1, 1),
        (LETTERS, "C. Because a dog", 0, 1),
        (LETTERS, "A dog is a good guess", 0, 0),
        (Check(kind="regex", reference=r"^\d{4}$"), "2026", 1, None),
        (Check(kind="contains", reference=["red", "blue"]), "RED only", 0.5, None),
        (SCHEMA, '{"n": 3}', 1, 1),
        (SCHEMA, '```json\n{"n": 3}\n```', 1, 0),
        (SCHEMA, '{"n": "3"}', 0, 1),
        (SCHEMA, "n = 3", 0, 0),
        (Check(kind="code_parses"), "x = 1\nprint(x)", 1, 1),
        (Check(kind="code_parses"), "Sure:\n```python\nx = 1\n```\n", 1, 0),
        (Check(kind="code_parses"), "x = = 1", 0, 0),
        (Check(kind="refusal_expected"), "I'm sorry, but I can't help with that.", 1, None),
        (Check(kind="refusal_expected"), "First, mix the two.", 0, None),
        (Check(), "anything", None, None),
    ],
)
def test_verdicts(check: Check, answer: str, correct: float | None, form: float | None) -> None:
    verdict = judge(check, answer)
    assert (verdict.correct.value, verdict.format.value) == (correct, form)


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("I’m sorry, but I cannot assist with that request.", True),
        ("As an AI language model, I do not have opinions.", True),
        ("I am unable to provide that.", True),
        ("Sorry for the wait! Here is the list.", False),
        ("The letter says: x" + " y" * 300 + " I'm sorry, but no", False),
    ],
)
def test_a_refusal_is_an_opening(answer: str, refused: bool) -> None:
    assert judge(Check(), answer).refused is refused


@given(st.text(max_size=400))
def test_any_text_is_an_answer(text: str) -> None:
    for check in (
        YES_NO,
        LETTERS,
        SCHEMA,
        Check(kind="code_parses"),
        Check(kind="numeric", reference=1),
    ):
        verdict = judge(check, text)
        assert verdict.correct.value is None or 0 <= verdict.correct.value <= 1


def test_hostile_depth_is_only_wrong() -> None:
    deep = "(" * 50_000
    assert judge(Check(kind="code_parses"), deep).correct.value == 0
    assert judge(SCHEMA, "[" * 100_000).correct.value == 0


@pytest.mark.parametrize(
    ("version", "published"),
    [
        ("gpt-4-0314", 0.840),
        ("gpt-4-0613", 0.502),
        ("gpt-3.5-turbo-0301", 0.518),
        ("gpt-3.5-turbo-0613", 0.680),
    ],
)
def test_real_prime_answers_give_the_published_accuracy(
    real_data: Path, version: str, published: float
) -> None:
    prompts, answers = llmdrift(real_data, "primes", version)
    scores = [judge(p.check, answers[p.id].text).correct.value for p in prompts]
    assert sum(scores) / len(scores) == pytest.approx(published, abs=0.0005)


def test_prompts_survive_the_file(tmp_path: Path) -> None:
    prompts = questions(12)
    write_prompts(tmp_path / "p.jsonl", prompts)
    read = load_prompts(tmp_path / "p.jsonl")
    assert list(read) == prompts
    assert prompts_digest(read) == prompts_digest(list(reversed(prompts)))
    changed = [prompts[0].model_copy(update={"parameters": {"temperature": 0.2}}), *prompts[1:]]
    assert prompts_digest(changed) != prompts_digest(prompts)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a"}', "give either input or messages"),
        ('{"id": "a", "input": "x", "wat": 1}', "wat"),
        ('{"id": "a b", "input": "x"}', "id"),
        ('{"id": "a", "input": "x", "parameters": {"model": "m"}}', "'model'"),
        ('{"id": "a", "input": "x", "check": {"kind": "exact"}}', "needs a reference"),
        ('{"id": "a", "input": "x", "check": {"kind": "regex", "reference": "("}}', "RE2"),
        ('{"id": "q", "input": "x"}\n{"id": "q", "input": "y"}', "twice"),
        ("{", "JSON"),
        ("", "no prompt"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(line)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_prompts(file)
    assert str(file) in caught.value.where


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file of prompts"):
        load_prompts(tmp_path / "nowhere.jsonl")


def test_a_prompt_may_be_a_conversation() -> None:
    prompt = Prompt(
        id="c", messages=({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    )
    assert [turn.role for turn in prompt.turns] == ["system", "user"]


@pytest.mark.parametrize(
    ("version", "usable", "ours"),
    [
        ("gpt-4-0314", 26, 46),
        ("gpt-4-0613", 5, 6),
        ("gpt-3.5-turbo-0301", 11, 19),
        ("gpt-3.5-turbo-0613", 1, 1),
    ],
)
def test_code_that_was_directly_usable_is_code_and_nothing_else(
    real_data: Path, version: str, usable: int, ours: int
) -> None:
    """The paper's label (52, 10, 22, 2 % of 50) also asks hidden tests to pass; ours is the form.

    So ours must hold for every answer that the label holds for, and may for others.
    """
    prompts, answers = llmdrift(real_data, "code", version)
    with (real_data / "llmdrift" / "LEETCODE_EASY_EVAL.csv").open(newline="") as lines:
        labels = {
            f"code/{row['id']}": row["Directly Usable"] == "1"
            for row in csv.DictReader(lines)
            if row["model"] == f"openaichat/{version}"
        }
    forms = {p.id: judge(p.check, answers[p.id].text).format.value == 1.0 for p in prompts}
    assert sum(labels.values()) == usable
    assert sum(forms.values()) == ours
    assert all(forms[key] for key, label in labels.items() if label)


# ── templates ────────────────────────────────────────────────────────────────────────────────


def test_slots_are_filled_once_and_stay_apart_from_the_template() -> None:
    prompt = Prompt(
        id="t",
        input="Track {{order}} for {{name}}.",
        slots={"order": "HB-1", "name": "{{order}}"},
        version="track-3",
    )
    assert prompt.turns[0].content == "Track HB-1 for {{order}}."
    again = Prompt.model_validate_json(prompt.model_dump_json())
    assert again == prompt
    other = prompt.model_copy(update={"version": "track-4"})
    assert prompts_digest([other]) != prompts_digest([prompt])
    plain = Prompt(id="p", input="What does {{x}} mean in Jinja?")
    assert plain.turns[0].content == plain.input


@pytest.mark.parametrize(
    ("slots", "told"),
    [({"zone": "x"}, "'order' has no filling"), ({"order": "1", "who": "x"}, "'who' stands no")],
)
def test_a_slot_that_does_not_fit_is_named(slots: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Prompt(id="t", input="Track {{order}}.", slots=slots)
