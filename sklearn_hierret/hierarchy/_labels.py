"""From class labels to their positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._names import hint
from sklearn_hierret.hierarchy._nodes import as_label_array, first_repeated, shorten


class Labels:
    """Distinct class labels that can be looked up.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
    """

    def __init__(self, classes: ArrayLike) -> None:
        self.array = frozen(as_label_array(classes))  # type: ignore[arg-type]
        if self.array.ndim != 1:
            raise ValueError(f"classes must be one-dimensional, got shape {self.array.shape}.")
        self._lookup = {label: i for i, label in enumerate(self.array.tolist())}
        if len(self._lookup) < len(self.array):
            raise ValueError(f"Class {first_repeated(self.array.tolist())!r} occurs twice.")
        self._sorter = np.argsort(self.array) if self.array.dtype.kind in "iu" else None

    def index(self, labels: ArrayLike) -> NDArray[np.intp]:
        """Positions of labels; a ValueError names those that are missing."""
        # As objects: NumPy would make text of the numbers in a mixed list.
        array = labels if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=object)
        if self._sorter is not None and array.dtype.kind == self.array.dtype.kind:
            # Millions of retrieved labels: a binary search instead of Python objects.
            results = np.searchsorted(self.array, array, sorter=self._sorter)
            codes = self._sorter[np.minimum(results, len(self.array) - 1)]
            codes = np.where(self.array[codes] == array, codes, -1)
        else:
            flat = [self._lookup.get(label, -1) for label in array.ravel().tolist()]
            codes = np.array(flat, dtype=np.intp).reshape(array.shape)
        if np.any(codes < 0):
            unknown = dict.fromkeys(np.asarray(array[codes < 0]).ravel().tolist())
            kinds = {"text" if isinstance(label, str) else "not text" for label in unknown}
            own = {"text" if isinstance(label, str) else "not text" for label in self._lookup}
            remark = hint(unknown, self._lookup)
            if not kinds & own:
                remark = f" Its labels are {own.pop()}, these are {kinds.pop()}."
            raise ValueError(f"Labels missing in the hierarchy: {shorten(list(unknown))}.{remark}")
        return np.asarray(codes, dtype=np.intp)


def frozen(array: NDArray) -> NDArray:
    """Return a copy that can't be written to."""
    array = array.copy()
    array.flags.writeable = False
    return array
