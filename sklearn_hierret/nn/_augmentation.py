"""Random changes to whole batches of training images, on the device that trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Augmentation(nn.Module):
    """Random crop with padding, flip, rotation and erasing, anew for each image of a batch.

    Moves, flips and rotations are one resampling. What comes in from outside is 0, the mean of
    normalised images. Draws are torch's own: its seed makes them reproducible.

    Parameters
    ----------
    padding : int, default=4
        A crop after padding by so many pixels: moves by up to as many.
    flip : bool, default=True
        From left to right, every other image.
    rotation : float, default=0.0
        By up to so many degrees either way; 30 for plankton, say.
    erasing : float, default=0.0
        Share of the images of which a rectangle of 2 to 20 % of the area becomes 0.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret.nn import Augmentation
    >>> Augmentation(2, rotation=15)(torch.rand(8, 3, 16, 16)).shape
    torch.Size([8, 3, 16, 16])
    """

    def __init__(
        self, padding: int = 4, *, flip: bool = True, rotation: float = 0.0, erasing: float = 0.0
    ) -> None:
        super().__init__()
        if padding < 0 or not 0 <= rotation <= 180 or not 0 <= erasing <= 1:
            raise ValueError("padding must be at least 0, rotation in [0, 180], erasing in [0, 1].")
        self.padding, self.flip, self.rotation, self.erasing = padding, flip, rotation, erasing

    def forward(self, images: Tensor) -> Tensor:
        if self.padding or self.flip or self.rotation:
            images = self._moved(images)
        if self.erasing:
            images = self._erased(images)
        return images

    def extra_repr(self) -> str:
        return f"padding={self.padding}, flip={self.flip}, rotation={self.rotation}, erasing={self.erasing}"

    def _moved(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        size = torch.tensor([width, height], device=images.device)
        steps = torch.randint(-self.padding, self.padding + 1, (n, 2), device=images.device)
        angle = (torch.rand(n, device=images.device) * 2 - 1) * (self.rotation * torch.pi / 180)
        turned = torch.ones(n, device=images.device)
        if self.flip:
            turned = 1.0 - 2.0 * torch.randint(0, 2, (n,), device=images.device)
        cos, sin, ratio = angle.cos(), angle.sin(), height / width
        # Where each pixel comes from, in coordinates from -1 to 1.
        theta = torch.stack(
            [
                torch.stack([turned * cos, -turned * sin * ratio], dim=1),
                torch.stack([sin / ratio, cos], dim=1),
            ],
            dim=1,
        )
        theta = torch.cat([theta, (2.0 * steps / size)[:, :, None]], dim=2).to(images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)

    def _erased(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        device = images.device
        area = torch.empty(n, device=device).uniform_(0.02, 0.2) * height * width
        ratio = torch.exp(torch.empty(n, device=device).uniform_(-1.2, 1.2))
        h = (area * ratio).sqrt().clamp(1, height)
        w = (area / ratio).sqrt().clamp(1, width)
        top, left = torch.rand(n, device=device) * (height - h), torch.rand(n, device=device) * (width - w)
        y = torch.arange(height, device=device)[None, :]
        x = torch.arange(width, device=device)[None, :]
        rows = (y >= top[:, None].floor()) & (y < (top + h)[:, None])
        columns = (x >= left[:, None].floor()) & (x < (left + w)[:, None])
        chosen = torch.rand(n, device=device) < self.erasing
        hidden = rows[:, None, :, None] & columns[:, None, None, :] & chosen[:, None, None, None]
        return images.masked_fill(hidden, 0.0)
