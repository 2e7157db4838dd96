"""What a condition costs: one query among 100,000 rows of 384 features, side by side.

    OMP_WAIT_POLICY=PASSIVE python -m tests.benchmarks.conditions

Prints the time of one query for several shares of rows that a condition leaves, and for the second page, in
units of the time without a condition, measured in turns; and what the first query of a condition takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sklearn_hierret import HierarchicalRetriever

N_ROWS, N_FEATURES, N_TURNS, N_QUERIES = 100_000, 384, 5, 40


def seconds(search: Callable[[int], object]) -> float:
    """Median time of one query."""
    times = []
    for i in range(N_QUERIES):
        start = time.perf_counter()
        search(i)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200, N_FEATURES)).astype(np.float32)
    y = rng.integers(0, 200, N_ROWS)
    X = means[y] + rng.standard_normal((N_ROWS, N_FEATURES), dtype=np.float32)
    Q = X[:N_QUERIES] + 0.1 * rng.standard_normal((N_QUERIES, N_FEATURES), dtype=np.float32)
    retriever = HierarchicalRetriever(new_classes="ignore").fit(X[:8000], y[:8000])
    retriever.set_gallery(X, metadata={"p": rng.random(N_ROWS)})
    how: dict[str, dict] = {"no condition": {}, "the second page": {"offset": 20}}
    how |= {f"{share:.1%} of the rows": {"where": f"p < {share}"} for share in (0.001, 0.01, 0.1, 0.5)}
    for name, options in how.items():
        start = time.perf_counter()
        retriever.kneighbors(Q[:1], 20, **options)
        print(f"first query, {name}: {1000 * (time.perf_counter() - start):.0f} ms")
    for _ in range(N_TURNS):
        times = {
            name: seconds(lambda i, o=options: retriever.kneighbors(Q[i : i + 1], 20, **o))  # type: ignore[misc]
            for name, options in how.items()
        }
        base = times["no condition"]
        print("; ".join(f"{name} {spent / base:.2f}" for name, spent in times.items()))


if __name__ == "__main__":
    main()
