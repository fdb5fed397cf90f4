"""Python in answers: what parses, what does not and why, and what is no code at all."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.logs.interaction import Batch
from monitors.logs.redaction import redact
from monitors.quality.python_code import code_parses, python_fault
from monitors.scorer import PASS, Score

GOOD = "def f(x):\n    return x + 1"
NOTHING: Any = None


def scored(*outputs: str | None, whole: tuple[str, ...] = (), feature: str = "chat") -> list[Score]:
    batch = Batch({"output": list(outputs), "feature": [feature] * len(outputs)})
    return list(code_parses(whole)(batch, NOTHING))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (f"So:\n```python\n{GOOD}\n```\nDone.", ""),
        (f"```Python3\r\n{GOOD}\r\n```", ""),
        (f"~~~ {{.py}}\n{GOOD}\n~~~", ""),
        ("1. Run\n   ```python\n   print(1)\n   ```", ""),
        ("````python\ns = '''\n```\n'''\n````", ""),
        (f"```python\n{GOOD}\n```\nand\n```python\ndef (:\n```", "syntax"),
        ("```python\ndef f():\nreturn 1\n```", "indentation"),
        ("```python\nprint('a\n", "cut_off"),
        ("```python\n\n```", "empty"),
        ("```python\nprint 'Python 2'\n```", "syntax"),
    ],
)
def test_fenced_python_parses_or_the_reason_says_how_it_fails(output: str, reason: str) -> None:
    assert scored(output) == [Score(0.0, reason) if reason else PASS]


@pytest.mark.parametrize(
    "output",
    [
        "There is no code here.",
        "```\nls -l\n```",
        "```json\n{\n```",
        "Write ```python x = (``` in one line.",
        "```python\n>>> 1 + 1\n2\n```",
        GOOD,
    ],
)
def test_what_holds_no_python_block_is_no_verdict(output: str) -> None:
    assert scored(output) == [Score(None, "no_code")]
    assert scored(None, "") == [Score(None, "no_output")] * 2


def test_where_a_program_runs_the_answer_a_fence_is_a_fault() -> None:
    fenced = f"```python\n{GOOD}\n```"
    assert scored(GOOD, fenced, "Sure!", whole=("run",), feature="run") == [
        PASS,
        Score(0.0, "fenced"),
        Score(0.0, "syntax"),
    ]
    assert scored(GOOD, fenced, whole=("run",)) == [Score(None, "no_code"), PASS]
    assert code_parses(["run"]).version != code_parses().version


@pytest.mark.parametrize(
    "code", ["(" * 90_000, "-" * 90_000 + "1", "1" + "+1" * 60_000, "9" * 90_000, "x = '\x00'"]
)
def test_hostile_code_is_a_verdict_too(code: str) -> None:
    assert python_fault(code) == "syntax"
    assert python_fault("x" * 10**6) == "too_long"


@given(st.text(st.sampled_from("`~ python\n'(:=x1\t"), max_size=60))
def test_any_text_has_a_verdict(text: str) -> None:
    found = scored(text)[0]
    assert found.reason or found == PASS


def test_redaction_leaves_python_behind() -> None:
    code = 'card = 4111111111111111\nsend("mary.brown@mail.example", "+44 20 7946 0123")\n'
    harmless = redact(f"```python\n{code}```")
    assert harmless.counts and scored(harmless.text) == [PASS]


def test_the_code_of_march_and_june_2023(real_data: Path) -> None:
    """What a fence holds parses in both; in June it no longer stands alone."""
    with (real_data / "llmdrift" / "LEETCODE_EASY_EVAL.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    bare, fenced = {}, {}
    for version in ("gpt-4-0314", "gpt-4-0613"):
        answers = [row["answer"] for row in rows if row["model"] == f"openaichat/{version}"]
        whole = scored(*answers, whole=("run",), feature="run")
        bare[version] = Counter(found.reason or "parses" for found in whole)
        fenced[version] = Counter(found.reason or "parses" for found in scored(*answers))
    assert bare["gpt-4-0314"] == {"parses": 46, "indentation": 4}
    assert bare["gpt-4-0613"] == {"parses": 6, "fenced": 44}
    assert fenced["gpt-4-0314"] == {"no_code": 50}
    assert fenced["gpt-4-0613"] == {"parses": 44, "no_code": 6}
