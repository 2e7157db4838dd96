"""Labels that are probably wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._frames import tabular
from sklearn_hierret.inspection._detector import judge
from sklearn_hierret.inspection._evidence import LabelEvidence, retriever_in
from sklearn_hierret.retrieval import Searcher


@tabular
def label_issues(
    estimator: Any, *, n_evidence: int = 3, random_state: int | np.random.RandomState | None = 0
) -> pd.DataFrame:
    """Rank the labels of a gallery by how likely they are wrong.

    Each label is held against class probabilities that did not see the sample, and against the labels of the
    visually nearest samples. How much each of these counts is learned from labels that are made up: random
    ones, and such of near classes; so is the share of wrong labels. Samples whose label is new to the class
    model are left out, unless labels teach (`new_classes`).

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline or search that ends with one
        With a labelled gallery: that of the fit, or one that was set.
    n_evidence : int, default=3
        Images that speak for and against each label, at most.
    random_state : int, RandomState or None, default=0
        Draws the made-up labels.

    Returns
    -------
    table : DataFrame
        One row for each labelled sample, the most suspicious first: id, given and suggested (labels),
        issue_probability (that the given label is wrong, if about as many labels are wrong as the data look
        like), given_probability and suggested_probability (held out), tree_distance (of both classes in
        the hierarchy, from 0 to 1: how grave the fault would be), is_issue (whether confident learning [1]_
        takes the label for wrong: another class is at least as probable as it is on average for samples that
        carry its label), supporting and contradicting (lists of ids: the nearest samples that carry the given
        and the suggested label).

    Raises
    ------
    ValueError
        If the gallery has no labels, or the class model no probabilities.

    See Also
    --------
    class_overview : How each class fares.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
       Journal of Artificial Intelligence Research 70, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.inspection import label_issues
    >>> X, y = load_digits(return_X_y=True)
    >>> y[[3, 14, 159]] = 8
    >>> label_issues(HierarchicalRetriever().fit(X, y)).id[:3].sort_values().tolist()
    [3, 14, 159]
    """
    check_positive_integer(n_evidence, "n_evidence")
    searcher = retriever_in(estimator)[0].searcher()
    return issues_of(searcher, LabelEvidence.of(searcher), n_evidence, random_state)


def issues_of(
    searcher: Searcher,
    evidence: LabelEvidence,
    n_evidence: int = 3,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Return what `label_issues` does, of evidence on labels of the gallery or on others of its samples."""
    rows = np.flatnonzero(evidence.codes >= 0)
    if not len(rows):
        raise ValueError("The class model knows none of these labels: there is nothing to hold them against.")
    verdict = judge(evidence, check_random_state(random_state))
    order = np.argsort(-verdict.log_odds, kind="stable")
    ranked = evidence.of_rows(rows[order])
    suggested, probability = ranked.best_other(ranked.codes)
    classes, ids = evidence.tree.classes, searcher.gallery.ids
    return pd.DataFrame(
        {
            "id": ids[rows[order]],
            "given": classes[ranked.codes],
            "suggested": classes[suggested],
            "issue_probability": verdict.probability[order],
            "given_probability": ranked.given,
            "suggested_probability": probability,
            "tree_distance": evidence.tree.distance(classes[ranked.codes], classes[suggested]),
            "is_issue": confident_issues(evidence)[rows[order]],
            "supporting": _nearest_with(ranked, ranked.codes, ids, n_evidence),
            "contradicting": _nearest_with(ranked, suggested, ids, n_evidence),
        }
    )


def confident_issues(evidence: LabelEvidence) -> NDArray[np.bool_]:
    """Tell which labels confident learning takes for wrong; False where the tree lacks the label.

    The threshold of a class is the mean probability of samples that carry its label. Of the classes whose
    probability is above theirs, the most probable one is the true one.
    """
    known, n_classes = evidence.codes >= 0, evidence.tree.n_classes
    counts = np.bincount(evidence.codes[known], minlength=n_classes)
    sums = np.bincount(evidence.codes[known], evidence.given[known], minlength=n_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(1, counts), np.inf)
    leaf, proba = evidence.leaves["leaf"], evidence.leaves["probability"].astype(np.float64)
    confident = np.where(proba >= thresholds[leaf], proba, -1)
    best = confident.argmax(axis=1)[:, None]
    is_any = np.take_along_axis(confident, best, axis=1)[:, 0] >= 0
    return known & is_any & (np.take_along_axis(leaf, best, axis=1)[:, 0] != evidence.codes)


def _nearest_with(evidence: LabelEvidence, codes: NDArray[np.intp], ids: NDArray, most: int) -> list[list]:
    """List the ids of the nearest samples that carry a label, for each sample."""
    is_it = evidence.all_codes[evidence.neighbours] == codes[:, None]
    nearest_first = np.argsort(~is_it, axis=1, kind="stable")[:, :most]
    items = np.take_along_axis(evidence.neighbours, nearest_first, axis=1)
    counts = np.minimum(is_it.sum(axis=1), most)
    return [ids[row[:count]].tolist() for row, count in zip(items, counts.tolist(), strict=True)]
