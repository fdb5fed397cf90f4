"""The reference of metrics is that of the code, of the rules and of the committed page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from monitors.catalogue import metrics
from monitors.commands.metrics import as_markdown, rules_of
from tests.conftest import ROOT

_FOLDERS = ("intake", "safety", "correctness", "usefulness", "delight", "quality", "evaluation")
_FOLDERS += ("operations", "comparison", "provider", "drift", "review")
_NAME = re.compile(rf"(?:{'|'.join(_FOLDERS)})(?:\.[a-z_0-9]+)+")


def named_in_the_code() -> Iterator[tuple[str, str]]:
    """(file, metric) of the texts that are metric names, docstrings aside."""
    for file in sorted((ROOT / "monitors").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and _NAME.fullmatch(str(node.value)):
                yield file.name, str(node.value)


def test_every_metric_that_the_code_names_is_listed() -> None:
    listed = {metric.name for metric in metrics()}
    # The code puts "_p90" to the stem of a quantile.
    stems = {re.sub(r"_p\d+$", "", name) for name in listed}
    unknown = {(file, name) for file, name in named_in_the_code() if name not in listed | stems}
    assert not unknown, "add them to monitors/catalogue.py"


def test_every_default_rule_watches_a_metric_with_labels_that_it_can_have() -> None:
    listed = {metric.name: metric for metric in metrics()}
    for rule in rules_of(ROOT / "tidegauge.toml").rules:
        assert rule.metric in listed, f"rule {rule.name}: no monitor publishes {rule.metric}"
        assert listed[rule.metric].allows(tuple(rule.match)), f"rule {rule.name}: its labels"


def test_names_are_unique_and_say_what_they_are() -> None:
    names = [metric.name for metric in metrics()]
    assert len(names) == len(set(names)) > 60
    assert all(metric.meaning and metric.unit and metric.monitor for metric in metrics())


def test_the_committed_page_is_what_the_command_prints() -> None:
    made = "\n".join(as_markdown(rules_of(ROOT / "tidegauge.toml"))) + "\n"
    assert (ROOT / "monitors" / "METRICS.md").read_text(encoding="utf-8") == made, (
        "run: tidegauge metrics --markdown > monitors/METRICS.md"
    )
