"""Real HTTP against a provider that misbehaves in every way a provider can."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitors.provider.clients import (
    CallFailed,
    ChatModel,
    ChatRequest,
    Completion,
    open_model,
    token_count,
)
from monitors.provider.prompts import Message
from monitors.provider.recorded import Answered, Asked, RecordedProvider, saved_answers
from monitors.provider.spending import Budget, Price, ask
from monitors.settings import ProviderSettings
from sql.errors import ConfigurationError

pytest.importorskip("openai")

REQUEST = ChatRequest(
    (Message(role="user", content="What is 2 + 2?"),),
    {"temperature": 0, "max_tokens": 50},
    {"prompt": "sum", "repeat": "1", "day": "2026-06-01"},
)


def provider_settings(base_url: str, **changes: Any) -> ProviderSettings:
    values: dict[str, Any] = {
        "base_url": base_url,
        "model": "gpt-test",
        "pin": "main",
        "prompts": "prompts.jsonl",
        "usd_per_million_input_tokens": 10,
        "usd_per_million_output_tokens": 20,
        "timeout_s": 2,
    }
    return ProviderSettings(**{**values, **changes})


def put(
    settings: ProviderSettings, *, attempts: int = 1, budget: Budget | None = None
) -> tuple[Completion, float | None, list[float]]:
    waits: list[float] = []

    async def no_sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> tuple[Completion, float | None]:
        model = open_model(settings)
        try:
            return await ask(
                model,
                REQUEST,
                budget or Budget(settings, 5),
                Price(settings),
                attempts=attempts,
                timeout_s=settings.timeout_s,
                sleep=no_sleep,
            )
        finally:
            await model.close()

    completion, cost = asyncio.run(main())
    return completion, cost, waits


def test_an_answer_comes_with_all_that_is_said_of_it() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Answered:
        seen.append(asked)
        return Answered(
            "4", model="gpt-test-0601", fingerprint="fp_1", input_tokens=9, output_tokens=1
        )

    with RecordedProvider(answer) as server:
        completion, cost, _ = put(provider_settings(server.base_url))
    assert completion.text == "4"
    assert (completion.model, completion.fingerprint) == ("gpt-test-0601", "fp_1")
    assert (completion.input_tokens, completion.output_tokens) == (9, 1)
    assert completion.finish_reason == "stop"
    assert completion.latency_ms > 0
    assert cost == pytest.approx((9 * 10 + 1 * 20) / 1e6)
    assert seen[0].trace == {"prompt": "sum", "repeat": "1", "day": "2026-06-01"}
    assert seen[0].parameters["max_tokens"] == 50
    assert seen[0].messages[0]["content"] == "What is 2 + 2?"


@pytest.mark.parametrize("odd", ["9", {"total": 9}, -1, 9.5, True, None])
def test_a_usage_that_is_no_number_is_unknown(odd: Any) -> None:
    assert token_count(odd) is None
    assert token_count(9) == 9


@pytest.mark.parametrize(
    ("fault", "code", "retried"),
    [
        ("rate_limit", "rate_limited", True),
        ("server_error", "server_error", True),
        ("cut", "unreachable", True),
        ("unauthorized", "refused", False),
        ("not_json", "malformed", False),
        ("half", "malformed", False),
        ("other_shape", "malformed", False),
    ],
)
def test_a_fault_has_a_name_and_is_retried_only_where_that_helps(
    fault: Any, code: str, retried: bool
) -> None:
    with RecordedProvider(lambda _asked: Answered("4", fault=fault)) as server:
        with pytest.raises(CallFailed) as caught:
            put(provider_settings(server.base_url), attempts=3)
        assert server.asked == (3 if retried else 1)
    assert caught.value.code == code
    assert "2 + 2" not in str(caught.value)


def test_a_rate_limit_ends_when_the_provider_says_so() -> None:
    def answer(asked: Asked) -> Answered:
        return Answered("4", fault="rate_limit" if asked.number < 2 else None)

    with RecordedProvider(answer) as server:
        completion, _, waits = put(provider_settings(server.base_url), attempts=4)
    assert completion.text == "4"
    assert waits == [0.0, 0.0]  # its Retry-After


def test_pauses_grow_where_the_provider_says_nothing() -> None:
    with RecordedProvider(lambda _asked: Answered(fault="server_error")) as server:
        waits: list[float] = []

        async def note(seconds: float) -> None:
            waits.append(seconds)

        async def main() -> None:
            settings = provider_settings(server.base_url)
            model = open_model(settings)
            with pytest.raises(CallFailed):
                await ask(
                    model,
                    REQUEST,
                    Budget(settings, 5),
                    Price(settings),
                    attempts=4,
                    timeout_s=2,
                    sleep=note,
                )
            await model.close()

        asyncio.run(main())
    assert [0.25 * 2**k <= wait <= 0.5 * 2**k for k, wait in enumerate(waits)] == [True] * 3


def test_a_slow_answer_is_a_timeout() -> None:
    slow = RecordedProvider(lambda _asked: Answered("4", delay_s=1.0))
    with slow as server, pytest.raises(CallFailed, match="timeout"):
        put(provider_settings(server.base_url, timeout_s=0.2))


def test_nobody_there_is_unreachable() -> None:
    with RecordedProvider(lambda _asked: "x") as server:
        url = server.base_url
    with pytest.raises(CallFailed, match="unreachable"):
        put(provider_settings(url))


def test_money_is_set_aside_before_the_call() -> None:
    with RecordedProvider(lambda _asked: Answered("4", input_tokens=9, output_tokens=1)) as server:
        settings = provider_settings(server.base_url)
        bytes_bound = (len("What is 2 + 2?") + 16) * 10 / 1e6 + 50 * 20 / 1e6
        short = Budget(settings, bytes_bound * 0.99)
        with pytest.raises(CallFailed, match="over_budget"):
            put(settings, budget=short)
        assert server.asked == 0
        enough = Budget(settings, bytes_bound * 1.01)
        put(settings, budget=enough)
        assert enough.spent == pytest.approx(110 / 1e6)


def test_a_budget_is_spent_when_its_money_is_gone_not_when_it_is_set_aside() -> None:
    """Eight calls at once, money aside for two: the others wait for what the two give back."""
    answer = Answered("4", input_tokens=9, output_tokens=1, delay_s=0.02)
    with RecordedProvider(lambda _asked: answer) as server:
        settings = provider_settings(server.base_url)
        most, cost = Price(settings).at_most(REQUEST), 110 / 1e6
        budget = Budget(settings, most * 2.5)

        async def one(model: ChatModel) -> str:
            try:
                await ask(model, REQUEST, budget, Price(settings), attempts=1, timeout_s=2)
            except CallFailed as refused:
                return refused.code
            return "answered"

        async def main() -> list[str]:
            model = open_model(settings)
            try:
                return await asyncio.gather(*(one(model) for _ in range(40)))
            finally:
                await model.close()

        said = asyncio.run(main())
        asked = server.asked
    assert set(said) == {"answered", "over_budget"}
    assert said.count("answered") == asked
    assert budget.limit - most < budget.spent == pytest.approx(asked * cost)
    assert budget.spent <= budget.limit


def test_text_that_no_database_holds_is_mended() -> None:
    with RecordedProvider(lambda _asked: "a\x00b\ud800c") as server:
        completion, _, _ = put(provider_settings(server.base_url))
    assert completion.text == "a\ufffdb?c"


def test_saved_answers_are_dealt_by_prompt_and_repeat(tmp_path: Path) -> None:
    file = tmp_path / "saved.jsonl"
    lines = [{"prompt": "sum", "text": "four"}, {"prompt": "sum", "text": "4"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with RecordedProvider(saved_answers(file)) as server:
        completion, _, _ = put(provider_settings(server.base_url))
    assert completion.text == "4"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        saved_answers(tmp_path / "nowhere")


def test_a_taken_port_is_explained() -> None:
    first = RecordedProvider(lambda _asked: "x")
    with first as server, pytest.raises(ConfigurationError, match="is taken"):
        RecordedProvider(lambda _asked: "x", port=server.port).__enter__()


def test_a_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"tidegauge\[openai\]"):
        open_model(provider_settings("http://127.0.0.1:9/v1"))


# ── Anthropic ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def messages_api() -> Any:
    """A server that speaks Anthropic's protocol; yields (base url, bodies seen, set status)."""
    bodies: list[dict[str, Any]] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bodies.append({"path": self.path, **body})
            said = {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-test",
                "content": [{"type": "text", "text": "4"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 1},
            }
            if status[0] != 200:
                said = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
            data = json.dumps(said).encode()
            self.send_response(status[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *rest: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    set_status: Callable[[int], None] = lambda code: status.__setitem__(0, code)  # noqa: E731
    yield f"http://127.0.0.1:{server.server_address[1]}/v1", bodies, set_status
    server.shutdown()
    server.server_close()


def test_anthropic_speaks_through_its_own_sdk(messages_api: Any) -> None:
    pytest.importorskip("anthropic")
    url, bodies, set_status = messages_api
    settings = provider_settings(url, kind="anthropic")
    completion, cost, _ = put(settings)
    assert (completion.text, completion.model) == ("4", "claude-test")
    assert completion.finish_reason == "end_turn"
    assert cost == pytest.approx(110 / 1e6)
    assert bodies[0]["path"] == "/v1/messages"
    assert (bodies[0]["max_tokens"], bodies[0]["temperature"]) == (50, 0)
    set_status(529)
    with pytest.raises(CallFailed, match="server_error"):
        put(settings)
    set_status(401)
    with pytest.raises(CallFailed, match="refused"):
        put(settings)


# ── tool calls ───────────────────────────────────────────────────────────────────────────────

OPENAI_CALL = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "track", "arguments": '{"order": "HB-1"}'},
                    }
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
ANTHROPIC_CALL = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "tool_use", "id": "t1", "name": "track", "input": {"order": "HB-1"}}],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [("openai", OPENAI_CALL, "tool_calls"), ("anthropic", ANTHROPIC_CALL, "tool_use")],
)
def test_a_tool_call_is_an_answer_that_a_check_can_read(
    kind: str, body: dict[str, Any], reason: str
) -> None:
    pytest.importorskip(kind)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *rest: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        completion, _, _ = put(provider_settings(url, kind=kind))
    finally:
        server.shutdown()
        server.server_close()
    assert json.loads(completion.text) == [{"name": "track", "arguments": {"order": "HB-1"}}]
    assert completion.finish_reason == reason
