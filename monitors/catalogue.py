"""Every metric that the built-in monitors publish: name, unit, labels, meaning.

What a rule may name, and what a table in a BI tool may hold. Tests compare it with what a whole
demo run published and with the metrics that the code names; ``tidegauge metrics`` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitors.provider.features import FEATURES

_SLICES = ("feature", "prompt_version", "request_model", "segment")
_TRAFFIC = ("feature", "interaction_type", "request_model")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        labels: always there; of ``slices`` none or one is there beside them.
        when: what it needs, where the usual log does not have it; such a metric may be missing.
    """

    name: str
    unit: str
    monitor: str
    meaning: str
    labels: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    when: str = ""

    def allows(self, labels: Sequence[str]) -> bool:
        """May a measurement (or a rule) carry these labels?"""
        beyond = set(labels) - set(self.labels)
        return beyond <= set(self.slices) and len(beyond) <= 1


def metrics() -> tuple[Metric, ...]:
    """All of them, by name."""
    return tuple(sorted((*_STATED, *_of_provider()), key=lambda metric: metric.name))


def _of_provider() -> Iterator[Metric]:
    for feature in FEATURES:
        seldom = {
            "format": "prompts whose check has a form",
            "first_option": "prompts with options",
            "judge": "a trained judge",
        }
        yield Metric(
            f"provider.{feature.name}",
            feature.unit,
            "provider",
            f"today's answers to the pinned prompts, beside the pin's: {feature.name}",
            ("pin",),
            when=seldom.get(feature.name, ""),
        )


def _operations(name: str, unit: str, meaning: str) -> Metric:
    return Metric(f"operations.{name}", unit, "operations", meaning, slices=_TRAFFIC)


def _score(layer: str, meaning: str) -> Metric:
    return Metric(f"{layer}.score", "ratio", "quality", meaning, ("scorer",), _SLICES)


_STATED: tuple[Metric, ...] = (
    Metric("intake.rows", "rows/hour", "intake", "rows of the day, against the same weekdays"),
    Metric("intake.late_share", "ratio", "intake", "rows of the week before that came in late"),
    Metric("intake.delay_hours", "hours", "intake", "from the last row to the day's end"),
    Metric("intake.null_share", "ratio", "intake", "rows without the column", ("column",)),
    Metric("intake.quarantined_share", "ratio", "intake", "rows that could not be read"),
    Metric(
        "safety.pass_rate",
        "ratio",
        "safety",
        "outputs that a safety scorer passes, of all of the day",
        ("scorer",),
        _SLICES,
    ),
    _score("correctness", "mean score of the sample, weighted to the day: is it right?"),
    _score("usefulness", "mean score of the sample, weighted to the day: was it used?"),
    _score("delight", "mean score of the sample, weighted to the day: was it liked?"),
    Metric(
        "quality.unscored_share", "ratio", "quality", "sampled rows without a score", ("scorer",)
    ),
    Metric(
        "correctness.consistency",
        "ratio",
        "consistency",
        "pairs of answers to one question, asked again within seven days, that agree",
        slices=("feature",),
    ),
    Metric(
        "delight.rated_share",
        "ratio",
        "ratings",
        "sampled rows that users rated, weighted to the day",
        slices=("feature", "segment", "interaction_type"),
    ),
    Metric(
        "delight.rating",
        "ratio",
        "ratings",
        "mean rating, 0 to 1, corrected for which rows are rated; baseline: the raw mean",
    ),
    Metric(
        "quality.rate_for_tolerance",
        "ratio",
        "quality",
        "sampling rate at which a day would show a change of [quality] tolerance; 1: none would",
        ("scorer",),
    ),
    Metric(
        "evaluation.anchor_change",
        "ratio",
        "anchors",
        "the judge's mean score of frozen examples, less what it once was",
        ("scorer",),
    ),
    Metric(
        "evaluation.anchor_error",
        "ratio",
        "anchors",
        "the judge's mean distance from people's verdicts on frozen examples",
        ("scorer",),
    ),
    _operations("latency_p50", "ms", "median latency"),
    _operations("latency_p90", "ms", "latency that nine of ten requests keep below"),
    _operations("latency_p99", "ms", "latency that 99 of 100 requests keep below"),
    _operations("time_to_first_token_p50", "ms", "median time to the first token"),
    _operations("time_to_first_token_p90", "ms", "its 90 % quantile"),
    _operations("time_to_first_token_p99", "ms", "its 99 % quantile"),
    _operations("input_tokens", "tokens", "mean a request"),
    _operations("output_tokens", "tokens", "mean a request"),
    _operations("cost_per_request", "usd", "mean; from the log or the price table"),
    _operations("completion_rate", "ratio", "requests that ended as they should"),
    _operations("fallback_share", "ratio", "answers by a fallback (model, cache, template, none)"),
    _operations("cold_start_share", "ratio", "requests that met a cold start"),
    _operations("capability_level", "level", "mean level of what the feature could do, 1 to 5"),
    Metric(
        "operations.error_rate",
        "ratio",
        "operations",
        "requests that failed; by error_type, of that class",
        slices=(*_TRAFFIC, "error_type"),
    ),
    Metric(
        "operations.capability_share",
        "ratio",
        "operations",
        "requests at this level of what the feature could do, 1 to 5",
        ("capability_level",),
        slices=("feature",),
    ),
    _operations("time_to_task_p50", "s", "median time until the task was done"),
    Metric(
        "operations.repeat_use",
        "ratio",
        "operations",
        "the day's users who were there in the seven days before",
    ),
    Metric("operations.requests", "requests/hour", "operations", "traffic"),
    Metric("operations.cost_per_day", "usd", "operations", "the day's bill"),
    Metric(
        "operations.over_budget_share",
        "ratio",
        "operations",
        "requests slower than their type's budget allows",
        ("interaction_type", "budget"),
    ),
    Metric("operations.stage_p90", "ms", "operations", "90 % quantile of one stage", ("stage",)),
    Metric(
        "comparison.prompt_version.difference",
        "ratio",
        "comparison",
        "a new prompt version's mean score or rate, less the one before",
        ("candidate", "control", "feature", "metric"),
        when="two versions at once",
    ),
    Metric(
        "comparison.arm.difference",
        "ratio",
        "comparison",
        "an arm's (canary, shadow, A/B) mean, less the control's",
        ("candidate", "control", "metric"),
        when="arms in the log",
    ),
    Metric(
        "comparison.arm.novelty",
        "ratio",
        "comparison",
        "how much of a new arm's first difference is gone since (below 0: it grew)",
        ("candidate", "control", "metric"),
        when="an arm that began lately",
    ),
    Metric(
        "comparison.shadow.difference",
        "ratio",
        "comparison",
        "a shadow answer's score, less that of the answer served to the same request",
        ("candidate", "metric"),
        when="shadows in the log",
    ),
    Metric(
        "comparison.shadow.agreement",
        "ratio",
        "comparison",
        "pairs of a shadow and a served answer that both pass or both fail",
        ("candidate", "metric"),
        when="shadows in the log",
    ),
    Metric("provider.drift", "fact", "provider", "1: the model moved since the pin", ("pin",)),
    Metric(
        "provider.model_changed",
        "fact",
        "provider",
        "1: another model id or fingerprint answers than in the pin",
        ("pin",),
    ),
    Metric(
        "provider.answered_share", "ratio", "provider", "pinned prompts with an answer", ("pin",)
    ),
    Metric(
        "provider.slide", "fact", "provider_slide", "1: a week of replays together moved", ("pin",)
    ),
    Metric(
        "provider.served_model_changed",
        "fact",
        "served_model",
        "1: the log shows another model or fingerprint behind the requested name",
        slices=("request_model",),
    ),
    Metric(
        "drift.input.rows",
        "count",
        "inputs",
        "rows of the week that were compared, of all of the log",
        ("reference",),
    ),
    Metric(
        "drift.input.psi",
        "nats",
        "inputs",
        "population stability index of a column against a reference (pinned or seasonal)",
        ("column", "reference"),
        slices=("segment",),
    ),
    Metric(
        "drift.input.jensen_shannon",
        "bits",
        "inputs",
        "the same as Jensen–Shannon divergence",
        ("column", "reference"),
    ),
    Metric(
        "drift.input.wasserstein",
        "iqr",
        "inputs",
        "how far a number's distribution moved, in interquartile ranges",
        ("column", "reference"),
    ),
    Metric(
        "drift.input.missing_share",
        "ratio",
        "inputs",
        "rows of the week without the column",
        ("column", "reference"),
    ),
    *(
        Metric(f"drift.input.{kind}_share", "ratio", "inputs", meaning, ("column", "reference"))
        for kind, meaning in (
            ("new", "rows of the week in categories that the reference does not have"),
            ("vanished", "rows of the reference in categories that the week does not have"),
            ("exploded", "rows of the week in categories whose share at least trebled"),
        )
    ),
    Metric(
        "quality.change",
        "ratio",
        "attribution",
        "mean score of seven days less the reference's",
        slices=("scorer",),
    ),
    Metric(
        "quality.cause",
        "fact",
        "attribution",
        "1: it fell; the reason names the likely cause",
        ("scorer",),
    ),
    Metric(
        "quality.contribution",
        "ratio",
        "attribution",
        "what a slice took of a fall: the three foremost of all fields",
        ("scorer", "field", "slice"),
    ),
    Metric(
        "drift.embedding.density_scan",
        "ratio",
        "embeddings",
        "share of requests in a place that was empty before: a new topic",
    ),
    Metric(
        "drift.embedding.auc",
        "ratio",
        "embeddings",
        "how well a classifier tells the week from the reference; 0.5 is not at all",
    ),
    Metric("drift.embedding.mmd", "distance", "embeddings", "maximum mean discrepancy"),
    Metric(
        "drift.embedding.novelty", "ratio", "embeddings", "requests unlike any of the reference"
    ),
    Metric(
        "drift.topic.share",
        "ratio",
        "topics",
        "share of the week in a topic that came or went",
        slices=("topic",),
    ),
    Metric(
        "drift.topic.quality",
        "ratio",
        "topics",
        "mean score of a new topic's rows, against the rest of the week",
        ("topic",),
        when="a new topic",
    ),
    Metric(
        "drift.topic.latency",
        "ms",
        "topics",
        "median latency of a new topic's rows, against the rest of the week",
        ("topic",),
        when="a new topic",
    ),
    Metric(
        "drift.topic.cost",
        "usd",
        "topics",
        "mean cost of a new topic's rows, against the rest of the week",
        ("topic",),
        when="a new topic",
    ),
    Metric(
        "drift.topic.growth",
        "ratio",
        "topics",
        "share of a new topic less its share of the week before",
        ("topic",),
        when="a topic in its second week",
    ),
    Metric(
        "drift.map.share",
        "ratio",
        "topic_map",
        "share of the week in each topic of the reference",
        slices=("topic",),
    ),
    *(
        Metric(
            f"drift.map.{name}",
            unit,
            "topic_map",
            f"{meaning} of each topic's rows, against the rest of the week",
            ("topic",),
        )
        for name, unit, meaning in (
            ("quality", "ratio", "mean score"),
            ("latency", "ms", "median latency"),
            ("cost", "usd", "mean cost"),
        )
    ),
    Metric("review.items", "count", "review", "answers that people rated"),
    Metric("review.seconds_per_item", "s", "review", "median time for one answer"),
    Metric("review.agreement", "ratio", "review", "how often two people agree", ("dimension",)),
    Metric(
        "review.krippendorff_alpha", "alpha", "review", "agreement beyond chance", ("dimension",)
    ),
    Metric("review.judge_agreement", "ratio", "review", "how often the judge agrees", ("scorer",)),
    Metric(
        "review.quality", "ratio", "review", "quality as people correct it (PPI++)", ("scorer",)
    ),
    Metric(
        "review.feature_quality",
        "ratio",
        "review",
        "the same, of one feature",
        ("feature", "scorer"),
    ),
    Metric("evaluation.agreement", "ratio", "evaluation", "of judge and people", ("scorer",)),
    Metric("evaluation.kappa", "kappa", "evaluation", "the same, beyond chance", ("scorer",)),
    Metric("evaluation.recall", "ratio", "evaluation", "of what people fail", ("scorer",)),
    Metric("evaluation.always_pass", "ratio", "evaluation", 'agreement of "good"', ("scorer",)),
    Metric("evaluation.judge_ok", "fact", "evaluation", "1: fit for another quarter", ("scorer",)),
    Metric("evaluation.golden_size", "count", "evaluation", "examples in the golden set"),
    Metric("evaluation.golden_age_days", "days", "evaluation", "their median age"),
    Metric("evaluation.coverage", "ratio", "evaluation", "traffic that has a golden neighbour"),
)
