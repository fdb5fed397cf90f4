"""A provider that plays back answers over real HTTP, faults included, for the demo and for tests.

It speaks the OpenAI chat protocol on the loopback interface, so that what runs against it is the
very code that runs against a paid one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sql.errors import ConfigurationError

Fault = Literal[
    "rate_limit", "server_error", "unauthorized", "slow", "half", "not_json", "other_shape", "cut"
]
_LARGEST_BODY = 10_000_000
_PREFIX = "x-tidegauge-"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the server saw it.

    Args:
        model: the model asked for.
        messages: role and content of each turn.
        trace: what stood in the ``X-Tidegauge-*`` headers, by lower-case key.
        number: 0 for the first request that this server got.
    """

    model: str
    messages: tuple[Mapping[str, str], ...]
    parameters: Mapping[str, Any]
    trace: Mapping[str, str]
    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What the server shall say.

    Args:
        fault: play this instead of the answer.
        delay_s: wait before answering.
    """

    text: str = ""
    model: str = "recorded"
    fingerprint: str = "fp_recorded"
    finish_reason: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    fault: Fault | None = None
    delay_s: float = 0.0


Answer = Callable[[Asked], Answered | str]


def saved_answers(path: Path, *, model: str = "recorded") -> Answer:
    """Answers from a JSONL file of ``{"prompt": id, "repeat": 0, "text": …}``.

    A repeat that was not saved gets one that was, in turn; a prompt that was not saved gets an
    empty answer.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    texts: dict[str, list[str]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            texts.setdefault(str(record["prompt"]), []).append(str(record["text"]))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"saved answers cannot be read ({type(error).__name__})", where=str(path)
        ) from None

    def answer(asked: Asked) -> Answered:
        saved = texts.get(asked.trace.get("prompt", ""), [""])
        return Answered(saved[int(asked.trace.get("repeat", "0")) % len(saved)], model=model)

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    answer: Answer
    asked: int = 0
    lock: threading.Lock


@dataclass
class RecordedProvider:
    """``with RecordedProvider(answer) as provider: … provider.base_url …``

    Args:
        answer: what to say to a request; called from several threads at once.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: on entry, when the port is taken.
    """

    answer: Answer
    port: int = 0
    _server: _Server | None = field(default=None, repr=False)

    def __enter__(self) -> RecordedProvider:
        try:
            server = _Server(("127.0.0.1", self.port), _Handler)
        except OSError:
            raise ConfigurationError(
                f"port {self.port} is taken",
                where="the recorded provider",
                mend="end the program that holds it, or choose another port",
            ) from None
        server.answer, server.lock = self.answer, threading.Lock()
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self._server = server
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> int:
        """How many requests have come so far."""
        return self._server.asked if self._server else 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave in one packet
    timeout = 60

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > _LARGEST_BODY:
            self.close_connection = True
            return self._send(413, _error("too large"))
        body = self.rfile.read(length)
        if not self.path.rstrip("/").endswith("/chat/completions"):
            return self._send(404, _error("no such path"))
        try:
            asked = self._asked(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._send(400, _error("not a chat request"))
        said = self.server.answer(asked)
        return self._play(asked, Answered(said) if isinstance(said, str) else said)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base
        """Nothing: paths and codes of a recorded provider interest nobody."""

    def _asked(self, body: dict[str, Any]) -> Asked:
        with self.server.lock:
            number = self.server.asked
            self.server.asked += 1
        known = {"model", "messages"}
        return Asked(
            model=str(body["model"]),
            messages=tuple(body["messages"]),
            parameters={key: value for key, value in body.items() if key not in known},
            trace=_trace(self.headers),
            number=number,
        )

    def _play(self, asked: Asked, said: Answered) -> None:
        if said.delay_s:
            time.sleep(said.delay_s)
        match said.fault:
            case None | "slow":
                self._send(200, _completion(asked, said))
            case "rate_limit":
                self._send(429, _error("slow down"), {"Retry-After": "0"})
            case "server_error":
                self._send(500, _error("internal"))
            case "unauthorized":
                self._send(401, _error("who are you"))
            case "not_json":
                self._send(200, b"<html>gateway</html>")
            case "other_shape":
                self._send(200, json.dumps({"result": {"output": said.text}}).encode())
            case "half":
                whole = _completion(asked, said)
                self._send(200, whole[: len(whole) // 2])
            case "cut":
                whole = _completion(asked, said)
                self._send(200, whole, claim=len(whole) + 100)
                self.close_connection = True

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        claim: int | None = None,
    ) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(claim or len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def _trace(headers: Headers) -> dict[str, str]:
    return {
        name.lower().removeprefix(_PREFIX): value
        for name, value in headers.items()
        if name.lower().startswith(_PREFIX)
    }


def _completion(asked: Asked, said: Answered) -> bytes:
    words = sum(len(str(m.get("content", "")).split()) for m in asked.messages)
    inputs = words if said.input_tokens is None else said.input_tokens
    outputs = len(said.text.split()) if said.output_tokens is None else said.output_tokens
    body = {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "created": 0,
        "model": said.model,
        "system_fingerprint": said.fingerprint,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said.text, "refusal": None},
                "finish_reason": said.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": inputs,
            "completion_tokens": outputs,
            "total_tokens": inputs + outputs,
        },
    }
    return json.dumps(body).encode()


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "recorded", "code": None}}).encode()
