"""Where messages go, one module each, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alerts.messages import Message


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands: enough to answer below it."""

    channel: str
    ts: str


class Channel(Protocol):
    """A destination. Each method may raise one of the errors below and no other."""

    def post(self, key: str, message: Message, thread: Posted | None) -> Posted:
        """Post once; ``key`` marks the message so that `find` can see it."""
        ...

    def find(self, key: str, thread: Posted | None) -> Posted | None:
        """The message of that key, if it has landed after all."""
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
