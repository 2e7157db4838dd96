"""What the results of a query divide into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._frames import tabular
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.interaction._method import check_retriever
from sklearn_hierret.leaves import likeliest
from sklearn_hierret.retrieval import checked_queries


@tabular
def facets(
    estimator: Any,
    X: ArrayLike,
    n_neighbors: int = 100,
    *,
    n_facets: int = 6,
    n_examples: int = 6,
) -> pd.DataFrame:
    """Group the results of each query by the nodes of the hierarchy that split them best.

    From the lowest node that holds all results, the node with the most results is replaced by its
    children, until there are `n_facets` nodes with results, or only classes are left [1]_.

    Parameters
    ----------
    estimator : fitted retriever, or Pipeline that ends with one
        With one tree, no `CombinedHierarchy`.
    X : array-like of shape (n_queries, n_features)
    n_neighbors : int, default=100
        Results of each query that are grouped.
    n_facets : int, default=6
        At most so many groups for a query.
    n_examples : int, default=6
        Results that are listed of each group, the nearest first.

    Returns
    -------
    table : DataFrame
        A row for each query and group, the group of the nearest result first: query, node (its name),
        title (see `ClassHierarchy.node_titles`), n_results, share (of the results), query_probability (of
        the query's classes, those below the node), distance (of the nearest result), first_rank, and
        positions (an array: the examples' positions in the gallery). ``kneighbors(X, within=[name])`` goes on
        in a group.

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Automatic Query Image Disambiguation for Content-Based Image Retrieval",
       VISAPP 2018, groups results by their features instead.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import facets
    >>> X, y = load_digits(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X[:900], y[:900])
    >>> table = facets(retriever, X[900:901], 100, n_facets=4)
    >>> table[["query", "n_results"]].sum()["n_results"].item()
    100
    """
    check_positive_integer(n_facets, "n_facets")
    check_positive_integer(n_examples, "n_examples")
    retriever, X = retriever_of(estimator, X)
    check_retriever(retriever, with_tree=True)
    searcher = retriever.searcher()
    queries = checked_queries(retriever, X, searcher)
    result, tree = searcher.neighbors(queries, n_neighbors, with_leaves=True), searcher.leaves.tree
    names, titles = tree.node_names, tree.node_titles()
    proba, known = searcher.leaves.class_probabilities(queries)
    of_query = known[:, None] * proba
    of_query = tree.node_probabilities(of_query)
    rows: list[dict] = []
    for query, (distances, positions) in enumerate(zip(result.distances, result.indices, strict=True)):
        leaves = likeliest(result.view.leaves(positions))
        counts = np.bincount(leaves, minlength=tree.n_classes).astype(float)
        nodes = splitting_nodes(tree, counts, n_facets)
        below = tree.is_below(tree.classes[leaves][:, None], nodes[None, :])
        for node, ranks in sorted(
            ((node, np.flatnonzero(column)) for node, column in zip(nodes, below.T, strict=True)),
            key=lambda pair: pair[1][0],
        ):
            rows.append(
                {
                    "query": query,
                    "node": names[node],
                    "title": titles[node],
                    "n_results": len(ranks),
                    "share": len(ranks) / len(positions),
                    "query_probability": of_query[query, node],
                    "distance": distances[ranks[0]],
                    "first_rank": ranks[0] + 1,
                    "positions": positions[ranks[:n_examples]],
                }
            )
    return pd.DataFrame(rows)


def splitting_nodes(tree: ClassHierarchy, counts: NDArray[np.float64], n_facets: int) -> NDArray[np.intp]:
    """Nodes, none below another, that hold all results, each some.

    Parameters
    ----------
    tree : ClassHierarchy
    counts : ndarray of shape (n_classes,)
        Results of each class.
    n_facets : int
    """
    held = tree.node_probabilities(counts[None])[0]
    children: list[list[int]] = [[] for _ in range(tree.n_nodes)]
    for node, above in enumerate(tree.parents[:-1].tolist()):
        if held[node]:
            children[above].append(node)
    nodes = [tree.root]
    while True:
        # The largest that can be divided without there being too many.
        for node in sorted(nodes, key=lambda node: (-held[node], node)):
            if children[node] and len(nodes) - 1 + len(children[node]) <= max(n_facets, 1):
                nodes.remove(node)
                nodes += children[node]
                break
        else:
            return np.array(sorted(nodes), dtype=np.intp)
