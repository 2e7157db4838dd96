"""Search side by side: this package, scikit-learn, and FAISS where it is installed.

    python -m tests.benchmarks.search --gallery 100000 --features 128 --classes 100

Clustered data: classes are Gaussian clouds in a hierarchy of three levels, and true classes are
the leaves. Times are the best of three, for a batch of queries; ratios are to FAISS's flat index on
plain cosine, or to scikit-learn's where FAISS is missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import ClassHierarchy
from sklearn_hierret.search import GalleryIndex, HardLeafDistance, SoftLeafDistance, search, unit_rows
from tests.benchmarks._data import markdown_table


def best_of(function: Callable[[], object], n: int = 3) -> float:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--neighbors", type=int, nargs="*", default=[1, 20, 100])
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(args.classes, args.features))
    classes = np.arange(args.classes)
    levels = [classes, classes // 3, classes // 12, 0 * classes]
    U = ClassHierarchy.from_levels(levels).distance_matrix()

    def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
        leaves = rng.integers(0, args.classes, n)
        return (centres[leaves] + rng.normal(size=(n, args.features))).astype(np.float32), leaves

    (X, leaves), (queries, query_leaves) = samples(args.gallery), samples(args.queries)
    unit = unit_rows(queries)[0]
    start = time.perf_counter()
    index, flat = GalleryIndex.build(X, leaves, U), GalleryIndex.build(X)
    print(f"two indexes built in {time.perf_counter() - start:.1f} s")
    hard = HardLeafDistance(query_leaves, leaves[index.order], U)
    proba = np.full((args.gallery, args.classes), 0.1 / args.classes, dtype=np.float32)
    proba[np.arange(args.gallery), leaves] += 0.9
    soft = SoftLeafDistance(proba[: args.queries], proba, U)
    slow = NearestNeighbors(metric="cosine", algorithm="brute").fit(X)
    peers: dict[str, Callable] = {"scikit-learn, cosine": lambda k: slow.kneighbors(queries, k)}
    try:
        import faiss
    except ImportError:
        pass
    else:
        other = faiss.IndexFlatIP(args.features)
        other.add(flat.unit)
        peers = {"FAISS flat, cosine": lambda k: other.search(unit, k), **peers}
    peer = next(iter(peers))
    rows = []
    for k in args.neighbors:
        methods = {
            f"hard leaves, alpha {a:g}": lambda a=a, k=k: search(unit, index, k, leaf_distance=hard, alpha=a)
            for a in (0.2, 1, 5)
        }
        methods["soft leaves, alpha 1"] = lambda k=k: search(unit, flat, k, leaf_distance=soft, alpha=1)
        methods["cosine"] = lambda k=k: search(unit, flat, k)
        methods |= {name: lambda find=find, k=k: find(k) for name, find in peers.items()}
        times = {name: best_of(method) for name, method in methods.items()}
        rows += [[k, name, f"{t:.3f}", f"{times[peer] / t:.2f}"] for name, t in times.items()]
    print(markdown_table(["k", "method", "seconds", f"times as fast as {peer}"], rows))


if __name__ == "__main__":
    main()
