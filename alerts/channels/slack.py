"""Slack, through its official client with our own idea of what may be tried again."""

from __future__ import annotations

import email.utils
import http.client
import re
import time
from dataclasses import replace
from typing import Any
from urllib.error import URLError

from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError, Posted
from alerts.messages import Message, as_repeat
from alerts.outbox import EDIT

TIMEOUT_S = 10
# Five thousand messages are looked through before a message counts as not landed.
_PAGE, _PAGES = 200, 25
_EVENT = "tidegauge"
_ALT = 1_000
_LIMITED = {"ratelimited", "rate_limited"}
_UNSURE = {"fatal_error", "internal_error", "service_unavailable", "request_timeout"}
# What an answer is to stand below has been deleted, or takes no answer any more.
_GONE = {"message_not_found", "thread_not_found", "cannot_reply_to_message", "invalid_thread_ts"}
_TOO_RICH = {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}


class SlackChannel:
    """Post to one channel.

    Args:
        token: of a bot with ``chat:write`` and, to look before a second try, ``channels:history``.
        channel: the channel's id.
        base_url: of the Web API; tests point it at a server of their own.
    """

    def __init__(self, token: str, channel: str, base_url: str | None = None) -> None:
        from slack_sdk import WebClient

        # The client's own retries post twice when a connection breaks after the server accepted.
        arguments: dict[str, Any] = {"base_url": base_url} if base_url else {}
        self._client = WebClient(token, timeout=TIMEOUT_S, retry_handlers=[], **arguments)
        self._channel = channel
        self._unsure: set[str] = set()

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        if message.picture:
            return self._share(key, message, thread)
        if message.kind == EDIT:
            return self._edit(message)
        if key in self._unsure:
            message = as_repeat(message)
        if thread is None:
            return self._say(key, message, None)
        try:
            return self._say(key, message, thread)
        except MisconfiguredError as error:
            if error.code not in _GONE:
                raise
        # Alone it must say what it is about: an answer's text does, its blocks do not.
        return replace(self._say(key, replace(message, blocks=[]), None), anew=True)

    def _say(self, key: str, message: Message, thread: Posted | None) -> Posted:
        arguments: dict[str, Any] = {
            "channel": self._channel,
            "text": message.text,
            "blocks": message.blocks,
            "metadata": {"event_type": _EVENT, "event_payload": {"k": key}},
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if thread is not None:
            arguments["thread_ts"] = thread.ts
        try:
            answer = self.call("chat_postMessage", arguments)
        except _TooRichError:
            # Better plain than silent: the same key, without blocks.
            try:
                answer = self.call("chat_postMessage", {**arguments, "blocks": None})
            except _TooRichError as error:
                raise MisconfiguredError("message_refused") from error
        return Posted(str(answer["channel"]), str(answer["ts"]))

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """Look; where the token may not, the next post of this key says that it may be a repeat."""
        try:
            return self.look(key, thread)
        except MisconfiguredError as error:
            if thread is not None and error.code in _GONE:
                alone = self.find(key, None)
                return None if alone is None else replace(alone, anew=True)
            if error.code != "missing_scope":
                raise
            self._unsure.add(key)
            return None

    def look(self, key: str, thread: Posted | None) -> Posted | None:
        """Page by page: in a busy channel others have written since, in a long thread before."""
        arguments: dict[str, Any] = {
            "channel": self._channel,
            "include_all_metadata": True,
            "limit": _PAGE,
        }
        method = "conversations_history"
        if thread is not None:
            method, arguments["ts"] = "conversations_replies", thread.ts
        for _ in range(_PAGES):
            answer = self.call(method, arguments)
            for message in answer.get("messages") or []:
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                files = message.get("files") or []
                if payload.get("k") == key or any(f.get("name") == _file(key) for f in files):
                    return Posted(self._channel, str(message["ts"]))
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None
            arguments["cursor"] = cursor
        return None

    def _share(self, key: str, message: Message, thread: Posted | None) -> Posted:
        """A picture into the thread, in Slack's three calls. Only the last one shows anything.

        A file carries no metadata, so its name is what `find` knows it by.
        """
        title = message.text[:_ALT]
        asked = {"filename": _file(key), "length": len(message.picture), "alt_txt": title}
        try:
            place = self.call("files_getUploadURLExternal", asked)
        except AmbiguousError as error:
            raise NotSentError(error.code) from None  # an address that nobody uses expires
        _put(str(place["upload_url"]), message.picture)
        shown: dict[str, Any] = {"files": [{"id": place["file_id"], "title": title}]}
        shown["channel_id"] = self._channel
        if thread is not None:
            shown["thread_ts"] = thread.ts
        self.call("files_completeUploadExternal", shown)
        return Posted(self._channel, str(place["file_id"]))

    def _edit(self, message: Message) -> Posted:
        """What was posted says something else; twice is as good as once."""
        arguments = {
            "channel": self._channel,
            "ts": message.facts["ts"],
            "text": message.text,
            "blocks": message.blocks,
            "metadata": {"event_type": _EVENT, "event_payload": {"k": message.facts["key"]}},
            # Unlike a post an edit would read names and links of its own accord.
            "parse": "none",
            "link_names": False,
        }
        try:
            self.call("chat_update", arguments)
        except _TooRichError as error:
            raise MisconfiguredError("message_refused") from error
        return Posted(self._channel, message.facts["ts"])

    def verify(self) -> str:
        """Ask Slack whose token this is; the answer is the bot's name.

        Raises:
            NotSentError, AmbiguousError, MisconfiguredError: with Slack's code.
        """
        answer = self.call("auth_test", {})
        return f"as {answer.get('user') or 'somebody'}"

    def call(self, method: str, arguments: dict[str, Any]) -> Any:
        """A method of the Web API, once.

        Raises:
            NotSentError, AmbiguousError, MisconfiguredError: with Slack's code.
        """
        from slack_sdk.errors import SlackApiError, SlackRequestError

        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as error:
            raise _classified(error) from None
        except SlackRequestError as error:
            raise MisconfiguredError("bad_request") from error
        except (TimeoutError, ConnectionError, http.client.HTTPException):
            raise AmbiguousError("connection_broke") from None
        except URLError as error:
            raise _unreachable(error) from None


def _file(key: str) -> str:
    return f"tidegauge-{key[:32]}.png"


def _put(url: str, body: bytes) -> None:
    """Bytes to the address that Slack named; nothing is shown before the last call."""
    import httpx

    try:
        answer = httpx.post(url, content=body, timeout=TIMEOUT_S, follow_redirects=False)
    except httpx.HTTPError:
        raise NotSentError("upload_broke") from None
    if answer.status_code != 200:
        raise NotSentError(f"upload_{answer.status_code}")


class _TooRichError(Exception):
    """Slack dislikes the blocks."""


def _classified(error: Any) -> Exception:
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    data = response.data if isinstance(getattr(response, "data", None), dict) else {}
    code = str(data.get("error") or f"http_{status}")
    if status == 429 or code in _LIMITED:
        headers = {str(k).lower(): v for k, v in (response.headers or {}).items()}
        return NotSentError("ratelimited", retry_after(headers.get("retry-after")))
    if code in _TOO_RICH:
        return _TooRichError(code)
    if not re.fullmatch(r"[a-z0-9_.]+", code):
        # A proxy's page instead of an answer; the client puts its text where the code should be.
        return AmbiguousError("not_json")
    if status >= 500 or code in _UNSURE or not data:
        return AmbiguousError(code)
    return MisconfiguredError(code)


def _unreachable(error: URLError) -> Exception:
    reason = error.reason
    if isinstance(reason, (ConnectionResetError, TimeoutError)):
        return AmbiguousError("connection_broke")
    return NotSentError("unreachable")


def retry_after(header: Any, *, now: float | None = None) -> float:
    """Seconds to wait, whatever form the header takes, between 1 and 600."""
    text = str(header[0] if isinstance(header, list) and header else header or "").strip()
    try:
        wait = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            wait = moment.timestamp() - (time.time() if now is None else now)
        except (TypeError, ValueError):
            wait = 30.0
    if wait != wait:
        wait = 30.0
    return min(max(wait, 1.0), 600.0)
