"""Image files of any kind to arrays of bytes, upright and on white."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._frames import as_list

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
#: What messages of pillow call a file that is no path.
_ADDRESS = re.compile("<[^<>]* object at 0x[0-9a-fA-F]+>")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_files(folder: Any, extensions: Sequence[str] = EXTENSIONS) -> list[Path]:
    """Paths of the images in a folder and all folders below it, sorted; hidden ones are passed over.

    Links to folders are followed, but not back to a folder that holds the link.

    Raises
    ------
    ValueError
        If there is none, or it is no folder.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"{root} is no folder.")
    results = sorted(
        path
        for place, names in _folders(root)
        for name in names
        if (path := place / name).suffix.lower() in extensions and path.is_file()
    )
    if not results:
        raise ValueError(f"{root}: no image found ({', '.join(extensions)}).")
    return results


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders that are not hidden, and the names of files in them that are not."""
    for place, folders, files in os.walk(root, followlinks=True):
        above = os.path.realpath(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and not f"{above}{os.sep}".startswith(f"{os.path.realpath(os.path.join(place, name))}{os.sep}")
        ]
        yield Path(place), [name for name in files if not name.startswith(".")]


#: What files of images begin with.
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P5", b"P6")


def encoded_of(X: Any) -> list[bytes] | None:
    """Return images that are given as the bytes of their files, or as rows of Hugging Face's data sets.

    None if X holds something else.
    """
    items: Any = as_list(X)
    if isinstance(items, np.ndarray) and items.dtype.kind in "OS":
        items = items.ravel().tolist()
    if not isinstance(items, Sequence) or isinstance(items, (str, bytes)) or not len(items):
        return None
    if isinstance(items[0], dict) and isinstance(items[0].get("bytes"), (bytes, bytearray, memoryview)):
        items = [item.get("bytes") if isinstance(item, dict) else item for item in items]
    if not isinstance(items[0], (bytes, bytearray, memoryview)):
        return None
    start = bytes(items[0][:64])
    if not start.startswith(_SIGNATURES) and b"\0" not in start:
        return None  # a path
    for i, item in enumerate(items):
        if not isinstance(item, (bytes, bytearray, memoryview)):
            raise TypeError(f"The first image is a file's bytes, but number {i} is a {type(item).__name__}.")
    return [bytes(item) for item in items]


def paths_of(X: Any) -> list[str] | None:
    """Paths in a list, an array, or a data frame of one column; None if X holds something else."""
    if not hasattr(X, "iloc"):
        X = as_list(X)
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "US" or (
            X.dtype == object and X.size > 0 and isinstance(X.flat[0], (str, os.PathLike))
        ):
            return _decoded(X.ravel().tolist())
        return None
    if hasattr(X, "iloc"):
        values = X.to_numpy(dtype=object)
        if values.ndim == 2 and values.shape[1] != 1:
            raise ValueError(
                f"A data frame of paths has one column, got {values.shape[1]}: pass that column."
            )
        return paths_of(values)
    if isinstance(X, Sequence) and len(X) > 0 and isinstance(X[0], (str, bytes, os.PathLike)):
        return _decoded(X)
    return None


def _decoded(paths: Sequence) -> list[str]:
    for i, path in enumerate(paths):
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f"The first element is a path, but number {i} is a {type(path).__name__}.")
    if not len(paths):
        raise ValueError("There is no image.")
    return [os.fsdecode(path) for path in paths]


def name_of_image(image: Any, number: int) -> str:
    """Return what messages call an image: its path, or its number."""
    return f"image {number}" if isinstance(image, bytes) else str(image)


def read_image(
    file: Any, n_channels: int | None = None, *, name: str | None = None, at_least: Any = None
) -> NDArray[np.uint8]:
    """Pixels of an image file.

    EXIF's orientation is followed, the first image of an animation is taken, what is transparent becomes
    white, and 16 bits become 8.

    Parameters
    ----------
    file : path or bytes
        bytes: the content of a file.
    n_channels : {1, 3, 4}, optional
        Default: 1 for grey images, else 3.
    name : str, optional
        For messages; default: the path.
    at_least : (int, int), optional
        A JPEG may be decoded at a reduced scale that keeps so many rows and columns.

    Returns
    -------
    pixels : ndarray of shape (height, width, n_channels), uint8

    Raises
    ------
    ValueError
        If the file is no image, is damaged, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    FileNotFoundError
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("Reading image files needs pillow: python -m pip install pillow") from None
    if name is None:
        name = "the file" if isinstance(file, bytes) or hasattr(file, "read") else str(file)
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            _check_size(image.size, Image.MAX_IMAGE_PIXELS)
            if at_least is not None and image.format == "JPEG":
                # Decoding takes most of the time of a photograph; turned ones may have these exchanged.
                image.draft(image.mode, (max(at_least), max(at_least)))
            return pixels_of(image, n_channels)
    except (FileNotFoundError, IsADirectoryError, PermissionError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: this image is too large ({error}).") from None
    except Exception as error:  # decoders of damaged files raise what they like
        reason = _ADDRESS.sub("it", str(error))
        raise ValueError(f"{name}: this is no image that can be read ({reason}).") from error


def _check_size(size: tuple[int, int], most: int | None) -> None:
    if min(size) < 1:
        raise ValueError(f"it has {size[1]} x {size[0]} pixels")
    if most is not None and size[0] * size[1] > most:
        raise ValueError(
            f"{size[1]} x {size[0]} pixels are more than {most:,}; if you trust the file, raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        )


def pixels_of(image: Any, n_channels: int | None = None) -> NDArray[np.uint8]:
    """Pixels of an image of pillow; see `read_image`."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    is_grey = image.mode in ("1", "L", "LA", "La")
    if n_channels is None:
        n_channels = 1 if is_grey else 3
    if n_channels < 4 and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    array = np.asarray(image.convert(_MODES[n_channels]))
    return array[:, :, None] if array.ndim == 2 else array


def _eight_bits(values: NDArray) -> NDArray[np.uint8]:
    """16-bit integers by their upper bits, floats from 0 to 1 times 255; others are 0 ... 255 already."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise ValueError(f"its values are {low} ... {high}")
    if values.dtype.kind == "f" and high <= 1:
        return np.rint(values * 255).astype(np.uint8)
    # A 16-bit file is one however dark it is; 32-bit integers and floats tell it by their values.
    is_16_bits = values.dtype.itemsize == 2 or high > 255
    return (values // 256 if is_16_bits else values).astype(np.uint8)
