"""One logged request and its response, and the names under which logs know its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class LogField:
    """One part of an interaction.

    Args:
        attribute: its name in Python, in the embedded source's columns and in labels.
        name: its name in a log and in ``[source.columns]``: OpenTelemetry GenAI where there is
            one, else ours.
        kind: ``text``, ``instant``, ``integer``, ``number``, ``flag``.
        doc: what it means, with its unit.
    """

    attribute: str
    name: str
    kind: str
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One logged request and response; required are ``id``, ``at``, ``input`` and ``output``."""

    id: str
    at: datetime
    input: str
    output: str
    operation: str | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    conversation_id: str | None = None
    error_type: str | None = None
    prompt_version: str | None = None
    feature: str | None = None
    segment: str | None = None
    interaction_type: str | None = None
    arm: str | None = None
    shadow_of: str | None = None
    user_id: str | None = None
    language: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    preprocess_ms: float | None = None
    inference_ms: float | None = None
    postprocess_ms: float | None = None
    delivery_ms: float | None = None
    cold_start: bool | None = None
    cost_usd: float | None = None
    fallback_level: str | None = None
    capability_level: int | None = None
    rating: float | None = None
    accepted: bool | None = None
    edit_distance: float | None = None
    regenerated: bool | None = None
    task_completed: bool | None = None
    time_to_task_s: float | None = None
    context: str | None = None
    reference: str | None = None
    system_prompt: str | None = None


def _f(attribute: str, name: str, kind: str, doc: str) -> LogField:
    return LogField(attribute, name, kind, doc)


LOG_FIELDS: tuple[LogField, ...] = (
    _f("id", "id", "text", "the request's unique id"),
    _f("at", "timestamp", "instant", "when the request arrived (UTC)"),
    _f("input", "input", "text", "what the user asked"),
    _f("output", "output", "text", "what the feature answered"),
    _f("operation", "gen_ai.operation.name", "text", "chat, text_completion, embeddings …"),
    _f("provider", "gen_ai.provider.name", "text", "openai, anthropic, …"),
    _f("request_model", "gen_ai.request.model", "text", "the model asked for"),
    _f("response_model", "gen_ai.response.model", "text", "the model that says it answered"),
    _f("response_id", "gen_ai.response.id", "text", "the provider's id of the response"),
    _f("system_fingerprint", "openai.response.system_fingerprint", "text", "the back end's build"),
    _f("finish_reason", "gen_ai.response.finish_reasons", "text", "stop, length, content_filter …"),
    _f("input_tokens", "gen_ai.usage.input_tokens", "integer", "tokens of the request"),
    _f("output_tokens", "gen_ai.usage.output_tokens", "integer", "tokens of the response"),
    _f("conversation_id", "gen_ai.conversation.id", "text", "the conversation or session"),
    _f("error_type", "error.type", "text", "empty when it went well; rate_limit, timeout, …"),
    _f("prompt_version", "prompt_version", "text", "version of the prompt template"),
    _f("feature", "feature", "text", "the product's feature"),
    _f("segment", "segment", "text", "the user's segment"),
    _f("interaction_type", "interaction_type", "text", "sync, progressive or async"),
    _f("arm", "arm", "text", "experiment arm or rollout stage, e.g. control, canary, shadow"),
    _f("shadow_of", "shadow_of", "text", "id of the served request that this one shadows"),
    _f("user_id", "user_id", "text", "the user; kept only as a keyed HMAC"),
    _f("language", "language", "text", "BCP 47 language of the input"),
    _f("latency_ms", "latency_ms", "number", "request to full response, milliseconds"),
    _f("time_to_first_token_ms", "time_to_first_token_ms", "number", "milliseconds"),
    _f("preprocess_ms", "stage_ms.preprocess", "number", "milliseconds"),
    _f("inference_ms", "stage_ms.inference", "number", "milliseconds"),
    _f("postprocess_ms", "stage_ms.postprocess", "number", "milliseconds"),
    _f("delivery_ms", "stage_ms.delivery", "number", "milliseconds"),
    _f("cold_start", "cold_start", "flag", "was the back end woken for this request"),
    _f("cost_usd", "cost_usd", "number", "US dollars"),
    _f("fallback_level", "fallback_level", "text", "none, model, cache, template or omitted"),
    _f("capability_level", "capability_level", "integer", "1 (least) to 5 (full)"),
    _f("rating", "rating", "number", "the user's rating, 1 to 5"),
    _f("accepted", "accepted", "flag", "did the user take the answer"),
    _f("edit_distance", "edit_distance", "number", "share of the answer that was edited, 0 to 1"),
    _f("regenerated", "regenerated", "flag", "did the user ask for another answer"),
    _f("task_completed", "task_completed", "flag", "did the user finish the task"),
    _f("time_to_task_s", "time_to_task_s", "number", "seconds until the task was done"),
    _f("context", "context", "text", "retrieved passages that the answer should rest on"),
    _f("reference", "reference", "text", "a known right answer"),
    _f("system_prompt", "gen_ai.system_instructions", "text", "the instructions to the model"),
)

REQUIRED = ("id", "at", "input", "output")
TEXT_FIELDS = ("input", "output", "context", "reference", "system_prompt")
BY_ATTRIBUTE: Mapping[str, LogField] = {field.attribute: field for field in LOG_FIELDS}
BY_NAME: Mapping[str, LogField] = {field.name: field for field in LOG_FIELDS}
ATTRIBUTES: tuple[str, ...] = tuple(field.name for field in fields(Interaction))


class Batch:
    """Interactions by column: ``batch["output"]`` is a sequence with one entry a row.

    Columns keep a million rows cheap; a column that was not read, or that the log does not have,
    is absent (``"rating" in batch``).

    Raises:
        ValueError: the columns differ in length.
    """

    __slots__ = ("_columns", "_kept", "_length")

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        self._columns = dict(columns)
        self._length = lengths.pop() if lengths else 0
        self._kept: dict[str, Any] = {}

    @classmethod
    def of(cls, rows: Sequence[Interaction]) -> Batch:
        return cls({name: [getattr(row, name) for row in rows] for name in ATTRIBUTES})

    def __len__(self) -> int:
        return self._length

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` says of these rows: made at the first call, shared by the later ones."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def has(self, names: Sequence[str]) -> bool:
        """Are all these columns there, each with at least one value?"""
        return all(
            name in self._columns and any(v is not None for v in self._columns[name])
            for name in names
        )
