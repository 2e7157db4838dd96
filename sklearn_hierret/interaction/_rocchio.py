"""Feedback that moves the query."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray

from sklearn_hierret.interaction._method import Marks, Ranking, check_weights, unit


@dataclass(frozen=True)
class Rocchio:
    """Move the query towards relevant items and away from others [1]_.

    ``q' = q + beta mean(relevant) - gamma mean(irrelevant)``, from the first query and all marks.

    Parameters
    ----------
    beta : float, default=0.75
    gamma : float, default=0.25
    uses_leaves : bool, default=True
        Rank by the combined distance of the moved query, whose leaf is asked for again; False: by cosine.

    References
    ----------
    .. [1] J. J. Rocchio, "Relevance Feedback in Information Retrieval", in "The SMART Retrieval
       System", 1971.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import RetrievalSession, Rocchio
    >>> X, y = load_iris(return_X_y=True)
    >>> session = RetrievalSession(HierarchicalRetriever().fit(X, y), X[:1], method=Rocchio(gamma=0))
    >>> session.mark(relevant=[10], irrelevant=[100]).kneighbors(n_neighbors=3)[1].shape
    (1, 3)
    """

    beta: float = 0.75
    gamma: float = 0.25
    uses_leaves: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def ranking(self, marks: Marks) -> Ranking:
        """Search for the moved query.

        Parameters
        ----------
        marks : Marks
            What a user has said so far.

        Returns
        -------
        ranking : Ranking
            What to search for.
        """
        return Ranking(self.moved(marks), uses_leaves=self.uses_leaves)

    def moved(self, marks: Marks) -> NDArray:
        """Return the moved query, of length one.

        Parameters
        ----------
        marks : Marks
            What a user has said so far.

        Returns
        -------
        query : ndarray of shape (n_features,)
            Of unit length.
        """
        first = unit(marks.queries.mean(axis=0), marks.queries[0])
        query = first.copy()
        for weight, chosen in ((self.beta, marks.is_relevant), (-self.gamma, ~marks.is_relevant)):
            if chosen.any():
                query += weight * marks.items[chosen].mean(axis=0)
        return unit(query, first)
