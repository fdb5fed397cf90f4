"""Regression prompts: a file of questions whose answers are worth pinning."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sql.errors import ConfigurationError
from sql.types import canonical_json

CheckKind = Literal[
    "exact",
    "numeric",
    "option",
    "regex",
    "contains",
    "json_schema",
    "code_parses",
    "code_passes",
    "refusal_expected",
    "none",
]
_NEEDS_REFERENCE = {
    "exact",
    "numeric",
    "option",
    "regex",
    "contains",
    "json_schema",
    "code_passes",
}
_SLOT = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")
# Set by the replay itself; a prompt that names them would quietly ask another question.
_RESERVED = {"model", "messages", "stream", "n"}


class Border(BaseModel):
    """A record of a file: unknown keys are an error, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(Border):
    """One turn of the conversation that is put to the model."""

    role: Literal["system", "user", "assistant"]
    content: str


class Check(Border):
    """How an answer is judged; see `monitors.provider.checks`.

    Args:
        kind: the rule.
        reference: what is right: a text, a number, an option, a pattern, a list of texts that
            must occur, a JSON schema, or for ``code_passes`` a Python program of asserts that is
            run after the answer, locked in.
        setup: for ``code_passes``, what is run before the answer: the imports it may count on.
        options: for ``option``: everything the model may choose, written as it should answer.
    """

    kind: CheckKind = "none"
    reference: Any = None
    options: tuple[str, ...] = ()
    setup: str = ""

    @model_validator(mode="after")
    def _is_usable(self) -> Check:
        if self.kind in _NEEDS_REFERENCE and self.reference is None:
            raise ValueError(f"a check of kind {self.kind!r} needs a reference")
        if self.kind == "option" and self.reference not in self.options:
            raise ValueError("the reference is not one of the options")
        if self.kind == "numeric":
            float(self.reference)
        if self.kind == "json_schema" and not isinstance(self.reference, dict):
            raise ValueError("the reference of a json_schema check is an object")
        if self.kind == "regex":
            _compile(self.reference)
        return self


class Prompt(Border):
    """One regression case.

    Args:
        id: names the case for ever, in printable ASCII; a changed question deserves a new id.
        input: what the user says; or give ``messages``.
        messages: the whole conversation, when one turn is not enough.
        slots: what stands for each ``{{name}}`` in the texts; then a template and its fillings can
            be kept apart. A slot that is not filled, or not there, is an error.
        version: of the template, as the product counts it; part of what is pinned.
        parameters: sampling parameters sent as they are (temperature, max_tokens, …).
        feature: the product's feature that asks such questions.
    """

    id: str = Field(pattern=r"^[\x21-\x7e]{1,200}$")
    input: str | None = None
    messages: tuple[Message, ...] = ()
    slots: dict[str, str] = Field(default_factory=dict)
    version: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    feature: str = ""
    check: Check = Field(default_factory=Check)

    @field_validator("parameters")
    @classmethod
    def _nothing_reserved(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := _RESERVED & set(value):
            raise ValueError(f"{sorted(taken)[0]!r} cannot be a prompt's parameter")
        return value

    @model_validator(mode="after")
    def _asks_something(self) -> Prompt:
        if (self.input is None) == (not self.messages):
            raise ValueError("give either input or messages")
        return self

    @model_validator(mode="after")
    def _slots_fit(self) -> Prompt:
        # Without slots the texts are plain: double braces may be part of what is asked.
        wanted = {name for turn in self._written for name in _SLOT.findall(turn.content)}
        if self.slots and (odd := sorted(wanted ^ set(self.slots))):
            said = "has no filling" if odd[0] in wanted else "stands nowhere in the text"
            raise ValueError(f"the slot {odd[0]!r} {said}")
        return self

    @property
    def _written(self) -> tuple[Message, ...]:
        return self.messages or (Message(role="user", content=self.input or ""),)

    @property
    def turns(self) -> tuple[Message, ...]:
        """The conversation as it is sent, whichever way it was written, its slots filled."""
        if not self.slots:
            return self._written

        def filled(text: str) -> str:
            # In one pass: what fills a slot is text, not a template.
            return _SLOT.sub(lambda match: self.slots[match[1]], text)

        return tuple(Message(role=t.role, content=filled(t.content)) for t in self._written)


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read a JSONL file, one prompt a line.

    Raises:
        ConfigurationError: the file is missing or empty, a line is not a prompt, an id is twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no file of prompts", where=str(path), mend="correct [providers.*] prompts"
        ) from None
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            prompt = Prompt.model_validate_json(line)
        except ValidationError as error:
            raise ConfigurationError(_explain(error), where=where, mend="mend the line") from None
        if prompt.id in prompts:
            raise ConfigurationError(f"the id {prompt.id!r} is there twice", where=where)
        prompts[prompt.id] = prompt
    if not prompts:
        raise ConfigurationError("the file holds no prompt", where=str(path))
    return tuple(prompts.values())


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write the file that `load_prompts` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        canonical_json(prompt.model_dump(mode="json", exclude_defaults=True)) for prompt in prompts
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def prompts_digest(prompts: Sequence[Prompt]) -> str:
    """sha256 of the cases in the order of their ids; the file's own order says nothing."""
    bodies = [prompt.model_dump(mode="json") for prompt in sorted(prompts, key=lambda p: p.id)]
    return hashlib.sha256(canonical_json(bodies).encode()).hexdigest()


def _compile(pattern: Any) -> None:
    import re2

    try:
        re2.compile(str(pattern))
    except re2.error:
        raise ValueError("the pattern is not a regular expression (RE2 syntax)") from None


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
