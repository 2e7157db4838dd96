"""The gallery of packed codes as search wants it: machine words, in the order of their numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CodeIndex:
    """Codes as words, ascending by serial number.

    Attributes
    ----------
    words : ndarray of shape (n_words, n_rows), of unsigned integers
        Codes of 1, 2, 4 bytes or a multiple of 8; others are filled up with zeros.
    serial : ndarray of shape (n_rows,)
        Number of each row, by which ties are broken.
    n_bytes : int
        Of a code as it was given.
    leaves : ndarray of shape (n_rows,) or (n_rows, n_kept), or None
        Leaf of each row, or soft leaves.
    """

    words: NDArray
    serial: NDArray[np.intp]
    n_bytes: int
    leaves: NDArray | None = None
    #: Whether `features` are bit for bit what they were; such rows are cheap to move.
    is_exact: ClassVar[bool] = True

    @classmethod
    def build(
        cls,
        codes: NDArray[np.uint8],
        leaves: NDArray | None = None,
        series: NDArray[np.intp] | None = None,
    ) -> CodeIndex:
        """Index of codes.

        Parameters
        ----------
        codes : ndarray of shape (n_gallery, n_bytes)
        leaves : ndarray of shape (n_gallery,) or (n_gallery, n_kept), optional
        series : ndarray, optional
            Not used; as `GalleryIndex` wants it.
        """
        return cls(as_words(codes), np.arange(len(codes)), codes.shape[1], leaves)

    def appended(self, codes: NDArray, serial: NDArray[np.intp], leaves: NDArray | None) -> CodeIndex:
        """With more samples, whose numbers are greater than all before."""
        return CodeIndex(
            np.concatenate([self.words, as_words(codes)], axis=1),
            np.concatenate([self.serial, serial]),
            self.n_bytes,
            None if self.leaves is None or leaves is None else np.concatenate([self.leaves, leaves]),
        )

    def keep(self, is_kept: NDArray[np.bool_]) -> CodeIndex:
        """Only the rows whose serial number `is_kept`."""
        return self.subset(np.flatnonzero(is_kept[self.serial]))

    def subset(self, rows: NDArray[np.intp]) -> CodeIndex:
        """Only some rows, given in ascending order."""
        leaves = None if self.leaves is None else self.leaves[rows]
        return CodeIndex(self.words[:, rows], self.serial[rows], self.n_bytes, leaves)

    def with_leaves(self, leaves: NDArray, series: NDArray[np.intp]) -> CodeIndex:
        """The same rows with leaves, given in the order of their serial numbers."""
        return CodeIndex(self.words, self.serial, self.n_bytes, leaves)

    @property
    def n_bits(self) -> int:
        return 8 * self.n_bytes

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def take(self, name: str, rows: NDArray[np.intp]) -> NDArray:
        """Entries of "serial" or "leaves" of some rows."""
        return getattr(self, name)[rows]

    def features(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Codes of some rows, as they were given."""
        words = np.ascontiguousarray(self.words[:, rows].T)
        return np.ascontiguousarray(words.view(np.uint8)[:, : self.n_bytes])

    @cached_property
    def faiss(self) -> Any:
        """The same codes in a FAISS index."""
        from faiss import IndexBinaryFlat

        index: Any = IndexBinaryFlat(self.n_bits)
        # Counting, for what it finds need not be sorted again.
        index.use_heap = False
        index.add(self.features(np.arange(len(self))))
        return index

    def __len__(self) -> int:
        return len(self.serial)

    def __getstate__(self) -> dict:
        return {part.name: getattr(self, part.name) for part in fields(self)}  # nothing cached

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def as_words(codes: NDArray[np.uint8]) -> NDArray:
    """Codes as machine words, shape (n_words, n_codes)."""
    n, n_bytes = codes.shape
    size = next((s for s in (1, 2, 4) if n_bytes <= s), 8 * -(-n_bytes // 8))
    filled = np.zeros((n, size), dtype=np.uint8)
    filled[:, :n_bytes] = codes
    return np.ascontiguousarray(filled.view(f"u{min(size, 8)}").T)


def hamming(queries: NDArray, words: NDArray, out: NDArray) -> NDArray:
    """Hamming distances of codes.

    Parameters
    ----------
    queries : ndarray of shape (n_words, n_queries)
    words : ndarray of shape (n_words, n_rows)
    out : ndarray of unsigned integers, shape (n_queries, n_rows)
    """
    differing = np.empty(words.shape[1], dtype=words.dtype)
    more = np.empty(words.shape[1], dtype=np.uint8)
    for i, query in enumerate(queries.T):
        np.bitwise_count(np.bitwise_xor(words[0], query[0], out=differing), out=out[i])
        for one, other in zip(words[1:], query[1:], strict=True):
            out[i] += np.bitwise_count(np.bitwise_xor(one, other, out=differing), out=more)
    return out


def count_dtype(n_bits: int) -> type[np.unsignedinteger]:
    """The smallest that holds a Hamming distance."""
    return np.uint8 if n_bits <= 255 else np.uint16
