"""Pictures of queries and their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_same_kind
from sklearn_hierret.display._figure import name_of, new_axes
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy

#: Told apart in the common kinds of colour blindness as well.
RIGHT, WRONG = "#0072b2", "#d55e00"


class RetrievalDisplay:
    """Queries and their neighbours as images, framed by how right the neighbours are.

    A row a query, the query at the left (venkataramanan2023, Fig. 1). Make one with
    `from_estimator`.

    Parameters
    ----------
    query_images : ndarray of shape (n_queries, height, width[, 3])
    images : ndarray of shape (n_queries, k, height, width[, 3])
        The neighbours.
    query_labels : ndarray of shape (n_queries,)
    labels : ndarray of shape (n_queries, k)
    hierarchy : ClassHierarchy, optional
        Frames show the similarity of the classes in it, instead of right and wrong.
    class_names : mapping from class label to str, optional
    notes : sequence of str, optional
        A line below each query, such as the node that it backs off to.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever, RetrievalDisplay
    >>> digits = load_digits()
    >>> retriever = HierarchicalRetriever().fit(digits.data[:500], digits.target[:500])
    >>> display = RetrievalDisplay.from_estimator(
    ...     retriever,
    ...     digits.data[500:502],
    ...     digits.target[500:502],
    ...     query_images=digits.images[500:502],
    ...     gallery_images=digits.images[:500],
    ... )
    """

    def __init__(
        self,
        query_images: NDArray,
        images: NDArray,
        query_labels: NDArray,
        labels: NDArray,
        *,
        hierarchy: ClassHierarchy | None = None,
        class_names: Mapping | None = None,
        notes: Sequence[str] | None = None,
    ) -> None:
        self.query_images = query_images
        self.images = images
        self.query_labels = query_labels
        self.labels = labels
        self.hierarchy = hierarchy
        self.class_names = class_names
        self.notes = notes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        query_images: ArrayLike,
        gallery_images: ArrayLike,
        n_neighbors: int = 5,
        hierarchy: ClassHierarchy | None = None,
        class_names: Mapping | None = None,
        min_probability: float | None = None,
        ax: Any = None,
        title: str | None = None,
        cmap: str = "gray",
    ) -> RetrievalDisplay:
        """Search with a fitted retriever, or a Pipeline ending in one, and draw.

        Parameters
        ----------
        estimator : HierarchicalRetriever or Pipeline
            With a labelled gallery.
        X : array-like of shape (n_queries, n_features)
        y : array-like of shape (n_queries,)
            True labels of the queries.
        query_images : array-like of shape (n_queries, height, width[, 3])
        gallery_images : array-like of shape (n_gallery, height, width[, 3])
            In the order of the gallery.
        n_neighbors : int, default=5
        hierarchy : ClassHierarchy, optional
            Colour by class similarity in it, instead of right and wrong.
        class_names : mapping from class label to str, optional
        min_probability : float in (0.5, 1], optional
            Below each query, the deepest node that holds so much of its class probabilities, and how likely
            that is right; see `HierarchicalRetriever.retrieve`.
        ax : matplotlib Axes, optional
        title : str, optional
        cmap : str, default="gray"
            Colour map of images without colour channels; "gray_r" for ink on white whose numbers are ink.

        Returns
        -------
        display : RetrievalDisplay
        """
        retriever, X = retriever_of(estimator, X)
        gallery_images = np.asarray(gallery_images)
        gallery_labels = getattr(retriever, "gallery_labels_", None)
        if gallery_labels is None:
            raise ValueError(
                f"{type(retriever).__name__} has no gallery labels; a fitted HierarchicalRetriever has, "
                "unless set_gallery was called without y."
            )
        check_same_kind(np.asarray(y), gallery_labels, "y", "the gallery's labels")
        if len(gallery_images) != len(gallery_labels):
            raise ValueError(
                f"{len(gallery_images)} gallery_images for {len(gallery_labels)} gallery samples."
            )
        results = retriever.kneighbors(X, n_neighbors=n_neighbors, return_distance=False)
        query_images, labels = np.asarray(query_images), np.asarray(y)
        if not len(query_images) == len(results) == len(labels):
            raise ValueError(
                f"{len(results)} queries, {len(labels)} labels and {len(query_images)} query_images."
            )
        notes = None
        if min_probability is not None:
            notes = _backed_off(retriever, X, min_probability, class_names)
        display = cls(
            query_images,
            gallery_images[results],
            labels,
            gallery_labels[results],
            hierarchy=hierarchy,
            class_names=class_names,
            notes=notes,
        )
        return display.plot(ax, cmap=cmap, title=title)

    def plot(self, ax: Any = None, *, cmap: str = "gray", title: str | None = None) -> RetrievalDisplay:
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        cmap : str, default="gray"
            Colour map of images without colour channels.
        title : str, optional

        Returns
        -------
        display : RetrievalDisplay
        """
        n_queries, k = self.labels.shape
        # In units of an image's side: room for a name below, a gap after the query.
        step, gap, line = 1.16, 0.35, 0.34 if self.notes is None else 0.56
        bar = 0.0 if self.hierarchy is None else 0.9
        ax = new_axes(ax, (k + 1) * step + gap + bar, n_queries * (step + line) + 0.5)
        from matplotlib import colormaps
        from matplotlib.patches import Rectangle

        similarity = None
        if self.hierarchy is not None:
            similarity = 1 - self.hierarchy.distance(self.query_labels[:, None], self.labels)
        for row in range(n_queries):
            y = -row * (step + line)
            draw_image(ax, self.query_images[row], 0, y, cmap)
            ax.add_patch(Rectangle((0, y), 1, 1, fill=False, edgecolor="0.4", linewidth=1))
            self._write(ax, self.query_labels[row], 0.5, y, "black")
            if self.notes is not None:
                note = self.notes[row]
                ax.text(0, y - 0.29, note, ha="left", va="top", fontsize=8, color="0.4", parse_math=False)
            for rank in range(k):
                x = (rank + 1) * step + gap
                draw_image(ax, self.images[row, rank], x, y, cmap)
                if similarity is None:
                    is_right = self.labels[row, rank] == self.query_labels[row]
                    color: Any = RIGHT if is_right else WRONG
                else:
                    color = colormaps["viridis"](similarity[row, rank])
                ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=color, linewidth=3))
                text_color = color if similarity is None else "0.15"
                self._write(ax, self.labels[row, rank], x + 0.5, y, text_color)
        ax.set_xlim(-0.1, (k + 1) * step + gap)
        ax.set_ylim(-(n_queries - 1) * (step + line) - line, 1.42)
        ax.set_aspect("equal")
        ax.axis("off")
        ax.text(0.5, 1.08, "query", ha="center", va="bottom", fontsize=9)
        ax.text(step + gap, 1.08, "nearest first", ha="left", va="bottom", fontsize=9)
        self._explain(ax)
        if title:
            ax.set_title(title, fontsize=11)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write(self, ax: Any, label: Any, x: float, y: float, color: Any) -> None:
        name = name_of(label, self.class_names)
        if len(name) > 14:
            name = name[:13] + "\N{HORIZONTAL ELLIPSIS}"
        ax.text(x, y - 0.07, name, ha="center", va="top", fontsize=8, color=color, parse_math=False)

    def _explain(self, ax: Any) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.patches import Patch

        if self.hierarchy is not None:
            bar = ax.figure.colorbar(ScalarMappable(cmap="viridis"), ax=ax, fraction=0.03, pad=0.02)
            bar.set_label("similarity of the classes")
            return
        handles = [
            Patch(fill=False, edgecolor=RIGHT, linewidth=2, label="same class"),
            Patch(fill=False, edgecolor=WRONG, linewidth=2, label="other class"),
        ]
        ax.legend(
            handles=handles, loc="lower right", bbox_to_anchor=(1, 0.995), ncols=2, frameon=False, fontsize=8
        )


def _backed_off(
    retriever: Any, X: ArrayLike, min_probability: float, class_names: Mapping | None
) -> list[str]:
    """Return what class or group of classes each query is of, and how often that is right."""
    table = retriever.retrieve(X, 1, min_probability=min_probability)
    nodes = retriever.leaves(X, min_probability=min_probability)
    tree, notes = retriever.hierarchy_, []
    is_given = retriever.hierarchy_builder_ is None
    for node, name, accuracy in zip(nodes, table["query_node"], table["query_node_accuracy"], strict=True):
        members = [name_of(label, class_names) for label in tree.members(node)]
        if node == tree.root:
            text = "unsure"
        elif node >= tree.n_classes and is_given:
            text = str(name)
        elif len(members) <= 3:
            text = " or ".join(members)
        else:
            text = f"one of {len(members)} classes"
        notes.append(text if np.isnan(accuracy) or node == tree.root else f"{text} ({accuracy:.0%} right)")
    return notes


def draw_image(ax: Any, image: NDArray, x: float, y: float, cmap: str) -> None:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3):
        raise ValueError(f"Images have shape (height, width) or (height, width, 3), got {image.shape}.")
    ends: dict[str, float] = {}
    if image.dtype == np.uint8:
        ends = {"vmin": 0, "vmax": 255}
    elif image.dtype.kind == "f" and image.min() >= 0 and image.max() <= 1:
        ends = {"vmin": 0, "vmax": 1}
    ax.imshow(image, cmap=cmap, extent=(x, x + 1, y, y + 1), interpolation="nearest", zorder=0, **ends)
