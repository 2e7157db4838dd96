import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import (
    ClassHierarchy,
    average_hierarchical_precision_at_k,
    hierarchical_precision_at_k,
)
from tests.reference import hierarchy as naive_tree
from tests.reference import metrics as reference
from tests.strategies import trees


@given(trees(max_classes=6), st.integers(0, 2**32 - 1), st.sampled_from(["lca", "wup"]), st.booleans())
def test_equals_loops(tree, seed, similarity, exclude_query):
    rng = np.random.default_rng(seed)
    n = tree.n_classes
    gallery = rng.integers(0, n, 9)
    queries = np.arange(4)
    labels = tree.classes

    def s(i, j):
        return (
            1 - naive_tree.distance(tree, i, j) if similarity == "lca" else naive_tree.wu_palmer(tree, i, j)
        )

    k = 6
    others = [np.delete(gallery, q) if exclude_query else gallery for q in queries]
    ranked = np.array([rng.permutation(o)[:k] for o in others])
    for function, naive in [
        (hierarchical_precision_at_k, reference.hierarchical_precision),
        (average_hierarchical_precision_at_k, reference.average_hierarchical_precision),
    ]:
        expected = [naive(gallery[q], ranked[q], others[q], k, s) for q in queries]
        found = function(
            labels[gallery[queries]],
            labels[ranked],
            tree,
            k,
            y_gallery=labels[gallery],
            exclude_query=exclude_query,
            similarity=similarity,
        )
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_perfect_and_worst_rankings():
    tree = ClassHierarchy.from_newick("((a,b),(c,d));")
    gallery = ["a", "b", "c", "d"]
    perfect = average_hierarchical_precision_at_k(["a"], [["a", "b", "c"]], tree, y_gallery=gallery)
    worst = average_hierarchical_precision_at_k(["a"], [["c", "d"]], tree, y_gallery=gallery)
    assert perfect.tolist() == [1.0]
    assert worst.tolist() == [0.0]
    # HP@1 = 0.5 / 1, HP@2 = 1.5 / 1.5
    half = average_hierarchical_precision_at_k(["a"], [["b", "a"]], tree, y_gallery=gallery)
    assert half.tolist() == [0.75]


def test_nothing_similar_in_the_gallery():
    tree = ClassHierarchy.flat(["a", "b"])
    assert np.isnan(hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["b"])).all()


def test_bad_input():
    tree = ClassHierarchy.flat(["a", "b"])
    with pytest.raises(ValueError, match="missing in the hierarchy: 'z'"):
        hierarchical_precision_at_k(["a"], [["z"]], tree, y_gallery=["a", "b"])
    with pytest.raises(ValueError, match="missing in the hierarchy: 'z'"):
        hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["a", "z"])
    with pytest.raises(ValueError, match="results of query 0 are better than any ranking"):
        hierarchical_precision_at_k(["a"], [["a", "a"]], tree, y_gallery=["a", "b"])
    with pytest.raises(ValueError, match="larger than the gallery"):
        hierarchical_precision_at_k(["a"], [["b", "a"]], tree, y_gallery=["a", "b"], exclude_query=True)
    with pytest.raises(ValueError, match="Query 0 is not in y_gallery"):
        hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["b", "b"], exclude_query=True)
