"""The language of inputs: told where certain, else unknown; of a large day, for a share of it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.drift import profiles
from monitors.drift.columns import LANGUAGE, watched
from monitors.drift.inputs import inputs
from monitors.drift.language import LANGUAGES, UNKNOWN, language_of, languages_of
from monitors.drift.profiles import profile_day, read
from monitors.drift.sketches import Categories
from monitors.quality.slices import WHOLE
from sql.measurement import Measurement
from sql.store import Store
from sql.window import Grain, Window
from tests.logs_kit import DAY, context_over, days, fill, row

TOLD = {
    "en": "please cancel my subscription and send me the last invoice",
    "de": "wo ist meine Bestellung, ich warte seit einer Woche darauf",
    "fr": "combien coûte la livraison à domicile",
    "es": "mi tarjeta fue bloqueada, ¿qué hago?",
    "it": "vorrei prenotare un tavolo per due persone",
    "nl": "laat me de factuur van vorige maand zien",
    "pl": "gdzie jest moje zamówienie",
    "tr": "şifremi nasıl değiştirebilirim",
    "ru": "как изменить пароль",
    "ja": "パスワードを変更したい",
    "zh": "我的订单在哪里",
    "ar": "كيف أغير كلمة المرور",
    "sw": "nataka kubadilisha nenosiri langu",
}


@pytest.mark.parametrize(("code", "text"), TOLD.items())
def test_a_sentence_is_told(code: str, text: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize(
    "text", ["ok", "42", "\U0001f44d\U0001f44d", "SKU-4711 x2", "lol", " ", "jira"]
)
def test_what_cannot_be_told_is_unknown(text: str) -> None:
    assert language_of(text) == UNKNOWN


@given(st.lists(st.none() | st.text(max_size=600)))
def test_any_text_has_one_of_the_known_answers(texts: list[str | None]) -> None:
    told = languages_of(texts)
    assert [one is None for one in told] == [not text for text in texts]
    assert set(told) <= {*LANGUAGES, UNKNOWN, None}
    assert told == languages_of(texts)


def test_real_english_queries_are_english_or_unknown(real_data: Path) -> None:
    data = json.loads((real_data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    texts = [text for split in ("train", "val", "test") for text, _ in data[split]]
    found = Counter(languages_of(texts))
    assert len(texts) == 22_500 and found["en"] >= 0.95 * len(texts)
    assert found["en"] + found[UNKNOWN] >= 0.999 * len(texts), found


def test_of_a_large_day_a_share_is_told_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "LANGUAGE_ROWS", 400)
    url = f"sqlite:///{tmp_path}/log.db"
    texts = (TOLD["en"], TOLD["en"], TOLD["en"], TOLD["de"])
    fill(url, [row(n, input=texts[n % 4], segment="ab"[n % 2]) for n in range(2_000)])
    bodies = []
    for name in ("one", "two"):
        store = Store.open(f"sqlite:///{tmp_path}/{name}.db")
        names = [LANGUAGE, "input_characters"]
        with context_over(store, url, drift={"columns": names}) as context:
            assert profile_day(DAY, context)["rows"] == 2_000
            kept, lengths = (read(c, [DAY], context) for c in watched(names, context.source))
        [whole] = kept[WHOLE]
        assert isinstance(whole, Categories) and lengths[WHOLE][0].rows == 2_000
        # Binomial with 2,000 and 1/5; then with about 400 and 1/4: five deviations.
        assert abs(whole.rows - 400) < 90
        assert abs(whole.frequent()["de"] / whole.rows - 0.25) < 0.11
        assert sum(kept["segment", value][0].rows for value in "ab") == whole.rows
        assert "de" not in kept["segment", "a"][0].frequent(), "every fourth row is odd"  # type: ignore[union-attr]
        bodies.append(whole.body())
    assert bodies[0] == bodies[1]


def test_a_language_that_comes_is_drift_though_the_log_tells_none(
    store: Store, tmp_path: Path
) -> None:
    url, first = f"sqlite:///{tmp_path}/log.db", Window.of(date(2026, 6, 1), Grain.DAY)
    for place, day in enumerate(days(35, first)):
        share = 5 if place >= 28 else 100
        texts = [TOLD["de"] if (n + place) % share == 0 else TOLD["en"] for n in range(100)]
        fill(url, [row(n + 100 * place, day, input=texts[n], of=4_000) for n in range(100)])
    sections = {"reference": {"start": first.first_day.isoformat(), "days": 21}}
    with context_over(store, url, drift={"columns": [LANGUAGE]}, **sections) as context:
        quiet, moved = (
            _psi(Window.of(d, Grain.WEEK), context) for d in (date(2026, 6, 22), date(2026, 6, 29))
        )
    assert quiet.value is not None and quiet.value < 0.02
    assert moved.value is not None and moved.value > 0.2
    assert moved.evidence is not None and moved.evidence <= 0.0001


def _psi(window: Window, context: object) -> Measurement:
    [found] = [
        m
        for m in inputs.measure(window, context)  # type: ignore[arg-type]
        if m.metric == "drift.input.psi" and m.labels == {"column": LANGUAGE, "reference": "pinned"}
    ]
    return found
