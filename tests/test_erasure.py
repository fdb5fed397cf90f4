"""A person who asks to be forgotten is: no table, no file and no free page holds a word of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, func, inspect, select, text

from monitors.context import Context
from monitors.drift.embedder import SentenceEmbedder
from monitors.erasure import erase
from monitors.logs.draw import draw_sample
from monitors.quality.llm_judge import content_digest
from monitors.review.golden import Golden, import_golden
from monitors.review.golden_versions import restore
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import audit, embedding, judge_verdict, metadata, sample, score
from sql.window import Grain, Window
from tests.logs_kit import DAY, NOW, context_over, fill, row

CANARY = "quetzalcoatl"
ADA, BOB = "ada-17", "bob-4"
ANSWER = f"the {CANARY} is a feathered serpent"


def asked(number: int) -> dict[str, Any]:
    mine = number % 10 == 0
    return row(
        number,
        input=f"what is a {CANARY if mine else 'tent'}, question {number}",
        output=ANSWER if mine else f"answer {number}",
        context=f"a page about {CANARY}" if mine else None,
        conversation_id=f"{CANARY}-{number}" if mine else None,
        user_id=ADA if mine else BOB,
    )


class StandIn(SentenceEmbedder):
    """The real cache under the real keys; a vector costs nothing."""

    digest = "0" * 64

    def _made(self, texts: dict[str, str]) -> Iterator[dict[str, Any]]:
        yield {key: np.ones(384, dtype="<f2") for key in texts}


@contextmanager
def told(store: Store, folder: Path, key: str = "secret") -> Iterator[Context]:
    """A day drawn, embedded, scored, judged, reviewed and shown, with the canary everywhere."""
    url = f"sqlite:///{folder}/log.db"
    fill(url, [asked(number) for number in range(200)])
    sections: dict[str, Any] = {
        "privacy": {"key": key},
        "sampling": {"rate": 1, "force": True},
        "reports": str(folder / "reports"),
        "review": {"folder": str(folder / "reports" / "review")},
    }
    with context_over(store, url, **sections) as context:
        context = replace(context, embedder=lambda: StandIn(store, lambda: NOW))
        draw_sample(DAY, context)
        rows = store.rows(select(sample))
        context.embedder().embed([each for one in rows for each in (one.input, one.output)])
        mine = [one for one in rows if CANARY in one.input]
        golden = Golden(mine[0].input, "a better answer", 1.0, provenance="batch log-2026-06")
        reworded = Golden(mine[2].input, ANSWER, 0.0, example_id="reworded")
        examples = [golden, Golden(mine[1].input, ANSWER, 0.0), Golden("q", "a", 1.0)]
        import_golden([*examples, reworded], context)
        import_golden([replace(reworded, input="of what?", output="of nobody")], context)
        _write_about(mine, store, context)
        drift = folder / "reports" / "drift"
        drift.mkdir(parents=True)
        (drift / f"{Window.containing(DAY.start, Grain.WEEK)}-topics.html").write_text(CANARY)
        (drift / "2026-W01-topics.html").write_text("somebody else's")
        batch = folder / "reports" / "review" / "log-2026-06"
        batch.mkdir(parents=True)
        (batch / "items.jsonl").write_text(CANARY)
        yield context


def _write_about(mine: Any, store: Store, context: Context) -> None:
    week = Window.containing(DAY.start, Grain.WEEK)
    nulls = {"at": DAY.start, "seen_at": DAY.start}
    rows: dict[str, dict[str, Any]] = {
        "judge_verdict": {
            "judge": "j",
            "content": content_digest((mine[0].input, ANSWER, mine[0].context)),
            "scores": {"accuracy": 1.0},
            "reasons": {"accuracy": f"knows the {CANARY}"},
            "said_at": NOW,
        },
        "score": {
            "source": "log",
            "item_id": mine[0].item_id,
            "scorer": "judge",
            "scorer_version": "1",
            "at": DAY.start,
            "value": 0.5,
            "reason": "",
        },
        "quarantine": {
            **nulls,
            "source": "log",
            "item_id": mine[0].item_id,
            "field": "rating",
            "reason": "range",
            "sha256": hashlib.sha256(CANARY.encode()).hexdigest(),
        },
        "partial_result": {
            "job": "weekly_drift",
            "grain": "week",
            "window_start": week.start,
            "step": "topics",
            "shard": 0,
            "body": {"topics": [{"members": [mine[0].item_id]}]},
            "finished_at": NOW,
        },
        "review_batch": {
            "batch_id": "log-2026-06",
            "source": "log",
            "window_start": DAY.start,
            "window_end": DAY.end,
            "design": {},
            "state": "closed",
            "due_at": NOW,
            "created_at": NOW,
        },
        "review_item": {
            "batch_id": "log-2026-06",
            "item_id": mine[0].item_id,
            "source": "log",
            "position": 1,
            "stratum": "all",
            "inclusion_probability": 1.0,
            "raters": 1,
            "kind": "core",
            "judge_score": None,
        },
        "review_entry": {
            "batch_id": "log-2026-06",
            "item_id": mine[0].item_id,
            "evaluator": "eva",
            "revision": 1,
            "state": "done",
            "scores": {"accuracy": 4},
            "comment": f"who asks for {CANARY}?",
            "flags": [],
            "correction": f"a {CANARY} is a god",
            "reason": "",
            "seconds": 3.0,
            "guidelines": "1",
            "updated_at": NOW,
        },
    }
    with context.store.begin() as connection:
        for name, each in rows.items():
            store.upsert(connection, metadata.tables[name], [each])


def dump(url: str, tables: int = 20) -> str:
    """Every value of every table, those of the schema's own bookkeeping included."""
    engine = create_engine(url)
    with engine.connect() as connection:
        names = inspect(engine).get_table_names()
        found = [
            str([tuple(each) for each in connection.execute(text(f'SELECT * FROM "{name}"'))])
            for name in names
        ]
    engine.dispose()
    assert len(names) >= tables
    return "\n".join(found)


def test_no_table_and_no_file_knows_the_subject(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    with told(store, tmp_path) as context:
        before = dump(store_url)
        assert before.count(CANARY) > 60, "else the test proves nothing"
        vectors = store.rows(select(func.count()).select_from(embedding))[0][0]
        facts = erase(ADA, "dpo", context)
        after = dump(store_url)
        left = store.rows(select(func.count()).select_from(embedding))[0][0]
        kept = store.rows(select(func.count()).select_from(sample))[0][0]
        scores = store.rows(select(score.c.value))
        verdicts = store.rows(select(judge_verdict.c.scores))
        told_of = store.rows(select(audit.c.action, audit.c.subject, audit.c.detail))
        again = erase(ADA, "dpo", context)
        nobody = erase("nobody", "dpo", context)
        back = restore(1, "ada", "as it was", context)
        restored = dump(store_url)
    assert CANARY not in restored, "nor does an old version of the golden set bring it back"
    assert (len(back.missing), back.removed) == (3, 1)
    assert CANARY not in after and ADA not in after
    assert hashlib.sha256(CANARY.encode()).hexdigest() not in after
    # Twenty questions, and one answer that all of them got.
    assert facts["rows"] == 20 and facts["vectors"] == 21 == vectors - left
    assert facts["golden"] == 2 and facts["reasons"] == 1 and facts["reviews"] == 1
    assert facts["quarantined"] == 1 and facts["files"] == 2 and facts["log_rows_left"] == 0
    assert kept == 200 and scores[0].value == 0.5 and verdicts[0].scores == {"accuracy": 1.0}
    erased = [one for one in told_of if one.action == "erase"]
    assert [one.detail["rows"] for one in erased] == [20]
    assert again["vectors"] == again["golden"] == again["files"] == 0
    assert not any(nobody.values())
    names = sorted(path.name for path in tmp_path.rglob("*") if path.suffix in (".html", ".jsonl"))
    assert names == ["2026-W01-topics.html"], "what others said stays"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path.name


def test_what_was_erased_does_not_come_back_when_the_day_is_drawn_again(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    with told(store, tmp_path) as context:
        engine = create_engine(f"sqlite:///{tmp_path}/log.db")
        with engine.begin() as connection:  # somebody else's log: it is only read
            connection.execute(text("ALTER TABLE interaction ADD COLUMN theirs TEXT"))
        engine.dispose()
        assert erase(ADA, "dpo", context)["log_rows_left"] == 20
        assert draw_sample(DAY, context).rows == 200
        assert CANARY in dump(f"sqlite:///{tmp_path}/log.db", tables=1)
        assert CANARY not in dump(store_url)


@pytest.mark.parametrize("key", ["", "secret"])
def test_with_or_without_keys(key: str, tmp_path: Path) -> None:
    """Without a key the log says whose rows are whose; with one, that it forgot is no matter."""
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store.open(url)
    with told(store, tmp_path, key) as context:
        if key:
            engine = create_engine(f"sqlite:///{tmp_path}/log.db")
            with engine.begin() as connection:
                connection.execute(text("UPDATE interaction SET user_id = NULL"))
            engine.dispose()
        assert erase(ADA, "dpo", context)["rows"] == 20
        assert CANARY not in dump(url)


def test_nobody_can_be_told_apart(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    fill(url, [row(1)])
    source = {"columns": {"user_id": ""}}
    with (
        context_over(store, url, source=source) as context,
        pytest.raises(ConfigurationError, match="user_id"),
    ):
        erase(ADA, "dpo", context)
