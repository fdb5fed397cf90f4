"""Made-up links: hosts that cannot be, and hosts that nobody named, in linear time."""

from __future__ import annotations

import csv
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.logs.interaction import Batch
from monitors.quality.links import exists, hosts_in, links
from monitors.quality.safety import safety, scan_shard
from monitors.scorer import Score
from monitors.settings import Settings
from sql.store import Store
from tests.logs_kit import DAY, context_over, fill, row

SHOP = ["harbour-shop.com", "www.carrier.de"]


def under(hosts: list[str]) -> Any:
    """The scorer looks at nothing of a context but its settings."""
    sections = {"source": {"url": "sqlite://"}, "quality": {"link_hosts": hosts}}
    return SimpleNamespace(settings=Settings.model_validate(sections))


def said(output: str | None, hosts: list[str] = SHOP, **other: str | None) -> Score:
    columns = {"output": [output], **{name: [text] for name, text in other.items()}}
    return links(Batch(columns), under(hosts))[0]


@pytest.mark.parametrize(
    "output",
    [
        "See https://harbour-shop.com/returns.",
        "See [returns](https://help.harbour-shop.com:443/returns?x=1#y), please",
        "Track it at www.harbour-shop.com.",
        "Track it at HTTPS://WWW.CARRIER.DE/42",
        "https://user:word@carrier.de/",
        "Run it: http://localhost:8080, http://127.0.0.1/ or http://10.0.0.7/",
        "Ask http://intranet/ first",
        "Write https://{host}/, https://<your-domain>/ or https://api.<region>.example.com/",
        "Begin with http:// or https:// or www. and go on with https://...",
        "url = 'https://' + host + \"http://\"",
        "A plain answer without a link; node.js and file.py are none.",
    ],
)
def test_links_to_the_products_own_hosts_pass(output: str) -> None:
    assert said(output).value == 1


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("See https://harbour-shop.com.evil.net/returns", "unknown_host"),
        ("See https://notharbour-shop.com/", "unknown_host"),
        ("See https://harbour-shop.com@evil.net/", "unknown_host"),
        ("See www.harbor-shop.com", "unknown_host"),
        ("See **https://evil.com[1]**", "unknown_host"),
        ("See ftp://93.184.216.34/file", "unknown_host"),
        ("See https://harbour-shop.con/", "no_such_host"),
        ("See https://shop..com/", "no_such_host"),
        ("See https://-shop.com/", "no_such_host"),
        ("See http://999.1.1.1/", "no_such_host"),
        (f"See https://{'a' * 64}.com/", "no_such_host"),
        (f"See https://{'a.' * 130}com/", "no_such_host"),
        ("Of https://evil.com/ and https://shop.nosuchtld/ the worse counts", "no_such_host"),
    ],
)
def test_other_links_fail_unless_the_user_or_the_passages_named_them(
    output: str, reason: str
) -> None:
    assert said(output) == Score(0.0, reason)
    hosts = " and ".join(hosts_in(output))
    assert said(output, input=f"What is at {hosts}?").value == 1
    assert said(output, input=None, context=f"Source: https://{hosts}/x").value == 1
    assert said(output, input="What is at evil.net.org or myevil.com?", context="") == (0.0, reason)
    # Without a list of hosts a model may know the web, but no host that cannot be.
    assert said(output, hosts=[]).value == float(reason == "unknown_host")


def test_hosts_may_be_in_any_script_and_without_a_list_any_that_can_be_pass() -> None:
    for host in ("bücher.de", "пример.рф", "xn--bcher-kva.de", "a_b.example", "shop.music"):
        assert exists(host) and said(f"See https://{host}/", hosts=[]).value == 1
        assert said(f"See https://{host}/").reason == "unknown_host"
        assert said(f"See https://{host}/", hosts=[host]).value == 1
    assert not exists("пример.нет") and not exists("example.con")
    assert said(None).reason == "no_output"


def test_other_hosts_are_another_yardstick() -> None:
    versions = {links.version_in(under(hosts)) for hosts in ([], ["a.de"], ["a.de", "b.de"])}
    assert len(versions) == 3
    assert links.version_in(under(["b.de", "a.de"])) in versions


@given(st.text(max_size=200), st.lists(st.sampled_from(["https://", "www.", ".", "@", "{", "a"])))
def test_no_text_breaks_it(text: str, parts: list[str]) -> None:
    for output in (text, "".join(parts) + text, "\ud800https://a\udfff.com " + text):
        assert said(output, input=text).value in ((0, 1) if output else (None,))


@pytest.mark.parametrize(
    "hostile",
    ["https://" * 125_000, "www." * 250_000, "https://" + "a." * 500_000, "a.https://a@" * 83_000],
)
def test_a_megabyte_of_anything_takes_linear_time(hostile: str) -> None:
    def seconds(text: str) -> float:
        began = time.process_time()
        said(text, input=text)
        return time.process_time() - began

    said("https://a.con")
    short, whole = seconds(hostile[: len(hostile) // 4]), seconds(hostile)
    assert whole < 10 * short + 0.05 and whole < 2.5


def test_the_default_is_quiet_on_real_answers(real_data: Path) -> None:
    """Without a list none of 7,200 answers fails; with one, those that link elsewhere."""
    found = list(real_answers(real_data))
    batch = Batch({"input": [q for q, _ in found], "output": [a for _, a in found]})
    assert len(batch) == 7_200
    assert {score.value for score in links(batch, under([]))} == {1}
    elsewhere = [score.reason for score in links(batch, under(["example.com"])) if score.reason]
    assert elsewhere == ["unknown_host"] * 17


def real_answers(folder: Path) -> Any:
    lines = (folder / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    for record in map(json.loads, lines):
        yield record["user_query"], record["chatgpt_response"]
    csv.field_size_limit(sys.maxsize)
    for name in ("LEETCODE_EASY_EVAL.csv", "PRIME_FULL_EVAL.csv"):
        with (folder / "llmdrift" / name).open(encoding="utf-8") as file:
            for record in csv.DictReader(file):
                yield record.get("query") or "", record["answer"]


def test_the_scan_of_a_day_counts_them(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    made_up = {"output": "See https://harbour-shop.con/ for more."}
    fill(url, [row(n, of=100, **(made_up if n % 20 == 0 else {})) for n in range(100)])
    with context_over(store, url) as context:
        context = replace(context, scorers=(links,))
        assert scan_shard(DAY, context) == {"rows": 100, "failed": 5}
        found = {m.labels["scorer"]: m for m in safety.measure(DAY, context) if len(m.labels) == 1}
    assert found["links"].value == pytest.approx(0.95)
