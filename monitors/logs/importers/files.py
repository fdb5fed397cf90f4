"""Records out of JSON lines, JSON arrays, CSV and Parquet, one at a time however big the file."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sql.errors import ConfigurationError

Record = dict[str, Any]
Advance = Callable[[int], None]

# A longer line or value is no log entry; reading it whole would be an attack on memory.
LINE_LIMIT = 64 << 20
_BLOCK = 1 << 20
_SEPARATORS = ",;\t|"
_BETWEEN = re.compile(r"[\s,\[\]]*")
_SUFFIXES = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be read; ``reason`` is a code."""

    reason: str


def read_records(path: Path, advance: Advance) -> Iterator[Record | Broken]:
    """All records of a file, streaming.

    Args:
        advance: told the bytes of the file that are done, now and then.

    Raises:
        ConfigurationError: there is no such file, or no container is recognised.
    """
    container = container_of(path)
    if container == "parquet":
        yield from _parquet(path, advance)
        return
    with path.open("rb") as raw:
        binary: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw

        def told() -> None:
            advance(raw.tell())

        yield from (_csv if container == "csv" else _json)(binary, told)


def container_of(path: Path) -> str:
    """``json``, ``csv`` or ``parquet``, by the first bytes and the name.

    Raises:
        ConfigurationError: there is no such file, or it is none of these.
    """
    if not path.is_file():
        raise ConfigurationError("there is no such file", where=str(path), mend="correct the path")
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PAR1":
        return "parquet"
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    found = _SUFFIXES.get(suffixes[-1].lower()) if suffixes else None
    if found is None and head[:1] in (b"{", b"["):
        return "json"
    if found is None:
        raise ConfigurationError(
            "this kind of file is not known",
            where=str(path),
            mend="give a file that ends in .jsonl, .json, .csv, .tsv or .parquet",
        )
    return found


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────


def _json(binary: IO[bytes], told: Callable[[], None]) -> Iterator[Record | Broken]:
    head = b""
    while not head.strip():
        line = binary.readline(_BLOCK)
        if not line:
            return
        head = line.removeprefix(b"\xef\xbb\xbf")
    stream = _Joined(head, binary)
    if head.endswith(b"\n") and isinstance(_parsed(head), dict):
        yield from _lines(stream, told)
    else:
        yield from _values(stream, told)


class _Joined:
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head or self._rest.read(size)

    def readline(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head or self._rest.readline(size)


def _lines(stream: _Joined, told: Callable[[], None]) -> Iterator[Record | Broken]:
    while line := stream.readline(LINE_LIMIT):
        told()
        if len(line) >= LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := stream.readline(_BLOCK)) and not rest.endswith(b"\n"):
                pass
            yield Broken("too_long")
        elif line.strip():
            value = _parsed(line)
            yield value if isinstance(value, dict) else Broken("not_json")


def _values(stream: _Joined, told: Callable[[], None]) -> Iterator[Record | Broken]:
    """The objects of an array, or one after another, however they are laid out in lines.

    Never more than one of them, and a block, is held. After a malformed one the next line is
    tried.
    """
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    decoder = json.JSONDecoder(strict=False)
    text, place, wanted, ended = "", 0, 1, False
    while True:
        parts = [text[place:]]
        while sum(map(len, parts)) < wanted and not ended:
            block = stream.read(_BLOCK)
            told()
            ended = not block
            parts.append(decode(block, ended))
        text, place, wanted = "".join(parts), 0, 1
        while (place := _BETWEEN.match(text, place).end()) < len(text):  # type: ignore[union-attr]
            try:
                value, place = decoder.raw_decode(text, place)
            except (json.JSONDecodeError, RecursionError) as error:
                if not ended and _may_go_on(error, len(text)) and len(text) - place < LINE_LIMIT:
                    wanted = 2 * (len(text) - place) + 1  # doubled: linear time for a huge value
                    break
                yield Broken("not_json")
                line_end = text.find("\n", place)
                place = len(text) if line_end < 0 else line_end
                continue
            yield from _objects(value)
        if ended and place >= len(text):
            return


def _may_go_on(error: Exception, length: int) -> bool:
    """Did the text only end too early? (A cut literal or escape is at most 16 characters.)"""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= length - 16 or error.msg.startswith("Unterminated string")


def _objects(value: Any) -> Iterator[Record | Broken]:
    if not isinstance(value, dict):
        yield Broken("not_json")
    elif isinstance(value.get("data"), list) and len(value) <= 3:
        for inner in value["data"]:  # a page of an API's answer
            yield inner if isinstance(inner, dict) else Broken("not_json")
    else:
        yield value


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8", "surrogateescape"), strict=False)
    except (ValueError, RecursionError):
        return None


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────


def _csv(binary: IO[bytes], told: Callable[[], None]) -> Iterator[Record | Broken]:
    """By the csv module only: other readers turn texts such as "NA" into nothing."""
    csv.field_size_limit(LINE_LIMIT)
    text = io.TextIOWrapper(binary, "utf-8-sig", "surrogateescape", newline="")
    header = text.readline()
    separator = max(_SEPARATORS, key=header.count)
    names = next(csv.reader([header], delimiter=separator), [])
    reader = csv.reader(text, delimiter=separator)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Broken("malformed_row")
            continue
        told()
        if not values:
            continue
        if len(values) > len(names):
            yield Broken("malformed_row")
            continue
        pairs = zip(names, values, strict=False)
        yield {name: value for name, value in pairs if value != ""}


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────


def _parquet(path: Path, advance: Advance) -> Iterator[Record | Broken]:
    import pyarrow
    import pyarrow.parquet

    size = path.stat().st_size
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            total, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(batch_size=1_000, use_threads=False):
                yield from batch.to_pylist()
                done += batch.num_rows
                advance(size * done // total)
    except pyarrow.ArrowException:
        yield Broken("not_parquet")
