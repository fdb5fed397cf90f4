"""From the names in the configuration to open channels. Secrets come from the environment alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alerts.channels import Channel
from alerts.channels.file import FileChannel, StandardOutput
from alerts.channels.pagerduty import PagerDutyChannel
from alerts.channels.slack import SlackChannel
from alerts.channels.slack_webhook import SlackWebhookChannel
from alerts.channels.webhook import WebhookChannel
from alerts.configuration import AlertConfiguration
from alerts.outbox import PAGER
from alerts.routing import copies

TOKEN, BASE_URL = "SLACK_BOT_TOKEN", "SLACK_API_URL"
INCOMING = "SLACK_WEBHOOK_URL"
ROUTING_KEY, PAGERDUTY_URL = "PAGERDUTY_ROUTING_KEY", "PAGERDUTY_API_URL"
SECRET = "TIDEGAUGE_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable


def wanted_channels(configuration: AlertConfiguration) -> list[str]:
    """The names of all places that the configuration tells something."""
    rules = {rule.channel for rule in configuration.rules} - {""}
    routes = {
        name for one in configuration.routes for name in (one.channel, one.escalate_channel)
    } - {""}
    paged = {PAGER} if configuration.pagerduty is not None else set()
    fallback = {configuration.alerts.fallback} - {""}
    own = {"file", configuration.channel, *copies(configuration), *fallback}
    return sorted({*own, *rules, *routes, *paged})


def secret_of(name: str) -> str:
    """The environment variable without which a channel stays shut; empty where there is none."""
    if name == "slack:webhook":
        return INCOMING
    kind = name.partition(":")[0]
    return {"slack": TOKEN, "pagerduty": ROUTING_KEY, "webhook": SECRET}.get(kind, "")


def open_channels(
    configuration: AlertConfiguration, file: Path, environment: Mapping[str, str]
) -> dict[str, Channel]:
    """The file always, and each channel that the configuration names, if its secret is there.

    Args:
        file: where the file sink writes; ``-`` is the standard output.
        environment: holds the secrets (see `secret_of`) and, for a gateway or a test, the addresses
            of Slack's Web API (``SLACK_API_URL``) and PagerDuty's (``PAGERDUTY_API_URL``).

    Returns:
        channels by the name that messages carry; without its secret a channel's messages wait.
    """
    channels: dict[str, Channel] = {
        "file": StandardOutput() if configuration.alerts.file == "-" else FileChannel(file)
    }
    for name in wanted_channels(configuration):
        secret = environment.get(secret_of(name), "")
        if secret:
            channels[name] = _open(name, secret, configuration, environment)
    return channels


def _open(
    name: str, secret: str, configuration: AlertConfiguration, environment: Mapping[str, str]
) -> Channel:
    kind, _, place = name.partition(":")
    if name == "slack:webhook":
        return SlackWebhookChannel(secret)
    if kind == "slack":
        return SlackChannel(secret, place, environment.get(BASE_URL) or None)
    if kind == "webhook":
        table = configuration.webhooks[place]
        return WebhookChannel(name, table.url, secret, table.private)
    least = configuration.pagerduty.severity if configuration.pagerduty else "warning"
    return PagerDutyChannel(secret, least, environment.get(PAGERDUTY_URL, ""))
