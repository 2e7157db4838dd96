"""Galleries and queries for the benchmark of search, shaped like features of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks._data import plankton


@dataclass
class Problem:
    """A gallery, queries with true labels, and the samples that models are fitted to."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_train: np.ndarray
    y_train: np.ndarray
    queries: np.ndarray
    y_queries: np.ndarray
    #: Small enough for arrays of samples by classes: compared with NumPy, in batches of 500.
    with_numpy: bool = False


@dataclass(frozen=True)
class Shape:
    """Size of a problem; `aim` is the accuracy that `separation` is asked for.

    It was set such that about 65 % of the class model's leaves are right: the rule knows the covariance, and
    the class model shrinks its means, so that the two differ by a few percent.
    """

    n: int
    d: int
    n_classes: int
    aim: float = 0.65
    n_train: int = 0
    with_numpy: bool = False
    is_default: bool = False

    @property
    def name(self) -> str:
        return f"{self.n:,} x {self.d}, {self.n_classes:,} classes"


SHAPES = [
    Shape(100_000, 128, 100, 0.65, is_default=True),
    Shape(50_000, 768, 200, 0.62, is_default=True),
    Shape(100_000, 384, 1_000, 0.66, is_default=True),
    Shape(4_000, 128, 2_000, 0.68, n_train=4_000, with_numpy=True, is_default=True),
    Shape(100_000, 128, 10_000, 0.70),
    Shape(1_000_000, 128, 100, 0.65),
    Shape(1_000_000, 128, 1_000, 0.67),
]


def separation(centres: np.ndarray, spectrum: np.ndarray, per_class: float, aim: float) -> float:
    """Scale of the centres at which nearest class means of so many samples each are right so often.

    Bisection with 1,000 samples, in whitened coordinates, where a mean of m samples is the centre plus
    noise of variance 1 / m.
    """
    rng = np.random.default_rng(1)
    white = centres / np.sqrt(spectrum)
    y = rng.integers(0, len(white), 1000)
    noise = rng.standard_normal((len(y), white.shape[1]))
    blur = rng.standard_normal(white.shape) / np.sqrt(per_class)
    low, high = -8.0, 3.0
    for _ in range(14):
        middle = (low + high) / 2
        means = 2.0**middle * white + blur
        scores = (2.0**middle * white[y] + noise) @ means.T - np.sum(means**2, axis=1) / 2
        if np.mean(scores.argmax(axis=1) == y) < aim:
            low = middle
        else:
            high = middle
    return 2.0**middle


def clouds(shape: Shape, n_queries: int) -> Problem:
    """Gaussian classes that overlap, on a tree of three levels.

    Variances within classes fall as 1 / rank and those of centres as rank ** -1.5, along axes in random
    directions, and all samples share a mean of a third of their squared length: so do features of plankton by
    a frozen network. Classes are of equal size.
    """
    d, n_classes = shape.d, shape.n_classes
    rng = np.random.default_rng(0)
    rank = 1.0 + np.arange(d)
    spectrum, between = rank**-1.0, rank**-1.5
    spectrum *= d / spectrum.sum()
    between *= d / between.sum()
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    branches = round(n_classes ** (1 / 3))
    groups = [np.arange(n_classes) // branches**level for level in range(3)]
    centres = sum(rng.standard_normal((n_classes, d))[group] for group in groups) * np.sqrt(between)
    n_train = shape.n_train or max(10_000, 20 * n_classes)
    centres *= separation(centres, spectrum, n_train / n_classes, shape.aim)
    mean = rng.standard_normal(d)
    mean *= np.sqrt((d + np.sum(centres**2) / n_classes) / 2) / np.linalg.norm(mean)
    noise = (np.sqrt(spectrum)[:, None] * rotation).astype(np.float32)
    centres = ((mean + centres) @ rotation).astype(np.float32)

    def samples(m: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.permutation(np.arange(m) % n_classes)
        X = np.empty((m, d), dtype=np.float32)
        for start in range(0, m, 20_000):
            part = y[start : start + 20_000]
            X[start : start + len(part)] = rng.standard_normal((len(part), d), dtype=np.float32) @ noise
            X[start : start + len(part)] += centres[part]
        return X, y

    sets = [*samples(n_train), *samples(shape.n), *samples(n_queries)]
    X_train, y_train, X, y, queries, y_queries = sets
    return Problem(shape.name, X, y, X_train, y_train, queries, y_queries, shape.with_numpy)


def real(folder: Path, n_queries: int, n: int = 100_000) -> Problem:
    """Plankton features, repeated with noise of a twentieth of their spread.

    Queries repeat a fifth of the test images, the gallery the others.
    """
    data = plankton(folder)
    rng = np.random.default_rng(0)
    spread = 0.05 * data.X_test.std(axis=0)
    first = len(data.X_test) // 5

    def tiled(start: int, stop: int, m: int) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(start, stop, m)
        X = data.X_test[rows]
        X += spread * rng.standard_normal(X.shape, dtype=np.float32)
        return X, data.y_test[rows]

    queries, y_queries = tiled(0, first, n_queries)
    X, y = tiled(first, len(data.X_test), n)
    name = f"plankton, tiled to {n:,} x {X.shape[1]}, {len(np.unique(data.y_train))} classes"
    return Problem(name, X, y, data.X_train, data.y_train, queries, y_queries)
