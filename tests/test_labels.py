"""Labels stay what they are, wherever they come in."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_hierret import (
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
)
from sklearn_hierret.metrics import map_at_k

BIG = 2**53


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 30)
    return 3 * rng.normal(size=(5, 16))[y] + rng.normal(size=(150, 16)), y


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "Int32"])
@pytest.mark.parametrize(
    "estimator",
    [
        HierarchicalRetriever(alpha=1),
        DiscriminantClassifier(),
        MahalanobisClassifier(),
        HierarchyBuilder(),
        LinkageHierarchyBuilder(),
    ],
)
def test_nullable_integers_are_integers(data, estimator, dtype):
    X, y = data
    start = 47000 if dtype == "Int32" else BIG
    for labels in (pd.Series(y + start, dtype=dtype), pd.DataFrame({"y": pd.array(y + start, dtype=dtype)})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the column vector
            estimator.fit(X, labels)
        assert estimator.classes_.tolist() == [start + i for i in range(5)]
        assert estimator.classes_.dtype.kind in "iu"
        streams = hasattr(estimator, "partial_fit") and not isinstance(estimator, HierarchicalRetriever)
        if streams and isinstance(labels, pd.Series):
            assert estimator.partial_fit(X, labels).classes_.tolist() == [start + i for i in range(5)]


def test_nullable_labels_of_galleries_and_queries(data):
    X, y = data
    big = pd.Series(y + BIG, dtype="Int64")
    retriever = HierarchicalRetriever(alpha=1).fit(X, y + BIG).set_gallery(X, big)
    assert retriever.gallery_labels_.tolist() == big.tolist()
    assert retriever.score(X, big) == pytest.approx(retriever.score(X, y + BIG))
    retriever.add_to_gallery(X[:2], big[:2], ids=pd.Series([BIG + 1, BIG + 3], dtype="Int64"))
    assert retriever.gallery_ids_[-2:].tolist() == [BIG + 1, BIG + 3]
    assert map_at_k(big, np.tile(np.asarray(y + BIG), (150, 1)), 5) == pytest.approx(
        map_at_k(y + BIG, np.tile(y + BIG, (150, 1)), 5)
    )
    codes = np.packbits(X > 0, axis=1)
    assert HammingRetriever(alpha=1).fit(codes, big).classes_.tolist() == [BIG + i for i in range(5)]
    booleans = HierarchicalRetriever(alpha=1).fit(X, pd.Series(y > 2, dtype="boolean"))
    assert booleans.classes_.tolist() == [False, True]


def test_missing_labels_are_refused_everywhere(data):
    X, y = data
    missing = [
        pd.Series(y, dtype="Int64").mask(y == 1),
        np.where(y == 1, np.datetime64("NaT"), np.datetime64("2020-01-01") + y),
        np.where(y == 1, None, y.astype(str).astype(object)),
    ]
    for estimator in (
        HierarchicalRetriever(),
        DiscriminantClassifier(),
        MahalanobisClassifier(),
        HierarchyBuilder(),
    ):
        for labels in missing:
            with pytest.raises(ValueError, match=r"missing|NaN|null"):
                estimator.fit(X, labels)
            if hasattr(estimator, "partial_fit"):
                with pytest.raises(ValueError, match=r"missing|NaN|null"):
                    estimator.partial_fit(X, labels)


def test_classes_that_look_the_same_are_warned_of(data):
    X, y = data
    names = np.array(["cat", " cat", "dog", "cow", "Dog"])
    with pytest.warns(UserWarning, match="differ only by blanks, and are two classes"):
        HierarchicalRetriever(alpha=1).fit(X, names[y])
    names[1] = "caf\u00e9"
    names = names.astype(object)
    names[0] = "cafe\u0301"
    with pytest.warns(UserWarning, match="Unicode form"):
        HierarchicalRetriever(alpha=1).fit(X, names[y])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # letters of both cases are classes
        HierarchicalRetriever(alpha=1).fit(X, np.array(["a", "A", "b", "B", "c"])[y])
