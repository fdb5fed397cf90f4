"""The daily replay: put the pinned prompts to the provider again and keep the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from sqlalchemy import func, select

from monitors.context import Context
from monitors.provider.asking import Reply, ask_all
from monitors.provider.baselines import Baseline, current, provider_settings
from monitors.provider.checks import CHECKS_VERSION
from monitors.provider.prompts import Prompt, load_prompts, prompts_digest
from monitors.settings import ProviderSettings
from sql.tables import replay_answer
from sql.window import Window

Facts = dict[str, int | float | str]


def replay(provider: str, window: Window, context: Context) -> Facts:
    """Ask what is still unanswered for the window; a second run asks only what failed before.

    The pin that stood at the window's end says what is asked. Nothing is asked while the
    configuration and the pin do not agree: the answers could not be compared.

    Returns:
        ``status`` (complete, partial, refused, not_pinned), ``reason``, ``asked``, ``answered``
        (of the window, earlier runs included), ``wanted``, ``spent_usd``.

    Raises:
        ConfigurationError: no such provider, no prompts, or no SDK.
        TamperError: the pin's text no longer fits its digest.
    """
    settings = provider_settings(provider, context)
    pinned = current(settings.pin, context, at=window.end)
    if pinned is None:
        return {"status": "not_pinned", "reason": "not_pinned", "asked": 0}
    if reason := mismatch(pinned, settings, context):
        return {"status": "refused", "reason": reason, "asked": 0}
    done, spent = _so_far(pinned.digest, window, context)
    questions = [
        (prompt, repeat)
        for prompt in prompts_of_day(pinned, settings, window)
        for repeat in range(settings.replay_repeats)
        if (prompt.id, repeat) not in done
    ]
    tally = ask_all(
        settings,
        questions,
        _keeper(pinned.digest, window, context),
        day=window.label,
        budget_usd=settings.budget_usd_per_day,
        spent_usd=spent,
    )
    answered = len(done) + tally.answered
    wanted = len(done) + len(questions)
    return {
        "status": "complete" if answered == wanted else "partial",
        "reason": tally.reason,
        "asked": len(questions) - tally.unasked,
        "answered": answered,
        "wanted": wanted,
        "spent_usd": round(tally.spent_usd, 6),
    }


def prompts_of_day(
    pinned: Baseline, settings: ProviderSettings, window: Window
) -> tuple[Prompt, ...]:
    """What is asked in a window: all prompts, or as many as ``replay_prompts`` says, in rotation.

    The order is that of a hash of the ids, so that each day's part is mixed; as many days as there
    are parts go once through all of them.
    """
    count = settings.replay_prompts
    if not count or count >= len(pinned.prompts):
        return pinned.prompts
    mixed = sorted(pinned.prompts, key=lambda p: hashlib.sha256(p.id.encode()).digest())
    start = window.first_day.toordinal() * count
    return tuple(mixed[(start + place) % len(mixed)] for place in range(count))


def mismatch(pinned: Baseline, settings: ProviderSettings, context: Context) -> str:
    """Why answers asked now could not be compared with the pin; empty when they can.

    Returns:
        ``prompts_changed`` (a prompt's text, check or parameters), ``model_changed``,
        ``provider_changed`` or ``checks_changed``: pin anew.
    """
    prompts = load_prompts(context.settings.path(settings.prompts))
    if prompts_digest(prompts) != pinned.prompts_digest:
        return "prompts_changed"
    if settings.model != pinned.model:
        return "model_changed"
    if settings.kind != pinned.kind:
        return "provider_changed"
    return "" if pinned.checks == CHECKS_VERSION else "checks_changed"


def _so_far(digest: str, window: Window, context: Context) -> tuple[set[tuple[str, int]], float]:
    table = replay_answer.c
    here = (table.baseline_digest == digest, table.window_start == window.start)
    rows = context.store.rows(select(table.prompt_id, table.repeat).where(*here, table.error == ""))
    spent = context.store.rows(select(func.sum(table.cost_usd)).where(*here))[0][0]
    return {(row.prompt_id, row.repeat) for row in rows}, float(spent or 0)


def _keeper(digest: str, window: Window, context: Context) -> Callable[[Sequence[Reply]], None]:
    def keep(replies: Sequence[Reply]) -> None:
        rows = [_row(digest, window, reply, context) for reply in replies]
        with context.store.begin() as connection:
            context.store.upsert(connection, replay_answer, rows)

    return keep


def _row(digest: str, window: Window, reply: Reply, context: Context) -> dict[str, object]:
    done = reply.completion
    return {
        "baseline_digest": digest,
        "window_start": window.start,
        "prompt_id": reply.prompt_id,
        "repeat": reply.repeat,
        "answer": done.text if done else None,
        "error": reply.error,
        "response_model": done.model[:120] if done else "",
        "system_fingerprint": done.fingerprint[:120] if done else "",
        "finish_reason": done.finish_reason[:40] if done else "",
        "input_tokens": done.input_tokens if done else None,
        "output_tokens": done.output_tokens if done else None,
        "latency_ms": done.latency_ms if done else None,
        "cost_usd": reply.cost_usd,
        "answered_at": context.clock(),
    }
