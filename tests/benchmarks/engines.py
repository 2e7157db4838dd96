r"""The vectors of a retriever in engines of others: recall of its own 20 neighbours against time and bytes.

    python -m tests.benchmarks.engines --write docs                    # 200,000 x 384, ten minutes
    python -m tests.benchmarks.engines --size 1000000 --write docs     # hours, and 12 GB

Made-up classes of which about 65 % of the leaves of queries are right, an unlabelled gallery, the defaults of
the retriever; vectors of `HierarchicalEmbedding.from_retriever`. Times are of one query at a time on
one thread, the best of three rounds; that of the retriever includes its checks, its leaves and its map to
visual rows, those of the engines begin with vectors.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time
from pathlib import Path

import faiss
import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever
from tests.benchmarks._data import markdown_table, write_between
from tests.benchmarks._problems import Shape, clouds

K, N_QUERIES = 20, 200


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, expected, strict=True)]))


def milliseconds(search: object, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Time of one query, and what was found for all."""
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        found = np.concatenate([search(row[None]) for row in queries])  # type: ignore[operator]
        best = min(best, (time.perf_counter() - start) / len(queries))
    return 1e3 * best, found


def built(kind: str, vectors: np.ndarray) -> faiss.Index:
    n, d = vectors.shape
    if kind == "flat":
        index = faiss.IndexFlatIP(d)
    elif kind == "IVF":
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, int(4 * np.sqrt(n)), faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, n // 50_000)])
    elif kind == "HNSW":
        index = faiss.IndexHNSWFlat(d, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
    else:
        bits = {"float16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}[kind]
        index = faiss.IndexScalarQuantizer(d, bits, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, n // 50_000)])
    index.add(vectors)
    return index


def binary(vectors: np.ndarray, queries: np.ndarray, n_again: int) -> tuple[float, np.ndarray]:
    """Signs of a random rotation, and the best by them ranked again by whole vectors."""
    d = vectors.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0].astype(np.float32)
    width = -(-d // 8) * 8
    codes = [
        np.packbits(np.pad(rows @ rotation > 0, ((0, 0), (0, width - d))), axis=1)
        for rows in (vectors, queries)
    ]
    index = faiss.IndexBinaryFlat(width)
    index.add(codes[0])
    at = iter(range(10**9))

    def search(row: np.ndarray) -> np.ndarray:
        i = next(at) % len(queries)
        near = index.search(codes[1][i : i + 1], n_again)[1][0]
        return near[np.argsort(-(vectors[near] @ row[0]), kind="stable")[:K]][None]

    return milliseconds(search, queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--size", type=int, default=200_000)
    parser.add_argument("--write", type=Path, help="folder of docs whose page scale.md is updated")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    problem = clouds(Shape(args.size, 384, 200, 0.65, n_train=20_000), N_QUERIES)
    retriever = HierarchicalRetriever(n_jobs=1).fit(problem.X_train, problem.y_train).set_gallery(problem.X)
    X = problem.queries[:N_QUERIES]
    embedding = HierarchicalEmbedding.from_retriever(retriever)
    vectors = np.ascontiguousarray(embedding.transform_gallery(), dtype=np.float32)
    queries = np.ascontiguousarray(embedding.transform_query(X), dtype=np.float32)
    own, expected = milliseconds(lambda row: retriever.kneighbors(row, K, return_distance=False), X)
    rows, curves = [["the retriever", f"{own:.2f}", "1", f"{4 * 384}"]], {}
    d = vectors.shape[1]
    for kind, n_bytes in (
        ("flat", 4 * d),
        ("float16", 2 * d),
        ("int8", d),
        ("IVF", 4 * d),
        ("HNSW", 4 * d + 128),
    ):
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        index = built(kind, vectors)
        faiss.omp_set_num_threads(1)
        settings: list = [None]
        if kind == "IVF":
            settings = [1, 2, 4, 8, 16, 32, 64, 128]
        if kind == "HNSW":
            settings = [20, 40, 80, 160, 320, 640]
        curve = []
        for setting in settings:
            if kind == "IVF":
                index.nprobe = setting
            if kind == "HNSW":
                index.hnsw.efSearch = setting
            ms, found = milliseconds(lambda row, index=index: index.search(row, K)[1], queries)
            curve.append((ms, recall(found, expected)))
            print(kind, setting, curve[-1], flush=True)
        curves[kind] = curve
        ms, share = next((point for point in curve if point[1] >= 0.99), curve[-1])
        rows.append([f"FAISS {kind}", f"{ms:.2f}", f"{share:.3f}", f"{n_bytes}"])
        del index
    for n_again in (K, 200, 2000):
        ms, found = binary(vectors, queries, n_again)
        name = "binary" if n_again == K else f"binary, the first {n_again} again by vectors"
        size = f"{-(-d // 8)}" + ("" if n_again == K else f" + {4 * d}")
        rows.append([f"FAISS {name}", f"{ms:.2f}", f"{recall(found, expected):.3f}", size])
        print(rows[-1], flush=True)
    text = markdown_table(["index", "ms a query", "recall of the 20 neighbours", "bytes a sample"], rows)
    text = f"{args.size:,} x 384, 200 classes, vectors of {d} numbers:\n\n{text}"
    print(text)
    if args.write:
        write_between(args.write / "scale.md", "engines", text)
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        for kind, colour in (("IVF", "C0"), ("HNSW", "C1")):
            ms, shares = zip(*curves[kind], strict=True)
            axes.plot(ms, shares, "o-", color=colour)
            axes.annotate(
                f"FAISS {kind}", (ms[-1], shares[-1]), (0, -14), textcoords="offset points", color=colour
            )
        axes.plot(own, 1, "ks")
        axes.annotate("the retriever, exact", (own, 1), (-8, -14), textcoords="offset points", ha="right")
        axes.set(
            xscale="log", xlabel="milliseconds a query, one thread", ylabel="recall of its 20 neighbours"
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        figure.savefig(args.write / "images" / "engines.png", dpi=150)


if __name__ == "__main__":
    main()
