"""Times of methods side by side, and memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Collection

#: Seconds before each call, in which the BLAS threads of the one before fall asleep.
PAUSE = 0.1
#: A method that has taken so many seconds in a cell is not called again; slow peers after 5 already.
PATIENCE, LITTLE_PATIENCE = 30.0, 5.0


def interleaved(
    calls: dict[str, Callable[[], object]], seconds: float, slow: Collection[str] = ()
) -> dict[str, float]:
    """Best time of each, called in turn: at least three times, or until patience is at its end."""
    patience = {name: LITTLE_PATIENCE if name in slow else PATIENCE for name in calls}
    times: dict[str, list[float]] = {name: [] for name in calls}
    todo = list(calls)
    while todo:
        for name in todo:
            time.sleep(PAUSE)
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
        todo = [
            name
            for name in todo
            if sum(times[name]) < (patience[name] if len(times[name]) < 3 else seconds)
            and len(times[name]) < 15
        ]
    return {name: min(values) for name, values in times.items()}


def peak_of(call: Callable[[], object]) -> int:
    """Most bytes that were allocated beyond what was there."""
    gc.collect()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def rounded(number: float) -> str:
    return f"{float(f'{number:.3g}'):g}"
