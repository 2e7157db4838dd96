"""What pickles and skops files hold, and what becomes of older ones."""

import copy
import io
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_hierret
from sklearn_hierret import (
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    WithinClassWhitening,
)
from sklearn_hierret._state import decoded, encoded
from sklearn_hierret.interaction import RetrievalSession
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, QueryExpansion

X, Y = load_iris(return_X_y=True)
CODES = np.packbits(X @ np.random.default_rng(0).normal(size=(4, 16)) > 0, axis=1)
ESTIMATORS = [
    HierarchicalRetriever(),
    HierarchicalRetriever(alpha=0),
    HierarchicalRetriever(metric=WithinClassWhitening(n_components=2), assignment="hard", alpha=1),
    HierarchicalRetriever([LinkageHierarchyBuilder(), HierarchyBuilder()]),
    HierarchicalRetrieverCV(alphas=[0, 1], cv=2),
    DatabaseAugmentation(),
    Diffusion(DatabaseAugmentation()),
    HammingRetriever(),
]


def classes_in(data):
    """Modules and names of all classes that a pickle names."""
    names, found = [], set()
    for opcode, argument, _ in pickletools.genops(data):
        if isinstance(argument, str):
            names.append(argument)
        if opcode.name == "STACK_GLOBAL":
            found.add((names[-2], names[-1]))
        elif opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ")))
    return found


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_files_name_public_classes_only_and_rank_alike(estimator):
    rows = CODES if isinstance(estimator, HammingRetriever) else X
    estimator.fit(rows[::2], Y[::2])
    data = pickle.dumps(estimator)
    ours = {".".join(pair) for pair in classes_in(data) if pair[0].startswith("sklearn_hierret")}
    assert [name for name in ours if "._" in name] == []
    again = pickle.loads(data)
    for Q in (rows[1::2], None):
        for found, expected in zip(again.kneighbors(Q, 7), estimator.kneighbors(Q, 7), strict=True):
            np.testing.assert_array_equal(found, expected)
    deep = copy.deepcopy(estimator)
    np.testing.assert_array_equal(deep.kneighbors(rows[1::2], 7)[1], estimator.kneighbors(rows[1::2], 7)[1])


@pytest.mark.parametrize(
    "estimator",
    [
        DiscriminantClassifier(),
        MahalanobisClassifier(),
        MahalanobisClassifier("tied", temperature="auto"),
        HierarchyBuilder(),
        CombinedHierarchyBuilder([("a", LinkageHierarchyBuilder()), ("b", HierarchyBuilder())]),
        WithinClassWhitening(),
        HierarchicalEmbedding(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_other_estimators(estimator):
    estimator.fit(X, Y)
    data = pickle.dumps(estimator)
    ours = {".".join(pair) for pair in classes_in(data) if pair[0].startswith("sklearn_hierret")}
    assert [name for name in ours if "._" in name] == []
    again = pickle.loads(data)
    for name in ("predict_proba", "transform", "known_proba"):
        if hasattr(estimator, name):
            np.testing.assert_array_equal(getattr(again, name)(X), getattr(estimator, name)(X))
    if hasattr(estimator, "hierarchy_"):
        assert again.hierarchy_ == estimator.hierarchy_
    if hasattr(estimator, "partial_fit"):
        one, other = (
            e.partial_fit(X[:9], Y[:9]).class_count_ if hasattr(e, "class_count_") else 0
            for e in (again, estimator)
        )
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "metric",
    [
        PCA(0.937, random_state=1234),
        WithinClassWhitening(shrinkage=0.3731),
        make_pipeline(StandardScaler(), PCA(2)),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_a_metric_is_unchanged_in_a_file(metric):
    """Its parameters are the same in value, but are other objects."""
    retriever = HierarchicalRetriever(metric=metric, alpha=1).fit(X[::2], Y[::2])
    expected = retriever.kneighbors(X[1::2], 5)[1]
    for estimator in (retriever, QueryExpansion(retriever).fit(X[::2], Y[::2])):
        for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
            np.testing.assert_array_equal(
                again.kneighbors(X[1::2], 5)[1], estimator.kneighbors(X[1::2], 5)[1]
            )
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(retriever))))
    np.testing.assert_array_equal(again.kneighbors(X[1::2], 5)[1], expected)
    name = next(iter(metric.get_params()))
    changed = retriever.set_params(**{f"metric__{name}": "other"})
    with pytest.raises(ValueError, match="Parameters of metric changed after fit"):
        changed.kneighbors(X[:1])
    with pytest.raises(ValueError, match="Parameters of metric changed after fit"):
        pickle.loads(pickle.dumps(changed)).kneighbors(X[:1])


def test_sessions_go_on_and_stale_ones_stay_stale():
    retriever = HierarchicalRetriever().fit(X[::2], Y[::2])
    session = RetrievalSession(retriever, X[1:2]).mark([0, 1], [70])
    again = pickle.loads(pickle.dumps(session))
    np.testing.assert_array_equal(again.kneighbors(9)[1], session.kneighbors(9)[1])
    retriever.add_to_gallery(X[1:3], Y[1:3])
    stale = pickle.loads(pickle.dumps(session))
    for one in (session, stale):
        with pytest.raises(RuntimeError, match="gallery changed"):
            one.kneighbors(9)
    np.testing.assert_array_equal(stale.moved_to(retriever).relevant_, [0, 1])


def test_values_come_back():
    value = {"a": [1, (2.0, None)], "dtype": np.dtype("<f4")}
    assert decoded(encoded(value)) == value
    state = HierarchicalRetriever().fit(X, Y).__getstate__()
    assert state["state_version"] == 1

    def plain(item):
        if isinstance(item, dict):
            return all(map(plain, item.values()))
        if isinstance(item, (list, tuple)):
            return all(map(plain, item))
        module = type(item).__module__.partition(".")[0]
        return module in ("builtins", "numpy") or type(item).__name__ in sklearn_hierret.__all__

    assert plain(state)


def test_copies_share_what_is_fitted():
    retriever = HierarchicalRetriever().fit(X, Y)
    other = copy.copy(retriever)
    assert other.searcher().gallery is retriever.searcher().gallery
    other.remove_from_gallery([0])
    assert (other.n_samples_fit_, retriever.n_samples_fit_) == (149, 150)


def test_files_of_02_say_how_to_convert_them():
    with np.load(Path(__file__).parent / "files" / "saved_by_0.2.npz") as files:
        assert len(files.files) == 6
        for name in files.files:
            with pytest.raises(pickle.UnpicklingError, match=r"saved by sklearn_hierret 0\.2 or older"):
                pickle.load(io.BytesIO(files[name].tobytes()))


def test_a_newer_state_is_refused_and_an_unfitted_one_is_none():
    state = HierarchicalRetriever().fit(X, Y).__getstate__() | {"state_version": 99}
    with pytest.raises(pickle.UnpicklingError, match="newer version"):
        HierarchicalRetriever().__setstate__(state)
    assert pickle.loads(pickle.dumps(HierarchicalRetriever(alpha=3))).alpha == 3


def test_lazy_attributes_that_cannot_be_computed_are_missing():
    model = DiscriminantClassifier().partial_fit(X[:9], Y[:9])  # one class
    assert not hasattr(model, "means_")
    with pytest.raises(AttributeError, match="one class so far"):
        _ = model.means_
    with pytest.raises(AttributeError, match="no attribute 'meens_'"):
        _ = model.meens_
    assert not hasattr(HierarchyBuilder(), "hierarchy_")
    assert not hasattr(HierarchyBuilder().partial_fit(X[:9], Y[:9]), "levels_")
