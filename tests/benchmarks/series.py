r"""What a fit gains that knows which photographs belong together.

    python -m tests.benchmarks.series --grocery PATH/grocery_store --out docs/PAGE

The grocery data name no series. Photographs of one class are taken for one if a chain of pairs connects them
whose raw cosine is at least 0.9 (of 50 pairs that were looked at, nearly all were second shots of a shelf or
carton), or 0.8, where chains join different shelves. The controls have random groups of the same sizes within
classes. Two minutes on two cores.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import log_loss

from sklearn_hierret import HierarchicalRetriever, evaluate_retrieval
from tests.benchmarks._data import Data, add_data_arguments, grocery_frozen, markdown_table, write_between

LEAST_COSINES = (0.9, 0.8)


def series_of(X: np.ndarray, y: np.ndarray, least_cosine: float) -> np.ndarray:
    """Number of each sample's series."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    groups, start = np.empty(len(y), dtype=int), 0
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        n, parts = connected_components(unit[rows] @ unit[rows].T >= least_cosine)
        groups[rows], start = start + parts, start + n
    return groups


def shuffled(groups: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Random groups of the same sizes in each class."""
    rng, result = np.random.default_rng(0), groups.copy()
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        result[rows] = rng.permutation(groups[rows])
    return result


def rows(data: Data) -> list[list[str]]:
    table, choices = [], [("none", None)]
    for least in LEAST_COSINES:
        series = series_of(data.X_train, data.y_train, least)
        sizes = f"{len(np.unique(series))} groups, the largest of {np.bincount(series).max()}"
        choices += [
            (f"series by {least} ({sizes})", series),
            ("random ones of these sizes", shuffled(series, data.y_train)),
        ]
    for name, groups in choices:
        model = HierarchicalRetriever(data.taxonomy).fit(data.X_train, data.y_train, groups)
        proba = model.class_model_.predict_proba(data.X_test)
        nodes = model.leaves(data.X_test, coverage=0.9)
        scores = [
            evaluate_retrieval(model, data.X_test, data.y_test, [1, 20], gallery=gallery)["score"]
            for gallery in ("query", "fit")
        ]
        sure = (
            proba.max(axis=1).mean()
            - (model.class_model_.classes_[proba.argmax(axis=1)] == data.y_test).mean()
        )
        table.append(
            [
                name,
                f"{model.alpha_:g}, {model.metric_}",
                f"{log_loss(data.y_test, proba, labels=model.class_model_.classes_):.2f}",
                f"{sure:+.2f}",
                f"{model.hierarchy_.is_below(data.y_test, nodes).mean():.2f}",
                *(" / ".join(f"{value:.3f}" for value in pair) for pair in scores),
            ]
        )
        print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add_data_arguments(parser)
    args = parser.parse_args()
    header = [
        "groups of the fit",
        "alpha, metric",
        "log loss",
        "confidence minus accuracy",
        "coverage where 0.9 is asked",
        "mAP@1 / mAP@20, unlabelled",
        "labelled",
    ]
    text = markdown_table(header, rows(grocery_frozen(args.grocery)))
    if args.out:
        write_between(args.out, "series", text)
    print(text)


if __name__ == "__main__":
    main()
