"""New classes have a place in the tree, and nothing else moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy
from sklearn_hierret.new_classes import extended_tree
from tests.strategies import Draws, examples


@settings(max_examples=examples(50))
@given(st.data())
def test_distances_between_old_classes_never_change(data):
    rng = Draws(data.draw)
    n = int(rng.integers(2, 12))
    levels = [np.arange(n), rng.integers(0, n, n)]
    levels.append(levels[1] % int(rng.integers(1, 4)))
    tree = ClassHierarchy.from_levels([*levels, np.zeros(n, dtype=int)])
    new = np.arange(100, 100 + int(rng.integers(1, 4)))
    prototypes, directions = rng.normal(size=(n, 3)), rng.normal(size=(len(new), 3))
    for longer in (extended_tree(tree, new, directions, prototypes), extended_tree(tree, new)):
        np.testing.assert_array_equal(longer.classes, [*tree.classes, *new])
        np.testing.assert_array_equal(longer.distance_matrix()[:n, :n], tree.distance_matrix())
    assert np.all(extended_tree(tree, new).distance_matrix()[n:, :n] == 1)


@pytest.mark.parametrize(
    ("direction", "distances"),
    [
        ([1.0, 0.1, 0.0], [0.5, 0.5, 1]),  # as near to the cat as the dog is
        ([0.7, 0.0, 0.7], [1, 1, 1]),  # nearest to the cat, and farther from it than the dog
        ([0.0, -1.0, 0.0], [1, 1, 1]),
    ],
)
def test_it_stands_where_linkage_would_put_it(direction, distances):
    tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    prototypes = np.array([[1.0, 0.0, 0.0], [0.9, 0.43, 0.0], [0.0, 0.0, 1.0]])
    longer = extended_tree(tree, np.array(["pike"]), np.array([direction]), prototypes)
    np.testing.assert_allclose(longer.distance("pike", ["cat", "dog", "trout"]), distances)
    assert longer.node_names[3] == "pike"
