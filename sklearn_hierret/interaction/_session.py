"""Search as a conversation: a need, marks, and the next results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer, unit_rows
from sklearn_hierret._frames import tabular
from sklearn_hierret._state import decoded, encoded
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.interaction._belief import NodeBelief
from sklearn_hierret.interaction._method import FeedbackMethod, Marks, Ranking, check_retriever
from sklearn_hierret.interaction._node_posterior import HALF_WEIGHT, NodePosterior
from sklearn_hierret.interaction._proposals import most_informative
from sklearn_hierret.interaction._rocchio import Rocchio
from sklearn_hierret.leaves import leaf_matrix
from sklearn_hierret.retrieval import (
    POWER_OF_LEAF,
    HierarchicalRetriever,
    Result,
    Searcher,
    checked_samples,
    table_of,
)

#: Of the best results, those that are looked at for what to show next, or ranked by single marks as well.
N_LOOKED_AT = 500
#: The belief that some node is meant starts at ``P(known) ** POWER``. Marks make up for a start that is too
#: low or too high, so the exponent may be smaller than that of a single search.
POWER = 2
#: How often marks are expected to be wrong.
ERROR_RATE = 0.05
#: Weight of leaves that stands for an infinite one.
MOST_ALPHA = 1e6
#: Neighbours of each relevant item that are ranked by single marks.
N_NEAR_MARKS = 100


class RetrievalSession:
    """One user's need, on a fitted retriever: query images, marks, and rankings that follow them.

    The retriever stays as it is, and sessions do not know of each other. A session can be pickled, with the
    retriever in it.

    Parameters
    ----------
    retriever : fitted HierarchicalRetriever, or Pipeline that ends with one
    X_query : array-like of shape (n_queries, n_features)
        Query images of one need, often one, as the first step of a pipeline takes them.
    method : NodePosterior, Rocchio or LinearFeedback, default=None
        What marks do; None means `NodePosterior`, or `Rocchio` where there is a `CombinedHierarchy`.
    error_rate : float in [1e-6, 0.5), default=0.05
        How often marks are expected to be wrong.

    Attributes
    ----------
    relevant_, irrelevant_ : ndarrays of int
        Positions in the gallery, in the order of the marks.

    Raises
    ------
    RuntimeError
        By every method, once the retriever's gallery has changed; see `moved_to`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import RetrievalSession
    >>> X, y = load_digits(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X[:900], y[:900])
    >>> session = RetrievalSession(retriever, X[900:901])
    >>> found = session.kneighbors(n_neighbors=5)[1][0]
    >>> marked = session.mark(relevant=found[:3], irrelevant=found[3:])
    >>> set(found) & set(session.kneighbors(n_neighbors=5)[1][0])
    set()
    """

    def __init__(
        self,
        retriever: HierarchicalRetriever,
        X_query: ArrayLike,
        *,
        method: FeedbackMethod | None = None,
        error_rate: float = ERROR_RATE,
    ) -> None:
        retriever, X_query = retriever_of(retriever, X_query)
        check_retriever(retriever)
        if not 1e-6 <= error_rate < 0.5:
            raise ValueError(f"error_rate must be from 1e-6 to below 0.5, got {error_rate!r}.")
        if isinstance(method, type) or (method is not None and not hasattr(method, "ranking")):
            raise TypeError(f"method must be NodePosterior() or another method of feedback, got {method!r}.")
        self.retriever: HierarchicalRetriever = retriever
        searcher = retriever.searcher()
        has_tree = searcher.leaves.tree is not None
        if isinstance(method, NodePosterior) and not has_tree:
            raise ValueError(
                "NodePosterior needs one tree: a retriever that has no CombinedHierarchy. Rocchio and "
                "LinearFeedback do without."
            )
        if method is None:
            method = NodePosterior() if has_tree else Rocchio()
        self.method = method
        self.error_rate = float(error_rate)
        self._gallery = searcher.gallery
        self._X = checked_samples(retriever, X_query, searcher)
        self._marked = np.empty(0, dtype=np.intp)
        self._is_relevant = np.empty(0, dtype=bool)
        self._near: dict[int, NDArray[np.intp]] = {}
        self._first_belief = self._belief = self._belief_of_queries(searcher)

    # -------------------------------------------------------------------------- marks

    @property
    def relevant_(self) -> NDArray[np.intp]:
        return self._marked[self._is_relevant]

    @property
    def irrelevant_(self) -> NDArray[np.intp]:
        return self._marked[~self._is_relevant]

    def mark(
        self, relevant: ArrayLike = (), irrelevant: ArrayLike = (), *, by: str = "position"
    ) -> RetrievalSession:
        """Say which items are what is meant, and which are not.

        Parameters
        ----------
        relevant, irrelevant : array-like
            Positions in the gallery, as `kneighbors` returns them, or ids.
        by : {"position", "id"}, default="position"

        Returns
        -------
        self : RetrievalSession

        Raises
        ------
        ValueError
            For items that are not there, or that are marked both ways or a second time; then nothing
            is marked.
        """
        if by not in ("position", "id"):
            raise ValueError(f"by must be 'position' or 'id', got {by!r}.")
        searcher = self._searcher()
        parts = [self._positions(items, by) for items in (relevant, irrelevant)]
        new = np.concatenate(parts)
        distinct, counts = np.unique(np.concatenate([self._marked, new]), return_counts=True)
        if np.any(counts > 1):
            twice = distinct[counts > 1][0]
            raise ValueError(f"The item at position {twice} is marked twice; unmark takes marks back.")
        self._marked = np.concatenate([self._marked, new])
        self._is_relevant = np.concatenate(
            [self._is_relevant, np.repeat([True, False], [len(p) for p in parts])]
        )
        if self._belief is not None and len(new):
            proba, known = _class_probabilities(searcher, new)
            self._belief = self._belief.marked(proba, self._is_relevant[-len(new) :], known)
        return self

    def unmark(self, items: ArrayLike, *, by: str = "position") -> RetrievalSession:
        """Take marks back.

        Parameters
        ----------
        items : array-like
            Marked ones.
        by : {"position", "id"}, default="position"

        Returns
        -------
        self : RetrievalSession
        """
        self._searcher()
        positions = self._positions(items, by)
        unknown = np.setdiff1d(positions, self._marked)
        if len(unknown):
            raise ValueError(f"The item at position {unknown[0]} is not marked.")
        kept = ~np.isin(self._marked, positions)
        marked, is_relevant = self._marked[kept], self._is_relevant[kept]
        self._marked, self._is_relevant, self._belief = marked[:0], is_relevant[:0], self._first_belief
        return self.mark(marked[is_relevant], marked[~is_relevant])

    # ---------------------------------------------------------------------- questions

    def kneighbors(
        self,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        show_marked: bool = False,
    ) -> Any:
        """Find the best items, given all marks.

        Parameters
        ----------
        n_neighbors : int, optional
            Default: the retriever's.
        return_distance : bool, default=True
        within, where
            See `HierarchicalRetriever.kneighbors`.
        show_marked : bool, default=False
            Also those that are marked.

        Returns
        -------
        distances, indices : ndarrays of shape (1, n_neighbors)
            As `HierarchicalRetriever.kneighbors` returns them; the same as its for one query without marks.
        """
        searcher = self._searcher()
        result = self._search(searcher, n_neighbors, _allowed(searcher, within, where), show_marked)
        if not return_distance:
            return result.indices
        return result.distances.astype(searcher.distance_dtype), result.indices

    @tabular
    def retrieve(
        self,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        show_marked: bool = False,
    ) -> pd.DataFrame:
        """Return the best items as a table.

        Parameters
        ----------
        n_neighbors, within, where, show_marked
            See `kneighbors`.

        Returns
        -------
        table : DataFrame
            The columns of `HierarchicalRetriever.retrieve`, and position.
        """
        searcher = self._searcher()
        allowed = _allowed(searcher, within, where)
        result = self._search(searcher, n_neighbors, allowed, show_marked, with_leaves=True)
        table = table_of(searcher, result)
        table["position"] = result.indices.ravel()[result.indices.ravel() >= 0]
        return table

    def propose(
        self, n_items: int = 10, *, within: ArrayLike | Mapping | None = None, where: str | None = None
    ) -> NDArray[np.intp]:
        """Choose items whose marks would tell most about the node that is meant.

        They are chosen one after another from the best 500, each by the expected information that its mark
        adds to those before [1]_.

        Parameters
        ----------
        n_items : int, default=10
        within, where
            See `kneighbors`.

        Returns
        -------
        positions : ndarray of shape (n_items,)

        References
        ----------
        .. [1] B. Barz, C. Käding, J. Denzler, "Information-Theoretic Active Learning for Content-Based Image
           Retrieval", GCPR 2018.
        """
        check_positive_integer(n_items, "n_items")
        belief, searcher = self._need_belief(), self._searcher()
        n_free = len(self._gallery) - len(self._marked)
        n_searched = min(max(N_LOOKED_AT, n_items), max(n_free, 1))
        indices = self._search(searcher, n_searched, _allowed(searcher, within, where), False).indices[0]
        indices = indices[indices >= 0]
        if len(indices) < n_items:
            raise ValueError(f"{n_items} items to propose, and only {len(indices)} are not marked.")
        proba, known = _class_probabilities(searcher, indices)
        return indices[most_informative(belief, proba, n_items, known)]

    @tabular
    def nodes(self) -> pd.DataFrame:
        """Tell what is believed about the node that is meant.

        Returns
        -------
        table : DataFrame
            A row for each node below the root, the most probable first: node (its name), title (see
            `ClassHierarchy.node_titles`), probability, n_classes, height (relative to the root's), and
            n_items, those of the gallery whose most probable leaf is below it. What the probabilities leave
            of 1 is that of no node: the marks have no explanation in the tree.
        """
        belief = self._need_belief()
        tree, searcher = belief.tree, self._searcher()
        probabilities = np.delete(belief.probabilities, tree.root)
        order = np.argsort(-probabilities[:-1], kind="stable")
        leaves = searcher.leaves.view(of_gallery=False).leaves()
        counts = np.bincount(leaves["leaf"][:, 0], minlength=tree.n_classes)
        names, titles = (np.empty(tree.n_nodes, dtype=object) for _ in range(2))
        names[:], titles[:] = tree.node_names, tree.node_titles(class_weights=counts)
        return pd.DataFrame(
            {
                "node": names[order],
                "title": titles[order],
                "probability": probabilities[order],
                "n_classes": tree.node_sizes[order],
                "height": (tree.heights / tree.height)[order],
                "n_items": np.rint(tree.node_probabilities(counts[None])[0][order]).astype(int),
            }
        )

    def moved_to(self, retriever: HierarchicalRetriever) -> RetrievalSession:
        """Return the same need on another gallery: marked items are found by their ids.

        Parameters
        ----------
        retriever : HierarchicalRetriever
            The same one after its gallery changed, or one that was fitted to the same features.

        Returns
        -------
        session : RetrievalSession
            A new one.

        Raises
        ------
        ValueError
            If it lacks a marked item, or takes other features.
        """
        check_retriever(retriever)
        if self._X.shape[1] != retriever.n_features_in_:
            raise ValueError(f"{self._X.shape[1]} features, but {retriever.n_features_in_} at fit.")
        names = getattr(retriever, "feature_names_in_", None)
        X = self._X if names is None else pd.DataFrame(self._X, columns=names)
        session = RetrievalSession(retriever, X, method=self.method, error_rate=self.error_rate)
        ids = self._gallery.ids
        return session.mark(ids[self.relevant_], ids[self.irrelevant_], by="id")

    def __repr__(self) -> str:
        return (
            f"<RetrievalSession by {type(self.method).__name__}: {len(self._X)} query images, "
            f"{len(self.relevant_)} relevant and {len(self.irrelevant_)} irrelevant items>"
        )

    # ------------------------------------------------------------------------- inside

    def _search(
        self,
        searcher: Searcher,
        n_neighbors: int | None,
        within: ArrayLike | Mapping | None,
        show_marked: bool,
        with_leaves: bool = False,
    ) -> Result:
        gallery = searcher.gallery
        k = searcher.options.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        if not len(self._marked) and len(self._X) == 1:
            return searcher.neighbors(self._X, k, within=within, with_leaves=with_leaves)
        n_free = len(gallery) - (0 if show_marked else len(self._marked))
        if k > n_free:
            raise ValueError(f"n_neighbors = {k}, and the gallery holds {n_free} samples that may be shown.")
        ranking = self._ranking()
        if within is not None:
            within = searcher.mask(within).copy()
        if not show_marked and len(self._marked):
            within = np.ones(len(gallery), dtype=bool) if within is None else within
            within[self._marked] = False
        belief, alpha = ranking.belief, None if ranking.uses_leaves else 0.0
        distances = None
        if belief is not None:
            distances = belief.class_distances(searcher.leaves.stem, self._query_distances)
            alpha = _weight_of_leaves(searcher.options.alpha, ranking.least_alpha)
        by_marks = bool(ranking.mark_weight and len(self.irrelevant_))
        n_allowed = len(gallery) if within is None else int(np.sum(within))
        result = searcher.neighbors(
            self._moved_features(ranking)[None].astype(gallery.dtype),
            k if distances is None or not by_marks else min(max(4 * k, N_LOOKED_AT), max(n_allowed, k)),
            within=within,
            with_leaves=with_leaves,
            class_distances=distances,
            alpha=alpha,
            visual=ranking.query[None].astype(gallery.dtype),
        )
        if distances is None or not by_marks:
            return result
        return self._by_marks(searcher, result, k, ranking, distances, alpha, within)

    def _by_marks(
        self,
        searcher: Searcher,
        result: Result,
        k: int,
        ranking: Ranking,
        class_distances: NDArray,
        alpha: float | None,
        within: NDArray | None,
    ) -> Result:
        """Rank by single marks as well: the results, and the neighbours of relevant items."""
        gallery, candidates = searcher.gallery, result.indices[0]
        near = self._near_relevant(searcher)
        candidates = np.union1d(candidates, near if within is None else near[within[near]])
        candidates = candidates[candidates >= 0]
        items = gallery.visual_rows(candidates)
        by_leaf: Any = 0.0
        if alpha:
            leaves = result.view.leaves(candidates)
            by_leaf = 1 - (leaves["probability"] * (1 - class_distances)[leaves["leaf"]]).sum(axis=1)
        relevant = np.concatenate([self._visual_queries(), gallery.visual_rows(self.relevant_)])
        to_relevant, to_irrelevant = (
            1 - (items @ rows.T).max(axis=1) for rows in (relevant, gallery.visual_rows(self.irrelevant_))
        )
        both = np.maximum(to_relevant + to_irrelevant, 1e-12)
        distances = 1 - items @ ranking.query + (alpha or 0.0) * by_leaf
        distances += ranking.mark_weight * np.maximum(to_relevant, 0) / both
        order = np.lexsort((candidates, distances))[:k]
        n_missing = k - len(order)  # where `within` allows too few
        best = np.append(candidates[order], np.full(n_missing, -1, dtype=np.intp))
        distances = np.append(distances[order], np.full(n_missing, np.inf))
        no_copies = np.zeros((1, k), dtype=bool)  # marks move them as they move all others
        return result._replace(distances=distances[None], indices=best[None], is_copy=no_copies)

    def _near_relevant(self, searcher: Searcher) -> NDArray[np.intp]:
        """Find nearest neighbours of relevant items; each item is searched for once."""
        new = [item for item in self.relevant_.tolist() if item not in self._near]
        if new:
            rows = searcher.gallery.queries(np.array(new))
            n_near = min(N_NEAR_MARKS, len(searcher.gallery))
            near = searcher.neighbors(rows, n_near, alpha=0.0, visual=rows).indices
            self._near = {**self._near, **dict(zip(new, near, strict=True))}
        return np.array([self._near[item] for item in self.relevant_.tolist()], dtype=np.intp).ravel()

    def _ranking(self) -> Ranking:
        items = self._gallery.visual_rows(self._marked)
        return self.method.ranking(Marks(self._visual_queries(), items, self._is_relevant, self._belief))

    def _moved_features(self, ranking: Ranking) -> NDArray:
        """Features whose leaf stands for that of the query, where no belief does."""
        if not ranking.uses_leaves or ranking.belief is not None:
            return self._X[0]
        queries, lengths = unit_rows(self._X.astype(np.float64))
        items = self._gallery.unit_features(self._marked)
        moved = self.method.ranking(Marks(queries, items, self._is_relevant, self._belief)).query
        return moved * lengths.mean()

    def _visual_queries(self) -> NDArray[np.float64]:
        return unit_rows(self._gallery.as_queries(self._X).astype(np.float64))[0]

    def _belief_of_queries(self, searcher: Searcher) -> NodeBelief | None:
        if searcher.leaves.tree is None:
            return None
        proba, known = searcher.leaves.class_probabilities(self._X)
        self._query_distances = searcher.leaves.class_distances(self._X).mean(axis=0)
        return NodeBelief.of_queries(
            searcher.leaves.tree, proba, self.error_rate, float(np.mean(known**POWER))
        )

    def _need_belief(self) -> NodeBelief:
        if self._belief is None:
            raise ValueError("There is no tree of leaves to have a belief about.")
        return self._belief

    def _positions(self, items: ArrayLike, by: str) -> NDArray[np.intp]:
        values = np.atleast_1d(np.asarray(items))
        if not values.size:
            return np.empty(0, dtype=np.intp)
        if values.ndim > 1:
            raise ValueError(f"Items to mark must be one-dimensional, got shape {values.shape}.")
        if by == "id":
            return self._gallery.samples.positions_of(items)
        if values.dtype.kind not in "iu":
            raise ValueError(f"Positions are integers, got {values.dtype}; by='id' takes ids.")
        beyond = values[(values < 0) | (values >= len(self._gallery))]
        if len(beyond):
            raise ValueError(f"No item is at position {beyond[0]}: the gallery holds {len(self._gallery)}.")
        return values.astype(np.intp)

    def __getstate__(self) -> dict[str, Any]:
        is_current = self._gallery.holds_the_same(self.retriever.searcher().gallery)
        return {**self.__dict__, "_gallery": None if is_current else encoded(self._gallery)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        gallery = state["_gallery"]
        self._gallery = self.retriever.searcher().gallery if gallery is None else decoded(gallery)

    def _searcher(self) -> Searcher:
        """Return what searches the gallery of this session."""
        searcher = self.retriever.searcher()
        if not self._gallery.holds_the_same(searcher.gallery):
            raise RuntimeError(
                "The gallery changed since this session began: session.moved_to(retriever) goes on with "
                "its marks."
            )
        return searcher


def _allowed(searcher: Searcher, within: Any, where: str | None) -> Any:
    """Return what two conditions allow together, as one that `within` takes."""
    if where is None:
        return within
    mask = searcher.gallery.condition(where).mask
    return mask if within is None else mask & searcher.mask(within)


def _class_probabilities(
    searcher: Searcher, positions: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return class probabilities of items, from their leaves, and that their classes are known."""
    view = searcher.leaves.view(of_gallery=False)
    proba = (
        leaf_matrix(view.leaves(positions), searcher.leaves.model.tree.n_classes).toarray().astype(np.float64)
    )
    known = None
    if view.kind is not None and view.kind.source == "predicted":
        known = searcher.leaves.known(searcher.gallery.features_at(positions))
    return proba, np.ones(len(positions)) if known is None else known


def session_numbers(retriever: HierarchicalRetriever) -> dict[str, float]:
    """Return the numbers of a default session's ranking, for a page that ranks by them itself."""
    method = NodePosterior()
    return {
        "alpha": _weight_of_leaves(retriever.searcher().options.alpha, method.least_alpha),
        "beta": method.beta,
        "gamma": method.gamma,
        "mark_weight": method.mark_weight,
        "half_weight": HALF_WEIGHT,
        "error_rate": ERROR_RATE,
        "power": POWER,
        "power_of_leaf": POWER_OF_LEAF,
    }


def _weight_of_leaves(alpha: float, least: float) -> float:
    """Weight of the tree after marks; 0 stays without leaves."""
    return min(max(alpha, least), MOST_ALPHA) if alpha else 0.0
