"""What is believed about the node of the hierarchy that a user means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy import ClassHierarchy

#: Probability that no node is quite without.
LEAST = 1e-12


@dataclass(frozen=True)
class NodeBelief:
    """Probabilities of the nodes of a tree to be what a user means; they are updated, never changed.

    Before any mark, each query image is of a random class below the node, and all levels of a class's
    path below the root are as likely. A mark says whether an item lies below the node, and is wrong with
    probability `error_rate` (after PicHunter [1]_, whose targets are images).

    Attributes
    ----------
    tree : ClassHierarchy
    log_weights : ndarray of shape (n_nodes,)
        Logarithms of the probabilities, up to a constant.
    error_rate : float

    References
    ----------
    .. [1] I. J. Cox, M. L. Miller, T. P. Minka, T. V. Papathomas, P. N. Yianilos, "The Bayesian Image
       Retrieval System, PicHunter", IEEE Transactions on Image Processing 9(1), 2000.
    """

    tree: ClassHierarchy
    log_weights: NDArray[np.float64]
    error_rate: float

    @classmethod
    def of_queries(cls, tree: ClassHierarchy, proba: NDArray, error_rate: float) -> NodeBelief:
        """Before any mark.

        Parameters
        ----------
        tree : ClassHierarchy
        proba : ndarray of shape (n_queries, n_classes)
            Class probabilities of the query images of one need.
        error_rate : float
        """
        n_classes = tree.n_classes
        # A class means each node of its path, but for the root, with the same probability.
        prior = tree.node_probabilities(1.0 / tree.depths[None, :n_classes])[0]
        prior[-1] = 0.0
        # Now and then an image is of any class.
        of_node = (1 - error_rate) * tree.node_probabilities(proba) / tree.node_sizes + error_rate / n_classes
        return cls(tree, np.log(prior + LEAST) + np.log(of_node).sum(axis=0), error_rate)

    def marked(self, proba: NDArray, is_relevant: NDArray[np.bool_]) -> NodeBelief:
        """After marks of items.

        Parameters
        ----------
        proba : ndarray of shape (n_items, n_classes)
        is_relevant : ndarray of shape (n_items,)
        """
        yes = self.says_yes(self.tree.node_probabilities(proba))
        answers = np.where(is_relevant[:, None], yes, 1 - yes)
        return replace(self, log_weights=self.log_weights + np.log(answers).sum(axis=0))

    def says_yes(self, of_nodes: NDArray) -> NDArray[np.float64]:
        """Probability that items are marked relevant if each node is meant, from their node masses."""
        return self.error_rate + (1 - 2 * self.error_rate) * of_nodes

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each node to be what is meant, (n_nodes,)."""
        weights = np.exp(self.log_weights - self.log_weights.max())
        return weights / weights.sum()

    def class_distances(self, stem: float) -> NDArray[np.float64]:
        """Expected distance of each class to the node that is meant, (n_classes,).

        A class below the node is at distance 0; any other is as far as the lowest node above both is high,
        by the tree with a stem. Where only leaves can be meant that is the expected D_H of the leaves.
        """
        tree, p = self.tree, self.probabilities
        heights = tree.heights / tree.height
        heights = stem + (1 - stem) * heights
        below = p.copy()  # of each node, and all below it
        parents = tree.parents.tolist()
        for node, above in enumerate(parents[:-1]):
            below[above] += below[node]
        # From above: a class below a child is as far as their parent from what is below other children.
        distance = np.zeros(tree.n_nodes)
        for node in range(tree.n_nodes - 2, -1, -1):
            above = parents[node]
            distance[node] = distance[above] + heights[above] * (below[above] - below[node] - p[above])
        return np.clip(distance[: tree.n_classes], 0.0, 1.0)
