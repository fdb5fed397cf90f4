"""The safety scan: counts that add up in any split, and a monitor that finds a planted fall."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from monitors.context import Context
from monitors.quality.hazards import pii, refusal
from monitors.quality.safety import Tally, safety, scan_shard
from monitors.scorer import Layer, Score, scorer
from sql.measurement import Measurement, Status
from sql.store import Store
from sql.tables import partial_result
from sql.window import Window
from tests.logs_kit import DAY, context_over, days, fill, row

REFERENCE = 7
ROWS = 300
LEAK = "You can reach her at mary.brown@example.com any time."


def day_of(window: Window, number: int, leaks: int) -> list[dict[str, Any]]:
    """A day of two features, whose first rows leak a person's address in the second feature."""
    made = []
    for place in range(ROWS):
        feature = "chat" if place % 3 else "search"
        output = LEAK if place < leaks * 3 and feature == "search" else f"Answer {place}."
        made.append(row(number * ROWS + place, window, of=10**6, feature=feature, output=output))
    return made


@contextmanager
def over(store: Store, folder: Path, leaks: list[int]) -> Iterator[Context]:
    url = f"sqlite:///{folder}/log.db"
    for number, (window, count) in enumerate(zip(days(len(leaks)), leaks, strict=True)):
        fill(url, day_of(window, number, count))
    reference = {"start": DAY.first_day.isoformat(), "days": REFERENCE}
    with context_over(store, url, reference=reference) as context:
        yield replace(context, scorers=(pii(), refusal))


def measure(window: Window, context: Context) -> dict[tuple[str, ...], Measurement]:
    """Scan, measure and publish; by the values of the labels."""
    scan_shard(window, context)
    found = safety.measure(window, context)
    with context.store.begin() as connection:
        context.store.publish(connection, "safety", window, found)
    return {tuple(v for _, v in sorted(m.labels.items(), reverse=True)): m for m in found}


def parts(store: Store) -> list[str]:
    table = partial_result
    rows = store.rows(select(table.c.shard, table.c.body).order_by(table.c.shard))
    return [json.dumps([r.shard, r.body], sort_keys=True) for r in rows]


def test_a_planted_leak_is_found_and_quiet_days_are_silent(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, [1] * 10 + [40]) as context:
        quiet = [measure(window, context) for window in days(10)]
        bad = measure(days(11)[10], context)
    assert quiet[0][("pii",)].evidence is None and quiet[0][("pii",)].baseline is None
    for found in quiet[REFERENCE:]:
        assert found[("pii",)].baseline == pytest.approx(1 - 1 / ROWS)
        assert max(m.evidence or 0.0 for m in found.values()) < math.log(20)
    fell = bad[("pii",)]
    assert fell.value == pytest.approx(1 - 40 / ROWS) and fell.n == ROWS
    assert fell.low < fell.value < fell.high < fell.baseline
    assert fell.method.startswith("log e-value;") and fell.evidence > math.log(1e4)
    # The slice that leaks says so; the other feature and the other scorer do not.
    assert bad[("pii", "search")].evidence > fell.evidence
    assert bad[("pii", "chat")].value == 1 and bad[("pii", "chat")].evidence <= 0
    assert bad[("refusal",)].evidence <= 0


def test_shards_add_up_to_the_whole_and_a_second_scan_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, [7]) as context:
        assert scan_shard(DAY, context) == {"rows": ROWS, "failed": 7}
        whole = safety.measure(DAY, context)
        once = parts(store)
        scan_shard(DAY, context)
        assert parts(store) == once
        with store.begin() as connection:
            connection.execute(partial_result.delete())
        counts = [scan_shard(DAY, context, shard, 3) for shard in range(2)]
        assert {m.status for m in safety.measure(DAY, context)} == {Status.PARTIAL}
        counts.append(scan_shard(DAY, context, 2, 3))
        assert sum(int(c["rows"]) for c in counts) == ROWS
        assert safety.measure(DAY, context) == whole


def test_days_without_rows_or_scan_say_so(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path, [0]) as context:
        assert {m.reason for m in safety.measure(DAY, context)} == {"not_scanned"}
        scan_shard(DAY.next(), context)
        empty = safety.measure(DAY.next(), context)
    assert {(m.status, m.reason, m.value) for m in empty} == {
        (Status.NO_DATA, "empty_window", None)
    }


def test_a_scorer_that_breaks_does_not_stop_the_others_and_no_text_is_kept(
    store: Store, tmp_path: Path
) -> None:
    @scorer(name="broken", version="1", layer=Layer.SAFETY, needs=("output",))
    def broken(batch: Any, _context: Context) -> list[Score]:
        raise RuntimeError(batch["output"][0])

    with over(store, tmp_path, [2]) as context:
        context = replace(context, scorers=(broken, pii()))
        scan_shard(DAY, context)
        found = {m.labels["scorer"]: m for m in safety.measure(DAY, context) if len(m.labels) == 1}
    assert found["broken"].status is Status.NO_DATA and found["broken"].reason == "nothing_to_judge"
    assert found["pii"].value == pytest.approx(1 - 2 / ROWS)
    assert not any("mary" in part or "Answer" in part for part in parts(store))


@given(st.lists(st.sampled_from([None, 0.0, 1.0]), max_size=60), st.integers(1, 5))
def test_tallies_add_up_in_any_split(values: list[float | None], split: int) -> None:
    scores = [Score(v, "" if v == 1 else "x") for v in values]
    ids = [f"r{n:03}" for n in range(len(values))]
    features = ["a" if n % 2 else None for n in range(len(values))]
    whole, together = Tally("1"), Tally("1")
    whole.add(ids, scores, {"feature": features})
    for start in reversed(range(split)):
        part = Tally("1")
        chosen = slice(start, None, split)
        part.add(ids[chosen], scores[chosen], {"feature": features[chosen]})
        together.merge(Tally.of(json.loads(json.dumps(part.body()))))
    assert together.body() == whole.body()
    passed, failed, unknown = whole.counts[("", "")]
    assert (passed, failed, unknown) == tuple(values.count(v) for v in (1.0, 0.0, None))
