"""Binary codes, packed, and hashers that make them from any features."""

from sklearn_hierret.hashing._codes import check_codes, check_n_bits, pack_signs, unpack_signs
from sklearn_hierret.hashing._hashers import ITQHasher, PCAHasher

__all__ = ["ITQHasher", "PCAHasher", "check_codes", "check_n_bits", "pack_signs", "unpack_signs"]
