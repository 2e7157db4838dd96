"""Counts, means and scatter of classes: all that Gaussians and their merging need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks

ScatterKind = Literal["full", "diag", "pooled"]


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
        means = np.zeros((n_classes, d))
        shape = {"full": (n_classes, d, d), "diag": (n_classes, d), "pooled": (d, d)}[kind]
        scatter = np.zeros(shape)
        by_class = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
        for c, rows in enumerate(by_class):
            if not len(rows):
                continue
            # Two passes over a class: deviations from its mean do not cancel, as
            # squares less a squared mean would.
            chunks = [rows[s] for s in row_chunks(len(rows), 16 * (X.shape[1] + d))]
            mean = sum(X[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks) / len(rows)
            centre = mean if offset is None else mean - offset
            means[c] = centre if components is None else components @ centre
            for chunk in chunks:
                deviation = X[chunk] - mean
                if components is not None:
                    deviation = deviation @ components.T
                if kind == "full":
                    scatter[c] += deviation.T @ deviation
                elif kind == "diag":
                    scatter[c] += np.einsum("ij,ij->j", deviation, deviation)
                else:
                    scatter += deviation.T @ deviation
        return cls(counts, means, scatter, kind)

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
        counts = np.bincount(labels, weights=self.counts, minlength=n_clusters).astype(np.int64)
        means = np.empty((n_clusters, self.n_features))
        shape = self.scatter.shape if self.kind == "pooled" else (n_clusters, *self.scatter.shape[1:])
        scatter = np.empty(shape)
        if self.kind == "pooled":
            scatter[:] = self.scatter
        for cluster in range(n_clusters):
            members = np.flatnonzero(labels == cluster)
            if len(members) == 1:  # unchanged, bit for bit
                means[cluster] = self.means[members[0]]
                if self.kind != "pooled":
                    scatter[cluster] = self.scatter[members[0]]
                continue
            weights = self.counts[members] / max(1, counts[cluster])
            means[cluster] = weights @ self.means[members]
            deviation = self.means[members] - means[cluster]
            weighted = deviation * self.counts[members, None]
            if self.kind == "pooled":
                scatter += weighted.T @ deviation
            elif self.kind == "diag":
                scatter[cluster] = self.scatter[members].sum(axis=0) + (weighted * deviation).sum(axis=0)
            else:
                scatter[cluster] = self.scatter[members].sum(axis=0) + weighted.T @ deviation
        return ClassStatistics(counts, means, scatter, self.kind)

    def total_covariance(self) -> NDArray[np.float64]:
        """Covariance of all samples, divided by n_samples - 1."""
        everything = self.merge(np.zeros(self.n_classes, dtype=np.intp))
        return everything.within_scatter / (self.n_samples - 1)
