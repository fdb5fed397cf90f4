"""The configuration: ``tidegauge.toml`` and the environment, checked before anything runs.

Secrets never stand in the file: write ``${NAME}`` and set the environment variable.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitors.logs.interaction import BY_ATTRIBUTE, BY_NAME
from sql.errors import ConfigurationError
from sql.sampling import check_rate
from sql.types import canonical_json

DEFAULT_FILE = "tidegauge.toml"
Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A table of the file; a key that it does not know is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(Section):
    """Tidegauge's own database."""

    url: str = Field("sqlite:///data/tidegauge.db", description="SQLAlchemy URL")


class SourceSettings(Section):
    """Where the production log is. It is only ever read."""

    name: str = Field("log", description="stands in sample keys; never change it")
    url: str = Field("sqlite:///data/log.db", description="SQLAlchemy URL")
    table: str = Field("interaction", description="table or view, with schema if need be")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="field name (OpenTelemetry GenAI or ours) → column, where the names "
        "differ; an empty column leaves the field out",
    )
    time_format: Literal["instant", "iso", "epoch_s", "epoch_ms"] = Field(
        "instant", description="how the timestamp column holds time; naive times are UTC"
    )
    sample_key: str | None = Field(
        None, description="column with a stored, indexed sample key (`tidegauge source ddl`)"
    )
    where: dict[str, str | int | bool] = Field(
        default_factory=dict, description="column = value conditions on every read"
    )
    grace_hours: float = Field(2, ge=0, description="wait this long after a window's end")
    late_tolerance: float = Field(
        0.01, ge=0, lt=1, description="a day of which more came in later is measured again"
    )
    late_days: int = Field(2, ge=0, le=7, description="so many of them a run, of the week before")

    @model_validator(mode="after")
    def _fields_are_known(self) -> SourceSettings:
        for name in self.columns:
            if name not in BY_NAME and name not in BY_ATTRIBUTE:
                near = difflib.get_close_matches(name, [*BY_NAME, *BY_ATTRIBUTE], 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"columns: there is no field {name!r}{hint}")
        return self

    def column_map(self) -> dict[str, str]:
        """Attribute → column, of the fields whose column has another name; empty: left out."""
        return {
            (BY_NAME[name].attribute if name in BY_NAME else name): column
            for name, column in self.columns.items()
        }


class SamplingSettings(Section):
    """Which rows of the log are looked at closely."""

    rate: float = Field(0.05, description="share of the day's rows, 0.01 to 0.05")
    force: bool = Field(False, description="allow a rate outside 1–5 %")
    seed: str = Field("tidegauge", description="changes the whole sample; keep it")
    strata: list[str] = Field(
        default_factory=lambda: ["feature"], description="fields whose combinations are strata"
    )
    minimum: int = Field(20, ge=0, description="at least this many rows a stratum and day")

    @model_validator(mode="after")
    def _rate_and_strata(self) -> SamplingSettings:
        check_rate(self.rate, forced=self.force)
        for name in self.strata:
            if name not in BY_ATTRIBUTE:
                raise ValueError(f"strata: there is no field {name!r}")
        return self


class PrivacySettings(Section):
    """What of a text the suite keeps."""

    mode: Literal["redacted", "hash-only", "raw"] = Field(
        "redacted", description="texts in the store: with placeholders, not at all, or as they are"
    )
    retention_days: int = Field(90, ge=1, description="texts and vectors are removed after this")
    key: str = Field("", description="secret for user keys; write ${TIDEGAUGE_PRIVACY_KEY}")


class ReferenceSettings(Section):
    """The healthy past that the present is compared with."""

    start: date | None = Field(None, description="first day; empty: the log's first day")
    days: int = Field(21, ge=7, description="length; a multiple of 7 keeps weekdays balanced")


class Component(Section):
    """A scorer or a monitor, by the place of its code."""

    use: str = Field(description="module:attribute")
    options: dict[str, Any] = Field(default_factory=dict)


class OperationsSettings(Section):
    """Budgets of time by interaction type, in milliseconds."""

    sync_ms: float = Field(1_000, gt=0)
    progressive_first_token_ms: float = Field(500, gt=0)
    progressive_ms: float = Field(5_000, gt=0)
    async_ms: float = Field(20_000, gt=0)
    tolerance: float = Field(
        0.005, gt=0, lt=1, description="a smaller rise of an error or fallback rate is no matter"
    )
    slices: list[str] = Field(
        default_factory=lambda: ["feature", "request_model", "interaction_type"],
        description="fields by which operations are reported, one at a time",
    )


class QualitySettings(Section):
    """How scores become daily numbers."""

    slices: list[str] = Field(
        default_factory=lambda: ["feature", "request_model", "prompt_version", "segment"],
        description="fields by which quality is reported, one at a time",
    )
    minimum_n: int = Field(20, ge=2, description="below this a slice is `insufficient`")
    tolerance: float = Field(0.01, gt=0, lt=1, description="a smaller fall is no matter")
    safety_tolerance: float = Field(
        0.002, gt=0, lt=1, description="the same for safety, where every output is seen"
    )
    safety_shards: int = Field(1, ge=1, le=64, description="parallel parts of the safety scan")
    inconclusive_share: float = Field(
        0.2, gt=0, le=1, description="with more of the scores missing the rest is no verdict"
    )
    consistency_cosine: float = Field(
        0.8, gt=0, le=1, description="long answers to one question agree from here on"
    )
    link_hosts: list[str] = Field(
        default_factory=list,
        description="hosts that answers may link to, with all below them; empty: any that can be",
    )
    comparison_hours: int = Field(72, ge=1, description="before this a new version is too early")


class ChatSettings(Section):
    """A chat model behind an API: where it is, what it costs, how patient we are."""

    kind: Literal["openai", "anthropic"] = Field(
        "openai", description="which SDK speaks to it; most gateways speak openai"
    )
    base_url: str = Field(description="the API's address, with its version (…/v1)")
    model: str
    api_key: str = Field("", description="write ${NAME}")
    usd_per_million_input_tokens: float = Field(ge=0, description="price; 0 for your own machine")
    usd_per_million_output_tokens: float = Field(ge=0, description="price")
    budget_usd_per_day: float = Field(5, gt=0, description="no call is begun beyond it")
    timeout_s: float = Field(60, gt=0, description="for one call")
    attempts: int = Field(4, ge=1, le=10, description="calls for one answer before giving up")
    concurrency: int = Field(8, ge=1, le=64)


class LLMJudgeSettings(ChatSettings):
    """The chat model that scores answers by a rubric."""

    structured: bool = Field(
        True, description="ask the API itself for JSON of our schema; false where it cannot"
    )
    max_tokens: int = Field(700, ge=100, le=8_000, description="of one verdict")
    text_characters: int = Field(12_000, ge=500, description="of each text; the rest is cut off")


class JudgeSettings(Section):
    """The model that scores what no rule can."""

    kind: Literal["trained", "llm", "none"] = "trained"
    golden_minimum: int = Field(200, ge=50, description="examples needed to train")
    threshold: float = Field(0.5, gt=0, lt=1, description="a calibrated score below fails")
    seed: int = 7
    unsafe_false_positives: float = Field(
        0.01, ge=0.001, le=0.2, description="share of safe answers that `unsafe` may fail"
    )
    llm: LLMJudgeSettings | None = Field(None, description="for kind = llm")

    @model_validator(mode="after")
    def _llm_is_told(self) -> JudgeSettings:
        if self.kind == "llm" and self.llm is None:
            raise ValueError(
                'kind = "llm" needs a section [judge.llm] with base_url, model, prices'
            )
        return self


class DriftSettings(Section):
    """What is compared week by week."""

    columns: list[str] = Field(
        default_factory=lambda: [
            "input_characters",
            "output_characters",
            "input_tokens",
            "output_tokens",
            "language",
            "input_script",
            "input_language",
            "prompt_version",
            "feature",
            "segment",
            "request_model",
            "input_question",
            "input_command",
            "input_code",
            "input_url",
            "input_number",
            "input_pii",
            "turns",
            "hour",
            "latency_ms",
            "cost_usd",
        ],
        description="log fields, facts such as input_characters, or other columns of the table",
    )
    slices: list[str] = Field(
        default_factory=lambda: ["segment"],
        description="fields by which columns are compared, one at a time",
    )
    evidently_rows: int = Field(2_000, ge=100, description="rows a side in the evidently report")
    embedding_rows: int = Field(2_000, ge=100, description="texts a side in embedding drift")
    seed: int = 11
    text_characters: int = Field(2_000, ge=50, description="texts are cut before tokenising")
    device: str = Field("cpu", description="where texts are embedded: cpu, cuda, cuda:1, mps")


class ProviderSettings(ChatSettings):
    """A model behind an API, watched by replaying pinned prompts."""

    pin: str = Field(description="name of the pinned baseline")
    prompts: str = Field(description="JSONL file of regression prompts")
    repeats: int = Field(3, ge=1, le=20, description="answers pinned for each prompt")
    replay_repeats: int = Field(1, ge=1, le=20, description="answers a replay asks for")
    replay_prompts: int = Field(
        0, ge=0, description="prompts asked each day, in rotation; 0: all of them"
    )
    compare_meaning: bool = Field(
        True, description="compare embeddings of the answers, too; loads the embedding model"
    )


class ReviewSettings(Section):
    """The monthly review batch."""

    size: int = Field(200, ge=100, le=500)
    scorer: str = Field("judge", description="the scorer whose doubt aims the batch")
    core: Share = Field(0.4, description="share of the batch drawn without regard to any score")
    pass_mark: float = Field(4, ge=1, le=5, description="accuracy from here on counts as good")
    evaluators: list[str] = Field(
        default_factory=lambda: ["eva", "finn", "grace", "hugo", "iris"],
        description="five to seven user names",
    )
    overlap: Share = Field(0.3, description="share of items that two people rate")
    conflicts: dict[str, list[str]] = Field(
        default_factory=dict, description="evaluator to the features that they must not rate"
    )
    mentions: dict[str, Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")]] = Field(
        default_factory=dict, description="evaluator to Slack user id, for reminders"
    )
    url: str = Field(
        "", pattern=r"^(https?://[^\s<>|]+)?$", description="link to the rating page in messages"
    )
    optional: list[Literal["helpfulness", "tone", "completeness", "safety"]] = Field(
        default_factory=list, description="questions of the rubric that may stay open"
    )
    items_a_day: int = Field(100, ge=10, description="after so many a pause is proposed")
    calibration: int = Field(10, ge=0, le=30, description="golden items to practise on first")
    hidden_gold: float = Field(
        0.05, ge=0, le=0.5, description="golden items strewn in, by a person's load"
    )
    due_hours: int = Field(72, ge=24, le=336)
    cost_usd_per_example: float = Field(20, ge=0)
    seed: str = "review"
    folder: str = Field("reports/review", description="where the batch files are written")


class DemoSettings(Section):
    """The believable product behind `make run`."""

    enabled: bool = Field(False, description="serve recorded provider answers, add scorecard")
    seed: int = 2026
    rows_per_day: int = Field(2_000, ge=100, le=1_000_000)
    weeks: int = Field(13, ge=5, le=53)
    end: date | None = Field(None, description="last day; empty: of last month")


class Settings(Section):
    """The whole file."""

    timezone: str = Field("UTC", description="calendar of all windows")
    reports: str = Field("reports", description="folder of reports")
    store: StoreSettings = Field(default_factory=StoreSettings)
    source: SourceSettings = Field(default_factory=SourceSettings)
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    privacy: PrivacySettings = Field(default_factory=PrivacySettings)
    reference: ReferenceSettings = Field(default_factory=ReferenceSettings)
    quality: QualitySettings = Field(default_factory=QualitySettings)
    operations: OperationsSettings = Field(default_factory=OperationsSettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)
    demo: DemoSettings = Field(default_factory=DemoSettings)
    scorers: dict[str, Component] = Field(default_factory=dict)
    monitors: dict[str, Component] = Field(default_factory=dict)
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    # Read by `alerts`, which may not know this module: see alerts/configuration.py.
    rules: list[dict[str, Any]] = Field(default_factory=list)
    alerts: dict[str, Any] = Field(default_factory=dict)
    slack: dict[str, Any] = Field(default_factory=dict)
    pagerduty: dict[str, Any] | None = None
    webhooks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: list[dict[str, Any]] = Field(default_factory=list)
    root: Path = Field(default_factory=Path.cwd, exclude=True, description="folder of the file")

    @model_validator(mode="after")
    def _pins_are_apart(self) -> Settings:
        pins = [provider.pin for provider in self.providers.values()]
        if twice := {pin for pin in pins if pins.count(pin) > 1}:
            raise ValueError(f"providers: two of them have the pin {min(twice)!r}")
        return self

    @property
    def digest(self) -> str:
        """sha256 of everything that can change a number; secrets are not part of it."""
        body = self.model_dump(
            mode="json",
            exclude={"root": True, "store": True, "source": {"url"}, "privacy": {"key"}},
        )
        for provider in body["providers"].values():
            provider.pop("api_key", None)
        return hashlib.sha256(canonical_json(body).encode()).hexdigest()

    def path(self, relative: str) -> Path:
        """A path of the file, seen from the file's own folder."""
        return self.root / relative


def find_file(explicit: str | Path | None = None) -> Path:
    """The configuration file: as given, else ``$TIDEGAUGE_CONFIG``, else in this folder."""
    return Path(explicit or os.environ.get("TIDEGAUGE_CONFIG") or DEFAULT_FILE)


def load_settings(file: str | Path | None = None) -> Settings:
    """Read, fill in the environment, check.

    Raises:
        ConfigurationError: the file is missing, is not TOML, or a key or value is not allowed.
    """
    path = find_file(file)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no configuration", where=str(path), mend="run `tidegauge init`"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the file is not TOML: {error}", where=str(path), mend="mend the line it names"
        ) from None
    root = path.resolve().parent
    try:
        settings = Settings.model_validate({**_with_environment(raw, str(path)), "root": root})
    except ValidationError as error:
        raise _explain(error, path) from None
    return _anchored(settings, root)


def _with_environment(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_environment(inner, f"{where} {key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_environment(inner, where) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, _, default = match[1].partition(":-")
        found = os.environ.get(name, default if ":-" in match[1] else None)
        if found is None:
            raise ConfigurationError(
                f"the environment variable {name} is not set", where=where, mend=f"export {name}"
            )
        return found

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?)\}", fill, value)


def _explain(error: ValidationError, path: Path) -> ConfigurationError:
    found = error.errors(include_url=False, include_input=False)
    # A misspelt key is also a missing one: the misspelling is what helps.
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    mend = "see the comments in the default tidegauge.toml"
    if first["type"] == "missing":
        message, mend = f"the setting {place!r} is missing", f"add it; {mend}"
    if first["type"] == "extra_forbidden":
        message = f"there is no setting {place!r}"
        near = difflib.get_close_matches(str(first["loc"][-1]), _known(first["loc"][:-1]), 1)
        mend = f"did you mean {near[0]!r}?" if near else mend
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ConfigurationError(f"{message}{more}", where=f"{path}: {place}", mend=mend)


def _known(place: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for part in place:
        field = model.model_fields.get(str(part))
        if field is None:
            return []
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields)


def _anchored(settings: Settings, root: Path) -> Settings:
    """Relative SQLite paths count from the configuration's folder, whatever the working folder."""

    def anchor(url: str) -> str:
        match = re.fullmatch(r"(sqlite(?:\+\w+)?|duckdb):///(?!/)(.+)", url)
        if not match or match[2] == ":memory:" or Path(match[2]).is_absolute():
            return url
        return f"{match[1]}:///{root / match[2]}"

    return settings.model_copy(
        update={
            "store": settings.store.model_copy(update={"url": anchor(settings.store.url)}),
            "source": settings.source.model_copy(update={"url": anchor(settings.source.url)}),
        }
    )
