"""Seven evaluators at once, one in a real browser, while the server is killed again and again."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from monitors.review import desk
from monitors.review.batch import make_batch
from monitors.review.links import Person, secret_of, signed
from monitors.review.rubric import DIMENSIONS
from monitors.web.standalone import COOKIE
from sql.store import Store
from sql.tables import label, review_assignment, review_batch
from tests.browser import Browser, browser, chromium
from tests.conftest import ROOT
from tests.review_kit import MONTH, fill_month, review_context
from tests.test_review_pages import BATCH, token_in

PEOPLE = ["eva", "finn", "grace", "hugo", "iris", "jan", "kira"]
SETTINGS = """
[store]
url = "{url}"
[review]
evaluators = {people}
"""


class Server:
    """`tidegauge review serve` in a process of its own, to be killed and started again."""

    def __init__(self, config: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = config
        self.start()

    def start(self) -> None:
        command = ["-m", "monitors.cli", "review", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--config", str(self._config)],
            cwd=self._config.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.url}/favicon.ico", timeout=1)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "the server ended instead of starting"
                assert time.monotonic() < deadline, "the server did not start within two minutes"
                time.sleep(0.1)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Reader:
    """An evaluator by HTTP who keeps all that the server ever sent: pages, JSON and headers."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.name = name
        self.said: dict[int, int] = {}
        self.seen: list[str] = []
        self._client = httpx.Client(
            base_url=url,
            cookies={COOKIE: token},
            timeout=10,
            event_hooks={"response": [self._keep]},
        )

    def _keep(self, answer: httpx.Response) -> None:
        answer.read()
        self.seen.append(f"{answer.headers}\n{answer.text}")

    def rate_all(self) -> None:
        """Rate what is assigned; what fails is sent again, as the page's script does."""
        rng = random.Random(self.name)
        with self._client as client:
            number = 1
            while number:
                self.said[number] = rng.randint(1, 5)
                number = _patiently(client, number, self.said[number])
            for path in ("/rate", f"/rate/{BATCH}", f"/rate/{BATCH}/1"):
                _again(client.get, path)


def _patiently(client: httpx.Client, number: int, score: int) -> int:
    """The number of the next item, 0 when there is none."""
    path = f"/rate/{BATCH}/{number}"
    token = token_in(_again(client.get, path).text)
    form = {"token": token, **dict.fromkeys(DIMENSIONS, str(score)), "seconds": "20"}
    for action in ("draft", "submit"):
        sent = {**form, "action": action}
        answer = _again(client.post, path, data=sent, headers={"Accept": "application/json"})
    following = answer.json()["next"]
    return 0 if following.startswith("..") else int(following)


def _again(call: Callable[..., httpx.Response], path: str, **given: Any) -> httpx.Response:
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = call(path, **given)
            assert answer.status_code < 400, f"{path}: {answer.status_code} {answer.text[:200]}"
            return answer
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"{path}: the server stays away"
            time.sleep(0.1)


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed(store_url: str, tmp_path: Path) -> None:
    """Six by HTTP, one by keys in a browser (by HTTP too where there is none)."""
    config = tmp_path / "tidegauge.toml"
    config.write_text(SETTINGS.format(url=store_url, people=str(PEOPLE).replace("'", '"')))
    store = Store.open(store_url)
    context = review_context(store, tmp_path, size=300, evaluators=PEOPLE)
    judge = [0.1 + 0.8 * (n % 10) / 10 for n in range(400)]
    fill_month(context, judge, judge)
    make_batch(MONTH, context)
    expires = datetime.now(UTC) + timedelta(days=1)
    tokens = {name: signed(Person(name), expires, secret_of(context)) for name in PEOPLE}
    *by_http, last = PEOPLE if chromium() else (*PEOPLE, "")
    server = Server(config)
    readers = [Reader(server.url, tokens[name], name) for name in by_http]
    seen = {}
    with ThreadPoolExecutor(len(PEOPLE) + 1) as pool, killing(server, pool) as kills:
        work = [pool.submit(reader.rate_all) for reader in readers]
        if last:
            count = len(desk.queue(BATCH, last, context))
            seen[last] = rate_by_keys(server.url, tokens[last], count)
        for one in work:
            one.result(300)
    assert len(kills) >= 3
    seen |= {reader.name: reader.seen for reader in readers}
    for name, pages in seen.items():
        check_blind(name, pages)
    check(store, context, {reader.name: reader.said for reader in readers})
    if last:
        values = store.rows(select(label.c.value).where(label.c.evaluator == last))
        assert {row.value for row in values} == {3.0}
    store.close()


@contextmanager
def killing(server: Server, pool: ThreadPoolExecutor) -> Iterator[list[float]]:
    """Meanwhile the server is killed and started, again and again; when it was killed."""
    stop, kills = threading.Event(), []

    def kill() -> None:
        while not stop.wait(2.5):
            server.kill()
            kills.append(time.monotonic())
            server.start()

    reaper = pool.submit(kill)
    try:
        yield kills
    finally:
        stop.set()
        reaper.result(150)
        server.kill()


def check_blind(name: str, pages: list[str]) -> None:
    """Nothing that was ever sent to a person names a model, a reason, or another person."""
    assert len(pages) > 40
    secrets = [
        "secret-model",
        "feature=",
        "targeted",
        "stratum",
        "judge_score",
        "r000",
        "inclusion",
    ]
    for secret in secrets + [other for other in PEOPLE if other != name]:
        found = [page for page in pages if re.search(rf"\b{secret}", page)]
        assert not found, f"{name} was sent {secret!r}: {found[0][:2000]}"


_STATE = """({
    path: location.pathname, gone: location.protocol == 'chrome-error:',
    loaded: document.readyState == 'complete', ready: !!document.querySelector('.now'),
    given: document.querySelectorAll('fieldset[data-dimension] input:checked').length,
    sending: document.querySelector('#saved')?.textContent ?? ''})"""


def rate_by_keys(url: str, token: str, count: int) -> list[str]:
    """The seventh, by keys in Chromium, as a patient person; the HTML of all pages she saw."""
    pages: dict[str, str] = {}
    with browser() as tab:
        tab.cookie(COOKIE, token, url)
        tab.send("Page.navigate", url=f"{url}/rate/{BATCH}")
        moved, last = time.monotonic(), ""
        while True:
            state = _look(tab)
            if state["path"] != last:
                moved, last = time.monotonic(), state["path"]
            waited = time.monotonic() - moved
            assert waited < 120, f"stuck after {len(pages)} of {count} items: {state}"
            if state["ready"] and state["path"] not in pages:
                pages[state["path"]] = tab.run("document.documentElement.outerHTML")
                for _ in range(len(DIMENSIONS) - state["given"]):
                    tab.key("3")
                tab.key("Enter")
            elif (
                state["path"].endswith(f"/rate/{BATCH}") and state["loaded"] and len(pages) >= count
            ):
                return [*pages.values(), tab.run("document.documentElement.outerHTML")]
            elif state["gone"] or (state["loaded"] and not state["ready"] and waited > 2):
                # The server was away when the page or its script was asked for.
                tab.send("Page.navigate", url=f"{url}/rate/{BATCH}")
                time.sleep(0.5)
            elif state["ready"] and waited > 8 and "trying" not in state["sending"]:
                pages.pop(state["path"])  # nothing moves: once more from the top
                tab.send("Page.reload")
                moved = time.monotonic()
            time.sleep(0.1)


def _look(tab: Browser) -> dict[str, Any]:
    """What the tab shows; nothing, while it goes from one page to the next."""
    try:
        found = tab.run(_STATE)
    except RuntimeError:  # the page went away under the question
        found = None
    blank = {"path": "", "gone": False, "loaded": False, "ready": False, "given": 0, "sending": ""}
    return found or blank


def check(store: Store, context: desk.Context, said: dict[str, dict[int, int]]) -> None:
    """Each rating stands as it was given, in exactly the places that the design has."""
    places = store.rows(select(review_assignment))
    assert {place.state for place in places} == {"done"}
    rated = Counter(
        (row.item_id, row.evaluator) for row in store.rows(select(label)) if row.submitted_at
    )
    assert set(rated) == {(place.item_id, place.evaluator) for place in places}
    assert set(rated.values()) == {len(DIMENSIONS)}
    raters = Counter(item for item, _ in rated)
    assert Counter(raters.values()) == {1: 210, 2: 90}
    values = {(row.item_id, row.evaluator): row.value for row in store.rows(select(label))}
    for name, scores in said.items():
        order = desk.queue(BATCH, name, context)
        assert {
            values[order[number - 1].item_id, name] - score for number, score in scores.items()
        } == {0}
    assert [row.state for row in store.rows(select(review_batch))] == ["closed"]
