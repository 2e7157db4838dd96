"""Each metric at every k: (n_queries, n_ranked) or (n_queries, k) values.

The functions for users take the last column they need; a table of metrics at many k takes
them from one curve.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.metrics._judged import Binary, Graded, TieGroups

DENOMINATORS = ("min", "relevant", "k", "hits")
INTEGRATIONS = ("mean", "trapezoid")
#: Divisors of the gain at each rank.
DISCOUNTS: dict[str, Callable[[NDArray], NDArray]] = {
    "log2(rank+1)": lambda ranks: np.log2(ranks + 1),
    # Jarvelin & Kekalainen 2002 with base 2: no discount before rank 2.
    "log2(rank)": lambda ranks: np.maximum(np.log2(ranks), 1.0),
}


def precision_terms(relevant: NDArray[np.bool_], ties: TieGroups | None) -> NDArray[np.float64]:
    """Precision at each relevant rank, else 0; the sum of these terms is AP before its division.

    With ties it is the expected value over all orders of each group (McSherry & Najork,
    "Computing Information Retrieval Performance Measures Efficiently in the Presence of
    Tied Scores", ECIR 2008, section 3).
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    hits = np.cumsum(relevant, axis=1)
    if ties is None:
        return hits / ranks * relevant
    in_group = ties.sum(relevant)
    first = np.arange(relevant.shape[1]) - ties.before
    before = np.where(first > 0, np.take_along_axis(hits, np.maximum(first - 1, 0), axis=1), 0)
    share = in_group / ties.size
    # Of the others of the group, as many are relevant before this rank.
    others = ties.before * np.maximum(in_group - 1, 0) / np.maximum(ties.size - 1, 1)
    return share * (before + others + 1) / ranks


def average_precision_curve(binary: Binary, denominator: str = "min") -> NDArray[np.float64]:
    """AP@1 ... AP@n_ranked of each query."""
    if denominator not in DENOMINATORS:
        raise ValueError(f"denominator must be 'min', 'relevant', 'k' or 'hits', got {denominator!r}.")
    if denominator == "hits" and binary.ties is not None:
        raise ValueError(
            "denominator='hits' has no closed form over tied orders; over a whole ranking "
            "denominator='relevant' is the same."
        )
    totals = np.cumsum(precision_terms(binary.relevant, binary.ties), axis=1)
    counts, ranks = binary.n_relevant[:, None], binary.ranks[None, :]
    divisor = {
        "min": lambda: np.minimum(counts, ranks),
        "relevant": lambda: counts,
        "k": lambda: ranks,
        "hits": lambda: np.maximum(np.cumsum(binary.relevant, axis=1), 1),
    }[denominator]()
    return _where(binary.n_relevant > 0, totals, divisor)


def precision_curve(binary: Binary) -> NDArray[np.float64]:
    """P@1 ... P@n_ranked of each query."""
    relevant = binary.relevant if binary.ties is None else binary.ties.mean(binary.relevant)
    return _where(_is_defined(binary), np.cumsum(relevant, axis=1), binary.ranks[None, :])


def recall_curve(binary: Binary) -> NDArray[np.float64]:
    """Whether, or how probably, a relevant item is among the first 1 ... n_ranked."""
    if binary.ties is None:
        results = np.maximum.accumulate(binary.relevant, axis=1)
    else:
        # Drawn from the group one by one, each time none of its relevant items.
        left = binary.ties.size - binary.ties.before
        missed = np.maximum(left - binary.ties.sum(binary.relevant), 0) / left
        results = 1.0 - np.cumprod(missed, axis=1)
    return _where(_is_defined(binary), results, 1)


def found_share_curve(binary: Binary) -> NDArray[np.float64]:
    """Share of the relevant items that are among the first 1 ... n_ranked."""
    relevant = binary.relevant if binary.ties is None else binary.ties.mean(binary.relevant)
    return _where(binary.n_relevant > 0, np.cumsum(relevant, axis=1), binary.n_relevant[:, None])


def reciprocal_rank_curve(binary: Binary) -> NDArray[np.float64]:
    """One over the rank of the first relevant item among the first 1 ... n_ranked; 0 if there is none."""
    is_first = binary.relevant & (np.cumsum(binary.relevant, axis=1) == 1)
    return _where(_is_defined(binary), np.cumsum(is_first / binary.ranks[None, :], axis=1), 1)


def _is_defined(binary: Binary) -> NDArray[np.bool_]:
    return binary.n_relevant > 0 if binary.has_count else np.ones(len(binary.query), dtype=bool)


def _where(defined: NDArray[np.bool_], totals: NDArray, divisor: NDArray | int) -> NDArray[np.float64]:
    """totals / divisor, NaN in the rows of queries for which nothing is relevant."""
    scores = np.full(totals.shape, np.nan)
    np.divide(totals, divisor, out=scores, where=defined[:, None])
    return scores


def hierarchical_precision_curve(graded: Graded) -> NDArray[np.float64]:
    """HP@1 ... HP@k (barz2019, eq. 11)."""
    best = np.cumsum(graded.of_best(graded.table), axis=1)[graded.position]
    return _ratio(np.cumsum(graded.gained, axis=1), best)


def average_hierarchical_precision_curve(graded: Graded, integration: str = "mean") -> NDArray[np.float64]:
    """AHP@1 ... AHP@k: the mean of HP@1 ... HP@k, or the trapezoids below them."""
    if integration not in INTEGRATIONS:
        raise ValueError(f"integration must be 'mean' or 'trapezoid', got {integration!r}.")
    curve = hierarchical_precision_curve(graded)
    area = np.cumsum(curve, axis=1)
    if integration == "trapezoid":
        area -= (curve[:, :1] + curve) / 2
    return area / np.arange(1, graded.k + 1)


def ndcg_curve(
    graded: Graded, discount: str | Callable = "log2(rank+1)", average: bool = False
) -> NDArray[np.float64]:
    """nDCG@1 ... nDCG@k, or the means of the first of them."""
    if not callable(discount) and discount not in DISCOUNTS:
        raise ValueError(f"discount must be one of {tuple(DISCOUNTS)} or a callable, got {discount!r}.")
    ranks = np.arange(1, graded.k + 1)
    divisors = np.asarray((discount if callable(discount) else DISCOUNTS[discount])(ranks), dtype=float)
    if divisors.shape != ranks.shape or not np.all(divisors > 0):
        raise ValueError("discount must give one positive divisor for each rank.")
    best = np.cumsum(graded.of_best(graded.table) / divisors, axis=1)[graded.position]
    curve = _ratio(np.cumsum(graded.gained / divisors, axis=1), best)
    return np.cumsum(curve, axis=1) / ranks if average else curve


def hierarchical_average_precision_curve(
    graded: Graded, denominator: str = "relevant"
) -> NDArray[np.float64]:
    """H-AP@1 ... H-AP@k.

    min(a, b) is the sum of the steps between relevances that both a and b reach, so that the
    numerator is that of AP for each of these levels, weighted with its step.
    """
    if denominator not in ("relevant", "min"):
        raise ValueError(f"denominator must be 'relevant' or 'min', got {denominator!r}.")
    values, ranks = graded.levels
    if values[0, 0] < 0 or np.any(values < 0):
        raise ValueError("Relevances must not be negative.")
    steps = np.diff(values, axis=1, prepend=0.0)[graded.position]
    rank = graded.of_results(ranks)
    terms = np.zeros((len(rank), graded.k))
    for level, step in enumerate(steps.T):
        if step.any():
            terms += step[:, None] * precision_terms(rank >= level, graded.ties)[:, : graded.k]
    if denominator == "relevant":
        divisor = np.broadcast_to(graded.total[:, None], terms.shape)
    else:
        divisor = np.cumsum(graded.of_best(graded.table), axis=1)[graded.position]
    return _ratio(np.cumsum(terms, axis=1), divisor)


def average_set_intersection_curve(graded: Graded) -> NDArray[np.float64]:
    """ASI@1 ... ASI@k."""
    values, ranks = graded.levels
    rank, best_rank = graded.of_results(ranks)[:, : graded.k], graded.of_best(ranks)
    shared = np.zeros(rank.shape)
    for level in range(values.shape[1]):
        wanted = np.cumsum(best_rank == level, axis=1)
        shared += np.minimum(np.cumsum(rank == level, axis=1), wanted[graded.position])
    n = np.arange(1, graded.k + 1)
    curve = np.cumsum(shared / n, axis=1) / n
    curve[graded.total <= 0] = np.nan
    return curve


def mistake_severity_curve(severity: NDArray[np.float64], wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean severity of the wrong results among the first 1 ... n_ranked; NaN if none is."""
    return _ratio(np.cumsum(severity * wrong, axis=1), np.cumsum(wrong, axis=1))


def _ratio(gained: NDArray, best: NDArray) -> NDArray[np.float64]:
    # A gallery in which nothing resembles the query at all leaves 0 / 0.
    return np.divide(gained, best, out=np.full(gained.shape, np.nan), where=best > 0)
