"""Before a switch: another model, asked the pinned prompts, against the pin. Go or no-go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitors import pages
from monitors.context import Context
from monitors.provider.asking import Reply, ask_all
from monitors.provider.baselines import Answer, Baseline, answers_of, current, provider_settings
from monitors.provider.extras import extras_of
from monitors.provider.moved import Comparison, most_moved, write_page
from monitors.provider.verdict import MINIMUM_PROMPTS, Moved, compare_answers
from monitors.settings import ProviderSettings
from sql import audit
from sql.errors import NotReady
from sql.window import Grain, Window

# A fall in one of these, or a rise in one of those, is a reason not to switch.
_BETTER_HIGH = frozenset({"correctness", "format"})
_BETTER_LOW = frozenset({"refusal", "cut_off", "cost"})


@dataclass(frozen=True, slots=True)
class Candidacy:
    """The outcome.

    Args:
        go: nothing is worse beyond its tolerance, and enough was answered to say so.
        worse, better, other: names of the features that moved, by what it means.
        answered, wanted: prompts.
        page: where it can be read.
    """

    go: bool
    worse: tuple[str, ...]
    better: tuple[str, ...]
    other: tuple[str, ...]
    answered: int
    wanted: int
    spent_usd: float
    page: Path

    @property
    def verdict(self) -> str:
        if self.answered < self.wanted:
            return f"No-go: only {self.answered} of {self.wanted} prompts were answered."
        moved = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("worse", self.worse),
                ("better", self.better),
                ("different", self.other),
            )
            if names
        ]
        return f"{'Go' if self.go else 'No-go'}: {'; '.join(moved) or 'nothing moved'}."


def try_candidate(
    provider: str,
    context: Context,
    *,
    model: str,
    base_url: str = "",
    actor: str = "cli",
) -> Candidacy:
    """Ask ``model`` every pinned prompt and compare with the pin; nothing of it becomes the pin.

    Args:
        model: the candidate's name at the provider.
        base_url: another address, such as a new gateway; empty is the provider's own.

    Raises:
        NotReady: nothing is pinned. ConfigurationError: there is no such provider.
    """
    settings = provider_settings(provider, context)
    pinned = current(settings.pin, context)
    if pinned is None:
        raise NotReady(
            f"nothing is pinned for {provider!r}",
            where=f"[providers.{provider}] pin",
            mend=f"tidegauge pin {provider} --reason '…' --approve",
        )
    changes = {"model": model, **({"base_url": base_url} if base_url else {})}
    asked = settings.model_copy(update=changes)
    day = Window.containing(context.clock(), Grain.DAY, context.settings.timezone)
    replies: list[Reply] = []
    tally = ask_all(
        asked,
        [(p, repeat) for p in pinned.prompts for repeat in range(settings.replay_repeats)],
        replies.extend,
        day=day.label,
        budget_usd=settings.budget_usd_per_day,
    )
    answers = answers_of(replies)
    extras = extras_of(settings, context)
    found = compare_answers(pinned.prompts, pinned.answers, answers, settings, extras=extras)
    name = f"candidate-{provider}-{_safe(model)}-{day}.html"
    path = pages.reports(context.settings, "provider") / name
    outcome = _decided(found, len(answers), len(pinned.prompts), tally.spent_usd, path)
    _write(path, outcome, found, pinned, answers, settings, model)
    with context.store.begin() as connection:
        detail = {"model": model, "pin": pinned.digest, "verdict": outcome.verdict}
        audit.append(connection, actor, "try_candidate", settings.pin, detail, context.clock())
    return outcome


def _decided(
    found: Sequence[Moved], answered: int, wanted: int, spent: float, page: Path
) -> Candidacy:
    worse: list[str] = []
    better: list[str] = []
    other: list[str] = []
    for each in found:
        name, rises = each.feature.name, each.effect.difference > 0
        if not each.moved:
            continue
        if name in _BETTER_HIGH | _BETTER_LOW:
            (better if rises == (name in _BETTER_HIGH) else worse).append(name)
        else:
            other.append(name)
    enough = answered == wanted and answered >= MINIMUM_PROMPTS
    return Candidacy(
        enough and not worse,
        tuple(worse),
        tuple(better),
        tuple(other),
        answered,
        wanted,
        spent,
        page,
    )


def _write(
    path: Path,
    outcome: Candidacy,
    found: Sequence[Moved],
    pinned: Baseline,
    answers: Mapping[str, Sequence[Answer]],
    settings: ProviderSettings,
    model: str,
) -> None:
    write_page(
        path,
        Comparison(
            title=f"{model} as a candidate for {settings.pin}",
            before=f"pin ({pinned.model})",
            after=model,
            verdict=outcome.verdict,
            found=found,
            prompts=most_moved(pinned.prompts, pinned.answers, answers, settings),
            facts=(f"pin {pinned.digest[:12]}, {pinned.repeats} answers a prompt",),
        ),
    )


def _safe(text: str) -> str:
    """A file's name of a model's name."""
    return "".join(char if char.isalnum() or char in "-._" else "-" for char in text)[:60]
