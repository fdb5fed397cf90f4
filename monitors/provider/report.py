"""The page of a day on which the provider's answers moved."""

from __future__ import annotations

from pathlib import Path

from monitors import pages
from monitors.context import Context
from monitors.provider.baselines import current
from monitors.provider.comparison import replayed_answers, seed_of
from monitors.provider.extras import extras_of
from monitors.provider.moved import Comparison, most_moved, write_page
from monitors.provider.verdict import compare_answers
from sql.window import Window


def write_reports(window: Window, context: Context) -> list[Path]:
    """A page for each pin whose answers moved in the window; none on a quiet day."""
    written = []
    for settings in context.settings.providers.values():
        verdicts = context.store.measurements(
            metric="provider.drift", labels={"pin": settings.pin}, since=window.start,
            until=window.end,
        )  # fmt: skip
        if not any(item.window == window and item.value == 1 for item in verdicts):
            continue
        pinned = current(settings.pin, context, at=window.end)
        if pinned is None:
            continue
        answers, _ = replayed_answers(pinned, window, context)
        seed = seed_of(settings.pin, window)
        extras = extras_of(settings, context)
        found = compare_answers(
            pinned.prompts, pinned.answers, answers, settings, extras=extras, seed=seed
        )
        served = sorted({f"{a.model} {a.fingerprint}".strip() for s in answers.values() for a in s})
        folder = pages.reports(context.settings, "provider")
        moved = ", ".join(each.feature.name for each in found if each.moved)
        page = Comparison(
            title=f"{settings.pin}, {window}",
            before="pin",
            after=str(window),
            verdict=f"The answers moved: {moved}.",
            found=found,
            prompts=most_moved(pinned.prompts, pinned.answers, answers, settings),
            facts=(f"answered by {', '.join(served)}", f"pin {pinned.digest[:12]}"),
        )
        written.append(write_page(folder / f"{settings.pin}-{window}.html", page))
    return written
