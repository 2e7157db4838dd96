"""How likely each label is wrong, learned from labels that are known to be wrong: made-up ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.preprocessing import StandardScaler

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.inspection._evidence import LabelEvidence

#: Classes that count as near.
N_NEAR = 5
#: Penalty of the squared coefficients, in samples; the more samples, the further they move from the start.
PENALTY = 60.0
#: Rounds in which suspects lose their say.
N_ROUNDS = 2
#: Samples that each kind of wrong labels is made up for, at most.
MOST_SAMPLES = 50_000


@dataclass(frozen=True)
class Verdict:
    """What the labels of a gallery are worth.

    Attributes
    ----------
    log_odds : ndarray of shape (n_samples,)
        That a label is wrong, up to a constant: the ranking.
    probability : ndarray of shape (n_samples,)
        That it is, at the estimated share of wrong labels.
    share : float
        The estimate.
    """

    log_odds: NDArray[np.float64]
    probability: NDArray[np.float64]
    share: float


def judge(evidence: LabelEvidence, random_state: np.random.RandomState) -> Verdict:
    """Compare given labels that the tree knows with made-up ones: of random other classes, and of near ones.

    A logistic regression tells given labels from made-up ones; it starts at the product of the class's
    held-out probability and its share in the neighbours' votes, and is drawn back to it. Two such models, one
    for each kind of made-up labels, tell by expectation maximisation which kind the data have how many of
    (Saerens et al. 2002); the last model sees made-up labels in that mixture.
    """
    trust = np.where(evidence.codes >= 0, evidence.given, 0)
    evidence = evidence.of_rows(evidence.codes >= 0)
    n = len(evidence.codes)
    rows = np.arange(n)
    if n > MOST_SAMPLES:
        rows = np.sort(random_state.permutation(n)[:MOST_SAMPLES])
    part = evidence.of_rows(rows)
    given = evidence.features(evidence.codes, trust)
    made_up = [
        part.features(labels, trust)
        for labels in (
            other_classes(part.codes, evidence.tree.n_classes, random_state),
            near_classes(part.codes, evidence.tree, random_state),
        )
    ]
    scaler = StandardScaler().fit(np.concatenate([given[rows], *made_up]))
    scaled = [scaler.transform(features) for features in (given, *made_up)]
    clean = np.ones(n)
    for _ in range(N_ROUNDS):
        data = given, scaled, made_up, rows, clean
        ratios = np.exp(np.stack([_log_ratios(*data, kinds) for kinds in ((1.0, 0.0), (0.0, 1.0))]))
        shares = _shares(ratios)
        at_random = (shares[0] + 1 / n) / (shares.sum() + 2 / n)
        log_odds = _log_ratios(*data, (at_random, 1 - at_random), bounded=False)
        share = float(_shares(np.exp(np.minimum(log_odds, np.log(n)))[None])[0])
        probability = expit(log_odds + np.log(share / (1 - share)))
        clean = 1 - probability
    return Verdict(log_odds, probability, share)


def _log_ratios(
    given: NDArray[np.float64],
    scaled: list[NDArray[np.float64]],
    made_up: list[NDArray[np.float64]],
    rows: NDArray[np.intp],
    clean: NDArray[np.float64],
    kinds: tuple[float, float],
    bounded: bool = True,
) -> NDArray[np.float64]:
    """Log-ratio of the densities of made-up labels, of kinds in some mixture, and of given ones.

    No more than the logarithm of the number of samples can be learned of it, which is a bound.
    """
    parts = [i for i, weight in enumerate(kinds) if weight > 0]
    Z = np.concatenate([scaled[0][rows], *(scaled[1 + i] for i in parts)])
    start = np.concatenate([_start(given[rows]), *(_start(made_up[i]) for i in parts)])
    is_made_up = np.arange(len(Z)) >= len(rows)
    weights = np.concatenate([clean[rows], *(np.full(len(rows), kinds[i]) for i in parts)])
    coefficients, intercept = _regression(Z, start, is_made_up, weights)
    log_odds = _start(given) + scaled[0] @ coefficients + intercept
    log_odds += np.log(clean[rows].mean())  # of equally many
    return np.minimum(log_odds, np.log(len(given))) if bounded else log_odds


def _start(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds by the held-out probability and the votes alone."""
    return -features[:, :2].mean(axis=1)


def _regression(
    Z: NDArray[np.float64],
    start: NDArray[np.float64],
    target: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Logistic regression that begins at given log-odds and is drawn back to them."""
    n, d = Z.shape

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = start + Z @ flat[:d] + flat[d]
        value = -(weights * log_expit(np.where(target, scores, -scores))).sum()
        slope = weights * (expit(scores) - target)
        gradient = np.append(Z.T @ slope + PENALTY * flat[:d], slope.sum())
        return float(value + PENALTY / 2 * flat[:d] @ flat[:d]) / n, gradient / n

    flat = minimize(loss, np.zeros(d + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return flat[:d], float(flat[d])


def _shares(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the shares of kinds in a mixture, by expectation maximisation; ratios (n_kinds, n_samples)."""
    n = ratios.shape[1]
    shares = np.full(len(ratios), 0.02)
    for _ in range(100):
        joint = shares[:, None] * ratios
        shares = (joint / (joint.sum(axis=0) + 1 - shares.sum())).mean(axis=1)
        shares = np.maximum(shares, 1e-9)
    return np.clip(shares, 1 / n, 0.9)


def other_classes(
    codes: NDArray[np.intp], n_classes: int, random_state: np.random.RandomState
) -> NDArray[np.intp]:
    """Draw another class for each sample."""
    others = random_state.randint(n_classes - 1, size=len(codes))
    return others + (others >= codes)


def near_classes(
    codes: NDArray[np.intp],
    tree: ClassHierarchy | CombinedHierarchy,
    random_state: np.random.RandomState,
) -> NDArray[np.intp]:
    """Draw one of the classes that are nearest in the tree for each sample."""
    n_near = min(N_NEAR, tree.n_classes - 1)
    present, place = np.unique(codes, return_inverse=True)
    near = np.empty((len(present), n_near), dtype=np.intp)
    for chunk in row_chunks(len(present), 24 * tree.n_classes):
        distances = tree.distances_from(present[chunk])
        distances += 1e-6 * random_state.random_sample(distances.shape)  # ties are broken by chance
        distances[np.arange(len(distances)), present[chunk]] = np.inf
        near[chunk] = np.argpartition(distances, n_near - 1, axis=1)[:, :n_near]
    return near[place, random_state.randint(n_near, size=len(codes))]
