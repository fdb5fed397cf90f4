"""Versions of the golden set: which examples there were, who said what of each, and why it changed.

A version is written with the change that makes it and never again; its digest is the sha256 of its
own text. It holds ids, digests and verdicts but no text, so that erasing what a person wrote
rewrites no history. The texts are kept beside, by digest, so that a version can be brought back:
all of it but what has been erased since.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from monitors.context import Context
from sql import audit
from sql.errors import ConfigurationError, TidegaugeError
from sql.store import Store
from sql.tables import golden_example, golden_text, golden_version
from sql.types import canonical_json

# Of each example, in this order, under its id.
_FIELDS = ("content", "label", "is_anchor", "feature", "provenance")
_TEXTS = ("input", "output", "context", "reference")
_KEPT = (*_TEXTS, "dimensions", "provenance", "added_at")


class AlteredVersion(TidegaugeError):
    """A stored version is not what its digest says."""


@dataclass(frozen=True, slots=True)
class Member:
    """An example as a version knows it; ``content`` is the sha256 of its texts."""

    content: str
    label: float
    is_anchor: bool
    feature: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version; ``members`` by example id."""

    number: int
    digest: str
    made_at: datetime
    made_by: str
    reason: str
    members: dict[str, Member]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two versions do not share, by example id; ``verdicts`` as (id, before, after)."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    verdicts: tuple[tuple[str, float, float], ...]
    reworded: tuple[str, ...]
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What bringing a version back did.

    Args:
        version: of the set as it stands now; another number than the one brought back.
        added, changed, removed: how many examples, against the set before.
        missing: ids of examples whose texts are not kept any more, and that stay away.
    """

    version: int
    added: int
    changed: int
    removed: int
    missing: tuple[str, ...]


def record(connection: Connection, store: Store, actor: str, reason: str, at: datetime) -> int:
    """Write down the set as it stands within the caller's transaction; the number of the version.

    A set that did not change is the version that it was.
    """
    keep_texts(connection, store)
    body = canonical_json(_body(connection))
    digest = hashlib.sha256(body.encode()).hexdigest()
    last = _last(connection)
    if last is not None and last.digest == digest:
        return int(last.number)
    number = int(last.number) + 1 if last is not None else 1
    detail = {"digest": digest, "reason": reason}
    # The audit's lock also keeps two writers from the same number.
    audit.append(connection, actor, "golden_version", str(number), detail, at)
    row = {
        "number": number,
        "digest": digest,
        "body": body,
        "made_at": at,
        "made_by": actor,
        "reason": reason,
    }
    connection.execute(golden_version.insert().values(**row))
    return number


def keep_texts(connection: Connection, store: Store) -> None:
    """Keep the texts of the set as it stands, each wording once."""
    rows = [
        {
            "example_id": row.example_id,
            "content": _content(row),
            **{name: getattr(row, name) for name in _KEPT},
        }
        for row in connection.execute(select(golden_example))
    ]
    store.upsert(connection, golden_text, rows)


def restore(number: int, actor: str, reason: str, context: Context) -> Restored:
    """Make the set what it was in a version, and write that down as a new one.

    What has been erased since stays away, and so does what was reworded before texts were kept.

    Raises:
        ConfigurationError: no such version, or no reason was given.
        AlteredVersion: the version, or a text that is kept for it, is not what was written.
    """
    if not reason.strip():
        raise ConfigurationError("bringing a version back needs a reason", mend='--reason "…"')
    wanted = load(number, context).members
    now = context.clock()
    with context.store.begin() as connection:
        keep_texts(connection, context.store)
        before = _body(connection)
        rows = {
            row.example_id: row
            for row in connection.execute(select(golden_text))
            if row.example_id in wanted and wanted[row.example_id].content == row.content
        }
        if any(_content(row) != row.content for row in rows.values()):
            raise AlteredVersion(
                "a golden text is not what was written",
                where="table golden_text",
                mend="restore it from a backup",
            )
        connection.execute(delete(golden_example))
        context.store.upsert(
            connection,
            golden_example,
            [_example(row, wanted[key]) for key, row in sorted(rows.items())],
        )
        after = _body(connection)
        version = record(connection, context.store, actor, f"version {number} again: {reason}", now)
    return Restored(
        version=version,
        added=len(set(after) - set(before)),
        changed=sum(before[key] != after[key] for key in set(before) & set(after)),
        removed=len(set(before) - set(after)),
        missing=tuple(sorted(set(wanted) - set(rows))),
    )


def _example(row: Any, member: Member) -> dict[str, Any]:
    facts = {name: getattr(member, name) for name in _FIELDS[1:]}
    return {"example_id": row.example_id, **{name: getattr(row, name) for name in _KEPT}, **facts}


def _content(row: Any) -> str:
    return content_digest(*(getattr(row, name) for name in _TEXTS))


def versions(context: Context) -> list[Version]:
    """All versions, the oldest first.

    Raises:
        AlteredVersion: one of them no longer fits its digest.
    """
    rows = context.store.rows(select(golden_version).order_by(golden_version.c.number))
    return [_read(row) for row in rows]


def load(number: int, context: Context) -> Version:
    """One version.

    Raises:
        ConfigurationError: there is none of that number.
        AlteredVersion: it no longer fits its digest.
    """
    rows = context.store.rows(select(golden_version).where(golden_version.c.number == number))
    if not rows:
        raise ConfigurationError(
            f"the golden set has no version {number}", mend="see `tidegauge golden versions`"
        )
    return _read(rows[0])


def latest(context: Context) -> Version | None:
    """The newest version; None before the first import."""
    last = context.store.rows(select(func.max(golden_version.c.number)))[0][0]
    return None if last is None else load(last, context)


def difference(old: Version, new: Version) -> Difference:
    """What changed from one version to the other."""
    before, after = old.members, new.members
    both = sorted(set(before) & set(after))
    return Difference(
        added=tuple(sorted(set(after) - set(before))),
        removed=tuple(sorted(set(before) - set(after))),
        verdicts=tuple(
            (key, before[key].label, after[key].label)
            for key in both
            if before[key].label != after[key].label
        ),
        reworded=tuple(key for key in both if before[key].content != after[key].content),
        anchors=tuple(key for key in both if before[key].is_anchor != after[key].is_anchor),
    )


def content_digest(*texts: str | None) -> str:
    """sha256 of an example's texts: input, output, context, reference."""
    return hashlib.sha256(canonical_json(list(texts)).encode()).hexdigest()


def _body(connection: Connection) -> dict[str, list[Any]]:
    table = golden_example.c
    return {
        row.example_id: [
            _content(row),
            *(getattr(row, name) for name in _FIELDS[1:]),
        ]
        for row in connection.execute(select(golden_example).order_by(table.example_id))
    }


def _last(connection: Connection) -> Any:
    table = golden_version.c
    newest = select(table.number, table.digest).order_by(table.number.desc()).limit(1)
    return connection.execute(newest).first()


def _read(row: Any) -> Version:
    if hashlib.sha256(row.body.encode()).hexdigest() != row.digest:
        raise AlteredVersion(
            "a version of the golden set is not what was written",
            where=f"table golden_version, {row.number}",
            mend="restore it from a backup",
        )
    members = {key: Member(*facts) for key, facts in json.loads(row.body).items()}
    return Version(row.number, row.digest, row.made_at, row.made_by, row.reason, members)
