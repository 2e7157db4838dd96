"""Binary codes: eight bits a byte, as `numpy.packbits` packs them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pack_signs(relaxed: NDArray) -> NDArray[np.uint8]:
    """Codes of real numbers: a bit is 1 where a number is at least 0.

    Parameters
    ----------
    relaxed : ndarray of shape (n_samples, n_bits)

    Returns
    -------
    codes : ndarray of shape (n_samples, n_bits / 8)
    """
    return np.packbits(relaxed >= 0, axis=1)


def unpack_signs(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes as -1 and 1, shape (n_samples, n_bits)."""
    signs = np.unpackbits(codes, axis=1).astype(np.float32)
    signs *= 2
    signs -= 1
    return signs


def check_codes(X: ArrayLike) -> NDArray[np.uint8]:
    """Packed codes as an array.

    Raises
    ------
    TypeError
        For anything but bytes.
    ValueError
        For another number of dimensions, and for no codes at all.
    """
    codes = np.asarray(X)
    if codes.dtype != np.uint8:
        raise TypeError(
            f"Codes are packed bits of dtype uint8, got {codes.dtype}: take those of a hasher such as "
            "ITQHasher, or pack the signs of your own with numpy.packbits(X >= 0, axis=1)."
        )
    if codes.ndim == 2 and not len(codes):
        raise ValueError("There are no codes: 0 samples.")
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"Codes must be of shape (n_samples, n_bits / 8), got {codes.shape}.")
    return codes


def check_n_bits(n_bits: Any) -> None:
    """Raise a ValueError unless bits fill bytes."""
    if not isinstance(n_bits, Integral) or isinstance(n_bits, bool) or n_bits < 8 or n_bits % 8:
        raise ValueError(f"n_bits must be a positive multiple of 8, for codes are packed, got {n_bits!r}.")
