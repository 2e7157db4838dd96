"""Search side by side: this package, FAISS, hnswlib and scikit-learn, in one run.

    python -m tests.benchmarks.search                # 100,000 items, a few minutes
    python -m tests.benchmarks.search --full         # 1,000,000 items too
    python -m tests.benchmarks.search --plankton DIR # real features too, tiled and jittered
    python -m tests.benchmarks.search --write docs   # table and picture into docs/

Classes are Gaussian clouds of a hierarchy of three levels that overlap. Times are the best of
several; those of this package are whole calls of `kneighbors`, checks and leaf assignment included.
FAISS and hnswlib get queries that are normalised already. Approximate indexes hold the combined
vectors of `HierarchicalEmbedding` (hard leaves, alpha 1) and are tuned to a recall of 0.99.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    MahalanobisClassifier,
)
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.search import GalleryIndex
from tests.benchmarks._data import markdown_table, plankton

PEER = "FAISS flat, cosine"
N_TRAIN = 20_000
#: Above this many items: one k, and no peers that take minutes to build or to search.
LARGE = 200_000
#: Vectors of approximate indexes that fit into this machine's memory and patience.
MOST_NUMBERS = 2e8


@dataclass
class Problem:
    name: str
    X: np.ndarray
    X_train: np.ndarray
    y_train: np.ndarray
    queries: np.ndarray
    hierarchy: ClassHierarchy


def clouds(n: int, d: int, n_classes: int, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    c = np.arange(n_classes)
    levels = [c, c // 4, c // 16, 0 * c]
    offsets = [rng.normal(size=(n_classes, d)) for _ in range(3)]
    centres = (offsets[0] + 0.7 * offsets[1][levels[1]] + offsets[2][levels[2]]).astype(np.float32)

    def samples(m: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, n_classes, m)
        X = rng.standard_normal((m, d), dtype=np.float32)
        X += 0.7 * centres[y]
        return X, y

    X_train, y_train = samples(max(N_TRAIN, 20 * n_classes))
    name = f"{n:,} x {d}, {n_classes:,} classes"
    return Problem(
        name, samples(n)[0], X_train, y_train, samples(1000)[0], ClassHierarchy.from_levels(levels)
    )


def real(folder: Path, n: int = 100_000) -> Problem:
    """Plankton features, repeated with noise of a twentieth of their spread."""
    data = plankton(folder)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(data.X_test), n + 1000)
    X = data.X_test[rows] + 0.05 * data.X_test.std(axis=0) * rng.normal(size=(n + 1000, data.X_test.shape[1]))
    X = X.astype(np.float32)
    name = f"plankton, tiled to {n:,} x {X.shape[1]}, {data.taxonomy.n_classes} classes"
    return Problem(name, X[:n], data.X_train, data.y_train, X[n:], data.taxonomy)


def best_of(function: Callable[[], object], seconds: float = 1.0) -> float:
    times: list[float] = []
    while len(times) < 2 or (sum(times) < seconds and len(times) < 20):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_of(function: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _neighbours(retriever: HierarchicalRetriever, alpha: float, Q: np.ndarray, k: int) -> np.ndarray:
    return retriever.set_params(alpha=alpha).kneighbors(Q, k)[1]


def ours(problem: Problem, n_jobs: int | None) -> dict[str, Callable]:
    """Functions of queries and k."""
    paper = MahalanobisClassifier("tied", decision="mahalanobis").fit(problem.X_train, problem.y_train)
    default = MahalanobisClassifier().fit(problem.X_train, problem.y_train)
    methods: dict[str, Callable] = {}
    for name, model, assignment, alphas in [
        ("hard leaves (tied covariance)", paper, "hard", (0.2, 1.0, 5.0)),
        ("hard leaves (full covariance)", default, "hard", (1.0,)),
        ("soft leaves", default, "soft", (1.0, 16.0)),
        ("cosine", paper, "hard", (0.0,)),
    ]:
        retriever = HierarchicalRetriever(
            problem.hierarchy,
            class_model=FrozenEstimator(model),
            alpha=1.0,
            stem=0.0,
            assignment=assignment,
            n_jobs=n_jobs,
        ).fit(problem.X_train, problem.y_train)
        retriever.set_gallery(problem.X)
        for alpha in alphas:
            title = f"{name}, alpha {alpha:g}" if alpha else name
            methods[title] = partial(_neighbours, retriever, alpha)
    return methods


def peers(problem: Problem, exact: np.ndarray, k: int) -> tuple[dict[str, Callable], list[str]]:
    """FAISS, hnswlib and scikit-learn, those that are installed, and remarks."""
    import faiss

    unit, queries = unit_rows(problem.X)[0], unit_rows(problem.queries)[0]
    flat = faiss.IndexFlatIP(unit.shape[1])
    flat.add(unit)
    methods: dict[str, Callable] = {PEER: lambda Q, k: flat.search(queries[: len(Q)], k)[1]}
    if len(unit) > LARGE:
        return methods, []
    slow = NearestNeighbors(metric="cosine", algorithm="brute").fit(problem.X)
    methods["scikit-learn, cosine"] = lambda Q, k: slow.kneighbors(Q, k)[1]
    paper = MahalanobisClassifier("tied", decision="mahalanobis")
    embedding = HierarchicalEmbedding(
        problem.hierarchy, class_model=paper, assignment="hard", alpha=1, stem=0.0
    )
    embedding.fit(problem.X_train, problem.y_train)
    width = unit.shape[1] + embedding.class_embedding_.shape[1]
    if len(unit) * width > MOST_NUMBERS:
        return methods, [f"{problem.name}: combined vectors of {width} numbers, no approximate index"]
    vectors = embedding.transform(problem.X)
    combined = embedding.transform_query(problem.queries)
    remarks = []

    def recall(found: np.ndarray) -> float:
        return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found, exact, strict=True)]))

    quantizer = faiss.IndexFlatIP(width)
    ivf = faiss.IndexIVFFlat(quantizer, width, int(4 * np.sqrt(len(unit))), faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors[:: max(1, len(vectors) // 60_000)])
    ivf.add(vectors)
    ivf.nprobe = 1
    while recall(ivf.search(combined, k)[1]) < 0.99 and ivf.nprobe < ivf.nlist:
        ivf.nprobe *= 2
    name = "FAISS IVF, combined"
    methods[name] = lambda Q, k: ivf.search(combined[: len(Q)], k)[1]
    remarks.append(f"{problem.name}: IVF nprobe {ivf.nprobe} of {ivf.nlist}")
    try:
        import hnswlib
    except ImportError:
        return methods, remarks
    graph = hnswlib.Index(space="ip", dim=width)
    graph.init_index(len(vectors), M=16, ef_construction=200)
    start = time.perf_counter()
    graph.add_items(vectors)
    built = time.perf_counter() - start
    ef = k
    while True:
        graph.set_ef(ef)
        reached = recall(graph.knn_query(combined, k)[0].astype(int))
        if reached >= 0.99 or ef >= 2000:
            break
        ef = int(1.5 * ef)
    remarks.append(f"{problem.name}: hnswlib ef {ef}, recall {reached:.3f}, built in {built:.0f} s")

    def by_graph(Q: np.ndarray, k: int) -> np.ndarray:
        graph.set_ef(max(ef, k))
        return graph.knn_query(combined[: len(Q)], k)[0]

    methods["hnswlib, combined"] = by_graph
    return methods, remarks


def run(problem: Problem, n_jobs: int | None) -> tuple[list[list], list[str]]:
    start = time.perf_counter()
    leaves = MahalanobisClassifier("tied").fit(problem.X_train, problem.y_train).predict(problem.X)
    assigned = time.perf_counter() - start
    series = problem.hierarchy.leaf_order
    build_time = best_of(lambda: GalleryIndex.build(problem.X, leaves, series), 0)
    build_peak = 1 + peak_of(lambda: GalleryIndex.build(problem.X, leaves, series)) / problem.X.nbytes
    remarks = [
        f"{problem.name}: leaves of the gallery in {assigned:.1f} s, index from them in {build_time:.1f} s, "
        f"peak {build_peak:.2f} times the gallery, itself included"
    ]
    mine = ours(problem, n_jobs)
    exact = mine["hard leaves (tied covariance), alpha 1"](problem.queries, 20)
    others, more = peers(problem, exact, 20)
    rows = []
    beyond_leaf = 2 * len(problem.X) // problem.hierarchy.n_classes
    for n_queries in (1000, 1):
        for k in (1, 20, 100, beyond_leaf) if len(problem.X) <= LARGE else (20,):
            times, peaks = {}, {}
            for name, method in {**others, **mine}.items():
                Q = problem.queries[:n_queries]
                times[name] = best_of(lambda method=method, Q=Q, k=k: method(Q, k))
                if name in mine:
                    peaks[name] = peak_of(lambda method=method, Q=Q, k=k: method(Q, k)) / problem.X.nbytes
            for name, seconds in times.items():
                ratio = f"{times[PEER] / seconds:.3g}"
                peak = f"{peaks[name]:.2f}" if name in peaks else ""
                rows.append([problem.name, n_queries, k, name, f"{1e3 * seconds:.4g}", ratio, peak])
            print(markdown_table(HEADER, rows[-len(times) :]), flush=True)
    return rows, remarks + more


HEADER = ["gallery", "queries", "k", "method", "ms", f"times as fast as {PEER}", "peak / gallery"]


def draw(rows: list[list]) -> Figure:
    """Batches of 1,000, k = 20: how many times as fast as FAISS's flat index."""
    chosen = [row for row in rows if row[1] == 1000 and row[2] == 20 and row[3] != PEER]
    galleries = list(dict.fromkeys(row[0] for row in chosen))
    methods = list(dict.fromkeys(row[3] for row in chosen))
    figure = Figure(figsize=(9, 1.6 + 0.36 * len(methods)), layout="constrained")
    ax = figure.subplots()
    for i, gallery in enumerate(galleries):
        speed = {row[3]: float(row[5]) for row in chosen if row[0] == gallery}
        places = [j + 0.08 * (i - len(galleries) / 2) for j, method in enumerate(methods) if method in speed]
        ax.plot([speed[m] for m in methods if m in speed], places, "osD^vP"[i % 6], label=gallery)
    ax.axvline(1, color="black", linewidth=1)
    ax.set(
        xscale="log",
        yticks=np.arange(len(methods)),
        yticklabels=methods,
        xlabel=f"times as fast as {PEER} (batches of 1,000, k = 20)",
    )
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=2, fontsize="small")
    return figure


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--full", action="store_true", help="1,000,000 items too")
    parser.add_argument("--plankton", type=Path, help="folder of the plankton data")
    parser.add_argument("--n-jobs", type=int, help="threads of this package's search")
    parser.add_argument("--write", type=Path, help="folder for the table and the picture")
    args = parser.parse_args()
    shapes = [(100_000, 128, 100), (100_000, 64, 1000), (100_000, 512, 100)]
    if args.full:
        shapes += [(1_000_000, 64, 100), (1_000_000, 128, 1000)]
    problems: list[Callable[[], Problem]] = [lambda shape=shape: clouds(*shape) for shape in shapes]
    if args.plankton:
        problems.append(lambda: real(args.plankton))
    rows, remarks = [], []
    for make in problems:
        more_rows, more_remarks = run(make(), args.n_jobs)
        rows += more_rows
        remarks += more_remarks
        print("\n".join(more_remarks), flush=True)
    if args.write:
        text = "\n".join(f"- {remark}" for remark in remarks)
        note = "# Search, side by side\n\n"
        note += "Made by `python -m tests.benchmarks.search --full --plankton PATH/plankton --write docs` on "
        note += "two cores; [retrieval at scale](search.md) says what it means.\n\n"
        path = args.write / "search_benchmark.md"
        path.write_text(f"{note}{markdown_table(HEADER, rows)}\n\n{text}\n")
        draw(rows).savefig(args.write / "images" / "search.png", dpi=120)


if __name__ == "__main__":
    main()
