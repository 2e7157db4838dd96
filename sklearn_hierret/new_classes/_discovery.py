"""Find clusters of an unlabelled gallery that known classes do not explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.cluster import KMeans, kmeans_plusplus

from sklearn_hierret.discriminant import known_share
from sklearn_hierret.new_classes._evidence import N_REFERENCE, Evidence, directions_of
from sklearn_hierret.new_classes._leaves import LEAST_SHARE, MOST_SHARE, DiscoveredClasses

#: Rows that clusters are sought in, rounds of expectation maximisation, and the least cluster.
MOST_ROWS, N_ROUNDS, LEAST_ROWS = 8192, 15, 3
#: A cluster is a leaf where its rows are at least as likely new as this, on average: one in five is what
#: is assumed of any gallery.
LEAST_NEW = 0.2
#: Clusters whose directions have this cosine are one.
SAME = 0.999


@dataclass(frozen=True)
class Sampled:
    """Rows of a gallery that clusters are sought in, in an order that depends on the rows alone.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_visual), float32
    serials : ndarray of shape (n_rows,)
    leaf : ndarray of shape (n_rows,)
        Predicted known class.
    largest : ndarray of shape (n_rows,)
        Its probability.
    """

    rows: NDArray[np.float32]
    serials: NDArray[np.intp]
    leaf: NDArray[np.intp]
    largest: NDArray


def discover(sampled: Sampled, evidence: Evidence) -> DiscoveredClasses:
    """Cluster the rows that look newest, and keep the clusters whose rows are likely new.

    The clusters are von Mises-Fisher components beside the prototypes of the known classes, fitted by
    expectation maximisation (Banerjee et al. 2005, section 4) from k-means of the half of the rows that is
    least likely known. There are as many as the half has rows over the median size of predicted classes.
    All components compete for every row; those that are no leaves leave their rows to the class model.

    Parameters
    ----------
    sampled : Sampled
    evidence : Evidence
        With weights of the signs.
    """
    rows, n = sampled.rows, len(sampled.rows)
    scores, gallery = evidence.scores(rows), rows[:N_REFERENCE]
    own = np.where(np.arange(n) < len(gallery), np.arange(n), -1)
    log_odds = evidence.known_log_odds(evidence.signs(rows, scores, sampled.largest, gallery, own))
    share = float(np.clip(known_share(log_odds), LEAST_SHARE, MOST_SHARE))
    probably_new = expit(-(log_odds + logit(share)))
    candidates = np.flatnonzero(log_odds <= np.median(log_odds))
    sizes = np.bincount(sampled.leaf)
    size = max(float(LEAST_ROWS), float(np.median(sizes[sizes > 0])))
    n_clusters = max(2, int(len(candidates) / size))
    n_clusters = min(n_clusters, len(np.unique(rows[candidates], axis=0)))
    base = evidence.concentration * (rows @ evidence.prototypes.T)
    # One trial for each centre: more cost a multiple and gain nothing.
    centers, _ = kmeans_plusplus(rows[candidates], n_clusters, n_local_trials=1, random_state=0)
    start = KMeans(n_clusters, init=centers, n_init=1, max_iter=20).fit(rows[candidates])
    directions = directions_of(start.cluster_centers_)
    shares = evidence.counts / evidence.counts.sum() * (1 - len(candidates) / n)
    weights = np.concatenate([shares, np.bincount(start.labels_, minlength=n_clusters) / n])
    n_known = len(shares)
    for _ in range(N_ROUNDS):
        member = _memberships(base, rows, directions, weights, evidence.concentration)
        weights = member.mean(axis=0)
        kept = weights[n_known:] * n >= LEAST_ROWS
        directions = directions_of((member[:, n_known:].T @ rows)[kept])
        weights = np.concatenate([weights[:n_known], weights[n_known:][kept]])
    directions, weights = _joined(directions, weights, n_known)
    member = _memberships(base, rows, directions, weights, evidence.concentration)[:, n_known:]
    totals = np.maximum(member.sum(axis=0), 1e-9)
    of_cluster = member.T @ probably_new / totals
    is_leaf = of_cluster > LEAST_NEW
    # The newest first; those that are no leaves come last.
    order = np.concatenate(
        [np.flatnonzero(is_leaf)[np.argsort(-of_cluster[is_leaf])], np.flatnonzero(~is_leaf)]
    )
    n_leaves = int(is_leaf.sum())
    return DiscoveredClasses(
        np.arange(n_leaves),
        directions[order],
        weights[n_known:][order],
        weights[:n_known],
        gallery,
        sampled.serials[: len(gallery)],
        share,
        of_cluster[order][:n_leaves],
    )


def _joined(
    directions: NDArray[np.float32], weights: NDArray[np.float64], n_known: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Join clusters that have become one: the heaviest of each direction takes the weights of the others."""
    of_clusters = weights[n_known:].copy()
    kept: list[int] = []
    for cluster in np.argsort(-of_clusters, kind="stable").tolist():
        is_same = directions[kept] @ directions[cluster] > SAME
        if np.any(is_same):
            of_clusters[kept[int(is_same.argmax())]] += of_clusters[cluster]
        else:
            kept.append(cluster)
    kept.sort()
    return directions[kept], np.concatenate([weights[:n_known], of_clusters[kept]])


def _memberships(
    base: NDArray[np.float32],
    rows: NDArray[np.float32],
    directions: NDArray[np.float32],
    weights: NDArray[np.float64],
    concentration: float,
) -> NDArray[np.float32]:
    """Compute the responsibility of known classes and clusters for each row."""
    scores = np.concatenate([base, concentration * (rows @ directions.T)], axis=1)
    scores += np.log(np.maximum(weights, 1e-12)).astype(np.float32)
    return softmax(scores, axis=1)
