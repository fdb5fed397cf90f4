"""Who may press the buttons below a message: the people and user groups that are configured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError
from alerts.channels.slack import SlackChannel
from alerts.configuration import EVERYONE, SlackTable
from sql.errors import ConfigurationError

log = logging.getLogger("tidegauge")
# A user group's members are asked for again after so long.
FRESH = timedelta(minutes=10)


class Permission:
    """Is it one of them? A group's members are known for a while, and then asked for anew.

    Args:
        may_press: user ids (U…, W…), user-group ids (S…), or `EVERYONE`.
        members: a group's id → the ids of its members.

    Raises:
        ConfigurationError: nobody is named, or a group's members cannot be read.
    """

    def __init__(
        self,
        may_press: Sequence[str],
        members: Callable[[str], set[str]],
        clock: Callable[[], datetime],
    ) -> None:
        if not may_press:
            raise ConfigurationError(
                "nobody may press the buttons",
                where="[slack] may_press",
                mend='name users (U…) and user groups (S…), or write ["everyone"]: whoever can '
                "read the channel, guests and other companies' people in it too",
            )
        self._everyone = EVERYONE in may_press
        self._users = {name for name in may_press if not name.startswith("S")} - {EVERYONE}
        self._groups = sorted(name for name in may_press if name.startswith("S"))
        self._members, self._clock = members, clock
        self._known = {group: members(group) for group in self._groups}
        self._asked = clock()

    def allows(self, user: str) -> bool:
        """May this user press? When Slack does not answer, what was known goes on."""
        if self._everyone or user in self._users:
            return True
        if self._groups and self._clock() - self._asked > FRESH:
            try:
                self._known = {group: self._members(group) for group in self._groups}
                self._asked = self._clock()
            except ConfigurationError as error:
                log.warning("who is in the group is not known anew: %s", error.what)
        return any(user in members for members in self._known.values())

    def __str__(self) -> str:
        if self._everyone:
            return "everyone in the channel may press"
        grouped = [f"{len(self._known[one])} of {one}" for one in self._groups]
        named = [f"{len(self._users)} named"] if self._users else []
        return f"{' and '.join([*named, *grouped])} may press"


def permission(
    table: SlackTable, token: str, base_url: str | None, clock: Callable[[], datetime]
) -> Permission:
    """As configured, with Slack asked for the members of groups.

    Raises:
        ConfigurationError: see `Permission`.
    """
    slack = SlackChannel(token, table.channel, base_url)
    return Permission(table.may_press, lambda group: _members(slack, group), clock)


def _members(slack: SlackChannel, group: str) -> set[str]:
    try:
        answer: Any = slack.call("usergroups_users_list", {"usergroup": group})
    except (NotSentError, AmbiguousError, MisconfiguredError) as error:
        raise ConfigurationError(
            f"the members of {group} cannot be read ({error.code})",
            where="[slack] may_press",
            mend="give the bot the scope usergroups:read, check the group's id, or name users",
        ) from None
    return {str(user) for user in answer.get("users") or ()}
