"""The schema of Tidegauge's own store. Each table's primary key is its natural key.

The production log is not here: it is a *source* (`monitors.logs`), which is only read.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from sql.types import Instant, Json

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def _key(name: str, length: int = 255) -> Column[str]:
    return Column(name, String(length), primary_key=True, nullable=False)


# ── what was measured ────────────────────────────────────────────────────────────────────────

measurement = Table(
    "measurement",
    metadata,
    _key("monitor", 80),
    _key("metric", 120),
    Column("labels", Text, primary_key=True, nullable=False, doc="canonical JSON of the slice"),
    _key("grain", 10),
    Column("window_start", Instant, primary_key=True, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("zone", String(60), nullable=False),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("n", Integer, nullable=False),
    Column("baseline", Double),
    Column("evidence", Double),
    Column("detectable", Double),
    Column("unit", String(20), nullable=False),
    Column("method", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("reason", String(200), nullable=False),
    Index(None, "grain", "window_start"),
    Index(None, "metric", "labels", "window_start"),
    CheckConstraint("n >= 0", name="n_not_negative"),
)

coverage = Table(
    "coverage",
    metadata,
    _key("job", 80),
    _key("grain", 10),
    Column("window_start", Instant, primary_key=True, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("status", String(20), nullable=False, doc="complete, partial, no_data, error …"),
    Column("reason", String(400), nullable=False, default=""),
    Column("rows", Integer, nullable=False, default=0),
    Column("measurements", Integer, nullable=False, default=0),
    Column("seconds", Double, nullable=False, default=0.0),
    Column("config_digest", String(64), nullable=False),
    Column("code_version", String(40), nullable=False),
    Column("finished_at", Instant, nullable=False),
    Index(None, "window_start"),
)

reference = Table(
    "reference",
    metadata,
    _key("name", 80),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("pinned_at", Instant, nullable=False),
    Column("pinned_by", String(120), nullable=False, doc="a person, or 'auto'"),
    Column("reason", Text, nullable=False),
)

# ── rows of the log that the suite keeps, redacted ───────────────────────────────────────────

sample = Table(
    "sample",
    metadata,
    _key("source", 80),
    _key("item_id"),
    Column("at", Instant, nullable=False),
    Column("sample_key", String(32), nullable=False),
    Column("stratum", String(400), nullable=False),
    Column("inclusion_probability", Double, nullable=False),
    Column("input", Text, doc="redacted; NULL once retention or erasure has removed it"),
    Column("output", Text, doc="redacted"),
    Column("context", Text, doc="redacted"),
    Column("reference", Text, doc="redacted"),
    Column("input_sha256", String(64), nullable=False),
    Column("output_sha256", String(64), nullable=False),
    Column("redactions", Json, nullable=False, doc="placeholder type → count"),
    Column("fields", Json, nullable=False, doc="the other Interaction fields, by attribute name"),
    Column("user_key", String(64), doc="keyed HMAC of the user id, for erasure"),
    Index(None, "source", "at"),
    Index(None, "user_key"),
    CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", name="probability"),
)

score = Table(
    "score",
    metadata,
    _key("source", 80),
    _key("item_id"),
    _key("scorer", 80),
    _key("scorer_version", 80),
    Column("at", Instant, nullable=False),
    Column("value", Double, doc="0 to 1; NULL when it could not be scored"),
    Column("reason", String(80), nullable=False),
    Index(None, "source", "at"),
    CheckConstraint("value IS NULL OR (value >= 0 AND value <= 1)", name="unit_interval"),
)

partial_result = Table(
    "partial_result",
    metadata,
    _key("job", 80),
    _key("grain", 10),
    Column("window_start", Instant, primary_key=True, nullable=False),
    _key("step", 80),
    Column("shard", Integer, primary_key=True, nullable=False),
    Column("body", Json, nullable=False, doc="mergeable counts of one shard; no text"),
    Column("finished_at", Instant, nullable=False),
)

profile = Table(
    "profile",
    metadata,
    _key("source", 80),
    Column("window_start", Instant, primary_key=True, nullable=False, doc="of the day"),
    _key("name", 120),
    _key("field", 80),
    _key("value", 120),
    Column("kind", String(10), nullable=False, doc="number, category; empty: the day's mark"),
    Column("recipe", String(64), nullable=False, doc="how it was made: another one is made anew"),
    Column("rows", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("total", Double, nullable=False, doc="sum of a number's values"),
    Column("squares", Double, nullable=False, doc="sum of their squares"),
    Column("body", LargeBinary, nullable=False, doc="sketch of all rows (DataSketches); no text"),
    Column("finished_at", Instant, nullable=False),
    Index(None, "source", "name", "window_start"),
)

drift_reference = Table(
    "drift_reference",
    metadata,
    _key("source", 80),
    _key("digest", 64),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("body", Json, nullable=False, doc="column and recipe → sha256 of its days' profiles"),
    Column("made_at", Instant, nullable=False),
    Column("made_by", String(120), nullable=False, doc="a person, or 'auto' by [reference]"),
    Column("reason", Text, nullable=False),
    Column("approved_at", Instant, doc="empty: a candidate"),
    Column("approved_by", String(120), nullable=False, default=""),
)

quarantine = Table(
    "quarantine",
    metadata,
    _key("source", 80),
    _key("item_id"),
    _key("field", 80),
    Column("at", Instant, doc="the row's own time, where it can be read"),
    Column("reason", String(80), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("seen_at", Instant, nullable=False),
    Index(None, "source", "seen_at"),
    Index(None, "at"),
)

embedding = Table(
    "embedding",
    metadata,
    _key("content_sha256", 64),
    _key("model_digest", 64),
    Column("vector", LargeBinary, nullable=False, doc="float16, little-endian"),
    Column("last_used", Instant, nullable=False, doc="for retention"),
    Index(None, "last_used"),
)

golden_example = Table(
    "golden_example",
    metadata,
    _key("example_id"),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("context", Text, doc="passages that the answer should rest on"),
    Column("reference", Text),
    Column("label", Double, nullable=False, doc="people's verdict, 0 bad to 1 good"),
    Column("dimensions", Json, nullable=False),
    Column("feature", String(120), nullable=False, default=""),
    Column("provenance", String(200), nullable=False),
    Column("is_anchor", Boolean, nullable=False, default=False),
    Column("added_at", Instant, nullable=False),
)

golden_version = Table(
    "golden_version",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False, doc="sha256 of the body"),
    Column("body", Text, nullable=False, doc="canonical JSON: ids, digests, verdicts; no text"),
    Column("made_at", Instant, nullable=False),
    Column("made_by", String(120), nullable=False),
    Column("reason", Text, nullable=False),
)

golden_text = Table(
    "golden_text",
    metadata,
    _key("example_id"),
    _key("content", 64),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("context", Text),
    Column("reference", Text),
    Column("dimensions", Json, nullable=False),
    Column("provenance", String(200), nullable=False),
    Column("added_at", Instant, nullable=False),
)

model_artifact = Table(
    "model_artifact",
    metadata,
    _key("name", 80),
    _key("digest", 64),
    Column("body", LargeBinary, nullable=False, doc="JSON or safetensors bytes; never pickle"),
    Column("card", Json, nullable=False, doc="data digest, cross-validated figures, versions"),
    Column("created_at", Instant, nullable=False),
)

judge_approval = Table(
    "judge_approval",
    metadata,
    _key("name", 80),
    Column("approved_at", Instant, primary_key=True, nullable=False),
    Column("digest", String(64), nullable=False, doc="of the artifact in force from then on"),
    Column("approved_by", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["name", "digest"], ["model_artifact.name", "model_artifact.digest"]),
)

judge_verdict = Table(
    "judge_verdict",
    metadata,
    _key("judge", 64),
    _key("content", 64),
    Column("scores", Json, nullable=False, doc="dimension to its grade, 0 to 1"),
    Column("reasons", Json, doc="dimension to why, redacted; removed like a text"),
    Column("said_at", Instant, nullable=False),
    Index(None, "said_at"),
)

spending = Table(
    "spending",
    metadata,
    _key("purpose", 80),
    Column("day", Date, primary_key=True, nullable=False, doc="UTC day of the calls themselves"),
    Column("usd", Double, nullable=False, doc="booked, and set aside for calls under way"),
    Column("calls", Integer, nullable=False),
    Column("rests_until", Instant, doc="after an outage nothing is asked until then"),
    CheckConstraint("usd >= 0", name="usd_not_negative"),
)

# ── pinned baselines of a provider ───────────────────────────────────────────────────────────

baseline = Table(
    "baseline",
    metadata,
    _key("digest", 64),
    Column("name", String(120), nullable=False),
    Column("provider", String(120), nullable=False),
    Column("body", Text, nullable=False, doc="canonical JSON; its sha256 is the digest"),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(120), nullable=False),
    Index(None, "name"),
)

pin = Table(
    "pin",
    metadata,
    _key("name", 120),
    Column("approved_at", Instant, primary_key=True, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("approved_by", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["digest"], ["baseline.digest"]),
)

replay_answer = Table(
    "replay_answer",
    metadata,
    _key("baseline_digest", 64),
    Column("window_start", Instant, primary_key=True, nullable=False),
    _key("prompt_id"),
    Column("repeat", Integer, primary_key=True, nullable=False),
    Column("answer", Text),
    Column("error", String(80), nullable=False, default=""),
    Column("response_model", String(120), nullable=False, default=""),
    Column("system_fingerprint", String(120), nullable=False, default=""),
    Column("finish_reason", String(40), nullable=False, default=""),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("latency_ms", Double),
    Column("cost_usd", Double),
    Column("answered_at", Instant, nullable=False),
)

# ── what was said about it ───────────────────────────────────────────────────────────────────

evaluation = Table(
    "evaluation",
    metadata,
    _key("rule", 120),
    Column("labels", Text, primary_key=True, nullable=False),
    _key("grain", 10),
    Column("window_start", Instant, primary_key=True, nullable=False),
    Column("version", Integer, primary_key=True, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("metric", String(120), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("n", Integer, nullable=False),
    Column("baseline", Double),
    Column("threshold", Double),
    Column("evidence", Double),
    Column("excess", Double, nullable=False, default=0.0, doc="how far beyond; no unit"),
    Column("reason", String(400), nullable=False),
    Column("rule_digest", String(64), nullable=False),
    Column("evaluated_at", Instant, nullable=False),
    Index(None, "grain", "window_start"),
)

incident = Table(
    "incident",
    metadata,
    _key("fingerprint", 64),
    Column("generation", Integer, primary_key=True, nullable=False),
    Column("rule", String(120), nullable=False),
    Column("metric", String(120), nullable=False),
    Column("labels", Text, nullable=False),
    Column("grain", String(10), nullable=False),
    Column("state", String(20), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("group_key", String(400), nullable=False),
    Column("opened_window", Instant),
    Column("last_window", Instant, nullable=False),
    Column("resolved_window", Instant),
    Column("windows", Integer, nullable=False),
    Column("worst_value", Double),
    Column("last_value", Double),
    Column("inhibited_by", String(64), nullable=False, default=""),
    Column("body", Json, nullable=False, doc="last evidence, for messages and pages"),
    Column("thread", String(80), nullable=False, default="", doc="subject of its messages"),
    Column("announced", String(20), nullable=False, default="", doc="what people were last told"),
    Column("announced_severity", String(20), nullable=False, default=""),
    Column("announced_window", Instant, doc="end of the window they were told about"),
    Column("updated_at", Instant, nullable=False),
    Index(None, "state"),
    Index(None, "thread"),
)

notification = Table(
    "notification",
    metadata,
    _key("delivery_key", 64),
    Column("channel", String(200), nullable=False),
    Column("kind", String(40), nullable=False, doc="root, update, thread, digest"),
    Column("subject", String(200), nullable=False, doc="incident or group the message is about"),
    Column("sequence", Integer, nullable=False),
    Column("payload", Json, nullable=False),
    Column("state", String(20), nullable=False, doc="see alerts.outbox"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("created_at", Instant, nullable=False),
    Column("first_attempt_at", Instant),
    Column("next_at", Instant, nullable=False),
    Column("lease_owner", String(80), nullable=False, default=""),
    Column("remote_channel", String(80), nullable=False, default=""),
    Column("remote_ts", String(80), nullable=False, default=""),
    Column("sent_at", Instant),
    Column("last_error", String(120), nullable=False, default=""),
    Index(None, "state", "next_at"),
    Index(None, "channel", "subject"),
)

silence = Table(
    "silence",
    metadata,
    _key("silence_id", 40),
    Column("matchers", Json, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", String(120), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

acknowledgement = Table(
    "acknowledgement",
    metadata,
    _key("fingerprint", 64),
    Column("generation", Integer, primary_key=True, nullable=False),
    _key("actor", 120),
    _key("action_id", 80),
    Column("at", Instant, nullable=False),
    Column("comment", Text, nullable=False, default=""),
    Column(
        "verdict",
        String(10),
        nullable=False,
        default="",
        server_default="",
        doc="real or false, where the person said so",
    ),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    _key("job", 80),
    Column("window_start", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),
)

# ── people ───────────────────────────────────────────────────────────────────────────────────

review_batch = Table(
    "review_batch",
    metadata,
    _key("batch_id", 80),
    Column("source", String(80), nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("design", Json, nullable=False, doc="strata, sizes, seed, overlap, expected width"),
    Column("state", String(20), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
)

review_item = Table(
    "review_item",
    metadata,
    _key("batch_id", 80),
    _key("item_id"),
    Column("source", String(80), nullable=False),
    Column("position", Integer, nullable=False),
    Column("stratum", String(400), nullable=False),
    Column("inclusion_probability", Double, nullable=False),
    Column("raters", Integer, nullable=False),
    Column("kind", String(20), nullable=False, doc="core, targeted, calibration, gold"),
    Column("judge_score", Double, doc="kept from evaluators until the batch closes"),
    ForeignKeyConstraint(["batch_id"], ["review_batch.batch_id"]),
)

review_assignment = Table(
    "review_assignment",
    metadata,
    _key("batch_id", 80),
    _key("item_id"),
    Column("slot", Integer, primary_key=True, nullable=False),
    Column("evaluator", String(120), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reserved_until", Instant),
    Index(None, "batch_id", "evaluator"),
    ForeignKeyConstraint(["batch_id", "item_id"], ["review_item.batch_id", "review_item.item_id"]),
)

label = Table(
    "label",
    metadata,
    _key("batch_id", 80),
    _key("item_id"),
    _key("evaluator", 120),
    _key("dimension", 40),
    Column("revision", Integer, nullable=False),
    Column("value", Double, doc="1 to 5; NULL means cannot judge"),
    Column("comment", Text, nullable=False, default=""),
    Column("flags", Json, nullable=False),
    Column("submitted_at", Instant),
    Column("seconds", Double),
)

review_entry = Table(
    "review_entry",
    metadata,
    _key("batch_id", 80),
    _key("item_id"),
    _key("evaluator", 120),
    Column("revision", Integer, nullable=False, doc="rises with every change"),
    Column("state", String(20), nullable=False, doc="draft, done, skipped, settled"),
    Column("scores", Json, nullable=False, doc="dimension to 1..5, null for cannot judge"),
    Column("comment", Text, nullable=False),
    Column("flags", Json, nullable=False),
    Column("correction", Text, nullable=False, doc="a better answer, offered to the golden set"),
    Column("reason", String(40), nullable=False, doc="why the item was skipped"),
    Column("seconds", Double, nullable=False, doc="time on the item, pauses left out"),
    Column("guidelines", String(20), nullable=False, doc="the version that the person saw"),
    Column("updated_at", Instant, nullable=False),
    Index(None, "evaluator", "updated_at"),
)

# ── housekeeping ─────────────────────────────────────────────────────────────────────────────

work_lock = Table(
    "work_lock",
    metadata,
    _key("name"),
    Column("owner", String(80), nullable=False),
    Column("token", Integer, nullable=False, doc="fencing token: rises with every new holder"),
    Column("expires_at", Instant, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("action", String(80), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("detail", Json, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)
