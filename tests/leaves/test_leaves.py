import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import CombinedHierarchy
from sklearn_hierret.leaves import expected_distances, hard_leaves, soft_leaves, unassigned
from tests.strategies import examples, generators, trees


@given(trees(max_classes=9), generators())
@settings(max_examples=examples(40))
def test_what_is_left_lies_on_the_root(tree, rng):
    k = tree.n_classes
    proba = rng.dirichlet(np.full(k, 0.5), 4) * rng.uniform(0.3, 1, (4, 1))
    n_kept = int(rng.integers(1, k + 1))
    order = np.argsort(-proba, axis=1)[:, :n_kept]
    leaves = soft_leaves(order, np.take_along_axis(proba, order, axis=1), np.dtype(float))
    left = 1 - leaves["probability"].sum(axis=1)
    np.testing.assert_allclose(unassigned(leaves), left, atol=1e-6)
    U = tree.distance_matrix()
    for row, found, rest in zip(leaves, expected_distances(leaves, tree), left, strict=True):
        expected = [sum(p["probability"] * U[p["leaf"], c] for p in row) + rest for c in range(k)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@given(trees(max_classes=9), generators(), st.booleans())
@settings(max_examples=examples(40))
def test_hard_leaves_are_as_far_as_the_hierarchy_says(tree, rng, is_combined):
    """Bit for bit, so that ties are ties; scaled, the rest of a leaf lies on the root."""
    if is_combined:
        tree = CombinedHierarchy([tree, tree.permute(int(rng.integers(0, 100)))], [0.3, 0.7])
    classes = rng.integers(0, tree.n_classes, 20)
    leaves = hard_leaves(classes, np.dtype(np.float32))
    found = expected_distances(leaves, tree)
    np.testing.assert_array_equal(found, tree.distance(tree.classes[classes][:, None], tree.classes[None]))
    assert np.isin(found, tree.distinct_distances()).all()
    for i in range(20):
        np.testing.assert_array_equal(expected_distances(leaves[[i]], tree)[0], found[i])
    leaves["probability"] *= 0.25
    np.testing.assert_allclose(expected_distances(leaves, tree), 1 - 0.25 * (1 - found), atol=1e-15)
