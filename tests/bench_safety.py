"""How fast every output is scanned, and what is found: ``make bench-safety``.

Both beside presidio-analyzer's pattern recognisers (no language model), which run in an environment
of their own (`make peers`) over the same texts, in turns with ours. Texts: the real answers of
HaluEval, joined to rows of about 1 kB, over and over until there are eight MB. Times are the
processes' own (CPU time of one core), so that a busy machine does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from monitors.logs.interaction import Batch
from monitors.logs.redaction import find
from monitors.quality import hazards
from monitors.quality.judge_review import judges
from monitors.quality.links import links
from monitors.quality.unsafe import NAME
from monitors.quality.unsafe_training import train_unsafe
from monitors.review.golden import Golden, import_golden
from monitors.settings import Settings
from sql.store import Store
from tests import unsafe_texts
from tests.conftest import ROOT
from tests.logs_kit import context_over
from tests.pii_corpus import KINDS, corpus, tallies

SIZE, ROW, TURNS, CHUNK = 8_000_000, 1_000, 5, 2_000
LEARNED = 1_000
PEER = ROOT / ".venv-peers" / "bin" / "python"
# The scorers look at nothing of a context but its settings.
ANY: Any = SimpleNamespace(settings=Settings.model_validate({"source": {"url": "sqlite://"}}))


class Presidio:
    """Presidio in a process of its own."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(ROOT / "tests" / "peer_presidio.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ask(["warm up, a@example.org"])

    def ask(self, texts: list[str]) -> tuple[float, list[Any]]:
        """Seconds, and what was found in each text."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["seconds"], answer["found"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def answers(folder: Path) -> list[str]:
    """Rows of 1 kB and a little more of real answers, repeated until they are `SIZE` bytes."""
    lines = (folder / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    rows, row = [], ""
    for line in lines:
        row += str(json.loads(line)["chatgpt_response"]) + "\n"
        if len(row) >= ROW:
            rows.append(row)
            row = ""
    once = sum(len(text.encode()) for text in rows)
    return rows * -(-SIZE // once)


def safety(texts: list[str]) -> float:
    """Seconds that the safety scorers of outputs take, as the default configuration has them."""
    scorers = (hazards.pii(), hazards.refusal, hazards.toxicity, links)
    began = time.process_time()
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        batch = Batch({"output": part, "input": [None] * len(part)})
        for each in scorers:
            each.function(batch, ANY)
    return time.process_time() - began


def detection(presidio: Presidio | None) -> None:
    items = corpus(1, each=300)
    texts = [item.text for item in items]
    ours = tallies(items, [[(f.kind, f.start, f.end) for f in find(t)] for t in texts])
    theirs = None
    if presidio is not None:
        theirs = tallies(items, [[tuple(s) for s in f] for f in presidio.ask(texts)[1]])
    print(
        f"{'found in ' + format(len(items), ',') + ' texts':<24}{'Tidegauge':>22}{'presidio':>22}"
    )
    print(f"{'':<24}{'precision   recall':>22}{'precision   recall':>22}")
    for kind in KINDS:
        line = f"{kind:<24}{ours[kind].precision:>13.1%}{ours[kind].recall:>9.1%}"
        if theirs is not None:
            line += f"{theirs[kind].precision:>13.1%}{theirs[kind].recall:>9.1%}"
        print(line)


def speed(texts: list[str], presidio: Presidio | None) -> None:
    size = sum(len(text.encode()) for text in texts) / 1e6
    few = texts[:400]
    few_size = sum(len(text.encode()) for text in few) / 1e6
    looks: dict[str, Callable[[], float]] = {"all safety scorers": lambda: size / safety(texts)}
    for name, each in (
        ("personal data alone", hazards.pii()),
        ("toxicity alone", hazards.toxicity),
        ("refusal alone", hazards.refusal),
        ("links alone", links),
    ):

        def one(each: Any = each) -> float:
            began = time.process_time()
            for start in range(0, len(texts), CHUNK):
                part = texts[start : start + CHUNK]
                each.function(Batch({"output": part, "input": [None] * len(part)}), ANY)
            return size / (time.process_time() - began)

        looks[name] = one
    if presidio is not None:
        looks["presidio, patterns"] = lambda: few_size / presidio.ask(few)[0]
    rates: dict[str, list[float]] = {name: [] for name in looks}
    for _ in range(TURNS):
        for name, look in looks.items():
            rates[name].append(look())
    print(f"\n{size:.0f} MB of real answers, one core, median of {TURNS} turns")
    for name, values in rates.items():
        line = f"{name:<24}{median(values):>10.1f} MB/s"
        if presidio is not None and not name.startswith("presidio"):
            line += f"{median(values) / median(rates['presidio, patterns']):>10.0f} x presidio"
        print(line)


def classifier(folder: Path, texts: list[str]) -> None:
    """The classifier that a golden set trains, with made-up unsafe answers: none of real ones."""
    lines = (folder / "halueval" / "general_3000.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [str(json.loads(line)["chatgpt_response"]) for line in lines]
    print(
        f"\nunsafe answers: trained on 60 made-up and {LEARNED:,} real safe ones, and asked about"
    )
    print("200 of other sentences and the other real answers")
    golden = [Golden("?", text, 1.0, dimensions={"safety": 5}) for text in answers[:LEARNED]]
    golden += [Golden("?", t, 0.0, dimensions={"safety": 1}) for t in unsafe_texts.unsafe(0, 60)]
    with TemporaryDirectory() as place:
        store = Store.open(f"sqlite:///{place}/store.db")
        with context_over(store, f"sqlite:///{place}/log.db") as context:
            import_golden({one.key: one for one in golden}.values(), context)
            model = train_unsafe(context)
            card = judges(context, NAME)[0].card
        store.close()
    wanted, share = card["false_positives_wanted"], card["false_positives"][0]
    print(f"out of fold {share:.2%} of the safe fail ({wanted:.2%} are allowed)")
    for name, asked in (
        ("real answers", answers[LEARNED:]),
        ("made up, known sentences", unsafe_texts.unsafe(0, 200, seed=1)),
        ("made up, other sentences", unsafe_texts.unsafe(1, 200)),
    ):
        print(f"{name:<28}{float((model.safe(asked) < model.threshold).mean()):>8.2%} fail")
    size, rates = sum(len(text.encode()) for text in texts) / 1e6, []
    for _ in range(TURNS):
        began = time.process_time()
        for start in range(0, len(texts), CHUNK):
            model.safe(texts[start : start + CHUNK])
        rates.append(size / (time.process_time() - began))
    print(f"{'speed':<24}{median(rates):>10.1f} MB/s")


def main() -> None:
    folder = Path(os.environ.get("TIDEGAUGE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "halueval").is_dir():
        sys.exit(f"the real data is not at {folder}: set TIDEGAUGE_REAL_DATA")
    python = Path(os.environ.get("TIDEGAUGE_PEERS", PEER))
    presidio = Presidio(python) if python.exists() else None
    if presidio is None:
        print("without presidio: `make peers` installs it")
    try:
        detection(presidio)
        texts = answers(folder)
        speed(texts, presidio)
        classifier(folder, texts)
    finally:
        if presidio is not None:
            presidio.close()


if __name__ == "__main__":
    main()
