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

    Perhaps none is: then any item is as likely to be relevant as not. So belief leaves the nodes where none
    explains the marks, as with classes that the class model does not know.

    Before any mark, each query image is of a random class below the node, and all levels of a class's
    path below the root are as likely. A mark says whether an item lies below the node, and is wrong with
    probability `error_rate` (after PicHunter [1]_, whose targets are images).

    Attributes
    ----------
    tree : ClassHierarchy
    log_weights : ndarray of shape (n_nodes + 1,)
        Logarithms of the probabilities, up to a constant; the last is that of no node.
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
    def of_queries(
        cls, tree: ClassHierarchy, proba: NDArray, error_rate: float, known: float = 1.0
    ) -> NodeBelief:
        """Before any mark.

        Parameters
        ----------
        tree : ClassHierarchy
        proba : ndarray of shape (n_queries, n_classes)
            Class probabilities of the query images of one need.
        error_rate : float
        known : float, default=1.0
            How far the class model knows the images' classes.
        """
        n_classes = tree.n_classes
        # A class means each node of its path, but for the root, with the same probability.
        prior = tree.node_probabilities(1.0 / tree.depths[None, :n_classes])[0]
        prior[-1] = 0.0
        # Now and then an image is of any class.
        of_node = (1 - error_rate) * tree.node_probabilities(proba) / tree.node_sizes + error_rate / n_classes
        weights = np.log(prior + LEAST) + np.log(of_node).sum(axis=0)
        weights -= np.logaddexp.reduce(weights)
        subset = (1 - error_rate) * known
        return cls(tree, np.append(weights + np.log(subset + LEAST), np.log(1 - subset)), error_rate)

    def marked(
        self, proba: NDArray, is_relevant: NDArray[np.bool_], known: NDArray | float = 1.0
    ) -> NodeBelief:
        """After marks of items.

        Parameters
        ----------
        proba : ndarray of shape (n_items, n_classes)
        is_relevant : ndarray of shape (n_items,)
        known : float or ndarray of shape (n_items,), default=1.0
            Probability that the class model knows the items' classes; marks of others tell nothing.
        """
        yes = self.says_yes(proba, known)
        answers = np.where(is_relevant[:, None], yes, 1 - yes)
        return replace(self, log_weights=self.log_weights + np.log(answers).sum(axis=0))

    def says_yes(self, proba: NDArray, known: NDArray | float = 1.0) -> NDArray[np.float64]:
        """Probability that items are marked relevant if each node, or none, is meant."""
        of_nodes = np.clip(self.tree.node_probabilities(proba), 0, 1)
        yes = self.error_rate + (1 - 2 * self.error_rate) * of_nodes
        share = np.broadcast_to(known, len(yes))[:, None]
        return np.hstack([share * yes + (1 - share) / 2, np.full((len(yes), 1), 0.5)])

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each node to be what is meant, and last that of none, (n_nodes + 1,)."""
        weights = np.exp(self.log_weights - self.log_weights.max())
        return weights / weights.sum()

    def class_distances(self, stem: float, otherwise: NDArray | float = 1.0) -> NDArray[np.float64]:
        """Compute the expected distance of each class to the node that is meant, (n_classes,).

        A class below the node is at distance 0; any other is as far as the lowest node above both is high,
        by the tree with a stem. Where only leaves can be meant that is the expected D_H of the leaves.

        Parameters
        ----------
        stem : float
        otherwise : float or ndarray of shape (n_classes,), default=1.0
            Distances if no node is meant.
        """
        tree, p, none = self.tree, self.probabilities[:-1], self.probabilities[-1]
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
        return np.clip(distance[: tree.n_classes] + none * otherwise, 0.0, 1.0)
