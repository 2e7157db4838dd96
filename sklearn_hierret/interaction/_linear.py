"""Feedback by a classifier of the marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_hierret.interaction._method import Marks, Ranking, check_weights, unit
from sklearn_hierret.interaction._rocchio import Rocchio


@dataclass(frozen=True)
class LinearFeedback:
    """Rank by a logistic regression that tells relevant from irrelevant items; queries are relevant.

    Before anything irrelevant is marked it ranks as `Rocchio` does by cosine.

    Parameters
    ----------
    C : float, default=10.0
        Of `sklearn.linear_model.LogisticRegression`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import LinearFeedback, RetrievalSession
    >>> X, y = load_iris(return_X_y=True)
    >>> session = RetrievalSession(HierarchicalRetriever().fit(X, y), X[:1], method=LinearFeedback())
    >>> session.mark(relevant=[10], irrelevant=[100]).kneighbors(n_neighbors=3)[1].shape
    (1, 3)
    """

    C: float = 10.0

    def __post_init__(self) -> None:
        check_weights(self)

    def ranking(self, marks: Marks) -> Ranking:
        """Search in the direction of the classifier's weights, which orders items as the classifier does.

        Parameters
        ----------
        marks : Marks
            What a user has said so far.

        Returns
        -------
        ranking : Ranking
            What to search for.
        """
        if marks.is_relevant.all():
            return Rocchio(uses_leaves=False).ranking(marks)
        rows = np.concatenate([marks.queries, marks.items])
        targets = np.concatenate([np.ones(len(marks.queries), dtype=bool), marks.is_relevant])
        model = LogisticRegression(C=self.C, class_weight="balanced").fit(rows, targets)
        return Ranking(unit(model.coef_[0], marks.queries[0]), uses_leaves=False)
