"""Shadows in the sample: both of a pair are drawn, and nothing else is drawn differently."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select, text, update
from sqlalchemy.dialects import postgresql

from monitors.erasure import erase
from monitors.logs.ddl import sample_key_ddl
from monitors.logs.draw import ERASED, draw_sample
from monitors.logs.embedded import interaction
from monitors.logs.sampled import Sample, read_sample
from monitors.logs.source import Source
from monitors.settings import SourceSettings
from sql.engine import open_engine
from sql.errors import ConfigurationError
from sql.sampling import drawn_by, drawn_by_expression, sample_key, sample_key_expression
from sql.store import Store
from sql.tables import sample
from tests.logs_kit import DAY, context_over, fill, row

SERVED = [row(n, of=3_000) for n in range(3_000)]
# Every tenth request is shadowed, some of them twice.
SHADOWS = [
    row(10_000 + n, of=20_000, shadow_of=f"r{n % 3_000}", arm="shadow")
    for n in [*range(0, 3_000, 10), *range(3_000, 3_300, 50)]
]
log = Table("log", MetaData(), Column("id", String(255)), Column("shadow_of", String(255)))


def by_id(drawn: Sample) -> dict[str, tuple[str, float]]:
    """Id → stratum and weight."""
    return {
        item: (stratum, float(weight))
        for item, stratum, weight in zip(
            drawn.batch["id"], drawn.stratum, drawn.weights, strict=True
        )
    }


def drawn(store: Store, url: str, **sampling: Any) -> Sample:
    with context_over(store, url, sampling=sampling) as context:
        report = draw_sample(DAY, context)
        found = read_sample(DAY, context)
        assert report.sampled == len(found)
        assert draw_sample(DAY, context) == report and by_id(read_sample(DAY, context)) == by_id(
            found
        )
    return found


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_sample_holds_both_of_a_pair_or_neither(
    store: Store, tmp_path: Path, rate: float
) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [*SERVED, *SHADOWS])
    found = drawn(store, url, rate=rate, minimum=20)
    rows = by_id(found)
    pairs = {
        item: of
        for item, of in zip(found.batch["id"], found.batch["shadow_of"], strict=True)
        if of is not None
    }
    assert len(pairs) >= 20 and all(of in rows for of in pairs.values())
    shadowed = {f"r{n}" for n in range(0, 3_000, 10)}
    assert shadowed & set(rows) == set(pairs.values())
    # Every stratum's weights are its rows of the log: inclusion probabilities are what they say.
    totals: Counter[str] = Counter()
    for stratum, weight in rows.values():
        totals[json.loads(stratum)["pairing"]] += weight
    assert {name: round(total, 6) for name, total in totals.items()} == {
        None: 2_700,
        "shadowed": 300,
        "shadow": len(SHADOWS),
    }


def test_a_log_without_shadows_is_drawn_as_ever(store: Store, tmp_path: Path) -> None:
    """Neither a column that is never filled, nor one that is there, changes anything."""
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, SERVED)
    plain = by_id(drawn(store, url, rate=0.02, minimum=20))
    with open_engine(url).begin() as connection:
        connection.execute(update(interaction).values(shadow_of="").where(interaction.c.id != "r7"))
    assert by_id(drawn(store, url, rate=0.02, minimum=20)) == plain
    with open_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE interaction DROP COLUMN shadow_of"))
    assert by_id(drawn(store, url, rate=0.02, minimum=20)) == plain
    assert {stratum for stratum, _ in plain.values()} == {'{"feature":"chat"}'}
    expected = sorted(SERVED, key=lambda r: sample_key("tidegauge", "log", r["id"]))[: len(plain)]
    assert set(plain) == {r["id"] for r in expected}
    # Shadows beside them change no served row that the rate draws.
    fill(url.replace("log.db", "both.db"), [*SERVED, *SHADOWS])
    both = by_id(drawn(store, url.replace("log.db", "both.db"), rate=0.02, minimum=0))
    assert {item for item in both if item in plain} == set(plain)


def test_totals_of_served_and_shadow_rows_are_unbiased_over_seeds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(n, of=400) for n in range(400)])
    fill(url, [row(1_000 + n, of=2_000, shadow_of=f"r{n}") for n in range(0, 300, 5)])
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    estimates: dict[str, list[float]] = {"served": [], "shadow": []}
    for seed in range(120):
        with context_over(
            store, url, sampling={"seed": f"s{seed}", "rate": 0.05, "minimum": 12}
        ) as context:
            draw_sample(DAY, context)
            found = read_sample(DAY, context)
        total = dict.fromkeys(estimates, 0.0)
        for item, weight in zip(found.batch["id"], found.weights, strict=True):
            number = int(item[1:])
            total["shadow" if number >= 1_000 else "served"] += weight * (number % 100)
        for name, value in total.items():
            estimates[name].append(value)
    store.close()
    truth = {
        "served": sum(n % 100 for n in range(400)),
        "shadow": sum(n % 100 for n in range(0, 300, 5)),
    }
    for name, found_totals in estimates.items():
        mean = sum(found_totals) / len(found_totals)
        spread = sum((e - mean) ** 2 for e in found_totals) / (len(found_totals) - 1)
        error = math.sqrt(spread / len(found_totals))
        assert abs(mean - truth[name]) < 4 * error < 0.2 * truth[name]


def test_databases_give_a_shadow_the_key_that_python_gives(store_url: str, tmp_path: Path) -> None:
    rows = [{"id": f"r{n}-ключ", "shadow_of": None} for n in range(50)]
    rows += [{"id": f"s{n}", "shadow_of": f"r{n}-ключ" if n % 2 else ""} for n in range(50)]
    expected = {
        r["id"]: sample_key("s", "log", drawn_by(str(r["id"]), r["shadow_of"])) for r in rows
    }
    key = sample_key_expression("s", "log", drawn_by_expression(log.c.id, log.c.shadow_of))
    engine = open_engine(store_url)
    with engine.begin() as connection:
        log.create(connection)
        connection.execute(insert(log), rows)
        assert dict(tuple(r) for r in connection.execute(select(log.c.id, key))) == expected
    engine.dispose()
    query = select(log.c.id, key).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE log (id VARCHAR, shadow_of VARCHAR)")
        connection.executemany(
            "INSERT INTO log VALUES (?, ?)", [[r["id"], r["shadow_of"]] for r in rows]
        )
        assert dict(connection.execute(str(query)).fetchall()) == expected


def test_every_database_draws_the_same_pairs(store: Store, store_url: str, tmp_path: Path) -> None:
    """The store's own database holds the log; on SQLite and PostgreSQL the sample is one."""
    fill(store_url, [*SERVED[:600], *SHADOWS[:60]])
    here = by_id(drawn(store, store_url, rate=0.05, minimum=20))
    assert set(here) == {
        *_smallest([r for r in SERVED[:600] if int(r["id"][1:]) % 10], 30, 0.05),
        *_smallest([r for r in SERVED[:600] if not int(r["id"][1:]) % 10], 20, 0.05),
        *_smallest(SHADOWS[:60], 20, 0.05),
    }


def _smallest(rows: list[dict[str, Any]], least: int, rate: float) -> set[str]:
    keys = sorted(
        (sample_key("tidegauge", "log", drawn_by(r["id"], r.get("shadow_of"))), r["id"])
        for r in rows
    )
    below = sum(int(key, 16) / 16**32 < rate for key, _ in keys)
    return {item for _, item in keys[: max(below, min(20, least))]}


def test_stored_keys_of_an_older_log_are_seen_through(store: Store, tmp_path: Path) -> None:
    """Shadows were once drawn by their own ids: such keys are computed anew, or refused."""
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [*SERVED, *SHADOWS])
    right = by_id(drawn(store, url, rate=0.02))
    with open_engine(url).begin() as connection:
        for item in SHADOWS:
            own = sample_key("tidegauge", "log", item["id"])
            mine = update(interaction).where(interaction.c.id == item["id"])
            connection.execute(mine.values(sample_key=own))
    assert by_id(drawn(store, url, rate=0.02)) == right
    with (
        context_over(store, url, source={"sample_key": "sample_key"}) as context,
        pytest.raises(ConfigurationError, match="shadows"),
    ):
        draw_sample(DAY, context)


def test_shadows_that_come_late_are_paired_at_the_next_draw(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, SERVED)
    drawn(store, url, rate=0.05)
    fill(url, SHADOWS)
    late = drawn(store, url, rate=0.05)
    assert math.isclose(late.weights.sum(), len(SERVED) + len(SHADOWS))
    assert {json.loads(s)["pairing"] for s in late.stratum} == {None, "shadowed", "shadow"}


def test_an_erased_shadow_takes_no_other_row_with_it(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    first = {**SHADOWS[0], "user_id": "mary"}
    fill(url, [*SERVED[:100], first, *SHADOWS[1:10]])
    with context_over(store, url, privacy={"key": "k"}) as context:
        draw_sample(DAY, context)
        before = by_id(read_sample(DAY, context))
        erase("mary", "tests", context)
        draw_sample(DAY, context)
        assert by_id(read_sample(DAY, context)) == before
    gone = store.rows(select(sample.c.redactions).where(sample.c.item_id == first["id"]))
    assert gone[0][0] == ERASED


def test_the_printed_statements_know_shadows(postgres_url: str) -> None:
    fill(postgres_url, [*SERVED[:20], *SHADOWS[:20]])
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE own AS SELECT * FROM interaction"))
        connection.execute(text("ALTER TABLE own DROP COLUMN sample_key"))
    settings = {"url": postgres_url, "table": "own", "name": "log"}
    before = Source.open(SourceSettings.model_validate(settings))
    with engine.begin() as connection:
        for statement in sample_key_ddl(before, "s", "tide"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    after = Source.open(SourceSettings.model_validate({**settings, "sample_key": "tide"}))
    key = after.key("s", DAY, shadows=True)
    assert "md5" not in str(key)
    query = select(after.column("id"), after.column("shadow_of"), key).where(*after.within(DAY))
    assert all(k == sample_key("s", "log", drawn_by(i, of)) for i, of, k in after.rows(query))
