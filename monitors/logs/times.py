"""The four ways in which logs write time, as bounds of a query and as values of a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, ColumnElement, DateTime, Dialect, Double, String, func, type_coerce
from sqlalchemy.types import TypeDecorator

_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def read_time(value: Any, time_format: str = "iso") -> datetime | None:
    """A UTC instant out of a log's value; None where it cannot be read.

    Args:
        value: a datetime, an ISO 8601 text, or a number (or its text) of seconds or milliseconds.
        time_format: ``epoch_s`` and ``epoch_ms`` tell what a number counts; for the others a
            number's size tells it (a date between 1980 and 2200).
    """
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return _plausible(moment.astimezone(UTC))
    if isinstance(value, date):
        return _plausible(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, str) and time_format not in ("epoch_s", "epoch_ms"):
        text = value.strip()
        try:
            return read_time(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            pass
    return _from_number(value, time_format)


def _from_number(value: Any, time_format: str) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an integer of 400 digits overflows a float
        return None
    if not math.isfinite(number):
        return None
    units = {"epoch_s": [1], "epoch_ms": [1_000]}.get(time_format, [1, 1_000, 10**6, 10**9])
    for unit in units:
        seconds = number / unit
        if _EARLIEST.timestamp() <= seconds < _LATEST.timestamp():
            # Through a timedelta: exact to the microsecond for whole units.
            whole, rest = divmod(number, unit)
            return datetime.fromtimestamp(whole, UTC) + timedelta(seconds=rest / unit)
    return None


def _plausible(moment: datetime) -> datetime | None:
    return moment if _EARLIEST <= moment < _LATEST else None


class LogTime(TypeDecorator[datetime]):
    """A log's time column: aware UTC instants in Python, the column's own form in SQL.

    A value that cannot be read becomes None: one bad row must not stop a window.
    """

    impl = String
    cache_ok = True

    def __init__(self, time_format: str, naive: bool = True) -> None:
        super().__init__()
        self.time_format, self.naive = time_format, naive

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if self.time_format in ("epoch_s", "epoch_ms"):
            return dialect.type_descriptor(Double())
        if self.time_format == "instant" and dialect.name != "sqlite":
            return dialect.type_descriptor(DateTime(timezone=not self.naive))
        return dialect.type_descriptor(String())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        match self.time_format:
            case "epoch_s":
                return moment.timestamp()
            case "epoch_ms":
                return moment.timestamp() * 1_000
            case "iso":
                return _text(moment, "T")
            case _ if dialect.name == "sqlite":
                return _text(moment, " ")
            case _:
                return moment.replace(tzinfo=None) if self.naive else moment

    def result_processor(
        self,
        dialect: Dialect,
        coltype: object,
    ) -> Callable[[Any], Any]:
        time_format = self.time_format
        return lambda value: None if value is None else read_time(value, time_format)


def _text(moment: datetime, separator: str) -> str:
    # Without a zero fraction: '… 00:00:00' sorts before '… 00:00:00.000000' and before '… 00Z',
    # so the bound works whether or not the log writes fractions.
    return moment.replace(tzinfo=None).isoformat(separator)


def time_column(column: Column[Any], time_format: str) -> ColumnElement[datetime]:
    """The column with a type that reads and compares instants."""
    naive = not getattr(column.type, "timezone", False)
    return type_coerce(column, LogTime(time_format, naive))


def within(
    column: Column[Any], time_format: str, start: datetime, end: datetime
) -> list[ColumnElement[bool]]:
    """Conditions for ``start <= column < end`` that an index on the column can serve."""
    if time_format != "iso":
        moment = time_column(column, time_format)
        return [moment >= start, moment < end]
    # Texts may stand with 'T' or a blank between date and time: whole days by the index first,
    # then exactly. They must be UTC (`Source.check` looks).
    plain = type_coerce(column, String)
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date() + timedelta(days=1)
    exact = type_coerce(func.replace(plain, " ", "T"), LogTime("iso"))
    return [
        plain >= start.astimezone(UTC).date().isoformat(),
        plain < last.isoformat(),
        exact >= start,
        exact < end,
    ]


def readable(column: Column[Any], time_format: str, dialect: str) -> list[ColumnElement[bool]]:
    """Conditions that leave out what cannot be a time, for the earliest and the latest."""
    if time_format == "iso" or (time_format == "instant" and dialect == "sqlite"):
        plain = type_coerce(column, String)
        # Whole dates: SQLite would take "1980" for a number, which sorts before every text.
        return [plain >= "1980-01-01", plain < "2200-01-01"]
    moment = time_column(column, time_format)
    return [moment >= _EARLIEST, moment < _LATEST]


def complaint(values: list[Any], time_format: str, dialect: str) -> str:
    """Why these values of the time column do not fit the format, in words; empty when they do."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int | float | Decimal)]
    if time_format in ("epoch_s", "epoch_ms"):
        other = "epoch_ms" if time_format == "epoch_s" else "epoch_s"
        if any(read_time(value, time_format) is None for value in values):
            if all(read_time(value, other) is not None for value in values):
                return f"holds what looks like {other}"
            return f"holds values that are not {time_format}"
        return ""
    if numbers:
        return "holds numbers; set time_format to epoch_s or epoch_ms"
    if any(read_time(value) is None for value in values):
        return "holds values that are not times"
    if time_format == "instant" and dialect == "sqlite" and any("T" in text for text in texts):
        return "holds ISO texts; set time_format to iso"
    if any(_offset(text) for text in texts):
        return "holds times with an offset from UTC; read a view that converts them"
    return ""


def _offset(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text.strip()).utcoffset())
    except ValueError:
        return False
