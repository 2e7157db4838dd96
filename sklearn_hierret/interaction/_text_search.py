"""Search by words: names of classes and nodes, or free text."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret._frames import tabular
from sklearn_hierret.building import encoded_names
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy, shorten
from sklearn_hierret.interaction._method import check_retriever
from sklearn_hierret.leaves import soft_leaves
from sklearn_hierret.retrieval import Result, Searcher, checked_samples, discovered_labels, table_of

#: A class whose name is one standard deviation more similar to a text is e ** SHARPNESS times as probable;
#: with 2 or more, descriptions ruin the searches of images (docs/interaction.md).
SHARPNESS = 1.0
#: What a class keeps of the probabilities of an image that rule it out.
LEAST = 1e-9


class TextSearch:
    """Search a gallery by words, alone or beside an image: "like this, but in fresh water".

    Words become probabilities of classes. Alone they rank by the expected hierarchical distance, and then by
    position; beside images they multiply the probabilities that the class model gives these, and the visual
    distance counts as always. They say nothing about classes that a gallery's clusters brought, unless these
    are named.

    Parameters
    ----------
    retriever : fitted HierarchicalRetriever, or Pipeline that ends with one
        With one `ClassHierarchy`.
    encoder : callable or object with a method ``encode``, default=None
        Gives vectors for a list of strings, as that of `TextHierarchyBuilder`. None: words must be names.
    names : mapping from class labels and names of nodes to strings, default=None
        What is encoded, where it is not the label or the name itself, with underscores and hyphens as spaces.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import ClassHierarchy, HierarchicalRetriever
    >>> from sklearn_hierret.interaction import TextSearch
    >>> X, y = load_iris(return_X_y=True)
    >>> tree = ClassHierarchy.from_newick("(setosa,(versicolor,virginica)tall)iris;")
    >>> names = load_iris().target_names
    >>> search = TextSearch(HierarchicalRetriever(tree, alpha=1).fit(X, names[y]))
    >>> search.class_probabilities("tall").tolist()
    [0.0, 0.5, 0.5]
    >>> search.retrieve("tall", n_neighbors=2)["label"].tolist()
    ['versicolor', 'versicolor']
    """

    def __init__(
        self,
        retriever: Any,
        encoder: Callable[[list[str]], ArrayLike] | Any = None,
        names: Mapping | None = None,
    ) -> None:
        self.estimator = retriever
        retriever = retriever_of(retriever)[0]
        check_retriever(retriever)
        if not isinstance(retriever.hierarchy_, ClassHierarchy):
            raise ValueError("Words need one tree, and the retriever has a CombinedHierarchy.")
        self.retriever = retriever
        self.encoder = encoder
        tree = self._tree = retriever.searcher().leaves.tree
        assert tree is not None
        labels = [*tree.classes.tolist(), *tree.node_names[tree.n_classes :]]
        self._nodes: dict[Any, list[int]] = {}
        for node, label in enumerate(labels):
            self._nodes.setdefault(label, []).append(node)
        found = discovered_labels(retriever.searcher())
        self._is_found = np.array([label in found for label in tree.classes.tolist()])
        if encoder is not None:
            titles = tree.node_titles(names)
            given = {} if names is None else dict(names)
            #: Nodes that somebody named; the root is about everything.
            self._named = np.array(
                [
                    node != tree.root
                    and label not in found
                    and (node < tree.n_classes or label in given or titles[node] == label)
                    for node, label in enumerate(labels)
                ]
            )
            texts = [re.sub("[_-]", " ", titles[node]) for node in np.flatnonzero(self._named)]
            self._vectors = unit_rows(encoded_names(encoder, texts))[0]

    def class_probabilities(self, words: Any) -> NDArray[np.float64]:
        """Turn words into probabilities of the hierarchy's classes.

        Parameters
        ----------
        words : str, sequence of names, or mapping from names to weights
            Names of classes and inner nodes: each shares its weight among the classes below it. A single text
            that is no name is encoded: a class is as similar to it as the most similar name of the class and
            the nodes above it, the root aside, and a discovered class as similar as classes are on average.

        Returns
        -------
        probabilities : ndarray of shape (n_classes,)
            In the order of the ``classes`` of the retriever's hierarchy, those that a gallery's labels have
            taught behind them.

        Raises
        ------
        ValueError
            For text that is no name where there is no encoder, for names of several nodes, for no words, and
            for weights that are not positive.
        """
        if self.retriever.searcher().leaves.tree != self._tree:
            raise RuntimeError("The retriever's tree has changed: make the TextSearch again.")
        weights = self._weights(words)
        if weights is None:
            return self._of_text(str(words))
        proba = np.zeros(self._tree.n_classes)
        for node, weight in weights.items():
            below = self._tree.index(self._tree.members(node))
            proba[below] += weight / len(below)
        return proba / proba.sum()

    def kneighbors(
        self,
        words: Any,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
    ) -> Any:
        """Find the gallery samples that words, and images, are about.

        Parameters
        ----------
        words : str, sequence of names, or mapping from names to weights
            See `class_probabilities`.
        X : array-like of shape (n_queries, n_features), optional
            Query images, each with the same words. Default: words alone, which are one query.
        n_neighbors, return_distance, within, where
            See `HierarchicalRetriever.kneighbors`.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            As `HierarchicalRetriever.kneighbors` returns them; of words alone the expected hierarchical
            distance.
        """
        searcher, result = self._found(words, X, n_neighbors, within, where)
        if not return_distance:
            return result.indices
        return searcher.rounded(result.distances), result.indices

    @tabular
    def retrieve(
        self,
        words: Any,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        columns: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return what words, and images, are about as a table.

        Parameters
        ----------
        words, X, n_neighbors, within, where
            See `kneighbors`.
        columns : sequence of str, optional
            Columns of the gallery's metadata to return as well.

        Returns
        -------
        table : DataFrame
            See `HierarchicalRetriever.retrieve`; for words alone without a visual distance.
        """
        searcher, result = self._found(words, X, n_neighbors, within, where)
        table = table_of(searcher, result, 0, searcher.gallery.columns(columns or ()))
        return table if X is not None else table.drop(columns="visual_distance")

    def _found(
        self, words: Any, X: Any, n_neighbors: int | None, within: Any, where: str | None
    ) -> tuple[Searcher, Result]:
        searcher, proba = self.retriever.searcher(), self.class_probabilities(words)
        if not len(searcher.gallery):
            raise ValueError("The gallery is empty.")
        if X is not None and searcher.leaves.weight() == 0:
            raise ValueError("With alpha=0 words count for nothing beside images: set a larger alpha.")
        how: dict[str, Any] = {"within": within, "where": where}
        if X is None:
            n_features = searcher.gallery.features_at(np.arange(1)).shape[1]
            rows = np.zeros((1, n_features), dtype=searcher.gallery.dtype)
            n_visual = searcher.gallery.queries(np.arange(1)).shape[1]
            leaves = _leaves_of(proba[None])
            nothing = np.zeros((1, n_visual), dtype=searcher.gallery.queries(np.arange(1)).dtype)
            return searcher, searcher.neighbors(
                rows,
                n_neighbors,
                leaves=leaves,
                alpha=np.inf,
                visual=nothing,
                with_leaves=True,
                has_copies=False,
                **how,
            )
        X = retriever_of(self.estimator, X)[1]
        X = checked_samples(self.retriever, X, searcher)
        both = np.concatenate(
            [
                self._together(searcher.leaves.class_probabilities(X[rows])[0], proba)
                for rows in row_chunks(len(X), 32 * len(proba))
            ]
        )
        leaves = _leaves_of(both)
        return searcher, searcher.neighbors(X, n_neighbors, leaves=leaves, with_leaves=True, **how)

    def _together(self, of_images: NDArray, of_words: NDArray) -> NDArray[np.float64]:
        """Multiply probabilities of classes; words say nothing about those that were discovered."""
        is_known = ~self._is_found
        if not of_words[is_known].any():  # somebody named discovered classes
            is_known = np.ones_like(is_known)
        both = (of_images + LEAST) * of_words
        share = of_images[:, is_known].sum(axis=1) / both[:, is_known].sum(axis=1)
        return np.where(is_known, both * share[:, None], of_images)

    def _weights(self, words: Any) -> dict[int, float] | None:
        """Return the weights of nodes that are named; None for a text that is to be encoded."""
        if isinstance(words, str) and words not in self._nodes:
            if self.encoder is None or not words.strip():
                raise ValueError(
                    f"{words!r} is the name of no class and no node: {shorten(list(self._nodes))}. An "
                    "encoder reads other text."
                )
            return None
        if isinstance(words, Mapping):
            pairs = list(words.items())
        else:
            kinds = (Sequence, np.ndarray, set, frozenset, pd.Series, pd.Index)
            several = isinstance(words, kinds) and not isinstance(words, str)
            pairs = [(name, 1.0) for name in (words if several else [words])]
        weights: dict[int, float] = {}
        for name, weight in pairs:
            nodes = self._nodes.get(name, []) if isinstance(name, Hashable) else []
            nodes = [
                node for node in nodes if node < self._tree.n_classes
            ] or nodes  # classes first, as `within`
            if len(nodes) != 1:
                what = "no class and no node" if not nodes else "several nodes"
                raise ValueError(f"{name!r} is the name of {what} of the hierarchy.")
            if not isinstance(weight, Real) or not 0 < float(weight) < np.inf:
                raise ValueError(f"Weights of words must be positive, got {weight!r} for {name!r}.")
            weights[nodes[0]] = weights.get(nodes[0], 0.0) + float(weight)
        if not weights:
            raise ValueError("There are no words.")
        largest = max(weights.values())
        return {node: weight / largest for node, weight in weights.items()}

    def _of_text(self, text: str) -> NDArray[np.float64]:
        """Compare a text with what nodes are called."""
        tree = self._tree
        best = np.full(tree.n_nodes, -np.inf)
        best[self._named] = self._vectors @ unit_rows(encoded_names(self.encoder, [text]))[0][0]
        for node in range(tree.root - 1, -1, -1):  # parents have larger numbers
            best[node] = max(best[node], best[tree.parents[node]])
        of_classes = best[: tree.n_classes]
        is_open = np.isinf(of_classes)
        of_classes[is_open] = of_classes[~is_open].mean()
        spread = of_classes.std()
        if not spread:
            return np.full(len(of_classes), 1 / len(of_classes))
        proba = np.exp(SHARPNESS * (of_classes - of_classes.max()) / spread)
        return proba / proba.sum()


def _leaves_of(proba: NDArray[np.float64]) -> NDArray:
    """Make leaves of whole rows of probabilities, the most probable class first."""
    order = np.argsort(-proba, axis=1, kind="stable")
    width = max(1, int((proba > 0).sum(axis=1).max()))
    order = order[:, :width]
    return soft_leaves(order, np.take_along_axis(proba, order, axis=1), np.dtype(np.float64))
