"""Whatever stands in a label, a name or a sentence: Slack reads what we meant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.channels.slack import SlackChannel
from alerts.markup import code, escape, lines_within, link, plain, units
from alerts.messages import Message, render
from tests.blockkit import faults_of, mentions_of
from tests.slack_kit import facts, fake_slack

CORPUS = [
    "<!channel>", "<!here> @here @channel", "<@U1>", "<@U12345>", "<#C1>", "<!subteam^S1|x>",
    "<http://evil.example|runbook>", "http://evil.example/a?b=c&d", "mailto:x@y.example", "#all",
    "`", "```", "``` ```", "`a` `b", "*bold*", "*", "_", "~", "* _ ~", "_a_ *b ~c", "a*b_c~d",
    "**", "*_~*_~", "&", "&amp;", "&lt;!channel&gt;", "&&&", "<", ">", "<<<>>>", "> quote",
    "&gt; quote", "a\u202eb", "\u2066x\u2069", "z\u200bz", "\ufeff", "\u00ad", "\x00\x1b[31m",
    "\ud800", "\u3164", ":red_circle:", ":white_check_mark: resolved", "a:b", "100:100", "x:",
    "\u05de\u05d5\u05d3\u05dc", "\u0646\u0645\u0648\u0630\u062c", "\u05e9\u05dc *x*", "line\nbreak",
    "\r\n> quote\n```", "\u2028x", "| a | b |", "- item", "1. one", "e\u0301" * 400,
    "a" + "\u0300" * 5000, "\U0001f44d\U0001f3fd\u200d" * 300, "x" * 40_000, "&" * 40_000,
    "*" * 40_000, "`" * 40_000, "<@U1>" * 8_000, "", " ",
]  # fmt: skip
WORDS = ["title", "rule", "metric", "incident", "fingerprint", "window", "since", "runbook",
         "owner", "first_step", "reason", "source", "by", "comment", "page", "cause"]  # fmt: skip
PIECES = (
    st.sampled_from(CORPUS[:-8]) | st.text(max_size=40) | st.text("*_~`<>&:|@#!/ \n-x", max_size=60)
)
HOSTILE = st.lists(PIECES, max_size=8).map("".join) | st.sampled_from(CORPUS)


def everywhere(text: str, labels: int = 12) -> dict[str, Any]:
    """Facts in which every word is ``text``, its labels' names included."""
    one = {**facts(), **dict.fromkeys(WORDS, text)}
    one["labels"] = {"feature": text, **{f"{text[:40]}{n}": text for n in range(labels)}}
    return one


def messages(text: str) -> list[tuple[str, Message]]:
    """Every message there is, made of ``text``."""
    one = everywhere(text)
    beside = [{"fingerprint": text, "rule": text, "labels": text, "since": text}] * 5
    also = {"also": [one] * 9, "also_total": 400, "beside": beside, "buttons": True}
    also["fingerprint"] = "f" * 64  # a digest, whatever its labels are
    found = [("root", render("root", {**one, **also}))]
    standing = {"open": 1, "total": 3, "by": text}
    found.append(("update", render("update", {**one, **also, "standing": standing})))
    for transition in ("resolved", "reopened", "severity_up", "acknowledged"):
        found.append(("thread", render("thread", {**one, "transition": transition})))
    digest = {"total": 500, "window": text, "incidents": [one] * 10}
    found.append(("digest", render("digest", digest)))
    called = {"incidents": [one] * 10, "total": 400, "minutes": 90, "mention": text}
    found += [(kind, render(kind, called)) for kind in ("escalation", "repeat")]
    people = [
        {"name": text, "mention": text, "open": 3},
        {"name": text, "mention": "U0EVA", "open": 1},
    ]
    batch = {"batch": text, "stage": "overdue", "due": text, "given": 1, "assigned": 2, "items": 3}
    found.append(("review", render("review", {**batch, "url": text, "people": people * 30})))
    return found


def unwanted(text: str) -> list[str]:
    """What is wrong with any message made of ``text``."""
    wrong = []
    for kind, message in messages(text):
        sent = {"text": message.text, "blocks": message.blocks}
        wrong += [f"{kind}: {fault}" for fault in faults_of(sent)]
        asked = {"<@U0EVA>", f"<@{text}>" if re.fullmatch("[UW][A-Z0-9]{2,20}", text) else ""}
        wrong += [f"{kind}: calls {who}" for who in mentions_of(sent) if who not in asked]
    return wrong


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:16]))
def test_no_message_says_what_a_text_wants(text: str) -> None:
    assert unwanted(text) == []


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_nor_any_mixture(text: str) -> None:
    assert unwanted(text) == []


def test_they_arrive_so_over_http() -> None:
    """Each through the real client: the server looks at what it is sent (`tests.blockkit`)."""
    with fake_slack() as (url, server):
        channel = SlackChannel("xoxb", "C1", url)
        for number, text in enumerate(CORPUS):
            for kind, message in messages(text):
                # An edit's words are a post's.
                channel.post(f"{number}{kind}", replace(message, kind=""), None)
        assert len(server.messages) == 10 * len(CORPUS)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.integers(8, 400))
def test_a_cut_is_between_escapes_and_within_the_length(text: str, most: int) -> None:
    for made in (escape(text, most), code(text, most)):
        assert units(made) <= most
        bare = made.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert not set("&<>") & set(bare)
    assert code(text, most).count("`") == 2


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_an_escaped_word_formats_nothing_in_any_company(text: str) -> None:
    said = escape(text, 200)
    for sentence in (f"*First step:* {said} · `x` _y_", f"({said})", f"x {said}: {said}"):
        sent = {"text": sentence}
        assert faults_of(sent) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a & b", "a &amp; b"),
        ("see *here*", "see ∗here∗"),
        ("safety_pii and 2 * 3", "safety_pii and 2 * 3"),
        ("_x_ ~y~", "＿x＿ ∼y∼"),
        (":ok: at 12:30", "∶ok: at 12:30"),
        ("`rm`", "'rm'"),
        ("> said", "› said"),
    ],
)
def test_what_is_replaced_and_what_is_not(text: str, said: str) -> None:
    assert escape(text) == said


def test_a_letter_keeps_its_accent_or_goes_whole() -> None:
    assert escape("e\u0301" * 10, 8) == "e\u0301" * 3 + "…"
    assert escape("👍🏽" * 10, 10) == "👍🏽" * 2 + "…"
    assert plain("a" + "\u0300" * 90) == "a" + "\u0300" * 3


def test_lines_are_left_out_whole_and_counted() -> None:
    assert lines_within(["one", "two"], 100) == "one\ntwo"
    assert (
        lines_within(["x" * 20] * 9, 60, beyond=491)
        == "x" * 20 + "\n" + "x" * 20 + "\n… and 498 more"
    )


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://wiki.example/a?b=c&d", "<https://wiki.example/a?b=c&amp;d|runbook>"),
        ("https://wiki.example/a|b>c", "<https://wiki.example/a%7Cb%3Ec|runbook>"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("wiki/pii.md", "wiki/pii.md"),
    ],
)
def test_a_link_is_made_of_web_addresses_only(url: str, made: str) -> None:
    assert link(url, "runbook") == made


def test_the_validator_knows_what_slack_refuses() -> None:
    def section(text: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "section",
            "text": {"type": "mrkdwn", "text": text, "verbatim": True},
            **more,
        }

    good = {"text": "x", "blocks": [section("*a* `b` <https://x.example|y> &amp; a_b")]}
    assert faults_of(good) == []
    button = {"type": "button", "text": {"type": "plain_text", "text": "x" * 76}, "action_id": "a"}
    bad: list[dict[str, Any]] = [
        {"blocks": [section("x")]},
        {"text": "x" * 4001},
        {"text": "x", "blocks": [section("x")] * 51},
        {"text": "x", "blocks": [section("x" * 3001)]},
        {"text": "x", "blocks": [section("x", block_id="b"), section("y", block_id="b")]},
        {"text": "x", "blocks": [section("x", colour="red")]},
        {"text": "x", "blocks": [section("x") for _ in range(9)], "parse": "full"},
        {"text": "x", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
        {"text": "x", "blocks": [{"type": "actions", "elements": [button]}]},
        {"text": "x", "blocks": [{"type": "context", "elements": [button]}]},
        *({"text": text} for text in ("<!x>", "a & b", "*a", "`a", "&lt", "a\u202eb", "_a b")),
    ]
    assert [one for one in bad if not faults_of(one)] == []
