import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    HierarchyBuilder,
    MahalanobisClassifier,
)
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    return blobs(rng, n_classes=6, n_features=5, spread=1.5)


def builder():
    return HierarchyBuilder(0.1, class_model=MahalanobisClassifier(n_components=None))


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 16.0])
@pytest.mark.parametrize("labelled", [True, False])
def test_inner_products_are_the_retrievers_distances(data, assignment, alpha, labelled):
    X, y = data
    labels = np.where(np.arange(len(y)) % 3, y, 99) if labelled else None  # some are unknown
    params = {"assignment": assignment, "stem": 0.25}
    retriever = HierarchicalRetriever(builder(), alpha=alpha, new_classes="ignore", **params).fit(X, y)
    embedding = HierarchicalEmbedding(builder(), weighted="query", **params).fit(X, y)
    Q = X[:20] + 0.01  # copies have no place in vectors
    gallery, queries = embedding.transform(X, labels), embedding.transform_query(Q, alpha)
    retriever.set_gallery(X, labels)
    distances, indices = retriever.kneighbors(Q, len(X))
    ours = 1 + alpha - np.take_along_axis(queries @ gallery.T, indices, axis=1)
    np.testing.assert_allclose(ours, distances, atol=1e-12)
    copies = embedding.transform_query(X[:20], alpha)
    np.testing.assert_array_equal(copies[:, :5], gallery[:20, :5])
    both = HierarchicalEmbedding(builder(), alpha=alpha, **params).fit(X, y)
    products = both.transform_query(Q) @ both.transform(X, labels).T
    np.testing.assert_allclose(products, queries @ gallery.T, atol=1e-12)
    assert gallery.shape[1] == len(embedding.get_feature_names_out()) == 5 + 6


def test_with_hard_leaves_euclidean_and_cosine_rank_alike(data):
    X, y = data
    embedding = HierarchicalEmbedding(builder(), assignment="hard", alpha=2).fit(X, y)
    gallery, queries = embedding.transform(X), embedding.transform_query(X[:20])
    np.testing.assert_allclose(np.linalg.norm(gallery, axis=1), np.sqrt(3))
    np.testing.assert_array_equal(gallery[:20], queries)
    inner = queries @ gallery.T
    euclidean = ((queries[:, None] - gallery) ** 2).sum(axis=2)
    np.testing.assert_allclose(euclidean, 6 - 2 * inner, atol=1e-12)
    asymmetric = HierarchicalEmbedding(builder(), assignment="hard", alpha=2, weighted="query").fit(X, y)
    gallery = asymmetric.transform(X)
    np.testing.assert_allclose(np.linalg.norm(gallery, axis=1), np.sqrt(2))
    np.testing.assert_allclose(asymmetric.transform_query(X[:20]) @ gallery.T, inner, atol=1e-12)


def test_in_a_pipeline_alpha_counts(data):
    X, y = data
    train = np.arange(len(y)) % 2 == 0
    for alpha in (0.0, 8.0):
        embedding = HierarchicalEmbedding(builder(), alpha=alpha, assignment="hard", stem=0)
        neighbours = make_pipeline(embedding, NearestNeighbors(n_neighbors=5, algorithm="brute"))
        neighbours.fit(X[train], y[train])
        found = neighbours[-1].kneighbors(neighbours[:-1].transform(X[~train]))[1]
        retriever = HierarchicalRetriever(
            builder(), alpha=alpha, assignment="hard", stem=0, gallery_leaves="predicted"
        ).fit(X[train], y[train])
        retriever.set_gallery(X[train])  # leaves of a transformer are not cross-fitted
        np.testing.assert_array_equal(found, retriever.kneighbors(X[~train], 5)[1])


def test_fewer_components_approximate(data):
    X, y = data
    exact = HierarchicalEmbedding(builder(), alpha=1).fit(X, y)
    errors = []
    for n in range(1, 7):
        few = clone(exact).set_params(n_components=n).fit(X, y)
        assert few.transform(X).shape[1] == 5 + n
        error = few.transform_query(X) @ few.transform(X).T - exact.transform_query(X) @ exact.transform(X).T
        errors.append(np.abs(error).mean())
    assert errors[-1] < 1e-12 < errors[0]


def test_a_taxonomy_larger_than_the_data_and_a_fitted_model(data):
    X, y = data
    tree = ClassHierarchy.from_levels([np.arange(9), np.arange(9) // 3, np.zeros(9)])
    model = MahalanobisClassifier(n_components=None).fit(X, y)
    embedding = HierarchicalEmbedding(
        tree, class_model=FrozenEstimator(model), assignment="hard", stem=0, alpha=1
    )
    embedding.fit(X, y)
    assert embedding.class_model_.estimator is model
    assert embedding.hierarchy_builder_ is None
    phi = embedding.class_embedding_
    np.testing.assert_allclose(phi @ phi.T, 1 - tree.distance_matrix(), atol=1e-12)
    # A label that only the taxonomy knows has its own vector.
    np.testing.assert_allclose(embedding.transform(X[:1], [8])[0, 5:], phi[8], atol=1e-12)
    with pytest.raises(ValueError, match="lacks these labels: 77"):
        embedding.set_params(gallery_leaves="labels").fit(X, y).transform(X[:2], [1, 77])
    with pytest.raises(ValueError, match="needs labels"):
        embedding.transform(X)
    embedding.set_params(gallery_leaves="auto").fit(X, y)
    single = embedding.transform(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, embedding.transform(X), atol=1e-6)


@pytest.mark.parametrize("alpha", [-1, np.inf, np.nan, "much"])
def test_bad_alpha(data, alpha):
    X, y = data
    embedding = HierarchicalEmbedding(weighted="query").fit(X, y)
    with pytest.raises(ValueError, match="alpha must be a finite number"):
        embedding.transform_query(X, alpha)
    with pytest.raises(ValueError, match="fit with weighted='query'"):
        HierarchicalEmbedding().fit(X, y).transform_query(X, alpha)
    with pytest.raises(ValueError, match="alpha"):
        HierarchicalEmbedding(alpha=alpha).fit(X, y)
    with pytest.raises(ValueError, match="hierarchy__threshold"):
        HierarchicalEmbedding().set_params(hierarchy__threshold=0.3)
