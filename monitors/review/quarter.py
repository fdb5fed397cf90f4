"""The quarter's evidence: what is known of the judge, the golden set, the rubric, people and rules.

It suggests and never decides: each answer is a person's (`monitors.review.decisions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from monitors.context import Context
from monitors.quality.judge_review import judges
from monitors.review.closing import Rater, raters
from monitors.review.golden import list_golden
from monitors.review.golden_check import LARGEST, Finding, check_golden
from monitors.review.questions import QUESTIONS, Question
from monitors.review.rated import batches_in
from monitors.review.tallies import flags, skips, uses
from sql.measurement import Measurement
from sql.tables import acknowledgement, evaluation, incident, review_entry
from sql.window import Window
from sql.words import between, number

# Beyond these a question tells too little, or a person should talk with the others.
UNABLE, USUAL, LENIENT, GOLD = 0.3, 0.95, 0.5, 0.8
COVERED, OLD_DAYS = 0.9, 180.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is laid before people on one question.

    Args:
        findings: sentences with numbers; no text of a user or a model.
        suggested: the choice that they speak for.
    """

    question: Question
    findings: tuple[str, ...]
    suggested: str


def evidence(window: Window, context: Context) -> list[Evidence]:
    """All questions in their order, over the quarter's batches, measurements and incidents."""
    found = {
        item.metric: item
        for item in context.store.measurements(
            monitor="evaluation", since=window.start, until=window.end
        )
        if item.window == window
    }
    batches = batches_in(window, context)
    wrong = {one.kind: one for one in check_golden(context)}
    answers = {
        "judge": _judge(found, context),
        "anchors": _anchors(wrong, window, context),
        "golden": _golden(found, wrong),
        "rubric": _rubric(batches, context),
        "raters": _raters(batches, context),
        "rules": _rules(window, context),
    }
    return [
        Evidence(question, tuple(findings), suggested)
        for question in QUESTIONS
        for findings, suggested in [answers[question.name]]
    ]


Answer = tuple[list[str], str]


def _judge(found: dict[str, Measurement], context: Context) -> Answer:
    findings = [
        _told(name, found[metric])
        for name, metric in (
            ("Agreement with people", "evaluation.agreement"),
            ("A judge that passes everything would agree on", "evaluation.always_pass"),
            ("Kappa", "evaluation.kappa"),
            ("Bad answers found", "evaluation.recall"),
        )
        if metric in found
    ]
    waiting = [one.digest[:12] for one in judges(context) if one.approved_at is None]
    if waiting:
        findings.append(
            f"Trained and not approved: {', '.join(waiting)} (the DAG retrain_judge asks)."
        )
    verdict = found.get("evaluation.judge_ok")
    if verdict is None or verdict.value is None:
        return [*findings, "Too few labels this quarter to hold the judge against its bar."], "keep"
    if verdict.value:
        return [*findings, "It passes its bar."], "keep"
    missed = verdict.reason.replace("_", " ").replace(" ", ", ")
    return [*findings, f"It misses its bar on: {missed}."], "retrain"


def _anchors(wrong: dict[str, Finding], window: Window, context: Context) -> Answer:
    ages = [
        (window.end - one.added_at).total_seconds() / 86_400
        for one in list_golden(context)
        if one.is_anchor and one.added_at is not None
    ]
    if not ages:
        return ["There are no anchors: nothing would show that the judge itself moved."], "renew"
    middle = sorted(ages)[len(ages) // 2]
    findings = [f"{len(ages)} anchors, half of them older than {middle:.0f} days."]
    if leak := wrong.get("anchor_leak"):
        findings.append(f"{leak.what}.")
    return findings, "renew" if leak or middle > OLD_DAYS else "keep"


def _golden(found: dict[str, Measurement], wrong: dict[str, Finding]) -> Answer:
    findings = [
        _told(name, found[metric])
        for name, metric in (
            ("Examples", "evaluation.golden_size"),
            ("Their median age", "evaluation.golden_age_days"),
            ("Of the traffic near to one of them", "evaluation.coverage"),
        )
        if metric in found
    ]
    findings += [f"{one.what}." for kind, one in wrong.items() if kind != "anchor_leak"]
    size, covered = (found.get(f"evaluation.{name}") for name in ("golden_size", "coverage"))
    large = size is not None and (size.value or 0) > LARGEST
    if large or "near_duplicates" in wrong or "contradictions" in wrong:
        return findings, "prune"
    narrow = covered is not None and covered.value is not None and covered.value < COVERED
    return findings, "extend" if narrow or "size" in wrong else "keep"


def _rubric(batches: Sequence[str], context: Context) -> Answer:
    asked = uses(batches, context)
    if not any(one.given for one in asked):
        return ["Nobody rated anything this quarter."], "keep"
    findings, change = [], False
    for one in asked:
        idle = one.unable >= UNABLE or one.usual >= USUAL
        change |= idle
        findings.append(
            f"{one.dimension}: {one.given} ratings, {number(one.unable, 'ratio')} could not judge, "
            f"{number(one.usual, 'ratio')} of the scores are the same"
            + (": it tells little." if idle else ".")
        )
    if unseen := _flagged_but_good(batches, context):
        findings.append(
            f"{unseen} answers are flagged though every score is 4 or 5: a failure "
            "that the rubric does not ask about."
        )
    for what, counts in (("Flags", flags(batches, context)), ("Skips", skips(batches, context))):
        if counts:
            listed = ", ".join(
                f"{name.replace('_', ' ')} {count}" for name, count in counts.items()
            )
            findings.append(f"{what}: {listed}.")
    return findings, "change" if change or unseen else "keep"


def _flagged_but_good(batches: Sequence[str], context: Context) -> int:
    table = review_entry.c
    rows = context.store.rows(
        select(table.flags, table.scores).where(table.batch_id.in_(batches), table.state == "done")
    )
    return sum(
        bool(row.flags) and all(score is None or score >= 4 for score in row.scores.values())
        for row in rows
    )


def _raters(batches: Sequence[str], context: Context) -> Answer:
    findings, talk = [], False
    for batch in batches:
        for one in raters(batch, context):
            if one.given and (why := _trouble(one)):
                talk = True
                findings.append(f"{batch}: {one.name} {why}.")
    if not batches:
        return ["There was no batch this quarter."], "keep"
    return findings or ["Nobody stands out in any batch."], "train" if talk else "keep"


def _trouble(one: Rater) -> str:
    """Why one should talk with a person; empty when nothing is shown beyond chance."""
    said = []
    if one.unable >= UNABLE:
        said.append(f"cannot judge {number(one.unable, 'ratio')} of what is asked")
    if one.leniency is not None and (one.leniency[1] > LENIENT or one.leniency[2] < -LENIENT):
        word = "kinder" if one.leniency[0] > 0 else "stricter"
        said.append(f"is {abs(one.leniency[0]):.1f} points {word} than the others")
    if one.gold is not None and one.gold[2] < GOLD:
        said.append(f"is right on {number(one.gold[0], 'ratio')} of the golden items")
    return " and ".join(said)


def _rules(window: Window, context: Context) -> Answer:
    """Rules by their incidents: what people said of them, what went unseen, and who never spoke."""
    table, said = incident.c, acknowledgement.c
    rows = context.store.rows(
        select(incident).where(
            table.opened_window >= window.start, table.opened_window < window.end
        )
    )
    people = context.store.rows(select(acknowledgement).order_by(said.at, said.actor))
    seen = {(row.fingerprint, row.generation) for row in people}
    spoken = {(row.fingerprint, row.generation): row.verdict for row in people if row.verdict}
    opened = Counter(row.rule for row in rows)
    judged = Counter((row.rule, spoken.get((row.fingerprint, row.generation), "")) for row in rows)
    alone = Counter(
        row.rule
        for row in rows
        if row.resolved_window is not None and (row.fingerprint, row.generation) not in seen
    )
    looked = {
        row.rule: row.count
        for row in context.store.rows(
            select(evaluation.c.rule, func.count().label("count"))
            .where(
                evaluation.c.window_start >= window.start,
                evaluation.c.window_start < window.end,
                evaluation.c.verdict.in_(("breach", "clear", "inconclusive")),
            )
            .group_by(evaluation.c.rule)
        )
    }
    findings = [
        f"{rule}: {opened[rule]} incidents; people called {judged[rule, 'false']} a false alarm "
        f"and {judged[rule, 'real']} real; {alone[rule]} went by themselves and nobody "
        "acknowledged them" + (" (a guess: perhaps false)." if alone[rule] else ".")
        for rule in sorted(opened)
    ]
    names = sorted(str(rule.get("name", "")) for rule in context.settings.rules)
    silent = [name for name in names if looked.get(name) and not opened[name]]
    blind = [name for name in names if not looked.get(name)]
    wrong = any(judged[rule, "false"] for rule in opened)
    if silent:
        findings.append(f"Looked and never fired: {', '.join(silent)}.")
    if blind:
        findings.append(f"Had nothing to look at: {', '.join(blind)}.")
    return findings or ["No rule is configured."], "change" if blind or alone or wrong else "keep"


def _told(name: str, item: Measurement) -> str:
    if item.value is None:
        return f"{name}: {item.status.value}, {item.reason.replace('_', ' ')}."
    beside = between(item.low, item.high, item.unit)
    return f"{name}: {number(item.value, item.unit)}" + (f" ({beside})." if beside else ".")
