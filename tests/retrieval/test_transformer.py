"""The graph of neighbours as a transformer."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, SpectralClustering
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE, SpectralEmbedding
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
    ours = HierarchicalNeighborsTransformer(
        HierarchicalRetriever(alpha=0), mode=mode, n_neighbors=4, symmetric=False
    )
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
    transformer = HierarchicalNeighborsTransformer(n_neighbors=6, symmetric=False)
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


def test_the_graph_is_of_the_kind_that_scikit_learn_returns(data):
    X, y, Q, _ = data
    ours = HierarchicalNeighborsTransformer(n_neighbors=4)
    theirs = KNeighborsTransformer(n_neighbors=4)
    pairs = [(ours.fit_transform(X, y), theirs.fit_transform(X)), (ours.transform(Q), theirs.transform(Q))]
    pairs.append((ours.retriever_.kneighbors_graph(Q), theirs.kneighbors_graph(Q)))
    for mine, its in pairs:
        assert type(mine) is type(its)
        assert mine.indices.dtype == mine.indptr.dtype == np.int32


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_edges_have_both_ends(data, mode):
    X, y, _, _ = data
    plain = HierarchicalNeighborsTransformer(n_neighbors=6, mode=mode, symmetric=False).fit_transform(X, y)
    graph = HierarchicalNeighborsTransformer(n_neighbors=6, mode=mode).fit_transform(X, y)
    if mode == "connectivity":
        assert (graph != plain).nnz == 0
        return
    one, other = plain.toarray(), graph.toarray()
    has_edge = np.zeros(one.shape, dtype=bool)
    has_edge[np.repeat(np.arange(len(X)), 7), plain.indices] = True
    for i in range(len(X)):
        row = slice(graph.indptr[i], graph.indptr[i + 1])
        assert graph.indices[row][0] == i
        assert np.all(np.diff(graph.data[row]) >= 0)
        assert set(graph.indices[row]) == {*np.flatnonzero(has_edge[i]), *np.flatnonzero(has_edge[:, i])}
    np.testing.assert_array_equal(other, np.where(has_edge, one, np.where(has_edge.T, one.T, 0)))


def test_training_samples_are_recognised(data):
    X, y, Q, _ = data
    transformer = HierarchicalNeighborsTransformer(n_neighbors=4)
    graph = transformer.fit_transform(X, y)
    for same in (X, X.astype(np.float32), pd.DataFrame(X)):
        assert (transformer.transform(same) != graph).nnz == 0
    new = transformer.transform(Q[: len(X)])
    assert new.nnz == 5 * new.shape[0]
    part = transformer.transform(np.concatenate([Q[:3], X[5:8], Q[3:4]]))
    assert (part[3:6] != graph[5:8]).nnz == 0
    np.testing.assert_array_equal(part[[0, 1, 2, 6]].toarray(), new[:4].toarray())


def test_a_longer_row_is_another_one_where_lengths_count(data):
    X, y, _, _ = data
    transformer = HierarchicalNeighborsTransformer(
        HierarchicalRetriever(metric=StandardScaler()), n_neighbors=4
    )
    transformer.fit(X + 5, y)
    expected = transformer.retriever_.kneighbors_graph(3 * (X[:2] + 5), 5, mode="distance")
    assert (transformer.transform(3 * (X[:2] + 5)) != expected).nnz == 0


def test_spectral_methods(data):
    X, y, _, _ = data
    graph = HierarchicalNeighborsTransformer(n_neighbors=30).fit_transform(X, y)  # connected
    clusters = SpectralClustering(5, affinity="precomputed_nearest_neighbors", n_neighbors=30, random_state=0)
    assert adjusted_rand_score(y, clusters.fit_predict(graph)) > 0.5
    embedding = SpectralEmbedding(2, affinity="precomputed_nearest_neighbors", n_neighbors=30, random_state=0)
    assert np.isfinite(embedding.fit_transform(graph)).all()


def test_umap(data):
    umap = pytest.importorskip("umap", reason="needs umap-learn")
    X, y, _, _ = data
    graph = HierarchicalNeighborsTransformer(n_neighbors=15).fit_transform(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own threads and seeds
        found = umap.UMAP(metric="precomputed", n_neighbors=10, random_state=0).fit_transform(graph)
    assert found.shape == (len(X), 2)
    assert np.isfinite(found).all()


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
