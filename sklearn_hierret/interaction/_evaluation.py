"""Simulated users: how well a retriever follows marks, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._frames import tabular
from sklearn_hierret._sklearn import safe_indexing
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.interaction._linear import LinearFeedback
from sklearn_hierret.interaction._method import FeedbackMethod, check_retriever
from sklearn_hierret.interaction._node_posterior import NodePosterior
from sklearn_hierret.interaction._rocchio import Rocchio
from sklearn_hierret.interaction._session import RetrievalSession
from sklearn_hierret.metrics import average_precision_at_k, labels_of_queries
from sklearn_hierret.statistics import seed_of

#: Depths of precision, and of mAP and AHP.
N_PRECISION, N_RANKED = 10, 100


@tabular
def evaluate_interaction(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    hierarchy: ClassHierarchy,
    *,
    methods: Mapping[str, FeedbackMethod] | None = None,
    rounds: int = 5,
    marks: int = 10,
    objective: str | int = "random",
    error_rate: float = 0.0,
    n_queries: int | None = None,
    per_query: bool = False,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Score relevance feedback by simulated users, as a protocol that others can repeat.

    A random half of the samples is shown to users, the other half is scored, so that the same items are
    scored in every round and no method gains by what was marked. For each query an objective is drawn: a
    node of the true hierarchy on the path from the query's class to below the root. In each round a method
    shows its first `marks` items of the shown half that were not shown before, never the query itself; the
    user marks those below the objective as relevant and all others as irrelevant; then the scored half is
    ranked. Round 0 is the ranking before any mark. Leaves of the items are predicted. A user is wrong about
    an item with probability `error_rate`, about the same items whatever the method.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline that ends with one
        Its gallery is replaced in a copy.
    X : array-like of shape (n_samples, n_features)
        Queries and items, none of which was seen at fit.
    y : array-like of shape (n_samples,)
        True classes.
    hierarchy : ClassHierarchy
        The truth, not one that was learned from these features.
    methods : mapping from str to method of feedback, default=None
        None: "node posterior", "Rocchio", "Rocchio, cosine" and "linear".
    rounds : int, default=5
    marks : int, default=10
        Items that a round shows.
    objective : {"random", "leaf", "node"} or int, default="random"
        "leaf": the query's class; "node": an inner node of its path below the root, or the class if there
        is none; "random": either, all as likely; a number: so many edges above the class.
    error_rate : float in [0, 0.5], default=0.0
    n_queries : int, optional
        Random samples that are queries; default: all.
    per_query : bool, default=False
        A row for each query.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    table : DataFrame
        Columns method, round, level (edges between the class and the objective), n_queries, precision (of
        the first 10), map (mAP@100) and ahp (AHP@100, where an item is as relevant as its class is near the
        objective: 1 below it, else 1 less the relative height of the lowest node above both). With
        `per_query` query and objective (a node of `hierarchy`) instead of n_queries.

    Raises
    ------
    ValueError
        Among others, for an objective at or above the root.

    Examples
    --------
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.datasets import make_hierarchical_blobs
    >>> from sklearn_hierret.interaction import evaluate_interaction
    >>> X, y, tree = make_hierarchical_blobs(600, random_state=0)
    >>> retriever = HierarchicalRetriever(tree).fit(X[:300], y[:300])
    >>> table = evaluate_interaction(retriever, X[300:], y[300:], tree, rounds=1, n_queries=10)
    >>> sorted(table["round"].unique().tolist())
    [0, 1]
    """
    _check_arguments(rounds, marks, hierarchy, error_rate, n_queries, methods)
    seed = seed_of(random_state)
    if methods is None:
        methods = {
            "node posterior": NodePosterior(),
            "Rocchio": Rocchio(),
            "Rocchio, cosine": Rocchio(uses_leaves=False),
            "linear": LinearFeedback(),
        }
    retriever, X = retriever_of(estimator, X)
    check_retriever(retriever)
    y = labels_of_queries(X, y)
    codes = hierarchy.index(y)
    retriever = retriever.with_gallery(X, y, gallery_leaves="predicted")
    random = np.random.RandomState(seed)
    is_shown = random.random_sample(len(y)) < 0.5
    queries = random.permutation(len(y))[:n_queries]
    if min(is_shown.sum(), (~is_shown).sum()) <= max(rounds * marks, N_PRECISION) + 1:
        raise ValueError(
            f"{rounds} rounds of {marks} items need more samples: {len(y)} are divided into two halves."
        )
    records = []
    for query in queries.tolist():
        own = np.random.RandomState([seed, query])
        node = _objective(hierarchy, int(codes[query]), objective, own)
        user = _User(hierarchy, node, codes, query, is_shown, own.random_sample(len(y)) < error_rate)
        for name, method in methods.items():
            session = RetrievalSession(retriever, safe_indexing(X, [query]), method=method)
            for number in range(rounds + 1):
                if number:
                    shown = session.kneighbors(marks, False, within=user.is_shown)[0]
                    relevant = user.says(shown)
                    session.mark(shown[relevant], shown[~relevant])
                ranked = session.kneighbors(user.n_ranked, False, within=user.is_scored)[0]
                records.append((name, number, user.level, query, node, *user.scores(ranked)))
    table = pd.DataFrame(
        records, columns=["method", "round", "level", "query", "objective", "precision", "map", "ahp"]
    )
    if per_query:
        return table
    grouped = table.groupby(["method", "round", "level"], sort=False)
    means = grouped[["precision", "map", "ahp"]].mean()
    means.insert(0, "n_queries", grouped.size())
    return means.reset_index()


def _check_arguments(
    rounds: Any,
    marks: Any,
    hierarchy: Any,
    error_rate: Any,
    n_queries: Any,
    methods: Any,
) -> None:
    for value, name in ((rounds, "rounds"), (marks, "marks")):
        check_positive_integer(value, name)
    if not isinstance(hierarchy, ClassHierarchy):
        raise TypeError(f"hierarchy must be a ClassHierarchy, got {type(hierarchy).__name__}.")
    if not 0 <= error_rate <= 0.5:
        raise ValueError(f"error_rate must be between 0 and 0.5, got {error_rate!r}.")
    if n_queries is not None:
        check_positive_integer(n_queries, "n_queries")
    if methods is not None and (not isinstance(methods, Mapping) or not methods):
        raise TypeError(f"methods must be a mapping from names to methods of feedback, got {methods!r}.")


class _User:
    """What one user means, says, and would like to see."""

    def __init__(
        self,
        tree: ClassHierarchy,
        node: int,
        codes: NDArray[np.intp],
        query: int,
        is_shown: NDArray[np.bool_],
        is_wrong: NDArray[np.bool_],
    ) -> None:
        of_classes = relevance_to_node(tree, node)
        self.relevance = of_classes[codes]
        self.is_relevant = tree.is_below(tree.classes, np.full(tree.n_classes, node))[codes]
        self.level = int(tree.depths[codes[query]] - tree.depths[node])
        is_other = np.arange(len(codes)) != query
        self.is_shown, self.is_scored = is_shown & is_other, ~is_shown & is_other
        self._is_wrong = is_wrong
        self.n_ranked = min(N_RANKED, int(self.is_scored.sum()))
        self._n_relevant = int(self.is_relevant[self.is_scored].sum())
        self._best = np.sort(self.relevance[self.is_scored])[::-1][: self.n_ranked]

    def says(self, items: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Mark items."""
        return self.is_relevant[items] ^ self._is_wrong[items]

    def scores(self, ranked: NDArray[np.intp]) -> tuple[float, float, float]:
        """Precision, AP and AHP of a ranking; NaN where no scored item is relevant."""
        results = self.is_relevant[ranked]
        counts = [self._n_relevant]
        precision = results[:N_PRECISION].mean() if self._n_relevant else np.nan
        ap = average_precision_at_k([True], results[None], n_relevant=counts)[0]
        best = np.cumsum(self._best)
        hp = np.cumsum(self.relevance[ranked]) / best if best[0] > 0 else np.full(len(best), np.nan)
        return float(precision), float(ap), float(hp.mean())


def relevance_to_node(tree: ClassHierarchy, node: int) -> NDArray[np.float64]:
    """How near each class is to a node: 1 below it, else 1 less the relative height of their LCA."""
    relevance = np.full(tree.n_classes, -1.0)
    above = node
    while above != -1:
        is_new = tree.is_below(tree.classes, np.full(tree.n_classes, above)) & (relevance < 0)
        relevance[is_new] = 1.0 if above == node else 1.0 - tree.heights[above] / tree.height
        above = int(tree.parents[above])
    return relevance


def _objective(tree: ClassHierarchy, leaf: int, objective: str | int, random: Any) -> int:
    """Choose a node of the path from a class to below the root."""
    path = [leaf]
    while tree.parents[path[-1]] != tree.root:
        path.append(int(tree.parents[path[-1]]))
    if isinstance(objective, Integral) and not isinstance(objective, bool):
        if not 0 <= objective < len(path):
            raise ValueError(
                f"objective={objective} is at or above the root for class {tree.classes[leaf]!r}, whose path "
                f"has {len(path)} nodes below it."
            )
        return path[int(objective)]
    if objective == "leaf":
        return leaf
    if objective == "node":
        return path[random.randint(1, len(path))] if len(path) > 1 else leaf
    if objective == "random":
        return path[random.randint(len(path))]
    raise ValueError(f"objective must be 'random', 'leaf', 'node' or a number, got {objective!r}.")
