"""Images of one size, as a network takes them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

#: An enlarged image has so many pixels at most, before its middle is cut out.
MOST_PIXELS = 1 << 22


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
    if how == "crop":
        pixels = _middle(pixels, size)
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


def _middle(pixels: NDArray, size: tuple[int, int]) -> NDArray:
    """Cut off what would be enlarged to more than so many pixels, and then thrown away."""
    sides = pixels.shape[1:3]
    scale = max(size[0] / sides[0], size[1] / sides[1])
    if sides[0] * sides[1] * scale**2 <= MOST_PIXELS:
        return pixels
    cut = []
    for length, wanted in zip(sides, size, strict=True):
        # A margin for the interpolation; as much on both sides, so that the middle stays the middle.
        margin = max(0, (length - math.ceil(wanted / scale)) // 2 - 8)
        cut.append(slice(margin, length - margin))
    return pixels[:, cut[0], cut[1]]


def tiled(image: Tensor, rows: int, columns: int) -> Tensor:
    """Tiles of equal sizes of images (n, channels, height, width), all of one image in a row."""
    n, channels, height, width = image.shape
    tiles = image.reshape(n, channels, rows, height // rows, columns, width // columns)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // rows, width // columns)
