r"""The visual distance: shrinkage, dimensions, codes, and the training set as its own gallery.

    python -m tests.benchmarks.whitening --plankton PATH/plankton --grocery PATH/grocery_store \
        --out docs/defaults.md

Training parts alone. Models are fitted to two thirds of the samples of a random half of the classes; the
other third of them are known classes, all samples of the other classes are new ones. Both retrieve among
themselves, leave-one-out. Gains over cosine of the features, mAP@1 / mAP@20, in the mean over two draws. Ten
minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    HammingRetriever,
    HierarchicalRetriever,
    ITQHasher,
    PCAHasher,
    WithinClassWhitening,
)
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.distance._choice import SHRINKAGES
from sklearn_hierret.metrics import average_precision_at_k
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

N_DRAWS, N_QUERIES, MOST_ITEMS = 2, 1000, 4000
DIMENSIONS = (32, 64, 128, 256)


def precision(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """mAP@1 and mAP@20 of the first rows among the others, by cosine."""
    counts = np.array([np.sum(y == label) for label in y[:N_QUERIES]]) - 1
    similarity = rows[:N_QUERIES] @ rows.T
    similarity[np.arange(len(similarity)), np.arange(len(similarity))] = -np.inf
    found = y[np.argsort(-similarity, axis=1, kind="stable")[:, :20]]
    return _means(y[:N_QUERIES], found, counts)


def _means(wanted: np.ndarray, found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.array(
        [np.nanmean(average_precision_at_k(wanted, found, k, n_relevant=counts)) for k in (1, 20)]
    )


class Draw:
    """A half of the classes, and samples of known and of new ones."""

    def __init__(self, data: Data, seed: int) -> None:
        classes = np.unique(data.y_train)
        known = np.random.RandomState(seed).permutation(classes)[: len(classes) // 2]
        is_known = np.isin(data.y_train, known)
        is_fit = np.random.RandomState(100 + seed).rand(len(data.y_train)) < 2 / 3
        X, y = data.X_train, data.y_train
        self.fit = X[is_known & is_fit], y[is_known & is_fit]
        self.parts = {
            "known": (X[is_known & ~is_fit][:MOST_ITEMS], y[is_known & ~is_fit][:MOST_ITEMS]),
            "new": (X[~is_known][:MOST_ITEMS], y[~is_known][:MOST_ITEMS]),
        }

    def of(self, transform: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Precision of known and of new classes, (2, 2)."""
        return np.array([precision(unit_rows(transform(X))[0], y) for X, y in self.parts.values()])


def shown(gains: np.ndarray) -> list[str]:
    return [" / ".join(f"{value:+.3f}" for value in kind) for kind in gains]


def shrinkages(data: Data, draws: list[Draw]) -> list[list[str]]:
    """Gains of every shrinkage, and which one is chosen."""
    rows, base = [], np.mean([draw.of(lambda X: X) for draw in draws], axis=0)
    chosen = [_chosen(draw) for draw in draws]
    rows.append([data.name, "cosine", *(" / ".join(f"{v:.3f}" for v in kind) for kind in base)])
    for s in SHRINKAGES[1:]:
        found = np.mean(
            [draw.of(WithinClassWhitening(shrinkage=s).fit(*draw.fit).transform) for draw in draws], axis=0
        )
        mark = "**" if s in chosen else ""
        rows.append([data.name, f"{mark}{s:g}{mark}", *shown(found - base)])
    closed = []
    for draw in draws:
        oas = HierarchicalRetriever(metric="cosine", alpha=0).fit(*draw.fit).class_model_.shrinkage_
        closed.append(draw.of(WithinClassWhitening(shrinkage=oas).fit(*draw.fit).transform))
    rows.append([data.name, "the class model's", *shown(np.mean(closed, axis=0) - base)])
    auto = []
    for draw, s in zip(draws, chosen, strict=True):
        model = None if s is None else WithinClassWhitening(shrinkage=s).fit(*draw.fit)
        auto.append(draw.of(lambda X: X) if model is None else draw.of(model.transform))
    names = ", ".join("cosine" if s is None else f"{s:g}" for s in chosen)
    rows.append([data.name, f"chosen: {names}", *shown(np.mean(auto, axis=0) - base)])
    return rows


def _chosen(draw: Draw) -> float | None:
    return HierarchicalRetriever(alpha=0).fit(*draw.fit).shrinkage_


def dimensions(data: Data, draws: list[Draw]) -> list[list[str]]:
    """Gains of fewer dimensions, beside PCA and the first features."""
    base, d = np.mean([draw.of(lambda X: X) for draw in draws], axis=0), data.X_train.shape[1]
    rows = []
    for m in (*(m for m in DIMENSIONS if m < d), d):
        ways: dict[str, list[np.ndarray]] = {"whitened": [], "PCA": [], "first features": []}
        for draw in draws:
            n_components = None if m == d else m
            whitening = WithinClassWhitening(n_components=n_components).fit(*draw.fit)
            ways["whitened"].append(draw.of(whitening.transform))
            weighed = WithinClassWhitening(n_components=n_components, between_shrinkage="auto").fit(*draw.fit)
            ways.setdefault("whitened, weighed by classes", []).append(draw.of(weighed.transform))
            unit, y = unit_rows(draw.fit[0])[0], draw.fit[1]
            if m <= min(unit.shape):
                pca = PCA(m, random_state=0).fit(unit, y)
                ways["PCA"].append(draw.of(lambda X, pca=pca: pca.transform(unit_rows(X)[0])))
            ways["first features"].append(draw.of(lambda X, m=m: X[:, :m]))
        seconds = _search_time(data, m)
        for name, found in ways.items():
            if found:
                gains = shown(np.mean(found, axis=0) - base)
                rows.append([data.name, m, 4 * m, f"{seconds:.2f}", name, *gains])
    whole = float(rows[-1][3])
    return [[*row[:3], f"{float(row[3]) / whole:.2f}", *row[4:]] for row in rows]


def _search_time(data: Data, m: int) -> float:
    """Seconds of a search without leaves, the best of three."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, m), dtype=np.float32)
    neighbours = NearestNeighbors(n_neighbors=20, algorithm="brute").fit(unit_rows(X)[0])
    queries, times = unit_rows(X[:500])[0], []
    for _ in range(3):
        start = time.perf_counter()
        neighbours.kneighbors(queries)
        times.append(time.perf_counter() - start)
    return min(times)


def own_gallery(data: Data) -> list[list[str]]:
    """What it gains that the whitening saw the labels of the samples that retrieve each other."""
    rows = []
    order = np.random.RandomState(0).permutation(len(data.y_train))
    for n in (500, 2000, 8000):
        if 2 * n > len(order):
            continue
        mine, others = order[:n], order[n : 2 * n]
        X, y = data.X_train[mine], data.y_train[mine]
        seen, unseen = (
            WithinClassWhitening(shrinkage=0.3).fit(data.X_train[some], data.y_train[some]).transform(X)
            for some in (mine, others)
        )
        gains = precision(unit_rows(seen)[0], y) - precision(unit_rows(unseen)[0], y)
        rows.append([data.name, n, X.shape[1], f"{gains[0]:+.3f} / {gains[1]:+.3f}"])
    return rows


def codes(data: Data, draws: list[Draw]) -> list[list[str]]:
    """mAP of 64-bit codes of features and of whitened features."""
    rows = []
    for name, hasher in (("PCA", PCAHasher(64)), ("ITQ", ITQHasher(64, random_state=0))):
        if data.X_train.shape[1] < 64:
            continue
        gains = []
        for draw in draws:
            whitening = WithinClassWhitening().fit(*draw.fit)
            both = [
                _of_codes(hasher, draw, change) for change in (lambda X: unit_rows(X)[0], whitening.transform)
            ]
            gains.append(both[1] - both[0])
        rows.append([data.name, name, *shown(np.mean(gains, axis=0))])
    return rows


def _of_codes(hasher: object, draw: Draw, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    fitted = hasher.fit(change(draw.fit[0]), draw.fit[1])  # type: ignore[attr-defined]
    found = []
    for X, y in draw.parts.values():
        retriever = HammingRetriever(alpha=0).fit(fitted.transform(change(X)), y)
        ranked = y[retriever.kneighbors(None, 20, return_distance=False)[:N_QUERIES]]
        counts = np.array([np.sum(y == label) for label in y[:N_QUERIES]]) - 1
        found.append(_means(y[:N_QUERIES], ranked, counts))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    args = parser.parse_args()
    tables: dict[str, tuple[list, list]] = {
        "shrinkage": (["data", "shrinkage", "known classes", "new classes"], []),
        "dimensions": (
            ["data", "dimensions", "bytes a row", "search time", "kept", "known classes", "new classes"],
            [],
        ),
        "own gallery": (["data", "samples", "features", "seen less unseen"], []),
        "codes": (["data", "hasher", "known classes", "new classes"], []),
    }
    for data in data_sets(args):
        draws = [Draw(data, seed) for seed in range(N_DRAWS)]
        tables["shrinkage"][1].extend(shrinkages(data, draws))
        if data.X_train.shape[1] > 100:
            tables["dimensions"][1].extend(dimensions(data, draws))
            tables["codes"][1].extend(codes(data, draws))
        tables["own gallery"][1].extend(own_gallery(data))
        print(data.name, flush=True)
    for name, (header, rows) in tables.items():
        text = markdown_table(header, rows)
        print(text, flush=True)
        if args.out:
            write_between(args.out, name, text)


if __name__ == "__main__":
    main()
