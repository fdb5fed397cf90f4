"""From the names in the configuration to open channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alerts.channels import Channel
from alerts.channels.file import FileChannel
from alerts.channels.slack import SlackChannel
from alerts.configuration import AlertConfiguration

TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 - the name of the variable
BASE_URL = "SLACK_API_URL"
_SLACK = "slack:"


def open_channels(
    configuration: AlertConfiguration, file: Path, environment: Mapping[str, str]
) -> dict[str, Channel]:
    """The file always, and each Slack channel that the configuration names, if there is a token.

    Args:
        file: where the file sink writes.
        environment: holds the token (``SLACK_BOT_TOKEN``) and, for a gateway or a test, the Web
            API's address (``SLACK_API_URL``).

    Returns:
        channels by the name that messages carry; without a token Slack's messages wait.
    """
    channels: dict[str, Channel] = {"file": FileChannel(file)}
    token = environment.get(TOKEN, "")
    if not token:
        return channels
    wanted = {configuration.channel, *(rule.channel for rule in configuration.rules)}
    for name in sorted(wanted):
        if name.startswith(_SLACK):
            place = name.removeprefix(_SLACK)
            channels[name] = SlackChannel(token, place, environment.get(BASE_URL) or None)
    return channels
