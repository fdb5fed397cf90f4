"""Seven evaluators at once, one in a real browser, while the server is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
from tests.browser import browser, chromium
from tests.conftest import ROOT, unavailable
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
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}/favicon.ico", timeout=1)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "the server does not start"
                time.sleep(0.1)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def rate_by_http(url: str, token: str, name: str, said: dict[tuple[str, int], int]) -> None:
    """Rate all that is assigned; what fails is sent again, as the page's script does."""
    rng = random.Random(name)
    with httpx.Client(base_url=url, cookies={COOKIE: token}, timeout=10) as client:
        number = 1
        while number:
            score = rng.randint(1, 5)
            said[name, number] = score
            number = _patiently(client, number, score)


def _patiently(client: httpx.Client, number: int, score: int) -> int:
    """The number of the next item, 0 when there is none."""
    path = f"/rate/{BATCH}/{number}"
    while True:
        try:
            token = token_in(client.get(path).text)
            form = {"token": token, **dict.fromkeys(DIMENSIONS, str(score)), "seconds": "20"}
            for action in ("draft", "submit"):
                answer = client.post(
                    path, data={**form, "action": action}, headers={"Accept": "application/json"}
                )
            following = answer.json()["next"]
            return 0 if following.startswith("..") else int(following)
        except httpx.TransportError:
            time.sleep(0.1)


@pytest.mark.parametrize(
    "by_keys",
    [
        pytest.param(False, marks=pytest.mark.slow, id="seven by http"),
        # On a busy machine the browser now and then waits for a page of a server that was killed.
        pytest.param(True, marks=pytest.mark.storm, id="six by http, one by keys"),
    ],
)
def test_nothing_is_lost_when_the_server_is_killed(
    store_url: str, tmp_path: Path, by_keys: bool
) -> None:
    if by_keys and chromium() is None:
        unavailable("Chromium", "it is not installed")
    config = tmp_path / "tidegauge.toml"
    config.write_text(SETTINGS.format(url=store_url, people=str(PEOPLE).replace("'", '"')))
    store = Store.open(store_url)
    context = review_context(store, tmp_path, size=300, evaluators=PEOPLE)
    judge = [0.1 + 0.8 * (n % 10) / 10 for n in range(400)]
    fill_month(context, judge, judge)
    make_batch(MONTH, context)
    expires = datetime.now(UTC) + timedelta(days=1)
    tokens = {name: signed(Person(name), expires, secret_of(context)) for name in PEOPLE}
    said: dict[tuple[str, int], int] = {}
    server = Server(config)
    threads = [
        threading.Thread(
            target=rate_by_http, args=(server.url, tokens[name], name, said), daemon=True
        )
        for name in (PEOPLE[:6] if by_keys else PEOPLE)
    ]
    stop = threading.Event()
    kills = [0]

    def killer() -> None:
        while not stop.wait(2.5 if by_keys else 0.8):
            server.kill()
            server.start()
            kills[0] += 1

    reaper = threading.Thread(target=killer, daemon=True)
    for thread in (*threads, reaper):
        thread.start()
    try:
        seen = ""
        if by_keys:
            count = len(desk.queue(BATCH, "kira", context))
            seen = rate_by_keys(server.url, tokens["kira"], count)
        for thread in threads:
            thread.join(240)
            assert not thread.is_alive()
    finally:
        stop.set()
        reaper.join(90)
        server.kill()
    assert kills[0] >= (3 if by_keys else 2)
    assert "secret-model" not in seen
    check(store, context, said)
    if by_keys:
        values = store.rows(select(label.c.value).where(label.c.evaluator == "kira"))
        assert {row.value for row in values} == {3.0}
    store.close()


def rate_by_keys(url: str, token: str, count: int) -> str:
    """The seventh, by keys in Chromium; returns the HTML of all the pages she saw."""
    pages = []
    with browser() as tab:
        tab.cookie(COOKIE, token, url)
        for number in range(1, count + 1):
            asked, deadline = time.monotonic(), time.monotonic() + 60
            ready = f"location.pathname.endsWith('/{number}') && !!document.querySelector('.now')"
            while not tab.run(ready):
                # The server may be away when a page or its script is asked for: a person would
                # load it again.
                seen = tab.run("location.pathname + ' ' + document.body.innerText.slice(0, 200)")
                assert time.monotonic() < deadline, f"stuck before item {number}: {seen}"
                gone = tab.run("location.protocol == 'chrome-error:'")
                bare = tab.run(
                    f"location.pathname.endsWith('/{number}') && document.readyState == 'complete'"
                    " && !document.querySelector('.now')"
                )
                if gone or bare or number == 1:
                    tab.send("Page.navigate", url=f"{url}/rate/{BATCH}/{number}")
                elif time.monotonic() - asked > 6 and tab.run(
                    f"location.pathname.endsWith('/{number - 1}')"
                ):
                    # The answer was on its way when the server died: a person presses again.
                    tab.key("Enter")
                    asked = time.monotonic()
                time.sleep(0.2)
            pages.append(tab.run("document.documentElement.outerHTML"))
            for key in "33333":
                tab.key(key)
            tab.key("Enter")
        deadline = time.monotonic() + 60
        while tab.run(f"location.pathname.endsWith('/{count}')"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    return "".join(pages)


def check(store: Store, context: desk.Context, said: dict[tuple[str, int], int]) -> None:
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
    for (name, number), score in said.items():
        item = desk.queue(BATCH, name, context)[number - 1].item_id
        assert values[item, name] == score
    assert [row.state for row in store.rows(select(review_batch))] == ["closed"]
