"""Feedback about the node of the hierarchy that is meant."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_hierret.interaction._method import Marks, Ranking, check_weights
from sklearn_hierret.interaction._rocchio import Rocchio

#: So many marks give half of the largest weight.
HALF_WEIGHT = 30


@dataclass(frozen=True)
class NodePosterior:
    """Infer which node of the hierarchy explains the marks, and rank by the expected distance to it.

    ``D = cosine distance to the moved query + alpha * E[distance to the node] + weight * relative distance``,
    where the expectation is over the posterior of the nodes given queries and marks, after PicHunter [1]_;
    see `Rocchio` for the moved query. A class below the node that is meant is at distance 0, whatever its own
    leaf. The relative distance is ``d+ / (d+ + d-)``, of the nearest relevant and the nearest irrelevant
    item [2]_; it corrects what the leaves of items get wrong, and its weight grows with the number of marks n
    as ``mark_weight * n / (n + 30)``. Where no node explains the marks, the distance is that of
    the query's own leaf.

    Parameters
    ----------
    mark_weight : float, default=16.0
    least_alpha : float, default=8.0
        The weight is the retriever's, and this at least: marks make the node surer than one query can. A
        retriever with alpha 0 stays without leaves.
    beta, gamma : float, default=0.75, 0.25
        See `Rocchio`.

    References
    ----------
    .. [1] I. J. Cox, M. L. Miller, T. P. Minka, T. V. Papathomas, P. N. Yianilos, "The Bayesian Image
       Retrieval System, PicHunter", IEEE Transactions on Image Processing 9(1), 2000.
    .. [2] G. Giacinto, "A Nearest-Neighbor Approach to Relevance Feedback in Content Based Image
       Retrieval", CIVR 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import NodePosterior, RetrievalSession
    >>> X, y = load_iris(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X, y)
    >>> session = RetrievalSession(retriever, X[60:61], method=NodePosterior())
    >>> session.mark(relevant=[70, 120, 130], irrelevant=[0]).nodes()["node"][0]
    'level 1, cluster of 1'
    """

    mark_weight: float = 16.0
    least_alpha: float = 8.0
    beta: float = 0.75
    gamma: float = 0.25

    def __post_init__(self) -> None:
        check_weights(self)

    def ranking(self, marks: Marks) -> Ranking:
        """Search near the node that is meant.

        Parameters
        ----------
        marks : Marks
            What a user has said so far.

        Returns
        -------
        ranking : Ranking
            What to search for.
        """
        n_marks = len(marks.is_relevant)
        weight = self.mark_weight * n_marks / (n_marks + HALF_WEIGHT)
        moved = Rocchio(self.beta, self.gamma).moved(marks)
        return Ranking(moved, marks.belief, self.least_alpha, weight)
