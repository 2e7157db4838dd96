import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret.gaussian import ClassStatistics
from tests.strategies import generators

KINDS = ["full", "diag", "pooled"]


def naive_scatter(X, codes, n_classes, kind):
    full = []
    for c in range(n_classes):
        R = X[codes == c] - X[codes == c].mean(axis=0)
        full.append(sum((np.outer(r, r) for r in R), np.zeros((X.shape[1],) * 2)))
    full = np.array(full)
    return {"full": full, "diag": np.array([np.diag(S) for S in full]), "pooled": full.sum(axis=0)}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_from_samples_equals_loops(rng, kind):
    codes = np.repeat([0, 1, 2, 3], [5, 1, 9, 4])
    X = rng.normal(size=(19, 3)) + 10
    order = rng.permutation(19)
    statistics = ClassStatistics.from_samples(X[order], codes[order], 4, kind)
    assert statistics.counts.tolist() == [5, 1, 9, 4]
    np.testing.assert_allclose(statistics.means, [X[codes == c].mean(axis=0) for c in range(4)])
    np.testing.assert_allclose(statistics.scatter, naive_scatter(X, codes, 4, kind), atol=1e-12)
    np.testing.assert_allclose(
        statistics.within_scatter,
        naive_scatter(X, codes, 4, "diag" if kind == "diag" else "full").sum(axis=0),
        atol=1e-12,
    )


@given(generators(), st.sampled_from(KINDS))
def test_merging_equals_recomputing_from_pooled_samples(rng, kind):
    k, d = int(rng.integers(2, 8)), int(rng.integers(1, 5))
    codes = np.concatenate([np.arange(k), rng.integers(0, k, size=30)])
    X = rng.normal(size=(len(codes), d)) * rng.uniform(0.1, 10) + rng.normal(size=d) * 100
    _, labels = np.unique(rng.integers(0, k, size=k), return_inverse=True)
    merged = ClassStatistics.from_samples(X, codes, k, kind).merge(labels)
    pooled = ClassStatistics.from_samples(X, labels[codes], labels.max() + 1, kind)
    np.testing.assert_array_equal(merged.counts, pooled.counts)
    np.testing.assert_allclose(merged.means, pooled.means, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(merged.scatter, pooled.scatter, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_in_steps_equals_merging_at_once(rng, kind):
    codes = np.repeat(np.arange(6), 5)
    statistics = ClassStatistics.from_samples(rng.normal(size=(30, 4)), codes, 6, kind)
    steps = statistics.merge(np.array([0, 0, 1, 2, 2, 3])).merge(np.array([0, 1, 0, 1]))
    at_once = statistics.merge(np.array([0, 0, 1, 0, 0, 1]))
    np.testing.assert_allclose(steps.means, at_once.means)
    np.testing.assert_allclose(steps.scatter, at_once.scatter)


@pytest.mark.parametrize("kind", KINDS)
def test_unchanged_classes_stay_bit_for_bit(rng, kind):
    codes = np.repeat(np.arange(3), 5)
    statistics = ClassStatistics.from_samples(rng.normal(size=(15, 4)), codes, 3, kind)
    merged = statistics.merge(np.array([0, 1, 1]))
    np.testing.assert_array_equal(merged.means[0], statistics.means[0])
    if kind != "pooled":
        np.testing.assert_array_equal(merged.scatter[0], statistics.scatter[0])


def test_total_covariance_is_numpys(rng):
    X = rng.normal(size=(40, 5)) * [1, 2, 3, 4, 5] + 1000
    codes = rng.integers(0, 4, size=40)
    statistics = ClassStatistics.from_samples(X, codes, 4, "pooled")
    np.testing.assert_allclose(statistics.total_covariance(), np.cov(X.T), rtol=1e-9)


def test_single_precision_with_a_large_offset(rng):
    X = (rng.normal(size=(500, 3)) + 1e4).astype(np.float32)
    statistics = ClassStatistics.from_samples(X, np.zeros(500, dtype=int), 1, "full")
    np.testing.assert_allclose(statistics.scatter[0] / 499, np.cov(X.astype(float).T), rtol=1e-9)
