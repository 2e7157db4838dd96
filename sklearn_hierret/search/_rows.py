"""What galleries hold: rows of features or of codes, as one search sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import few_rows
from sklearn_hierret._state import value
from sklearn_hierret.distance import CosineMetric, VisualMetric

#: Rows that are computed with in float64 at once: they stay in the caches.
ROW_BYTES = 1 << 20
#: Bytes of features in float64 that are mapped to rows at once.
CHUNK_BYTES = 1 << 22
#: So few queries are compared one by one.
FEW = 4
COSINE = CosineMetric()


class Rows(Protocol):
    """Rows that can be compared with queries.

    A score is cheap and, for features, rounded: ``distance = offset + scale * score``.
    """

    offset: ClassVar[float]
    #: Distances that are equal so far are ties, for sums of exact fractions round; or None.
    decimals: ClassVar[int | None]
    #: Whether rows are bit for bit what a user passed; such rows are cheap to move.
    is_exact: ClassVar[bool]

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Rows of several parts, one after another."""
        ...

    def take(self, which: NDArray) -> Self:
        """Take rows, bit for bit, in any order."""
        ...

    def queries(self, which: NDArray[np.intp]) -> NDArray:
        """Take rows as queries."""
        ...

    def scores(self, queries: NDArray, rows: slice, out: NDArray) -> NDArray:
        """Scores of rows and queries, (n_rows, n_queries), in `out`, which has `score_dtype`."""
        ...

    def distances(self, queries: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances of each query to its own rows, (n_queries, n_own); the same in every batch."""
        ...

    @property
    def scale(self) -> float: ...

    @property
    def rounding(self) -> float:
        """Error of a distance that is made of a score."""
        ...

    @property
    def score_dtype(self) -> np.dtype: ...

    @property
    def dtype(self) -> np.dtype:
        """Of the features."""
        ...

    def __len__(self) -> int: ...


@value("rows of features")
@dataclass(frozen=True)
class FeatureRows:
    """Rows of a visual metric, compared by their cosine distance.

    Attributes
    ----------
    unit : ndarray of shape (n_rows, n_features)
        Of unit length or zero.
    norms : ndarray of shape (n_rows,)
        Lengths that the features had.
    """

    unit: NDArray
    norms: NDArray[np.float64]
    offset: ClassVar[float] = 1.0
    scale: ClassVar[float] = 1.0
    decimals: ClassVar[int | None] = None
    is_exact: ClassVar[bool] = False

    @classmethod
    def of(cls, X: NDArray, order: NDArray[np.intp], metric: VisualMetric = COSINE) -> FeatureRows:
        """Map features to rows, in some order.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), float32 or float64
        order : ndarray of shape (n_rows,)
        metric : VisualMetric, default=cosine
        """
        if not len(X):
            return cls(*metric.rows(X))
        unit, norms = None, np.empty(len(X))
        for rows in few_rows(len(X), X.shape[1], CHUNK_BYTES):  # no copy of all features
            part, norms[rows] = metric.rows(X[order[rows]])
            if unit is None:
                unit = np.empty((len(X), part.shape[1]), dtype=X.dtype)
            unit[rows] = part
        assert unit is not None
        return cls(unit, norms)

    @classmethod
    def joined(cls, parts: list[FeatureRows]) -> FeatureRows:
        return cls(np.concatenate([p.unit for p in parts]), np.concatenate([p.norms for p in parts]))

    def take(self, which: NDArray) -> FeatureRows:
        return FeatureRows(self.unit[which], self.norms[which])

    def queries(self, which: NDArray[np.intp]) -> NDArray:
        return self.unit[which]

    def scores(self, queries: NDArray, rows: slice, out: NDArray) -> NDArray:
        """Cosines, times -1."""
        if len(queries) > FEW:  # this way round it is faster
            np.matmul(self.unit[rows], -queries.T, out=out)
        else:
            for column, query in zip(out.T, -queries, strict=True):
                column[:] = self.unit[rows] @ query
        return out

    def distances(self, queries: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        n_queries, width = rows.shape
        dots = np.empty(rows.shape)
        n_columns = max(1, ROW_BYTES // (8 * queries.shape[1]))
        size = max(1, n_columns // max(1, width))
        for start in range(0, n_queries, size):
            subset = slice(start, start + size)
            query = queries[subset, None].astype(np.float64, copy=False)
            for first in range(0, width, n_columns):
                columns = slice(first, first + n_columns)
                own = self.unit[rows[subset, columns]].astype(np.float64, copy=False)
                # It computes each product in one order, whatever is computed beside it.
                np.vecdot(own, query, out=dots[subset, columns])
        return np.clip(1.0 - dots, 0.0, 2.0)

    @property
    def rounding(self) -> float:
        return (self.unit.shape[1] + 8) * float(np.finfo(self.dtype).eps)

    @property
    def score_dtype(self) -> np.dtype:
        return self.unit.dtype

    @property
    def dtype(self) -> np.dtype:
        return self.unit.dtype

    def __len__(self) -> int:
        return len(self.unit)


@value("rows of codes")
@dataclass(frozen=True)
class CodeRows:
    """Packed binary codes, compared by the share of bits that differ.

    Attributes
    ----------
    words : ndarray of shape (n_words, n_rows), of unsigned integers
        Codes of 1, 2, 4 bytes or a multiple of 8; others are filled up with zeros.
    n_bytes : int
        Of a code as it was given.
    """

    words: NDArray
    n_bytes: int
    offset: ClassVar[float] = 0.0
    rounding: ClassVar[float] = 1e-12
    decimals: ClassVar[int | None] = 12
    is_exact: ClassVar[bool] = True

    @classmethod
    def of(cls, X: NDArray, order: NDArray[np.intp]) -> CodeRows:
        """Pack codes into words, in some order."""
        return cls(as_words(X[order]), X.shape[1])

    @classmethod
    def joined(cls, parts: list[CodeRows]) -> CodeRows:
        return cls(np.concatenate([p.words for p in parts], axis=1), parts[0].n_bytes)

    def take(self, which: NDArray) -> CodeRows:
        return CodeRows(np.ascontiguousarray(self.words[:, which]), self.n_bytes)

    def queries(self, which: NDArray[np.intp]) -> NDArray[np.uint8]:
        words = np.ascontiguousarray(self.words[:, which].T)
        return np.ascontiguousarray(words.view(np.uint8)[:, : self.n_bytes])

    def scores(self, queries: NDArray, rows: slice, out: NDArray) -> NDArray:
        """Bits that differ."""
        words = self.words[:, rows]
        differing = np.empty(words.shape[1], dtype=words.dtype)
        more = np.empty(words.shape[1], dtype=np.uint8)
        out = out.reshape(out.shape[::-1])  # the same memory, a query's counts side by side
        for counts, query in zip(out, as_words(queries).T, strict=True):
            np.bitwise_count(np.bitwise_xor(words[0], query[0], out=differing), out=counts)
            for one, other in zip(words[1:], query[1:], strict=True):
                np.bitwise_count(np.bitwise_xor(one, other, out=differing), out=more)
                np.add(counts, more, out=counts)
        return out.T

    def distances(self, queries: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        words, own = as_words(queries), np.zeros(rows.shape, dtype=np.int64)
        for members, others_of in zip(words, self.words, strict=True):
            own += np.bitwise_count(members[:, None] ^ others_of[rows])
        return own / (8 * self.n_bytes)

    @property
    def scale(self) -> float:
        return 1 / (8 * self.n_bytes)

    @property
    def score_dtype(self) -> np.dtype:
        """The smallest that holds a number of bits."""
        return np.dtype(np.uint8 if self.n_bytes <= 31 else np.uint16)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.words.shape[1]


def as_words(codes: NDArray[np.uint8]) -> NDArray:
    """Codes as machine words, shape (n_words, n_codes)."""
    n, n_bytes = codes.shape
    size = next((s for s in (1, 2, 4) if n_bytes <= s), 8 * -(-n_bytes // 8))
    filled = np.zeros((n, size), dtype=np.uint8)
    filled[:, :n_bytes] = codes
    return np.ascontiguousarray(filled.view(f"u{min(size, 8)}").T)
