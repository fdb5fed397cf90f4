"""Personal data is found, and order numbers, dates and hashes are let alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.logs.detectors import DETECTORS
from monitors.logs.redaction import find, redact
from tests.pii_corpus import KINDS, corpus, tallies


@pytest.mark.parametrize("half", [0, 1])
def test_precision_and_recall_on_texts_that_no_pattern_was_written_for(half: int) -> None:
    items = corpus(half, each=300)
    found = [[(f.kind, f.start, f.end) for f in find(item.text)] for item in items]
    for kind, tally in tallies(items, found).items():
        assert tally.true + tally.missed >= 300
        assert tally.precision >= 0.98, kind
        assert tally.recall >= 0.95, kind


_NUMBERS = st.lists(
    st.one_of(
        st.from_regex(r"\A[0-9]{1,5}\Z"),
        st.sampled_from(
            ["+49", "(555)", "00", "call ", "ssn ", "nhs: ", "a ", "4111 1111 1111 1111", ", "]
        ),
    ),
    max_size=14,
)


@given(_NUMBERS, st.sampled_from([" ", "-", ".", "/", ""]))
def test_what_is_passed_over_unproved_could_not_have_been_proved(
    parts: list[str], between: str
) -> None:
    text = between.join(parts)
    for detector in DETECTORS:
        if detector.hopeless is not None:
            patient = replace(detector, hopeless=None)
            assert list(detector.spans(text)) == list(patient.spans(text)), detector.kind


def test_every_kind_leaves_the_text() -> None:
    for item in corpus(1, each=20):
        left = redact(item.text).text
        for kind, start, end in item.spans:
            assert kind in KINDS
            assert item.text[start:end] not in left, kind


@pytest.mark.parametrize(
    "text",
    [
        "see section 1.2.3.4 of the contract",
        "driver 31.0.15.46 mends it",
        "your password is well-protected",
        "the secret is twenty-something",
        "call ticket 1234567890 a day",
        "order 212-456-7890 was shipped",
        "the EAN 4006381333931 is on the box",
    ],
)
def test_what_only_looks_like_it_is_let_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ring me on 020 7946 0958 tonight", "phone"),
        ("order by telephone: +44 20 7946 0958", "phone"),
        ("the password is hunter-2024", "secret"),
        ("password: correct-horse-battery", "secret"),
        ("the router is at 81.2.69.142", "ip"),
    ],
)
def test_the_real_thing_beside_it_is_found(text: str, kind: str) -> None:
    assert [finding.kind for finding in find(text)] == [kind]
