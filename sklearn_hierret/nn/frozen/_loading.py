"""Batches of images, looked up or read and resized, by threads ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_hierret.images import ImageList, digest_of, with_channels
from sklearn_hierret.nn.frozen._resizing import resized, tiled
from sklearn_hierret.nn.frozen._settings import Settings
from sklearn_hierret.nn.frozen._store import FeatureStore

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Batch:
    """Some images: features that are known, errors, and what goes into the network."""

    rows: range
    known: dict[int, NDArray] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    #: Rows to compute, and their digests where features are kept.
    to_do: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    #: (n_images * n_tiles, n_channels, height, width), from 0 to 1.
    inputs: Tensor | None = None


def prepare(images: ImageList, store: FeatureStore | None, settings: Settings, rows: range) -> Batch:
    """Look images up, and read those that are not known."""
    (n_rows, n_columns), (height, width) = settings.grid, settings.image_size
    size = n_rows * height, n_columns * width
    batch = Batch(rows)
    if isinstance(images.images, np.ndarray) and store is None:
        batch.to_do = list(rows)
        pixels = with_channels(images.images[rows.start : rows.stop], settings.n_channels)
        batch.inputs = tiled(resized(pixels, size, settings.resize), n_rows, n_columns)
        return batch
    contents: dict[int, Any] = {}
    for row in rows:
        try:
            contents[row] = images.content(row)
        except OSError as error:
            batch.errors[row] = error
    if store is not None:
        digests = {row: digest_of(content) for row, content in contents.items()}
        results = store.get(list(digests.values()))
        batch.known = {row: results[digest] for row, digest in digests.items() if digest in results}
    tensors = []
    for row, content in contents.items():
        if row in batch.known:
            continue
        try:
            tensors.append(resized(images.pixels(row, content, size)[None], size, settings.resize))
        except ValueError as error:
            batch.errors[row] = error
            continue
        batch.to_do.append(row)
        if store is not None:
            batch.digests.append(digests[row])
    if tensors:
        batch.inputs = tiled(torch.cat(tensors), n_rows, n_columns)
    return batch


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Generator[Result, None, None]:
    """``work(item)`` of each, in order, computed by threads while the results before are in use."""
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
