"""What search is compared with: FAISS, scikit-learn, USearch, hnswlib and plain NumPy.

A method is a function of a slice of the queries and k that returns positions in the gallery. Peers are made
when they are first needed, since some take minutes to build.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec

import faiss
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever
from tests.benchmarks._problems import Problem

Method = Callable[[slice, int], np.ndarray]
#: Of hierarchies that are learned, the default of the retriever.
STEM = 0.7
RECALL, N_TUNE = 0.99, 200


def unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def flat(problem: Problem) -> Method:
    """Exact search by inner product: the reference."""
    index = faiss.IndexFlatIP(problem.X.shape[1])
    index.add(unit(problem.X))
    queries = unit(problem.queries)
    return lambda rows, k: index.search(queries[rows], k)[1]


def exact_peers(problem: Problem) -> dict[str, Callable[[], Method]]:
    def euclidean() -> Method:
        queries = unit(problem.queries)
        model = NearestNeighbors(algorithm="brute", metric="euclidean").fit(unit(problem.X))
        return lambda rows, k: model.kneighbors(queries[rows], k)[1]

    def cosine() -> Method:
        model = NearestNeighbors(algorithm="brute", metric="cosine").fit(problem.X)
        return lambda rows, k: model.kneighbors(problem.queries[rows], k)[1]

    def usearch() -> Method:
        from usearch.index import MetricKind, search

        gallery, queries = unit(problem.X), unit(problem.queries)
        return lambda rows, k: search(gallery, queries[rows], k, MetricKind.IP, exact=True).keys

    makers = {"scikit-learn, Euclidean on unit rows": euclidean, "scikit-learn, cosine": cosine}
    return {**makers, "USearch, exact": usearch} if find_spec("usearch") else makers


class Tuned:
    """An approximate index, with the least effort at which it finds 99 of 100 of the exact neighbours.

    Parameters
    ----------
    name : str
        Of the effort, for remarks.
    search : callable
        Of queries and k.
    set_effort : callable
    bounds : callable
        Of k: least and most effort.
    queries : ndarray
    exact : callable
        What is to be found.
    remarks : list of str
        Gets what was reached.
    """

    def __init__(
        self,
        name: str,
        search: Callable[[np.ndarray, int], np.ndarray],
        set_effort: Callable[[int], object],
        bounds: Callable[[int], tuple[int, int]],
        queries: np.ndarray,
        exact: Method,
        remarks: list[str],
    ) -> None:
        self.name, self.search, self.set_effort, self.bounds = name, search, set_effort, bounds
        self.queries, self.exact, self.remarks = queries, exact, remarks
        self.efforts: dict[int, int] = {}

    def __call__(self, rows: slice, k: int) -> np.ndarray:
        if k not in self.efforts:
            self.efforts[k] = self._tune(k)
        self.set_effort(self.efforts[k])
        return self.search(self.queries[rows], k)

    def _tune(self, k: int) -> int:
        wanted = self.exact(slice(0, N_TUNE), k)
        effort, most = self.bounds(k)
        while True:
            self.set_effort(effort)
            recall = overlap(self.search(self.queries[:N_TUNE], k), wanted)
            if recall >= RECALL or effort >= most:
                break
            effort = min(most, max(effort + 1, int(1.25 * effort)))
        self.remarks.append(f"{self.name} {effort} (of at most {most}) at k = {k}: recall {recall:.3f}")
        return effort


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the neighbours that are wanted among those that were found."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, wanted, strict=True)]))


def approximate_peers(
    problem: Problem,
    retriever: HierarchicalRetriever,
    exact: dict[float, Method],
    most_numbers: float,
    remarks: list[str],
) -> dict[str, Callable[[], Method]]:
    """Approximate indexes of combined vectors, one for each alpha in `exact`, its target.

    Both sides are scaled by the root of alpha, which leaves inner products as they are: the index is built
    for the alpha that is searched with. There is none where vectors have more than `most_numbers` in all.
    """
    d = problem.X.shape[1]
    width = d + len(retriever.classes_)
    if len(problem.X) * width > most_numbers:
        remarks.append(f"combined vectors of {width} numbers: too large for approximate indexes in this run")
        return {}

    @cache
    def combined() -> tuple[np.ndarray, np.ndarray]:
        embedding = HierarchicalEmbedding(
            retriever.hierarchy_, class_model=FrozenEstimator(retriever.class_model_), alpha=1, stem=STEM
        ).fit(problem.X_train, problem.y_train)
        return embedding.transform(problem.X), embedding.transform_query(problem.queries)

    def scaled(alpha: float) -> list[np.ndarray]:
        scale = np.ones(combined()[0].shape[1], dtype=np.float32)
        scale[d:] = np.sqrt(alpha)
        return [array * scale for array in combined()]

    def built(name: str, build: Callable[[], object]) -> None:
        start = time.perf_counter()
        build()
        remarks.append(f"{name}: built in {time.perf_counter() - start:.1f} s")

    def tuned(
        name: str,
        alpha: float,
        search: Callable[[np.ndarray, int], np.ndarray],
        set_effort: Callable[[int], object],
        bounds: Callable[[int], tuple[int, int]],
    ) -> Method:
        return Tuned(name, search, set_effort, bounds, scaled(alpha)[1], exact[alpha], remarks)

    def ivf(alpha: float) -> Method:
        vectors = scaled(alpha)[0]
        n_lists = int(4 * np.sqrt(len(vectors)))
        quantizer = faiss.IndexFlatIP(vectors.shape[1])
        index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], n_lists, faiss.METRIC_INNER_PRODUCT)
        name = f"FAISS IVF, alpha {alpha:g}"
        built(name, lambda: (index.train(vectors[: 40 * n_lists]), index.add(vectors)))
        set_effort = partial(setattr, index, "nprobe")
        return tuned(
            f"{name}: nprobe", alpha, lambda Q, k: index.search(Q, k)[1], set_effort, lambda k: (1, n_lists)
        )

    def efforts(k: int) -> tuple[int, int]:
        return max(k, 10), min(len(problem.X), max(2000, 4 * k))

    def graph(alpha: float) -> Method:
        vectors = scaled(alpha)[0]
        index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        name = f"FAISS HNSW, alpha {alpha:g}"
        built(name, lambda: index.add(vectors))
        set_effort = partial(setattr, index.hnsw, "efSearch")
        return tuned(f"{name}: ef", alpha, lambda Q, k: index.search(Q, k)[1], set_effort, efforts)

    def hnswlib(alpha: float) -> Method:
        import hnswlib

        vectors = scaled(alpha)[0]
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(len(vectors), M=16, ef_construction=200)
        name = f"hnswlib, alpha {alpha:g}"
        built(name, lambda: index.add_items(vectors))
        return tuned(f"{name}: ef", alpha, lambda Q, k: index.knn_query(Q, k)[0], index.set_ef, efforts)

    kinds = {"FAISS IVF": ivf, "FAISS HNSW": graph}
    if find_spec("hnswlib"):
        kinds["hnswlib"] = hnswlib
    return {
        f"{kind}, alpha {alpha:g}": lambda make=make, alpha=alpha: make(alpha)
        for kind, make in kinds.items()
        for alpha in exact
    }


def numpy_peers(
    problem: Problem, retriever: HierarchicalRetriever, alpha: float
) -> dict[str, Callable[[], Method]]:
    """Soft leaves in plain NumPy: probabilities of all classes, ``P D_H U'``, the k least, sorted.

    In single precision, with the probabilities of the gallery made beforehand, as those of the
    retriever are; those of the queries are made in every call, as there.
    """
    model = retriever.class_model_

    @cache
    def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tree = retriever.hierarchy_.restrict(model.classes_).with_stem(STEM)
        between = tree.distance_matrix().astype(np.float32)
        return unit(problem.X), between, model.predict_proba(problem.X).astype(np.float32)

    def least(rows: slice, k: int, leaf_distance: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        proba = model.predict_proba(problem.queries[rows]).astype(np.float32)
        distance = leaf_distance(proba)
        distance *= alpha
        distance -= unit(problem.queries[rows]) @ parts()[0].T
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1)
        return np.take_along_axis(near, order, axis=1)

    def plain() -> Method:
        _, between, proba = parts()
        return lambda rows, k: least(rows, k, lambda P: P @ between @ proba.T)

    def kept() -> Method:
        _, between, proba = parts()
        product = between @ proba.T
        return lambda rows, k: least(rows, k, lambda P: P @ product)

    return {f"NumPy, alpha {alpha:g}": plain, f"NumPy, D_H U' kept, alpha {alpha:g}": kept}
