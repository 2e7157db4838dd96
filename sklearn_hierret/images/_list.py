"""Images of any sizes, in an array, a list, or files, one after another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.images._reading import (
    encoded_of,
    image_files,
    name_of_image,
    paths_of,
    pixels_of,
    read_image,
)
from sklearn_hierret.images._source import ImageSource


class ImageList:
    """Images one after another; files are read when they are needed.

    Parameters
    ----------
    X : array of images, sequence of images of any sizes, of PIL images, of paths, of files' bytes; folder
        Paths and bytes may be a column of a table, of pandas or polars.
    n_channels : {1, 3}
        Grey images are repeated, colours averaged, as a network needs.
    """

    def __init__(self, X: Any, n_channels: int) -> None:
        self.n_channels = n_channels
        self.images: Any = None
        self.paths: list[str] | list[bytes] | None = None
        if isinstance(X, (str, os.PathLike)):
            if not Path(X).expanduser().is_dir():
                raise ValueError(f"{X} is no folder; pass a list to transform a single image.")
            self.paths = [str(path) for path in image_files(X)]
            return
        self.paths = encoded_of(X) or paths_of(X)
        if self.paths is None:
            self.images = _checked(X)

    def __len__(self) -> int:
        return len(self.images if self.paths is None else self.paths)

    def name(self, i: int) -> str:
        """Return what an image is called in messages."""
        return f"image {i}" if self.paths is None else name_of_image(self.paths[i], i)

    def content(self, i: int) -> Any:
        """Bytes of a file, or the pixels."""
        if self.paths is None:
            return self.images[i]
        path = self.paths[i]
        return path if isinstance(path, bytes) else Path(path).read_bytes()

    def pixels(self, i: int, content: Any, at_least: tuple[int, int] | None = None) -> NDArray:
        """Convert what `content` gave to an image, (height, width, n_channels); see `read_image`."""
        if self.paths is not None:
            return read_image(content, self.n_channels, name=self.name(i), at_least=at_least)
        return with_channels(content, self.n_channels)


def digest_of(content: Any) -> bytes:
    """Hash an image's bytes, with the shape of an array: it tells images apart."""
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=16).digest()
    head = f"{content.shape} {content.dtype.str}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(content).tobytes(), digest_size=16).digest()


def _checked(X: Any) -> Any:
    """Return an array of images, or a list of arrays."""
    if isinstance(X, np.ndarray) and X.dtype != object:
        source = ImageSource(X)
        return source.batch(slice(None))
    if not hasattr(X, "__len__"):
        raise TypeError(f"X must hold images or paths, got a {type(X).__name__}.")
    if not len(X):
        raise ValueError("There is no image.")
    arrays = [np.asarray(_array_of_pil(image)) for image in X]
    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        return ImageSource(np.stack(arrays)).batch(slice(None))
    results = []
    for i, array in enumerate(arrays):
        try:
            results.append(ImageSource(array[None]).batch([0])[0])
        except ValueError as error:
            raise ValueError(f"image {i}: {error}") from None
    return results


def _array_of_pil(image: Any) -> Any:
    if isinstance(image, (str, os.PathLike)):
        raise TypeError("X holds paths and images: make it two calls.")
    return pixels_of(image) if hasattr(image, "convert") and hasattr(image, "mode") else image


def with_channels(pixels: NDArray, n_channels: int) -> NDArray:
    """One or three channels of 1, 3 or 4, (..., channels)."""
    if pixels.shape[-1] == 4:  # what is transparent becomes white
        scale = 255 if pixels.dtype == np.uint8 else 1
        opaque = pixels[..., 3:].astype(np.float32) / scale
        blended = pixels[..., :3] * opaque + scale * (1 - opaque)
        pixels = np.rint(blended).astype(np.uint8) if scale == 255 else blended
    if pixels.shape[-1] == n_channels:
        return pixels
    if n_channels == 3:
        return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # as pillow does
    return (np.rint(grey).astype(np.uint8) if pixels.dtype == np.uint8 else grey)[..., None]
