"""Personal data is found, and order numbers, dates and hashes are let alone."""

from __future__ import annotations

import pytest

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


def test_every_kind_leaves_the_text() -> None:
    for item in corpus(1, each=20):
        left = redact(item.text).text
        for kind, start, end in item.spans:
            assert kind in KINDS
            assert item.text[start:end] not in left, kind
