"""What a page knows: numbers and names, ready for JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import TSNE

from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.inspection import LabelEvidence, duplicates_of, issues_of, novel_items, overview_of
from sklearn_hierret.retrieval import HierarchicalRetriever, Searcher, table_of

#: Dimensions and classes of a sample that the page ranks with after marks.
N_DIMENSIONS, N_LEAVES = 64, 6
#: Images that t-SNE takes seconds for.
MOST_TSNE = 2000
#: Groups of copies that are listed.
MOST_GROUPS = 500


def packed(values: ArrayLike, dtype: str) -> dict[str, str]:
    """Encode numbers as the page decodes them: a NumPy dtype such as "<u2", and base64."""
    array = np.ascontiguousarray(values, dtype=f"<{dtype}")
    return {"dtype": dtype, "data": base64.b64encode(array.tobytes()).decode("ascii")}


def shares(values: ArrayLike) -> dict[str, str]:
    """Encode numbers from 0 to 1 in 16 bits."""
    return packed(np.rint(np.clip(values, 0, 1) * 65535), "u2")


def name_of(label: Any, names: Mapping | None) -> str:
    """Name a class, or the label that it has."""
    return str(label if names is None else names.get(label, label))


def tree_content(tree: ClassHierarchy, names: Mapping | None, codes: NDArray | None) -> dict:
    """Describe the nodes; classes have the first numbers."""
    weights = None if codes is None else np.bincount(codes[codes >= 0], minlength=tree.n_classes)
    return {
        "n_classes": tree.n_classes,
        "parent": tree.parents.tolist(),
        "height": np.round(tree.heights / tree.height, 6).tolist(),
        "title": tree.node_titles(names, weights),
        "name": [str(name) for name in tree.node_names],
    }


def list_content(searcher: Searcher, n_neighbors: int) -> dict:
    """Results of each image, row by row, with both parts of the distance."""
    table = table_of(searcher, searcher.neighbors(None, n_neighbors, with_leaves=True))
    return {
        "items": packed(table["id"], "u2"),
        "visual": shares(table["visual_distance"].to_numpy() / 2),
        "tree": shares(table["hierarchical_distance"]),
    }


def marks_content(searcher: Searcher, n_classes: int) -> dict:
    """Leading components of the rows that are compared, and the likeliest classes, of each image."""
    unit = leading_components(searcher)
    scale = float(np.abs(unit).max()) or 1.0
    leaves, known = searcher.leaves.view(of_gallery=True).leaves()[:, :N_LEAVES], searcher.leaves.known(None)
    return {
        "n_dimensions": unit.shape[1],
        "scale": scale / 32767,
        "features": packed(np.rint(unit / scale * 32767), "i2"),
        "known": shares(np.ones(len(unit)) if known is None else known),
        "n_leaves": leaves.shape[1],
        "leaf": packed(leaves["leaf"], "u2" if n_classes < 65536 else "i4"),
        "probability": shares(leaves["probability"]),
    }


def leading_components(searcher: Searcher) -> NDArray[np.float64]:
    """Return the rows that are compared, by their 64 components of the largest moments."""
    unit = searcher.gallery.visual_rows(slice(None))
    if unit.shape[1] <= N_DIMENSIONS:
        return unit
    return unit @ np.linalg.eigh(unit.T @ unit)[1][:, -N_DIMENSIONS:]


def labels_content(searcher: Searcher, labels: NDArray | None, names: Mapping | None) -> dict:
    """Tell how suspicious labels are, and how classes fare; None where that cannot be told."""
    content: dict[str, Any] = {"issues": None, "overview": None}
    if labels is None:
        return content
    try:
        evidence = LabelEvidence.of(searcher, labels)
    except ValueError:  # a class model without probabilities
        return content
    if np.any(evidence.codes >= 0):  # or the tree lacks all labels
        content["issues"] = issues_content(searcher, evidence, names)
        content["overview"] = overview_content(searcher, evidence, names)
    return content


def issues_content(searcher: Searcher, evidence: LabelEvidence, names: Mapping | None) -> dict:
    """Tell how suspicious the label of each image is."""
    table = issues_of(searcher, evidence)
    n, place = len(searcher.gallery), table["id"].to_numpy()
    rank, probability = np.full(n, n), np.zeros(n)
    flagged, suggested = np.zeros(n, dtype=bool), np.full(n, "", dtype=object)
    rank[place], probability[place] = np.arange(len(table)), table["issue_probability"]
    flagged[place] = table["is_issue"] | (table["issue_probability"] > 0.5)
    suggested[place] = [name_of(label, names) for label in table["suggested"].tolist()]
    by_item = table.set_index("id").reindex(range(n))
    return {
        "rank": packed(rank, "i4"),
        "probability": shares(probability),
        "flagged": packed(flagged, "u1"),
        "suggested": suggested.tolist(),
        "supporting": by_item["supporting"].map(_items).tolist(),
        "contradicting": by_item["contradicting"].map(_items).tolist(),
    }


def _items(value: Any) -> list[int]:
    return value if isinstance(value, list) else []


def copies_content(searcher: Searcher, labels: NDArray | None) -> list[dict]:
    """List groups of near copies, the closest first."""
    table = duplicates_of(searcher.gallery, labels)
    groups = []
    for _, part in table[table["group"] < MOST_GROUPS].groupby("group", sort=True):
        groups.append(
            {
                "items": part["id"].tolist(),
                "distance": part["distance"].round(4).tolist(),
                "is_exact": bool((part["kind"] == "exact").all()),
                "across": bool(part["across_classes"].iloc[0]),
            }
        )
    return groups


def clusters_content(retriever: HierarchicalRetriever, X: NDArray) -> list[dict] | None:
    """List clusters of images whose class may be new; None where novelty is not told."""
    try:
        table = novel_items(retriever, X)
    except ValueError:  # a class model that does not tell, or novelty=False
        return None
    found = table[table["is_provisional"]]
    return [
        {
            "name": str(name),
            "items": part.sort_values("is_central", ascending=False, kind="stable")["id"].tolist(),
        }
        for name, part in found.groupby("leaf", sort=False)
    ]


def overview_content(searcher: Searcher, evidence: LabelEvidence, names: Mapping | None) -> list[dict]:
    """List classes, the least accurate first."""
    table = overview_of(searcher, evidence)
    table = table.assign(**{"class": [name_of(c, names) for c in table["class"]]})
    other = [None if c is None or pd.isna(c) else name_of(c, names) for c in table["confused_with"]]
    table = table.assign(confused_with=pd.Series(other, dtype=object))
    columns = ["class", "n_samples", "accuracy", "confused_with", "confusion", "purity", "advice"]
    return table[columns].round(4).to_dict("records")


def checked_layout(layout: Any, n_images: int) -> str | NDArray[np.float64]:
    """Return the name of a layout, or places.

    Raises
    ------
    ValueError
        For another name or shape.
    """
    if isinstance(layout, str):
        if layout not in ("auto", "pca", "tsne"):
            raise ValueError(f"layout must be 'auto', 'pca', 'tsne' or an array, got {layout!r}.")
        return layout
    points = np.asarray(layout, dtype=np.float64)
    if points.shape != (n_images, 2) or not np.isfinite(points).all():
        raise ValueError(f"layout must be finite, of shape ({n_images}, 2), got shape {points.shape}.")
    return points


def places_content(searcher: Searcher, layout: str | NDArray[np.float64]) -> list[dict]:
    """Place images on a map: x and y, from 0 to 1."""
    points = _placed(leading_components(searcher), layout) if isinstance(layout, str) else layout
    low, high = points.min(axis=0), points.max(axis=0)
    return [shares(column) for column in ((points - low) / np.where(high > low, high - low, 1)).T]


def _placed(rows: NDArray[np.float64], layout: str) -> NDArray[np.float64]:
    if layout == "tsne" or (layout == "auto" and 10 <= len(rows) <= MOST_TSNE):
        perplexity = min(30.0, (len(rows) - 1) / 3)
        start = _principal(rows)
        start = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
        model = TSNE(perplexity=max(perplexity, 1.0), init=start, random_state=0, learning_rate="auto")
        return model.fit_transform(rows.astype(np.float32)).astype(np.float64)
    return _principal(rows)


def _principal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    points = centred @ axes
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def visual_only(searcher: Searcher) -> Searcher:
    """Search by looks alone."""
    return replace(searcher, options=replace(searcher.options, alpha=0.0, alpha_is_chosen=False))
