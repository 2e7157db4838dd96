"""Labels of a gallery as its leaves, cross-fitted leaves of the training samples, stems, alpha."""

import copy

import numpy as np
import pytest

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.hashing import pack_signs, unpack_signs
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=5, n_features=8, spread=1.0, n_per_class=(40, 50))
    return X[:150], y[:150], X[150:], y[150:]


def tree():
    """Of the five classes, and of one that no sample has."""
    return ClassHierarchy.from_levels([range(6), [0, 0, 1, 1, 2, 2], [0] * 6])


@pytest.fixture(params=["features", "codes"])
def retriever_and_data(request, data):
    X, y, Q, t = data
    if request.param == "features":
        return HierarchicalRetriever(tree(), alpha=3.0, novelty=False), (X, y, Q, t)
    return HammingRetriever(tree(), alpha=3.0, assignment="soft"), (pack_signs(X), y, pack_signs(Q), t)


def ignore_new(retriever):
    """Let labels that the class model lacks teach nothing; those of codes never do."""
    return (
        retriever if isinstance(retriever, HammingRetriever) else retriever.set_params(new_classes="ignore")
    )


def test_leaves_of_a_labelled_gallery_are_its_labels(retriever_and_data):
    retriever, (X, y, Q, _) = retriever_and_data
    labels = y.copy()
    labels[::4] = 99  # unknown: predicted
    labels[1] = 5  # known to the hierarchy only
    ignore_new(retriever).fit(X, y).set_gallery(X, labels)
    table = retriever.retrieve(Q, 150)
    leaf = np.empty(150, dtype=int)
    leaf[table["id"]] = table["leaf"]
    known = labels != 99
    np.testing.assert_array_equal(leaf[known], labels[known])
    np.testing.assert_array_equal(leaf[~known], retriever.leaves(X[~known]))
    # Against the formula: D_H is expected over the query's leaf only.
    model, stemmed = retriever.class_model_, retriever.hierarchy_.with_stem(0.5)
    shown = table[table["id"] == 1].set_index("query")["hierarchical_distance"]
    proba = model.predict_proba(unpack_signs(Q) if isinstance(retriever, HammingRetriever) else Q)
    expected = proba @ stemmed.distance(5, model.classes_)
    np.testing.assert_allclose(shown.loc[np.arange(len(Q))], expected, atol=1e-6)


def test_labels_must_be_known_where_they_are_asked_for(retriever_and_data):
    retriever, (X, y, Q, _) = retriever_and_data
    ignore_new(retriever).set_params(gallery_leaves="labels").fit(X, y)
    before = retriever.kneighbors(Q)
    for labels, message in ((np.append(y[:-1], 77), "lacks these labels: 77"), (None, "needs labels")):
        with pytest.raises(ValueError, match=message):
            retriever.set_gallery(X, labels)
    with pytest.raises(ValueError, match="lacks these labels: 77, 78"):
        retriever.add_to_gallery(Q[:3], [0, 78, 77])
    np.testing.assert_array_equal(retriever.kneighbors(Q), before)  # nothing changed
    retriever.set_gallery(X, np.append(y[:-1], 77), gallery_leaves="auto").add_to_gallery(Q[:1], [78])
    assert retriever.kneighbors(Q)[1].shape == (len(Q), 5)
    with pytest.raises(ValueError, match="gallery_leaves must be"):
        retriever.set_gallery(X, y, gallery_leaves="given")
    with pytest.raises(ValueError, match="gallery_leaves"):
        retriever.set_params(gallery_leaves="given").fit(X, y)


def test_added_samples_bring_their_labels(retriever_and_data):
    retriever, (X, y, Q, _) = retriever_and_data
    for gallery_leaves in ("auto", "predicted"):
        retriever.set_params(gallery_leaves=gallery_leaves).fit(X, y).set_gallery(X[:50], y[:50])
        grown = copy.copy(retriever).add_to_gallery(X[50:], y[50:])
        whole = copy.copy(retriever).set_gallery(X, y)
        for queries in (Q, None):
            one, other = grown.kneighbors(queries, 9), whole.kneighbors(queries, 9)
            np.testing.assert_allclose(one[0], other[0], atol=1e-6)


def test_the_training_gallery_does_not_see_its_own_labels(rng):
    X, y = rng.normal(size=(200, 40)), rng.integers(0, 5, 200)  # nothing to learn
    retriever = HierarchicalRetriever(alpha=16.0).fit(X, y)
    nearest = retriever.kneighbors(None, 1, return_distance=False)[:, 0]
    assert np.mean(y[nearest] == y) < 0.3
    assert np.mean(retriever.leaves() == y) < 0.3
    assert retriever.retrieve(n_neighbors=1)["label"].eq(y).mean() < 0.3
    # The class model knows what it was fitted to, and a gallery of the same samples as new ones shows it.
    retriever.set_gallery(X, y)
    assert np.mean(retriever.leaves() == y) > 0.4


def test_cross_fitted_leaves_survive_changes_of_the_gallery(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever(alpha=2.0).fit(X, y)
    leaves = retriever.leaves()
    retriever.kneighbors(Q)  # sorts by labels
    np.testing.assert_array_equal(retriever.leaves(), leaves)
    retriever.remove_from_gallery([3, 77]).add_to_gallery(Q[:10], t[:10])
    kept = np.delete(np.arange(150), [3, 77])
    np.testing.assert_array_equal(retriever.leaves(), np.append(leaves[kept], retriever.leaves(Q[:10])))
    retriever.set_params(assignment="hard")
    np.testing.assert_array_equal(retriever.leaves()[:-10], leaves[kept])


@pytest.mark.parametrize("gallery_leaves", ["auto", "labels"])
def test_scorers_do_not_take_labels_for_leaves(retriever_and_data, rng, gallery_leaves):
    retriever, (X, y, Q, t) = retriever_and_data
    retriever.set_params(gallery_leaves=gallery_leaves).fit(X, y)
    right = make_retrieval_scorer("map", k=5, gallery="query")(retriever, Q, t)
    assert right < 0.999  # labels as leaves would be perfect
    nonsense = make_retrieval_scorer("map", k=5, gallery="query")(retriever, Q, rng.permutation(t))
    assert nonsense < 0.5
    ours = evaluate_retrieval(retriever.set_gallery(Q, t), Q, t, [5])["score"].item()
    assert ours == pytest.approx(right)


def test_an_emptied_gallery(retriever_and_data):
    retriever, (X, y, Q, _) = retriever_and_data
    retriever.fit(X, y).remove_from_gallery(range(len(X)))
    for assignment in ("soft", "hard"):
        retriever.set_params(assignment=assignment)
        for queries in (Q, None):
            with pytest.raises(ValueError, match="the gallery holds"):
                retriever.kneighbors(queries)
        assert len(retriever.leaves()) == 0


def test_stems(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(tree(), alpha=2.0).fit(X, y)
    given = retriever.kneighbors(Q)[0]
    np.testing.assert_array_equal(retriever.set_params(stem=0.5).kneighbors(Q)[0], given)
    assert np.any(retriever.set_params(stem=0.0).kneighbors(Q)[0] != given)
    assert retriever.hierarchy_ == tree()  # the stem is no part of it
    flat = HierarchicalRetriever(ClassHierarchy.flat(range(5)), alpha=2.0).fit(X, y).kneighbors(Q)
    np.testing.assert_allclose(retriever.set_params(stem=1.0).kneighbors(Q)[0], flat[0], atol=1e-9)
    learned = HierarchicalRetriever(alpha=2.0).fit(X, y)
    default = learned.kneighbors(Q)[0]
    np.testing.assert_array_equal(learned.set_params(stem=0.7).kneighbors(Q)[0], default)
    for stem in (-0.1, 1.1, "long"):
        with pytest.raises(ValueError, match="stem"):
            retriever.set_params(stem=stem).kneighbors(Q)
        with pytest.raises(ValueError, match="stem"):
            tree().with_stem(stem)


def test_alpha_is_chosen_and_may_be_changed(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever().fit(X, y)
    chosen = retriever.alpha_
    assert 0 < chosen <= 16
    found = retriever.kneighbors(Q)
    np.testing.assert_array_equal(retriever.set_params(alpha=chosen).kneighbors(Q), found)
    two = retriever.set_params(alpha=2.0).kneighbors(Q)
    np.testing.assert_array_equal(HierarchicalRetriever(alpha=2.0).fit(X, y).kneighbors(Q), two)
    np.testing.assert_array_equal(retriever.set_params(alpha="auto").kneighbors(Q), found)
    embedding = HierarchicalEmbedding().fit(X, y)
    assert embedding.alpha_ == chosen
    products = embedding.transform_query(Q) @ embedding.transform(X, y).T
    np.testing.assert_allclose(-np.sort(-products)[:, :5], 1 + chosen - found[0], atol=1e-9)
    codes = pack_signs(X)
    assert HammingRetriever().fit(codes, y).alpha_ > 0
    assert HammingRetriever().fit(codes).alpha_ == 0
    with pytest.raises(ValueError, match="alpha"):
        HierarchicalRetriever(alpha="best").fit(X, y)


def test_parameters_are_read_at_fit(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever(alpha=3.0).fit(X, y)
    expected = retriever.set_gallery(Q, t).kneighbors(X[:9])
    retriever.set_params(gallery_leaves="predicted", hierarchy=tree())
    np.testing.assert_array_equal(retriever.set_gallery(Q, t).kneighbors(X[:9]), expected)
