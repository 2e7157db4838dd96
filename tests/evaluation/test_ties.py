import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    average_precision_at_k,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from tests.strategies import blobs

TREE = ClassHierarchy.from_newick("((a,b),(c,d));")


def test_scorers_complete_the_groups(rng):
    X, y = rng.integers(0, 3, (60, 2)).astype(float), rng.choice(list("abcd"), 60)
    model = NearestNeighbors(algorithm="brute").fit(X)
    distances, order = NearestNeighbors(algorithm="brute").fit(X).kneighbors(n_neighbors=59)
    R = [np.sum(y == label) - 1 for label in y]
    expected = average_precision_at_k(y, y[order], 5, n_relevant=R, distances=distances).mean()
    by_index = average_precision_at_k(y, y[order], 5, n_relevant=R).mean()
    assert abs(expected - by_index) > 1e-3
    scorer = make_retrieval_scorer("map", 5, "query", ties="average")
    assert scorer(model, X, y) == pytest.approx(expected)
    assert "ties='average'" in repr(scorer)
    table = evaluate_retrieval(model, X, y, [5], ["map", "hap"], ties="average", hierarchy=TREE)
    assert table["score"][0] == pytest.approx(expected)
    for metric in ("asi", "neg_mistake_severity"):
        with pytest.raises(ValueError, match="no average over tied orders"):
            make_retrieval_scorer(metric, ties="average", hierarchy=TREE)
    with pytest.raises(ValueError, match="ties must be"):
        make_retrieval_scorer(ties="random")


def test_single_precision_makes_no_ties(rng):
    """Distances are compared in double precision, and so are ties."""
    X, y = blobs(rng, n_classes=5, spread=1.0, n_per_class=(40, 41))
    X = X.astype(np.float32)
    for gallery in ("fit", "query"):
        retriever = HierarchicalRetriever(alpha=1e6).fit(X[::2], y[::2])
        scores = [
            evaluate_retrieval(retriever, X[1::2], y[1::2], [10], gallery=gallery, ties=ties)["score"].item()
            for ties in ("index", "average")
        ]
        assert len(np.unique(retriever.kneighbors(X[1:2], 50)[0])) < 50  # they do in single precision
        assert scores[0] == pytest.approx(scores[1], abs=1e-12)
