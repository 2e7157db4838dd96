"""Nodes that hold the class with a frequency that is asked for."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from sklearn_hierret import ClassHierarchy, DiscriminantClassifier, HierarchicalRetriever, HierarchyBuilder
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from tests.strategies import blobs


def naive_nodes(tree, masses, level):
    """From the root down to the heaviest child while that holds more than the level."""
    nodes = []
    for row in masses:
        node = tree.root
        while node >= tree.n_classes:
            children = np.flatnonzero(tree.parents == node)
            children = children[children != node]
            heaviest = children[row[children].argmax()]
            if row[heaviest] <= level:
                break
            node = heaviest
        nodes.append(node)
    return np.array(nodes)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 8))
    y = rng.integers(0, 12, 3000)
    X = centres[y] + 1.5 * rng.normal(size=(len(y), 8))
    return HierarchicalRetriever(alpha=1).fit(X[:1500], y[:1500]), X[1500:], y[1500:]


@pytest.mark.parametrize("coverage", [0.7, 0.8, 0.9, 0.97])
def test_coverage_of_new_samples(fitted, coverage):
    retriever, X, y = fitted
    tree, nodes = retriever.hierarchy_, retriever.leaves(X, coverage=coverage)
    assert tree.is_below(y, nodes).mean() == pytest.approx(coverage, abs=0.03)
    # Lower nodes would not do: those of the next smaller frequency are right less often.
    assert tree.is_below(y, retriever.leaves(X, coverage=coverage - 0.05)).mean() < coverage


def test_nodes_against_a_loop(fitted):
    retriever, X, _ = fitted
    tree = retriever.hierarchy_
    proba = retriever.class_model_.predict_proba(X[:200])
    nodes = retriever.leaves(X[:200], coverage=0.9)
    masses = tree.node_probabilities(proba)
    # The level lies between what was passed on the way down and what was not.
    children = [np.flatnonzero(tree.parents[: tree.root] == node) for node in range(tree.n_nodes)]
    stopped = [masses[i][children[node]].max() for i, node in enumerate(nodes) if len(children[node])]
    level = max(stopped)
    assert level < min(masses[i][node] for i, node in enumerate(nodes) if node != tree.root)
    np.testing.assert_array_equal(nodes, naive_nodes(tree, masses, level))


def test_nodes_rise_with_coverage(fitted):
    retriever, X, _ = fitted
    heights = [retriever.hierarchy_.heights[retriever.leaves(X, coverage=c)] for c in (0.5, 0.8, 0.95, 0.999)]
    assert all((higher >= lower).all() for lower, higher in pairwise(heights))
    again = pickle.loads(pickle.dumps(retriever))
    np.testing.assert_array_equal(again.leaves(X, coverage=0.8), retriever.leaves(X, coverage=0.8))


def test_few_samples_promise_nothing_but_the_root(rng):
    X, y = blobs(rng, n_classes=3, n_features=3)
    retriever = HierarchicalRetriever(alpha=1).fit(X, y)
    nodes = retriever.leaves(X, coverage=1 - 1e-9)
    assert (nodes == retriever.hierarchy_.root).all()


def test_trees_of_one_level_and_given_ones(rng):
    X, y = blobs(rng, n_classes=4, n_features=5)
    flat = HierarchicalRetriever(ClassHierarchy.flat(range(4)), alpha=1).fit(X, y)
    assert set(flat.leaves(X, coverage=0.6)) <= set(range(5))
    chosen = HierarchicalRetrieverCV(alphas=[0, 1], cv=2).fit(X, y)
    assert chosen.leaves(X, coverage=0.6).shape == (len(X),)


def test_errors(fitted, rng):
    retriever, X, _ = fitted
    for coverage in (0, 1, -0.1, "much", True, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            retriever.leaves(X, coverage=coverage)
    with pytest.raises(ValueError, match="do not go together"):
        retriever.leaves(X, coverage=0.9, min_probability=0.9)
    with pytest.raises(ValueError, match="needs X"):
        retriever.leaves(coverage=0.9)
    features, labels = blobs(rng, n_classes=3, n_features=3)
    combined = HierarchicalRetriever([HierarchyBuilder(), ClassHierarchy.flat(range(3))], alpha=1)
    with pytest.raises(TypeError, match="CombinedHierarchy"):
        combined.fit(features, labels).leaves(features, coverage=0.9)
    assert isinstance(retriever.class_model_, DiscriminantClassifier)
