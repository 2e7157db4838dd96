"""Where the default values come from: one parameter at a time, by cross-validation.

    python -m tests.benchmarks.defaults --plankton PATH/plankton --out docs/defaults.md

Only training parts are used: three folds; each model is fitted on two and retrieves
within the third, leave-one-out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from sklearn_hierret import HierarchicalRetriever, HierarchyBuilder, MahalanobisClassifier, evaluate_retrieval
from tests.benchmarks._data import Data, digits, markdown_table, plankton

GAUSSIANS = HierarchicalRetriever(
    HierarchyBuilder(class_model=MahalanobisClassifier()), alpha=16.0, stem=0.0, gallery_leaves="predicted"
)
GRID = {
    "hierarchy__class_model__covariance_type": ["full", "tied", "diag", "spherical"],
    "hierarchy__class_model__shrinkage": ["auto", 0.1, 0.3, 0.5],
    "hierarchy__class_model__n_components": [0.95, 0.99, 0.999, 0.9999],
    "hierarchy__class_model__decision": ["likelihood", "mahalanobis"],
    "hierarchy__class_model__priors": [None, "uniform"],
    "hierarchy__class_model__temperature": [1.0, 2.0, 4.0, 8.0, 16.0],
    "assignment": ["soft", "hard"],
    "alpha": [0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf],
    "hierarchy__threshold": [0.005, 0.01, 0.02, 0.05, 0.1, 0.2],
    "hierarchy__linkage": ["single", "average", "complete"],
}


def measure(data: Data, params: dict) -> list[float]:
    """mAP@20, and AHP@100 where there is a taxonomy, as means over the folds."""
    model = clone(GAUSSIANS).set_params(**params)
    scores, sizes = [], []
    folds = StratifiedKFold(3, shuffle=True, random_state=0).split(data.X_train, data.y_train)
    for fit, held_out in folds:
        fitted = clone(model).fit(data.X_train[fit], data.y_train[fit])
        metrics = {"metrics": ["map"]}
        if data.taxonomy is not None:
            metrics = {"metrics": ["map", "ahp"], "hierarchy": data.taxonomy}
        table = evaluate_retrieval(
            fitted, data.X_train[held_out], data.y_train[held_out], ks=[20, 100], **metrics
        ).set_index(["metric", "k"])["score"]
        scores.append([table["map", 20], *([table["ahp", 100]] if data.taxonomy is not None else [])])
        sizes.append(fitted.hierarchy_.n_nodes - fitted.hierarchy_.n_classes)
    return [*np.mean(scores, axis=0).tolist(), float(np.mean(sizes))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plankton", type=Path, required=True, help="folder of the plankton data")
    parser.add_argument("--out", type=Path, help="markdown file to write")
    parser.add_argument("--only", nargs="*", help="parameters to vary; default: all")
    args = parser.parse_args()
    sets = [digits(), plankton(args.plankton)]
    start = GAUSSIANS.get_params()
    rows = []
    for name, values in GRID.items():
        if args.only and name.rpartition("__")[2] not in args.only:
            continue
        for value in values:
            is_default = start[name] == value
            (d_map, d_size), (p_map, p_ahp, p_size) = (measure(data, {name: value}) for data in sets)
            row = [
                name.rpartition("__")[2],
                f"**{value}** (default)" if is_default else str(value),
                *(f"{score:.3f}" for score in (d_map, p_map, p_ahp)),
                f"{d_size:.0f} / {p_size:.0f}",
            ]
            rows.append(row)
            print(*row, flush=True)
    header = ["parameter", "value", "digits mAP@20", "plankton mAP@20", "plankton AHP@100", "inner nodes"]
    if args.out:
        text = args.out.read_text()
        marker = "<!-- table -->"
        head, _, rest = text.partition(marker)
        tail = rest.partition(marker)[2]
        args.out.write_text(f"{head}{marker}\n{markdown_table(header, rows)}\n{marker}{tail}")


if __name__ == "__main__":
    main()
