"""A rule over measurements of the past: when would it have spoken, and how often is that a year?

The same `decide` and `fold` as in production, on what the monitors published; nothing is written.
Inhibition is left out, so the count is an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.incidents import Incident, Seen, fold
from alerts.rules import LOOKS_PER_YEAR, Rule, decide
from alerts.telling import Judged
from sql.measurement import Measurement

# The nominal chance that one healthy window's 95 % interval lies beyond on one side.
_BEYOND = 0.025


@dataclass(frozen=True, slots=True)
class Replayed:
    """One rule over one series.

    Args:
        labels: of the series.
        windows: how many there were.
        incidents: those that it would have opened, in their order.
    """

    labels: Mapping[str, str]
    windows: int
    years: float
    incidents: tuple[Incident, ...]


def replay(rule: Rule, items: Iterable[Measurement], *, reopen_windows: int = 3) -> list[Replayed]:
    """What the rule would have said of the measurements, series by series."""
    series: dict[str, list[Measurement]] = {}
    for item in items:
        if rule.takes(item.metric, item.labels):
            series.setdefault(f"{item.window.grain}/{item.labels_key}", []).append(item)
    found = []
    for key in sorted(series):
        mine = sorted(series[key], key=lambda item: item.window.start)
        seen, earlier = [], list[float | None]()
        for item in mine:
            decision = decide(rule, item, earlier)
            window = item.window
            said = Judged(rule, item, item.labels, decision)
            seen.append(
                Seen(window.start, window.ordinal, decision.verdict, said.severity, item.value)
            )
            earlier.append(item.evidence)
        folded = fold(rule, seen, reopen_windows=reopen_windows)
        years = len(mine) / LOOKS_PER_YEAR[mine[0].window.grain]
        found.append(Replayed(mine[0].labels, len(mine), years, tuple(folded)))
    return found


def stated(rule: Rule, replayed: Sequence[Replayed]) -> float | None:
    """False incidents a year that the rule's own levels allow, over all its series.

    None where it has no level: a fact, a bound, missing data.
    """
    total = 0.0
    for one in replayed:
        looks = one.windows / one.years if one.years else 0.0
        if rule.decision == "sequential":
            total += rule.false_alarms_per_year
        elif rule.decision == "test":
            total += rule.alpha * looks
        elif rule.decision == "interval":
            sides = 2 if rule.direction == "both" else 1
            total += sides * _BEYOND**rule.breaches_to_open * looks
        else:
            return None
    return total


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a rule cannot do what it is there for."""

    rule: str
    what: str
    mend: str


def complaints(
    rules: Sequence[Rule],
    known: Mapping[str, set[str]],
    measured: Mapping[str, Sequence[Mapping[str, str]]],
) -> list[Complaint]:
    """Rules that match nothing, can never speak, or say the same as another. Pure.

    Args:
        known: metric → all labels that its series can have (of the built-in monitors).
        measured: metric → the label sets that were ever published.
    """
    found = []
    first: dict[tuple[object, ...], str] = {}
    for rule in rules:
        labels = known.get(rule.metric)
        there = measured.get(rule.metric, ())
        if labels is None and not there:
            mend = "`tidegauge metrics` lists them"
            found.append(Complaint(rule.name, f"nobody publishes {rule.metric}", mend))
        elif labels is not None and not set(rule.match) <= labels and not there:
            odd = ", ".join(sorted(set(rule.match) - labels))
            found.append(Complaint(rule.name, f"{rule.metric} has no label {odd}", "correct match"))
        elif there and not any(rule.takes(rule.metric, each) for each in there):
            shown = " or ".join(sorted({", ".join(sorted(each)) or "no label" for each in there}))
            found.append(
                Complaint(
                    rule.name,
                    f"matches none of the {len(there)} series of {rule.metric}",
                    f"they have {shown}",
                )
            )
        if rule.decision == "threshold" and rule.threshold is None:
            found.append(Complaint(rule.name, "has no threshold, so 0 is it", "set threshold"))
        same = (
            rule.metric,
            tuple(sorted(rule.match.items())),
            rule.decision,
            rule.direction,
            rule.channel,
        )
        if same in first:
            what = f"watches the same as {first[same]}"
            found.append(Complaint(rule.name, what, "keep one of them"))
        first.setdefault(same, rule.name)
        for name in rule.inhibits:
            if name not in {each.name for each in rules}:
                found.append(Complaint(rule.name, f"inhibits {name}, which is no rule", "correct"))
    return found
