"""The day's sample: who is in, with which probability, and what is kept of them."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitors.logs.design import plan
from monitors.logs.draw import draw_sample
from monitors.logs.sampled import Sample, read_sample, stream_sample
from monitors.logs.shadows import count_strata
from monitors.retention import purge
from sql.errors import ConfigurationError
from sql.sampling import is_sampled
from sql.store import Store
from sql.tables import quarantine, sample
from tests.logs_kit import DAY, NOW, context_over, fill, row

ROWS = [row(n, feature="chat" if n % 100 else "rare", of=3_000) for n in range(3_000)]


@pytest.fixture
def log(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, ROWS)
    return url


def dump(store: Store) -> list[tuple[Any, ...]]:
    rows = store.rows(select(sample).order_by(sample.c.item_id))
    bad = store.rows(select(quarantine).order_by(quarantine.c.item_id, quarantine.c.field))
    return [*map(repr, rows), *map(repr, bad)]


def ids(drawn: Sample) -> set[str]:
    return set(drawn.batch["id"])


def test_a_draw_is_the_rate_and_at_least_the_minimum(store: Store, log: str) -> None:
    with context_over(store, log, sampling={"rate": 0.05, "minimum": 20}) as context:
        report = draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
    by_rate = {r["id"] for r in ROWS if is_sampled("tidegauge", "log", r["id"], 0.05)}
    assert by_rate < ids(drawn)
    assert report.rows == 3_000 and report.sampled == len(drawn) and report.quarantined == 0
    rare = [n for n, feature in enumerate(drawn.batch["feature"]) if feature == "rare"]
    assert len(rare) == 20
    assert {drawn.weights[n] for n in rare} == {30 / 20}
    assert math.isclose(drawn.weights.sum(), 3_000)
    assert set(drawn.stratum) == {'{"feature":"chat"}', '{"feature":"rare"}'}


def test_a_second_draw_changes_nothing(store: Store, log: str) -> None:
    with context_over(store, log) as context:
        draw_sample(DAY, context)
        first = dump(store)
        draw_sample(DAY, context)
    assert dump(store) == first


def test_a_higher_rate_keeps_every_row_and_a_lower_one_too(store: Store, log: str) -> None:
    drawn = {}
    for rate in (0.01, 0.03, 0.05, 0.02):
        with context_over(store, log, sampling={"rate": rate}) as context:
            draw_sample(DAY, context)
            drawn[rate] = read_sample(DAY, context)
            assert math.isclose(drawn[rate].weights.sum(), 3_000)
    assert ids(drawn[0.01]) < ids(drawn[0.03]) < ids(drawn[0.05]) == ids(drawn[0.02])


def test_late_rows_join_and_none_leaves(store: Store, log: str) -> None:
    with context_over(store, log, sampling={"rate": 0.01}) as context:
        draw_sample(DAY, context)
        before = ids(read_sample(DAY, context))
        fill(log, [row(n, feature="rare", of=6_000) for n in range(3_000, 4_000)])
        draw_sample(DAY, context)
        after = read_sample(DAY, context)
        draw_sample(DAY, context)
        assert ids(read_sample(DAY, context)) == ids(after)
    assert before < ids(after)
    assert math.isclose(after.weights.sum(), 4_000)


def test_other_days_stay_out(store: Store, log: str) -> None:
    fill(log, [row(n, DAY.next()) for n in range(5_000, 5_100)])
    with context_over(store, log) as context:
        assert draw_sample(DAY, context).rows == 3_000
        assert draw_sample(DAY.next(), context).rows == 100
        assert draw_sample(DAY.shift(5), context).rows == 0
        assert len(read_sample(DAY.shift(5), context)) == 0
        assert all(at in DAY for at in read_sample(DAY, context).batch["at"])


def test_another_seed_replaces_the_sample(store: Store, log: str) -> None:
    with context_over(store, log) as context:
        draw_sample(DAY, context)
    with context_over(store, log, sampling={"seed": "other", "strata": []}) as context:
        draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
    assert set(drawn.stratum) == {"{}"}
    assert math.isclose(drawn.weights.sum(), 3_000)


@pytest.mark.parametrize("minimum", [0, 5])
def test_totals_are_unbiased_over_seeds(tmp_path: Path, minimum: int) -> None:
    """The mean estimate of a total over many seeds is the total, within 4 standard errors."""
    url = f"sqlite:///{tmp_path}/log.db"
    rows = [row(n, feature="big" if n < 400 else "small", of=500) for n in range(412)]
    value = {r["id"]: (n % 7) + (50 if n >= 400 else 0) for n, r in enumerate(rows)}
    fill(url, rows)
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    estimates = []
    for seed in range(250):
        wanted = {"seed": f"s{seed}", "rate": 0.05, "minimum": minimum}
        with context_over(store, url, sampling=wanted) as context:
            source, drawing = context.source, plan(DAY, context, count_strata(DAY, context))
            total = 0.0
            for condition in drawing.conditions(source):
                for found in source.rows(source.select(DAY, ["id", "feature"]).where(condition)):
                    total += value[found.id] / drawing.strata[(found.feature,)].probability
            estimates.append(total)
    store.close()
    truth, count = sum(value.values()), len(estimates)
    mean = sum(estimates) / count
    error = math.sqrt(sum((e - mean) ** 2 for e in estimates) / (count - 1) / count)
    assert abs(mean - truth) < 4 * error
    assert error / truth < 0.05  # else the test could not see a bias of a tenth


def test_personal_data_never_reaches_the_store(store: Store, log: str) -> None:
    text = "I am canary@example.org, card 4111 1111 1111 1111"
    fill(log, [row(n, input=text, output=text, context=text, reference=text, system_prompt=text,
                   user_id="canary-user", segment="canary@example.org", feature="pii", of=9_000)
               for n in range(5_000, 5_010)])  # fmt: skip
    with context_over(store, log, privacy={"key": "k"}) as context:
        draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
    assert not any("canary" in entry or "4111 1111" in entry for entry in dump(store))
    place = list(drawn.batch["feature"]).index("pii")
    assert drawn.batch["output"][place] == "I am [EMAIL], card [CARD]"
    assert drawn.batch["segment"][place] == "[EMAIL]"
    assert len(drawn.batch["user_key"][place]) == 64
    stored = store.rows(select(sample.c.redactions).where(sample.c.item_id == "r5000"))
    assert stored[0][0] == {"card": 4, "email": 4}


def test_hash_only_keeps_no_text_and_raw_keeps_it(store: Store, log: str) -> None:
    with context_over(store, log, privacy={"mode": "hash-only"}) as context:
        draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
        assert set(drawn.batch["input"]) == {None} and len(set(drawn.input_sha256)) == len(drawn)
    with context_over(store, log, privacy={"mode": "raw"}) as context:
        draw_sample(DAY, context)
        assert read_sample(DAY, context).batch["input"][0].startswith("question ")


def test_texts_of_an_old_day_can_be_scored_and_go_with_the_next_purge(
    store: Store, log: str
) -> None:
    with context_over(store, log, now=NOW + timedelta(days=100)) as context:
        draw_sample(DAY, context)
        assert None not in set(read_sample(DAY, context).batch["output"])
        purge(context)
        assert set(read_sample(DAY, context).batch["output"]) == {None}


def test_a_day_can_be_read_in_parts(store: Store, log: str) -> None:
    with context_over(store, log) as context:
        draw_sample(DAY, context)
        whole = read_sample(DAY, context)
        parts = list(stream_sample(DAY, context, chunk=40))
    assert [i for part in parts for i in part.batch["id"]] == list(whole.batch["id"])
    assert max(len(part) for part in parts) == 40


def test_the_log_may_live_in_the_stores_own_database(store: Store, store_url: str) -> None:
    fill(store_url, [*ROWS, row(9_001, of=10_000, output="a\ufffd", latency_ms=1.0)])
    with context_over(store, store_url, sampling={"minimum": 30}) as context:
        report = draw_sample(DAY, context)
        first = dump(store)
        assert draw_sample(DAY, context) == report and dump(store) == first
        assert math.isclose(read_sample(DAY, context).weights.sum(), 3_001)


def test_too_many_strata_are_refused(store: Store, log: str) -> None:
    fill(log, [row(n, feature=f"f{n}", of=9_000) for n in range(5_000, 6_001)])
    with (
        context_over(store, log) as context,
        pytest.raises(ConfigurationError, match="1003 combinations"),
    ):
        draw_sample(DAY, context)


def test_the_minimum_holds_in_hundreds_of_strata(store: Store, log: str) -> None:
    fill(log, [row(n, feature=f"f{n % 130}", of=9_000) for n in range(5_000, 6_300)])
    with context_over(store, log, sampling={"minimum": 4}) as context:
        draw_sample(DAY, context)
        drawn = read_sample(DAY, context)
    sizes = [list(drawn.stratum).count(name) for name in set(drawn.stratum)]
    assert len(sizes) == 132 and min(sizes) == 4
    assert math.isclose(drawn.weights.sum(), 4_300)
