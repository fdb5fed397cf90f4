"""A rule turns the measurements of one series into a verdict. Pure: no clock, no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from monitors.statistics.sequential import shiryaev_roberts
from monitors.statistics.sequential import threshold as sequential_threshold
from sql.measurement import Measurement, Status
from sql.types import canonical_json
from sql.window import Grain

_MOST = 1e6
LOOKS_PER_YEAR = {Grain.DAY: 365.25, Grain.WEEK: 52.18, Grain.MONTH: 12.0, Grain.QUARTER: 4.0}


class Verdict(StrEnum):
    """What one window says. Only ``BREACH`` opens and only ``CLEAR`` closes an incident."""

    BREACH = "breach"
    CLEAR = "clear"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a measurement is a reason to tell somebody.

    Args:
        name: unique; part of an incident's identity.
        was: the names it had before, the first first: its incidents go on under the new one.
        metric: whose measurements it reads.
        match: label → value, ``!value`` (anything else) or ``*`` (any value, must be there);
            a series with a label that is not named here is not the rule's.
        decision: ``threshold`` (interval wholly beyond an absolute bound), ``interval`` (interval
            wholly beyond the baseline by more than the tolerance), ``sequential`` (accumulated
            log e-values reach what the false-alarm budget allows), ``test`` (p-value at most
            ``alpha`` and effect at least the tolerance), ``fact`` (value 1), ``no_data``.
        direction: ``below``, ``above`` or ``both``.
        tolerance: in the metric's unit; ratio: share of the baseline; the larger one counts.
        consecutive: breaches in a row that open; 0 leaves it to `breaches_to_open`.
        clear_after: clear windows in a row that resolve.
        false_alarms_per_year: budget of one series under ``sequential``.
        critical_tolerance, critical_ratio: of a warning, how far beyond baseline or bound the whole
            interval must lie to be critical; as tolerance and ratio. It opens as a warning does.
        critical_after: breached windows after which a warning's incident is critical; 0: never.
        inhibits: rules whose incidents of the same window are muted while this one breaches.
    """

    name: str
    metric: str
    decision: str
    was: tuple[str, ...] = ()
    match: Mapping[str, str] = field(default_factory=dict)
    direction: str = "both"
    severity: str = "warning"
    tolerance: float = 0.0
    ratio: float = 0.0
    threshold: float | None = None
    alpha: float = 0.001
    minimum_n: int = 1
    consecutive: int = 0
    clear_after: int = 2
    false_alarms_per_year: float = 0.05
    critical_tolerance: float = 0.0
    critical_ratio: float = 0.0
    critical_after: int = 0
    title: str = ""
    owner: str = ""
    channel: str = ""
    runbook: str = ""
    first_step: str = ""
    inhibits: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What it was called first."""
        return self.was[0] if self.was else self.name

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical_json(asdict(self)).encode()).hexdigest()

    @property
    def breaches_to_open(self) -> int:
        """Windows in a row that must breach.

        A test or an interval speaks of its window alone, so that a warning waits for a second one.
        A sequential test has weighed all windows before it speaks, and starts anew; a fact is one.
        """
        alone = self.decision in ("threshold", "interval", "test")
        return self.consecutive or (2 if alone and self.severity == "warning" else 1)

    def takes(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Is this series the rule's?"""
        if metric != self.metric or set(labels) - set(self.match):
            return False
        return all(_fits(wanted, labels.get(key)) for key, wanted in self.match.items())

    def margin(self, baseline: float) -> float:
        return max(self.tolerance, self.ratio * abs(baseline))


# Rules about Tidegauge itself, which no configuration need name.
MONITOR_ERROR = Rule(
    name="monitor_error",
    metric="monitor.error",
    decision="fact",
    match={"monitor": "*"},
    consecutive=1,
    clear_after=1,
    title="A monitor could not measure",
    first_step="Read the task's log: it names the monitor, the kind of error and its place.",
)
MISSED_WINDOW = Rule(
    name="missed_window",
    metric="heart.missed_window",
    decision="fact",
    match={"job": "*"},
    severity="critical",
    consecutive=1,
    clear_after=1,
    title="A window was not measured",
    first_step="Look at the job's last run; `tidegauge check-heartbeat --fill 3` measures it now.",
)
BUILT_IN = (MONITOR_ERROR, MISSED_WINDOW)


def _fits(wanted: str, found: str | None) -> bool:
    if found is None:
        return False
    if wanted == "*":
        return True
    if wanted.startswith("!"):
        return found != wanted[1:]
    return found == wanted


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with what it rests on; ``reason`` is a code."""

    verdict: Verdict
    reason: str
    threshold: float | None = None
    evidence: float | None = None


def decide(
    rule: Rule, item: Measurement, earlier_evidence: Sequence[float | None] = ()
) -> Decision:
    """Judge one window of one series.

    Args:
        earlier_evidence: the series' log e-values before this window, oldest first; used by
            ``sequential`` only.
    """
    if item.status is Status.ERROR:
        return Decision(Verdict.ERROR, item.reason or "error")
    if rule.decision == "no_data":
        missing = item.status is Status.NO_DATA
        return Decision(Verdict.BREACH if missing else Verdict.CLEAR, item.reason or item.status)
    if item.status is Status.NO_DATA:
        return Decision(Verdict.NO_DATA, item.reason or "no_data")
    if item.status is Status.INSUFFICIENT or item.value is None or item.n < rule.minimum_n:
        return Decision(Verdict.INCONCLUSIVE, item.reason or "too_few")
    match rule.decision:
        case "fact":
            holds = item.value >= 1
            return Decision(Verdict.BREACH if holds else Verdict.CLEAR, "fact", 1.0)
        case "threshold":
            return _beyond(rule, item, rule.threshold or 0.0, 0.0)
        case "interval":
            if item.baseline is None:
                return Decision(Verdict.INCONCLUSIVE, "no_baseline")
            return _beyond(rule, item, item.baseline, rule.margin(item.baseline))
        case "test":
            return _test(rule, item)
        case _:
            return _sequential(rule, item, earlier_evidence)


def severity_of(rule: Rule, item: Measurement) -> str:
    """A breach's severity: the rule's, or critical where the effect is surely so large."""
    centre = (rule.threshold if rule.decision == "threshold" else item.baseline) or 0.0
    margin = max(rule.critical_tolerance, rule.critical_ratio * abs(centre))
    grave = margin > 0 and _beyond(rule, item, centre, margin).verdict is Verdict.BREACH
    return "critical" if grave else rule.severity


def times_of(rule: Rule, item: Measurement, decision: Decision) -> float:
    """How many times as far off as the rule allows, to rank what a message cannot all name.

    1 where a breach has no size. A sequential rule without tolerance is ranked by its evidence.
    """
    centre = (rule.threshold if rule.decision == "threshold" else item.baseline) or 0.0
    bounded = rule.decision == "threshold"
    margin = abs(centre) if bounded else rule.margin(centre)
    if item.value is None or rule.decision in ("fact", "no_data"):
        return 1.0
    if margin > 0:
        return min(bounded + abs(item.value - centre) / margin, _MOST)
    if rule.decision == "sequential" and decision.evidence and decision.threshold:
        return min(max(decision.evidence / decision.threshold, 1.0), _MOST)
    return 1.0


def _beyond(rule: Rule, item: Measurement, centre: float, margin: float) -> Decision:
    """Breach when the whole interval lies beyond; clear when the value itself does not."""
    value = item.value if item.value is not None else 0.0
    low = item.low if item.low is not None else value
    high = item.high if item.high is not None else value
    below, above = centre - margin, centre + margin
    if rule.direction in ("below", "both") and high < below:
        return Decision(Verdict.BREACH, "below", below)
    if rule.direction in ("above", "both") and low > above:
        return Decision(Verdict.BREACH, "above", above)
    bound = above if rule.direction == "above" else below
    inside = (rule.direction == "above" or value >= below) and (
        rule.direction == "below" or value <= above
    )
    if inside:
        return Decision(Verdict.CLEAR, "within", bound)
    return Decision(Verdict.INCONCLUSIVE, "straddles", bound)


def _test(rule: Rule, item: Measurement) -> Decision:
    if item.evidence is None or item.value is None:
        return Decision(Verdict.INCONCLUSIVE, "no_evidence")
    effect = item.value - (item.baseline or 0.0)
    matters = abs(effect) >= rule.margin(item.baseline or 0.0)
    right_way = rule.direction == "both" or (effect > 0) == (rule.direction == "above")
    if item.evidence <= rule.alpha and matters and right_way:
        return Decision(Verdict.BREACH, "p_value", rule.alpha, item.evidence)
    # Just above the level is no all-clear: ten times it is.
    if item.evidence > min(10 * rule.alpha, 0.5) or not matters or not right_way:
        return Decision(Verdict.CLEAR, "p_value", rule.alpha, item.evidence)
    return Decision(Verdict.INCONCLUSIVE, "near_alpha", rule.alpha, item.evidence)


def _sequential(rule: Rule, item: Measurement, earlier: Sequence[float | None]) -> Decision:
    """The e-detector of Shin, Ramdas and Rinaldo (2023), restarted after each alarm."""
    if item.evidence is None or item.baseline is None or item.value is None:
        return Decision(Verdict.INCONCLUSIVE, "no_baseline")
    looks = LOOKS_PER_YEAR[item.window.grain]
    bound = sequential_threshold(rule.false_alarms_per_year, looks)
    track = shiryaev_roberts([*earlier, item.evidence], restart_above=bound)
    reached = track[-1]
    if reached >= bound:
        return Decision(Verdict.BREACH, "e_detector", bound, reached)
    margin = rule.margin(item.baseline)
    healthy = (
        item.value <= item.baseline + margin
        if rule.direction == "above"
        else item.value >= item.baseline - margin
    )
    return Decision(
        Verdict.CLEAR if healthy else Verdict.INCONCLUSIVE,
        "e_detector",
        bound,
        reached if reached > float("-inf") else None,
    )
