"""The README's pictures of Slack, drawn from real blocks: ``python -m tests.pictures_slack``.

A fortnight of a small product is measured, judged and told; the fake Slack of the tests keeps what
it was sent, and a page in Slack's look shows it. No workspace is needed, and none is shown.
"""

from __future__ import annotations

import base64
import copy
import html
import re
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from alerts.channels.slack import SlackChannel
from alerts.configuration import parse
from alerts.evaluate import evaluate
from alerts.relay import deliver
from sql.measurement import Measurement
from sql.store import Store
from sql.window import Grain, Window
from tests.browser import browser
from tests.slack_kit import fake_slack

PICTURES = Path(__file__).resolve().parent.parent / ".github" / "pictures"
FIRST = Window.of(date(2026, 6, 1), Grain.DAY)
_RULES: list[dict[str, Any]] = [
    {
        "name": "safety_pii", "metric": "safety.pass_rate", "decision": "interval",
        "match": {"scorer": "pii", "feature": "*"}, "direction": "below", "severity": "critical",
        "tolerance": 0.005, "owner": "safety on call", "title": "Answers leak personal data",
        "first_step": "Open the evidence, read three rows and decide whether the prompt goes back.",
        "runbook": "https://wiki.example/runbooks/pii",
    },
    {
        "name": "latency", "metric": "operations.latency_p90", "decision": "interval",
        "match": {"feature": "*"}, "direction": "above", "ratio": 0.2, "consecutive": 1,
        "title": "Answers are slow",
    },
]  # fmt: skip
_STYLE = """
body { margin: 0; background: #fff; font: 15px/1.46 Lato, "Helvetica Neue", Arial, "DejaVu Sans",
  "Noto Color Emoji", sans-serif; color: #1d1c1d; width: 760px }
main { padding: 14px 20px }
.post { display: grid; grid-template-columns: 36px 1fr; gap: 10px; padding: 8px 0 }
.face { width: 36px; height: 36px; border-radius: 6px; background: #0b4f6c; color: #fff;
  display: grid; place-items: center; font-weight: 700 }
.name b { font-weight: 900 } .name i { font: 10px/1 sans-serif; background: #e8e8e8;
  border-radius: 2px; padding: 2px 3px; color: #616061 }
.name span { color: #616061; font-size: 12px }
h1 { font-size: 18px; line-height: 1.3; margin: 4px 0 8px }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; margin: 6px 0 }
.section { margin: 6px 0; overflow-wrap: anywhere }
.context { color: #616061; font-size: 13px; margin: 6px 0 }
.actions { display: flex; gap: 8px; margin: 8px 0 }
.actions span { border: 1px solid #bbb; border-radius: 4px; padding: 4px 12px; font-weight: 700 }
code { font: 12px/1.5 Monaco, Menlo, "DejaVu Sans Mono", monospace; color: #c01343;
  background: #f6f6f6;
  border: 1px solid #ddd; border-radius: 3px; padding: 1px 3px }
a { color: #1264a3; text-decoration: none }
svg { vertical-align: -2px }
img { max-width: 560px; border: 1px solid #ddd; border-radius: 8px; display: block; margin: 6px 0 }
.thread { border-top: 1px solid #ddd; color: #616061; font-size: 13px; margin: 8px 0 0 46px }
"""


def _published(store: Store, number: int, pass_rate: float, slow: int) -> None:
    """One day's measurements, judged; ``slow`` features are slow."""
    window = FIRST.shift(number)
    leaks = [
        Measurement(
            monitor="safety", metric="safety.pass_rate", window=window, n=1874,
            labels={"scorer": "pii", "feature": feature}, value=rate, low=rate - 0.006,
            high=min(rate + 0.004, 1.0), baseline=0.998,
        )
        for feature, rate in (("support answers", pass_rate), ("drafts", 0.998))
    ]  # fmt: skip
    times = [
        Measurement(
            monitor="operations", metric="operations.latency_p90", window=window, n=640,
            labels={"feature": f"feature {place:02d}"}, value=ms, low=ms - 60, high=ms + 60,
            baseline=1200.0, unit="ms",
        )
        for place in range(24)
        for ms in [1900.0 + 10 * place if place < slow else 1210.0]
    ]  # fmt: skip
    with store.begin() as connection:
        store.publish(connection, "safety", window, leaks)
        store.publish(connection, "operations", window, times)
    now = window.end + timedelta(hours=2)
    alerting = parse(_RULES, {"source": "log"}, {"channel": "C1"})
    for name in ("safety", "operations"):
        evaluate(store, alerting, window, [name], now=now)


def posts() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the channel shows on the day an incident opens, and after the fortnight."""
    opened: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, fake_slack() as (url, server):
        store = Store.open(f"sqlite:///{folder}/store.db")
        channel = {"slack:C1": SlackChannel("xoxb", "C1", url)}
        for number in range(14):
            leaking = 6 <= number <= 9
            _published(store, number, 0.981 if leaking else 0.998, 24 if number == 13 else 0)
            now = FIRST.shift(number).end + timedelta(hours=2)
            deliver(store, channel, now=lambda at=now: at, pause=lambda _s: None)  # type: ignore[misc]
            if leaking and not opened:
                opened = copy.deepcopy(server.messages)
        store.close()
        return opened, list(server.messages)


def _words(text: str) -> str:
    """Slack's markup as HTML; what it escaped stays escaped."""

    def span(part: str) -> str:
        part = re.sub(r"<(https?://[^|>]+)\|([^>]+)>", r'<a href="\1">\2</a>', part)
        part = re.sub(r"(?:(?<=\W)|^)\*([^*\n]+)\*(?=\W|$)", r"<b>\1</b>", part)
        return part.replace("\n", "<br>")

    pieces = re.split(r"`([^`]+)`", text)
    return "".join(
        f"<code>{piece}</code>" if place % 2 else span(piece) for place, piece in enumerate(pieces)
    )


# Machines without letters for these get drawings.
_DRAWN = {
    "🔴": '<svg width="16" height="16"><circle cx="8" cy="8" r="7" fill="#dd2e44"/></svg>',
    "🟠": '<svg width="16" height="16"><circle cx="8" cy="8" r="7" fill="#f4900c"/></svg>',
    "✅": '<svg width="16" height="16"><rect width="16" height="16" rx="3" fill="#77b255"/>'
    '<path d="M4 8l3 3 5-6" stroke="#fff" stroke-width="2" fill="none"/></svg>',
}


def _drawn(text: str) -> str:
    for letter, drawing in _DRAWN.items():
        text = text.replace(letter, drawing)
    return text


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "header":
            return f"<h1>{block['text']['text']}</h1>"
        case "section" if "fields" in block:
            cells = "".join(f"<div>{_words(one['text'])}</div>" for one in block["fields"])
            return f'<div class="fields">{cells}</div>'
        case "section":
            return f'<div class="section">{_words(block["text"]["text"])}</div>'
        case "context":
            inner = " ".join(_words(one["text"]) for one in block["elements"])
            return f'<div class="context">{inner}</div>'
        case "actions":
            inner = "".join(f"<span>{one['text']['text']}</span>" for one in block["elements"])
            return f'<div class="actions">{inner}</div>'
    raise ValueError(block["type"])


def _post(message: dict[str, Any], at: datetime) -> str:
    body = "".join(_block(block) for block in message.get("blocks") or [])
    for file in message.get("files") or []:
        data = base64.b64encode(file["bytes"]).decode()
        body += f'{html.escape(file["title"])}<img src="data:image/png;base64,{data}">'
    who = f'<div class="name"><b>Tidegauge</b> <i>APP</i> <span>{at:%H:%M}</span></div>'
    return f'<div class="post"><div class="face">T</div><div>{who}{body}</div></div>'


def page(root: dict[str, Any], replies: list[dict[str, Any]]) -> str:
    """A root and its thread as one page."""
    at = datetime(2026, 6, 8, 2, 5, tzinfo=UTC)
    body = _post(root, at)
    if replies:
        body += f'<div class="thread">{len(replies)} repl{"ies" if len(replies) > 1 else "y"}</div>'
        body += "".join(_post(one, at + timedelta(minutes=1)) for one in replies)
    return f'<meta charset="utf-8"><style>{_STYLE}</style><main>{_drawn(body)}</main>'


def main() -> None:
    """Take the three: an incident opens, it ends in its thread, many at once are a digest."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    then, now = posts()
    over, *_, digest = [one for one in now if not one.get("thread_ts")]
    answers = [one for one in now if one.get("thread_ts") == over["ts"] and not one.get("files")]
    wanted = {
        "slack-open": page(then[0], then[1:]),
        "slack-resolved": page(over, answers),
        "slack-digest": page(digest, []),
    }
    with browser(800, 400) as tab, tempfile.TemporaryDirectory() as folder:
        for name, text in wanted.items():
            source = Path(folder) / f"{name}.html"
            source.write_text(text, encoding="utf-8")
            tab.size(800, 400)
            tab.open(source.as_uri())
            tab.size(800, int(tab.run("document.querySelector('main').offsetHeight")))
            picture = tab.picture(PICTURES / f"{name}.png")
            Image.open(picture).convert("RGB").quantize(96).save(picture, optimize=True)
            print(f"{picture.name}\t{picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
