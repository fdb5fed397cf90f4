"""Slack's incoming webhook: a lesser way, for those who may not install an app.

It returns no id, so nothing can be threaded and nothing looked up. What Slack may have taken is
sent again and says so: at least once, a repeat marked as one.
"""

from __future__ import annotations

import json
from typing import Any

from alerts.channels import MisconfiguredError, Posted, web
from alerts.messages import Message, as_repeat


class SlackWebhookChannel:
    """Post to the one channel that the webhook belongs to.

    Args:
        url: the webhook's; it is a secret.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._unsure: set[str] = set()

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        if key in self._unsure:
            message = as_repeat(message)
        # What stands in no thread must say what it is about: a reply's text does, its blocks not.
        blocks = [] if message.kind == "thread" else message.blocks
        plain = {"text": message.text, "unfurl_links": False, "unfurl_media": False}
        status, said = self._send({**plain, "blocks": blocks} if blocks else plain)
        if status == 400 and "block" in said:
            status, said = self._send(plain)
        if status != 200:
            raise MisconfiguredError(f"http_{status}")
        return Posted("slack:webhook", key)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """It cannot be asked; the next post of this key says that it may be a repeat."""
        self._unsure.add(key)
        return None

    def verify(self) -> str:
        """An empty message is refused, by a webhook that lives with the word ``no_text``."""
        status, said = self._send({})
        if status == 400 and "no_text" in said:
            return "an incoming webhook (no threads, repeats are marked)"
        raise MisconfiguredError(f"http_{status}")

    def _send(self, body: dict[str, Any]) -> tuple[int, str]:
        headers = {"Content-Type": "application/json"}
        answer = web.post(self._url, json.dumps(body).encode(), headers, private=True)
        return answer.status, answer.body
