"""Fitting again by hand with parts that were fitted before changes nothing that was not asked for."""

import copy
import json
import pickle

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    TextHierarchyBuilder,
)
from tests.strategies import blobs


@pytest.fixture(scope="module")
def data():
    return blobs(np.random.default_rng(0), n_classes=12, n_features=8, n_per_class=(10, 30))


def letters(names):
    return np.array([[name.count(c) for c in "0123456789 "] for name in names], dtype=float) + 0.01


BUILDERS = {
    "default": None,
    "linkage": LinkageHierarchyBuilder(),
    "level-wise": HierarchyBuilder(),
    "names": TextHierarchyBuilder(letters),
    "both": CombinedHierarchyBuilder(
        [("a", LinkageHierarchyBuilder()), ("b", TextHierarchyBuilder(letters))]
    ),
    "two learned": CombinedHierarchyBuilder([("a", LinkageHierarchyBuilder()), ("b", HierarchyBuilder())]),
    "linked": CombinedHierarchyBuilder(
        [("a", LinkageHierarchyBuilder()), ("b", TextHierarchyBuilder(letters))], linkage="average"
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_fitted_tree_keeps_its_stem(data, name):
    X, y = data
    first = HierarchicalRetriever(BUILDERS[name], class_model=DiscriminantClassifier()).fit(X, y)
    trees = [first.hierarchy_, copy.deepcopy(first.hierarchy_), pickle.loads(pickle.dumps(first.hierarchy_))]
    if isinstance(first.hierarchy_, ClassHierarchy):
        trees.append(ClassHierarchy.from_json(first.hierarchy_.to_json()))
        trees.append(first.hierarchy_.restrict(first.hierarchy_.classes))
    for tree in trees:
        again = HierarchicalRetriever(tree, class_model=DiscriminantClassifier()).fit(X, y)
        assert again.searcher().leaves.stem == first.searcher().leaves.stem
        assert again.alpha_ == first.alpha_
        np.testing.assert_array_equal(again.kneighbors(None, 5)[1], first.kneighbors(None, 5)[1])


def test_given_trees_are_given():
    tree = ClassHierarchy.flat([1, 2])
    assert tree.origin == "given"
    assert "origin" not in json.loads(tree.to_json())
    assert tree == tree.with_origin("features")
    with pytest.raises(ValueError, match="origin must be one of"):
        tree.with_origin("heaven")


def test_a_frozen_class_model_keeps_its_folds(data):
    """Its own training samples are held out for the choice of alpha, and as queries."""
    X, y = data
    rng = np.random.default_rng(1)
    wrong = rng.permutation(y)  # nothing can be learned; in-sample leaves would say otherwise
    model = DiscriminantClassifier().fit(X, wrong)
    frozen = HierarchicalRetriever(class_model=FrozenEstimator(model)).fit(X, wrong)
    plain = HierarchicalRetriever(class_model=DiscriminantClassifier()).fit(X, wrong)
    np.testing.assert_array_equal(frozen.leaves(), plain.leaves())
    assert frozen.alpha_ == plain.alpha_


def test_alpha_is_what_it_is_now(data):
    X, y = data
    codes = np.packbits(X > 0, axis=1)
    for retriever in (HierarchicalRetriever().fit(X, y), HammingRetriever().fit(codes, y)):
        chosen = retriever.alpha_
        assert retriever.set_params(alpha=3).alpha_ == 3.0
        assert retriever.set_params(alpha=np.inf).alpha_ == np.inf
        assert retriever.set_params(alpha="auto").alpha_ == chosen
        assert pickle.loads(pickle.dumps(retriever)).alpha_ == chosen
    with pytest.raises(AttributeError):
        _ = HierarchicalRetriever().alpha_


def test_ids_that_leave_no_running_numbers(data):
    X, y = data
    retriever = HierarchicalRetriever(alpha=0.5).fit(X, y)
    retriever.set_gallery(X[:2], y[:2], ids=[1, 2**63 - 1])
    with pytest.raises(ValueError, match="leave no running numbers: give the new samples ids"):
        retriever.add_to_gallery(X[2:4], y[2:4])
    assert retriever.gallery_ids_.tolist() == [1, 2**63 - 1]
    retriever.add_to_gallery(X[2:4], y[2:4], ids=[5, 6])
    assert len(set(retriever.gallery_ids_.tolist())) == 4
