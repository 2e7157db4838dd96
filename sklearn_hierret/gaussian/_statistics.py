"""Counts, means and scatter of classes: all that Gaussians and their merging need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._state import value

ScatterKind = Literal["full", "diag", "pooled"]


@value("class statistics")
@dataclass(frozen=True)
class ClassStatistics:
    """Sufficient statistics of Gaussian classes, which merge without the data.

    Attributes
    ----------
    counts : ndarray of shape (n_classes,)
        Samples of each class.
    means : ndarray of shape (n_classes, n_features)
    scatter : ndarray
        Sums of squared deviations from the class mean: of shape (n_classes, n_features,
        n_features) for `kind` "full", (n_classes, n_features) for "diag" (the diagonals),
        (n_features, n_features) for "pooled" (the sum over the classes).
    kind : {"full", "diag", "pooled"}
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    scatter: NDArray[np.float64]
    kind: ScatterKind

    @classmethod
    def from_samples(
        cls,
        X: NDArray,
        codes: NDArray[np.intp],
        n_classes: int,
        kind: ScatterKind = "full",
        *,
        offset: NDArray[np.float64] | None = None,
        components: NDArray[np.float64] | None = None,
    ) -> ClassStatistics:
        """Statistics of samples, accumulated in float64 whatever their dtype.

        Of ``(X - offset) @ components.T``, without making that array.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        codes : ndarray of shape (n_samples,)
            Class of each sample, 0..n_classes-1.
        n_classes : int
        kind : {"full", "diag", "pooled"}, default="full"
        offset : ndarray of shape (n_features,), optional
        components : ndarray of shape (n_components, n_features), optional
        """
        d = X.shape[1] if components is None else len(components)
        counts = np.bincount(codes, minlength=n_classes)
        total = cls.empty(n_classes, d, kind)
        np.copyto(total.counts, counts)
        present = np.flatnonzero(counts)
        by_class = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts[present])[:-1])
        row_bytes = 16 * (X.shape[1] + d)
        # Two passes over a class: deviations from its mean do not cancel, as squares less a
        # squared mean would.
        raw_means = np.zeros((n_classes, X.shape[1]))
        for c, rows in zip(present.tolist(), by_class, strict=True):
            chunks = [rows[s] for s in row_chunks(len(rows), row_bytes)]
            raw_means[c] = sum(X[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks) / len(rows)
        centres = raw_means[present] if offset is None else raw_means[present] - offset
        total.means[present] = centres if components is None else centres @ components.T
        if kind == "pooled":
            for subset in row_chunks(len(X), row_bytes):
                deviation = _projected(X[subset] - raw_means[codes[subset]], components)
                np.add(total.scatter, deviation.T @ deviation, out=total.scatter)
            return total
        for c, rows in zip(present.tolist(), by_class, strict=True):
            for subset in row_chunks(len(rows), row_bytes):
                deviation = _projected(X[rows[subset]] - raw_means[c], components)
                if kind == "full":
                    total.scatter[c] += deviation.T @ deviation
                else:
                    total.scatter[c] += np.einsum("ij,ij->j", deviation, deviation)
        return total

    @classmethod
    def empty(cls, n_classes: int, n_features: int, kind: ScatterKind) -> ClassStatistics:
        """Of no samples."""
        shapes = {"full": (n_classes, n_features, n_features), "diag": (n_classes, n_features)}
        scatter = np.zeros(shapes.get(kind, (n_features, n_features)))
        return cls(np.zeros(n_classes, dtype=np.int64), np.zeros((n_classes, n_features)), scatter, kind)

    def enlarged(self, codes: NDArray[np.intp], n_classes: int) -> ClassStatistics:
        """Place the same classes among more of them, at the places `codes`."""
        larger = ClassStatistics.empty(n_classes, self.n_features, self.kind)
        larger.counts[codes], larger.means[codes] = self.counts, self.means
        larger.scatter[slice(None) if self.kind == "pooled" else codes] = self.scatter
        return larger

    def add(self, other: ClassStatistics) -> None:
        """Add the samples of `other`, of the same classes, in place.

        By the differences of the means (Chan, Golub and LeVeque 1979), which does not
        cancel; what is added is as exact as one pass over all samples.
        """
        both = self.counts + other.counts
        subset = np.flatnonzero(other.counts)
        share = other.counts[subset] / both[subset]
        difference = other.means[subset] - self.means[subset]
        weight = self.counts[subset] * share
        if self.kind == "full":
            for c, delta, w in zip(subset.tolist(), difference, weight.tolist(), strict=True):
                self.scatter[c] += other.scatter[c]
                self.scatter[c] += w * np.outer(delta, delta)
        elif self.kind == "diag":
            self.scatter[subset] += other.scatter[subset] + weight[:, None] * difference**2
        else:
            np.add(self.scatter, other.scatter, out=self.scatter)
            np.add(self.scatter, (difference * weight[:, None]).T @ difference, out=self.scatter)
        self.means[subset] += share[:, None] * difference
        np.copyto(self.counts, both)

    def projected(
        self, offset: NDArray[np.float64], components: NDArray[np.float64] | None, kind: ScatterKind
    ) -> ClassStatistics:
        """Statistics of ``(X - offset) @ components.T``.

        Parameters
        ----------
        kind : {"full", "diag", "pooled"}
            Of the result; "diag" of components needs a full scatter to start from.
        """
        means = self.means - offset
        if components is None:
            scatter = self.scatter
            if kind != self.kind:  # from full
                scatter = scatter.diagonal(axis1=1, axis2=2).copy() if kind == "diag" else scatter.sum(axis=0)
            return ClassStatistics(self.counts, means, scatter, kind)
        means = means @ components.T
        if kind == "pooled":
            return ClassStatistics(self.counts, means, components @ self.within_scatter @ components.T, kind)
        shape = (len(means), *[len(components)] * (2 if kind == "full" else 1))
        scatter = np.empty(shape)
        for c, own in enumerate(self.scatter):
            left = components @ own
            scatter[c] = left @ components.T if kind == "full" else np.einsum("ij,ij->i", left, components)
        return ClassStatistics(self.counts, means, scatter, kind)

    @property
    def n_classes(self) -> int:
        return len(self.counts)

    @property
    def n_samples(self) -> int:
        return int(self.counts.sum())

    @property
    def n_features(self) -> int:
        return self.means.shape[1]

    @property
    def within_scatter(self) -> NDArray[np.float64]:
        """Scatter summed over the classes, (n_features, n_features) or its diagonal."""
        return self.scatter if self.kind == "pooled" else self.scatter.sum(axis=0)

    def merge(self, labels: NDArray[np.intp]) -> ClassStatistics:
        """Statistics of clusters of classes, equal to those of their pooled samples.

        The scatter of a cluster is the sum of its classes' scatter and of the outer
        products of their means' deviations, weighted by the counts.

        Parameters
        ----------
        labels : ndarray of shape (n_classes,)
            Cluster of each class, 0..n_clusters-1.
        """
        n_clusters = int(labels.max()) + 1
        merged = ClassStatistics.empty(n_clusters, self.n_features, self.kind)
        np.add.at(merged.counts, labels, self.counts)
        share = self.counts / np.maximum(1, merged.counts)[labels]
        share[np.bincount(labels)[labels] == 1] = 1.0  # unchanged, bit for bit
        np.add.at(merged.means, labels, share[:, None] * self.means)
        deviation = self.means - merged.means[labels]
        weighted = self.counts[:, None] * deviation
        if self.kind == "pooled":
            np.add(self.scatter, weighted.T @ deviation, out=merged.scatter)
        elif self.kind == "diag":
            np.add.at(merged.scatter, labels, self.scatter + weighted * deviation)
        else:
            order = np.argsort(labels, kind="stable")
            for members in np.split(order, np.cumsum(np.bincount(labels))[:-1]):
                cluster = labels[members[0]]
                merged.scatter[cluster] = self.scatter[members].sum(axis=0)
                if len(members) > 1:
                    merged.scatter[cluster] += weighted[members].T @ deviation[members]
        return merged

    def total_covariance(self) -> NDArray[np.float64]:
        """Covariance of all samples, divided by n_samples - 1."""
        mean = self.counts @ self.means / self.n_samples
        deviation = self.means - mean
        between = (self.counts[:, None] * deviation).T @ deviation
        return (self.within_scatter + between) / (self.n_samples - 1)


def _projected(X: NDArray[np.float64], components: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return X if components is None else X @ components.T
