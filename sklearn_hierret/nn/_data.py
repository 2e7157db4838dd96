"""Images as torch reads them: whole batches at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sklearn_hierret.images import ImageSource


class ImageDataset(Dataset):
    """Images and codes of their classes.

    A loader asks for a batch in one call, not image by image: an array is indexed once.

    Parameters
    ----------
    X : ImageSource, or what it takes
    y : ndarray of shape (n,), optional
        Codes; default: zeros.
    weights : ndarray of shape (n,), optional
        Of the losses; a batch then holds them beside its images.
    """

    def __init__(self, X: Any, y: NDArray | None = None, weights: NDArray | None = None) -> None:
        self.source = X if isinstance(X, ImageSource) else ImageSource(X)
        self.codes = np.zeros(len(self.source), dtype=np.int64) if y is None else np.asarray(y, np.int64)
        self.weights = weights

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        images, codes = self.__getitems__([row])
        return images_in(images)[0], codes[0]

    def __getitems__(self, rows: Sequence[int]) -> tuple[Tensor | dict[str, Tensor], Tensor]:
        index = np.asarray(rows, dtype=np.intp)
        images = torch.from_numpy(np.ascontiguousarray(self.source.batch(index)))
        codes = torch.from_numpy(self.codes[index])
        if self.weights is None:
            return images, codes
        return {"images": images, "weights": torch.from_numpy(self.weights[index])}, codes


def images_in(batch: Any) -> Any:
    """Return the images of a batch that may hold weights beside them."""
    return batch["images"] if isinstance(batch, dict) else batch


def loader(dataset: Dataset, batch_size: int, training: bool, **params: Any) -> DataLoader:
    """Batches of a dataset; shuffled, and without a last batch of one image, for training.

    Batch normalisation can't learn from a single image.
    """
    size = len(dataset)
    samples_per_class = params.pop("samples_per_class", None)
    if samples_per_class is not None:
        batches = BalancedBatches(labels_of(dataset), batch_size, samples_per_class)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=_collated, **params)
    batch_size = size if batch_size == -1 else batch_size
    params = {"shuffle": training, "drop_last": training and size > 1 and size % batch_size == 1, **params}
    return DataLoader(dataset, batch_size=batch_size, collate_fn=_collated, **params)


class BalancedBatches(Sampler):
    """Batches of the same number of samples of each of several classes, drawn anew every epoch.

    Every sample comes at most once an epoch, unless its class has fewer than are asked for.

    Parameters
    ----------
    codes : ndarray of shape (n,)
    batch_size : int
    samples_per_class : int
        At least 2; classes with fewer samples repeat some.
    """

    def __init__(self, codes: NDArray, batch_size: int, samples_per_class: int) -> None:
        if samples_per_class < 2 or batch_size < 2 * samples_per_class:
            raise ValueError(
                f"samples_per_class={samples_per_class} must be at least 2 and fit twice into "
                f"batch_size={batch_size}."
            )
        self.members = [np.flatnonzero(codes == c) for c in np.unique(codes)]
        self.per_class, self.n_classes = samples_per_class, batch_size // samples_per_class

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.RandomState(int(torch.randint(2**31 - 1, ())))
        groups = []
        for members in self.members:
            order = random.permutation(members)
            if len(order) < self.per_class:
                order = np.resize(order, self.per_class)
            whole = len(order) // self.per_class * self.per_class
            groups += list(order[:whole].reshape(-1, self.per_class))
        shuffled = random.permutation(len(groups))
        for start in range(0, len(groups), self.n_classes):
            chosen = shuffled[start : start + self.n_classes]
            if len(chosen) > 1 or start == 0:
                yield np.concatenate([groups[i] for i in chosen]).tolist()

    def __len__(self) -> int:
        n_groups = sum(max(1, len(m) // self.per_class) for m in self.members)
        full, rest = divmod(n_groups, self.n_classes)
        return full + (rest > 1 or not full)


def labels_of(dataset: Any) -> NDArray[np.int64]:
    """Codes of a dataset or of a part of one (`torch.utils.data.Subset`)."""
    if hasattr(dataset, "codes"):
        return dataset.codes
    return labels_of(dataset.dataset)[np.asarray(dataset.indices)]


def _collated(batch: Any) -> Any:
    """Keep a batch that was read at once; stack items of other datasets."""
    if isinstance(batch, tuple):
        return batch
    return torch.utils.data.default_collate(batch)
