"""What an intent brings with it: a chart below it, copies for other places. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from alerts import charts
from alerts.configuration import AlertConfiguration
from alerts.outbox import PAGER, Intent, with_edit

_TOLD = ("root", "thread", "digest")


def routed(intents: Iterable[Intent], configuration: AlertConfiguration) -> list[Intent]:
    """The intents, dressed for their place, each with what follows from it."""
    return [out for intent in intents for out in _routed(intent, configuration)]


def _routed(intent: Intent, configuration: AlertConfiguration) -> Iterator[Intent]:
    slack = configuration.slack
    if intent.channel.startswith("slack:") and intent.kind == "root":
        dress: dict[str, Any] = {"page": configuration.alerts.page, "buttons": slack.buttons}
        yield replace(intent, facts={**intent.facts, **{k: v for k, v in dress.items() if v}})
        if slack.charts and intent.channel != "slack:webhook":
            names = ("fingerprint", "generation", "members", "about")
            which = {key: intent.facts[key] for key in names if key in intent.facts}
            yield replace(intent, kind=charts.KIND, facts=which)
    elif intent.kind == "thread":
        yield from with_edit(intent)
    else:
        yield intent
    if intent.kind in _TOLD:
        for name, least in copies(configuration).items():
            if name != intent.channel and _grave(intent.facts, least):
                yield replace(intent, channel=name)


def is_machine(channel: str) -> bool:
    """Does a program read there, which wants each event and no summary?"""
    return channel == PAGER or channel.startswith("webhook:")


def copies(configuration: AlertConfiguration) -> dict[str, str]:
    """The places that have a copy of what is told: name → the least severity.

    A pager has none: it is told of each incident alone (`alerts.paging`).
    """
    return {f"webhook:{name}": table.severity for name, table in configuration.webhooks.items()}


def _grave(facts: Mapping[str, Any], least: str) -> bool:
    severities = [facts.get("severity"), *(one["severity"] for one in facts.get("incidents", ()))]
    return least == "warning" or "critical" in severities
