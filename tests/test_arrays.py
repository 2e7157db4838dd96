"""Helpers for arrays, against loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret._arrays import places_in

NUMBERS = st.lists(st.integers(0, 6), max_size=12)


@given(NUMBERS, NUMBERS)
def test_places_in_an_unsorted_array(known, values):
    expected = [known.index(value) if value in known else -1 for value in values]
    arrays = (np.array(items, dtype=np.uint64) for items in (known, values))
    assert places_in(*arrays).tolist() == expected
