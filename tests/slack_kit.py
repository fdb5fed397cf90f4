"""A Slack for tests: the part of its Web API that is used, over HTTP, with faults on order.

Every message that it is sent is looked at as Slack would, and more strictly (`tests.blockkit`):
one that is not in order fails the test at its end.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from tests.blockkit import faults_of


def facts(**more: Any) -> dict[str, Any]:
    return {
        "incident": "abc", "fingerprint": "abc", "generation": 1, "severity": "critical",
        "state": "open", "title": "Safety fell", "rule": "safety", "metric": "safety.pass_rate",
        "labels": {"feature": "answer"}, "unit": "ratio", "value": 0.9, "low": 0.88, "high": 0.92,
        "baseline": 0.99, "threshold": 0.98, "n": 1000, "window": "2026-06-01",
        "window_start": "2026-06-01T00:00:00", "window_end": "2026-06-02T00:00:00",
        "since": "2026-06-01", "windows": 1, "worst": 0.9, "runbook": "", "owner": "",
        "first_step": "", "reason": "below", "source": "log", "also": [], "also_total": 0, **more,
    }  # fmt: skip


class FakeSlack(BaseHTTPRequestHandler):
    """Enough of the Web API. ``faults`` are played one a post, ``breaks`` one a call of the method
    that they are kept under; then all is well."""

    faults: list[str]
    breaks: dict[str, list[str]]
    messages: list[dict[str, Any]]
    uploads: dict[str, dict[str, Any]]
    disorder: list[str]
    whispers: list[dict[str, Any]]
    # Messages that somebody took away: nothing can be answered below them.
    deleted: Collection[str] = frozenset()
    groups: Mapping[str, list[str]] = MappingProxyType({})  # user groups and their members
    socket = ""  # where Socket Mode listens
    lag = 0.0  # seconds after which the history shows what was posted

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return None  # the sender was killed in the middle: half a request is none
        place, _, method = self.path.rpartition("/")
        if place.endswith("/upload"):
            fault = self._fault("upload")
            form: dict[str, Any] = {"id": method, "bytes": body}
            method = "upload"
        else:
            fault = self._fault(method)
            form = self._form(body.decode())
        if fault.startswith("429"):
            return self._answer(429, {"ok": False, "error": "ratelimited"}, fault[4:])
        if fault in ("token_revoked", "missing_scope") or fault.startswith("error "):
            return self._answer(200, {"ok": False, "error": fault.removeprefix("error ")})
        if fault == "invalid_blocks" and form.get("blocks"):
            self.faults.insert(0, "")
            return self._answer(200, {"ok": False, "error": "invalid_blocks"})
        if fault == "refused_500":
            return self._answer(500, {})
        if fault == "refused_404":
            return self._answer(404, {})
        answer = getattr(self, "_" + method.replace(".", "_"))(form)
        if fault == "accepted_then_dropped":
            self.connection.close()
            return None
        if fault == "accepted_500":
            return self._answer(500, {})
        return self._answer(200, None if fault == "html" else answer)

    def _ts(self) -> str:
        last = max((float(one["ts"]) for one in self.messages), default=0.0)
        return f"{last + 1:.1f}"

    def _fault(self, method: str) -> str:
        queue = self.faults if method == "chat.postMessage" else self.breaks.get(method)
        return queue.pop(0) if queue else ""

    def _form(self, body: str) -> dict[str, Any]:
        if "json" in (self.headers.get("Content-Type") or ""):
            found: dict[str, Any] = json.loads(body or "{}")
        else:
            found = {key: values[0] for key, values in parse_qs(body).items()}
        return {key: _read(value) for key, value in found.items()}

    def _chat_postMessage(self, form: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's
        self.disorder.extend(faults_of(form))
        if str(form.get("thread_ts")) in self.deleted:
            return {"ok": False, "error": "thread_not_found"}
        ts = self._ts()
        self.messages.append({**form, "ts": ts, "at": time.monotonic()})
        return {"ok": True, "channel": "C1", "ts": ts}

    def _chat_update(self, form: dict[str, Any]) -> dict[str, Any]:
        self.disorder.extend(faults_of(form))
        (old,) = [one for one in self.messages if one["ts"] == form["ts"]]
        old.update({**form, "edits": old.get("edits", 0) + 1})
        return {"ok": True, "channel": "C1", "ts": form["ts"]}

    def _chat_delete(self, form: dict[str, Any]) -> dict[str, Any]:
        self.messages[:] = [one for one in self.messages if one["ts"] != form["ts"]]
        return {"ok": True}

    def _files_delete(self, form: dict[str, Any]) -> dict[str, Any]:
        gone = form["file"]
        self.messages[:] = [
            one for one in self.messages if gone not in [f["id"] for f in one.get("files", ())]
        ]
        return {"ok": True}

    def _chat_postEphemeral(self, form: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.disorder.extend(faults_of(form))
        self.whispers.append(form)
        return {"ok": True}

    def _apps_connections_open(self, form: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": self.socket}

    def _usergroups_users_list(self, form: dict[str, Any]) -> dict[str, Any]:
        known = form["usergroup"] in self.groups
        error = {"ok": False, "error": "no_such_subteam"}
        return {"ok": True, "users": self.groups[form["usergroup"]]} if known else error

    def _auth_test(self, form: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "user": "tidegauge", "team": "a workspace"}

    def _conversations_history(self, form: dict[str, Any]) -> dict[str, Any]:
        return self._page(form)

    def _conversations_replies(self, form: dict[str, Any]) -> dict[str, Any]:
        if str(form["ts"]) in self.deleted:
            return {"ok": False, "error": "thread_not_found"}
        return self._page(form)

    def _files_getUploadURLExternal(self, form: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        file = f"F{len(self.uploads) + 1}"
        self.uploads[file] = {"name": form["filename"], "length": int(form["length"])}
        host, port = self.server.server_address[:2]
        return {"ok": True, "upload_url": f"http://{host}:{port}/upload/{file}", "file_id": file}

    def _upload(self, form: dict[str, Any]) -> dict[str, Any]:
        kept = self.uploads[form["id"]]
        if len(form["bytes"]) != kept["length"]:
            self.disorder.append(f"upload of {len(form['bytes'])} bytes, not {kept['length']}")
        kept["bytes"] = form["bytes"]
        return {}

    def _files_completeUploadExternal(self, form: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        shown = [{**self.uploads[one["id"]], **one} for one in form["files"]]
        ts = self._ts()
        thread = {"thread_ts": form["thread_ts"]} if "thread_ts" in form else {}
        self.messages.append(
            {"ts": ts, "at": time.monotonic(), "files": shown, "metadata": None, **thread}
        )
        return {"ok": True, "files": [{"id": one["id"], "title": one["title"]} for one in shown]}

    def _page(self, form: dict[str, Any]) -> dict[str, Any]:
        """As Slack pages: a channel's newest first, a thread's oldest first, replies in it only."""
        thread = form.get("ts")
        old = time.monotonic() - self.lag
        there = [m for m in self.messages if m.get("at", 0.0) <= old]
        shown = [m for m in there if m.get("thread_ts") == thread or m["ts"] == thread]
        if thread is None:
            shown = [m for m in reversed(there) if not m.get("thread_ts")]
        start, limit = int(form.get("cursor") or 0), int(form.get("limit") or 100)
        following = str(start + limit) if start + limit < len(shown) else ""
        page = [
            {**m, "files": [{**f, "bytes": None} for f in m.get("files", ())]}
            for m in shown[start : start + limit]
        ]
        found = {"ok": True, "messages": page}
        return {**found, "response_metadata": {"next_cursor": following}}

    def _answer(self, status: int, data: Any, wait: str = "") -> None:
        body = b"<html>" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if data is None else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if wait:
            self.send_header("Retry-After", wait)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _read(value: Any) -> Any:
    """The client sends lists and objects as JSON within a form."""
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value


@contextmanager
def fake_slack() -> Iterator[tuple[str, type[FakeSlack]]]:
    """(address, its handler): set ``faults`` on the handler, read ``messages`` from it."""
    empty: dict[str, Any] = {"faults": [], "breaks": {}, "messages": [], "uploads": {}}
    empty |= {"disorder": [], "whispers": []}
    handler = type("Handler", (FakeSlack,), empty)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/", handler
    finally:
        server.shutdown()
        server.server_close()
    assert not handler.disorder, handler.disorder
