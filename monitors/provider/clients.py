"""Chat models behind one small protocol.

The SDKs' own retries are off: what may be tried again, how often and at what price is decided in
`monitors.provider.spending`. No prompt, answer or provider message enters an error or a log.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from monitors.provider.prompts import Message
from monitors.settings import ChatSettings
from sql.errors import ConfigurationError
from sql.types import canonical_json

DEFAULT_OUTPUT_TOKENS = 1_024
_RETRY_AFTER_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question.

    Args:
        messages: the conversation.
        parameters: sampling parameters, passed on unchanged.
        trace: sent as ``X-Tidegauge-<key>`` headers, so that a gateway can tell these calls from
            the product's own: ``prompt``, ``repeat``, ``day``.
    """

    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {
            f"X-Tidegauge-{key.title()}": value.encode("ascii", "replace").decode()
            for key, value in self.trace.items()
        }


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, with what the provider says of itself."""

    text: str
    model: str
    fingerprint: str
    finish_reason: str
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float


class CallFailed(Exception):
    """A call without an answer.

    Args:
        code: ``rate_limited``, ``timeout``, ``unreachable``, ``server_error``, ``refused``
            (key, model or request not accepted), ``malformed``, ``over_budget``, ``gave_up``.
        retryable: may the same call succeed later?
        after_s: how long the provider asks to wait.
    """

    def __init__(self, code: str, *, retryable: bool, after_s: float | None = None) -> None:
        self.code, self.retryable, self.after_s = code, retryable, after_s
        super().__init__(code)


class ChatModel(Protocol):
    """A model that answers."""

    async def complete(self, request: ChatRequest) -> Completion:
        """One try at an answer.

        Raises:
            CallFailed: there was none.
        """
        ...

    async def close(self) -> None: ...


# ── providers ────────────────────────────────────────────────────────────────────────────────


def open_model(settings: ChatSettings) -> ChatModel:
    """The client that ``[providers.*] kind`` names; must be closed in the same event loop.

    Raises:
        ConfigurationError: its SDK is not installed.
    """
    return AnthropicModel(settings) if settings.kind == "anthropic" else OpenAIModel(settings)


def sdk_version(kind: str) -> str:
    """Name and version of the SDK, for the baseline's record."""
    sdk = _sdk(kind)
    return f"{kind} {sdk.__version__}"


def _sdk(kind: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(kind)
    except ImportError:
        raise ConfigurationError(
            f"the SDK {kind!r} is not installed",
            where="[providers.*] kind",
            mend=f"pip install 'tidegauge[{kind}]'",
        ) from None


class OpenAIModel:
    """OpenAI, Azure, vLLM, Ollama and every gateway that speaks ``/chat/completions``."""

    def __init__(self, settings: ChatSettings) -> None:
        self._sdk = _sdk("openai")
        self._model = settings.model
        self._client = self._sdk.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or "none",
            timeout=settings.timeout_s,
            max_retries=0,
        )

    async def complete(self, request: ChatRequest) -> Completion:
        began = time.perf_counter()
        try:
            answer = await self._client.chat.completions.create(
                model=self._model,
                messages=[message.model_dump() for message in request.messages],
                extra_headers=request.headers,
                extra_body=dict(request.parameters),
            )
        except (self._sdk.OpenAIError, ValueError, TypeError) as error:
            raise _failed(self._sdk, error) from None
        spent = (time.perf_counter() - began) * 1_000
        try:
            choice, usage = answer.choices[0], answer.usage
            return Completion(
                # A refusal travels in its own field; it is what the user would have read.
                text=_text(
                    choice.message.content
                    or choice.message.refusal
                    or _called(
                        (call.function.name, call.function.arguments)
                        for call in choice.message.tool_calls or ()
                    )
                ),
                model=str(answer.model or ""),
                fingerprint=str(answer.system_fingerprint or ""),
                finish_reason=str(choice.finish_reason or ""),
                input_tokens=token_count(usage.prompt_tokens) if usage else None,
                output_tokens=token_count(usage.completion_tokens) if usage else None,
                latency_ms=spent,
            )
        except (AttributeError, IndexError, TypeError):
            raise CallFailed("malformed", retryable=False) from None

    async def close(self) -> None:
        await self._client.close()


class AnthropicModel:
    """Anthropic's Messages API."""

    def __init__(self, settings: ChatSettings) -> None:
        self._sdk = _sdk("anthropic")
        self._model = settings.model
        self._client = self._sdk.AsyncAnthropic(
            # The SDK appends /v1 itself.
            base_url=settings.base_url.rstrip("/").removesuffix("/v1"),
            api_key=settings.api_key or "none",
            timeout=settings.timeout_s,
            max_retries=0,
        )

    async def complete(self, request: ChatRequest) -> Completion:
        turns = [m.model_dump() for m in request.messages if m.role != "system"]
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        body = {"max_tokens": DEFAULT_OUTPUT_TOKENS, **request.parameters}
        limit = body.pop("max_tokens")
        if system:
            body["system"] = system
        began = time.perf_counter()
        try:
            answer = await self._client.messages.create(
                model=self._model,
                max_tokens=limit,
                messages=turns,
                extra_headers=request.headers,
                extra_body=body,
            )
        except (self._sdk.AnthropicError, ValueError, TypeError) as error:
            raise _failed(self._sdk, error) from None
        spent = (time.perf_counter() - began) * 1_000
        try:
            texts = [block.text for block in answer.content if block.type == "text"]
            return Completion(
                text="".join(_text(part) for part in texts)
                or _called((b.name, b.input) for b in answer.content if b.type == "tool_use"),
                model=str(answer.model or ""),
                fingerprint="",
                finish_reason=str(answer.stop_reason or ""),
                input_tokens=token_count(answer.usage.input_tokens),
                output_tokens=token_count(answer.usage.output_tokens),
                latency_ms=spent,
            )
        except (AttributeError, TypeError):
            raise CallFailed("malformed", retryable=False) from None

    async def close(self) -> None:
        await self._client.close()


def token_count(tokens: object) -> int | None:
    """How many, where it is a number: the SDKs hand on whatever a gateway wrote there."""
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        return None
    return tokens


def _called(calls: Iterable[tuple[str, Any]]) -> str:
    """Tool calls as canonical JSON, ``[{"arguments": …, "name": …}]``; empty when there are none.

    So a check (``json_schema``, ``exact``, ``contains``) can say which tool had to be called how.
    """
    found = []
    for name, arguments in calls:
        given = arguments
        if isinstance(arguments, str):
            with contextlib.suppress(ValueError):
                given = json.loads(arguments)
        found.append({"name": str(name), "arguments": given})
    return canonical_json(found) if found else ""


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("an answer is a text")
    # Half of a surrogate pair has no UTF-8, and PostgreSQL holds no NUL.
    return content.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _failed(sdk: Any, error: Exception) -> CallFailed:
    """The two SDKs share their exceptions' names and meaning."""
    if isinstance(error, sdk.APITimeoutError):
        return CallFailed("timeout", retryable=True)
    if isinstance(error, sdk.APIConnectionError):
        return CallFailed("unreachable", retryable=True)
    if isinstance(error, sdk.APIStatusError):
        status = int(error.status_code)
        if status == 429:
            return CallFailed("rate_limited", retryable=True, after_s=_retry_after(error))
        if status in (408, 409) or status >= 500:
            return CallFailed("server_error", retryable=True, after_s=_retry_after(error))
        return CallFailed("refused", retryable=False)
    return CallFailed("malformed", retryable=False)


def _retry_after(error: Any) -> float | None:
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), _RETRY_AFTER_LIMIT_S)
