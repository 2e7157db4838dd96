"""Time of the metrics: 10,000 queries against 10,000 items, k up to 250, whole rankings.

python -m tests.benchmarks.metrics
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    average_set_intersection_at_k,
    evaluate_retrieval,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    mistake_severity_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from sklearn_hierret.datasets import load_cifar100_taxonomy
from tests.benchmarks._data import markdown_table

N, K = 10_000, 250
NAMES = ["map", "precision", "recall", "hp", "ahp", "ndcg", "hap", "asi", "mistake_severity"]


def main() -> None:
    rng = np.random.default_rng(0)
    tree = load_cifar100_taxonomy("index")
    y = rng.integers(0, 100, N)
    # Rankings that are neither random nor perfect.
    centres = rng.normal(size=(100, 32)).astype(np.float32)
    X = centres[y] + 1.5 * rng.normal(size=(N, 32)).astype(np.float32)
    model = NearestNeighbors(algorithm="brute").fit(X)
    distances, order = model.kneighbors(None, n_neighbors=K)
    ranked = y[order]
    R = np.bincount(y, minlength=100)[y] - 1
    graded = {"hierarchy": tree, "k": K, "y_gallery": y, "exclude_query": True}
    calls = {
        "average_precision_at_k": lambda **p: average_precision_at_k(y, ranked, K, n_relevant=R, **p),
        "precision_at_k": lambda **p: precision_at_k(y, ranked, K, n_relevant=R, **p),
        "recall_at_k": lambda **p: recall_at_k(y, ranked, K, n_relevant=R, **p),
        "hierarchical_precision_at_k": lambda **p: hierarchical_precision_at_k(y, ranked, **graded, **p),
        "average_hierarchical_precision_at_k": lambda **p: average_hierarchical_precision_at_k(
            y, ranked, **graded, **p
        ),
        "ndcg_at_k": lambda **p: ndcg_at_k(y, ranked, **graded, **p),
        "hierarchical_average_precision": lambda **p: hierarchical_average_precision(
            y, ranked, **graded, **p
        ),
        "average_set_intersection_at_k": lambda: average_set_intersection_at_k(y, ranked, **graded),
        "mistake_severity_at_k": lambda: mistake_severity_at_k(y, ranked, tree, K),
    }
    rows = []
    for name, call in calls.items():
        times = []
        for params in ({}, {"distances": distances}):
            if params and name in ("average_set_intersection_at_k", "mistake_severity_at_k"):
                times.append(np.nan)
                continue
            start = time.perf_counter()
            call(**params)
            times.append(time.perf_counter() - start)
        rows.append((name, *times))
    rows.append(("together", *np.nansum([row[1:] for row in rows], axis=0)))
    cells = [[name, *(f"{t:.2f}" if t == t else "" for t in times)] for name, *times in rows]
    print(markdown_table(["metric at 250", "s", "s, ties averaged"], cells))
    for ks, names in ((range(1, K + 1), NAMES), ([None], ["map"]), ([None], ["map", "hap", "asi"])):
        start = time.perf_counter()
        evaluate_retrieval(model, X, y, ks, names, hierarchy=tree)
        what = "k = 1 ... 250" if ks != [None] else "whole rankings"
        print(f"evaluate_retrieval, {what}, {len(names)} metrics: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    model.kneighbors(None, n_neighbors=K)
    print(f"of these, the search at k = 250: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
