"""What happens after each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from skorch.callbacks import Callback

from sklearn_hierret.metrics import map_at_k
from sklearn_hierret.nn._data import labels_of


class RetrievalScoring(Callback):
    """mAP@k of the validation images among themselves by cosine, as ``valid_map`` in the history.

    Parameters
    ----------
    k : int, default=20
        At most all other validation images.
    """

    def __init__(self, k: int = 20) -> None:
        self.k = k

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Record the score, and whether it is the best so far."""
        if dataset_valid is None:
            return
        codes = net.class_codes(labels_of(dataset_valid))
        k = min(self.k, len(codes) - 1)
        search = NearestNeighbors(metric="cosine", algorithm="brute").fit(net.features_of(dataset_valid))
        ranked = codes[search.kneighbors(n_neighbors=k, return_distance=False)]
        counts = np.bincount(codes)[codes] - 1
        score = map_at_k(codes, ranked, n_relevant=counts, empty="zero")
        best = max((row.get("valid_map", -1.0) for row in net.history[:-1]), default=-1.0)
        net.history.record("valid_map", score)
        net.history.record("valid_map_best", bool(score > best))


def code_accuracy(net: Any, X: Any, y: ArrayLike) -> float:
    """Share of the samples whose class is right; `y` are codes, since skorch sees no labels."""
    return float(np.mean(net.predict_proba(X).argmax(axis=1) == net.class_codes(np.asarray(y))))
