"""Features that were computed before, on disk, by the content of the image."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Bytes of a checksum.
CHECK = 8


class FeatureStore:
    """One SQLite file for a network and its settings: digest of an image -> its features and a checksum.

    Each batch is a transaction: what a killed run has written is found by the next one, and several processes
    may use the file. Features whose checksum is wrong are not returned.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    key : str
        Tells network and settings from others; the file's name.
    n_features : int
    """

    def __init__(self, folder: Path, key: str, n_features: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.n_features = folder / f"{key}.sqlite", n_features
        self._lock = threading.Lock()
        with self._named():
            self._connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
            with self._connection:
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS features"
                    " (digest BLOB PRIMARY KEY, numbers BLOB) WITHOUT ROWID"
                )

    def get(self, digests: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Features of the images that are known."""
        results: dict[bytes, NDArray[np.float32]] = {}
        with self._lock, self._named():
            for start in range(0, len(digests), 500):
                subset = digests[start : start + 500]
                marks = ", ".join("?" * len(subset))
                rows = self._connection.execute(
                    f"SELECT digest, numbers FROM features WHERE digest IN ({marks})", subset
                )
                for digest, values in rows:
                    if isinstance(values, bytes) and len(values) == 4 * self.n_features + CHECK:
                        numbers = values[:-CHECK]
                        if _check(digest, numbers) == values[-CHECK:]:
                            results[digest] = np.frombuffer(numbers, dtype="<f4").astype(np.float32)
        return results

    def put(self, digests: Sequence[bytes], features: NDArray[np.float32]) -> None:
        """Keep features, one row for each digest."""
        rows = []
        for digest, row in zip(digests, features, strict=True):
            numbers = row.astype("<f4").tobytes()
            rows.append((digest, numbers + _check(digest, numbers)))
        with self._lock, self._named(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path}: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.path} is damaged ({error}): delete it, and features are computed again."
            ) from error


def _check(digest: bytes, numbers: bytes) -> bytes:
    return hashlib.blake2b(digest + numbers, digest_size=CHECK).digest()
