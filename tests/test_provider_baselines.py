"""A baseline cannot be changed unseen, and only a person's approval makes it the pin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from monitors.context import Context
from monitors.provider.baselines import (
    Baseline,
    TamperError,
    approve,
    baselines,
    current,
    difference,
    load,
    pin,
    pin_provider,
)
from monitors.provider.prompts import Prompt
from monitors.provider.recorded import Answered, Asked, RecordedProvider
from monitors.settings import Settings
from sql import audit
from sql.errors import ConfigurationError, NotReady
from sql.store import Store
from sql.tables import audit as audit_table
from sql.tables import baseline as baseline_table
from tests.provider_kit import NOON, context_for, questions, right, settings_for

pytest.importorskip("openai")


def said(asked: Asked) -> Answered:
    return Answered(
        right(asked.trace["prompt"]), model="gpt-test-1", input_tokens=5, output_tokens=2
    )


def make(context: Context, prompts: list[Prompt], **changes: Any) -> Baseline:
    with RecordedProvider(changes.pop("answer", said)) as server:
        settings = context.settings.providers["p"].model_copy(
            update={"base_url": server.base_url, **changes}
        )
        return pin("main", settings, prompts, 2, "first look", "ada", context, provider="p")


def test_a_pin_holds_every_answer_and_is_found_again(store: Store, tmp_path: Path) -> None:
    prompts = questions(10)
    context = context_for(settings_for(tmp_path, prompts), store)
    made = make(context, prompts)
    assert made.repeats == 2
    assert {a.text for a in made.answers["q003"]} == {"[No]"}
    assert made.sdk.startswith("openai ")
    assert load(made.digest, context) == made
    assert current("main", context) is None  # nobody approved it
    approve("main", made.digest, "grace", "looks right", context)
    assert current("main", context) == made


def test_approving_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    prompts = questions(5)
    context = context_for(settings_for(tmp_path, prompts), store)
    made = make(context, prompts)
    for _ in range(2):
        approve("main", made.digest, "grace", "good", context)
    actions = [row.action for row in store.rows(select(audit_table))]
    assert actions == ["store_baseline", "approve_baseline"]
    with store.connect() as connection:
        assert audit.first_broken(connection) is None


def test_a_later_pin_rules_from_its_day_and_the_first_also_before(
    store: Store, tmp_path: Path
) -> None:
    prompts = questions(5)
    context = context_for(settings_for(tmp_path, prompts), store)
    later = replace(context, clock=lambda: NOON + timedelta(days=3))
    old = make(context, prompts)
    new = make(later, prompts, answer=lambda _asked: "[Yes] of course")
    approve("main", old.digest, "grace", "good", context)
    approve("main", new.digest, "grace", "the new model is fine", later)
    for days, expected in ((-9, old), (1, old), (4, new)):
        assert current("main", context, at=NOON + timedelta(days=days)) == expected
    assert current("main", context) == new
    listed = baselines(context, "main")
    assert [(entry.digest, entry.is_current) for entry in listed] == [
        (new.digest, True),
        (old.digest, False),
    ]
    assert len(difference(old, new).changed_answers) == 5
    assert difference(old, old).changed_answers == ()


def test_one_changed_byte_is_refused(store: Store, tmp_path: Path) -> None:
    prompts = questions(5)
    context = context_for(settings_for(tmp_path, prompts), store)
    made = make(context, prompts)
    approve("main", made.digest, "grace", "good", context)
    body = store.rows(select(baseline_table.c.body))[0][0]
    with store.begin() as connection:
        connection.execute(update(baseline_table).values(body=body.replace("[No]", "[no]", 1)))
    for read in (lambda: load(made.digest, context), lambda: current("main", context)):
        with pytest.raises(TamperError, match="not what was approved"):
            read()
    with pytest.raises(TamperError):
        approve("main", made.digest, "eve", "nothing to see", context)


def test_nothing_is_stored_of_half_a_pin(store: Store, tmp_path: Path) -> None:
    prompts = questions(10)
    context = context_for(settings_for(tmp_path, prompts), store)

    def flaky(asked: Asked) -> Answered:
        return replace(
            said(asked), fault="server_error" if asked.trace["prompt"] == "q007" else None
        )

    with pytest.raises(NotReady, match=r"18 of 20 .*server_error"):
        make(context, prompts, answer=flaky)
    assert baselines(context) == []


def test_people_must_say_why_and_name_the_right_baseline(store: Store, tmp_path: Path) -> None:
    prompts = questions(5)
    context = context_for(settings_for(tmp_path, prompts), store)
    made = make(context, prompts)
    with pytest.raises(ConfigurationError, match="needs a reason"):
        approve("main", made.digest, "grace", " ", context)
    with pytest.raises(ConfigurationError, match="was made for 'main'"):
        approve("other", made.digest, "grace", "good", context)
    with pytest.raises(ConfigurationError, match="no baseline"):
        load("0" * 64, context)
    with pytest.raises(ConfigurationError, match="no provider 'x'"):
        pin_provider("x", "r", "ada", context)


def test_pin_provider_reads_the_configuration(store: Store, tmp_path: Path) -> None:
    with RecordedProvider(said) as server:
        context = context_for(settings_for(tmp_path, questions(6), server, repeats=4), store)
        made = pin_provider("p", "monthly", "ada", context)
    assert (made.name, made.provider, made.model, made.repeats) == ("main", "p", "gpt-test", 4)
    assert len(made.prompts) == 6


def test_two_providers_cannot_share_a_pin(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, questions(5))
    p = settings.providers["p"]
    with pytest.raises(ValueError, match="two of them have the pin 'main'"):
        Settings(root=tmp_path, providers={"p": p, "q": p})
