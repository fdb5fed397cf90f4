"""PagerDuty's Events API v2. An incident has one key there, so that a repeat changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError, Posted, web
from alerts.escalation import ESCALATION, REPEAT
from alerts.markup import plain
from alerts.messages import Message, page_of

URL = "https://events.pagerduty.com/v2/enqueue"
_SUMMARY, _DETAIL, _ADDRESS = 1024, 500, 2000
_ACTIONS = {
    "opened": "trigger",
    "reopened": "trigger",
    "severity_up": "trigger",
    "acknowledged": "acknowledge",
    "resolved": "resolve",
    "withdrawn": "resolve",
}
_DETAILS = (
    "rule", "metric", "labels", "value", "low", "high", "baseline", "threshold", "unit", "n",
    "window", "since", "windows", "owner", "first_step", "incident",
)  # fmt: skip


class PagerDutyChannel:
    """Trigger, acknowledge and resolve.

    Args:
        key: the integration's routing key.
        least: incidents below this severity are not told.
        url: of the Events API; tests point it at a server of their own.
    """

    def __init__(self, key: str, least: str = "critical", url: str = "") -> None:
        self._key, self._least = key, least
        self._url, self._private = url or URL, bool(url)

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        for event in events_of(message, self._least):
            self._send(event)
        return Posted("pagerduty", key)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """It need not be asked: the same key again is the same incident."""
        return None

    def verify(self) -> str:
        """Resolve an incident that never was: it changes nothing, and a wrong key is refused."""
        self._send({"event_action": "resolve", "dedup_key": "tidegauge:check"})
        return "takes the key"

    def _send(self, event: Mapping[str, Any]) -> None:
        body = json.dumps({**event, "routing_key": self._key}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            answer = web.post(self._url, body, headers, private=self._private)
        except AmbiguousError as error:
            raise NotSentError(error.code) from None  # a repeat is harmless: do not wait and look
        if answer.status != 202:
            raise MisconfiguredError(f"http_{answer.status}")


def events_of(message: Message, least: str) -> Iterator[dict[str, Any]]:
    """An event for each incident that the message names and that is grave enough. Pure."""
    facts = message.facts
    action = _ACTIONS.get(str(facts.get("transition", "opened")))
    if action is None or message.kind not in ("root", "thread", "digest", ESCALATION, REPEAT):
        return
    if message.kind == ESCALATION:
        least = "warning"  # who is called because nobody came is called for anything
    if action != "trigger":
        # Of one that was never triggered PagerDuty makes nothing.
        for subject in facts["members"]:
            yield {"event_action": action, "dedup_key": f"tidegauge:{subject}"}
        return
    for one in _named(facts):
        if least == "warning" or one["severity"] == "critical":
            subject = f"{one['fingerprint']}:{one['generation']}"
            described = _described(one, facts)
            yield {"event_action": action, "dedup_key": f"tidegauge:{subject}", **described}


def _named(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The incidents that a message describes: one, as `alerts.paging` makes it."""
    return list(facts["incidents"] if "incidents" in facts else [facts, *facts.get("also", ())])


def _described(one: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    feature = one["labels"].get("feature", "")
    title = plain(f"{one['title']}" + (f" ({feature})" if feature else ""))
    details = {key: _short(one[key]) for key in _DETAILS if one.get(key) not in (None, "")}
    event: dict[str, Any] = {
        "client": "Tidegauge",
        "payload": {
            "summary": f"{title} [{plain(one['window'])}]"[:_SUMMARY],
            "source": plain(one["source"])[:_DETAIL] or "tidegauge",
            "severity": one["severity"],
            "timestamp": one["window_end"],
            "component": plain(feature)[:_DETAIL],
            "class": plain(one["metric"])[:_DETAIL],
            "custom_details": details,
        },
    }
    if facts.get("page"):
        event["client_url"] = page_of(facts["page"], one["incident"])[:_ADDRESS]
    if str(one.get("runbook", "")).startswith(("https://", "http://")):
        event["links"] = [{"href": str(one["runbook"])[:_ADDRESS], "text": "runbook"}]
    return event


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {plain(key)[:_DETAIL]: _short(inner) for key, inner in list(value.items())[:30]}
    return plain(value)[:_DETAIL] if isinstance(value, str) else value
