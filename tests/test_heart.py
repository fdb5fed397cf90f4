"""The dead-man's switch: what should be there and is not, and what a watcher is told."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitors.heart import Exit, Outbox, pulse
from sql.store import Store
from sql.tables import coverage
from sql.window import Grain, Window
from tests.cli_kit import run

FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAYS = {FIRST.shift(day).start for day in range(14)}
WEEKS = {Window.of(date(2026, 6, 1), Grain.WEEK).shift(week).start for week in range(2)}


def without(*days: int) -> set[datetime]:
    return DAYS - {FIRST.shift(day).start for day in days}


@pytest.mark.parametrize(
    ("daily", "outbox", "code", "missed", "word"),
    [
        (DAYS, Outbox(), Exit.OK, [], "up to date"),
        (without(13), Outbox(), Exit.CRITICAL, ["2026-06-14"], "has stopped"),
        (without(9, 11), Outbox(), Exit.WARNING, ["2026-06-10", "2026-06-12"], "has a hole"),
        (without(9, 13), Outbox(), Exit.CRITICAL, ["2026-06-10", "2026-06-14"], "stopped"),
        (without(2), Outbox(), Exit.OK, [], "up to date"),
        (DAYS, Outbox(NOW - timedelta(minutes=5)), Exit.OK, [], "up to date"),
        (DAYS, Outbox(NOW - timedelta(hours=2)), Exit.WARNING, [], "does the relay run"),
        (DAYS, Outbox(dead=3), Exit.CRITICAL, [], "3 messages"),
    ],
)
def test_what_is_missing(
    daily: set[datetime], outbox: Outbox, code: Exit, missed: list[str], word: str
) -> None:
    found = pulse({"daily_quality": daily, "weekly_drift": WEEKS}, outbox, NOW, "UTC")
    assert found.code is code
    assert [str(window) for _, window in found.missed] == missed
    assert word in " ".join(found.lines)


def test_a_window_that_may_still_come_is_not_missed() -> None:
    early = datetime(2026, 6, 15, 7, tzinfo=UTC)
    assert pulse({"daily_quality": without(13)}, Outbox(), early, "UTC").code is Exit.OK
    late = early + timedelta(hours=1, minutes=1)
    assert pulse({"daily_quality": without(13)}, Outbox(), late, "UTC").code is Exit.CRITICAL


def test_nothing_ever_ran() -> None:
    assert pulse({}, Outbox(), NOW, "UTC").code is Exit.UNKNOWN


def test_the_command_fills_holes_and_pings_only_when_all_is_well(tmp_path: Path) -> None:
    met: list[str] = []

    class Watcher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            met.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *rest: object) -> None: ...

    (tmp_path / "tidegauge.toml").write_text('[store]\nurl = "sqlite:///store.db"\n')
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    today = Window.last_full(datetime.now(UTC) - timedelta(hours=8), Grain.DAY, "UTC")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Watcher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/well"

    def beat(window: Window) -> None:
        row = {
            "job": "provider_drift", "grain": "day", "window_start": window.start,
            "window_end": window.end, "status": "complete", "reason": "", "rows": 0,
            "finished_at": window.end, "config_digest": "", "code_version": "",
        }  # fmt: skip
        known = {column.name for column in coverage.columns}
        with store.begin() as connection:
            store.upsert(connection, coverage, [{k: v for k, v in row.items() if k in known}])

    def check(*more: str) -> tuple[int, str]:
        done = run(tmp_path, "check-heartbeat", "--ping", address, *more)
        return done.returncode, done.stdout

    assert check()[0] == 3
    beat(today.shift(-3))
    code, said = check()
    assert code == 2 and "provider_drift has stopped" in said and met == []
    code, said = check("--fill", "2")
    assert code == 2, "two of three are filled"
    code, said = check("--fill", "2")
    assert (code, met) == (0, ["/well"]), said
    server.shutdown()
