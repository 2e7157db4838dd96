"""The visual distance of a retriever: chosen, whitened, or a transformer's."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    DiscriminantClassifier,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    LinkageHierarchyBuilder,
    WithinClassWhitening,
)
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.interaction import RetrievalSession, Rocchio
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from sklearn_hierret.reranking import Diffusion, QueryExpansion


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    means = rng.normal(size=(30, 12))
    loud = np.where(np.arange(12) < 3, 3.0, 0.3)
    y = rng.integers(0, 30, 1100)
    X = (means[y] + loud * rng.normal(size=(1100, 12)) + 0.5).astype(np.float32)
    return X[:800], y[:800], X[800:], y[800:]


@pytest.fixture(scope="module")
def whitened(data):
    X, y, _, _ = data
    return HierarchicalRetriever().fit(X, y)


def brute(Z, G, k):
    distances = 1 - Z.astype(float) @ G.astype(float).T
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def test_auto_whitens_where_it_helps(data, whitened):
    X, y, Q, t = data
    assert whitened.metric_ == "whitened"
    assert 0 < whitened.shrinkage_ < 1
    plain = HierarchicalRetriever(metric="cosine", alpha=0).fit(X, y)
    assert plain.metric_ == "cosine"
    assert plain.shrinkage_ is None
    np.testing.assert_allclose(
        plain.kneighbors(Q, 9)[0], brute(unit_rows(Q)[0], unit_rows(X)[0], 9)[0], atol=1e-6
    )
    alone = HierarchicalRetriever(metric="whitened", alpha=0).fit(X, y)
    model = WithinClassWhitening(shrinkage=whitened.shrinkage_).fit(X, y)
    distances, order = brute(model.transform(Q), model.transform(X), 9)
    np.testing.assert_allclose(alone.kneighbors(Q, 9)[0], distances, atol=1e-6)
    np.testing.assert_array_equal(alone.kneighbors(Q, 9)[1], order)
    gains = [r.set_gallery(X, y).score(Q, t) for r in (plain, alone)]
    assert gains[1] > gains[0] + 0.1


def test_only_the_visual_part_changes(data, whitened):
    X, y, Q, _ = data
    plain = HierarchicalRetriever(metric="cosine", alpha=2.0).fit(X, y)
    other = HierarchicalRetriever(metric="whitened", alpha=2.0).fit(X, y)
    np.testing.assert_array_equal(plain.leaves(Q), other.leaves(Q))
    tables = [r.retrieve(Q[:20], len(X)).sort_values(["query", "id"]) for r in (plain, other)]
    np.testing.assert_allclose(*(table["hierarchical_distance"].to_numpy() for table in tables), atol=1e-7)
    table = tables[1]
    np.testing.assert_allclose(
        table["distance"], table["visual_distance"] + 2 * table["hierarchical_distance"], atol=1e-5
    )
    visual = (
        1 - other.searcher().gallery.metric.rows(Q[:20])[0] @ other.searcher().gallery.metric.rows(X)[0].T
    )
    np.testing.assert_allclose(table["visual_distance"].to_numpy().reshape(20, -1), visual, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_and_copies(data, dtype):
    """Visual distances are bit for bit the same in every batch, and those of equal rows are equal."""
    X, y, Q, _ = data
    X, Q = X.astype(dtype), Q.astype(dtype)
    retriever = HierarchicalRetriever(metric="whitened", alpha=0).fit(X, y)
    rng = np.random.default_rng(0)
    gallery = np.concatenate([X[:150], X[rng.integers(0, 150, 250)]])
    gallery = gallery[rng.permutation(len(gallery))]
    retriever.set_gallery(gallery[:90])
    for start in (90, 91, 200):
        stop = {90: 91, 91: 200, 200: 400}[start]
        retriever.add_to_gallery(gallery[start:stop])
    distances, indices = retriever.kneighbors(Q, 400)
    for size in (1, 2, 7, 64):
        for start in (0, 5):
            some = slice(start, start + size)
            again = retriever.kneighbors(Q[some], 400)
            np.testing.assert_array_equal(again[0], distances[some])
            np.testing.assert_array_equal(again[1], indices[some])
    # Copies stand side by side, by position.
    by_position = np.empty_like(distances)
    np.put_along_axis(by_position, indices, distances, axis=1)
    _, number = np.unique(gallery, axis=0, return_inverse=True)
    for copy in range(number.max() + 1):
        assert (np.ptp(by_position[:, number.ravel() == copy], axis=1) == 0).all()
    steps = np.diff(distances, axis=1)
    assert (np.diff(indices, axis=1)[steps == 0] > 0).all()


def test_features_come_back(data, whitened):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(metric="whitened", alpha=1.0).fit(X, y).set_gallery(Q)
    gallery = retriever.searcher().gallery
    assert gallery.raw is None
    np.testing.assert_allclose(gallery.features, Q, rtol=1e-3, atol=1e-4 * np.abs(Q).max())
    # Leaves that are found again from them are those of the features.
    hard = retriever.set_params(assignment="hard").kneighbors(X[:40], 5)[1]
    fresh = HierarchicalRetriever(metric="whitened", alpha=1.0, assignment="hard").fit(X, y).set_gallery(Q)
    np.testing.assert_array_equal(hard, fresh.kneighbors(X[:40], 5)[1])


class Halves(TransformerMixin, BaseEstimator):
    """The first half of the features."""

    def __init__(self, result="dense"):
        self.result = result

    def fit(self, X, y=None):
        self.n_ = X.shape[1] // 2
        return self

    def transform(self, X):
        Z = X[:, : self.n_]
        wrong = {
            "sparse": csr_array(Z),
            "rows": Z[:-1],
            "nan": Z * np.nan,
            "flat": Z[:, 0],
            "text": Z.astype(str),
        }
        wrong["none"] = Z[:, :0]
        return wrong.get(self.result, Z)


def test_a_transformer(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(metric=Halves(), alpha=0).fit(X, y)
    assert isinstance(retriever.metric_, Halves)
    assert not hasattr(Halves(), "n_")
    expected = brute(unit_rows(Q[:, :6])[0], unit_rows(X[:, :6])[0], 5)
    np.testing.assert_array_equal(retriever.kneighbors(Q, 5)[1], expected[1])
    # The gallery keeps the features for what needs leaves later.
    retriever.set_params(alpha=1.0).set_gallery(Q).kneighbors(X[:5])
    np.testing.assert_array_equal(retriever.searcher().gallery.features, Q)
    np.testing.assert_array_equal(
        retriever.remove_from_gallery([0, 7]).searcher().gallery.features, np.delete(Q, [0, 7], axis=0)
    )
    reference = HierarchicalRetriever(metric="cosine").fit(X, y)
    np.testing.assert_array_equal(retriever.leaves(Q), reference.leaves(Q))
    few = HierarchicalRetriever(metric=WithinClassWhitening(n_components=5)).fit(X, y)
    assert few.kneighbors(Q, 3)[1].shape == (300, 3)
    whole = HierarchicalRetriever(metric=WithinClassWhitening(), alpha=0).fit(X, y)
    np.testing.assert_array_equal(
        whole.kneighbors(Q, 5), HierarchicalRetriever(metric="whitened", alpha=0).fit(X, y).kneighbors(Q, 5)
    )
    grid = GridSearchCV(
        HierarchicalRetriever(metric=PCA(), alpha=0), {"metric__n_components": [2, 8]}, cv=2
    ).fit(X, y)
    assert grid.best_params_["metric__n_components"] == 8


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("sparse", "sparse matrix"),
        ("rows", "1 rows for 2 samples"),
        ("nan", "NaN or infinity"),
        ("flat", "1 dimensions"),
        ("text", "not rows of numbers"),
    ],
)
def test_transformers_that_return_something_else(data, result, message):
    X, y, _, _ = data
    with pytest.raises((ValueError, TypeError), match=message):
        HierarchicalRetriever(metric=Halves(result)).fit(X, y)


@pytest.mark.parametrize("metric", ["euclidean", 3, None, GaussianNB(), ["cosine"]])
def test_metrics_that_are_none(data, metric):
    X, y, _, _ = data
    with pytest.raises(ValueError, match="metric"):
        HierarchicalRetriever(metric=metric).fit(X, y)


def test_it_is_read_at_fit(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(metric="cosine").fit(X, y).set_params(metric="whitened")
    for call in (
        lambda: retriever.kneighbors(Q),
        lambda: retriever.set_gallery(Q),
        lambda: retriever.leaves(Q),
    ):
        with pytest.raises(ValueError, match="metric is 'whitened' and was 'cosine' at fit"):
            call()
    assert retriever.set_params(metric="cosine").kneighbors(Q)[1].shape == (300, 5)


def test_nothing_to_whiten_by(rng):
    X, y = np.repeat(rng.normal(size=(12, 4)), 3, axis=0), np.repeat(np.arange(12), 3)
    with pytest.warns(UserWarning, match="nothing to whiten by") as warned:
        retriever = HierarchicalRetriever(metric="whitened").fit(X, y)
    assert len(warned) == 1
    assert retriever.metric_ == "cosine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert HierarchicalRetriever().fit(X, y).metric_ == "cosine"


def test_class_models_without_statistics(data):
    """The retriever gathers statistics itself."""
    X, y, Q, _ = data
    expected = HierarchicalRetriever(metric="whitened", alpha=0).fit(X, y)
    frozen = FrozenEstimator(DiscriminantClassifier().fit(X, y))
    for class_model in (GaussianNB(), frozen):
        other = HierarchicalRetriever(
            LinkageHierarchyBuilder(), metric="whitened", alpha=0, class_model=class_model
        ).fit(X, y)
        assert other.shrinkage_ == expected.shrinkage_
        np.testing.assert_array_equal(other.kneighbors(Q), expected.kneighbors(Q))
    chosen = HierarchicalRetriever(LinkageHierarchyBuilder(), class_model=GaussianNB()).fit(X, y)
    assert chosen.metric_ == "whitened"


def test_single_precision_and_pickles(data, whitened):
    X, y, Q, _ = data
    double = HierarchicalRetriever().fit(X.astype(float), y)
    assert double.shrinkage_ == whitened.shrinkage_
    np.testing.assert_allclose(
        double.searcher().gallery.metric.rows(Q.astype(float))[0],
        whitened.searcher().gallery.metric.rows(Q)[0],
        atol=1e-5,
    )
    again = pickle.loads(pickle.dumps(whitened))
    np.testing.assert_array_equal(again.kneighbors(Q), whitened.kneighbors(Q))


def test_sessions_and_steps_follow_the_metric(data):
    X, y, Q, t = data
    results = {}
    for metric in ("cosine", "whitened"):
        retriever = HierarchicalRetriever(metric=metric, alpha=0).fit(X, y)
        session = RetrievalSession(retriever, Q[:1], method=Rocchio(beta=1.0, gamma=0.0))
        mark = retriever.kneighbors(Q[:1], 1)[1][0]
        session.mark(relevant=mark)
        Z, G = (
            retriever.searcher().gallery.metric.rows(Q[:1])[0][0],
            retriever.searcher().gallery.metric.rows(X)[0],
        )
        moved = Z.astype(float) + G[mark[0]]
        expected = np.argsort(-(G @ moved), kind="stable")
        expected = expected[expected != mark[0]][:5]
        np.testing.assert_array_equal(session.kneighbors(5)[1][0], expected)
        for step in (QueryExpansion(retriever), Diffusion(retriever)):
            results[metric, type(step)] = step.fit(X, y).set_gallery(X, y).predict(Q)
    for step in (QueryExpansion, Diffusion):
        right = [np.mean(results[metric, step] == t) for metric in ("cosine", "whitened")]
        assert right[1] > right[0] + 0.05


@pytest.mark.parametrize("weighted", ["both", "query"])
@pytest.mark.parametrize("gallery", ["fit", "labelled", "unlabelled", "open", "labels"])
def test_vectors_of_a_retriever_rank_as_it_does(data, gallery, weighted):
    X, y, Q, _ = data
    known = y < 22
    retriever = HierarchicalRetriever(stem=0.4).fit(X[known].astype(float), y[known])
    rows, labels = X[:300].astype(float), y[:300]
    if gallery == "labelled":
        retriever.set_gallery(rows, labels)
    elif gallery == "unlabelled":
        retriever.set_gallery(rows)
    elif gallery == "open":
        retriever.set_gallery(rows[labels >= 15], labels[labels >= 15])
    elif gallery == "labels":
        retriever.set_gallery(rows, labels, gallery_leaves="labels")
    embedding = HierarchicalEmbedding.from_retriever(retriever, weighted=weighted)
    G, V = embedding.transform_gallery(), embedding.transform_query(Q.astype(float))
    distances, indices = retriever.kneighbors(Q.astype(float), len(G))
    ours = 1 + embedding.alpha_ - np.take_along_axis(V @ G.T, indices, axis=1)
    # Probabilities of less than 1e-6 that leaves leave to the root count as rounding in a search.
    np.testing.assert_allclose(ours, distances, atol=1e-6 * max(1, embedding.alpha_))
    if gallery in ("labelled", "labels"):
        np.testing.assert_allclose(embedding.transform(rows, labels), G, atol=1e-12)
    elif gallery == "unlabelled":
        np.testing.assert_allclose(embedding.transform(rows), G, atol=1e-12)
    assert len(embedding.get_feature_names_out()) == G.shape[1]
    again = pickle.loads(pickle.dumps(embedding))
    np.testing.assert_array_equal(again.transform_query(Q), embedding.transform_query(Q))


def test_vectors_of_a_retriever_in_faiss(data):
    faiss = pytest.importorskip("faiss")
    X, y, Q, _ = data
    retriever = HierarchicalRetriever().fit(X, y)
    embedding = HierarchicalEmbedding.from_retriever(retriever)
    index = faiss.IndexFlatIP(embedding.transform_gallery().shape[1])
    index.add(np.ascontiguousarray(embedding.transform_gallery(), dtype=np.float32))
    found = index.search(np.ascontiguousarray(embedding.transform_query(Q), dtype=np.float32), 10)[1]
    assert np.mean(found == retriever.kneighbors(Q, 10)[1]) > 0.999


def test_vectors_that_there_are_none_of(data):
    X, y, _, _ = data
    with pytest.raises(TypeError, match="HierarchicalRetriever is needed"):
        HierarchicalEmbedding.from_retriever(DiscriminantClassifier())
    with pytest.raises(ValueError, match="alpha"):
        HierarchicalEmbedding.from_retriever(HierarchicalRetriever(alpha=np.inf).fit(X, y))
    with pytest.raises(ValueError, match="only vectors made by from_retriever"):
        HierarchicalEmbedding().fit(X, y).transform_gallery()


def test_searched_by_cross_validation(data):
    X, y, Q, _ = data
    chosen = HierarchicalRetrieverCV(alphas=[0, 1], metrics=["cosine", "whitened"], cv=2).fit(X, y)
    assert chosen.metric == "whitened"
    assert chosen.metric_ == "whitened"
    assert set(chosen.cv_results_["param_metric"]) == {"cosine", "whitened"}
    assert chosen.kneighbors(Q)[1].shape == (300, 5)
    for metric in ("cosine", "whitened"):  # each candidate scores as if it were alone
        alone = HierarchicalRetrieverCV(alphas=[0, 1], metrics=metric, cv=2).fit(X, y)
        mine = np.array([m == metric for m in chosen.cv_results_["param_metric"]])
        for name in ("mean_test_first", "mean_test_second"):
            np.testing.assert_allclose(chosen.cv_results_[name][mine], alone.cv_results_[name])
    for metrics in ([], ["far"], [3]):
        with pytest.raises(ValueError, match="metrics"):
            HierarchicalRetrieverCV(metrics=metrics).fit(X, y)


def test_transformers_that_write_into_their_input(data):
    X, y, Q, _ = data
    mine, queries = X.copy(), Q.copy()
    expected = HierarchicalRetriever(metric=StandardScaler(), alpha=0).fit(X, y)
    retriever = HierarchicalRetriever(metric=StandardScaler(copy=False), alpha=0).fit(mine, y)
    np.testing.assert_array_equal(retriever.kneighbors(queries), expected.kneighbors(Q))
    np.testing.assert_array_equal(mine, X)
    np.testing.assert_array_equal(queries, Q)
    np.testing.assert_array_equal(retriever.searcher().gallery.features, X)


def test_expansion_is_of_what_a_transformer_is_given(data):
    """A transformer may heed lengths and offsets: its expanded queries are near sums of its rows."""
    X, y, Q, _ = data
    X, Q = X + 20, Q + 20
    for metric in (StandardScaler(), PCA(8)):
        retriever = HierarchicalRetriever(metric=metric, alpha=0).fit(X, y)
        found = QueryExpansion(retriever).fit(X, y).kneighbors(Q, 5)[1]
        moved = retriever.searcher().gallery.metric.rows(Q)[0].astype(float)
        queries, rows = moved.copy(), retriever.searcher().gallery.metric.rows(X)[0]
        for column in retriever.kneighbors(Q, 10)[1].T:
            moved += np.maximum((queries * rows[column]).sum(axis=1), 0)[:, None] ** 3 * rows[column]
        expected = np.argsort(-moved @ rows.T, axis=1)[:, :5]
        shared = [len(set(mine) & set(theirs)) / 5 for mine, theirs in zip(found, expected, strict=True)]
        assert np.mean(shared) > 0.8


def test_nested_changes_after_fit(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(metric=PCA(5)).fit(X, y).set_params(metric__n_components=3)
    with pytest.raises(ValueError, match="fit again"):
        retriever.kneighbors(Q)
    assert retriever.fit(X, y).searcher().gallery.index.rows.unit.shape[1] == 3
    for estimator in (HierarchicalRetriever(), HierarchicalEmbedding()):
        with pytest.raises(ValueError, match="metric=WithinClassWhitening"):
            estimator.set_params(metric__shrinkage=0.1)
    changed = HierarchicalRetriever(metric="cosine").fit(X, y).set_params(metric="whitened")
    with pytest.raises(ValueError, match="fit again"):
        HierarchicalEmbedding.from_retriever(changed)


def test_empty_galleries_and_transformers_without_features(data):
    X, y, _, _ = data
    retriever = HierarchicalRetriever(metric=PCA(5), alpha=0).fit(X, y)
    retriever.remove_from_gallery(retriever.gallery_ids_).set_params(alpha=1.0)
    with pytest.raises(ValueError, match="gallery is empty"):
        HierarchicalEmbedding.from_retriever(retriever)
    with pytest.raises(ValueError, match="returns no features"):
        HierarchicalRetriever(metric=Halves("none")).fit(X, y)
