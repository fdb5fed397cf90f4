"""Any HTTP endpoint: JSON, signed, with a key by which the receiver knows a repeat.

The receiver checks the signature as `signature` makes it, refuses old timestamps and answers 2xx; a
key that it has seen before it answers 2xx too and does nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from alerts.channels import MisconfiguredError, Posted, web
from alerts.messages import Message

VERSION = 1
KEY, TIMESTAMP, SIGNATURE = "Idempotency-Key", "X-Tidegauge-Timestamp", "X-Tidegauge-Signature"


class WebhookChannel:
    """Post each message as JSON.

    Args:
        secret: shared with the receiver.
        private: see `web.post`.
    """

    def __init__(self, name: str, url: str, secret: str, private: bool = False) -> None:
        self._name, self._url, self._secret, self._private = name, url, secret, private

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        event = {
            "version": VERSION,
            "key": key,
            "kind": message.kind,
            "text": message.text,
            "facts": dict(message.facts),
        }
        body, now = json.dumps(event, sort_keys=True).encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            KEY: key,
            TIMESTAMP: now,
            SIGNATURE: signature(self._secret, now, body),
        }
        answer = web.post(self._url, body, headers, private=self._private)
        if not 200 <= answer.status < 300:
            raise MisconfiguredError(f"http_{answer.status}")
        return Posted(self._name, key)

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """It cannot be asked; the repeat carries the same key."""
        return None

    def verify(self) -> str:
        """Does anything answer there? Nothing is posted."""
        answer = web.post(self._url, b"", {}, private=self._private, method="HEAD")
        return f"answers {answer.status}"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``v1=`` and the HMAC-SHA256, in hex, of ``v1:<timestamp>:<body>``."""
    signed = b"v1:" + timestamp.encode() + b":" + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
