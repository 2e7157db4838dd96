"""Pipelines that are asked as retrievers are: the same answers as from the features."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    HammingRetriever,
    HierarchicalRetriever,
    ITQHasher,
    RetrievalPipeline,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.interaction import RetrievalSession
from sklearn_hierret.reranking import Diversify
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=4, n_features=8)
    return X[:50], y[:50], X[50:], y[50:]


def pipeline(last):
    return RetrievalPipeline([("pca", PCA(4, random_state=0)), ("last", last)])


def test_it_answers_as_its_retriever(data):
    X, y, Q, t = data
    pipe = pipeline(HierarchicalRetriever()).fit(X, y, last__ids=np.arange(100, 100 + len(X)))
    retriever, features = pipe[-1], pipe[:-1].transform(Q)
    np.testing.assert_array_equal(pipe.kneighbors(Q, 3)[1], retriever.kneighbors(features, 3)[1])
    np.testing.assert_array_equal(pipe.kneighbors(None, 3)[1], retriever.kneighbors(None, 3)[1])
    assert pipe.retrieve(Q, 3, alpha=0).equals(retriever.retrieve(features, 3, alpha=0))
    assert pipe.retrieve(Q, 1)["id"].min() >= 100
    np.testing.assert_array_equal(pipe.leaves(Q), retriever.leaves(features))
    assert [len(i) for i in pipe.radius_neighbors(Q, 0.5)[1]] == [
        len(i) for i in retriever.radius_neighbors(features, 0.5)[1]
    ]
    assert pipe.predict(Q).shape == t.shape
    table = evaluate_retrieval(pipe, Q, t, [1])
    assert table.equals(evaluate_retrieval(retriever, features, t, [1]))


def test_galleries(data):
    X, y, Q, t = data
    pipe = pipeline(HierarchicalRetriever()).fit(X, y)
    other = pipe.with_gallery(Q, t)
    assert (other[-1].n_samples_fit_, pipe[-1].n_samples_fit_) == (len(Q), len(X))
    pipe.add_to_gallery(Q, t)
    assert pipe[-1].n_samples_fit_ == len(X) + len(Q)
    np.testing.assert_array_equal(pipe.kneighbors(Q, 1)[1].ravel(), len(X) + np.arange(len(Q)))
    assert (
        pipe.set_gallery(X, metadata={"price": np.arange(len(X))})
        .retrieve(Q, 1, where="price < 1")["id"]
        .eq(0)
        .all()
    )


def test_it_is_a_pipeline(data):
    X, y, Q, _ = data
    search = GridSearchCV(
        pipeline(HierarchicalRetriever()),
        {"last__alpha": [0, 1], "pca__n_components": [3, 4]},
        scoring=make_retrieval_scorer("map", 3),
        cv=2,
    ).fit(X, y)
    best = search.best_estimator_
    assert isinstance(best, RetrievalPipeline)
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.kneighbors(Q, 3)[1], best.kneighbors(Q, 3)[1])
    assert clone(best).get_params()["pca__n_components"] == best.get_params()["pca__n_components"]


def test_other_last_steps(data):
    X, y, Q, _ = data
    near = pipeline(NearestNeighbors()).fit(X)
    assert near.kneighbors(Q, 2)[1].shape == (len(Q), 2)
    assert not hasattr(near, "retrieve")
    assert pipeline(Diversify()).fit(X, y).kneighbors(Q, 2)[1].shape == (len(Q), 2)
    codes = pipeline(HammingRetriever()).fit
    steps = [("hasher", ITQHasher(8, random_state=0)), ("last", HammingRetriever())]
    assert RetrievalPipeline(steps).fit(X, y).retrieve(Q, 2)["query"].max() == len(Q) - 1
    assert not hasattr(pipeline(LogisticRegression()), "kneighbors")
    with pytest.raises(TypeError):
        codes(X, y)


def test_sessions_take_pipelines(data):
    X, y, Q, _ = data
    pipe = pipeline(HierarchicalRetriever()).fit(X, y)
    found = RetrievalSession(pipe, Q[:1]).kneighbors(n_neighbors=5)[1]
    direct = RetrievalSession(pipe[-1], pipe[:-1].transform(Q[:1])).kneighbors(n_neighbors=5)[1]
    np.testing.assert_array_equal(found, direct)
