"""Which rows of the log are looked at: a pure function of the row's id, the same in any database.

A row is kept iff ``md5(seed ‖ ':' ‖ source ‖ ':' ‖ id)``, as lower-case hexadecimal text, sorts
below the rate's bound; a row that shadows another request is drawn by that request's id. Raising
the rate keeps every row kept before (the samples are nested), and neither order nor retries nor the
choice of database change membership. md5 is used for spread, not for secrecy, because it is the
one digest that every dialect has built in.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from sql.errors import ConfigurationError

LOWEST_RATE, HIGHEST_RATE = 0.01, 0.05
_DIGITS = 32


class _Md5(FunctionElement[str]):
    """``md5(text)``; on SQLite of the text's bytes, because they need not be UTF-8 there."""

    type = String()
    inherit_cache = True


@compiles(_Md5)
def _anywhere(element: _Md5, compiler: Any, **options: Any) -> str:
    return f"md5({compiler.process(element.clauses, **options)})"


@compiles(_Md5, "sqlite")
def _on_sqlite(element: _Md5, compiler: Any, **options: Any) -> str:
    return f"md5(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


def drawn_by(item_id: str, shadow_of: str | None) -> str:
    """The id that decides about a row: its own, or that of the request it shadows."""
    return shadow_of or item_id


def drawn_by_expression(
    item_id: ColumnElement[str], shadow_of: ColumnElement[str] | None
) -> ColumnElement[str]:
    """`drawn_by` as SQL; None where the log has no shadows."""
    return item_id if shadow_of is None else func.coalesce(func.nullif(shadow_of, ""), item_id)


def sample_key(seed: str, source: str, item_id: str) -> str:
    """The row's place in [0, 16**32), as 32 hexadecimal digits."""
    text = f"{seed}:{source}:{item_id}".encode("utf-8", "surrogateescape")
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def sample_key_expression(
    seed: str, source: str, item_id: ColumnElement[str]
) -> ColumnElement[str]:
    """`sample_key` as SQL: most databases have ``md5``; `sql.engine` gives it to SQLite."""
    prefix = literal(f"{seed}:{source}:", String)
    return _Md5(prefix.concat(cast(item_id, String)))


def rate_bound(rate: float) -> str:
    """The hexadecimal text below which a share ``rate`` of all keys sorts; ``g`` keeps all.

    Raises:
        ValueError: the rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError("a rate lies above 0 and at most at 1")
    if rate == 1:
        return "g"
    # 52 bits of the float are exact; the lower digits are zero, so that bounds compare as rates.
    return f"{int(rate * 2**52):013x}".ljust(_DIGITS, "0")


def is_sampled(seed: str, source: str, item_id: str, rate: float) -> bool:
    """Is the item in a sample of ``rate`` (0 to 1)? Once in, it is in at every higher rate."""
    return sample_key(seed, source, item_id) < rate_bound(rate)


def check_rate(rate: float, *, forced: bool = False) -> float:
    """``rate`` when it is within 1–5 %, or when a person insists.

    Raises:
        ConfigurationError: the rate is outside and not forced, or impossible.
    """
    if not 0 < rate <= 1:
        raise ConfigurationError(
            f"a sampling rate of {rate} is impossible",
            where="[sampling] rate",
            mend="give a share such as 0.02",
        )
    if not forced and not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ConfigurationError(
            f"a sampling rate of {rate:.2%} is outside 1–5 %",
            where="[sampling] rate",
            mend="choose 0.01 to 0.05, or set force = true beside it",
        )
    return rate
