"""Hamming search side by side with FAISS, in one run.

    python -m tests.benchmarks.hamming

Codes are random, or near one of 1,000 random centres (each bit flips with probability 0.05, and half of
the codes are a centre itself, so that ties are many). Neighbours are compared: they are the same, in the
order of (distance, index). Times are the best of three calls of `kneighbors` on 500 queries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np
from sklearn.dummy import DummyClassifier

from sklearn_hierret import ClassHierarchy, HammingRetriever
from sklearn_hierret.hashing import unpack_signs
from tests.benchmarks._data import markdown_table

N_QUERIES = 500


def random_codes(rng: np.random.Generator, n: int, n_bytes: int) -> np.ndarray:
    return rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)


def near_centres(rng: np.random.Generator, n: int, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and their centres."""
    which = rng.integers(0, len(centres), n)
    codes = centres[which]
    flipped = np.packbits(rng.random((n, 8 * codes.shape[1]), dtype=np.float32) < 0.05, axis=1)
    return np.where(rng.random((n, 1)) < 0.5, codes, codes ^ flipped), which


class Nearest(DummyClassifier):
    """The centre of a code, known by its first bits: leaves that cost nothing."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classes_[(X[:, :10] > 0) @ (1 << np.arange(10)) % len(self.classes_)]


def best(call: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=(100_000, 1_000_000))
    parser.add_argument("--bits", type=int, nargs="*", default=(32, 64, 128))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    tree = ClassHierarchy.from_levels(
        [np.arange(100) // step for step in (1, 10, 100)], [f"{i:03d}" for i in range(100)]
    )
    rows = []
    for n in options.sizes:
        for n_bits in options.bits:
            centres = random_codes(rng, 1000, n_bits // 8)
            sets = {
                "random": (random_codes(rng, n, n_bits // 8), random_codes(rng, N_QUERIES, n_bits // 8)),
                "near 1,000 centres": (
                    near_centres(rng, n, centres)[0],
                    near_centres(rng, N_QUERIES, centres)[0],
                ),
            }
            for name, (gallery, queries) in sets.items():
                rows += rows_of(name, n_bits, gallery, queries, tree)
    header = ["codes", "gallery", "bits", "k", "threads", "FAISS heap, ms", "FAISS counting, ms"]
    print(
        markdown_table([*header, "this package, ms", "times FAISS's best", "with leaves, alpha 1, ms"], rows)
    )


def rows_of(
    name: str, n_bits: int, gallery: np.ndarray, queries: np.ndarray, tree: ClassHierarchy
) -> list[list]:
    flat = faiss.IndexBinaryFlat(n_bits)
    flat.add(gallery)
    plain = HammingRetriever().fit(gallery)
    model = Nearest().fit(unpack_signs(gallery[:1000]), np.resize(tree.classes, 1000))
    y = model.predict(unpack_signs(gallery))
    leaves = HammingRetriever(tree, alpha=1.0, class_model=Nearest()).fit(gallery, y)
    rows = []
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        for k in (1, 20, 100):
            times = []
            for flat.use_heap in (True, False):
                seconds, found = best(lambda k=k: flat.search(queries, k))
                times.append(seconds)
            ours, neighbours = best(
                lambda k=k, threads=threads: plain.set_params(n_jobs=threads).kneighbors(queries, k)
            )
            if not np.array_equal(np.rint(neighbours[0] * n_bits), found[0]):
                raise AssertionError("FAISS found other distances")
            other = plain.set_params(backend="faiss").kneighbors(queries, k)
            plain.set_params(backend="numpy")
            if not np.array_equal(other[1], neighbours[1]):
                raise AssertionError("backends differ")
            with_leaves, _ = best(
                lambda k=k, threads=threads: leaves.set_params(n_jobs=threads).kneighbors(queries, k)
            )
            rows.append([name, f"{len(gallery):,}", n_bits, k, threads])
            rows[-1] += [f"{1e3 * t / N_QUERIES:.3f}" for t in (*times, ours)]
            rows[-1] += [f"{ours / min(times):.2f}", f"{1e3 * with_leaves / N_QUERIES:.3f}"]
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
