"""Tables of polars and pandas go in, and come out as the configuration of scikit-learn asks for."""

import numpy as np
import pandas as pd
import pytest
import sklearn

from sklearn_hierret import (
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    PCAHasher,
    evaluate_retrieval,
)
from sklearn_hierret._frames import as_frame, as_list, as_polars, rows_of_column
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.descriptors import RMAC, CroW
from sklearn_hierret.display import PrecisionCurveDisplay, ThresholdPathDisplay
from sklearn_hierret.interaction import RetrievalSession, evaluate_interaction, facets


@pytest.fixture(scope="module")
def fitted():
    X, y, tree = make_hierarchical_blobs(200, level_std=(2, 1), n_features=8, random_state=0)
    return HierarchicalRetriever(tree).fit(X, y), X, y, tree


def tables(retriever, X, y, tree):
    builder = HierarchyBuilder().fit(X, y)
    session = RetrievalSession(retriever, X[:1])
    session.mark([1, 2])
    return {
        "retrieve": lambda: retriever.retrieve(X[:3], 4, min_probability=0.8),
        "level_accuracy": lambda: retriever.level_accuracy(0.8),
        "discovered_": lambda: retriever.with_gallery(X).discover().discovered_,
        "session": lambda: session.retrieve(4),
        "nodes": session.nodes,
        "facets": lambda: facets(retriever, X[:2], 20),
        "evaluate_retrieval": lambda: evaluate_retrieval(retriever, X, y, [1, 5, None]),
        "evaluate_interaction": lambda: evaluate_interaction(retriever, X, y, tree, rounds=1, n_queries=5),
        "threshold_path": builder.threshold_path,
        "to_frame": tree.to_frame,
    }


def test_tables_are_of_polars_if_that_is_asked_for(fitted):
    polars = pytest.importorskip("polars", reason="needs polars")
    for name, make in tables(*fitted).items():
        plain = make()
        assert isinstance(plain, pd.DataFrame), name
        with sklearn.config_context(transform_output="polars"):
            table = make()
        assert isinstance(table, polars.DataFrame), name
        assert table.columns == [str(column) for column in plain.columns], name
        back = as_frame(table)
        for column in plain.columns:
            values = [None if np.all(pd.isna(value)) else value for value in plain[column].tolist()]
            values = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
            if {str, int} <= {type(value) for value in values}:
                values = [str(value) for value in values]  # polars has no columns of both
            found = [None if np.all(pd.isna(value)) else value for value in back[str(column)].tolist()]
            assert found == values, (name, column)
        with sklearn.config_context(transform_output="pandas"):
            pd.testing.assert_frame_equal(make(), plain)


def test_displays_take_tables_of_polars(fitted):
    pytest.importorskip("polars", reason="needs polars")
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    retriever, X, y, _ = fitted
    table = evaluate_retrieval(retriever, X, y, [1, 5])
    display = PrecisionCurveDisplay.from_tables({"ours": as_polars(table)})
    pd.testing.assert_frame_equal(display.tables["ours"], table, check_dtype=False)
    with sklearn.config_context(transform_output="polars"):
        ThresholdPathDisplay.from_estimator(HierarchyBuilder().fit(X, y))
        PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 5])


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_every_transformer_works_under_every_output(fitted, kind):
    pytest.importorskip(kind, reason="needs polars")
    _, X, y, _ = fitted
    maps = np.random.default_rng(0).random((20, 6, 5, 5)).astype(np.float32)
    for estimator, data in [
        (PCAHasher(8), X),
        (ITQHasher(8, random_state=0), X),
        (CroW(n_components=3), maps),
        (RMAC(n_components=3), maps),
    ]:
        expected = estimator.fit(data, y[: len(data)]).transform(data)
        with sklearn.config_context(transform_output=kind):
            found = estimator.fit(data, y[: len(data)]).transform(data)
        assert type(found).__module__.startswith(kind)
        np.testing.assert_array_equal(np.asarray(found), expected)


def test_one_way_in():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert as_frame(frame) is frame
    assert as_list(frame[["a"]]) == [1, 2]
    assert as_list([3]) == [3]
    with pytest.raises(TypeError, match="A DataFrame is expected, of pandas, polars or Arrow, got list"):
        as_frame([1])
    polars = pytest.importorskip("polars", reason="needs polars")
    for table in (
        polars.DataFrame({"a": [1, 2], "b": ["x", None]}),
        polars.LazyFrame({"a": [1, 2], "b": ["x", None]}),
    ):
        pd.testing.assert_frame_equal(as_frame(table), frame)
    assert as_list(polars.Series([1, 2])) == [1, 2]


def columns_of_vectors(X):
    """The same matrix as a column of several packages; those that are missing are left out."""
    frame = pd.DataFrame({"embedding": list(X)})
    yield frame["embedding"]
    yield frame[["embedding"]]
    yield pd.Series([row.tolist() for row in X])
    try:
        import polars
    except ImportError:
        pass
    else:
        yield polars.Series("embedding", X.tolist())
        yield polars.Series("embedding", X)
        yield polars.DataFrame({"embedding": list(X)})["embedding"]
    try:
        import pyarrow
    except ImportError:
        return
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), X.shape[1])
    yield fixed
    yield fixed[5:]
    yield pyarrow.chunked_array([fixed, fixed])
    yield pyarrow.array(X.tolist())


def test_columns_of_vectors_are_features(fitted):
    retriever, X, y, tree = fitted
    for column in columns_of_vectors(X):
        rows = rows_of_column(column)
        expected = {len(X): X, len(X) - 5: X[5:], 2 * len(X): np.concatenate([X, X])}[len(column)]
        np.testing.assert_array_equal(rows, expected)
        found = retriever.kneighbors(column, 3)
        np.testing.assert_array_equal(found[1], retriever.kneighbors(expected, 3)[1])
    frame = pd.DataFrame({"embedding": list(X), "label": y, "price": np.arange(len(X))})
    again = HierarchicalRetriever(tree).fit(frame["embedding"], frame["label"])
    np.testing.assert_array_equal(again.kneighbors(X[:9])[1], retriever.kneighbors(X[:9])[1])
    again.set_gallery(frame["embedding"][:50], frame["label"][:50], metadata=frame[["price"]][:50])
    assert (again.kneighbors(frame["embedding"][:5], 3, where="price < 9")[1] < 9).all()
    scores = [evaluate_retrieval(again, part, y, [5]) for part in (X, frame["embedding"])]
    pd.testing.assert_frame_equal(*scores)
    HierarchyBuilder().fit(frame["embedding"], y)


def test_columns_in_one_piece_are_not_copied(fitted):
    polars = pytest.importorskip("polars", reason="needs polars")
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    X = fitted[1]
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), X.shape[1])
    assert np.shares_memory(rows_of_column(fixed), fixed.flatten().to_numpy())
    arrays = polars.Series("embedding", X)
    assert np.shares_memory(rows_of_column(arrays), arrays.to_numpy())
    assert rows_of_column(arrays).dtype == X.dtype


def test_columns_that_are_no_vectors(fitted):
    retriever, X, y, _ = fitted
    with pytest.raises(ValueError, match="one length"):
        retriever.kneighbors(pd.Series([X[0], X[1][:3]]))
    for missing in (None, np.nan):
        with pytest.raises(ValueError, match="row 1 is missing"):
            retriever.kneighbors(pd.Series([X[0], missing]))
    with pytest.raises(ValueError, match="paths"):
        retriever.kneighbors(pd.Series(["a.png", "b.png"]))
    with pytest.raises(ValueError, match="paths"):
        retriever.kneighbors(np.array(["a.png"]))
    for column in (
        pd.Series(y),
        pd.Series(["a", "b"]),
        pd.DataFrame({"a": ["x"]}),
        [1, 2],
        pd.Series([], dtype=object),
    ):
        assert rows_of_column(column) is column
