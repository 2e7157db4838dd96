"""From a fitted retriever and images to one self-contained page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._files import written_whole
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.explorer import _content
from sklearn_hierret.explorer._thumbnails import Thumbnails
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.inspection import FORMAT
from sklearn_hierret.interaction import session_numbers
from sklearn_hierret.retrieval import HammingRetriever, HierarchicalRetriever, checked_samples

#: Images above it take long to open.
MOST_IMAGES = 10_000
#: Parts of the script, in the order in which they need each other.
SCRIPTS = ("data", "ranking", "elements", "state", "cards", "tree", "images", "search", "corrections")
SCRIPTS += ("views", "map", "start")


class Explorer:
    """A page that `explore` made; a notebook shows it.

    Parameters
    ----------
    page : str
        HTML.
    path : path or None
        Where it was written.

    Attributes
    ----------
    html : str
        The page.
    path : Path or None
        Where it was written.

    Examples
    --------
    >>> from sklearn_hierret.explorer import Explorer
    >>> Explorer("<!doctype html>", None)
    <Explorer: 0.0 MB, not written>
    """

    def __init__(self, page: str, path: Path | None) -> None:
        self.html = page
        self.path = path

    def __repr__(self) -> str:
        where = "not written" if self.path is None else str(self.path)
        return f"<Explorer: {len(self.html) / 1e6:.1f} MB, {where}>"

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        style = "width: 100%; height: 760px; border: 1px solid #ccc"
        return f'<iframe srcdoc="{page}" style="{style}" sandbox="allow-scripts" title="explorer"></iframe>'


def explore(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    images: Any,
    path: Any = "explorer.html",
    n_neighbors: int = 20,
    ids: ArrayLike | None = None,
    class_names: Mapping | None = None,
    image_size: tuple[int, int] | None = None,
    thumbnail: int = 128,
    title: str = "What the retriever finds",
    layout: Any = "auto",
) -> Explorer:
    """Write a page on which a person searches a collection and cleans its labels: one file, no server.

    It has the tree of the classes with images, a list that is searched, filtered and ordered by how
    suspicious labels are (`label_issues`), near copies, clusters of images whose class may be new, an
    overview of the classes, a map, the results of the visual distance alone and of the retriever side by
    side, facets, corrected labels that are saved as files for `read_corrections`, and marks that rank anew in
    the page, as a `RetrievalSession` does, by the 64 leading components of the rows that are compared.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline that ends with one
        It stays as it is.
    X : array-like of shape (n_images, n_features)
    y : array-like of shape (n_images,), optional
        Labels, to be shown and judged; they are no part of a ranking.
    images : array-like of shape (n_images, height, width[, channels]), or paths
        uint8, or floats from 0 to 1; or a list of such images of any sizes, or paths of image files.
    path : path or None, default="explorer.html"
        None: only returned, for a notebook.
    n_neighbors : int, default=20
        Results of each search.
    ids : array-like of shape (n_images,), optional
        Names of the images, on the page and in its files: numbers or text. Default: running numbers, which
        are shown with the names of image files.
    class_names : mapping from class label to str, optional
    image_size : (int, int), optional
        (height, width) that image files are resized to. Default: they keep their shapes.
    thumbnail : int, default=128
        Larger images are reduced to so many pixels on their longer side.
    title : str, optional
    layout : {"auto", "pca", "tsne"} or array-like of shape (n_images, 2), default="auto"
        Places on the map: of the two principal components, or of t-SNE, of the rows that are compared.
        "auto" is t-SNE for up to 2,000 images. An array holds places of your own, such as UMAP's.

    Returns
    -------
    explorer : Explorer

    Raises
    ------
    ValueError
        For more than 10,000 images, for another number of them than of rows, for a file that is no image.
    TypeError
        For a `CombinedHierarchy`, which is no tree, or a `HammingRetriever`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.explorer import explore
    >>> digits = load_digits()
    >>> retriever = HierarchicalRetriever().fit(digits.data[:900], digits.target[:900])
    >>> images = digits.images[900:1000] / 16
    >>> page = explore(retriever, digits.data[900:1000], digits.target[900:1000], images=images, path=None)
    >>> page.html[:15]
    '<!doctype html>'
    """
    check_positive_integer(n_neighbors, "n_neighbors")
    check_positive_integer(thumbnail, "thumbnail")
    if path is not None and Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it, such as explorer.html.")
    if class_names is not None and not isinstance(class_names, Mapping):
        raise TypeError(f"class_names must be a mapping, got {type(class_names).__name__}.")
    title = str(title)
    retriever, X = retriever_of(estimator, X)
    tree = _tree_of(retriever)
    thumbnails = Thumbnails(images, image_size, thumbnail)
    rows, n = checked_samples(retriever, X), len(thumbnails)
    check_consistent_length(rows, thumbnails)
    if n > MOST_IMAGES:
        raise ValueError(f"{n} images make a page that is too large: choose {MOST_IMAGES} at most.")
    if n < 2:
        raise ValueError("Images that search each other are two at least.")
    labels = None if y is None else np.asarray(y)
    check_consistent_length(rows, labels)
    layout = _content.checked_layout(layout, n)
    values = list(range(n)) if ids is None else distinct_ids(ids, n)
    data = {
        "title": title,
        "ids": _shown_ids(values, images if ids is None else None),
        "values": values,
        "images": thumbnails.encoded(),
        "are_small": thumbnails.are_small,
        "format": FORMAT,
        **_found(retriever, tree, rows, labels, class_names, min(n_neighbors, n - 1), layout),
    }
    # Names of files that are not UTF-8 become escapes.
    page = _page(data, title).encode("utf-8", "backslashreplace").decode("utf-8")
    if path is not None:
        path = Path(path)
        with written_whole(path) as part:
            part.write_text(page, encoding="utf-8")
    return Explorer(page, path)


def _found(
    retriever: HierarchicalRetriever,
    tree: ClassHierarchy,
    rows: NDArray,
    labels: NDArray | None,
    names: Mapping | None,
    n_neighbors: int,
    layout: Any,
) -> dict:
    """Gather what the package says about images: searches, leaves, labels, copies, clusters, classes."""
    searcher, codes = retriever.searcher().over_samples(rows), None
    if labels is not None:
        is_known = np.isin(labels, tree.classes)
        codes = np.full(len(rows), -1)
        codes[is_known] = tree.index(labels[is_known])
    visual = _content.visual_only(searcher)
    return {
        "labels": None if labels is None else [_content.name_of(c, names) for c in labels.tolist()],
        "codes": None if codes is None else _content.packed(codes, "i4"),
        "classes": [_content.name_of(label, names) for label in tree.classes.tolist()],
        "class_values": tree.classes.tolist(),
        "tree": _content.tree_content(tree, names, codes),
        "lists": {
            "visual": _content.list_content(visual, n_neighbors),
            "combined": _content.list_content(searcher, n_neighbors),
        },
        "n_neighbors": n_neighbors,
        "feedback": session_numbers(retriever.with_searcher(searcher)),
        "stem": searcher.leaves.stem,
        "alpha": f"{searcher.options.alpha:.3g}",
        **_content.labels_content(searcher, labels, names),
        "copies": _content.copies_content(searcher, labels),
        "clusters": _content.clusters_content(retriever, rows),
        "places": _content.places_content(searcher, layout),
        **_content.marks_content(searcher, tree.n_classes),
    }


def distinct_ids(ids: ArrayLike, n_images: int) -> list:
    """Check names of images: distinct numbers or text, one each."""
    values = np.asarray(ids)
    if values.shape != (n_images,):
        raise ValueError(f"{n_images} images, but ids of shape {values.shape}.")
    result = values.tolist()
    if not all(isinstance(value, (str, int)) for value in result):
        raise TypeError("ids must be numbers or text.")
    if len(set(result)) < n_images:
        raise ValueError("ids must be distinct.")
    return result


def _tree_of(retriever: Any) -> ClassHierarchy:
    if isinstance(retriever, HammingRetriever):
        raise TypeError("The page compares features; a HammingRetriever has codes.")
    tree = retriever.searcher().leaves.tree if isinstance(retriever, HierarchicalRetriever) else None
    if tree is None:
        raise TypeError(
            "The page shows one tree: explore needs a HierarchicalRetriever with a ClassHierarchy."
        )
    return tree


def _page(data: dict, title: str) -> str:
    files = resources.files("sklearn_hierret.explorer").joinpath("page")
    # In a script element nothing but "<" ends the data.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    body, style = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    parts = {"title": html.escape(title), "style": style, "script": script(), "data": text}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], body)


def script() -> str:
    """Join the modules into one script: a page without a server cannot import."""
    files = resources.files("sklearn_hierret.explorer").joinpath("page")
    texts = [files.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    text = re.sub(r"^import .*?;\n", "", "\n".join(texts), flags=re.MULTILINE | re.DOTALL)
    return '"use strict";\n' + re.sub(r"^export ", "", text, flags=re.MULTILINE)


def _shown_ids(values: list, images: Any) -> list[str]:
    """Name the images of files by these, others by their ids."""
    if isinstance(images, (list, tuple)) and all(isinstance(image, (str, PurePath)) for image in images):
        return [PurePath(image).name for image in images]
    return [str(value) for value in values]
