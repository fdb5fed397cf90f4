"""Numbers as people read them."""

from __future__ import annotations

import pytest

from sql.words import NOTHING, between, number


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ratio", NOTHING),
        (0.9342, "ratio", "93.4 %"),
        (1240.4, "ms", "1,240 ms"),
        (0.00421, "usd", "$0.00421"),
        (1.0, "fact", "yes"),
        (0.0, "fact", "no"),
        (0.0439, "hours", "2.63 min"),
        (7.25, "hours", "7.25 h"),
        (1234.5, "usd", "$1,234.50"),
        (3.0, "count", "3"),
        (0.0123, "nats", "0.0123 nats"),
        (0.25, "", "0.25"),
    ],
)
def test_numbers_in_words(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_an_interval_without_width_is_not_told() -> None:
    assert between(0.026, 0.054, "ratio") == "2.6 % to 5.4 %"
    assert between(2.5, 2.5, "usd") == ""
    assert between(None, 1.0) == ""
