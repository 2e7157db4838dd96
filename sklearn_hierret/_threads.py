"""Batches on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")
Result = TypeVar("Result")
#: So many queries are worth a thread.
LEAST_QUERIES = 32


@cache
def _blas() -> ThreadpoolController:
    """Find the BLAS libraries that are loaded; to look for them takes longer than many a search."""
    return ThreadpoolController().select(user_api="blas")


class _OneThread:
    """While anyone is inside, BLAS uses one thread."""

    def __init__(self) -> None:
        self.lock, self.n_inside = Lock(), 0
        self.limit: Any = None

    def __enter__(self) -> None:
        with self.lock:
            self.n_inside += 1
            if self.n_inside == 1:
                self.limit = _blas().limit(limits=1)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.n_inside -= 1
            if not self.n_inside:
                self.limit.restore_original_limits()


_ONE_THREAD = _OneThread()


def threads_of(n_jobs: int | None, n_queries: int) -> int:
    """Threads for a search, by default as many as BLAS would use, which then uses one in each."""
    if n_queries <= LEAST_QUERIES:
        return 1
    if n_jobs is None:
        n_jobs = max((library.get_num_threads() for library in _blas().lib_controllers), default=1)
    return min(effective_n_jobs(n_jobs), -(-n_queries // LEAST_QUERIES))


def slices_of(n: int, size: int) -> list[slice]:
    """Slices of ``range(n)`` of a size each."""
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


def run_batches(batches: Sequence[Part], work: Callable[[Part], Result], n_threads: int = 1) -> list[Result]:
    """Do the work of each batch, with one thread of BLAS in each of ours.

    BLAS's own threads keep spinning for a while after each product, which slows ours down.
    """
    with _ONE_THREAD:
        if len(batches) < 2 or n_threads < 2:
            return [work(batch) for batch in batches]
        # Not joblib's pool: to start it takes longer than many a search.
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(work, batches))
