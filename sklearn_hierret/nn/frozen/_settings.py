"""Parameters of an extraction, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from sklearn_hierret.nn._device import check_device, settled_device
from sklearn_hierret.nn._digest import digest_of
from sklearn_hierret.nn.frozen._network import FrozenNetwork

#: Pixels of a batch on a processor. EfficientNet-Lite0 takes 65 images of 224 x 224 a second so, and 47 in
#: batches of 32: larger maps are given back to the system after each layer.
CPU_PIXELS = 400_000


@dataclass
class Settings:
    """Parameters as `fit` read them."""

    image_size: tuple[int, int]
    n_channels: int
    resize: str
    grid: tuple[int, int]
    batch_size: int
    n_threads: int
    wanted_device: Any
    device: Any
    is_compiled: bool
    mixed_precision: bool
    memory: Path | None
    on_error: str
    verbose: int
    n_features: int
    #: Of network and all settings that features depend on.
    key: str | None


def device_of(device: Any) -> Any:
    """Return the device, which must exist."""
    settled = settled_device(device)
    try:
        torch.device(settled)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is none of torch's ({str(error).splitlines()[0]}).") from None
    check_device(settled)
    return settled


def batch_size_of(batch_size: int | str, image_size: tuple[int, int], device: Any) -> int:
    """Images that the network computes at once."""
    if batch_size != "auto":
        return int(batch_size)
    if torch.device(device).type != "cpu":
        return 64
    return max(1, min(64, CPU_PIXELS // (image_size[0] * image_size[1])))


def pair(value: Any, name: str) -> tuple[int, int]:
    """(rows, columns) from one number or two."""
    both = (value, value) if isinstance(value, Integral) else value
    both = both.tolist() if isinstance(both, np.ndarray) else both
    if (
        not isinstance(both, Sequence)
        or len(both) != 2
        or not all(isinstance(one, Integral) and not isinstance(one, bool) and int(one) > 0 for one in both)
    ):
        raise ValueError(f"{name} must be a positive integer or two of them, got {value!r}.")
    return int(both[0]), int(both[1])


def statistics(mean: Any, std: Any) -> tuple[list[float], list[float]]:
    mean, std = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (mean, std))
    if mean.shape not in ((1,), (3,)) or mean.shape != std.shape:
        raise ValueError(
            f"mean and std have one number each, or three, got shapes {mean.shape}, {std.shape}."
        )
    if not np.isfinite([mean, std]).all() or not (std > 0).all():
        raise ValueError(f"mean must be finite and std above 0, got {mean.tolist()}, {std.tolist()}.")
    return mean.tolist(), std.tolist()


def folder_of(memory: Any) -> Path | None:
    if isinstance(memory, joblib.Memory):
        memory = memory.location
    if memory is None:
        return None
    if not isinstance(memory, (str, Path)):
        raise TypeError(f"memory must be a path or a joblib.Memory, got a {type(memory).__name__}.")
    return Path(memory).expanduser()


def key_of(digest: str, network: FrozenNetwork, settings: Settings) -> str:
    """Name everything that features depend on."""
    pooling = digest_of(network.pooling)
    statistics = network.mean.flatten().tolist(), network.std.flatten().tolist()
    how = settings.image_size, settings.resize, settings.grid, settings.mixed_precision
    text = repr((digest, pooling, network.layers, statistics, how))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
