"""Images in an array or in files, read a batch at a time."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.images._reading import encoded_of, name_of_image, paths_of, read_image

_CHANNELS = (1, 3, 4)


class ImageSource:
    """Images of one size: an array as it is, or files that are read when they are needed.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels), or paths
        uint8, or floats from 0 to 1; or a sequence, or a table's column, of paths or bytes of image files.
    image_size : (int, int), optional
        (height, width) that files are resized to; default: they must be of one size.
    n_channels : int, optional
        Channels that files are converted to; default: those of the first file.

    Attributes
    ----------
    image_shape : (int, int, int)
        height, width, channels of each image.

    Raises
    ------
    ValueError
        For images of several sizes, of no known number of channels, with values that are not
        finite.

    Warns
    -----
    UserWarning
        If floats look like 0 ... 255, or uint8 like 0 ... 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.images import ImageSource
    >>> source = ImageSource(np.zeros((10, 8, 6), dtype=np.uint8))
    >>> len(source), source.image_shape, source.batch([3, 5]).shape
    (10, (8, 6, 1), (2, 8, 6, 1))
    """

    def __init__(
        self, X: Any, image_size: tuple[int, int] | None = None, n_channels: int | None = None
    ) -> None:
        self._paths: list[str] | list[bytes] | None = None
        self._resize = image_size is not None
        self._size, self._n_channels = image_size, n_channels
        if isinstance(X, (str, os.PathLike)):
            raise TypeError("X is one path; pass a list of paths.")
        paths = encoded_of(X) or paths_of(X)
        if paths is not None:
            first = self._read(paths[0], 0)
            self._paths = paths
            self._size, self._n_channels = first.shape[:2], first.shape[2]
            self.image_shape = first.shape
        else:
            self._images = checked_images(X)
            self.image_shape = self._images.shape[1:]

    def __len__(self) -> int:
        return len(self._images) if self._paths is None else len(self._paths)

    def batch(self, rows: Any) -> NDArray:
        """Read images, (n, height, width, channels), uint8 or float32.

        Parameters
        ----------
        rows : array-like of int
            Positions of images.

        Returns
        -------
        images : ndarray of shape (n, height, width, channels)
            uint8 or float32.
        """
        if self._paths is not None:
            return np.stack([self._read(self._paths[i], i) for i in np.arange(len(self))[rows]])
        images = self._images[rows]
        return images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)

    def key(self) -> Any:
        """Return what tells these images from others: the array, or paths with sizes and times of files.

        Returns
        -------
        key : object
            Equal keys mean equal images.
        """
        if self._paths is None:
            return self._images
        if isinstance(self._paths[0], bytes):
            return self._size, self._paths
        files = [os.stat(path) for path in self._paths]
        return self._size, [(p, f.st_size, f.st_mtime_ns) for p, f in zip(self._paths, files, strict=True)]

    def statistics(self, n_images: int = 2000) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each channel, of images spread over all, from 0 to 1.

        Parameters
        ----------
        n_images : int
            Images that are read at most.

        Returns
        -------
        mean, std : tuples of float
            A value for each channel.
        """
        rows = np.unique(np.linspace(0, len(self) - 1, n_images).astype(np.intp))
        n_channels, count = self.image_shape[2], 0
        total, squares = np.zeros(n_channels), np.zeros(n_channels)
        for subset in row_chunks(len(rows), 8 * int(np.prod(self.image_shape))):
            batch = self.batch(rows[subset])
            values = batch.reshape(-1, n_channels).astype(np.float64)
            if batch.dtype == np.uint8:
                values /= 255.0
            total += values.sum(axis=0)
            squares += (values**2).sum(axis=0)
            count += len(values)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)

    def _read(self, image: str | bytes, number: int) -> NDArray[np.uint8]:
        name = name_of_image(image, number)
        array = read_image(image, self._n_channels, name=name)
        if self._size is not None and array.shape[:2] != tuple(self._size):
            return self._resized(array, name)
        return array

    def _resized(self, array: NDArray[np.uint8], path: str) -> NDArray[np.uint8]:
        if not self._resize:
            raise ValueError(
                f"{path}: the image is {array.shape[0]} x {array.shape[1]} pixels, the first one "
                f"{self._size[0]} x {self._size[1]}; pass image_size=(height, width)."  # type: ignore[index]
            )
        from PIL import Image

        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        resized = np.asarray(image.resize(self._size[::-1]))  # type: ignore[index]
        return resized[:, :, None] if resized.ndim == 2 else resized


def checked_images(X: ArrayLike) -> NDArray:
    """Images as (n, height, width, channels), uint8 or floating; not copied if they can be taken."""
    if isinstance(X, (list, tuple)):
        shapes = [np.shape(image) for image in X]
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise ValueError(
                    f"Images differ in size: number {i} has shape {shape}, the first one {shapes[0]}."
                )
    images = np.asarray(X)
    if images.dtype == object:
        raise ValueError("X must hold images of one size, or paths; it is an array of other objects.")
    if images.ndim == 3 and images.shape[2] == 3 and min(images.shape[:2]) > 3:
        raise ValueError(
            f"An array of shape {images.shape} is one image in colours, or many that are 3 pixels wide: a "
            "single image is image[None], grey ones are images[..., None]."
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise ValueError(
            "Images have shape (n, height, width) or (n, height, width, channels), "
            f"got {images.shape}. Reshape flat ones first; a single one is image[None]."
        )
    if images.size == 0:
        raise ValueError(f"There is no image: shape {images.shape}.")
    if images.shape[3] not in _CHANNELS:
        hint = (
            " Are they (n, channels, height, width)? Move the axis." if images.shape[1] in _CHANNELS else ""
        )
        raise ValueError(f"Images have 1, 3 or 4 channels, the last axis; got {images.shape[3]}.{hint}")
    if images.dtype.kind == "b":
        images = images.astype(np.float32)
    if images.dtype.kind in "iu" and images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if low < 0 or high > 255:
            raise ValueError(f"Integer images hold 0 ... 255, got {low} ... {high}.")
        images = images.astype(np.uint8)
    if images.dtype.kind not in "uf":
        raise ValueError(f"Images are uint8 or floating, got {images.dtype}.")
    _check_range(images)
    return images


def _check_range(images: NDArray) -> None:
    low, high = np.inf, -np.inf
    for rows in row_chunks(len(images), images[0].size * 8):
        low, high = min(low, float(images[rows].min())), max(high, float(images[rows].max()))
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError("Images hold values that are not finite (NaN or infinity).")
    if images.dtype == np.uint8:
        if high == 1:
            warnings.warn(
                "uint8 images hold only 0 and 1: were they floats from 0 to 1? uint8 means 0 ... 255.",
                UserWarning,
                4,
            )
    elif low >= 0 and high > 2:
        warnings.warn(
            f"Floating images hold 0 ... {high:g}: expected 0 ... 1. Divide them, or pass uint8.",
            UserWarning,
            4,
        )
