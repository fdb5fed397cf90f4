"""A silenced incident lives on unsaid; what outlasts the silence is told, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from alerts.acknowledgements import acknowledge, find_incident, verdicts, who
from alerts.channels.file import FileChannel
from alerts.outbox import Intent, enqueue, sequences
from alerts.relay import deliver
from alerts.silences import Silence, add, end, held_until, matcher, read
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import audit, incident, notification
from tests.cli_kit import run
from tests.slack_kit import facts

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def silent(*texts: str, starts: datetime = NOON, hours: float = 4) -> Silence:
    matchers = tuple(matcher(text) for text in texts)
    return Silence("k", matchers, starts, starts + hours * HOUR, "ada", "known")


SAFETY = facts(labels={"feature": "answer"}, rule="safety", severity="critical")
COST = facts(labels={"feature": "answer"}, rule="cost", severity="warning")


@pytest.mark.parametrize(
    ("kind", "payload", "silences", "hours"),
    [
        ("root", SAFETY, [], None),
        ("root", SAFETY, [silent("feature=answer")], 4),
        ("root", SAFETY, [silent("feature=other")], None),
        ("root", SAFETY, [silent("feature!=other")], 4),
        ("root", SAFETY, [silent("feature=~ans.*", "severity=critical")], 4),
        ("root", SAFETY, [silent("feature=~ans")], None),
        ("root", SAFETY, [silent("feature=answer", "severity=warning")], None),
        ("root", SAFETY, [silent("segment=")], 4),
        ("root", SAFETY, [silent("feature=answer", starts=NOON + HOUR)], None),
        ("root", SAFETY, [silent("feature=answer", starts=NOON - 4 * HOUR)], None),
        ("root", SAFETY, [silent("rule=safety"), silent("feature=answer", hours=9)], 9),
        ("thread", SAFETY, [silent("rule=safety")], 4),
        # Of several incidents in one message each must be silenced.
        ("root", {**SAFETY, "about": [SAFETY, COST]}, [silent("rule=safety")], None),
        ("root", {**SAFETY, "about": [SAFETY, COST]}, [silent("feature=answer")], 4),
        ("thread", {**SAFETY, "about": [SAFETY, COST]}, [silent("rule=safety")], None),
        ("digest", {"about": [SAFETY, COST]}, [silent("rule=safety"), silent("rule=cost")], 4),
        ("digest", {"about": [SAFETY, COST]}, [silent("rule=cost")], None),
        ("review", {"stage": "due"}, [silent("feature=answer")], None),
    ],
)
def test_what_waits_and_until_when(
    kind: str, payload: Any, silences: list[Silence], hours: float | None
) -> None:
    until = None if hours is None else NOON + hours * HOUR
    assert held_until(kind, payload, silences, NOON) == until


@pytest.mark.parametrize(
    ("texts", "more", "why"),
    [
        (["feature=a"], {"comment": " "}, "author and a comment"),
        (["feature=a"], {"author": ""}, "author and a comment"),
        (["feature=a"], {"ends": NOON + timedelta(days=31)}, "30 days"),
        (["feature=a"], {"ends": NOON - HOUR}, "30 days"),
        ([], {}, "silence everything"),
        (["feature=~.*"], {}, "silence everything"),
        (["feature!=zzz"], {}, "silence everything"),
        (["rule=~.+", "severity=~critical|warning"], {}, "silence everything"),
        (["no matcher"], {}, "no matcher"),
        (["feature=~["], {}, "regular expression"),
    ],
)
def test_a_silence_says_who_why_what_and_until_when(
    store: Store, texts: list[str], more: dict[str, Any], why: str
) -> None:
    given: dict[str, Any] = {
        "starts": NOON, "ends": NOON + HOUR, "author": "ada", "comment": "known", "now": NOON,
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match=why):
        add(store, [matcher(text) for text in texts], **{**given, **more})
    assert read(store) == []


class World:
    """An incident, its messages in a file, and a clock."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.path, self.now = store, folder / "alerts.jsonl", NOON
        self.subject = f"{'f' * 64}:1"

    def open(self) -> None:
        row = {
            "fingerprint": "f" * 64, "generation": 1, "rule": "safety",
            "metric": "safety.pass_rate", "labels": '{"feature":"answer"}', "grain": "day",
            "state": "open", "severity": "critical", "group_key": "g", "opened_window": NOON,
            "last_window": NOON, "resolved_window": None, "windows": 1, "worst_value": 0.9,
            "last_value": 0.9, "body": facts(fingerprint="f" * 64), "updated_at": NOON,
            "thread": self.subject, "announced": "open",
        }  # fmt: skip
        with self.store.begin() as connection:
            self.store.upsert(connection, incident, [row])
        self.tell("root", members=[self.subject])

    def resolve(self) -> None:
        with self.store.begin() as connection:
            connection.execute(update(incident).values(state="resolved"))
        self.tell("thread", transition="resolved", members=[self.subject])

    def tell(self, kind: str, **more: Any) -> None:
        with self.store.begin() as connection:
            free = sequences(connection, [self.subject])[self.subject]
            intent = Intent("file", kind, self.subject, free, facts(**more))
            enqueue(self.store, connection, [intent], self.now)

    def silence(self) -> Silence:
        return add(
            self.store, [matcher("feature=answer")], starts=self.now, ends=self.now + 4 * HOUR,
            author="ada", comment="known", now=self.now,
        )  # fmt: skip

    def relay(self) -> list[str]:
        """The kinds of all messages so far."""
        deliver(self.store, {"file": FileChannel(self.path)}, now=lambda: self.now)
        if not self.path.exists():
            return []
        return [json.loads(line)["text"] for line in self.path.read_text().splitlines()]


def test_what_outlasts_the_silence_is_told_once(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    world.silence()
    world.open()
    assert world.relay() == []
    world.now += 2 * HOUR
    assert world.relay() == []
    world.now += 2 * HOUR
    told = world.relay()
    assert len(told) == 1 and told[0].startswith("CRITICAL")
    assert world.relay() == told


def test_what_ended_under_the_silence_was_never_news(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    world.silence()
    world.open()
    world.relay()
    world.now += HOUR
    world.resolve()
    world.now += 9 * HOUR
    assert world.relay() == []
    states = {row.state for row in store.rows(select(notification.c.state))}
    assert states == {"unsaid"}


def test_a_digest_counts_what_is_silenced(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    world.silence()
    mine, other = facts(), facts(labels={"feature": "other"})
    digest = {"incidents": [mine, other], "total": 2, "members": [], "about": [mine, other]}
    world.tell("digest", **digest)
    (told,) = world.relay()
    assert told == f"2 new incidents in {mine['window']}, 1 of them silenced"
    world.now += 4 * HOUR
    world.tell("digest", **digest)
    assert world.relay()[1] == f"2 new incidents in {mine['window']}"


def test_a_silence_that_is_ended_lets_go_at_once(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    made = world.silence()
    world.open()
    assert world.relay() == []
    world.now += HOUR
    end(store, made.key, author="bob", now=world.now)
    assert read(store, at=world.now) == [] and len(read(store)) == 1
    assert len(world.relay()) == 1
    with pytest.raises(ConfigurationError, match="goes on"):
        end(store, made.key, author="bob", now=world.now)
    assert [r.action for r in store.rows(select(audit))] == ["silence", "end_silence"]


def test_what_was_told_before_the_silence_is_told_again_after_it(
    store: Store, tmp_path: Path
) -> None:
    world = World(store, tmp_path)
    world.open()
    assert len(world.relay()) == 1
    world.silence()
    world.now += 3 * HOUR
    assert len(world.relay()) == 1
    world.now += HOUR
    told = world.relay()
    assert len(told) == 2 and "A silence has ended and this goes on" in told[1]
    world.silence()
    world.resolve()
    world.now += 5 * HOUR
    assert [("silence" in text, "Resolved" in text) for text in world.relay()[2:]] == [
        (False, True)
    ]


def test_an_answer_below_a_silenced_message_holds_up_nobody_else(
    store: Store, tmp_path: Path
) -> None:
    world = World(store, tmp_path)
    world.silence()
    world.open()
    world.relay()
    world.tell("thread", transition="severity_up", labels={"feature": "not silenced"})
    world.subject = f"{'e' * 64}:1"
    world.tell("root", labels={"feature": "other"}, members=[world.subject])
    assert len(world.relay()) == 1


def test_what_may_be_out_already_is_looked_after_silence_or_not(
    store: Store, tmp_path: Path
) -> None:
    """A relay died in the middle of a post; a silence must not leave it in doubt."""
    world = World(store, tmp_path)
    world.open()
    with store.begin() as connection:
        connection.execute(update(notification).values(state="inflight"))
    world.silence()
    assert len(world.relay()) == 1


def test_a_long_silence_loses_nothing(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    add(
        store, [matcher("feature=answer")], starts=NOON, ends=NOON + timedelta(days=20),
        author="ada", comment="known", now=NOON,
    )  # fmt: skip
    world.open()
    for _ in range(19):
        assert world.relay() == []
        world.now += timedelta(days=1)
    world.now += timedelta(days=2)
    assert len(world.relay()) == 1


# ── acknowledgements ─────────────────────────────────────────────────────────────────────────


def test_an_acknowledgement_is_kept_and_told_once(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    world.open()
    world.relay()
    found = find_incident(store, "ffff")
    for _ in range(2):
        acknowledge(store, found, actor="ada", comment="<!channel> on it", action="c", now=NOON)
    world.now += HOUR
    acknowledge(store, found, actor="bob", comment="", action="c", now=world.now)
    told = world.relay()
    assert len(told) == 3
    assert "ada looks after it" in told[1] and "<!channel>" not in told[1]
    assert who(store) == {("f" * 64, 1): "ada, bob"}
    world.resolve()
    with pytest.raises(ConfigurationError, match="resolved"):
        acknowledge(store, find_incident(store, "f"), actor="c", comment="", action="c", now=NOON)
    for text in ("", "0123"):
        with pytest.raises(ConfigurationError, match="no incident"):
            find_incident(store, text)


def test_what_an_incident_was_is_kept_and_the_last_word_stands(
    store: Store, tmp_path: Path
) -> None:
    world = World(store, tmp_path)
    world.open()
    world.relay()

    def say(verdict: str, actor: str = "ada") -> bool:
        found, world.now = find_incident(store, "f"), world.now + HOUR
        return acknowledge(
            store, found, actor=actor, comment="", action="cli", now=world.now, verdict=verdict
        )

    assert [say("false"), say("false"), say("")] == [True, False, True]
    assert verdicts(store) == {("f" * 64, 1): ("false", "ada")}
    told = world.relay()
    assert "ada says: a false alarm" in told[1] and "ada looks after it" in told[2]
    world.resolve()
    world.relay()
    assert [say("real"), say("false"), say("real", "bob")] == [True, True, True]
    assert verdicts(store) == {("f" * 64, 1): ("real", "bob")}
    assert len(world.relay()) == len(told) + 1, "of what is over only the end is told"
    with pytest.raises(ConfigurationError, match="no verdict"):
        say("perhaps")
    entries = store.rows(select(audit).where(audit.c.action == "acknowledge"))
    assert [row.detail.get("verdict", "") for row in entries] == [
        "false", "", "real", "false", "real",
    ]  # fmt: skip


def test_the_commands(tmp_path: Path) -> None:
    (tmp_path / "tidegauge.toml").write_text('[store]\nurl = "sqlite:///store.db"\n')
    world = World(Store.open(f"sqlite:///{tmp_path}/store.db"), tmp_path)
    world.open()

    def type_in(*words: str) -> tuple[int, str]:
        done = run(tmp_path, *words)
        return done.returncode, done.stdout + done.stderr

    assert type_in("silence", "add", "feature=answer")[0] == 2
    code, said = type_in("silence", "add", "feature=answer", "--for", "2h", "--comment", "known")
    assert code == 0
    key = said.split()[1]
    listed = json.loads(type_in("silence", "list", "--json")[1])
    assert (listed["matchers"], listed["author"]) == ("feature=answer", "ada")
    assert type_in("silence", "end", key)[0] == 0
    assert type_in("silence", "end", key)[0] == 2
    assert type_in("silence", "add", "x=1", "--for", "soon", "--comment", "c")[0] == 2
    assert type_in("ack", "ffff", "--by", "eve")[0] == 0
    assert "eve" in type_in("incidents")[1]
    code, said = type_in("ack", "ffff", "--by", "eve", "--false-alarm")
    assert (code, "a false alarm" in said) == (0, True)
    assert "a false alarm" in type_in("incidents")[1]
    assert json.loads(type_in("incidents", "--json")[1])["said_to_be"] == "false"
    assert type_in("ack", "0000")[0] == 2
