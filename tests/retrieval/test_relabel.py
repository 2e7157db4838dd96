"""Corrected labels: of the gallery alone, or learned as a fit to the right labels would learn them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever

X, Y = load_digits(return_X_y=True)
QUERIES = X[1200:]


def wrong(n, seed=0):
    rng = np.random.default_rng(seed)
    y, rows = Y[:n].copy(), rng.permutation(n)[: n // 20]
    y[rows] = (y[rows] + rng.integers(1, 10, len(rows))) % 10
    return y, rows


def same(one, other):
    assert one.alpha_ == other.alpha_
    np.testing.assert_array_equal(one.classes_, other.classes_)
    np.testing.assert_array_equal(one.leaves(), other.leaves())
    for queries in (QUERIES, None):
        np.testing.assert_array_equal(one.kneighbors(queries)[1], other.kneighbors(queries)[1])
        np.testing.assert_allclose(
            one.kneighbors(queries)[0], other.kneighbors(queries)[0], rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("hierarchy", [None, ClassHierarchy.flat(range(10))])
def test_an_updated_model_is_that_of_the_right_labels(n, groups, hierarchy):
    y, rows = wrong(n)
    params = {"groups": np.arange(n) // 2} if groups else {}
    expected = HierarchicalRetriever(hierarchy).fit(X[:n], Y[:n], **params)
    same(
        HierarchicalRetriever(hierarchy).fit(X[:n], y, **params).relabel(rows, Y[rows], update_model=True),
        expected,
    )


def test_corrections_of_the_gallery_are_learned_later_and_from_removed_neighbours():
    y, rows = wrong(1000)
    retriever = HierarchicalRetriever().fit(X[:1000], y)
    before = retriever.leaves(QUERIES)
    retriever.relabel(rows[:20], Y[rows[:20]])
    np.testing.assert_array_equal(retriever.leaves(QUERIES), before)  # the model is as it was
    np.testing.assert_array_equal(retriever.gallery_labels_[rows[:20]], Y[rows[:20]])
    retriever.relabel(rows[20:], Y[rows[20:]]).relabel(rows[:1], Y[rows[:1]], update_model=True)
    same(retriever, HierarchicalRetriever().fit(X[:1000], Y[:1000]))
    gone = np.setdiff1d(np.arange(300), rows)
    retriever = HierarchicalRetriever().fit(X[:1000], y).remove_from_gallery(gone)
    retriever.relabel(rows, Y[rows], update_model=True)
    same(retriever, HierarchicalRetriever().fit(X[:1000], Y[:1000]).remove_from_gallery(gone))


def test_new_labels_teach_and_are_learned():
    retriever = HierarchicalRetriever().fit(X[:1000], Y[:1000])
    eights = np.flatnonzero(Y[:1000] == 8)[:30]
    retriever.relabel(eights, np.full(30, 77))
    assert 77 in retriever.gallery_hierarchy_.classes
    assert 77 not in retriever.class_model_.classes_
    assert (retriever.leaves(X[eights]) == 77).mean() > 0.8
    retriever.relabel([], [], update_model=True)
    assert 77 in retriever.class_model_.classes_
    y = Y[:1000].copy()
    y[eights] = 77
    same(retriever, HierarchicalRetriever().fit(X[:1000], y))


def test_a_class_without_samples_goes():
    y = Y[:1000].copy()
    y[:3] = 55
    retriever = HierarchicalRetriever().fit(X[:1000], y).relabel(range(3), Y[:3], update_model=True)
    same(retriever, HierarchicalRetriever().fit(X[:1000], Y[:1000]))


def test_other_rows_only_teach():
    retriever = HierarchicalRetriever().fit(X[:1000], Y[:1000])
    retriever.add_to_gallery(X[1000:1010], np.full(10, 3))
    retriever.relabel(range(1000, 1010), Y[1000:1010], update_model=True)
    np.testing.assert_array_equal(retriever.gallery_labels_[1000:], Y[1000:1010])
    expected = HierarchicalRetriever().fit(X[:1000], Y[:1000]).add_to_gallery(X[1000:1010], Y[1000:1010])
    same(retriever, expected)


def test_samples_of_partial_fit_are_moved():
    y = Y[:1000].copy()
    y[950:960] = (y[950:960] + 1) % 10
    retriever = HierarchicalRetriever().fit(X[:900], y[:900]).partial_fit(X[900:1000], y[900:])
    retriever.add_to_gallery(X[900:1000], y[900:])
    retriever.relabel(np.arange(950, 960), Y[950:960], update_model=True)
    np.testing.assert_allclose(
        retriever.class_model_.predict_proba(QUERIES),
        HierarchicalRetriever().fit(X[:1000], Y[:1000]).class_model_.predict_proba(QUERIES),
        atol=1e-6,
    )


def test_longer_names_are_kept_whole():
    names = np.array(["a", "b"])[Y[:200] % 2]
    retriever = HierarchicalRetriever().fit(X[:200], names).relabel([4], ["a long name"])
    assert retriever.gallery_labels_[4] == "a long name"


@pytest.mark.parametrize("update_model", [False, True])
@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        ([5, 2000], [1, 1], "2000"),
        ([5, 5], [1, 1], "distinct"),
        ([5, 6], [1], "2 samples, but 1 labels"),
        ([5], ["five"], "labels"),
        ([5], [None], "missing"),
    ],
)
def test_bad_input_changes_nothing(ids, labels, message, update_model):
    retriever = HierarchicalRetriever().fit(X[:300], Y[:300])
    before = retriever.searcher()
    with pytest.raises((ValueError, TypeError), match=message):
        retriever.relabel(ids, labels, update_model=update_model)
    assert retriever.searcher() is before


def test_what_cannot_be_learned_is_said():
    flat = ClassHierarchy.flat(range(10))
    retriever = HierarchicalRetriever(flat).fit(X[:300], Y[:300])
    before = retriever.searcher()
    with pytest.raises(ValueError, match="12"):
        retriever.relabel([5], [12], update_model=True)
    assert retriever.searcher() is before
    other = HierarchicalRetriever(class_model=GaussianNB()).fit(X[:300], Y[:300])
    with pytest.raises(AttributeError, match="DiscriminantClassifier"):
        other.relabel([5], [1], update_model=True)
    other.relabel([5], [1])
    with pytest.raises(ValueError, match="no labels to correct"):
        retriever.set_gallery(X[:100]).relabel([5], [1])
