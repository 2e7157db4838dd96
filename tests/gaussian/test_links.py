"""Components by links are the components of all overlaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from sklearn_hierret import MahalanobisClassifier
from sklearn_hierret.gaussian import _links, linked_components
from tests.strategies import blobs, examples

TYPES = ["full", "tied", "diag", "spherical"]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(TYPES),
    st.sampled_from([0.3, 1.0, 3.0]),
    st.integers(2, 25),
    st.integers(1, 20),
)
@settings(max_examples=examples(80), deadline=None)
def test_links_equal_all_pairs(seed, covariance_type, spread, n_classes, d):
    rng = np.random.default_rng(seed)
    X, y = blobs(rng, n_classes=n_classes, n_features=d, spread=spread)
    model = MahalanobisClassifier(covariance_type, n_components=None).fit(X, y)
    overlap = model.overlap_of()
    apart = np.unique(overlap[np.triu_indices(n_classes, k=1)])
    apart = apart[apart > 1e-200]
    for t in [*np.quantile(apart, [0, 0.3, 0.8, 1.0]).tolist(), 0.05, 0.5, 1.0] if len(apart) else [0.05]:
        labels = linked_components(model.gaussians(), t)
        np.testing.assert_array_equal(labels, connected_components(overlap >= t, directed=False)[1])


def test_bounds_never_exceed_the_distance(rng):
    X, y = blobs(rng, n_classes=20, n_features=30, n_per_class=(50, 80), spread=0.7)
    gaussians = MahalanobisClassifier(n_components=None).fit(X, y).gaussians()
    i, j = np.triu_indices(20, k=1)
    distances = _links.bhattacharyya_pairs(gaussians, i, j)
    bounds = _links._MarginalBounds(gaussians).of_pairs(i, j)
    assert (bounds <= distances * (1 + 1e-9)).all()
    assert bounds.mean() > 0.3 * distances.mean()  # and they say something
    for most in np.quantile(distances, [0.1, 0.5, 0.9]):
        near = set()
        for a, b in _links._near_means(gaussians, most, None):
            near |= set(zip(a.tolist(), b.tolist(), strict=True))
        needed = zip(i[distances <= most].tolist(), j[distances <= most].tolist(), strict=True)
        assert set(needed) <= near


def test_few_distances_are_computed(rng, monkeypatch):
    X, y = blobs(rng, n_classes=60, n_features=20, n_per_class=(40, 60), spread=3.0)
    gaussians = MahalanobisClassifier(n_components=None).fit(X, y).gaussians()
    computed = []
    pairs = _links.bhattacharyya_pairs
    monkeypatch.setattr(
        _links, "bhattacharyya_pairs", lambda g, i, j: computed.append(len(i)) or pairs(g, i, j)
    )
    linked_components(gaussians, 0.05)
    assert sum(computed) < 0.1 * 60 * 59 / 2


@pytest.mark.parametrize("covariance_type", TYPES)
def test_only_changed_classes_are_compared(rng, covariance_type):
    X, y = blobs(rng, n_classes=8, spread=0.5)
    gaussians = MahalanobisClassifier(covariance_type, n_components=None).fit(X, y).gaussians()
    everything = linked_components(gaussians, 1e-6)
    assert (everything == 0).all()
    np.testing.assert_array_equal(linked_components(gaussians, 1e-6, np.zeros(8, dtype=bool)), np.arange(8))
    one = np.arange(8) == 3
    assert (linked_components(gaussians, 1e-6, one) == 0).all()  # all of them through class 3


def test_largest_eigenvalues_are_bounded_closely(rng):
    A = rng.normal(size=(7, 30, 40)) * rng.uniform(1e-8, 1e8, size=(7, 1, 1))
    stack = A @ A.transpose(0, 2, 1)
    bounds, exact = _links._largest_eigenvalues(stack), np.linalg.eigvalsh(stack)[:, -1]
    assert (bounds >= exact * (1 - 1e-12)).all()
    assert (bounds <= exact * 30 ** (1 / 32) * (1 + 1e-9)).all()
