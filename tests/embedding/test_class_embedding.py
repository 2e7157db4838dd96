import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy, class_embedding
from tests.strategies import trees


def algorithm_1(similarity):
    """barz2019, Algorithm 1, step by step; classes at distance 0 share a vector."""
    n = len(similarity)
    phi = np.zeros((n, n))
    for i in range(n):
        x = np.zeros(n)
        for j in range(i):  # forward substitution
            if phi[j, j] > 1e-9:
                x[j] = (similarity[j, i] - phi[j, :j] @ x[:j]) / phi[j, j]
        x[i] = np.sqrt(max(0.0, 1 - x @ x))
        phi[i] = x
    return phi


@given(trees())
def test_unit_sphere_is_algorithm_1(tree):
    phi = class_embedding(tree)
    similarity = 1 - tree.distance_matrix()
    np.testing.assert_allclose(phi @ phi.T, similarity, atol=1e-14)
    if np.all(tree.distance_matrix() + np.eye(tree.n_classes) > 0.01):
        np.testing.assert_allclose(phi, algorithm_1(similarity), atol=1e-6)
    assert phi.shape == (tree.n_classes, tree.n_classes)
    assert (phi >= 0).all()
    assert np.allclose(phi, np.tril(phi))


@given(trees(max_classes=12), st.integers(1, 12))
def test_spectral_is_the_best_approximation(tree, m):
    m = min(m, tree.n_classes)
    phi = class_embedding(tree, m)
    similarity = 1 - tree.distance_matrix()
    values, vectors = np.linalg.eigh(similarity)
    best = (vectors[:, -m:] * values[-m:]) @ vectors[:, -m:].T
    error = np.linalg.norm(phi @ phi.T - similarity)
    assert error <= np.linalg.norm(best - similarity) + 1e-10
    assert phi.shape == (tree.n_classes, m)
    full = class_embedding(tree, method="spectral")
    np.testing.assert_allclose(full @ full.T, similarity, atol=1e-13)


def test_a_thousand_classes_to_the_last_places():
    rng = np.random.default_rng(0)
    c = np.arange(1000)
    uneven = [c, c // 2, c // 6, c // 48, c // 384, 0 * c]
    heights = np.r_[0, np.cumsum(rng.random(5))]
    for tree in (
        ClassHierarchy.from_levels(uneven),
        ClassHierarchy.from_levels(uneven, heights=heights).permute(0),
    ):
        phi = class_embedding(tree)
        assert np.abs(phi @ phi.T - (1 - tree.distance_matrix())).max() <= 5e-15


def test_bad_arguments():
    tree = ClassHierarchy.flat("abc")
    for params, message in [
        ({"n_components": 4}, "exceeds the 3 classes"),
        ({"n_components": 0}, "positive integer"),
        ({"n_components": 2, "method": "unit_sphere"}, "needs 3 dimensions"),
        ({"method": "cholesky"}, "unit_sphere"),
    ]:
        with pytest.raises(ValueError, match=message):
            class_embedding(tree, **params)
    with pytest.raises(TypeError, match="ClassHierarchy"):
        class_embedding([[0, 1], [0, 0]])
