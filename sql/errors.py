"""The one error a user of Tidegauge ever reads: what happened, where, and what to do next."""

from __future__ import annotations


class TidegaugeError(Exception):
    """A failure explained to a person.

    Args:
        what: what happened, in plain words and without any text of a user or a model.
        where: the setting, file, table or step concerned.
        mend: what to do next, as an imperative sentence.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        return f"{self.what}{place}" + (f" — {self.mend}" if self.mend else "")


class ConfigurationError(TidegaugeError):
    """The settings cannot work as written; a retry without a change is pointless."""


class StoreError(TidegaugeError):
    """A database refused; carries the SQLSTATE, table and constraint, never a row's content."""


class LockHeld(TidegaugeError):
    """Another live run holds the lock for the same work; try again later."""


class NotReady(TidegaugeError):
    """The input is not there yet (for example the window has not landed); try again later."""
