"""The tables of the configuration that say what is told, and where; checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alerts.outbox import PAGER
from alerts.routes import DAYS, Day, Route
from alerts.rules import Rule
from alerts.silences import matcher
from sql.errors import ConfigurationError

_T = TypeVar("_T", bound=BaseModel)
_MENTION = r"^([USW][A-Z0-9]{2,20})?$"
EVERYONE = "everyone"
_Presser = Annotated[str, Field(pattern=rf"^({EVERYONE}|[USW][A-Z0-9]{{2,20}})$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleTable(_Table):
    """One ``[[rules]]``; see `alerts.rules.Rule` for what each key means."""

    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[a-z0-9_.-]+$")]
    metric: Annotated[str, Field(min_length=1)]
    decision: Literal["threshold", "interval", "sequential", "test", "fact", "no_data"]
    was: tuple[str, ...] = ()
    match: dict[str, str] = Field(default_factory=dict)
    direction: Literal["below", "above", "both"] = "both"
    severity: Literal["warning", "critical"] = "warning"
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    ratio: Annotated[float, Field(ge=0)] = 0.0
    threshold: float | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.001
    minimum_n: Annotated[int, Field(ge=1)] = 1
    consecutive: Annotated[int, Field(ge=0, le=30)] = 0
    clear_after: Annotated[int, Field(ge=1, le=30)] = 2
    false_alarms_per_year: Annotated[float, Field(gt=0, le=52)] = 0.05
    critical_tolerance: Annotated[float, Field(ge=0)] = 0.0
    critical_ratio: Annotated[float, Field(ge=0)] = 0.0
    critical_after: Annotated[int, Field(ge=0, le=365)] = 0
    title: str = ""
    owner: str = ""
    channel: str = ""
    runbook: str = ""
    first_step: str = ""
    inhibits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_fire(self) -> RuleTable:
        if self.decision == "threshold" and self.threshold is None:
            raise ValueError("a threshold decision needs `threshold`")
        if self.decision == "threshold" and self.direction == "both":
            raise ValueError("a threshold decision needs direction below or above")
        if self.decision == "sequential" and self.direction == "both":
            raise ValueError("a sequential decision needs direction below or above")
        sized = self.critical_tolerance or self.critical_ratio
        if self.severity == "critical" and (sized or self.critical_after):
            raise ValueError("it is critical already: only a warning can become so")
        if sized and self.decision in ("fact", "no_data"):
            raise ValueError("what has no size has no critical_tolerance or critical_ratio")
        return self


class AlertsTable(_Table):
    """``[alerts]``: how much is said, and how late."""

    source: str = Field("log", description="stands in messages and group keys")
    notify_horizon: Annotated[int, Field(ge=1)] = Field(
        3, description="older windows change state without a message"
    )
    reopen_windows: Annotated[int, Field(ge=0)] = Field(
        3, description="a breach this soon after a resolve reopens the same incident"
    )
    max_posts_per_run: Annotated[int, Field(ge=1, le=50)] = Field(
        10, description="more new incidents in one run become one digest"
    )
    file: str = Field(
        "reports/alerts.jsonl", description="where the file sink writes; - is the standard output"
    )
    fallback: str = Field(
        "",
        description="what opens an incident is told here too while its own place refuses it: "
        "a wrong token, an archived channel",
    )
    alive: bool = Field(True, description="a sign of life each week, so that silence means health")
    deadline_hours: Annotated[float, Field(gt=0, le=168)] | None = Field(
        None,
        description="a day's run in Airflow that is not done so long after it was queued "
        "counts as missed; empty: only what the relay misses hours later",
    )
    page: str = Field(
        "", description="address of Airflow's incidents page; a message links its incident's below"
    )


class SlackTable(_Table):
    """``[slack]``; the token comes from SLACK_BOT_TOKEN or the connection `slack_alerts`."""

    channel: str = Field(
        "",
        description="channel id; empty: the file sink alone; webhook: an incoming webhook, "
        "SLACK_WEBHOOK_URL, which can neither thread nor look before it repeats",
    )
    charts: bool = Field(True, description="a picture of the series in each incident's thread")
    buttons: bool = Field(
        False, description="look after, silence, false alarm; needs `tidegauge slack listen`"
    )
    may_press: tuple[_Presser, ...] = Field(
        (),
        description="ids of users (U…) and user groups (S…); everyone: whoever reads the channel; "
        "empty: nobody, and there is no listening",
    )


class PagerDutyTable(_Table):
    """``[pagerduty]``: incidents are paged as well; the key comes from PAGERDUTY_ROUTING_KEY."""

    severity: Literal["warning", "critical"] = Field("critical", description="page from here on")


class WebhookTable(_Table):
    """``[webhooks.<name>]``: told as well, signed with TIDEGAUGE_WEBHOOK_SECRET."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    severity: Literal["warning", "critical"] = Field("warning", description="tell from here on")
    private: bool = Field(
        False, description="the address may be within your own network, and plain http"
    )


class RouteTable(_Table):
    """One ``[[routes]]``: the first that fits an incident says where it is told."""

    match: tuple[str, ...] = Field((), description="as of a silence: feature=answer, rule=~cost.*")
    days: tuple[Day, ...] = DAYS
    begins: time = Field(time(0), description="by the suite's timezone")
    ends: time = Field(time(0), description="before or at begins: on the next day")
    channel: str = Field("", description="empty: [slack] channel")
    mention: Annotated[str, Field(pattern=_MENTION)] = Field(
        "", description="id of a user (U…) or user group (S…) that is called"
    )
    escalate_after_minutes: Annotated[int, Field(ge=5, le=10_080)] | None = None
    escalate_channel: str = Field("", description="empty: below the message")
    escalate_mention: Annotated[str, Field(pattern=_MENTION)] = ""
    repeat_after_hours: Annotated[float, Field(ge=1, le=720)] | None = None

    def route(self, zone: str) -> Route:
        minutes, hours = self.escalate_after_minutes, self.repeat_after_hours
        return Route(
            tuple(matcher(text) for text in self.match),
            self.days,
            self.begins,
            self.ends,
            zone,
            self.channel,
            self.mention,
            None if minutes is None else timedelta(minutes=minutes),
            self.escalate_channel,
            self.escalate_mention,
            None if hours is None else timedelta(hours=hours),
        )


@dataclass(frozen=True, slots=True)
class AlertConfiguration:
    """What the alerting is told to do."""

    rules: tuple[Rule, ...]
    alerts: AlertsTable
    slack: SlackTable
    pagerduty: PagerDutyTable | None = None
    webhooks: Mapping[str, WebhookTable] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    @property
    def channel(self) -> str:
        """Where messages go unless a rule says otherwise."""
        return f"slack:{self.slack.channel}" if self.slack.channel else "file"


def parse(
    rules: Sequence[Mapping[str, Any]],
    alerts: Mapping[str, Any],
    slack: Mapping[str, Any],
    pagerduty: Mapping[str, Any] | None = None,
    webhooks: Mapping[str, Mapping[str, Any]] | None = None,
    routes: Sequence[Mapping[str, Any]] = (),
    zone: str = "UTC",
) -> AlertConfiguration:
    """Check the tables.

    Raises:
        ConfigurationError: a key or value is not allowed, or two rules share a name.
    """
    made: list[Rule] = []
    for number, raw in enumerate(rules, 1):
        where = f"[[rules]] {raw.get('name', f'number {number}')}"
        table = _checked(RuleTable, raw, where)
        if any(rule.name == table.name for rule in made):
            raise ConfigurationError("two rules have this name", where=where, mend="rename one")
        made.append(Rule(**table.model_dump()))
    names = {rule.name for rule in made}
    taken = [*names, *(name for rule in made for name in rule.was)]
    for rule in made:
        for name in rule.was:
            if taken.count(name) > 1:
                raise ConfigurationError(
                    f"was: {name!r} is, or was, another rule", where=f"[[rules]] {rule.name}"
                )
    for rule in made:
        for other in rule.inhibits:
            if other not in names:
                raise ConfigurationError(
                    f"inhibits: there is no rule {other!r}", where=f"[[rules]] {rule.name}"
                )
    told = _checked(AlertsTable, alerts, "[alerts]")
    _known_place(told.fallback, webhooks or {}, "[alerts] fallback")
    if told.fallback == PAGER:
        raise ConfigurationError(
            "the fallback is a place that people read", where="[alerts] fallback",
            mend="PagerDuty is told of what is critical anyway: write a table [pagerduty]",
        )  # fmt: skip
    for rule in made:
        _known_place(rule.channel, webhooks or {}, f"[[rules]] {rule.name}")
    return AlertConfiguration(
        tuple(made),
        told,
        _checked(SlackTable, slack, "[slack]"),
        None if pagerduty is None else _checked(PagerDutyTable, pagerduty, "[pagerduty]"),
        {
            name: _checked(WebhookTable, table, f"[webhooks.{name}]")
            for name, table in (webhooks or {}).items()
        },
        tuple(_route(raw, number, webhooks or {}, zone) for number, raw in enumerate(routes, 1)),
    )


def _route(raw: Mapping[str, Any], number: int, webhooks: Mapping[str, Any], zone: str) -> Route:
    where = f"[[routes]] number {number}"
    table = _checked(RouteTable, raw, where)
    for channel in (table.channel, table.escalate_channel):
        _known_place(channel, webhooks, where)
    return table.route(zone)


def _known_place(channel: str, webhooks: Mapping[str, Any], where: str) -> None:
    """Is it a channel that exists?"""
    kind, _, name = channel.partition(":")
    known = re.fullmatch(r"|file|pagerduty|slack:([A-Z0-9]+|webhook)", channel)
    if not known and not (kind == "webhook" and name in webhooks):
        raise ConfigurationError(
            f"channel: there is no place {channel!r}",
            where=where,
            mend="file, slack:<channel id>, slack:webhook, pagerduty or webhook:<name of a table>",
        )


def _checked(model: type[_T], raw: Mapping[str, Any], where: str) -> _T:
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A misspelt key is also a missing one: the misspelling is what helps.
        first = min(found, key=lambda one: one["type"] != "extra_forbidden")
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, list(model.model_fields), 1)
            raise ConfigurationError(
                f"there is no key {key!r}",
                where=where,
                mend=f"did you mean {near[0]!r}?" if near else "see the default tidegauge.toml",
            ) from None
        if first["type"] == "missing":
            raise ConfigurationError(
                f"the key {key!r} is missing", where=where, mend=f"add {key} = …"
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"{key}: {message}" if key else message,
            where=where,
            mend="see the comments in the default tidegauge.toml",
        ) from None
