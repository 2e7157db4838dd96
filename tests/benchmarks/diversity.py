r"""What different results cost in mAP@20, and how many classes they show.

    python -m tests.benchmarks.diversity --plankton PATH/plankton --grocery PATH/grocery_store --out docs/PAGE

Unlabelled test parts, 1,000 of whose samples are queries, leave-one-out. Three minutes on two cores.
"""

from __future__ import annotations

import argparse

import numpy as np

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.metrics import average_precision_at_k
from sklearn_hierret.reranking import Diversify
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

K, N_QUERIES = 20, 1000
STEPS = {
    "the retriever": {"trade_off": 0},
    "trade_off=0.1": {"trade_off": 0.1},
    "trade_off=0.3": {"trade_off": 0.3},
    'one_per="copy"': {"one_per": "copy"},
    'one_per="leaf"': {"one_per": "leaf"},
}


def cells(data: Data) -> list[str]:
    """mAP@20, and classes among the first 20, of each step."""
    fitted = Diversify(HierarchicalRetriever()).fit(data.X_train, data.y_train).set_gallery(data.X_test)
    X, y = data.X_test[:N_QUERIES], data.y_test[:N_QUERIES]
    n_relevant = np.array([np.sum(data.y_test == label) - 1 for label in y])
    table = []
    for params in STEPS.values():
        step = fitted.set_params(**{"one_per": None, **params})
        found = step.kneighbors(X, K + 1, return_distance=False)[:, 1:]  # a sample is its own copy
        labels = data.y_test[found]
        precision = np.nanmean(average_precision_at_k(y, labels, n_relevant=n_relevant))
        n_classes = np.mean([len(set(row)) for row in labels.tolist()])
        table.append(f"{precision:.3f}, {n_classes:.1f}")
    print(data.name, table, flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add_data_arguments(parser)
    args = parser.parse_args()
    rows = [[data.name, *cells(data)] for data in data_sets(args)]
    text = markdown_table(["data", *STEPS], rows)
    if args.out:
        write_between(args.out, "diversity", text)
    print(text)


if __name__ == "__main__":
    main()
