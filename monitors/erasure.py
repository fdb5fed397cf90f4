"""One person's texts and vectors, out of everything that Tidegauge keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, null, or_, select, update

from monitors import pages
from monitors.context import Context
from monitors.drift.embedder import content_key
from monitors.logs.draw import ERASED
from monitors.logs.embedded import blank_rows, is_embedded
from monitors.logs.redaction import user_key
from monitors.quality.llm_judge import content_digest
from sql import audit
from sql.engine import open_engine
from sql.errors import ConfigurationError
from sql.tables import (
    embedding,
    golden_example,
    golden_text,
    judge_verdict,
    label,
    partial_result,
    quarantine,
    review_entry,
    review_item,
    sample,
)
from sql.window import Grain, Window

_NOTHING = hashlib.sha256(b"").hexdigest()
_TEXTS = ("input", "output", "context", "reference")
# What of a row's other fields points at a person or a conversation.
_POINTERS = ("conversation_id", "response_id", "shadow_of")
_CHUNK = 500


def erase(subject: str, actor: str, context: Context) -> dict[str, int]:
    """Remove what the store and the report folders hold of one user of the product.

    Found by the keyed hash that the sample keeps, where ``[privacy] key`` is set, and by the log's
    ``user_id``. Gone are the sampled texts and what was derived from them: vectors (also where
    somebody else wrote the very same text: they are made again), judges' reasons, quarantine
    digests, reviewers' words, golden examples, and pages and batch files that show them. Ids,
    weights and scores stay, so that published numbers can still be explained; drawing the day
    again does not bring the texts back. The embedded log is blanked, too; any other log is only
    read, and ``log_rows_left`` says how many of its rows are still to be removed there.

    Args:
        subject: the log's ``user_id``, as it stands there.
        actor: for the audit.

    Returns:
        kind of thing → how many were removed; 0 everywhere when nothing is known of the subject.

    Raises:
        ConfigurationError: no way to know whose rows are whose. StoreError: a database refused;
            what was not done is done by running it again.
    """
    logged = _logged(subject, context)
    rows = _sampled(subject, logged, context)
    ids = sorted({row.item_id for row in rows} | set(logged))
    files = _files([row.item_id for row in rows], context)
    with context.store.begin() as connection:
        facts = {
            "rows": _blank_sample(connection, rows, context),
            "vectors": _vectors(connection, rows, context),
            "reasons": _reasons(connection, rows),
            "golden": _golden(connection, rows),
            "reviews": _reviews(connection, [row.item_id for row in rows]),
            "quarantined": _quarantined(connection, ids, context),
            "files": len(files),
        }
        audit.append(connection, actor, "erase", "a subject", facts, context.clock())
    for path in files:
        path.unlink(missing_ok=True)
    context.store.compact()
    left = 0 if _blank_log(subject, context) else len(logged)
    return {**facts, "log_rows_left": left}


def _blank_log(subject: str, context: Context) -> bool:
    """Blank the embedded log; False for any other."""
    source = context.settings.source
    engine = open_engine(source.url, where="[source] url")
    try:
        embedded = is_embedded(engine, source.table)
        if embedded:
            blank_rows(engine, subject)
        return embedded
    finally:
        engine.dispose()


# ── whose is what ────────────────────────────────────────────────────────────────────────────


def _logged(subject: str, context: Context) -> list[str]:
    """Ids of the subject's rows in the log, as far as it still has them."""
    if "user_id" not in context.source.attributes:
        if context.settings.privacy.key:
            return []
        raise ConfigurationError(
            "nothing says which rows are whose: the log has no user_id, and no user keys are kept",
            where="[privacy] key, [source.columns] user_id",
            mend="map user_id to the log's column; with a key the sample keeps a keyed hash of it",
        )
    source = context.source
    query = select(source.column("id")).where(source.column("user_id") == subject)
    return [str(row[0]) for part in source.flow(query) for row in part]


def _sampled(subject: str, logged: Sequence[str], context: Context) -> list[Any]:
    table = sample.c
    own = table.source == context.source.name
    key = user_key(context.settings.privacy.key, context.source.name, subject)
    found = {}
    if key is not None:
        query = select(sample).where(own, table.user_key == key)
        found.update({row.item_id: row for row in context.store.rows(query)})
    for some in _parts(logged):
        query = select(sample).where(own, table.item_id.in_(some))
        found.update({row.item_id: row for row in context.store.rows(query)})
    return list(found.values())


# ── taking it out ────────────────────────────────────────────────────────────────────────────


def _blank_sample(connection: Connection, rows: Sequence[Any], context: Context) -> int:
    for row in rows:
        fields = {name: value for name, value in row.fields.items() if name not in _POINTERS}
        connection.execute(
            update(sample)
            .where(sample.c.source == context.source.name, sample.c.item_id == row.item_id)
            .values(
                **dict.fromkeys(_TEXTS),
                user_key=None,
                input_sha256=_NOTHING,
                output_sha256=_NOTHING,
                redactions=ERASED,
                fields=fields,
            )
        )
    return len(rows)


def _vectors(connection: Connection, rows: Sequence[Any], context: Context) -> int:
    limit = context.settings.drift.text_characters
    texts = {getattr(row, name) for row in rows for name in _TEXTS} - {None}
    keys = {content_key(text, limit) for text in texts}
    # Where retention has taken the text, its hash is that of a short text's vector.
    keys |= {digest for row in rows for digest in (row.input_sha256, row.output_sha256)}
    gone = 0
    for some in _parts(sorted(keys - {_NOTHING})):
        gone += connection.execute(
            delete(embedding).where(embedding.c.content_sha256.in_(some))
        ).rowcount
    return gone


def _reasons(connection: Connection, rows: Sequence[Any]) -> int:
    digests = {
        content_digest((row.input, row.output, passage))
        for row in rows
        if row.input is not None and row.output is not None
        for passage in (None, row.context)
    }
    gone = 0
    for some in _parts(sorted(digests)):
        mine = update(judge_verdict).where(judge_verdict.c.content.in_(some))
        gone += connection.execute(mine.values(reasons=null())).rowcount
    return gone


def _golden(connection: Connection, rows: Sequence[Any]) -> int:
    """Examples of the very question and answer, or made in a review of the very question.

    Every wording of theirs that is kept for older versions goes, too.
    """
    pairs = {(row.input_sha256, row.output_sha256) for row in rows}
    asked = {digest for digest, _ in pairs} - {_NOTHING}

    def theirs(table: Table) -> set[str]:
        columns = (table.c.example_id, table.c.input, table.c.output, table.c.provenance)
        found = set()
        for example in connection.execute(select(*columns)):
            pair = (_sha256(example.input), _sha256(example.output))
            if pair in pairs or (pair[0] in asked and example.provenance.startswith("batch ")):
                found.add(example.example_id)
        return found

    mine = theirs(golden_example)
    for some in _parts(sorted(mine | theirs(golden_text))):
        connection.execute(delete(golden_text).where(golden_text.c.example_id.in_(some)))
    for some in _parts(sorted(mine)):
        connection.execute(delete(golden_example).where(golden_example.c.example_id.in_(some)))
    return len(mine)


def _reviews(connection: Connection, ids: Sequence[str]) -> int:
    """What reviewers wrote of the rows may quote them; their scores stay."""
    gone = 0
    for some in _parts(ids):
        entry = review_entry.c
        said = or_(entry.comment != "", entry.correction != "")
        gone += connection.execute(
            update(review_entry)
            .where(entry.item_id.in_(some), said)
            .values(comment="", correction="")
        ).rowcount
        connection.execute(
            update(label).where(label.c.item_id.in_(some), label.c.comment != "").values(comment="")
        )
    return gone


def _quarantined(connection: Connection, ids: Sequence[str], context: Context) -> int:
    gone = 0
    for some in _parts(ids):
        gone += connection.execute(
            delete(quarantine).where(
                quarantine.c.source == context.source.name, quarantine.c.item_id.in_(some)
            )
        ).rowcount
    return gone


def _files(ids: Sequence[str], context: Context) -> list[Path]:
    """Pages of topics and files of batches that show one of the rows; both can be made again."""
    from monitors.drift import topics
    from monitors.review.batch import folder_of

    mine, found = set(ids), set()
    kept = select(partial_result.c.window_start, partial_result.c.body).where(
        partial_result.c.job == topics.KEPT.job, partial_result.c.step == topics.KEPT.step
    )
    reports = pages.reports(context.settings, "drift")
    for row in context.store.rows(kept):
        if any(mine & set(topic["members"]) for topic in row.body["topics"]):
            zone = context.settings.timezone
            window = Window.containing(row.window_start, Grain.WEEK, zone)
            found.add(reports / f"{window}-topics.html")
    for some in _parts(ids):
        query = select(review_item.c.batch_id).where(review_item.c.item_id.in_(some)).distinct()
        for row in context.store.rows(query):
            found.update(folder_of(row.batch_id, context).glob("*.*"))
    return sorted(path for path in found if path.is_file())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _parts(values: Iterable[str]) -> Iterator[list[str]]:
    ordered = list(values)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
