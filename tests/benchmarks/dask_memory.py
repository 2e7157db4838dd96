"""Fit a virtual Dask array that is much larger than memory and watch the memory.

    python -m tests.benchmarks.dask_memory --gigabytes 10

Blocks are made of random numbers on the workers when they are needed and never all exist. Prints the
time and the peak of the memory of this process and its two workers together.
"""

from __future__ import annotations

import argparse
import threading
import time

import dask.array as da
import numpy as np
import psutil
from dask.distributed import Client, LocalCluster

from sklearn_hierret import HierarchyBuilder, MahalanobisClassifier


class PeakMemory:
    """Resident memory of a process and its children, sampled."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.1):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def block(codes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(int(codes[:50].sum()))
    X = rng.standard_normal((len(codes), centres.shape[1]), dtype=np.float32)
    X += centres[codes]
    return X


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--classes", type=int, default=200)
    args = parser.parse_args()
    n = int(args.gigabytes * 1e9 / 4 / args.features)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(args.classes, args.features)).astype(np.float32)
    for covariance_type in ("tied", "full"):
        with (
            PeakMemory() as memory,
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster),
        ):
            y = da.random.default_rng(0).integers(0, args.classes, size=n, chunks=100_000)
            X = y.map_blocks(
                block, centres, dtype=np.float32, new_axis=1, chunks=(y.chunks[0], (args.features,))
            )
            start = time.perf_counter()
            model = MahalanobisClassifier(covariance_type)
            HierarchyBuilder(class_model=model).fit(X, y)
            seconds = time.perf_counter() - start
        print(
            f"{covariance_type}: {X.nbytes / 1e9:.1f} GB, {n:,} samples "
            f"in {seconds:.0f} s, peak of all processes {memory.peak / 2**30:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
