"""Half-open spans of time: the only way a job is told which rows are its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sql.errors import ConfigurationError


class Grain(StrEnum):
    """How long a window is, in calendar units of its zone."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The instants ``start <= t < end``, both in UTC, aligned to the calendar of ``zone``.

    A day may have 23 or 25 hours where the zone changes its clock; anything that is compared
    between windows is therefore a rate by ``hours``, never a bare count.

    Raises:
        ValueError: a bound is not UTC, or the window is empty.
    """

    start: datetime
    end: datetime
    zone: str = "UTC"
    grain: Grain = Grain.DAY

    def __post_init__(self) -> None:
        for bound in (self.start, self.end):
            if bound.tzinfo is None or bound.utcoffset() != timedelta(0):
                raise ValueError("a window's bounds are UTC instants")
        if self.end <= self.start:
            raise ValueError("a window ends after it starts")

    @classmethod
    def of(cls, first: date, grain: Grain, zone: str = "UTC") -> Window:
        """The window of ``grain`` that holds the local calendar day ``first``."""
        begin = _floor(first, grain)
        return cls(_instant(begin, zone), _instant(_step(begin, grain, 1), zone), zone, grain)

    @classmethod
    def containing(cls, instant: datetime, grain: Grain, zone: str = "UTC") -> Window:
        return cls.of(instant.astimezone(_zone(zone)).date(), grain, zone)

    @classmethod
    def last_full(cls, before: datetime, grain: Grain, zone: str = "UTC") -> Window:
        """The latest window that has wholly ended at the instant ``before``."""
        return cls.containing(before, grain, zone).previous()

    @classmethod
    def parse(cls, text: str, zone: str = "UTC") -> Window:
        """Read ``2026-06-01`` (day), ``2026-W23`` (ISO week), ``2026-06`` or ``2026-Q2``.

        Raises:
            ConfigurationError: the text is none of these.
        """
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
                return cls.of(date.fromisoformat(text), Grain.DAY, zone)
            if match := re.fullmatch(r"(\d{4})-W(\d{1,2})", text):
                week = date.fromisocalendar(int(match[1]), int(match[2]), 1)
                return cls.of(week, Grain.WEEK, zone)
            if match := re.fullmatch(r"(\d{4})-Q([1-4])", text):
                return cls.of(date(int(match[1]), 3 * int(match[2]) - 2, 1), Grain.QUARTER, zone)
            if match := re.fullmatch(r"(\d{4})-(\d{2})", text):
                return cls.of(date(int(match[1]), int(match[2]), 1), Grain.MONTH, zone)
        except ValueError as error:
            raise ConfigurationError(f"{text!r} is not on the calendar: {error}") from error
        raise ConfigurationError(
            f"{text!r} is not a window",
            mend="write a day 2026-06-01, a week 2026-W23, a month 2026-06 or a quarter 2026-Q2",
        )

    @classmethod
    def between(cls, first: date, last: date, grain: Grain, zone: str = "UTC") -> Iterator[Window]:
        """Every window of ``grain`` that ends within the local days ``first`` to ``last``."""
        window = cls.of(first, grain, zone)
        limit = _instant(last + timedelta(days=1), zone)
        while window.end <= limit:
            yield window
            window = window.next()

    @property
    def first_day(self) -> date:
        """The local calendar day on which the window begins."""
        return self.start.astimezone(_zone(self.zone)).date()

    @property
    def ordinal(self) -> int:
        """Its place in the row of all windows of its grain: the next one's is one more."""
        day = self.first_day
        match self.grain:
            case Grain.DAY:
                return day.toordinal()
            case Grain.WEEK:
                return day.toordinal() // 7
            case Grain.MONTH:
                return day.year * 12 + day.month
            case _:
                return day.year * 4 + (day.month - 1) // 3

    @property
    def hours(self) -> float:
        return (self.end - self.start).total_seconds() / 3600

    @property
    def label(self) -> str:
        """The text that `parse` reads back."""
        day = self.first_day
        match self.grain:
            case Grain.DAY:
                return day.isoformat()
            case Grain.WEEK:
                year, week, _ = day.isocalendar()
                return f"{year}-W{week:02d}"
            case Grain.MONTH:
                return f"{day:%Y-%m}"
            case Grain.QUARTER:
                return f"{day.year}-Q{(day.month + 2) // 3}"

    def shift(self, count: int) -> Window:
        """The window ``count`` grains later (earlier when negative)."""
        return Window.of(_step(self.first_day, self.grain, count), self.grain, self.zone)

    def next(self) -> Window:
        return self.shift(1)

    def previous(self) -> Window:
        return self.shift(-1)

    def days(self) -> list[Window]:
        """The calendar days of the window, in order; together they are the window."""
        last = (self.end - timedelta(microseconds=1)).astimezone(_zone(self.zone)).date()
        return list(Window.between(self.first_day, last, Grain.DAY, self.zone))

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return self.label


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"there is no time zone {name!r}", mend="use an IANA name such as Europe/Berlin"
        ) from error


def _instant(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC)


def _floor(day: date, grain: Grain) -> date:
    match grain:
        case Grain.DAY:
            return day
        case Grain.WEEK:
            return day - timedelta(days=day.weekday())
        case Grain.MONTH:
            return day.replace(day=1)
        case Grain.QUARTER:
            return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)


def _step(day: date, grain: Grain, count: int) -> date:
    match grain:
        case Grain.DAY:
            return day + timedelta(days=count)
        case Grain.WEEK:
            return day + timedelta(weeks=count)
        case Grain.MONTH | Grain.QUARTER:
            months = day.year * 12 + day.month - 1 + count * (1 if grain is Grain.MONTH else 3)
            return date(months // 12, months % 12 + 1, 1)
