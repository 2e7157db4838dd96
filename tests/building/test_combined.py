import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchy,
    CombinedHierarchyBuilder,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    HierarchyBuilder,
    HierarchyDisplay,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    TextHierarchyBuilder,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from tests.strategies import blobs

TAXONOMY = ClassHierarchy.from_levels([range(6), [0, 0, 1, 1, 1, 2], [0] * 6])


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=5, spread=1.5)
    return X[:100], y[:100], X[100:], y[100:]


def parts():
    return [("visual", HierarchyBuilder(0.1)), ("taxonomy", TAXONOMY)]


def test_fit_combines_what_each_part_gives(data):
    X, y, _, _ = data
    builder = CombinedHierarchyBuilder(parts(), weights=[3, 1]).fit(X, y)
    visual = HierarchyBuilder(0.1).fit(X, y)
    expected = CombinedHierarchy([visual.hierarchy_, TAXONOMY.restrict(range(5))], [3, 1])
    assert builder.hierarchy_ == expected
    np.testing.assert_array_equal(builder.class_model_.means_, visual.class_model_.means_)
    assert not hasattr(CombinedHierarchyBuilder(parts()[1:]).fit(X, y), "class_model_")


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0.5, 16.0, np.inf])
def test_retrievers_add_the_distances(data, assignment, alpha):
    X, y, Q, t = data
    combined = HierarchicalRetriever(
        CombinedHierarchyBuilder(parts()), alpha=alpha, assignment=assignment, stem=0.5
    ).fit(X, y)
    as_list = HierarchicalRetriever(
        [HierarchyBuilder(0.1), TAXONOMY], alpha=alpha, assignment=assignment, stem=0.5
    ).fit(X, y)
    given = HierarchicalRetriever(
        combined.hierarchy_, alpha=alpha, assignment=assignment, class_model=MahalanobisClassifier(), stem=0.5
    ).fit(X, y)
    D, order = combined.kneighbors(Q, 20)
    for other in (as_list, given):
        np.testing.assert_array_equal(other.kneighbors(Q, 20)[1], order)
    tables = [
        HierarchicalRetriever(
            tree, alpha=alpha, assignment=assignment, stem=0.5, class_model=MahalanobisClassifier()
        )
        .fit(X, y)
        .kneighbors(Q, len(X))
        for tree in (combined.hierarchy_.hierarchies)
    ]
    separate = [np.take_along_axis(d, np.argsort(i, axis=1), axis=1) for d, i in tables]
    mean = np.take_along_axis(sum(separate) / 2, order, axis=1)
    np.testing.assert_allclose(D, mean, atol=1e-10)
    assert len(evaluate_retrieval(combined, Q, t, [5], ["hp"], hierarchy=combined.hierarchy_)) == 1


def test_embedding_ranks_as_the_retriever_does(data):
    X, y, Q, _ = data
    builder = CombinedHierarchyBuilder(parts(), weights=[1, 2])
    embedding = HierarchicalEmbedding(builder, alpha=2).fit(X, y)
    products = embedding.transform_query(Q) @ embedding.transform(X, y).T
    D, order = HierarchicalRetriever(builder, alpha=2).fit(X, y).kneighbors(Q, 10)
    np.testing.assert_allclose(D, 1 + 2 - np.take_along_axis(products, order, axis=1), atol=1e-10)


@pytest.mark.parametrize("linkage", ["average", "complete", "single", "weighted"])
def test_distances_are_added_before_linkage(data, linkage):
    X, y, _, _ = data
    ward = LinkageHierarchyBuilder("average")
    text = TextHierarchyBuilder(lambda names: np.array([[float(n) + 1, 1 / (float(n) + 2)] for n in names]))
    parts = [("visual", ward), ("text", text), ("taxonomy", TAXONOMY), ("paper", HierarchyBuilder(0.1))]
    weights = np.array([1, 2, 3, 0.5])
    tree = CombinedHierarchyBuilder(parts, weights, linkage=linkage).fit(X, y).hierarchy_
    means = np.array([X[y == c].mean(axis=0) for c in range(5)])
    vectors = np.array([[c + 1, 1 / (c + 2)] for c in range(5)])
    sources = [
        pdist(means),
        pdist(vectors, "cosine"),
        squareform(TAXONOMY.restrict(range(5)).distance_matrix()),
        squareform(HierarchyBuilder(0.1).fit(X, y).hierarchy_.distance_matrix()),
    ]
    total = sum(w * d / d.mean() for w, d in zip(weights / weights.sum(), sources, strict=True))
    Z = scipy_linkage(total, linkage)
    Z[:, 2] = rankdata(Z[:, 2], "dense")
    assert tree == ClassHierarchy.from_linkage(Z, range(5))
    retriever = HierarchicalRetriever(CombinedHierarchyBuilder(parts, weights, linkage=linkage)).fit(X, y)
    assert retriever.hierarchy_ == tree
    assert HierarchyDisplay.from_estimator(retriever).figure_ is not None


def test_a_tree_alone_comes_back(data):
    """Distances that differ by rounding are one height."""
    classes = np.arange(120)
    tree = ClassHierarchy.from_levels([classes, classes // 5, classes // 30, 0 * classes])
    X, y = np.zeros((240, 2)), np.repeat(classes, 2)
    for linkage in ("average", "complete", "single", "weighted"):
        assert CombinedHierarchyBuilder([("tree", tree)], linkage=linkage).fit(X, y).hierarchy_ == tree
    vectors = np.random.default_rng(1).normal(size=(6, 16))
    text = TextHierarchyBuilder(lambda names: vectors[[int(name) // 20 for name in names]]).fit(X, y)
    assert len(np.unique(text.hierarchy_.heights)) == 7


def test_frozen_builders_may_know_more_classes(data):
    X, y, _, _ = data
    parts = [("of all", FrozenEstimator(LinkageHierarchyBuilder("average").fit(X, y)))]
    X, y = X[y < 3], y[y < 3]
    expected = LinkageHierarchyBuilder("average", heights="rank").fit(X, y).hierarchy_
    assert CombinedHierarchyBuilder(parts, linkage="average").fit(X, y).hierarchy_ == expected


def test_weights_and_parts_can_be_searched(data):
    X, y, _, _ = data
    retriever = HierarchicalRetriever(CombinedHierarchyBuilder(parts()))
    search = GridSearchCV(
        retriever,
        {
            "hierarchy__weights": [[1, 0], [1, 1]],
            "hierarchy__visual__threshold": [0.05, 0.2],
            "hierarchy__taxonomy": [TAXONOMY, LinkageHierarchyBuilder()],
        },
        scoring=make_retrieval_scorer("map", 5, "query"),
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 8
    assert clone(retriever).get_params()["hierarchy__visual__threshold"] == 0.1


def test_only_trees_are_drawn(data):
    X, y, _, _ = data
    retriever = HierarchicalRetriever([HierarchyBuilder(), TAXONOMY]).fit(X, y)
    with pytest.raises(TypeError, match="CombinedHierarchy"):
        HierarchyDisplay.from_estimator(retriever)


def test_bad_parts(data):
    X, y, _, _ = data
    for hierarchies, error, message in [
        ([], ValueError, "is empty"),
        ([HierarchyBuilder()], ValueError, "tuples, got HierarchyBuilder"),
        ([("a", HierarchyBuilder()), ("a", TAXONOMY)], ValueError, "not unique"),
        ([("a", "ward")], TypeError, "'a' must be a builder or a ClassHierarchy"),
        ([("a__b", TAXONOMY)], ValueError, "__"),
    ]:
        with pytest.raises(error, match=message):
            CombinedHierarchyBuilder(hierarchies).fit(X, y)
    with pytest.raises(ValueError, match="weights must be 2 numbers"):
        CombinedHierarchyBuilder(parts(), weights=[1, 2, 3]).fit(X, y)
    with pytest.raises(ValueError, match="missing in the hierarchy: 4"):
        CombinedHierarchyBuilder([("small", TAXONOMY.restrict(range(4)))]).fit(X, y)
    with pytest.raises(ValueError, match=r"pass HierarchicalRetriever\(hierarchy=HierarchyBuilder"):
        HierarchicalRetriever([TAXONOMY]).set_params(hierarchy__weights=[1])
