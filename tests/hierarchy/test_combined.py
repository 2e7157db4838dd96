import pickle

import numpy as np
import pytest
from hypothesis import given

from sklearn_hierret import ClassHierarchy, CombinedHierarchy, class_embedding
from tests.strategies import generators, trees


@given(trees(), generators())
def test_distances_add_up(tree, rng):
    other, weights = tree.permute(int(rng.integers(0, 100))), rng.random(2) + 0.1
    both = CombinedHierarchy([tree, other.restrict(rng.permutation(tree.classes))], weights)
    w = weights / weights.sum()
    expected = w[0] * tree.distance_matrix() + w[1] * other.distance_matrix()
    np.testing.assert_allclose(both.distance_matrix(), expected, atol=1e-14)
    np.testing.assert_allclose(both.similarity_matrix(), 1 - expected, atol=1e-14)
    c = tree.classes
    np.testing.assert_allclose(both.distance(c[:, None], c[None]), expected, atol=1e-14)
    proba = rng.dirichlet(np.ones(len(c)), 3)
    np.testing.assert_allclose(both.expected_distance(proba), proba @ expected, atol=1e-12)
    for method in ("unit_sphere", "spectral"):
        phi = class_embedding(both, method=method)
        np.testing.assert_allclose(phi @ phi.T, 1 - expected, atol=1e-12)
    some = rng.permutation(c)[: max(1, len(c) // 2)]
    np.testing.assert_allclose(
        both.restrict(some).distance_matrix(), both.distance(some[:, None], some[None]), atol=1e-14
    )
    assert pickle.loads(pickle.dumps(both)) == both
    assert hash(pickle.loads(pickle.dumps(both))) == hash(both)


def test_bad_combinations():
    one, other = ClassHierarchy.flat("ab"), ClassHierarchy.flat("abc")
    with pytest.raises(ValueError, match=r"Hierarchies 0 and 1 differ in their classes: .*'c'"):
        CombinedHierarchy([one, other])
    with pytest.raises(ValueError, match="At least one"):
        CombinedHierarchy([])
    with pytest.raises(TypeError, match="ClassHierarchy is expected, got str"):
        CombinedHierarchy(["tree"])
    for weights, message in [
        ([1], "weights must be 2 numbers"),
        ([1, -1], "at least 0"),
        ([1, np.nan], "at least 0"),
        ([0, 0], "not all be 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            CombinedHierarchy([one, one], weights)
