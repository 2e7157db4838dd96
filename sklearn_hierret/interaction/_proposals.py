"""What to show so as to learn most about what is meant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from sklearn_hierret.interaction._belief import NodeBelief

#: Possible answers to the items before that an expectation is over.
N_ANSWERS = 64


def most_informative(
    belief: NodeBelief, proba: NDArray, n_items: int, known: NDArray | float = 1.0
) -> NDArray[np.intp]:
    """Greedy choice of the items whose marks have the most information about the node, together.

    The information of a mark F about the node V, given marks F' on the items before, is
    ``H(F | F') - H(F | V)``. The first term is an expectation over answers that the belief itself makes
    likely, drawn with a fixed seed.

    Parameters
    ----------
    belief : NodeBelief
    proba : ndarray of shape (n_candidates, n_classes)
        The best item first, which is preferred where information is equal.
    n_items : int
    known : float or ndarray of shape (n_candidates,), default=1.0
        See `NodeBelief.marked`.

    Returns
    -------
    chosen : ndarray of shape (n_items,)
        Positions among the candidates.
    """
    nodes = np.flatnonzero(belief.probabilities > 1e-9)
    p = belief.probabilities[nodes] / belief.probabilities[nodes].sum()
    yes = belief.says_yes(proba, known)[:, nodes]  # (n_candidates, n_nodes)
    given_node = (entr(yes) + entr(1 - yes)) @ p
    random = np.random.RandomState(0)
    meant = random.choice(len(nodes), N_ANSWERS, p=p)
    beliefs = np.tile(np.log(p), (N_ANSWERS, 1))
    chosen: list[int] = []
    for _ in range(n_items):
        weights = np.exp(beliefs - beliefs.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        says_yes = weights @ yes.T  # (n_answers, n_candidates)
        # Of both terms the expectation is over the answers; that of the second is over the nodes, too.
        information = (entr(says_yes) + entr(1 - says_yes)).mean(axis=0) - given_node
        information[chosen] = -np.inf
        best = int(np.argmax(np.round(information, 9)))
        chosen.append(best)
        answers = random.random_sample(N_ANSWERS) < yes[best, meant]
        beliefs += np.log(np.where(answers[:, None], yes[best], 1 - yes[best]))
    return np.array(chosen, dtype=np.intp)
