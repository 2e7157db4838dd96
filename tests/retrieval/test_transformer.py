"""The graph of neighbours as a transformer."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline

from sklearn_hierret import (
    HammingRetriever,
    HierarchicalNeighborsTransformer,
    HierarchicalRetriever,
    ITQHasher,
)
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=5, n_features=6, n_per_class=(20, 30))
    return X[::2], y[::2], X[1::2], y[1::2]


def sorted_rows(graph):
    graph = graph.tocsr()
    k = graph.nnz // graph.shape[0]
    return graph.indices.reshape(-1, k), graph.data.reshape(-1, k)


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_without_leaves_it_is_scikit_learns(data, mode):
    X, y, Q, _ = data
    ours = HierarchicalNeighborsTransformer(HierarchicalRetriever(alpha=0), mode=mode, n_neighbors=4)
    theirs = KNeighborsTransformer(mode=mode, n_neighbors=4, metric="cosine")
    for mine, its in [
        (ours.fit_transform(X, y), theirs.fit_transform(X)),
        (ours.transform(Q), theirs.transform(Q)),
    ]:
        assert mine.shape == its.shape
        np.testing.assert_allclose(mine.toarray(), its.toarray(), atol=1e-6)
        assert mine.nnz == its.nnz


def test_edges_are_those_of_the_retriever(data):
    X, y, Q, _ = data
    transformer = HierarchicalNeighborsTransformer(n_neighbors=6)
    indices, weights = sorted_rows(transformer.fit_transform(X, y))
    assert np.array_equal(indices[:, 0], np.arange(len(X)))
    assert not weights[:, 0].any()
    distances, neighbours = HierarchicalRetriever().fit(X, y).kneighbors(None, 6)
    np.testing.assert_array_equal(indices[:, 1:], neighbours)
    np.testing.assert_allclose(weights[:, 1:], distances)
    indices, weights = sorted_rows(transformer.transform(Q))
    distances, neighbours = HierarchicalRetriever().fit(X, y).kneighbors(Q, 7)
    np.testing.assert_array_equal(indices, neighbours)


def test_what_takes_precomputed_graphs(data):
    X, y, Q, t = data
    pipe = make_pipeline(
        HierarchicalNeighborsTransformer(n_neighbors=8), KNeighborsClassifier(5, metric="precomputed")
    )
    search = GridSearchCV(pipe, {"hierarchicalneighborstransformer__retriever__alpha": [0, 1]}, cv=3)
    search.set_params(estimator__hierarchicalneighborstransformer__retriever=HierarchicalRetriever())
    assert search.fit(X, y).score(Q, t) > 0.6
    graph = HierarchicalNeighborsTransformer(n_neighbors=30).fit_transform(X, y)
    found = TSNE(metric="precomputed", init="random", perplexity=9, max_iter=250, random_state=0)
    assert np.isfinite(found.fit_transform(graph)).all()
    clusters = DBSCAN(np.quantile(graph.data, 0.2), metric="precomputed").fit_predict(graph)
    assert clusters.max() >= 1


def test_codes_and_bad_input(data):
    X, y, Q, _ = data
    hasher = ITQHasher(16, random_state=0)
    pipe = make_pipeline(hasher, HierarchicalNeighborsTransformer(HammingRetriever(), n_neighbors=3))
    assert pipe.fit(X, y).transform(Q).nnz == 4 * len(Q)
    assert HierarchicalNeighborsTransformer(HammingRetriever(alpha=0)).fit(hasher.fit_transform(X))
    with pytest.raises(NotFittedError):
        HierarchicalNeighborsTransformer().transform(Q)
    with pytest.raises(ValueError, match="requires y"):
        HierarchicalNeighborsTransformer().fit(X)
    for params, message in [
        ({"mode": "cosine"}, "'mode' parameter"),
        ({"n_neighbors": 0}, "'n_neighbors' parameter"),
        ({"retriever": "cosine"}, "'retriever' parameter"),
    ]:
        with pytest.raises(ValueError, match=message):
            HierarchicalNeighborsTransformer(**params).fit(X, y)
    fitted = HierarchicalNeighborsTransformer(n_neighbors=len(X)).fit(X, y)
    with pytest.raises(ValueError, match=f"n_neighbors = {len(X) + 1} and the gallery holds {len(X)}"):
        fitted.transform(Q)
    fitted = HierarchicalNeighborsTransformer().fit(X, y)
    before = fitted.n_samples_fit_
    with pytest.raises(ValueError, match="one class"):
        fitted.fit(X[:3], y[:1].repeat(3))
    assert fitted.n_samples_fit_ == before
