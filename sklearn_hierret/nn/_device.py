"""Devices: which one, in what precision, and what to do where its memory is short."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def settled_device(device: Any) -> Any:
    """Return the device in use: "auto" is "cuda" where there is such a device, else "cpu"."""
    if not isinstance(device, str) or device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: Any) -> None:
    """Raise a ValueError for CUDA where torch finds none."""
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r}, but torch finds no CUDA device here; device='auto' takes what there is."
        )


def autocast(device: Any, enabled: bool) -> Any:
    """Compute in bfloat16 where that is safe."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=enabled)


@contextlib.contextmanager
def memory_hint(device: Any, batch_size: int) -> Iterator[None]:
    """Say what to do about memory that is exhausted."""
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error).lower() or "allocate" not in str(error).lower():
            raise
        raise RuntimeError(
            f"Out of memory on {device} with batch_size={batch_size}: try a smaller "
            "batch_size, smaller images or mixed_precision=True."
        ) from error
