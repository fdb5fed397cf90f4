"""What evaluators need, point by point, where no other file of tests holds it already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from monitors.review import desk
from monitors.review.links import Person, secret_of, signed
from monitors.review.review import review
from monitors.review.rubric import DIMENSIONS, GUIDELINES_VERSION, RUBRIC
from monitors.web.standalone import COOKIE
from sql.store import Store
from sql.tables import label, review_entry
from tests.browser import Browser, browser, chromium
from tests.conftest import unavailable
from tests.review_kit import MONTH, NOW, rate_all
from tests.test_review_pages import BATCH, FULL, Served, _until, batch_of, rate, serving, token_in


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    yield from serving(batch_of(store, tmp_path))


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[tuple[Browser, Served]]:
    """An item's page in a browser, on SQLite."""
    if chromium() is None:
        unavailable("Chromium", "it is not installed")
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    texts = [(f"asked {n}", "x" * 4_000 + " shalom") for n in range(120)]
    for served in serving(batch_of(store, tmp_path, texts=texts)):
        with browser() as page, served.client("eva") as client:
            page.cookie(COOKIE, client.cookies[COOKIE], served.url)
            page.open(f"{served.url}/rate/{BATCH}/1")
            yield page, served
    store.close()


def test_each_score_has_its_anchor_and_the_length_is_shown(served: Served) -> None:
    """Points 1 and 2."""
    with served.client("eva") as client:
        page = client.get(f"/rate/{BATCH}/1").text
    for dimension in RUBRIC:
        assert len(set(dimension.anchors)) == 5
        assert all(anchor in page for anchor in dimension.anchors)
    assert page.count("cannot judge") >= len(RUBRIC)
    assert re.search(r"Answered <small>\d+ characters", page)


def test_what_is_optional_may_stay_open_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """Point 2."""
    context = batch_of(store, tmp_path, optional=["tone"])
    for served in serving(context):
        with served.client("eva") as client:
            assert client.get(f"/rate/{BATCH}/1").text.count("data-optional") == 1
            given = {name: "4" for name in DIMENSIONS if name not in ("tone", "safety")}
            assert rate(client, 1, **given).status_code == 422
            assert rate(client, 1, **given, safety="5").status_code == 200
    rows = {row.dimension: row.value for row in store.rows(select(label))}
    assert (rows["tone"], rows["safety"], set(rows)) == (None, 5.0, set(DIMENSIONS))


def test_it_counts_the_day_and_proposes_to_stop(store: Store, tmp_path: Path) -> None:
    """Point 5."""
    context = batch_of(store, tmp_path, items_a_day=10)
    for served in serving(context):
        with served.client("eva") as client:
            for number in range(1, 11):
                assert "a good place to stop" not in client.get(f"/rate/{BATCH}/{number}").text
                rate(client, number, **FULL)
            page = client.get(f"/rate/{BATCH}/11").text
            assert "10 today" in page and "a good place to stop" in page
            assert rate(client, 11, **FULL).status_code == 200, "it proposes, and forbids nothing"
    with store.begin() as connection:
        old = {"updated_at": NOW - timedelta(days=1)}
        connection.execute(update(review_entry).values(**old))
    assert desk.finished_today("eva", context) == 0


def test_changed_guidelines_are_said_and_kept_with_each_rating(served: Served) -> None:
    """Point 13."""
    store = served.context.store
    with served.client("eva") as client:
        rate(client, 1, "draft", accuracy="2")
        assert "guidelines have changed" not in client.get(f"/rate/{BATCH}/1").text
        with store.begin() as connection:
            connection.execute(update(review_entry).values(guidelines="0"))
        assert "guidelines have changed" in client.get(f"/rate/{BATCH}/1").text
        rate(client, 1, **FULL)
    (entry,) = store.rows(select(review_entry))
    assert entry.guidelines == GUIDELINES_VERSION


def test_a_refused_plain_form_loses_nothing(served: Served) -> None:
    """Point 3: without a script, what is not complete comes back as it was filled in."""
    with served.client("eva") as client:
        path = f"/rate/{BATCH}/1"
        form = {"token": token_in(client.get(path).text), "action": "submit"}
        answer = client.post(path, data={**form, "accuracy": "2", "comment": "half of it"})
        assert answer.status_code == 422 and "no score yet" in answer.text
        for page in (answer.text, client.get(path).text):
            assert 'name="accuracy" value="2" checked' in page and "half of it" in page
        answer = client.post(path, data={**form, "accuracy": "seven"})
        assert answer.status_code == 422 and 'value="2" checked' in answer.text
    (entry,) = served.context.store.rows(select(review_entry))
    assert (entry.state, entry.scores) == ("draft", {"accuracy": 2.0})
    assert served.context.store.rows(select(label)) == []


def test_people_read_a_refusal_and_programs_parse_it(served: Served) -> None:
    with served.client("eva") as client:
        for path, status in ((f"/rate/{BATCH}/999", 404), (f"/batch/{BATCH}", 403)):
            page = client.get(path, headers={"Accept": "text/html,*/*"})
            assert (page.status_code, "That did not work" in page.text) == (status, True)
            assert "content-security-policy" in page.headers
            assert client.get(path).json()["detail"]
    strange = httpx.get(f"{served.url}/rate", headers={"Accept": "text/html"})
    assert strange.status_code == 401 and "personal link" in strange.text


def test_who_leads_finds_every_batch_and_others_find_none(served: Served) -> None:
    link = f'href="batch/{BATCH}"'
    with served.client("eva") as client:
        assert link not in client.get("/rate").text
    token = signed(Person("ada", admin=True), NOW + timedelta(days=1), secret_of(served.context))
    with httpx.Client(base_url=served.url, cookies={COOKIE: token}) as client:
        page = client.get("/rate").text
        assert link in page and "open, due" in page
        assert client.get(f"/batch/{BATCH}").status_code == 200


# ── points 3 and 5, in a browser ─────────────────────────────────────────────────────────────


def _chosen(page: Browser) -> Any:
    return page.run(
        "Object.fromEntries([...document.querySelectorAll('input[type=radio]:checked')]"
        ".map(e => [e.name, e.value]))"
    )


def test_a_digit_answers_what_has_the_focus_and_an_arrow_stays_in_its_group(
    tab: tuple[Browser, Served],
) -> None:
    page, _ = tab
    page.run("document.querySelector('input[name=tone]').focus()")
    page.key("3")
    page.key("2")
    assert _chosen(page) == {"tone": "3", "completeness": "2"}
    page.open(f"{page.run('location.href').rsplit('/', 1)[0]}/2")
    page.run("document.querySelector('input[name=accuracy][value=\"4\"]').focus()")
    page.key("ArrowLeft")
    assert page.run("location.pathname").endswith("/2"), "it does not leave the page"


def test_what_keys_do_hands_can_do_too(tab: tuple[Browser, Served]) -> None:
    page, _ = tab
    page.key("4")
    page.run("document.querySelector('#undo').click()")
    assert _chosen(page) == {}
    page.run("document.querySelector('#pause').click()")
    paused = "document.querySelector('#timer').textContent.endsWith('paused')"
    assert page.run(paused)
    assert page.run("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    page.key("5")
    assert not page.run(paused), "who rates is at work again"
    page.key("p")
    assert page.run(paused)
    page.key("?")
    seen = "(e => e.top >= 0 && e.bottom <= innerHeight)(document.querySelector('{}')"
    assert page.run(f"{seen.format('#help p')}.getBoundingClientRect())")
    assert page.run("document.querySelector('#draft').hidden"), "autosave needs no button"


def test_keys_go_on_after_a_button_and_what_is_missing_is_named(
    tab: tuple[Browser, Served],
) -> None:
    page, _ = tab
    page.run("document.querySelector('#pause').focus()")
    page.key("4")
    assert _chosen(page) == {"accuracy": "4"}, "a button that has the focus swallows no digit"
    page.key("Escape")
    page.key("Enter")
    _until(page, "document.querySelector('#saved').textContent == 'helpfulness: no score yet'")
    assert page.run("document.querySelector('.now').dataset.dimension") == "helpfulness"
    page.key("5")
    _until(page, "document.querySelector('#saved').textContent == 'kept'")


def test_submit_and_the_word_kept_are_seen_however_long_the_answer(
    tab: tuple[Browser, Served],
) -> None:
    page, _ = tab
    page.size(1280, 720)
    inside = (
        "['#submit', '#saved'].every(name => {"
        " const e = document.querySelector(name).getBoundingClientRect();"
        " return e.top >= 0 && e.bottom <= innerHeight && e.right <= innerWidth; })"
    )
    page.key("4")
    for place in ("0", "document.body.scrollHeight"):
        page.run(f"scrollTo(0, {place})")
        assert page.run(inside), place
    page.size(390, 800)
    page.run("scrollTo(0, document.body.scrollHeight / 2)")
    assert page.run(inside.replace("'#submit', ", "")), "on a phone the word follows"


def test_no_page_runs_out_of_a_phone(tab: tuple[Browser, Served]) -> None:
    page, served = tab
    context = served.context
    truth = {f"r{number:05d}": float(number % 2) for number in range(120)}
    page.size(390, 844)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    rate_all(context, BATCH, truth, noise=0.5)
    with context.store.begin() as connection:
        context.store.publish(connection, "review", MONTH, list(review.measure(MONTH, context)))
    token = signed(Person("ada", admin=True), NOW + timedelta(days=1), secret_of(context))
    page.cookie(COOKIE, token, served.url)
    for path in ("rate", *(f"batch/{BATCH}{end}" for end in ("", "/agreement", "/disputes"))):
        page.open(f"{served.url}/{path}")
        assert page.run("document.querySelectorAll('main a, main table').length") > 0, path
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), path


# ── point 14, in a browser ───────────────────────────────────────────────────────────────────


def test_everything_has_a_name_and_nothing_runs_out_of_the_page_at_200_percent(
    tab: tuple[Browser, Served],
) -> None:
    page, _ = tab
    page.size(640, 450)  # what 200 % leaves of 1280 × 900
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node.get("ignored")
    ]
    wanted = {"radio", "checkbox", "button", "textbox", "combobox", "link", "progressbar"}
    assert {role for role, _ in found} >= wanted
    assert [role for role, name in found if role in wanted and not name] == []
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("[...document.querySelectorAll('pre')].every(p => p.dir == 'auto')")


def test_the_focus_is_seen_wherever_tab_goes(tab: tuple[Browser, Served]) -> None:
    page, _ = tab
    seen = set()
    for _ in range(40):
        page.key("Tab")
        name, style = page.run(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " const name = e.tagName + ':' + (e.name || e.id);"
            " return [name, s.outlineStyle + ' ' + s.outlineWidth]; })()"
        )
        if not name.startswith("BODY"):
            assert style == "solid 3px", name
            seen.add(name)
    fields = {f"INPUT:{dimension}" for dimension in DIMENSIONS}
    assert seen >= fields | {"TEXTAREA:comment", "SELECT:reason", "BUTTON:action"}


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_by_the_guidelines_ratio(tab: tuple[Browser, Served], dark: bool) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for every text that is seen."""
    page, _ = tab
    page.size(1280, 900, dark=dark)
    worst: Any = page.run(_CONTRAST)
    assert worst["ratio"] >= 4.5, worst


_CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = rgba(colour).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (rgba(c)[3] > 0) return c;
    }
    return 'white';
  };
  let worst = { ratio: 21 };
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim());
    if (!own || e.closest('option, progress') || !e.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst.ratio) worst = { ratio, tag: e.tagName, text: e.textContent.slice(0, 30) };
  }
  return worst;
})()"""
