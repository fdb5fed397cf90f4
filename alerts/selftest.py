"""What a real Slack does, measured: which of our promises hold in this workspace.

A handful of messages is posted into the channel, looked for and deleted again. Nothing of the store
is read or written.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from alerts import charts
from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError, Posted
from alerts.channels.slack import TIMEOUT_S, SlackChannel
from alerts.messages import Message, as_message
from alerts.relay import QUIET

_BURST, _POLL_S = 6, 1.0
_LOST = (NotSentError, AmbiguousError, MisconfiguredError)


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was tried: does it do as we need, and what was seen?"""

    what: str
    good: bool
    text: str


@dataclass(slots=True)
class Report:
    """All that was tried, and what follows.

    Args:
        once: an interrupted message is looked for, and never posted twice.
        guarantee: the same in words.
    """

    seen: list[Seen] = field(default_factory=list)
    once: bool = False
    guarantee: str = ""


def selftest(
    channel: SlackChannel,
    *,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    patience_s: float = 60.0,
) -> Report:
    """Try everything that delivery rests on.

    Args:
        clock: seconds, rising.
        patience_s: so long a message is looked for.

    Raises:
        NotSentError, AmbiguousError, MisconfiguredError: nothing can be posted at all.
    """
    trial = _Trial(channel, clock, pause, patience_s)
    try:
        return trial.run()
    finally:
        trial.clean()


class _Trial:
    def __init__(
        self,
        channel: SlackChannel,
        clock: Callable[[], float],
        pause: Callable[[float], None],
        patience_s: float,
    ) -> None:
        self._channel, self._clock, self._pause = channel, clock, pause
        self._patience_s = patience_s
        self._posted: list[Posted] = []
        self._files: list[str] = []
        self._report = Report()

    def run(self) -> Report:
        self._note("token", True, self._channel.verify())
        key = _key()
        root = self._post(key, "the first message")
        self._note("post", True, f"message {root.ts}")
        found = self._looked_for("find a message by its key", key, None)
        reply_key = _key()
        self._post(reply_key, "an answer below it", root)
        replied = self._looked_for("find an answer in its thread", reply_key, root)
        self._duplicates()
        self._picture(root)
        self._burst(root)
        return self._concluded(found, replied)

    def clean(self) -> None:
        """Take away what was posted."""
        for file in self._files:
            with suppress(*_LOST):
                self._channel.call("files_delete", {"file": file})
        for one in reversed(self._posted):
            with suppress(*_LOST):
                self._channel.call("chat_delete", {"channel": one.channel, "ts": one.ts})

    def _note(self, what: str, good: bool, text: str) -> None:
        self._report.seen.append(Seen(what, good, text))

    def _post(self, key: str, text: str, thread: Posted | None = None) -> Posted:
        said = as_message(f"Tidegauge tries this channel: {text}. It is deleted at once.")
        posted = self._channel.post(key, said, thread)
        self._posted.append(posted)
        return posted

    def _looked_for(self, what: str, key: str, thread: Posted | None) -> float | None:
        """Seconds until the history shows the message with its metadata; None if it never does."""
        began = self._clock()
        while True:
            try:
                landed = self._channel.look(key, thread)
            except _LOST as error:
                self._note(what, False, f"refused: {error.code}")
                return None
            passed = self._clock() - began
            if landed is not None:
                self._note(what, True, f"after {passed:.1f} s")
                return passed
            if passed > self._patience_s:
                self._note(what, False, f"not within {self._patience_s:.0f} s")
                return None
            self._pause(_POLL_S)

    def _duplicates(self) -> None:
        """Does Slack itself drop a message that it has seen? We count on nothing."""
        key = _key()
        first, second = (self._post(key, "the same, twice") for _ in range(2))
        same = first.ts == second.ts
        told = "Slack dropped the second" if same else "Slack keeps both, so we look first"
        self._note("the same message twice", True, told)

    def _picture(self, root: Posted) -> None:
        key = _key()
        picture = Message("a picture", [], charts.KIND, picture=charts.sample())
        try:
            self._files.append(self._channel.post(key, picture, root).ts)
        except _LOST as error:
            self._note("a picture in the thread", False, f"refused: {error.code}; words still go")
            return
        self._looked_for("a picture in the thread", key, root)

    def _burst(self, root: Posted) -> None:
        """Faster than one a second, as we never send: what does Slack answer?"""
        for number in range(_BURST):
            try:
                self._post(_key(), f"a burst, {number + 1} of {_BURST}", root)
            except NotSentError as error:
                wait = f"Retry-After {error.wait:g} s" if error.wait else "no Retry-After"
                self._note("too fast", True, f"{error.code} after {number} messages, {wait}")
                self._pause(error.wait or 1.0)
                return
            except (AmbiguousError, MisconfiguredError) as error:
                self._note("too fast", False, error.code)
                return
        self._note("too fast", True, f"{_BURST} messages at once were taken")

    def _concluded(self, found: float | None, replied: float | None) -> Report:
        # A request that was still on its way may land as late as its timeout.
        room = QUIET.total_seconds() - TIMEOUT_S
        report = self._report
        if found is None or replied is None:
            report.guarantee = (
                "never lost; what Slack may have taken is sent again and marked as a repeat, "
                "because it cannot be looked up (scope channels:history or groups:history)"
            )
        elif max(found, replied) > room:
            report.guarantee = (
                "never lost; doubled at times: the history lags "
                f"{max(found, replied):.0f} s behind, and we look after {room:.0f} s"
            )
        else:
            report.once = True
            report.guarantee = "never lost and posted once: what may have landed is looked up first"
        return report


def _key() -> str:
    return uuid.uuid4().hex * 2
