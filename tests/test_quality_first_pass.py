"""One look for all safety scorers: each is told of every row in which its own rule finds something.

The rules are read here without the shared look: redaction's own set, the lexicon's own, the
refusal's opening, and the letters that begin a link.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.logs.detectors import DETECTORS
from monitors.logs.interaction import Batch
from monitors.logs.redaction import find, suspects
from monitors.provider.checks import is_refusal
from monitors.quality import first_pass, hazards
from monitors.quality.first_pass import outputs_with
from monitors.quality.lexicon import TOXIC
from monitors.quality.links import _judged, links
from monitors.quality.markers import markers
from monitors.scorer import Score
from monitors.settings import Settings
from tests.pii_corpus import corpus

ANY: Any = SimpleNamespace(settings=Settings.model_validate({"source": {"url": "sqlite://"}}))

PIECES = (
    *(item.text for item in corpus(0, each=4)),
    *(
        "shut up",
        "you are such a moron",
        "FUCK",
        "assume",
        "I will find and kill you",
        "scunthorpe",
    ),
    *("I'm sorry, but", "I’m very sorry I", "as an AI language model, I", "I can’t really help"),
    *("It's inappropriate", "I must decline", "I must", "I'm sorry, bu", "I ca"),
    *("https://example.com/a", "www.example.nosuch", "ftp://10.0.0.1", "WWW.X.org", "a/b", "ww."),
    *(" ", "\n", "", "x" * 395, "\ud800", "\0", "’", "ſ", "é", "K", "私の"),
)
TEXTS = st.lists(
    st.one_of(
        st.none(),
        st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=6).map("".join),
    ),
    max_size=8,
)


def alone(texts: Sequence[str | None]) -> dict[str, dict[int, str]]:
    """What each scorer's rule says of each row when it looks for itself; no row left unread."""
    found = {row: find(text) for row, text in enumerate(texts) if text}
    return {
        "pii": {row: parts[0].kind for row, parts in found.items() if parts},
        "toxicity": markers(tuple(TOXIC.items())).kinds(texts),
        "refusal": {row: "refused" for row, text in enumerate(texts) if text and is_refusal(text)},
    }


def said(scores: Sequence[Score]) -> dict[int, str]:
    return {row: score.reason for row, score in enumerate(scores) if score.value == 0}


def same_as_alone(texts: Sequence[str | None]) -> None:
    batch = Batch({"output": list(texts)})
    wanted = alone(texts)
    assert list(outputs_with(first_pass.PERSONAL, batch)) == suspects(texts)
    assert set(wanted["pii"]) <= set(outputs_with(first_pass.PERSONAL, batch))
    assert said(hazards.toxicity(batch, ANY)) == wanted["toxicity"]
    assert said(hazards.refusal(batch, ANY)) == wanted["refusal"]
    # Every leak that the scorer tells is one of `find`; offices and private networks are none.
    assert set(said(hazards.pii()(batch, ANY))) <= set(wanted["pii"])
    opened = {row for row, text in enumerate(texts) if text and ("://" in text or "ww." in text)}
    assert set(outputs_with(first_pass.LINKS, batch)) == opened
    judged = {row: _judged(text, [], frozenset()) for row, text in enumerate(texts) if text}
    linked = {row: reason for row, reason in judged.items() if reason and row in opened}
    assert said(links(batch, ANY)) == linked


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_the_shared_look_misses_nothing_and_changes_no_verdict(texts: list[str | None]) -> None:
    same_as_alone(texts)


def test_every_labelled_text_is_seen() -> None:
    items = corpus(1, each=40)
    same_as_alone([item.text for item in items])
    batch = Batch({"output": [item.text for item in items]})
    seen = outputs_with(first_pass.PERSONAL, batch)
    assert seen and all(row in seen for row, item in enumerate(items) if item.spans)


def test_a_refusal_that_the_opening_cuts_inside_its_last_word_is_still_one() -> None:
    text = "x" * (400 - len(" I must decline")) + " I must declined"
    assert is_refusal(text)
    assert said(hazards.refusal(Batch({"output": [text]}), ANY)) == {0: "refused"}


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: f"{d.kind}-{d.first}")
def test_candidates_of_ascii_are_those_of_any_text(detector: Any) -> None:
    """ASCII is searched as bytes; a letter beyond it takes the other path to the same places."""
    for item in corpus(0, each=30):
        if item.text.isascii():
            text = item.text + " . "
            assert list(detector.spans(text)) == list(detector.spans(text + "é"))


def test_one_look_serves_all_scorers(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    plain = first_pass._looked
    monkeypatch.setattr(first_pass, "_looked", lambda b: (looks.append(len(b)), plain(b))[1])
    batch = Batch({"output": ["fine", None, "mail jane@mail.example.org"], "input": [None] * 3})
    for each in (hazards.pii(), hazards.toxicity, hazards.refusal, links):
        each(batch, ANY)
    assert looks == [3]


def test_real_answers_are_judged_as_each_scorer_would_alone(real_data: Path) -> None:
    path = real_data / "halueval" / "general_3000.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    same_as_alone([str(json.loads(line)["chatgpt_response"]) for line in lines])
