"""Pictures of what an inspection has found."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_hierret._frames import as_frame
from sklearn_hierret.display._figure import name_of, new_axes
from sklearn_hierret.display._retrieval import RIGHT, WRONG, draw_image

#: Images of a row, at most.
MOST = 8


class Cell(NamedTuple):
    """An image, by its id, what stands below it, and the colour of its frame."""

    id: Any
    text: str
    color: str = "0.5"


class InspectionDisplay:
    """Images of a table of `sklearn_hierret.inspection`: suspects with their evidence, or groups of copies.

    Make one with `from_table`.

    Parameters
    ----------
    rows : list of lists of Cell
        Images and what stands below them.
    images : array-like of shape (n_images, height, width[, channels])
    ids : array-like of shape (n_images,)
        Ids of the images.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever, InspectionDisplay
    >>> from sklearn_hierret.inspection import label_issues
    >>> digits = load_digits()
    >>> table = label_issues(HierarchicalRetriever().fit(digits.data, digits.target))
    >>> display = InspectionDisplay.from_table(table, digits.images, n_rows=3)
    """

    def __init__(self, rows: list[list[Cell]], images: ArrayLike, ids: ArrayLike) -> None:
        self.rows = rows
        self.images = images
        self.ids = ids

    @classmethod
    def from_table(
        cls,
        table: Any,
        images: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        class_names: Mapping | None = None,
        n_rows: int = 6,
        ax: Any = None,
        cmap: str = "gray",
    ) -> InspectionDisplay:
        """Draw the first rows of a table.

        Parameters
        ----------
        table : DataFrame
            What `label_issues`, `near_duplicates` (of one set) or `novel_items` gives.
        images : array-like of shape (n_images, height, width[, channels])
        ids : array-like of shape (n_images,), optional
            Ids of the images in the table; default: their positions.
        class_names : mapping from class label to str, optional
        n_rows : int, default=6
            Suspects, groups of copies, or provisional leaves.
        ax : matplotlib Axes, optional
        cmap : str, default="gray"
            Colour map of images without colour channels.

        Returns
        -------
        display : InspectionDisplay

        Raises
        ------
        ValueError
            For another table, and for ids without an image.
        """
        frame = as_frame(table)
        make = {"supporting": _suspects, "nearest_id": _groups, "known_probability": _novel}
        kind = next((column for column in make if column in frame.columns), None)
        if kind is None:
            raise ValueError("The table is none of label_issues, near_duplicates or novel_items.")
        if kind == "nearest_id" and (frame["part"] == "X").any():
            raise ValueError("Copies of two sets have images of two arrays: draw each part alone.")
        rows = list(islice(make[kind](frame, class_names), n_rows))
        ids = np.arange(len(np.asarray(images))) if ids is None else np.asarray(ids)
        return cls(rows, images, ids).plot(ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: str = "gray") -> InspectionDisplay:
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        cmap : str, default="gray"
            Colour map of images without colour channels.

        Returns
        -------
        display : InspectionDisplay
        """
        images, step, line = np.asarray(self.images), 1.16, 0.34
        place = {item: at for at, item in enumerate(np.asarray(self.ids).tolist())}
        width = max(map(len, self.rows), default=1)
        ax = new_axes(ax, width * step + 0.3, max(1, len(self.rows)) * (step + line) + 0.2)
        from matplotlib.patches import Rectangle

        for number, row in enumerate(self.rows):
            y = -number * (step + line)
            for x, cell in zip(np.arange(len(row)) * step, row, strict=True):
                if cell.id not in place:
                    raise ValueError(f"There is no image for the id {cell.id!r}.")
                draw_image(ax, images[place[cell.id]], x, y, cmap)
                ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=cell.color, linewidth=2.5))
                text = cell.text if len(cell.text) < 18 else cell.text[:17] + "\N{HORIZONTAL ELLIPSIS}"
                ax.text(x + 0.5, y - 0.07, text, ha="center", va="top", fontsize=7.5, parse_math=False)
        ax.set_xlim(-0.1, width * step)
        ax.set_ylim(-max(0, len(self.rows) - 1) * (step + line) - line, 1.1)
        ax.set_aspect("equal")
        ax.axis("off")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _suspects(table: pd.DataFrame, names: Mapping | None) -> Any:
    """Yield a suspect, then images with its label, then such with the suggested one."""
    for row in table.itertuples():
        given, suggested = name_of(row.given, names), name_of(row.suggested, names)
        yield [
            Cell(row.id, f"{given}?", WRONG),
            *(Cell(item, given) for item in row.supporting),
            *(Cell(item, suggested, RIGHT) for item in row.contradicting),
        ]


def _groups(table: pd.DataFrame, names: Mapping | None) -> Any:
    """Yield the copies of each group; other labels than that of the first one stand out."""
    for _, group in table.groupby("group", sort=False):
        first = group["label"].iloc[0]
        yield [
            Cell(row.id, f"{name_of(row.label, names)} ({row.kind})", "0.5" if row.label == first else WRONG)
            for row in group.iloc[:MOST].itertuples()
        ]


def _novel(table: pd.DataFrame, names: Mapping | None) -> Any:
    """Yield the central images of each provisional leaf, or else the newest images."""
    provisional = table[table["is_provisional"]]
    for leaf, group in provisional.groupby("leaf", sort=False):
        central = group[group["is_central"]]
        yield [
            Cell(item, f"{name_of(leaf, names)}, {group['leaf_size'].iloc[0]:.0f} images")
            for item in central["id"].iloc[:MOST]
        ]
    others = table[~table["is_provisional"]]
    for start in range(0, len(others), MOST):
        yield [
            Cell(row.id, f"known: {row.known_probability:.2f}")
            for row in others.iloc[start : start + MOST].itertuples()
        ]
