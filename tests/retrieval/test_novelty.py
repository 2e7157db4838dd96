"""P(known) by density alone, where new classes teach nothing."""

import pickle
from functools import partial

import numpy as np
import pytest
from scipy.special import expit
from sklearn.neighbors import KNeighborsClassifier

from sklearn_hierret import ClassHierarchy, MahalanobisClassifier
from sklearn_hierret import HierarchicalRetriever as Retriever
from sklearn_hierret.metrics import average_precision_at_k
from tests.strategies import blobs

HierarchicalRetriever = partial(Retriever, new_classes="ignore")


@pytest.fixture
def data(rng):
    """Ten classes, of which the first six are known: training samples, other samples of all."""
    X, y = blobs(rng, n_classes=10, n_features=12, spread=1.2, n_per_class=(60, 61))
    train = (np.arange(len(y)) % 2 == 0) & (y < 6)
    rest = np.arange(len(y)) % 2 == 1
    return X[train], y[train], X[rest], y[rest]


def known_of(retriever, X, share):
    odds = retriever.class_model_.__hierret_class_model__().known_log_odds(X)
    return expit(odds + np.log(share / (1 - share)))


def test_distances_are_the_formula(data):
    X, y, G, t = data
    Q, G, t = G[::3], G[1::3], t[1::3]
    retriever = HierarchicalRetriever(alpha=2.0).fit(X, y)
    plain = HierarchicalRetriever(alpha=2.0, novelty=False).fit(X, y)
    for labels, source in ((None, "auto"), (t, "auto"), (t, "labels")):
        retriever.set_gallery(G, labels, gallery_leaves=source)
        table = retriever.retrieve(Q, len(G))
        known = table.drop_duplicates("query")["query_known"].to_numpy()
        share = max(0.35, retriever.class_model_.known_share(G)) if labels is None else np.mean(t < 6)
        assert 0 < share < 1
        np.testing.assert_allclose(known, known_of(retriever, Q, share), atol=1e-6)
        # What it was without, times k on both sides: D_H = 1 - k_q k_i (1 - D_H).
        without = plain.set_gallery(G, labels).retrieve(Q, len(G)).set_index(["query", "id"])
        without = without.loc[list(zip(table["query"], table["id"], strict=True))]
        of_row = (t < 6).astype(float) if source == "labels" else np.ones(len(G))
        k = known[table["query"]] ** 4 * of_row[table["id"]]
        expected = 1 - k * (1 - without["hierarchical_distance"].to_numpy())
        np.testing.assert_allclose(table["hierarchical_distance"], expected, atol=1e-9)
        np.testing.assert_allclose(table["distance"], table["visual_distance"] + 2 * expected, atol=1e-9)
        assert table["leaf"].tolist() == without["leaf"].tolist()


def test_known_classes_alone_change_nothing(data):
    X, y, G, t = data
    known = t < 6
    retriever = HierarchicalRetriever(alpha=2.0).fit(X, y)
    plain = HierarchicalRetriever(alpha=2.0, novelty=False).fit(X, y)
    for gallery in ((X, y), (G[known], t[known])):
        found = retriever.set_gallery(*gallery).kneighbors(G, 7)
        np.testing.assert_array_equal(found, plain.set_gallery(*gallery).kneighbors(G, 7))
    # Also of the training samples among themselves, whatever their density.
    np.testing.assert_array_equal(
        retriever.fit(X, y).kneighbors(None, 7), plain.fit(X, y).kneighbors(None, 7)
    )


@pytest.mark.parametrize(
    ("assignment", "alpha"), [("soft", 0.5), ("soft", 16.0), ("hard", 0.5), ("hard", np.inf)]
)
def test_a_gallery_of_unknown_labels_is_ranked_by_cosine(data, assignment, alpha):
    X, y, G, t = data
    unknown = t >= 6
    retriever = HierarchicalRetriever(alpha=alpha, assignment=assignment).fit(X, y)
    cosine = HierarchicalRetriever(alpha=0).fit(X, y).set_gallery(G[unknown])
    retriever.set_gallery(G[unknown], t[unknown])
    np.testing.assert_array_equal(
        retriever.kneighbors(G[::2] + 0.01, 9, return_distance=False),
        cosine.kneighbors(G[::2] + 0.01, 9, return_distance=False),
    )


def test_half_unknown_is_no_worse_than_cosine_and_better_than_without(data):
    X, y, G, t = data

    def score(**params):
        retriever = HierarchicalRetriever(**params).fit(X, y).set_gallery(G, t)
        ranked = t[retriever.kneighbors(None, 20, return_distance=False)]
        return average_precision_at_k(t, ranked, 20, n_relevant=np.bincount(t)[t] - 1).mean()

    cosine, ours, without = score(alpha=0), score(alpha=16.0), score(alpha=16.0, novelty=False)
    assert ours > cosine
    assert ours > without


def test_labels_that_the_hierarchy_lacks_are_far_from_all_leaves(data):
    X, y, G, t = data
    retriever = HierarchicalRetriever(alpha=np.inf, gallery_leaves="labels").fit(X, y)
    retriever.set_gallery(G, t)  # no error, as there is without novelty
    table = retriever.retrieve(G[:5] + 0.01, len(G))
    assert (table.loc[table["label"] >= 6, "hierarchical_distance"] == 1).all()
    assert set(table["leaf"]) <= set(range(6))
    first = copy_of_first = retriever.kneighbors(G[:1], 3)
    retriever.add_to_gallery(G[:2] + 1, [8, 9])
    assert len(retriever.retrieve(G[:1], len(G) + 2)) == len(G) + 2
    np.testing.assert_array_equal(first, copy_of_first)
    with pytest.raises(ValueError, match="lacks these labels: 6, 7, 8, 9"):
        retriever.set_params(novelty=False).set_gallery(G, t)


@pytest.mark.parametrize(("chosen", "predicted", "labelled"), [(0.3, 8, 0.3), (16.0, 16, 1), (0.0, 0, 0)])
def test_auto_alpha_depends_on_the_gallery(data, monkeypatch, chosen, predicted, labelled):
    """With unknown classes: 8 at least where leaves are predicted, 1 at most where they are labels."""
    X, y, G, t = data
    monkeypatch.setattr("sklearn_hierret.retrieval._fitting.choose_alpha", lambda *args: chosen)
    retriever = HierarchicalRetriever().fit(X, y)
    assert retriever.alpha_ == chosen
    for gallery, source, expected in (
        ((G,), None, predicted),
        ((G, t), "predicted", predicted),
        ((G, t), None, labelled),
        ((G[t < 6], t[t < 6]), None, chosen),  # all known
    ):
        given = HierarchicalRetriever(alpha=float(expected)).fit(X, y)
        for other in (retriever, given):
            other.set_gallery(*gallery, gallery_leaves=source)
        np.testing.assert_array_equal(retriever.kneighbors(G, 9), given.kneighbors(G, 9))
    given.set_params(alpha=chosen, novelty=False).set_gallery(G)
    retriever.set_params(novelty=False).set_gallery(G)
    np.testing.assert_array_equal(retriever.kneighbors(G, 9), given.kneighbors(G, 9))


def test_it_may_change_after_fit_and_survives_pickling(data):
    X, y, G, _ = data
    retriever = HierarchicalRetriever(alpha=2.0).fit(X, y).set_gallery(G)
    with_novelty = retriever.kneighbors(None, 5)
    again = pickle.loads(pickle.dumps(retriever))
    np.testing.assert_array_equal(again.kneighbors(None, 5), with_novelty)
    without = HierarchicalRetriever(alpha=2.0, novelty=False).fit(X, y).set_gallery(G).kneighbors(None, 5)
    np.testing.assert_array_equal(retriever.set_params(novelty=False).kneighbors(None, 5), without)
    np.testing.assert_array_equal(retriever.set_params(novelty=True).kneighbors(None, 5), with_novelty)
    assert "query_known" not in retriever.set_params(novelty=False).retrieve(n_neighbors=1)
    with pytest.raises(ValueError, match="novelty"):
        retriever.set_params(novelty="yes").kneighbors(G[:1])


def test_a_changed_gallery_is_estimated_anew(data):
    X, y, G, t = data
    retriever = HierarchicalRetriever(alpha=2.0).fit(X, y).set_gallery(G[t >= 6])
    known = retriever.retrieve(G[:9], 1)["query_known"]
    np.testing.assert_allclose(known, known_of(retriever, G[:9], 0.35), atol=1e-6)
    retriever.add_to_gallery(G[t < 6])
    assert (retriever.retrieve(G[:9], 1)["query_known"] > known).all()
    whole = HierarchicalRetriever(alpha=2.0).fit(X, y).set_gallery(np.concatenate([G[t >= 6], G[t < 6]]))
    np.testing.assert_allclose(
        retriever.retrieve(G[:9], 1)["query_known"], whole.retrieve(G[:9], 1)["query_known"], rtol=1e-6
    )


def test_class_models_that_cannot_tell(data):
    X, y, G, _ = data
    for class_model in (MahalanobisClassifier(), KNeighborsClassifier()):
        params = {"class_model": class_model, "assignment": "hard", "alpha": 1.0}
        auto = HierarchicalRetriever(**params).fit(X, y).kneighbors(G)
        never = HierarchicalRetriever(novelty=False, **params).fit(X, y).kneighbors(G)
        np.testing.assert_array_equal(auto, never)
        with pytest.raises(ValueError, match="does not say how well a sample is known"):
            HierarchicalRetriever(novelty=True, **params).fit(X, y).kneighbors(G)


def test_classes_that_only_the_hierarchy_knows(data):
    X, y, G, t = data
    tree = ClassHierarchy.from_levels([range(10), np.arange(10) // 2, [0] * 10])
    retriever = HierarchicalRetriever(tree, alpha=np.inf).fit(X, y).set_gallery(G, t)
    table = retriever.retrieve(G, len(G))
    assert (table["leaf"] == table["label"]).all()  # a label is a leaf of the tree all the same
    share = np.mean(t < 6)  # but no query can be told to be of it
    np.testing.assert_allclose(
        table.drop_duplicates("query")["query_known"], known_of(retriever, G, share), atol=1e-6
    )
