"""Matplotlib, imported when something is drawn and not before."""

from __future__ import annotations

from typing import Any


def new_axes(ax: Any, width: float, height: float) -> Any:
    """Return the axes given, or those of a new figure of this size in inches.

    Raises
    ------
    ImportError
        Without matplotlib; the message says how to install it.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Drawing needs matplotlib: python -m pip install "sklearn-hierret[plot]".'
        ) from error
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def name_of(label: Any, names: Any) -> str:
    """Name to draw: from a mapping or sequence of names, else the label."""
    if names is None:
        return str(label)
    try:
        return str(names[label])
    except (KeyError, IndexError, TypeError):
        return str(label)


def size_in_inches(ax: Any) -> tuple[float, float]:
    """Width and height of axes as they are laid out now."""
    box = ax.get_window_extent()
    dpi = ax.figure.dpi
    return box.width / dpi, box.height / dpi
