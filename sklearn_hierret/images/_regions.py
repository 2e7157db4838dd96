"""Where the regions of a map lie."""

from __future__ import annotations

import numpy as np


def regions(height: int, width: int, n_scales: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of the overlapping squares of R-MAC (Tolias et al. 2016, section 3.2)."""
    short, long = min(height, width), max(height, width)
    # As many along the longer side that neighbours share about 40 %.
    steps = np.arange(1, 7)
    overlap = (short**2 - short * (long - short) / steps) / short**2
    extra = 0 if long == short else int(np.abs(overlap - 0.4).argmin()) + 1
    results = []
    for scale in range(1, n_scales + 1):
        side = max(1, 2 * short // (scale + 1))
        n_rows, n_columns = (scale + (extra if size == long != short else 0) for size in (height, width))
        for i in range(n_rows):
            for j in range(n_columns):
                top = 0 if n_rows == 1 else i * (height - side) // (n_rows - 1)
                left = 0 if n_columns == 1 else j * (width - side) // (n_columns - 1)
                results.append((top, left, side))
    return results
