"""Images of any sizes, one after another, as tensors of one size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sklearn_hierret.images import ImageSource
from sklearn_hierret.images._reading import image_files, paths_of, read_image


class ImageList:
    """What `FrozenFeatureExtractor` takes, image by image.

    Parameters
    ----------
    X : array of images, sequence of images of any sizes, of PIL images, of paths; data frame of paths; folder
    n_channels : {1, 3}
        Grey images are repeated, colours averaged, as a network needs.
    """

    def __init__(self, X: Any, n_channels: int) -> None:
        self.n_channels = n_channels
        self.images: Any = None
        self.paths: list[str] | None = None
        if isinstance(X, (str, os.PathLike)):
            if not Path(X).expanduser().is_dir():
                raise ValueError(f"{X} is no folder; pass a list to transform a single image.")
            self.paths = [str(path) for path in image_files(X)]
            return
        self.paths = paths_of(X)
        if self.paths is None:
            self.images = _checked(X)

    def __len__(self) -> int:
        return len(self.images if self.paths is None else self.paths)

    def name(self, i: int) -> str:
        """What an image is called in messages."""
        return f"image {i}" if self.paths is None else self.paths[i]

    def content(self, i: int) -> Any:
        """Bytes of a file, or the pixels."""
        return self.images[i] if self.paths is None else Path(self.paths[i]).read_bytes()

    def pixels(self, i: int, content: Any, at_least: tuple[int, int]) -> NDArray:
        """An image as (height, width, n_channels), from what `content` gave."""
        if self.paths is not None:
            return read_image(content, self.n_channels, name=self.paths[i], at_least=at_least)
        return with_channels(content, self.n_channels)


def digest_of(content: Any) -> bytes:
    """What tells an image from others: a hash of its bytes, with the shape of an array."""
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=16).digest()
    head = f"{content.shape} {content.dtype.str}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(content).tobytes(), digest_size=16).digest()


def resized(pixels: NDArray, size: tuple[int, int], how: str) -> Tensor:
    """Images (n, height, width, channels) as (n, channels, *size), from 0 to 1.

    Bicubic; where images become smaller, over all pixels that fall into a new one.

    Parameters
    ----------
    pixels : ndarray
        uint8, or floats from 0 to 1.
    size : (int, int)
    how : {"stretch", "crop", "pad"}
        What becomes of the sides' ratio.
    """
    images = torch.from_numpy(np.array(np.moveaxis(pixels, -1, 1), dtype=np.float32, order="C"))
    if pixels.dtype == np.uint8:
        images /= 255
    height, width = images.shape[2:]
    if how == "crop":
        scale = max(size[0] / height, size[1] / width)
    elif how == "pad":
        scale = min(size[0] / height, size[1] / width)
    inner = size if how == "stretch" else (max(1, round(height * scale)), max(1, round(width * scale)))
    if inner != (height, width):
        shrinks = inner[0] < height or inner[1] < width
        images = interpolate(images, inner, mode="bicubic", antialias=shrinks).clamp(0, 1)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    if how == "crop":
        images = images[:, :, -top : -top + size[0], -left : -left + size[1]]
    elif how == "pad":
        images = pad(images, (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top), value=0.5)
    return images


def tiled(image: Tensor, rows: int, columns: int) -> Tensor:
    """Tiles of equal sizes of images (n, channels, height, width), all of one image in a row."""
    n, channels, height, width = image.shape
    tiles = image.reshape(n, channels, rows, height // rows, columns, width // columns)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // rows, width // columns)


def _checked(X: Any) -> Any:
    """An array of images, or a list of arrays."""
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
    found = []
    for i, array in enumerate(arrays):
        try:
            found.append(ImageSource(array[None]).batch([0])[0])
        except ValueError as error:
            raise ValueError(f"image {i}: {error}") from None
    return found


def _array_of_pil(image: Any) -> Any:
    return image.convert("RGB") if hasattr(image, "convert") and hasattr(image, "mode") else image


def with_channels(pixels: NDArray, n_channels: int) -> NDArray:
    """One or three channels of 1, 3 or 4, (..., channels)."""
    pixels = pixels[..., :3]
    if pixels.shape[-1] == n_channels:
        return pixels
    if n_channels == 3:
        return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # as pillow does
    return (np.rint(grey).astype(np.uint8) if pixels.dtype == np.uint8 else grey)[..., None]
