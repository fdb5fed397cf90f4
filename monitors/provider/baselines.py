"""Pinned baselines: a provider's answers on the day a person called them good.

A baseline is immutable and named by the sha256 of its own text. It holds everything a comparison
needs (prompts, parameters, several answers to each prompt, the version of the checks), so that
nothing outside of it can change what it means. A *pin* says which baseline a name stands for; it
is made by a person's approval, and an older one stays on record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from monitors.context import Context
from monitors.provider.asking import Reply, ask_all
from monitors.provider.checks import CHECKS_VERSION
from monitors.provider.clients import sdk_version
from monitors.provider.prompts import Prompt, load_prompts, prompts_digest
from monitors.settings import ProviderSettings
from sql import audit
from sql.errors import ConfigurationError, NotReady, TidegaugeError
from sql.tables import baseline as baseline_table
from sql.tables import pin as pin_table
from sql.types import canonical_json
from sql.window import Grain, Window

_FORMAT = 1


class TamperError(TidegaugeError):
    """A stored baseline is not what its digest says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One stored answer; numbers are None where the provider did not tell."""

    text: str
    model: str = ""
    fingerprint: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A verified baseline.

    Args:
        digest: sha256 of the canonical JSON of everything below.
        checks: version of the rules that its answers are judged by.
        answers: prompt id → its answers, one for each repeat.
    """

    digest: str
    name: str
    provider: str
    kind: str
    model: str
    sdk: str
    checks: str
    prompts: tuple[Prompt, ...]
    answers: dict[str, tuple[Answer, ...]]

    @property
    def prompts_digest(self) -> str:
        return prompts_digest(self.prompts)

    @property
    def repeats(self) -> int:
        return min((len(answers) for answers in self.answers.values()), default=0)


@dataclass(frozen=True, slots=True)
class Listed:
    """A baseline in a list; ``pinned_at`` is None for one that nobody approved."""

    digest: str
    name: str
    provider: str
    created_at: datetime
    created_by: str
    pinned_at: datetime | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What two baselines do not share, by prompt id."""

    model: tuple[str, str]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_prompts: tuple[str, ...]
    changed_answers: tuple[str, ...]


# ── making ───────────────────────────────────────────────────────────────────────────────────


def pin(
    name: str,
    settings: ProviderSettings,
    prompts: Sequence[Prompt],
    repeats: int,
    reason: str,
    actor: str,
    context: Context,
    *,
    provider: str = "",
) -> Baseline:
    """Ask every prompt ``repeats`` times and store the candidate; `approve` makes it the pin.

    Raises:
        ConfigurationError: no reason was given, or the provider's SDK is missing.
        NotReady: not every question was answered, so nothing was stored.
    """
    if not reason.strip():
        raise ConfigurationError("a pin needs a reason", mend='give --reason "…"')
    replies: list[Reply] = []
    day = Window.containing(context.clock(), Grain.DAY, context.settings.timezone).label
    tally = ask_all(
        settings,
        [(prompt, repeat) for prompt in prompts for repeat in range(repeats)],
        replies.extend,
        day=day,
        budget_usd=settings.budget_usd_per_day,
    )
    wanted = len(prompts) * repeats
    if tally.answered < wanted:
        raise NotReady(
            f"{tally.answered} of {wanted} questions were answered ({tally.reason})",
            where=f"[providers.{provider or name}]",
            mend="see that the provider works and the budget suffices, then pin again",
        )
    body = {
        "format": _FORMAT,
        "name": name,
        "provider": provider or settings.kind,
        "kind": settings.kind,
        "model": settings.model,
        "sdk": sdk_version(settings.kind),
        "checks": CHECKS_VERSION,
        "prompts": [prompt.model_dump(mode="json") for prompt in prompts],
        "answers": {
            prompt_id: [asdict(answer) for answer in answers]
            for prompt_id, answers in answers_of(replies).items()
        },
    }
    return _store(body, reason, actor, context)


def pin_provider(
    provider: str,
    reason: str,
    actor: str,
    context: Context,
    *,
    prompts: str = "",
    repeats: int = 0,
) -> Baseline:
    """`pin` as ``[providers.<provider>]`` says.

    Args:
        prompts, repeats: instead of the section's own. A replay asks the section's prompts,
            so a pin of other prompts stays a candidate until the section names them.

    Raises:
        ConfigurationError: there is no such provider, or its prompts cannot be read.
    """
    settings = provider_settings(provider, context)
    return pin(
        settings.pin,
        settings,
        load_prompts(context.settings.path(prompts or settings.prompts)),
        repeats or settings.repeats,
        reason,
        actor,
        context,
        provider=provider,
    )


def provider_settings(provider: str, context: Context) -> ProviderSettings:
    """The section of a provider.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return context.settings.providers[provider]
    except KeyError:
        known = ", ".join(context.settings.providers) or "none"
        raise ConfigurationError(
            f"there is no provider {provider!r}", mend=f"configured: {known}"
        ) from None


def answers_of(replies: Sequence[Reply]) -> dict[str, list[Answer]]:
    """Prompt id → the answers that came, in the order of their repeats."""
    found: dict[str, list[Answer]] = {}
    for reply in sorted(replies, key=lambda one: (one.prompt_id, one.repeat)):
        if (done := reply.completion) is not None:
            answer = Answer(
                text=done.text,
                model=done.model,
                fingerprint=done.fingerprint,
                finish_reason=done.finish_reason,
                input_tokens=done.input_tokens,
                output_tokens=done.output_tokens,
                latency_ms=round(done.latency_ms, 3),
                cost_usd=reply.cost_usd,
            )
            found.setdefault(reply.prompt_id, []).append(answer)
    return found


def _store(body: dict[str, Any], reason: str, actor: str, context: Context) -> Baseline:
    text = canonical_json(body)
    digest = hashlib.sha256(text.encode()).hexdigest()
    row = {
        "digest": digest,
        "name": body["name"],
        "provider": body["provider"],
        "body": text,
        "created_at": context.clock(),
        "created_by": actor,
    }
    with context.store.begin() as connection:
        context.store.upsert(connection, baseline_table, [row], keep=True)
        detail = {"digest": digest, "reason": reason, "prompts": len(body["prompts"])}
        audit.append(connection, actor, "store_baseline", body["name"], detail, context.clock())
    return _read(digest, text)


def approve(name: str, digest: str, actor: str, reason: str, context: Context) -> Baseline:
    """Make the baseline the pin of ``name``; approving the present pin again changes nothing.

    Raises:
        ConfigurationError: no reason was given, or the baseline is not one of that name.
        TamperError: its text no longer fits its digest.
    """
    if not reason.strip():
        raise ConfigurationError("an approval needs a reason", mend='give --reason "…"')
    candidate = load(digest, context)
    if candidate.name != name:
        raise ConfigurationError(
            f"baseline {digest[:12]} was made for {candidate.name!r}, not for {name!r}",
            mend="run `tidegauge baselines` to see which belong together",
        )
    with context.store.begin() as connection:
        now = context.clock()
        audit.approve(connection, pin_table, name, digest, actor, reason, "approve_baseline", now)
    return candidate


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def load(digest: str, context: Context) -> Baseline:
    """The baseline of a digest, verified byte by byte.

    Raises:
        ConfigurationError: there is none.
        TamperError: its text no longer fits its digest.
    """
    table = baseline_table.c
    found = context.store.rows(select(table.body).where(table.digest == digest))
    if not found:
        raise ConfigurationError(
            f"there is no baseline {digest[:12]}", mend="run `tidegauge baselines`"
        )
    return _read(digest, found[0].body)


def current(name: str, context: Context, *, at: datetime | None = None) -> Baseline | None:
    """The baseline that ``name`` stood for at an instant; None when nothing was ever approved.

    The first pin also stands for the time before it: a past window can be replayed against it.

    Args:
        at: None is now and means the newest pin.

    Raises:
        TamperError: its text no longer fits its digest.
    """
    table = pin_table.c
    query = select(table.digest, table.approved_at).where(table.name == name)
    pins = context.store.rows(query.order_by(table.approved_at))
    if not pins:
        return None
    in_force = [row for row in pins if at is None or row.approved_at < at]
    return load((in_force[-1] if in_force else pins[0]).digest, context)


def baselines(context: Context, name: str | None = None) -> list[Listed]:
    """All baselines, the newest first, with what became of each."""
    table = baseline_table.c
    query = select(table.digest, table.name, table.provider, table.created_at, table.created_by)
    if name is not None:
        query = query.where(table.name == name)
    pins = context.store.rows(select(pin_table).order_by(pin_table.c.approved_at))
    newest = {row.name: row.digest for row in pins}
    approved = {row.digest: row.approved_at for row in pins}
    return [
        Listed(
            digest=row.digest,
            name=row.name,
            provider=row.provider,
            created_at=row.created_at,
            created_by=row.created_by,
            pinned_at=approved.get(row.digest),
            is_current=newest.get(row.name) == row.digest,
        )
        for row in context.store.rows(query.order_by(table.created_at.desc(), table.digest))
    ]


def difference(old: Baseline, new: Baseline) -> Difference:
    """What changed between two baselines."""
    before = {prompt.id: prompt for prompt in old.prompts}
    after = {prompt.id: prompt for prompt in new.prompts}
    both = [prompt_id for prompt_id in before if prompt_id in after]

    def texts(side: Baseline, prompt_id: str) -> set[str]:
        return {answer.text for answer in side.answers.get(prompt_id, ())}

    return Difference(
        model=(old.model, new.model),
        added=tuple(prompt_id for prompt_id in after if prompt_id not in before),
        removed=tuple(prompt_id for prompt_id in before if prompt_id not in after),
        changed_prompts=tuple(p for p in both if before[p] != after[p]),
        changed_answers=tuple(p for p in both if not texts(old, p) & texts(new, p)),
    )


def _read(digest: str, text: str) -> Baseline:
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise TamperError(
            "a stored baseline is not what was approved",
            where=f"table baseline, {digest[:12]}",
            mend="restore it from a backup, or pin and approve a new one",
        )
    body = json.loads(text)
    return Baseline(
        digest=digest,
        name=body["name"],
        provider=body["provider"],
        kind=body["kind"],
        model=body["model"],
        sdk=body["sdk"],
        checks=body["checks"],
        prompts=tuple(Prompt.model_validate(prompt) for prompt in body["prompts"]),
        answers={
            prompt_id: tuple(Answer(**answer) for answer in answers)
            for prompt_id, answers in body["answers"].items()
        },
    )
