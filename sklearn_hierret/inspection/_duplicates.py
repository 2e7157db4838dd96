"""Images that are there twice."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sklearn_hierret._arrays import check_same_kind, row_chunks, unit_rows
from sklearn_hierret._frames import tabular
from sklearn_hierret._sklearn import Interval, validate_params
from sklearn_hierret.inspection._evidence import retriever_in
from sklearn_hierret.inspection._pairs import nearest_of_all
from sklearn_hierret.retrieval import Gallery, checked_samples

#: The neighbour that tells how close things lie around a row.
N_SCALE = 10
#: Rows at most so far apart, in cosine distance, are equal up to rounding.
ROUNDING = 1e-6


@tabular
@validate_params({"threshold": [Interval(Real, 0, 1, closed="both")]}, prefer_skip_nested_validation=True)
def near_duplicates(
    estimator: Any,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    ids: ArrayLike | None = None,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """Find groups of samples that are copies of one another, exact ones or changed ones.

    Two samples are near copies if their visual distance is at most `threshold` times what separates them
    from their surroundings: the geometric mean of the distances to the tenth nearest neighbour of each. So
    dense classes need closer copies than sparse ones. Copies of copies share a group.

    Parameters
    ----------
    estimator : fitted retriever of features, or Pipeline or search that ends with one
        Its gallery is searched for copies.
    X : array-like of shape (n_samples, n_features), optional
        A second set, such as a test set, whose samples are compared with each other and with the gallery.
    y : array-like of shape (n_samples,), optional
        Labels of these samples.
    ids : array-like of shape (n_samples,), optional
        Their names; default: running numbers.
    threshold : float in [0, 1], default=0.5
        Larger values find stronger changes, and more pairs that only look alike. 0 finds exact copies.

    Returns
    -------
    table : DataFrame
        One row for each sample that has a copy, group by group, the closest first: group, part
        ("gallery" or "X"), id, label (missing without labels), kind ("exact" or "near", of the sample and its
        nearest copy), nearest_id, distance (the visual one to it), relative_distance (in units of the
        surroundings), across_classes and across_parts (whether the group has several labels, and samples of
        both sets).

    Raises
    ------
    TypeError
        For a retriever of codes.

    Notes
    -----
    Up to 30,000 samples all pairs are compared; above, those in the five cells of k-means around each
    sample. Memory is that of the rows, 120 bytes for each, and a block of similarities.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.inspection import near_duplicates
    >>> X, y = load_digits(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X[:1000], y[:1000])
    >>> leaks = near_duplicates(retriever, X[[5, 1500]], y[[5, 1500]], threshold=0)
    >>> leaks[["part", "id", "kind", "across_parts"]]
          part  id   kind  across_parts
    0  gallery   5  exact          True
    1        X   0  exact          True
    """
    retriever, X = retriever_in(estimator, X)
    gallery = retriever.searcher().gallery
    if gallery.metric is None:
        raise TypeError("Copies are told by features; this retriever compares codes.")
    if X is None and (y is not None or ids is not None):
        raise ValueError("y and ids are those of X, which is missing; the gallery has its own.")
    if X is None:
        return duplicates_of(gallery, gallery.labels, threshold)
    second = gallery.as_queries(checked_samples(retriever, X))
    if y is not None and gallery.labels is not None:
        check_same_kind(np.asarray(y), gallery.labels, "y", "the gallery's labels")
    return duplicates_of(gallery, gallery.labels, threshold, second, y, ids)


def duplicates_of(
    gallery: Gallery,
    labels: ArrayLike | None,
    threshold: float = 0.5,
    second: NDArray | None = None,
    y: ArrayLike | None = None,
    ids: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return what `near_duplicates` does, with labels of the gallery, and a second set's compared rows."""
    rows, n_second = _unit_rows(gallery, second), 0 if second is None else len(second)
    names = np.concatenate([gallery.ids.astype(object), _names(ids, n_second)])
    both = np.concatenate([_labels(labels, len(gallery)), _labels(y, n_second)])
    is_second = np.arange(len(rows)) >= len(gallery)
    if len(rows) < 2:
        return _table(np.empty((0, 2), dtype=np.intp), np.empty(0), np.empty(0), names, both, is_second)
    return _table(*copies(rows, threshold), names, both, is_second)


def copies(rows: NDArray, threshold: float) -> tuple[NDArray[np.intp], NDArray, NDArray]:
    """Find pairs of near copies among unit rows: the pairs, their distances, and these in relative units."""
    k = min(N_SCALE, len(rows) - 1)
    distances, indices = nearest_of_all(rows, k)
    # Where a row has more copies than neighbours that were asked for, its surroundings seem too close.
    scale = np.where(np.isfinite(distances), distances, 0).max(axis=1)
    scale = np.maximum(scale, np.median(scale) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = distances / np.sqrt(scale[:, None] * scale[indices])
    is_copy = (indices >= 0) & ((distances <= ROUNDING) | (relative <= threshold))
    relative[is_copy & (distances <= ROUNDING)] = 0
    row, place = np.nonzero(is_copy)
    return np.stack([row, indices[row, place]], axis=1), distances[row, place], relative[row, place]


def _table(
    pairs: NDArray[np.intp],
    distances: NDArray,
    relative: NDArray,
    names: NDArray,
    labels: NDArray,
    is_second: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return a row for each sample of a pair, with its nearest copy."""
    n = len(names)
    both_ways = np.concatenate([pairs, pairs[:, ::-1]])
    table = pd.DataFrame(
        {
            "row": both_ways[:, 0],
            "other": both_ways[:, 1],
            "distance": np.tile(distances, 2),
            "relative_distance": np.tile(relative, 2),
        }
    )
    table = table.sort_values(["row", "relative_distance", "other"], kind="stable").drop_duplicates("row")
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    row, other = table["row"].to_numpy(dtype=np.intp), table["other"].to_numpy(dtype=np.intp)
    table["component"] = connected_components(graph, directed=False)[1][row]
    closest = table.groupby("component")["relative_distance"].transform("min")
    table = table.assign(closest=closest).sort_values(["closest", "component", "row"], kind="stable")
    row, other = table["row"].to_numpy(dtype=np.intp), table["other"].to_numpy(dtype=np.intp)
    result = pd.DataFrame(
        {
            "group": pd.factorize(table["component"])[0],
            "part": np.where(is_second[row], "X", "gallery"),
            "id": pd.Series(names[row]).infer_objects(),
            "label": pd.Series(labels[row]).infer_objects(),
            "kind": np.where(table["distance"] <= ROUNDING, "exact", "near"),
            "nearest_id": pd.Series(names[other]).infer_objects(),
            "distance": table["distance"].to_numpy(dtype=np.float64),
            "relative_distance": table["relative_distance"].to_numpy(dtype=np.float64),
        }
    )
    groups = result.groupby("group")
    result["across_classes"] = groups["label"].transform("nunique") > 1
    result["across_parts"] = groups["part"].transform("nunique") > 1
    return result


def _unit_rows(gallery: Gallery, second: NDArray | None) -> NDArray:
    """Put the compared rows of a gallery and of a second set below each other; no other copy is made."""
    n, first = len(gallery), gallery.queries(np.arange(min(1, len(gallery))))
    n_second, dtype = (0, first.dtype) if second is None else (len(second), np.result_type(first, second))
    rows = np.empty((n + n_second, first.shape[1]), dtype=dtype)
    for part in row_chunks(n, 16 * first.shape[1]):
        rows[part] = unit_rows(gallery.queries(part))[0]
    if second is not None:
        rows[n:] = unit_rows(second)[0]
    return rows


def _labels(y: ArrayLike | None, n_samples: int) -> NDArray:
    labels = np.full(n_samples, None, dtype=object)
    if y is not None:
        check_consistent_length(labels, y)
        labels[:] = column_or_1d(y).tolist()
    return labels


def _names(ids: ArrayLike | None, n_samples: int) -> NDArray:
    names = np.empty(n_samples, dtype=object)
    names[:] = np.arange(n_samples).tolist() if ids is None else column_or_1d(ids).tolist()
    return names
