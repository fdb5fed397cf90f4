"""Files of every kind become rows; nothing in them stops an import."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, select

from monitors.logs.embedded import interaction
from monitors.logs.importers.files import Broken, read_records
from monitors.logs.importing import ImportReport, import_files
from sql.engine import open_engine
from sql.errors import ConfigurationError, TidegaugeError

AT = "2026-06-01T10:03:00Z"
NANOSECONDS = 1_780_308_180_000_000_000


@pytest.fixture
def target(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


def rows(target: str) -> list[Row[Any]]:
    engine = open_engine(target)
    with engine.connect() as connection:
        found = connection.execute(select(interaction).order_by(interaction.c.at, interaction.c.id))
        result = list(found)
    engine.dispose()
    return result


def lines(path: Path, records: list[Any]) -> Path:
    texts = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8", errors="surrogatepass")
    return path


def plain(number: int, **other: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "timestamp": AT, "prompt": "hello", "response": "hi", **other}


def test_json_lines_by_column_names(target: str, tmp_path: Path) -> None:
    file = lines(tmp_path / "log.jsonl", [plain(1, model="m", prompt_tokens=3), plain(2)])
    report = import_files([file], target)
    assert (report.read, report.stored, report.formats) == (2, 2, {"log.jsonl": "plain"})
    assert report.columns["log.jsonl"]["input"] == "prompt"
    first = rows(target)[0]
    assert (first.id, first.input, first.output) == ("r1", "hello", "hi")
    assert (first.request_model, first.input_tokens) == ("m", 3)
    assert first.at == datetime(2026, 6, 1, 10, 3, tzinfo=UTC)
    again = import_files([file], target)
    assert (again.stored, again.duplicate) == (0, 2)


def test_chats_in_columns_become_question_and_answer(target: str, tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
    ]
    answer = {"choices": [{"message": {"role": "assistant", "content": "two"}}]}
    record = {"id": "a", "created": 1_780_308_180, "messages": messages, "response": answer}
    import_files([lines(tmp_path / "chat.jsonl", [record])], target)
    row = rows(target)[0]
    assert (row.input, row.output, row.system_prompt) == ("second", "two", "be kind")


def test_a_mapping_reaches_into_objects_and_changes_units(target: str, tmp_path: Path) -> None:
    record = {
        "meta": {"who": ["u1", "u2"]},
        "n": 7,
        "model": "m",
        "latency": "1.5",
        "q": "q?",
        "a": "a!",
        "when": "24.07.2026 21:00",
    }
    mapping = {
        "id": "model+n",
        "timestamp": "when|%d.%m.%Y %H:%M",
        "input": "q",
        "output": "a",
        "latency_ms": "latency*1000",
        "user_id": "meta.who.1",
        "gen_ai.request.model": "",
    }
    import_files(
        [lines(tmp_path / "x.jsonl", [record])], target, mapping=mapping, constants={"arm": "b"}
    )
    row = rows(target)[0]
    assert (row.id, row.latency_ms, row.user_id, row.arm) == ("m/7", 1500.0, "u2", "b")
    assert row.at == datetime(2026, 7, 24, 21, tzinfo=UTC) and row.request_model is None


def test_an_unknown_field_or_format_is_told_with_the_near_name(target: str, tmp_path: Path) -> None:
    file = lines(tmp_path / "x.jsonl", [plain(1)])
    with pytest.raises(ConfigurationError, match="did you mean 'latency_ms'"):
        import_files([file], target, mapping={"latency_mss": "x"})
    with pytest.raises(ConfigurationError, match="choose one of"):
        import_files([file], target, format="excel")
    with pytest.raises(ConfigurationError, match="no such file"):
        import_files([tmp_path / "none.jsonl"], target)


def test_rows_without_times_are_spread(target: str, tmp_path: Path) -> None:
    records = [{"query": f"q{n}", "answer": "a"} for n in range(5)]
    file = lines(tmp_path / "x.jsonl", records)
    with pytest.raises(TidegaugeError, match="--start"):
        import_files([file], target)
    report = import_files([file], target, start=date(2026, 6, 1), per_day=2)
    assert report.stored == 5
    hours = [
        (row.at - datetime(2026, 6, 1, tzinfo=UTC)).total_seconds() / 3600 for row in rows(target)
    ]
    assert hours == [0, 12, 24, 36, 48]
    assert import_files([file], target, start=date(2026, 6, 1), per_day=2).duplicate == 5


def test_equal_records_without_ids_stay_apart(target: str, tmp_path: Path) -> None:
    record = {"timestamp": AT, "prompt": "hello", "response": "hi"}
    assert import_files([lines(tmp_path / "x.jsonl", [record] * 3)], target).stored == 3


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_keeps_what_other_readers_lose(target: str, tmp_path: Path, separator: str) -> None:
    path = tmp_path / "log.csv"
    texts = ["NA", "null", "a\rb\nc", "a\0b", '"quoted", and more', "x" * 300_000]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["ID", "Timestamp", "Prompt", "Response", "Latency_ms"])
        for number, text in enumerate(texts):
            writer.writerow([f"r{number}", AT, text, "fine", "12.5" if number else "NaN"])
    report = import_files([path], target)
    assert report.stored == 6 and not report.quarantined
    assert report.mended == {
        "latency_ms.not_finite": 1,
        "input.scrubbed": 1,
        "input.truncated": 1,
    }
    stored = {row.id: row for row in rows(target)}
    assert [stored[f"r{n}"].input for n in range(5)] == [*texts[:3], "a\ufffdb", texts[4]]
    assert len(stored["r5"].input) == 100_000
    assert stored["r0"].latency_ms is None and stored["r1"].latency_ms == 12.5


def test_slashed_dates_are_read_when_one_of_them_decides(target: str, tmp_path: Path) -> None:
    file = lines(
        tmp_path / "us.jsonl",
        [plain(1, timestamp="07/02/2023, 21:28:40"), plain(2, timestamp="07/24/2023, 9:00")],
    )
    assert import_files([file], target).stored == 2
    assert [f"{row.at:%d.%m. %H:%M}" for row in rows(target)] == ["02.07. 21:28", "24.07. 09:00"]
    open_either_way = lines(tmp_path / "eu.jsonl", [plain(3, timestamp="07/02/2023, 21:28:40")])
    with pytest.raises(TidegaugeError, match="day or month first"):
        import_files([open_either_way], target)


def test_parquet_streams(target: str, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    count = 2_500
    table = pyarrow.table(
        {
            "request_id": [f"r{n}" for n in range(count)],
            "timestamp": pyarrow.array(
                [datetime(2026, 6, 1, tzinfo=UTC)] * count, pyarrow.timestamp("us", "UTC")
            ),
            "input": ["q"] * count,
            "output": ["a"] * count,
            "cost_usd": [0.5] * count,
            "accepted": [True] * count,
        }
    )
    pyarrow.parquet.write_table(table, path)
    told: list[tuple[int, int, int]] = []
    report = import_files([path], target, progress=lambda *now: told.append(now))
    assert report.stored == count and rows(target)[0].accepted is True
    assert told[-1] == (count, path.stat().st_size, path.stat().st_size)
    path.write_bytes(path.read_bytes()[:200] + b"\0" * 50)
    with pytest.raises(TidegaugeError, match="not_parquet"):
        import_files([path], target)


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    if isinstance(value, list):
        inner = [{"stringValue": part} for part in value]
        return {"key": key, "value": {"arrayValue": {"values": inner}}}
    shown = str(value) if type(value) is int else value
    return {"key": key, "value": {kind[type(value)]: shown}}


def span(number: int, attributes: dict[str, Any], events: Any = (), **other: Any) -> dict[str, Any]:
    return {
        "traceId": "t",
        "spanId": f"s{number}",
        "name": "chat",
        "startTimeUnixNano": str(NANOSECONDS + number),
        "endTimeUnixNano": str(NANOSECONDS + 1_500_000_000),
        "attributes": [attribute(key, value) for key, value in attributes.items()],
        "events": [
            {"name": name, "attributes": [attribute(k, v) for k, v in inner.items()]}
            for name, inner in events
        ],
        **other,
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [attribute("service.name", "shop"), attribute("feature", "search")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


PRESENT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-x",
    "gen_ai.response.model": "gpt-x-2026",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be kind"}]),
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "because"}]}]
    ),
}
OLDER = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-x",
    "gen_ai.usage.prompt_tokens": 10,
    "gen_ai.usage.completion_tokens": 20,
}
SPANS = {
    "present": span(1, PRESENT),
    "older, in events": span(
        2,
        OLDER,
        [
            (
                "gen_ai.content.prompt",
                {"gen_ai.prompt": json.dumps([{"role": "user", "content": "why?"}])},
            ),
            (
                "gen_ai.content.completion",
                {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "because"}])},
            ),
        ],
    ),
    "one event a message": span(
        3,
        OLDER,
        [
            ("gen_ai.system.message", {"content": "be kind"}),
            ("gen_ai.user.message", {"content": "why?"}),
            ("gen_ai.choice", {"message": json.dumps({"content": "because"})}),
        ],
    ),
    "numbered": span(
        4,
        {
            **OLDER,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "why?",
            "gen_ai.completion.0.content": "because",
        },
    ),
    "openinference": span(
        5,
        {
            "llm.model_name": "gpt-x",
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 20,
            "openinference.span.kind": "LLM",
            "input.value": "why?",
            "output.value": "because",
        },
    ),
}


@pytest.mark.parametrize("name", SPANS)
def test_spans_in_every_spelling(target: str, tmp_path: Path, name: str) -> None:
    tool = span(9, {"gen_ai.operation.name": "execute_tool"})
    other = span(8, {"http.method": "GET"})
    report = import_files([lines(tmp_path / "o.jsonl", [export(SPANS[name], tool, other)])], target)
    assert (report.stored, report.formats) == (1, {"o.jsonl": "otlp"})
    row = rows(target)[0]
    assert (row.input, row.output, row.request_model) == ("why?", "because", "gpt-x")
    assert (row.input_tokens, row.output_tokens, row.feature) == (10, 20, "search")
    assert row.latency_ms == pytest.approx(1500)
    if name == "present":
        assert (row.system_prompt, row.finish_reason, row.provider) == ("be kind", "stop", "openai")


def test_a_pretty_printed_export_and_a_failed_call(target: str, tmp_path: Path) -> None:
    failed = span(1, {**OLDER, "gen_ai.prompt": "why?"}, status={"code": 2})
    path = tmp_path / "o.json"
    path.write_text(json.dumps(export(failed, SPANS["present"]), indent=2))
    assert import_files([path], target).stored == 2
    assert {row.error_type for row in rows(target)} == {None, "error"}


GENERATION = {
    "id": "g1",
    "traceId": "t1",
    "type": "GENERATION",
    "name": "answer",
    "startTime": "2026-06-01T10:00:00.000Z",
    "endTime": "2026-06-01T10:00:02.000Z",
    "completionStartTime": "2026-06-01T10:00:00.500Z",
    "model": "gpt-x",
    "input": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "why?"}],
    "output": {"role": "assistant", "content": "because"},
    "usageDetails": {"input": 10, "output": 20, "total": 30},
    "calculatedTotalCost": 0.01,
    "promptName": "p",
    "promptVersion": 3,
    "level": "DEFAULT",
}


def test_langfuse_observations_and_traces(target: str, tmp_path: Path) -> None:
    trace = {
        "id": "t9",
        "timestamp": AT,
        "name": "support",
        "input": "why?",
        "output": "because",
        "sessionId": "c",
        "userId": "u",
        "latency": 1.5,
        "totalCost": 0.02,
        "observations": [GENERATION],
    }
    snake = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in key): value
        for key, value in {**GENERATION, "id": "g2"}.items()
    }
    path = tmp_path / "export.json"
    others = [{**GENERATION, "type": "SPAN"}, trace, snake]
    path.write_text(json.dumps({"data": [GENERATION, *others], "meta": {"page": 1}}))
    report = import_files([path], target)
    assert (report.stored, report.skipped) == (3, 1)
    assert report.formats == {"export.json": "langfuse"}
    found = {row.id: row for row in rows(target)}
    for name in ("g1", "g2"):
        row = found[name]
        assert (row.input, row.output, row.system_prompt) == ("why?", "because", "be kind")
        assert (row.latency_ms, row.time_to_first_token_ms) == (2000, 500)
        assert (row.input_tokens, row.cost_usd, row.prompt_version) == (10, 0.01, "p@3")
    assert (found["t9"].latency_ms, found["t9"].feature, found["t9"].user_id) == (
        1500,
        "support",
        "u",
    )
    assert (found["t9"].request_model, found["t9"].output_tokens) == ("gpt-x", 20)


SPEND = {
    "request_id": "q1",
    "call_type": "acompletion",
    "spend": 0.01,
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "startTime": "2026-06-01T10:00:00.000Z",
    "endTime": "2026-06-01T10:00:02.000Z",
    "completionStartTime": "2026-06-01T10:00:00.500Z",
    "model": "gpt-x-2026",
    "model_group": "gpt-x",
    "custom_llm_provider": "openai",
    "end_user": "u",
    "messages": [{"role": "user", "content": "why?"}],
    "response": {"choices": [{"finish_reason": "stop", "message": {"content": "because"}}]},
    "request_tags": '["search"]',
    "status": "success",
}


def test_litellm_spend_logs_in_json_and_csv(target: str, tmp_path: Path) -> None:
    failed = {**SPEND, "request_id": "q2", "response": {}, "status": "failure"}
    empty = {**SPEND, "request_id": "q3", "messages": {}, "response": {}}
    report = import_files([lines(tmp_path / "s.jsonl", [SPEND, failed, empty])], target)
    assert report.stored == 2 and report.quarantined == {"input.missing": 1}
    first, second = rows(target)
    assert (first.input, first.output, first.feature) == ("why?", "because", "search")
    assert (first.request_model, first.response_model) == ("gpt-x", "gpt-x-2026")
    assert (first.latency_ms, first.time_to_first_token_ms, first.cost_usd) == (2000, 500, 0.01)
    assert (second.error_type, second.output) == ("error", "")
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, SPEND)
        writer.writeheader()
        flat = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in SPEND.items()}
        writer.writerow({**flat, "request_id": "q9"})
    report = import_files([path], target)
    assert (report.stored, report.formats) == (1, {"s.csv": "litellm"})
    assert rows(target)[-1].input == "why?"


def test_bad_records_are_counted_and_the_good_ones_kept(target: str, tmp_path: Path) -> None:
    records: list[Any] = [
        plain(0),
        "{not json",
        '["a list"]',
        plain(1, timestamp="yesterday"),
        plain(2, prompt=None),
        plain(3, response="a\ud800b\0"),
        plain(4, latency_ms=-1, cost_usd="NaN", accepted="perhaps"),
        plain(5, id="x" * 300),
        plain(6, response=None, error_type="timeout"),
        plain(7, prompt="z" * 10_000_000),
        "",
        plain(8),
    ]
    report = import_files([lines(tmp_path / "log.jsonl", records)], target)
    assert (report.read, report.stored) == (11, 6)
    assert report.quarantined == {
        "not_json": 2,
        "at.unreadable_time": 1,
        "input.missing": 1,
        "id.too_long": 1,
    }
    assert report.mended == {
        "output.scrubbed": 1,
        "latency_ms.negative": 1,
        "cost_usd.not_finite": 1,
        "accepted.not_a_flag": 1,
        "input.truncated": 1,
    }
    assert {row.output for row in rows(target)} == {"hi", "a\ufffdb\ufffd", ""}


def test_records_of_another_shape_do_not_stop_a_system_file(target: str, tmp_path: Path) -> None:
    odd: list[Any] = [
        {"resourceSpans": [1, 2]},
        {"resourceSpans": {"a": 1}},
        {"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]},
        {"resourceSpans": None},
    ]
    report = import_files([lines(tmp_path / "o.jsonl", [export(SPANS["present"]), *odd])], target)
    assert report.stored == 1 and report.quarantined == {"unexpected_shape": 3}


def test_a_torn_gzip_keeps_what_could_be_read(target: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    body = "".join(
        json.dumps(plain(n, prompt=f"{n * 7919 % 10007:x}" * 9)) + "\n" for n in range(40_000)
    )
    whole = gzip.compress(body.encode())
    path.write_bytes(whole[: len(whole) // 2])
    report = import_files([path], target)
    assert report.stored > 1_000 and report.quarantined["unreadable_file"] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5), st.text(max_size=30) | st.floats(), min_size=1, max_size=4
        ),
        max_size=8,
    ),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_any_layout_of_json_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: int | None, array: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    if array:
        path.write_text(json.dumps(values, indent=indent))
    else:
        path.write_text("\n".join(json.dumps(value, indent=indent) for value in values))
    found = [r for r in read_records(path, lambda _: None) if not isinstance(r, Broken)]
    assert json.dumps(found) == json.dumps(values)


def test_values_longer_than_a_block_and_split_characters(tmp_path: Path) -> None:
    values = [{"text": "é😀" * 700_000}, {"text": "ü" * 10}, {"n": 1}]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert list(read_records(path, lambda _: None)) == values


def test_the_real_logs(target: str, real_data: Path) -> None:
    halueval = real_data / "halueval" / "general_3000.jsonl"
    report = import_files([halueval], target, start=date(2026, 6, 1), per_day=300)
    # One id of the file stands twice, with different texts: both are kept.
    assert (report.stored, report.renamed, report.quarantined) == (3_000, 1, {})
    files = sorted((real_data / "llmdrift").glob("*.csv"))
    mapping = {"id": "dataset+id+model", "latency_ms": "latency*1000", "feature": "dataset"}
    report: ImportReport = import_files(files, target, mapping=mapping)
    assert (report.stored, report.renamed, report.quarantined) == (4_200, 0, {})
    drift = [row for row in rows(target) if row.at.year == 2023]
    assert len({row.request_model for row in drift}) == 4
    assert all(row.latency_ms and row.cost_usd for row in drift)
    assert import_files(files, target, mapping=mapping).duplicate == 4_200
