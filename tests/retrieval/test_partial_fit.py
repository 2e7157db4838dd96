"""Samples that join what a retriever was fitted to."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
)
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.model_selection import HierarchicalRetrieverCV


@pytest.fixture(scope="module")
def blobs():
    X, y, _ = make_hierarchical_blobs(900, level_std=(2, 1), n_features=12, random_state=0)
    return X, y


def first_then_rest(blobs, n=500, **params):
    X, y = blobs
    old = np.flatnonzero(y != y.max())[:n]
    new = np.setdiff1d(np.arange(len(X)), old)
    return HierarchicalRetriever(**params).fit(X[old], y[old]), old, new


@pytest.mark.parametrize("metric", ["auto", "cosine", "whitened"])
def test_two_blocks_are_one_fit(blobs, metric):
    X, y = blobs
    retriever, old, new = first_then_rest(blobs, metric=metric)
    retriever.partial_fit(X[new], y[new])
    order = np.concatenate([old, new])
    whole = HierarchicalRetriever(metric=metric).fit(X[order], y[order])
    assert retriever.classes_.tolist() == whole.classes_.tolist()
    assert y.max() in retriever.hierarchy_.classes
    assert retriever.metric_ == whole.metric_
    assert retriever.shrinkage_ == whole.shrinkage_
    proba, expected = (model.class_model_.predict_proba(X) for model in (retriever, whole))
    np.testing.assert_allclose(proba, expected, atol=1e-6)
    np.testing.assert_allclose(
        retriever.hierarchy_.distance_matrix(), whole.hierarchy_.distance_matrix(), atol=1e-9
    )
    gallery = X[order[:300]], y[order[:300]]
    kwargs = {"alpha": 1.0}
    found = [m.set_params(**kwargs).set_gallery(*gallery).kneighbors(X[600:], 9) for m in (retriever, whole)]
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)


def test_the_gallery_stays(blobs):
    X, y = blobs
    retriever, old, new = first_then_rest(blobs)
    ids = retriever.gallery_ids_.tolist()
    copies = retriever.kneighbors(X[old[:50]], 1)[1][:, 0]
    retriever.partial_fit(X[new], y[new])
    assert retriever.gallery_ids_.tolist() == ids
    assert retriever.kneighbors(X[old[:50]], 1)[1][:, 0].tolist() == copies.tolist()
    retriever.add_to_gallery(X[new], y[new])
    assert len(retriever.gallery_ids_) == len(X)
    of_new = X[new][y[new] == y.max()]
    assert np.mean(retriever.predict(of_new) == y.max()) > 0.9


def test_leaves_of_gallery_samples_are_held_out(blobs):
    """Labels that were learned from change nothing for the samples themselves."""
    X, y = blobs
    rng = np.random.default_rng(0)
    retriever, _, new = first_then_rest(blobs)
    gallery = X[new], rng.permutation(y[new])  # wrong labels, as in a search for mislabelled samples
    retriever.set_gallery(*gallery).partial_fit(*gallery)
    expected = retriever.class_model_.held_out_leaves(X[new])[0][:, 0]
    np.testing.assert_array_equal(retriever.leaves(), retriever.class_model_.classes_[expected])
    seen = retriever.class_model_.predict(X[new])
    assert np.mean(retriever.leaves() == gallery[1]) < np.mean(seen == gallery[1])


def test_fit_values_do_not_change_in_place(blobs):
    X, y = blobs
    for hierarchy in (None, HierarchyBuilder()):
        retriever, _, new = first_then_rest(blobs, hierarchy=hierarchy, class_model=DiscriminantClassifier())
        model, builder = retriever.class_model_, retriever.hierarchy_builder_
        tree, proba, searcher = retriever.hierarchy_, model.predict_proba(X), retriever.searcher()
        before = searcher.neighbors(X[:20], 5)
        retriever.partial_fit(X[new], y[new])
        assert y.max() in retriever.hierarchy_.classes
        np.testing.assert_array_equal(model.predict_proba(X), proba)
        assert builder.hierarchy_ == tree
        after = searcher.neighbors(X[:20], 5)
        np.testing.assert_array_equal(before.distances, after.distances)


def test_taught_leaves_become_classes(blobs):
    X, y = blobs
    retriever, _, new = first_then_rest(blobs)
    retriever.set_gallery(X[new], y[new])
    assert y.max() not in retriever.hierarchy_.classes
    assert y.max() in retriever.gallery_hierarchy_.classes
    retriever.partial_fit(X[new], y[new])
    assert y.max() in retriever.hierarchy_.classes
    assert retriever.searcher().leaf_model.new is None


def test_unlabelled_galleries_stay_unlabelled(blobs):
    X, y = blobs
    retriever, _, new = first_then_rest(blobs)
    retriever.set_gallery(X[new])
    retriever.partial_fit(X[new[:100]], y[new[:100]])
    assert retriever.kneighbors(X[:5], 3)[1].shape == (5, 3)
    with pytest.raises(ValueError, match="no labels"):
        retriever.predict(X[:5])


def test_groups_share_a_fold(blobs):
    X, y = blobs
    groups = np.arange(len(X)) // 10
    half = len(X) // 2
    retriever = HierarchicalRetriever().fit(X[:half], y[:half], groups[:half])
    retriever.partial_fit(X[half:], y[half:], groups=groups[half:])
    statistics = retriever.class_model_.__hierret_class_model__().statistics
    whole = DiscriminantClassifier().fit(X, y, groups).__hierret_class_model__().statistics
    np.testing.assert_array_equal(statistics.counts, whole.counts)
    kept = retriever.class_model_.__hierret_class_model__().kept
    held = retriever.class_model_.__hierret_class_model__().held_out(kept, "hard")
    np.testing.assert_array_equal(held.folds, statistics.folds)


def test_the_first_call_is_a_fit(blobs):
    X, y = blobs
    for make in (HierarchicalRetriever, lambda: HierarchicalRetrieverCV(alphas=[0, 1], cv=2)):
        np.testing.assert_array_equal(
            make().partial_fit(X, y).kneighbors(X[:9])[1], make().fit(X, y).kneighbors(X[:9])[1]
        )


def test_what_cross_validation_chose_stays(blobs):
    X, y = blobs
    retriever = HierarchicalRetrieverCV(alphas=[0.3], stems=[0.2], metrics=["cosine"], cv=2)
    retriever.fit(X[:600], y[:600]).partial_fit(X[600:], y[600:])
    assert (retriever.alpha_, retriever.stem_, retriever.metric_) == (0.3, 0.2, "cosine")
    assert retriever.searcher().options.stem == 0.2


def test_given_trees(blobs):
    X, y = blobs
    tree = ClassHierarchy.flat(np.unique(y))
    retriever, _, new = first_then_rest(blobs, hierarchy=tree)
    retriever.partial_fit(X[new], y[new])
    assert y.max() in retriever.class_model_.classes_
    assert retriever.hierarchy_ is tree
    with pytest.raises(ValueError, match="999"):
        retriever.partial_fit(X[:3], [999, 999, 0])


@pytest.mark.parametrize(
    "params",
    [
        {"hierarchy": LinkageHierarchyBuilder()},
        {"hierarchy": LinkageHierarchyBuilder(), "class_model": DiscriminantClassifier()},
        {"hierarchy": HierarchyBuilder()},
        {"hierarchy": CombinedHierarchyBuilder([("a", HierarchyBuilder())])},
        {"class_model": GaussianNB()},
        {"class_model": FrozenEstimator(DiscriminantClassifier())},
    ],
)
def test_what_cannot_learn_more_has_no_such_method(params):
    assert hasattr(HierarchicalRetriever(), "partial_fit")
    assert not hasattr(HierarchicalRetriever(**params), "partial_fit")


def test_bad_input(blobs):
    X, y = blobs
    retriever, _, new = first_then_rest(blobs)
    before = retriever.searcher()
    for X_bad, y_bad, message in [
        (X[:5, :3], y[:5], "features"),
        (X[:5], y[:4], "inconsistent"),
        (X[:5], ["a"] * 5, "Labels"),
        (X[:5], np.array(["a"] * 5, dtype=object), "Labels"),
        (X[:5], [np.nan] * 5, "missing|NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            retriever.partial_fit(X_bad, y_bad)
    assert retriever.searcher() is before
    retriever.partial_fit(X[new[:1]], y[new[:1]])  # one sample of one class


@pytest.mark.parametrize("order", ["learn, add", "add, learn", "groups", "unlabelled"])
def test_no_sample_that_was_learned_from_tells_its_own_label(order):
    """Labels of pure noise: in whatever order samples are learned from and added, leaves are at chance."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 20)), rng.integers(0, 12, 600)
    A, B = slice(0, 300), slice(300, 600)
    groups = np.arange(600)
    retriever = HierarchicalRetriever(alpha=2.0, metric="cosine")
    if order == "learn, add":
        retriever.fit(X[A], y[A]).partial_fit(X[B], y[B]).add_to_gallery(X[B], y[B])
    elif order == "add, learn":
        retriever.fit(X[A], y[A]).add_to_gallery(X[B], y[B]).partial_fit(X[B], y[B])
    elif order == "groups":
        retriever.fit(X[A], y[A], groups=groups[A]).add_to_gallery(X[B], y[B])
        retriever.partial_fit(X[B], y[B], groups=groups[B])
    else:
        retriever.fit(X[A], y[A]).set_gallery(X).partial_fit(X[B], y[B])
    assert np.mean(retriever.leaves() == y) < 0.13
    assert np.mean(retriever.class_model_.predict(X[B]) == y[B]) > 0.17  # in-sample it is easier


def test_new_classes_of_a_gallery_keep_their_leaves_as_queries(blobs):
    """Where the class model has learned other samples."""
    X, y = blobs
    retriever, _, new = first_then_rest(blobs, n=300)
    retriever.set_gallery(X, y)
    before = np.mean(retriever.leaves()[y == y.max()] == y.max())
    known = new[y[new] != y.max()]
    retriever.partial_fit(X[known], y[known])
    after = np.mean(retriever.leaves()[y == y.max()] == y.max())
    assert after > before - 0.1
    assert before > 0.5


def test_numbers_that_were_there_are_not_used_again(blobs):
    X, y = blobs
    retriever, old, new = first_then_rest(blobs)
    last = retriever.gallery_ids_[-2:]
    retriever.remove_from_gallery(last).partial_fit(X[new], y[new]).add_to_gallery(X[:2], y[:2])
    assert retriever.gallery_ids_[-2:].tolist() == [len(old), len(old) + 1]


def test_transformers_learn_from_all_samples_or_not_at_all(blobs):
    X, y = blobs
    assert not hasattr(HierarchicalRetriever(metric=StandardScaler()), "partial_fit")
    chosen = HierarchicalRetrieverCV(alphas=[0.5], metrics=[StandardScaler()], cv=2).fit(X, y)
    with pytest.raises(ValueError, match="transformer as metric learns from all samples"):
        chosen.partial_fit(X, y)
