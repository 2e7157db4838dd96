"""What the defaults cost: time and memory of a fit, of leaves, of a search.

    OMP_WAIT_POLICY=PASSIVE python -m tests.benchmarks.costs [small] [large] [many]

Gaussian classes of which about two samples in three get their own leaf. Each case runs in a process of its
own; memory is the peak of that process less what it held before the fit, the data included. "small" is
compared with scikit-learn's discriminant analysis in the same process.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sklearn_hierret import HierarchicalRetriever

#: Single queries that are timed.
N_SINGLE = 200
#: Classes, features, samples, and how far apart class means are.
CASES = {
    "small": (200, 768, 12_000, 0.155),
    "large": (1_000, 1_280, 100_000, 0.135),
    "many": (10_000, 512, 200_000, 0.24),
}


def features(n_classes: int, n_features: int, n_samples: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes around random means, in random order, float32."""
    rng = np.random.default_rng(0)
    means = spread * rng.standard_normal((n_classes, n_features), dtype=np.float32)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    X = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, 10_000):
        X[start : start + 10_000] += means[y[start : start + 10_000]]
    return X, y


def peak() -> float:
    """Peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def run(name: str, verbose: bool) -> None:
    n_classes, n_features, n_samples, _ = CASES[name]
    X, y = features(*CASES[name])
    before = peak()
    if name == "small":
        start = time.perf_counter()
        LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(X, y)
        reference = time.perf_counter() - start
    start = time.perf_counter()
    retriever = HierarchicalRetriever(verbose=verbose).fit(X, y)
    fitted = time.perf_counter() - start
    after_fit = peak()
    print(f"{name}: K = {n_classes}, d = {n_features}, n = {n_samples}")
    print(
        f"  fit {fitted:.1f} s, peak {after_fit - before:.2f} GB beyond the data of {X.nbytes / 1e9:.2f} GB"
    )
    if name == "small":
        print(f"  {fitted / reference:.2f} times LinearDiscriminantAnalysis ({reference:.1f} s)")
    _compare_metrics(X, y)
    for size in (1, 1_000):
        start = time.perf_counter()
        retriever.kneighbors(X[:size], n_neighbors=20)
        print(f"  {size} queries {1e3 * (time.perf_counter() - start):.0f} ms, alpha {retriever.alpha_:g}")
    start = time.perf_counter()
    retriever.class_model_.predict_leaves(X)
    print(f"  leaves of {len(X)} rows {time.perf_counter() - start:.1f} s")
    right = np.mean(retriever.leaves() == y)
    print(f"  peak in all {peak():.2f} GB; {right:.0%} of the cross-fitted leaves are right", flush=True)


def _compare_metrics(X: np.ndarray, y: np.ndarray) -> None:
    """What whitening costs beside cosine, side by side: a fit with its first query, and single queries."""
    metrics, fits, queries = ("cosine", "auto", "whitened"), {}, {}
    fitted = {}
    for metric in metrics:
        start = time.perf_counter()
        fitted[metric] = HierarchicalRetriever(metric=metric).fit(X, y)
        fitted[metric].kneighbors(X[:1], n_neighbors=20)
        fits[metric] = time.perf_counter() - start
    for metric in metrics:
        queries[metric] = []
    for _ in range(N_SINGLE):
        for metric in metrics:
            start = time.perf_counter()
            fitted[metric].kneighbors(X[:1], n_neighbors=20)
            queries[metric].append(time.perf_counter() - start)
    for metric in metrics[1:]:
        chosen = fitted[metric].metric_
        print(
            f"  metric {metric} ({chosen}), times cosine: fit and first query "
            f"{fits[metric] / fits['cosine']:.2f}, one query "
            f"{np.median(queries[metric]) / np.median(queries['cosine']):.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help=", ".join(CASES))
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    for name in args.case or CASES:
        process = multiprocessing.get_context("spawn").Process(target=run, args=(name, args.verbose))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
