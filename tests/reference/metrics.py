"""Ranking metrics in loops."""

from itertools import permutations, product

import numpy as np


def average_precision(label, retrieved, k, n_relevant, denominator):
    if n_relevant == 0:
        return np.nan
    hits, total = 0, 0.0
    for i in range(1, k + 1):
        if retrieved[i - 1] == label:
            hits += 1
            total += hits / i
    divisor = {"min": min(n_relevant, k), "relevant": n_relevant, "k": k, "hits": max(hits, 1)}
    return total / divisor[denominator]


def hierarchical_precision(label, retrieved, gallery, k, similarity):
    """`gallery` without the query itself."""
    gained = sum(similarity(label, r) for r in retrieved[:k])
    best = sum(sorted((similarity(label, g) for g in gallery), reverse=True)[:k])
    return gained / best if best > 0 else np.nan


def average_hierarchical_precision(label, retrieved, gallery, k, similarity):
    curve = [hierarchical_precision(label, retrieved, gallery, i, similarity) for i in range(1, k + 1)]
    return np.mean(curve)


def ndcg(label, retrieved, gallery, k, gain, discount, average=False):
    """`gain` of a pair of classes, `discount` of a rank."""

    def dcg(labels, n):
        return sum(gain(label, r) / discount(i) for i, r in enumerate(labels[:n], start=1))

    ideal = sorted(gallery, key=lambda g: -gain(label, g))
    if dcg(ideal, len(ideal)) == 0:
        return np.nan
    values = [dcg(retrieved, n) / dcg(ideal, n) for n in range(1, k + 1)]
    return np.mean(values) if average else values[-1]


def hierarchical_average_precision(label, retrieved, gallery, k, relevance, denominator="relevant"):
    rel = [relevance(label, r) for r in retrieved[:k]]
    ideal = sorted((relevance(label, g) for g in gallery), reverse=True)
    if sum(ideal) == 0:
        return np.nan
    total = 0.0
    for i, own in enumerate(rel):
        if own > 0:
            total += sum(min(other, own) for other in rel[: i + 1]) / (i + 1)
    return total / sum(ideal if denominator == "relevant" else ideal[:k])


def average_set_intersection(label, retrieved, gallery, k, relevance):
    rel = [relevance(label, r) for r in retrieved[:k]]
    ideal = sorted((relevance(label, g) for g in gallery), reverse=True)
    if sum(ideal) == 0:
        return np.nan
    shares = []
    for n in range(1, k + 1):
        left, shared = list(ideal[:n]), 0
        for value in rel[:n]:
            if value in left:
                left.remove(value)
                shared += 1
        shares.append(shared / n)
    return np.mean(shares)


def mistake_severity(label, retrieved, k, height):
    wrong = [height(label, r) for r in retrieved[:k] if r != label]
    return np.mean(wrong) if wrong else np.nan


def over_tied_orders(distances, metric):
    """Mean of metric(order) over all orders that the distances allow."""
    groups = [np.flatnonzero(distances == d) for d in np.unique(distances)]
    orders = [np.concatenate(parts) for parts in product(*(map(list, permutations(g)) for g in groups))]
    return np.mean([metric(order.astype(int)) for order in orders])
