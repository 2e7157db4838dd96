"""Batches of queries on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits


def run_batches(
    batches: Iterable[NDArray[np.intp]],
    work: Callable[[NDArray[np.intp]], None],
    n_threads: int,
    report: Callable[[int, int], None] | None,
) -> None:
    """Do the work of each batch, and tell after each how many queries are done, and of how many."""
    parts = list(batches)
    total = sum(map(len, parts))
    done, lock = 0, Lock()

    def run(part: NDArray[np.intp]) -> None:
        nonlocal done
        work(part)
        with lock:
            done += len(part)
            if report is not None:
                report(done, total)

    if len(parts) > 1 and n_threads > 1:
        # Not joblib's pool: to start it takes longer than many a search.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(run, parts))
    else:
        for part in parts:
            run(part)
