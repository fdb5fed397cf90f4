"""Where messages go, one module each, behind one protocol."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from alerts.messages import Message

# The HTTP client tells each address that it asks at a level that Airflow shows; some are secrets.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands: enough to answer below it.

    Args:
        anew: what it answers is gone, so it stands by itself, and what follows stands below it.
    """

    channel: str
    ts: str
    anew: bool = False


class Channel(Protocol):
    """A destination. Each method may raise one of the errors below and no other."""

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        """Post once; ``key`` marks the message so that `find` can see it."""
        ...

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """The message of that key, if it has landed after all."""
        ...

    def verify(self) -> str:
        """Would it be taken? Nothing is posted; the answer says who or what is there."""
        ...


class NotSentError(Exception):
    """Certainly not posted; try again after ``wait`` seconds."""

    def __init__(self, code: str, wait: float | None = None) -> None:
        self.code, self.wait = code, wait
        super().__init__(code)


class AmbiguousError(Exception):
    """It may have been posted; look before trying again."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class MisconfiguredError(Exception):
    """The destination refuses us until a person mends something."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)
