"""``tidegauge metrics``: what is measured, in which unit, and which rules look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from alerts.configuration import AlertConfiguration, parse
from alerts.rules import Rule
from monitors import terminal
from monitors.catalogue import Metric, metrics
from monitors.commands.options import Config, Json
from monitors.settings import load_settings


def show(
    config: Config = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option(help="As a Markdown table.")] = False,
) -> None:
    """Every metric with its unit, labels and monitor, and the rules that watch it."""
    rules = rules_of(config)
    if as_json:
        for each in metrics():
            body = {**asdict(each), "rules": [rule.name for rule in watching(each, rules)]}
            typer.echo(json.dumps(body))
    elif markdown:
        typer.echo("\n".join(as_markdown(rules)))
    else:
        table = Table("metric", "unit", "labels", "rules", "meaning", box=None)
        for each in metrics():
            names = ", ".join(rule.name for rule in watching(each, rules))
            table.add_row(each.name, each.unit, _labels(each), names, each.meaning)
        terminal.out.print(table)


def rules_of(config: Path | None) -> AlertConfiguration:
    """The rules of a configuration file; no store is opened for it."""
    settings = load_settings(config)
    return parse(settings.rules, settings.alerts, settings.slack)


def watching(metric: Metric, rules: AlertConfiguration) -> list[Rule]:
    """The rules over a metric, in the order of the configuration."""
    return [rule for rule in rules.rules if rule.metric == metric.name]


def as_markdown(rules: AlertConfiguration) -> Iterator[str]:
    """The reference, line by line."""
    yield "# Metrics"
    yield ""
    yield "Made by `tidegauge metrics --markdown`. Labels in brackets: none or one of them."
    yield ""
    yield "| metric | unit | labels | monitor | meaning | default rules |"
    yield "|---|---|---|---|---|---|"
    for each in metrics():
        names = ", ".join(f"`{rule.name}`" for rule in watching(each, rules))
        meaning = f"{each.meaning} (needs {each.when})" if each.when else each.meaning
        yield (
            f"| `{each.name}` | {each.unit} | {_labels(each)} | {each.monitor} | {meaning} "
            f"| {names} |"
        )


def _labels(metric: Metric) -> str:
    slices = f"[{', '.join(metric.slices)}]" if metric.slices else ""
    return " ".join(part for part in (", ".join(metric.labels), slices) if part)
