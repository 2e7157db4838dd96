"""Samples whose class may be new."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_hierret._frames import tabular
from sklearn_hierret.inspection._evidence import retriever_in
from sklearn_hierret.retrieval import checked_samples


@tabular
def novel_items(estimator: Any, X: ArrayLike | None = None, *, ids: ArrayLike | None = None) -> pd.DataFrame:
    """Rank samples by how likely their class was not there at fit, with the cluster that each belongs to.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline or search that ends with one
        It stays as it is.
    X : array-like of shape (n_samples, n_features), optional
        The samples to look at; they are searched for clusters of new classes. Default: the gallery, with the
        clusters that it has (`discovered_`).
    ids : array-like of shape (n_samples,), optional
        Names of the samples of X; default: running numbers.

    Returns
    -------
    table : DataFrame
        One row for each sample, the newest first: id, known_probability (that its class was there at
        fit), leaf (the most probable class, or the name of a provisional leaf), is_provisional, leaf_size
        (samples of a provisional leaf, else missing), is_central (whether the sample is one of the central
        ones of its provisional leaf).

    Raises
    ------
    ValueError
        If the class model does not say how well samples are known, or ids come without X.

    See Also
    --------
    HierarchicalRetriever.discover : Name provisional leaves, merge or drop them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.inspection import novel_items
    >>> X, y = load_digits(return_X_y=True)
    >>> is_known = y < 8
    >>> table = novel_items(HierarchicalRetriever().fit(X[is_known], y[is_known]), X)
    >>> bool((y[table.id[:200]] >= 8).mean() > 0.9)
    True
    """
    retriever, X = retriever_in(estimator, X)
    if X is None and ids is not None:
        raise ValueError("ids are those of X, which is missing; the gallery has its own.")
    if X is not None:
        rows = checked_samples(retriever, X)
        retriever = retriever.with_gallery(rows, None, ids, new_classes="discover")
    searcher = retriever.searcher()
    leaves = searcher.leaves
    if not leaves.model.model.tells_known:
        name = type(leaves.model.classifier).__name__
        raise ValueError(
            f"{name} does not say how well a sample is known: use DiscriminantClassifier, the default "
            "class model."
        )
    known = leaves.known(None)
    if known is None:
        raise ValueError("novelty=False states that all classes are known: set_params(novelty='auto').")
    names = leaves.labels_of(leaves.asked(None)[0])
    table = pd.DataFrame({"id": searcher.gallery.ids, "known_probability": known, "leaf": names})
    provisional = getattr(retriever, "discovered_", None)
    table["is_provisional"], table["leaf_size"], table["is_central"] = False, np.nan, False
    if provisional is not None and len(provisional):
        sizes = dict(zip(provisional["leaf"], provisional["size"], strict=True))
        central = {item for items in provisional["central_ids"] for item in items}
        table["is_provisional"] = table["leaf"].isin(sizes)
        table["leaf_size"] = table["leaf"].map(sizes).astype(float)
        table["is_central"] = table["id"].isin(central) & table["is_provisional"]
    return table.sort_values("known_probability", kind="stable", ignore_index=True)
