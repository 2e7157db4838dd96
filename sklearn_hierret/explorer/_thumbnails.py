"""Images of any sizes as small pictures inside a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.images import ImageList, ImageSource

#: Smaller images are kept without loss.
SMALL = 32


class Thumbnails:
    """Pictures of images, one after another.

    Parameters
    ----------
    images : array of images, or sequence of arrays of any sizes, of PIL images, or of paths
    image_size : (int, int) or None
        (height, width) that files are resized to; None: they keep their shapes.
    longest : int
        Pixels of the longer side at most.
    """

    def __init__(self, images: Any, image_size: tuple[int, int] | None, longest: int) -> None:
        self.longest = longest
        self.are_small = False
        self._images = ImageList(images, 3) if image_size is None else ImageSource(images, image_size)

    def __len__(self) -> int:
        return len(self._images)

    def encoded(self) -> list[str]:
        """Encode all images as data URIs; an error names the image that cannot be read."""
        uris, sizes = [], []
        for i in range(len(self)):
            pixels = self._pixels(i)
            uris.append(_encoded(pixels, self.longest))
            sizes.append(max(pixels.shape[:2]))
        self.are_small = max(sizes, default=0) <= SMALL
        return uris

    def _pixels(self, i: int) -> NDArray:
        if isinstance(self._images, ImageSource):
            return self._images.batch([i])[0]
        return self._images.pixels(i, self._images.content(i), (self.longest, self.longest))


def _encoded(image: NDArray, longest: int) -> str:
    """Encode an image, made smaller if need be: as PNG where it is small, else as JPEG."""
    from PIL import Image

    pixels = image if image.dtype == np.uint8 else np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    is_grey = bool((pixels == pixels[:, :, :1]).all())
    picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if is_grey else pixels[:, :, :3]))
    picture.thumbnail((longest, longest))
    is_small = max(pixels.shape[:2]) <= SMALL
    buffer = io.BytesIO()
    if is_small:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=85)
    kind = "png" if is_small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
