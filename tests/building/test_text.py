import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_hierret import (
    CombinedHierarchyBuilder,
    HierarchicalRetriever,
    LinkageHierarchyBuilder,
    TextHierarchyBuilder,
)
from tests.strategies import blobs, generators

VECTORS = {"cat": [3.0, 1, 0], "dog": [3.0, 2, 0], "trout": [1.0, 1, 4], "a pike": [0.0, 1, 4]}


def encode(names):
    return [VECTORS[name] for name in names]


def fitted(encoder=encode, labels=("cat", "dog", "trout"), **params):
    return TextHierarchyBuilder(encoder, **params).fit(np.zeros((len(labels), 1)), list(labels))


def test_is_a_linkage_of_cosine_distances():
    labels = ["a_pike", "cat", "dog", "trout"]  # as they are sorted
    builder = fitted(labels=labels, heights="distance")
    assert builder.names_ == ["a pike", "cat", "dog", "trout"]
    Z = linkage(np.array(encode(builder.names_)), "average", metric="cosine")
    np.testing.assert_allclose(builder.linkage_matrix_, Z, atol=1e-12)
    tree = builder.hierarchy_
    np.testing.assert_allclose(tree.distance_matrix() * tree.height, squareform(cophenet(Z)), atol=1e-12)
    by_rank = fitted(labels=labels)
    np.testing.assert_array_equal(by_rank.linkage_matrix_[:, 2], [1, 2, 3])
    assert by_rank.hierarchy_.distance("a_pike", ["trout", "cat"]).tolist() == [1 / 3, 1]


@given(generators(), st.integers(2, 12))
def test_of_any_vectors(rng, n_classes):
    vectors = rng.normal(size=(n_classes, 4))
    vectors[:, 0] += 4  # none is zero
    vectors[-1] = [-4, 1, 0, 0]  # and not all are equal
    builder = fitted(lambda names: vectors[[int(name) for name in names]], range(n_classes))
    u = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = [1 - u[i] @ u[j] for i in range(n_classes) for j in range(i + 1, n_classes)]
    np.testing.assert_allclose(builder.class_distances(), expected, atol=1e-12)
    assert builder.hierarchy_.n_classes == n_classes


def test_encoders_of_several_kinds():
    class WithEncode:
        def encode(self, names):
            return np.array(encode(names), dtype=np.float32)

    trees = [fitted(e).hierarchy_ for e in (encode, WithEncode(), lambda names: csr_array(encode(names)))]
    assert trees[0] == trees[1] == trees[2]


def test_names_may_be_those_of_more_classes(rng):
    names = {0: "cat", 1: "trout", 2: "dog", 7: "never"}
    builder = fitted(labels=[0, 1, 2], names=names)
    assert builder.names_ == ["cat", "trout", "dog"]
    assert builder.hierarchy_.distance(0, [2, 1]).tolist() == [0.5, 1]
    X, y = blobs(rng, n_classes=3)
    retriever = HierarchicalRetriever(builder).fit(X, y)
    assert retriever.hierarchy_ == builder.hierarchy_
    assert clone(builder).get_params()["names"] == names


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda names: np.full((len(names), 3), np.nan), "vector of 'cat' is not finite"),
        (lambda names: [[1, 2], [3, np.inf], [4, 5]], "vector of 'dog' is not finite"),
        (lambda names: np.ones((2, 4)), r"shape \(2, 4\) for 3 names"),
        (lambda names: np.ones(3), r"shape \(3,\) for 3 names"),
        (lambda names: [["a"], ["b"], ["c"]], "no vectors of numbers"),
        (lambda names: [[1], [1, 2], [3]], "no vectors of numbers"),
        (lambda names: None, "encoder gave"),
        (lambda names: np.ones((3, 4)), "All class vectors are equal"),
        (lambda names: np.eye(3)[[0, 1, 1]] * [[1], [0], [1]], "vector of class 'dog' is zero"),
    ],
)
def test_bad_encoders(encoder, message):
    builder = fitted()
    before = builder.hierarchy_
    builder.set_params(encoder=encoder)
    with pytest.raises(ValueError, match=message):
        builder.fit(np.zeros((3, 1)), ["cat", "dog", "trout"])
    assert builder.hierarchy_ is before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"names": {"cat": "a", "dog": "b"}}, "none for these classes: 'trout'"),
        ({"names": {"cat": "a", "dog": 3, "trout": "b"}}, "name of class 'dog' must be text"),
        ({"names": {"cat": "a", "dog": " ", "trout": "b"}}, "name of class 'dog' must be text"),
        ({"names": ["cat", "dog", "trout"]}, "'names' parameter"),
        ({"method": "ward"}, "'method' parameter"),
        ({"encoder": 3}, "'encoder' parameter"),
        ({"encoder": "all-MiniLM-L6-v2"}, r"pass SentenceTransformer\('all-MiniLM-L6-v2'\)"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        fitted(**params)


def test_an_error_of_the_encoder_is_its_own():
    def broken(names):
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        fitted(broken)


def test_stems_are_those_of_what_the_tree_is_made_of(rng):
    """0.7 of looks alone, 0.5 of what is given, 0.6 where names or what is given are a part."""
    X, y = blobs(rng, n_classes=4)
    looks = LinkageHierarchyBuilder()
    text = TextHierarchyBuilder(encode, dict(enumerate(VECTORS)))
    learned = looks.fit(X, y).hierarchy_
    tree = learned.with_origin("given")
    for hierarchy, stem in (
        (looks, 0.7),
        (tree, 0.5),
        (learned, 0.7),
        (text, 0.6),
        (FrozenEstimator(clone(text).fit(X, y)), 0.6),
        (CombinedHierarchyBuilder([("looks", looks), ("names", text)], linkage="average"), 0.6),
        ([looks, tree], 0.6),
        ([looks, looks], 0.7),
    ):
        auto, given = (HierarchicalRetriever(hierarchy, alpha=2, stem=s).fit(X, y) for s in ("auto", stem))
        np.testing.assert_array_equal(auto.kneighbors(X, 9), given.kneighbors(X, 9))
