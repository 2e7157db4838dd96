import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from sklearn_hierret._threads import run_batches, slices_of, threads_of


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_are_in_the_order_of_the_batches(n_threads):
    assert run_batches(range(20), lambda number: number**2, n_threads) == [n**2 for n in range(20)]
    assert run_batches([], len, n_threads) == []


def test_blas_has_one_thread_inside_and_its_own_number_after():
    np.ones((2, 2)) @ np.ones((2, 2))  # BLAS is loaded
    before, inside = blas_threads(), []
    run_batches([0, 1, 2], lambda _: inside.append(max(blas_threads(), default=1)), 2)
    assert inside == [1, 1, 1]
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        run_batches([1, 0], lambda number: 1 / number, 2)
    assert blas_threads() == before
    run_batches([0], lambda _: run_batches([0], lambda _: inside.append(max(blas_threads(), default=1))))
    assert inside[-1] == 1
    assert blas_threads() == before


def test_several_threads_do_the_work():
    both = threading.Barrier(2, timeout=30)
    run_batches([0, 1], lambda _: both.wait(), 2)  # one thread alone would wait for ever


def test_few_queries_are_searched_in_one_thread():
    assert threads_of(4, 1) == threads_of(4, 32) == 1
    assert threads_of(4, 33) == 2
    assert threads_of(4, 10_000) == 4
    assert threads_of(None, 10_000) >= 1
    assert threads_of(1, 10_000) == 1


def test_slices_cover_everything_once():
    for n, size in ((0, 3), (1, 3), (7, 3), (9, 3), (2, 10)):
        assert [i for part in slices_of(n, size) for i in range(n)[part]] == list(range(n))
        assert all(part.stop - part.start <= size for part in slices_of(n, size))
