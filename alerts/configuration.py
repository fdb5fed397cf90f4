"""The tables ``[[rules]]``, ``[alerts]`` and ``[slack]`` of the configuration, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alerts.rules import Rule
from sql.errors import ConfigurationError

_T = TypeVar("_T", bound=BaseModel)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleTable(_Table):
    """One ``[[rules]]``; see `alerts.rules.Rule` for what each key means."""

    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[a-z0-9_.-]+$")]
    metric: Annotated[str, Field(min_length=1)]
    decision: Literal["threshold", "interval", "sequential", "test", "fact", "no_data"]
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
    file: str = Field("reports/alerts.jsonl", description="where the file sink writes")


class SlackTable(_Table):
    """``[slack]``; the token comes from SLACK_BOT_TOKEN or the connection `slack_alerts`."""

    channel: str = Field("", description="channel id; empty: the file sink alone")


@dataclass(frozen=True, slots=True)
class AlertConfiguration:
    """What the alerting is told to do."""

    rules: tuple[Rule, ...]
    alerts: AlertsTable
    slack: SlackTable

    @property
    def channel(self) -> str:
        """Where messages go unless a rule says otherwise."""
        return f"slack:{self.slack.channel}" if self.slack.channel else "file"


def parse(
    rules: Sequence[Mapping[str, Any]], alerts: Mapping[str, Any], slack: Mapping[str, Any]
) -> AlertConfiguration:
    """Check the three tables.

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
    for rule in made:
        for other in rule.inhibits:
            if other not in names:
                raise ConfigurationError(
                    f"inhibits: there is no rule {other!r}", where=f"[[rules]] {rule.name}"
                )
    return AlertConfiguration(
        tuple(made),
        _checked(AlertsTable, alerts, "[alerts]"),
        _checked(SlackTable, slack, "[slack]"),
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
