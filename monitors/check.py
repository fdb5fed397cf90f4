"""Is everything in place? Each finding is one line in plain words, with its mend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError
from alerts.channels.opening import BASE_URL, TOKEN, secret_of, wanted_channels
from alerts.permission import permission
from monitors.settings import ChatSettings, LLMJudgeSettings, Settings, load_settings
from monitors.suite import Suite
from sql.engine import open_engine, safe_errors
from sql.errors import ConfigurationError, TidegaugeError

if TYPE_CHECKING:
    from monitors.provider.clients import ChatRequest, Completion

_PATIENCE_MS = 2_000
_PROVIDER_S = 20
_MENDS = {
    "unreachable": "check base_url and the network",
    "timeout": "check base_url, or raise timeout_s",
    "refused": "check api_key and model",
    "malformed": "check base_url: what answers there is not such an API",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is in order, and what was seen."""

    what: str
    good: bool
    text: str


def check(config: str | Path | None = None) -> Iterator[Finding]:
    """Look at everything in turn; what rests on a broken part is not looked at."""
    settings, finding = _settings(config)
    yield finding
    if settings is None:
        return
    store = _tried("store", lambda: _store(settings))
    yield store
    if not store.good:
        return
    suite = Suite(settings)
    yield _tried("source", lambda: _source(suite))
    yield _tried("scorers", lambda: f"{len(suite.scorers)} scorers")
    yield _tried("monitors", lambda: f"{len(suite.monitors)} monitors")
    rules = _tried("rules", lambda: f"{len(suite.alerting.rules)} rules")
    yield rules
    yield _tried("embedding model", lambda: f"weights {suite.embedder.digest[:12]}")
    if rules.good:
        yield _tried("alerts", lambda: _alerts(suite))
        if suite.alerting.slack.buttons:
            yield _tried("buttons", lambda: _buttons(suite))
    for name, provider in settings.providers.items():
        if not settings.demo.enabled:  # the demo's provider runs only while it is asked
            where = f"[providers.{name}]"
            yield _tried(f"provider {name}", lambda: _chat(where, provider))  # noqa: B023
    if settings.judge.kind == "llm" and settings.judge.llm is not None:
        llm = settings.judge.llm
        yield _tried("judge", lambda: _judge(llm))


def _settings(config: str | Path | None) -> tuple[Settings | None, Finding]:
    try:
        settings = load_settings(config)
    except TidegaugeError as error:
        return None, Finding("configuration", False, str(error))
    return settings, Finding("configuration", True, f"digest {settings.digest[:12]}")


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except TidegaugeError as error:
        return Finding(what, False, str(error))


def _store(settings: Settings) -> str:
    """Can it be written? A lock that another program holds is told at once, not after its wait."""
    engine = open_engine(settings.store.url, patience_ms=_PATIENCE_MS)
    try:
        with safe_errors("[store] url"), engine.connect() as connection:
            connection.execution_options(tidegauge_write=True).begin().rollback()
    finally:
        engine.dispose()
    return engine.dialect.name


def _source(suite: Suite) -> str:
    url = suite.settings.source.url
    if url.startswith("sqlite:///") and Path(url.removeprefix("sqlite:///")).exists():
        engine = open_engine(url, read_only=True, where="[source] url", patience_ms=_PATIENCE_MS)
        with safe_errors("[source] url"), engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        engine.dispose()
    suite.source.check()
    first, last = suite.source.first_instant(), suite.source.last_instant()
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else "empty"


def _alerts(suite: Suite) -> str:
    """Where messages go; each place is asked whether it would take them."""
    told, channels = [], suite.channels()
    for name in wanted_channels(suite.alerting):
        channel, secret = channels.get(name), secret_of(name)
        if channel is None:
            raise ConfigurationError(
                f"messages for {name} would wait for ever: there is no {secret}",
                where=secret,
                mend="set it in the environment, or take the place out of the configuration",
            )
        try:
            told.append(f"{name} {channel.verify()}".strip())
        except (NotSentError, AmbiguousError, MisconfiguredError) as error:
            raise ConfigurationError(
                f"{name} does not take messages ({error.code})",
                where=name,
                mend=f"check {secret or 'the address'}, its rights and the network",
            ) from None
    return "to " + ", ".join(told)


def _buttons(suite: Suite) -> str:
    """Who may press them; a user group's members are asked for."""
    token = os.environ.get(TOKEN, "")
    return str(permission(suite.alerting.slack, token, os.environ.get(BASE_URL), suite.clock))


def _chat(where: str, settings: ChatSettings) -> str:
    """Ask for one word: it proves address, key and model at once, for a hundredth of a cent."""
    from monitors.provider.clients import ChatRequest
    from monitors.provider.prompts import Message

    question = ChatRequest((Message(role="user", content="Say: ok"),), {"max_tokens": 16})
    return f"{_completed(where, settings, question).model} answers"


def _judge(settings: LLMJudgeSettings) -> str:
    """Have it grade one answer: can it keep to the form?"""
    from monitors.quality.judge_prompt import BadVerdict, read_verdict, request_for

    request, word = request_for(settings, "What is 2 + 2?", "4", None)
    completion = _completed("[judge.llm]", settings, request)
    try:
        read_verdict(completion, word)
    except BadVerdict as bad:
        raise ConfigurationError(
            f"what {settings.model} says is no verdict ({bad.code})",
            where="[judge.llm]",
            mend="turn `structured` on or off, raise max_tokens, or choose a model that can do it",
        ) from None
    return f"{completion.model} grades"


def _completed(where: str, settings: ChatSettings, request: ChatRequest) -> Completion:
    from monitors.provider.clients import CallFailed, open_model

    async def ask() -> Completion:
        model = open_model(settings)
        try:
            async with asyncio.timeout(min(settings.timeout_s, _PROVIDER_S)):
                return await model.complete(request)
        finally:
            await model.close()

    try:
        return asyncio.run(ask())
    except (CallFailed, TimeoutError) as error:
        code = getattr(error, "code", "timeout")
        raise ConfigurationError(
            f"the model does not answer ({code})",
            where=where,
            mend=_MENDS.get(code, "try again later; the provider has a problem"),
        ) from None
