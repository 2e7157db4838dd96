"""How each class of a collection fares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret._frames import tabular
from sklearn_hierret.inspection._evidence import LabelEvidence, retriever_in
from sklearn_hierret.leaves import likeliest
from sklearn_hierret.retrieval import Gallery, Searcher

#: Two classes whose samples are taken for the other class this often are hardly two.
MERGE = 1 / 3
#: Samples that a class needs to be looked at in halves, and that are looked at, at most.
LEAST_SIZE, MOST_SIZE = 20, 2000
#: Two halves of one normal distribution are 2.65 of their standard deviations apart.
LEAST_SEPARATION = 4.0


@tabular
def class_overview(estimator: Any) -> pd.DataFrame:
    """Describe each class of a gallery: its size, how well it is told from others, and what to do about it.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline or search that ends with one
        With a labelled gallery.

    Returns
    -------
    table : DataFrame
        One row for each class, the least accurate first: class, n_samples, accuracy (the share of its samples
        whose most probable class, held out, is theirs), mean_probability (of the class, held out),
        confused_with (the class that most of the others go to, or missing), confusion (their share),
        tree_distance (of both classes in the hierarchy), purity (the share of the ten visually nearest
        samples that are of the class), advice: "merge" if this and the other class are taken for each other
        in a third of all cases, "split" if its samples fall into two clusters that are told apart at least
        half as clearly as the class from the class whose mean is nearest, or "".

    Raises
    ------
    ValueError
        If the gallery has no labels, or the class model no probabilities.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.inspection import class_overview
    >>> X, y = load_digits(return_X_y=True)
    >>> overview = class_overview(HierarchicalRetriever().fit(X, y))
    >>> overview.loc[:1, "class"].tolist()
    [9, 8]
    """
    searcher = retriever_in(estimator)[0].searcher()
    return overview_of(searcher, LabelEvidence.of(searcher))


def overview_of(searcher: Searcher, evidence: LabelEvidence) -> pd.DataFrame:
    """Return what `class_overview` does, of evidence on labels of the gallery or on others of its samples."""
    tree, n_classes = evidence.tree, evidence.tree.n_classes
    known = np.flatnonzero(evidence.codes >= 0)
    if not len(known):
        raise ValueError("The class model knows none of these labels: there is no class to describe.")
    part = evidence.of_rows(known)
    predicted, codes = likeliest(part.leaves), part.codes
    counts = np.bincount(codes, minlength=n_classes)
    present = np.flatnonzero(counts)
    confusion = coo_array((np.ones(len(codes)), (codes, predicted)), shape=(n_classes, n_classes)).tocsr()
    right = confusion.diagonal()
    confusion.setdiag(0)
    confusion.eliminate_zeros()
    largest = confusion.max(axis=1).toarray().ravel()
    other = np.where(largest > 0, np.asarray(confusion.argmax(axis=1)).ravel(), -1)
    nearest = part.neighbours[:, :10]
    agreeing = (part.all_codes[nearest] == codes[:, None]).mean(axis=1)
    sums = {
        "mean_probability": np.bincount(codes, part.given, minlength=n_classes),
        "purity": np.bincount(codes, agreeing, minlength=n_classes),
    }
    nearest_class = _nearest_classes(searcher.gallery, evidence.codes, n_classes)
    rows = []
    for c in present.tolist():
        to, n = int(other[c]), counts[c]
        both = confusion[c, to] + confusion[to, c] if to >= 0 else 0
        advice = ""
        if to >= 0 and both >= MERGE * (both + right[c] + right[to]):
            advice = "merge"
        elif _falls_apart(searcher.gallery, evidence.codes, c, nearest_class[c]):
            advice = "split"
        rows.append(
            {
                "class": tree.classes.tolist()[c],
                "n_samples": int(n),
                "accuracy": right[c] / n,
                "mean_probability": sums["mean_probability"][c] / n,
                "confused_with": tree.classes.tolist()[to] if to >= 0 else None,
                "confusion": largest[c] / n,
                "tree_distance": tree.distance(tree.classes[c], tree.classes[to]) if to >= 0 else np.nan,
                "purity": sums["purity"][c] / n,
                "advice": advice,
            }
        )
    table = pd.DataFrame(rows)
    # Numbers beside missing ones would become floats.
    table["confused_with"] = pd.Series([row["confused_with"] for row in rows], dtype=object)
    return table.sort_values(["accuracy", "mean_probability"], kind="stable", ignore_index=True)


def _nearest_classes(gallery: Gallery, codes: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """Find the class with the nearest mean of visual rows, for each class that there is."""
    sums = np.zeros((n_classes, gallery.queries(np.arange(1)).shape[1]))
    for rows in row_chunks(len(codes), 16 * sums.shape[1]):
        known = rows.start + np.flatnonzero(codes[rows] >= 0)
        np.add.at(sums, codes[known], gallery.visual_rows(known))
    directions = unit_rows(sums)[0]
    present, nearest = np.flatnonzero(sums.any(axis=1)), np.full(n_classes, -1)
    for chunk in row_chunks(len(present), 8 * len(present)):
        cosines = directions[present[chunk]] @ directions[present].T
        cosines[np.arange(len(cosines)), np.arange(len(present))[chunk]] = -np.inf
        nearest[present[chunk]] = present[cosines.argmax(axis=1)]
    return nearest


def _falls_apart(gallery: Gallery, codes: NDArray[np.intp], c: int, other: int) -> bool:
    """Whether two halves of a class are told apart half as clearly as it is told from another class.

    The halves are found in every second sample, on both sides of a hyperplane, and judged by the rest.
    """
    members, others = (np.flatnonzero(codes == code)[:MOST_SIZE] for code in (c, other))
    if len(members) < LEAST_SIZE or len(others) < 2:
        return False
    rows = unit_rows(gallery.queries(members).astype(np.float64))[0]
    there = unit_rows(gallery.queries(others).astype(np.float64))[0]
    found, judged = rows[::2], rows[1::2]
    centers = _two_means(found)
    axis = centers[1] - centers[0]
    if not axis.any():
        return False
    middle = centers.mean(axis=0) @ axis
    heights = judged @ axis - middle
    halves = heights[heights > 0], heights[heights <= 0]
    if min(map(len, halves)) < LEAST_SIZE // 5:
        return False
    between = rows.mean(axis=0) - there.mean(axis=0)
    return _separation(*halves) > max(LEAST_SEPARATION, _separation(rows @ between, there @ between) / 2)


def _separation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Difference of two means in standard deviations."""
    spread = np.sqrt((one.var() * len(one) + two.var() * len(two)) / (len(one) + len(two)))
    return float(abs(one.mean() - two.mean()) / max(spread, 1e-12))


def _two_means(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the centers of two clusters, beginning at both ends of the direction of the largest spread."""
    centred = rows - rows.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    is_second = centred @ axis > 0
    centers = np.stack([rows.mean(axis=0)] * 2)
    for _ in range(20):
        if is_second.all() or not is_second.any():
            return np.stack([rows.mean(axis=0)] * 2)
        centers = np.stack([rows[~is_second].mean(axis=0), rows[is_second].mean(axis=0)])
        offset = (centers**2).sum(axis=1) / 2
        assigned = (rows @ centers.T - offset).argmax(axis=1).astype(bool)
        if np.array_equal(assigned, is_second):
            break
        is_second = assigned
    return centers
