"""Probabilities of taught and of discovered classes, and how far queries count them."""

import numpy as np
import pytest
from scipy.special import softmax

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.distance import CosineMetric
from sklearn_hierret.new_classes import (
    DiscoveredClasses,
    Evidence,
    TaughtClasses,
    trust_in_discovered,
    trust_in_known,
)
from sklearn_hierret.new_classes._leaves import LEAST_VOTERS, VOTES


@pytest.fixture
def evidence(rng):
    prototypes = unit_rows(rng.normal(size=(4, 6)))[0].astype(np.float32)
    reference = unit_rows(rng.normal(size=(30, 6)))[0].astype(np.float32)
    return Evidence(CosineMetric(), prototypes, np.array([5.0, 10, 20, 40]), 3.0, reference)


def test_taught_classes_by_loops(rng, evidence):
    rows, codes = unit_rows(rng.normal(size=(9, 6)))[0], np.array([0, 1, 2, 0, 1, 0, 0, 0, 2])
    known = np.array([7.0, 0, 2, 4])  # median 4
    taught = TaughtClasses.of(np.array([7, 8, 9]), rows, codes, known)
    Q = unit_rows(rng.normal(size=(5, 6)))[0].astype(np.float32)
    result = taught.posterior(Q, evidence.scores(Q), evidence)
    weights, share = np.array([5, 2, 2]) + 4.0 / 2, evidence.counts / evidence.counts.sum()
    for query, row in zip(Q, result, strict=True):
        of_known = known.sum() * share * np.exp(3 * evidence.prototypes @ query)
        means = np.array([rows[codes == code].sum(axis=0) for code in range(3)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        of_new = weights * np.exp(3 * means @ query)
        by_prototypes = of_new / (of_known.sum() + of_new.sum())
        of_training = known.sum() * np.exp(VOTES * 3 * evidence.reference @ query).mean()
        of_rows = np.array(
            [weights[c] * np.exp(VOTES * 3 * rows[codes == c] @ query).mean() for c in range(3)]
        )
        by_votes = of_rows / (of_training + of_rows.sum())
        np.testing.assert_allclose(row, (by_prototypes + by_votes) / 2, rtol=1e-4)


def test_what_is_taught_bit_by_bit(rng, evidence):
    rows, codes = unit_rows(rng.normal(size=(60, 6)))[0], rng.integers(0, 3, 60)
    codes[:3] = [0, 1, 2]
    known = np.array([7.0, 0, 2, 4])
    whole = TaughtClasses.of(np.array([7, 8, 9]), rows, codes, known)
    first = TaughtClasses.of(np.array([7, 8]), rows[codes < 2], codes[codes < 2], known)
    grown = first.joined(
        TaughtClasses.of(np.array([7, 8, 9]), rows[codes == 2], codes[codes == 2], 0 * known)
    )
    Q = unit_rows(rng.normal(size=(5, 6)))[0].astype(np.float32)
    of_whole, of_grown = (t.posterior(Q, evidence.scores(Q), evidence) for t in (whole, grown))
    np.testing.assert_allclose(of_grown, of_whole, rtol=1e-5)


def test_few_rows_of_many_classes_vote(rng):
    rows, codes = unit_rows(rng.normal(size=(5000, 4)))[0], np.arange(5000) % 250
    taught = TaughtClasses.of(np.arange(250), rows, codes, np.ones(3))
    assert np.bincount(taught.codes).tolist() == [LEAST_VOTERS] * 250
    order = rng.permutation(5000)  # which ones does not depend on the order
    again = TaughtClasses.of(np.arange(250), rows[order], codes[order], np.ones(3))
    assert {tuple(row) for row in taught.rows.tolist()} == {tuple(row) for row in again.rows.tolist()}


def test_a_gallery_of_new_labels_alone(rng, evidence):
    rows = unit_rows(rng.normal(size=(6, 6)))[0]
    taught = TaughtClasses.of(np.array([7, 8]), rows, np.arange(6) % 2, np.zeros(4))
    Q = rows.astype(np.float32)
    np.testing.assert_allclose(taught.posterior(Q, evidence.scores(Q), evidence).sum(axis=1), 1, rtol=1e-5)


def discovered(rng, n_leaves=3, n_rivals=2):
    directions = unit_rows(rng.normal(size=(n_leaves + n_rivals, 6)))[0].astype(np.float32)
    weights, known = np.full(n_leaves + n_rivals, 0.1), np.full(4, 0.125)
    some = np.zeros((1, 6), dtype=np.float32)
    new = np.linspace(0.9, 0.3, n_leaves)
    return DiscoveredClasses(
        np.arange(50, 50 + n_leaves), directions, weights, known, some, np.array([-1]), 0.8, new
    )


def test_discovered_classes_compete_with_known_ones_and_with_rivals(rng, evidence):
    clusters = discovered(rng)
    Q = unit_rows(rng.normal(size=(5, 6)))[0].astype(np.float32)
    cosines = Q @ np.concatenate([evidence.prototypes, clusters.all_directions]).T
    expected = softmax(3 * cosines + np.log([0.125] * 4 + [0.1] * 5), axis=1)[:, 4:7]
    np.testing.assert_allclose(clusters.posterior(Q, evidence.scores(Q), evidence), expected, rtol=1e-4)


def test_dropped_leaves_compete_and_merged_ones_are_one(rng, evidence):
    clusters = discovered(rng)
    Q = unit_rows(rng.normal(size=(5, 6)))[0].astype(np.float32)
    before = clusters.posterior(Q, evidence.scores(Q), evidence)
    kept = clusters.kept(np.array([True, False, True]))
    np.testing.assert_array_equal(kept.labels, [50, 52])
    np.testing.assert_allclose(kept.posterior(Q, evidence.scores(Q), evidence), before[:, [0, 2]], rtol=1e-5)
    merged = clusters.merged([2, 0])
    np.testing.assert_array_equal(merged.labels, [51, 52])
    assert merged.weights.tolist() == pytest.approx([0.1, 0.2, 0.1, 0.1])
    middle = clusters.directions[0] + clusters.directions[2]
    np.testing.assert_allclose(merged.directions[1], middle / np.linalg.norm(middle), rtol=1e-5)


def test_trust():
    known = np.array([0.0, 0.5, 1.0])
    for weight in (0.3, 1.0, 4.0, 16.0):
        np.testing.assert_allclose(trust_in_known(known, weight)[[0, 2]], [0, 1])
        assert weight * trust_in_discovered(weight) == pytest.approx(min(weight, 1) / 2)
    assert 16 * trust_in_known(known, 16.0)[1] == pytest.approx(1 / 256)
    assert trust_in_known(known, np.inf)[1] == trust_in_known(known, 16.0)[1]
