"""Building hierarchies of many classes, against the naive loop over all pairs.

    python -m tests.benchmarks.hierarchies                # up to 1,000 classes, a few minutes
    python -m tests.benchmarks.hierarchies --full         # 8,142 classes too
    python -m tests.benchmarks.hierarchies --write docs   # the table into docs/

The naive loop is that of the published code: for each pair a singular value decomposition of the
mean covariance for its pseudo-inverse, and three determinants. It is timed on some pairs of each
level and extrapolated to all pairs of all levels ("naive" column). Times of this package are those of
a whole `fit`, statistics of the samples included. Classes are Gaussian clouds that overlap in groups.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np

from sklearn_hierret import HierarchyBuilder, MahalanobisClassifier
from tests.benchmarks._data import markdown_table

HEADER = ["classes", "d", "covariance", "clusters per level", "fit (s)", "naive (s)", "ratio"]
HEADER += ["all overlaps (s)", "ratio", "peak (MB)"]


def groups_of_classes(n_classes: int, d: int, per_class: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds whose centres lie in groups of groups, of uneven sizes and shapes."""
    rng = np.random.default_rng(seed)
    c = np.arange(n_classes)
    centres = 9.0 * rng.normal(size=(n_classes, d))[c // 25] + 3.2 * rng.normal(size=(n_classes, d))[c // 5]
    centres = (centres + 1.5 * rng.normal(size=(n_classes, d))) / np.sqrt(d)
    sizes = rng.integers(per_class // 2, 3 * per_class // 2, n_classes)
    y = rng.permutation(np.repeat(c, sizes))
    X = rng.standard_normal((len(y), d), dtype=np.float32)
    X *= rng.uniform(0.95, 1.05, size=(n_classes, d)).astype(np.float32)[y]
    X += centres.astype(np.float32)[y]
    return X, y


def naive_pair(m1: np.ndarray, S1: np.ndarray, m2: np.ndarray, S2: np.ndarray) -> float:
    S = (S1 + S2) / 2
    np.linalg.svd(S)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_term = np.log(np.linalg.det(S) / np.sqrt(np.linalg.det(S1) * np.linalg.det(S2)))
    return float(np.exp(-((m1 - m2) @ np.linalg.pinv(S) @ (m1 - m2) / 8 + 0.5 * log_term)))


def naive_seconds_per_pair(builder: HierarchyBuilder, n_pairs: int = 60) -> float:
    model = builder.class_model_
    rng = np.random.default_rng(0)
    tied = model.covariance_type == "tied"
    start = time.perf_counter()
    for _ in range(n_pairs):
        i, j = rng.choice(len(model.classes_), 2, replace=False)
        S1, S2 = (model.covariances_,) * 2 if tied else (model.covariances_[i], model.covariances_[j])
        naive_pair(model.means_[i], S1, model.means_[j], S2)
    return (time.perf_counter() - start) / n_pairs


def run(n_classes: int, d: int, covariance_type: str, per_class: int, threshold: float) -> list:
    X, y = groups_of_classes(n_classes, d, per_class)
    model = MahalanobisClassifier(covariance_type, n_components=None)
    builder = HierarchyBuilder(threshold, class_model=model)
    seconds = min(_timed(lambda: builder.fit(X, y)) for _ in range(2 if n_classes <= 1000 else 1))
    shape = [len(np.unique(level)) for level in builder.levels_[1:]]
    levels = [n_classes, *shape[:-1]] if len(shape) > 1 else [n_classes]
    naive = naive_seconds_per_pair(builder) * sum(k * (k - 1) / 2 for k in levels)
    first = naive_seconds_per_pair(builder) * n_classes * (n_classes - 1) / 2
    overlaps = _timed(builder.class_model_.overlap_of) if n_classes <= 1000 else None
    tracemalloc.start()
    builder.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        n_classes,
        d,
        covariance_type,
        " ".join(map(str, shape)),
        f"{seconds:.2f}",
        f"{naive:.0f}",
        f"{naive / seconds:.0f}",
        "" if overlaps is None else f"{overlaps:.2f}",
        "" if overlaps is None else f"{first / overlaps:.0f}",
        f"{peak / 2**20:.0f}",
    ]


def _timed(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--full", action="store_true", help="8,142 classes too")
    parser.add_argument("--write", type=Path, help="folder for the table")
    args = parser.parse_args()
    rows = []
    for n_classes in (100, 200, 1000, *([8142] if args.full else [])):
        for d in (64, 100, 128, 512):
            for covariance_type in ("tied", "full"):
                numbers = n_classes * d * d
                if (d == 100 and n_classes != 200) or (covariance_type == "full" and numbers > 2e7):
                    continue  # two gigabytes of covariances are not what is measured here
                per_class = 40 if n_classes > 1000 else 6 * d
                rows.append(run(n_classes, d, covariance_type, per_class, 0.05))
                print(markdown_table(HEADER, rows[-1:]).splitlines()[-1], flush=True)
    table = markdown_table(HEADER, rows)
    print(table)
    if args.write:
        (args.write / "hierarchies_benchmark.md").write_text(f"{table}\n")


if __name__ == "__main__":
    main()
