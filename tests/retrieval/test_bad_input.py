"""Bad input gets a clear error, and nothing is half-fitted."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.interaction import RetrievalSession, kneighbors_of_set
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    return blobs(rng, n_classes=4)


ESTIMATORS = [MahalanobisClassifier(), HierarchyBuilder(), LinkageHierarchyBuilder(), HierarchicalRetriever()]


def with_value(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


BAD_FITS = {
    "NaN": (lambda X, y: (with_value(X, np.nan), y), "NaN"),
    "infinity": (lambda X, y: (with_value(X, np.inf), y), "infinity"),
    "one class": (lambda X, y: (X, np.zeros(len(y))), "At least two classes"),
    "one sample": (lambda X, y: (X[:1], y[:1]), "minimum of 2 is required"),
    "lengths": (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    "3-D": (lambda X, y: (X[:, :, None], y), "dim 3|3D|dimension"),
    "1-D": (lambda X, y: (X[:, 0], y), "Expected 2D array"),
    "sparse": (lambda X, y: (sparse.csr_matrix(X), y), "[Ss]parse"),
    "continuous labels": (lambda X, y: (X, y + 0.5), "continuous"),
    "text": (lambda X, y: (np.full(X.shape, "a"), y), "could not convert|string"),
    "no labels": (lambda X, y: (X, None), "requires y|y cannot be None"),
    "empty": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "complex": (lambda X, y: (X + 1j, y), "[Cc]omplex"),
}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", BAD_FITS)
def test_bad_fits(data, estimator, name):
    spoil, message = BAD_FITS[name]
    estimator = estimator.__class__(**estimator.get_params(deep=False))
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(*spoil(*data))
    assert [attribute for attribute in vars(estimator) if attribute.endswith("_")] == []
    # A fit that fails later leaves the one before it.
    estimator.fit(*data)
    before = dict(vars(estimator))
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(*spoil(*data))
    assert vars(estimator) == before


def test_unfitted(data):
    X, y = data
    retriever = HierarchicalRetriever()
    for call in (
        lambda: retriever.kneighbors(X),
        retriever.kneighbors,
        lambda: retriever.retrieve(X),
        lambda: retriever.predict(X),
        lambda: retriever.predict_proba(X),
        lambda: retriever.score(X, y),
        lambda: retriever.set_gallery(X),
        lambda: retriever.leaves(X),
        lambda: MahalanobisClassifier().mahalanobis(X),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_labels_missing_in_a_given_hierarchy(data):
    X, y = data
    retriever = HierarchicalRetriever(ClassHierarchy.flat([0, 1, 7]))
    with pytest.raises(ValueError, match="missing in the hierarchy: 2, 3"):
        retriever.fit(X, y)
    assert not hasattr(retriever, "n_features_in_")


def test_k_beyond_the_gallery(data):
    X, y = data
    n = len(X)
    retriever = HierarchicalRetriever().fit(X, y)
    assert retriever.kneighbors(X, n_neighbors=n)[0].shape == (n, n)
    with pytest.raises(ValueError, match=f"n_neighbors = {n + 1} and the gallery holds {n}"):
        retriever.kneighbors(X, n_neighbors=n + 1)
    with pytest.raises(ValueError, match=f"holds {n - 1} samples besides the query"):
        retriever.kneighbors(n_neighbors=n)
    for k in (0, -1, 2.5, True, "3"):
        with pytest.raises(ValueError, match="n_neighbors must be a positive integer"):
            retriever.kneighbors(X, n_neighbors=k)


def test_bad_queries(data):
    X, y = data
    retriever = HierarchicalRetriever().fit(X, y)
    bad = {
        "NaN": with_value(X, np.nan),
        "infinity": with_value(X, np.inf),
        "features": X[:, :-1],
        "Expected 2D array": X[0],
        "[Ss]parse": sparse.csr_matrix(X),
        "dim 3|3D": X[:, :, None],
        "0 sample": X[:0],
    }
    for message, queries in bad.items():
        for call in (retriever.kneighbors, retriever.set_gallery, retriever.leaves, retriever.predict):
            with pytest.raises((ValueError, TypeError), match=message):
                call(queries)
    assert retriever.n_samples_fit_ == len(X)


@pytest.mark.parametrize(
    "params",
    [{"alpha": -0.1}, {"alpha": np.nan}, {"assignment": "fuzzy"}, {"n_neighbors": 0}, {"hierarchy": "ward"}],
)
def test_bad_parameters(data, params):
    retriever = HierarchicalRetriever(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        retriever.fit(*data)
    assert not hasattr(retriever, "classes_")


def test_galleries_without_labels(data):
    X, y = data
    retriever = HierarchicalRetriever().fit(X, y).set_gallery(X)
    assert retriever.gallery_labels_ is None
    retriever.kneighbors(X)
    for call in (
        lambda: retriever.predict(X),
        lambda: retriever.predict_proba(X),
        lambda: retriever.score(X, y),
    ):
        with pytest.raises(ValueError, match="gallery has no labels"):
            call()
    with pytest.raises(ValueError, match="gallery with labels"):
        make_retrieval_scorer(gallery="fit")(retriever, X, y)
    with pytest.raises(ValueError, match="samples, but 3 labels"):
        retriever.set_gallery(X, y[:3])
    with pytest.raises(ValueError, match="samples, but 1 ids"):
        retriever.set_gallery(X, y, ids=["a"])
    with pytest.raises(ValueError, match="distinct"):
        retriever.set_gallery(X, y, ids=np.zeros(len(X)))


def test_zero_vectors_are_allowed(data):
    X, y = data
    X = X.copy()
    X[5] = 0
    retriever = HierarchicalRetriever(alpha=0).fit(X, y)
    distances, _ = retriever.kneighbors(np.zeros((1, X.shape[1])), n_neighbors=len(X))
    np.testing.assert_array_equal(distances, 1)
    distances, indices = retriever.kneighbors(X[:1], n_neighbors=len(X))
    assert distances[0, indices[0] == 5] == 1


def test_a_class_too_small(data):
    X, y = data
    y = y.copy()
    X, y = X[(y != 3) | (np.cumsum(y == 3) <= 2)], y[(y != 3) | (np.cumsum(y == 3) <= 2)]
    strict = MahalanobisClassifier("full", shrinkage=None, n_components=None)
    with pytest.raises(ValueError, match="Class 3 with 2 samples"):
        HierarchicalRetriever(HierarchyBuilder(class_model=strict)).fit(X, y)
    HierarchicalRetriever().fit(X, y).kneighbors(X)


def test_odd_galleries_and_hierarchies(data):
    X, y = data
    retriever = HierarchicalRetriever().fit(X, y)
    with pytest.raises(ValueError, match="ids must be one-dimensional"):
        retriever.set_gallery(X, y, ids=[("a", i) for i in range(len(X))])
    named = HierarchicalRetriever().fit(X, np.array(list("abcd"))[y])
    with pytest.raises(ValueError, match="Some labels are missing"):
        named.set_gallery(X[:2], np.array(["a", None], dtype=object))
    with pytest.raises(TypeError, match="GaussianNB builds no hierarchy_"):
        HierarchicalRetriever(GaussianNB()).fit(X, y)


def test_very_large_and_very_small_features(data):
    X, y = data
    expected = HierarchicalRetriever().fit(X, y).kneighbors(X)[1]
    for scale in (1e-100, 1e100):
        np.testing.assert_array_equal(
            HierarchicalRetriever().fit(X * scale, y).kneighbors(X * scale)[1], expected
        )
    for scale in (1e-200, 1e200):  # the default class model sees directions only
        np.testing.assert_array_equal(
            HierarchicalRetriever().fit(X * scale, y).kneighbors(X * scale)[1], expected
        )
    with pytest.raises(ValueError, match="variances overflow"):
        HierarchicalRetriever(HierarchyBuilder()).fit(X * 1e200, y)
    with pytest.raises(ValueError, match="variances vanish"):
        HierarchicalRetriever(HierarchyBuilder()).fit(X * 1e-200, y)


def test_what_is_wrong_is_said(data):
    X, y = data
    fitted = HierarchicalRetriever(alpha=1.0).fit(X, y)
    with pytest.raises(TypeError, match="must be a classifier, and KMeans has no classes_"):
        HierarchicalRetriever(alpha=1.0, class_model=KMeans(3, n_init=1)).fit(X, y)
    missing = np.array(["a", "b", None, "c"], dtype=object)[np.arange(len(X)) % 4]
    with pytest.raises(ValueError, match="Some labels of y are missing"):
        HierarchicalRetriever().fit(X, missing)
    for name in ("gallery_ids_", "gallery_labels_", "n_samples_fit_", "classes_"):
        with pytest.raises(NotFittedError):
            getattr(HierarchicalRetriever(), name)
    with pytest.raises(ValueError, match="the gallery holds 0 samples besides the query"):
        fitted.remove_from_gallery(fitted.gallery_ids_).kneighbors(None, 1)
    codes = np.packbits(X > 0, axis=1)
    with pytest.raises(ValueError, match="There are no codes: 0 samples"):
        HammingRetriever().fit(codes, y).kneighbors(codes[:0])
    with pytest.raises(TypeError, match="A node is a number"):
        fitted.hierarchy_.members(1.5)
    for ks in (1.5, True, [1, 2.0], "20"):
        with pytest.raises(ValueError, match="ks must be positive integers"):
            evaluate_retrieval(fitted, X, y, ks=ks)


@pytest.mark.parametrize("dtype", [">f4", "<f4", np.float16])
def test_single_precision_in_any_byte_order(data, dtype):
    X, y = data
    expected = HierarchicalRetriever(alpha=1.0).fit(X.astype(dtype).astype(np.float32), y).kneighbors(X[:5])
    found = HierarchicalRetriever(alpha=1.0).fit(X.astype(dtype), y).kneighbors(X[:5].astype(np.float32))
    assert found[0].dtype == np.float32
    np.testing.assert_array_equal(found[1], expected[1])


def test_single_precision_of_data_frames(data):
    X, y = data
    for dtype in ("float32", "Float32"):
        frame = pd.DataFrame(X.astype(np.float32)).astype(dtype)
        assert HierarchicalRetriever(alpha=1.0).fit(frame, y).kneighbors(frame[:3])[0].dtype == np.float32
    mixed = pd.DataFrame(X.astype(np.float32)).astype({0: "float64"})
    assert HierarchicalRetriever(alpha=1.0).fit(mixed, y).kneighbors(mixed[:3])[0].dtype == np.float64


def test_no_samples_where_none_stands_for_no_gallery(data):
    X, y = data
    fitted = HierarchicalRetriever(alpha=1.0).fit(X, y)
    for refused in (
        lambda: fitted.set_gallery(None),
        lambda: fitted.with_gallery(None),
        lambda: fitted.add_to_gallery(None, [0]),
        lambda: RetrievalSession(fitted, None),
        lambda: kneighbors_of_set(fitted, None, 1),
    ):
        with pytest.raises(ValueError, match="Expected 2D array"):
            refused()
    codes = np.packbits(X > 0, axis=1)
    hamming = HammingRetriever().fit(codes, y)
    for method in (hamming.set_gallery, hamming.with_gallery, hamming.add_to_gallery):
        with pytest.raises(TypeError, match="Codes are packed bits of dtype uint8"):
            method(None)
