"""Images as torch reads them: whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sklearn_hierret.images import ImageSource


class ImageDataset(Dataset):
    """Images and codes of their classes.

    A loader asks for a batch in one call, not image by image: an array is indexed once.

    Parameters
    ----------
    X : ImageSource, or what it takes
    y : ndarray of shape (n,), optional
        Codes; default: zeros.
    """

    def __init__(self, X: Any, y: NDArray | None = None) -> None:
        self.source = X if isinstance(X, ImageSource) else ImageSource(X)
        self.codes = np.zeros(len(self.source), dtype=np.int64) if y is None else np.asarray(y, np.int64)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        images, codes = self.__getitems__([row])
        return images[0], codes[0]

    def __getitems__(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        index = np.asarray(rows, dtype=np.intp)
        images = np.ascontiguousarray(self.source.batch(index))
        return torch.from_numpy(images), torch.from_numpy(self.codes[index])


def loader(dataset: Dataset, batch_size: int, training: bool, **params: Any) -> DataLoader:
    """Batches of a dataset; shuffled, and without a last batch of one image, for training.

    Batch normalisation can't learn from a single image.
    """
    size = len(dataset)
    batch_size = size if batch_size == -1 else batch_size
    params = {"shuffle": training, "drop_last": training and size > 1 and size % batch_size == 1, **params}
    return DataLoader(dataset, batch_size=batch_size, collate_fn=_collated, **params)


def labels_of(dataset: Any) -> NDArray[np.int64]:
    """Codes of a dataset or of a part of one (`torch.utils.data.Subset`)."""
    if hasattr(dataset, "codes"):
        return dataset.codes
    return labels_of(dataset.dataset)[np.asarray(dataset.indices)]


def _collated(batch: Any) -> Any:
    """A batch that was read at once stays; items of other datasets are stacked."""
    if isinstance(batch, tuple):
        return batch
    return torch.utils.data.default_collate(batch)
