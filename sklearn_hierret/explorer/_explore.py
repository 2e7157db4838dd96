"""From a fitted retriever and images to one self-contained page."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._files import written_whole
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.images import ImageSource
from sklearn_hierret.inspection import FORMAT, issues_of
from sklearn_hierret.interaction import session_numbers
from sklearn_hierret.retrieval import (
    HammingRetriever,
    HierarchicalRetriever,
    Searcher,
    checked_samples,
    table_of,
)

#: Dimensions and classes of a sample that the page ranks with after marks.
N_DIMENSIONS, N_LEAVES = 64, 6
#: Images above it take long to open.
MOST_IMAGES = 10_000
#: Smaller images are kept without loss.
SMALL = 32


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
) -> Explorer:
    """Write a page on which a person searches a collection and cleans its labels: one file, no server.

    It has the tree of the classes with images, a list that is searched, filtered and ordered by how
    suspicious labels are (`label_issues`), the results of the visual distance alone and of the retriever side
    by side, facets, corrected labels that are saved as files for `read_corrections`, and marks that rank anew
    in the page, as a `RetrievalSession` does, by the 64 leading components of the rows that are compared.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline that ends with one
        It stays as it is.
    X : array-like of shape (n_images, n_features)
    y : array-like of shape (n_images,), optional
        Labels, to be shown and judged; they are no part of a ranking.
    images : array-like of shape (n_images, height, width[, channels]), or paths
        uint8, or floats from 0 to 1; or paths of image files.
    path : path or None, default="explorer.html"
        None: only returned, for a notebook.
    n_neighbors : int, default=20
        Results of each search.
    ids : array-like of shape (n_images,), optional
        Names of the images, on the page and in its files: numbers or text. Default: running numbers, which
        are shown with the names of image files.
    class_names : mapping from class label to str, optional
    image_size : (int, int), optional
        (height, width) that image files are resized to, such as (64, 64).
    thumbnail : int, default=128
        Larger images are reduced to so many pixels on their longer side.
    title : str, optional

    Returns
    -------
    explorer : Explorer

    Raises
    ------
    ValueError
        For more than 10,000 images, or another number of them than of rows.
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
    source = ImageSource(images, image_size)
    rows = checked_samples(retriever, X)
    check_consistent_length(rows, source)
    if len(source) > MOST_IMAGES:
        raise ValueError(f"{len(source)} images make a page that is too large: choose {MOST_IMAGES} at most.")
    if len(source) < 2:
        raise ValueError("Images that search each other are two at least.")
    labels = None
    if y is not None:
        check_consistent_length(rows, y)
        labels = [_name(label, class_names) for label in np.asarray(y).tolist()]
    values = list(range(len(source))) if ids is None else distinct_ids(ids, len(source))
    n_neighbors = min(n_neighbors, len(source) - 1)
    searcher = retriever.searcher().over_samples(rows)
    searched = retriever.with_searcher(searcher)
    visual_only = replace(searcher.options, alpha=0.0, alpha_is_chosen=False)
    data = {
        "title": title,
        "images": [_encoded(source.batch([i])[0], thumbnail) for i in range(len(source))],
        "size": list(source.image_shape[:2]),
        "labels": labels,
        "ids": _shown_ids(values, images if ids is None else None),
        "values": values,
        "classes": [_name(label, class_names) for label in tree.classes.tolist()],
        "class_values": tree.classes.tolist(),
        "issues": None if y is None else _issues(searcher, np.asarray(y), class_names),
        "format": FORMAT,
        "tree": _tree(tree, class_names),
        "lists": {
            "visual": _list(replace(searcher, options=visual_only), n_neighbors),
            "combined": _list(searcher, n_neighbors),
        },
        "feedback": session_numbers(searched),
        "stem": searcher.leaves.stem,
        **_for_marks(searcher),
    }
    # Names of files that are not UTF-8 become escapes.
    page = _page(data, title).encode("utf-8", "backslashreplace").decode("utf-8")
    if path is not None:
        path = Path(path)
        with written_whole(path) as part:
            part.write_text(page, encoding="utf-8")
    return Explorer(page, path)


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
    files = resources.files("sklearn_hierret.explorer")
    style, *scripts = (
        files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "curate.js")
    )
    script = "\n".join(scripts)
    # In a script element nothing but "<" ends the data.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    body = files.joinpath("page.html").read_text(encoding="utf-8")
    parts = {"title": html.escape(title), "style": style, "script": script, "data": text}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], body)


def _shown_ids(values: list, images: Any) -> list[str]:
    """Name the images of files by these, others by their ids."""
    if isinstance(images, (list, tuple)) and all(isinstance(image, (str, PurePath)) for image in images):
        return [PurePath(image).name for image in images]
    return [str(value) for value in values]


def _issues(searcher: Searcher, labels: NDArray, names: Mapping | None) -> dict | None:
    """Tell how suspicious the label of each image is; None where that cannot be told."""
    try:
        table = issues_of(searcher, labels)
    except ValueError:  # a class model without probabilities
        return None
    n, place = len(labels), table["id"].to_numpy()
    rank, probability = np.full(n, n), np.zeros(n)
    flagged, suggested = np.zeros(n, dtype=bool), np.full(n, "", dtype=object)
    rank[place], probability[place] = np.arange(len(table)), table["issue_probability"]
    flagged[place] = table["is_issue"] | (table["issue_probability"] > 0.5)
    suggested[place] = [_name(label, names) for label in table["suggested"].tolist()]
    return {
        "rank": rank.tolist(),
        "probability": probability.round(4).tolist(),
        "flagged": flagged.tolist(),
        "suggested": suggested.tolist(),
    }


def _name(label: Any, names: Mapping | None) -> str:
    return str(label if names is None else names.get(label, label))


def _tree(tree: ClassHierarchy, names: Mapping | None) -> dict:
    """Nodes with what they are called; classes have the first numbers."""
    return {
        "n_classes": tree.n_classes,
        "parent": tree.parents.tolist(),
        "height": np.round(tree.heights / tree.height, 6).tolist(),
        "name": [_name(name, names) for name in tree.node_names],
        "is_learned": tree.origin == "features",
    }


def _list(searcher: Searcher, n_neighbors: int) -> dict:
    """Results of each image, row by row, with both parts of the distance."""
    table = table_of(searcher, searcher.neighbors(None, n_neighbors, with_leaves=True))
    return {
        "items": table["id"].tolist(),
        "visual": table["visual_distance"].round(4).tolist(),
        "tree": table["hierarchical_distance"].round(4).tolist(),
    }


def _for_marks(searcher: Searcher) -> dict:
    """Leading components of the rows that are compared, and the likeliest classes, of each image."""
    unit = searcher.gallery.visual_rows(slice(None))
    if unit.shape[1] > N_DIMENSIONS:
        moments = unit.T @ unit
        unit = unit @ np.linalg.eigh(moments)[1][:, -N_DIMENSIONS:]
    scale = float(np.abs(unit).max()) or 1.0
    numbers = np.rint(unit / scale * 32767).astype("<i2")
    leaves, known = searcher.leaves.view(of_gallery=True).leaves()[:, :N_LEAVES], searcher.leaves.known(None)
    known = np.ones(len(unit)) if known is None else known
    return {
        "n_dimensions": unit.shape[1],
        "scale": scale / 32767,
        "features": base64.b64encode(numbers.tobytes()).decode("ascii"),
        "known": known.round(4).tolist(),
        "leaf": leaves["leaf"].astype(int).tolist(),
        "probability": leaves["probability"].astype(float).round(4).tolist(),
    }


def _encoded(image: NDArray, longest: int) -> str:
    """Encode an image as a data URI, made smaller if need be: PNG where it is small, else JPEG."""
    from PIL import Image

    pixels = image if image.dtype == np.uint8 else np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, :3])
    picture.thumbnail((longest, longest))
    is_small = max(pixels.shape[:2]) <= SMALL
    buffer = io.BytesIO()
    if is_small:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=85)
    kind = "png" if is_small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
