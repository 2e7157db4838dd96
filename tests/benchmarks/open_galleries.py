r"""The constants of galleries that may have unknown classes, one moved at a time.

    python -m tests.benchmarks.open_galleries --plankton PATH/plankton --grocery PATH/grocery_store \
        --out docs/defaults.md

Training parts alone: a half of the samples is for fits, the other half queries, and is the unlabelled
gallery; the first half is the labelled one. Two draws of half of the classes. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.metrics import average_precision_at_k
from sklearn_hierret.retrieval import _gallery_leaves, _novelty
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

N_DRAWS, N_QUERIES, MOST_ITEMS = 2, 700, 4000
CHANGES = {
    "as they are": {},
    "POWER 1": {"POWER": 1},
    "POWER 2": {"POWER": 2},
    "LEAST_SHARE 0": {"LEAST_SHARE": 0.0},
    "LEAST_SHARE 0.5": {"LEAST_SHARE": 0.5},
    "no LEAST_OPEN_ALPHA": {"LEAST_OPEN_ALPHA": 0.0},
    "LEAST_OPEN_ALPHA 4": {"LEAST_OPEN_ALPHA": 4.0},
    "no MOST_OPEN_ALPHA": {"MOST_OPEN_ALPHA": 1e9},
}


def constants_of(module, constants: dict) -> dict:
    """Those that a module has; some are imported from another one."""
    return {name: value for name, value in constants.items() if hasattr(module, name)}


def gains(
    retriever: HierarchicalRetriever, Q: np.ndarray | None, wanted: np.ndarray, items: np.ndarray
) -> np.ndarray:
    """mAP@1 and mAP@20 of each query."""
    ranked = items[retriever.kneighbors(Q, 20, return_distance=False)[: len(wanted)]]
    counts = np.array([np.sum(items == label) for label in wanted]) - (Q is None)
    return np.stack([average_precision_at_k(wanted, ranked, k, n_relevant=counts) for k in (1, 20)], axis=1)


def rows_of(data: Data) -> list[list[str]]:
    """A row for each regime and each change."""
    X, y, classes = data.X_train, data.y_train, np.unique(data.y_train)
    half = np.random.RandomState(7).rand(len(y)) < 0.5
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed in range(N_DRAWS):
        known = np.random.RandomState(200 + seed).permutation(classes)[: len(classes) // 2]
        mine = half & np.isin(y, known)
        retriever = HierarchicalRetriever(new_classes="ignore").fit(X[mine], y[mine])
        cosine = HierarchicalRetriever(metric="cosine", alpha=0).fit(X[mine], y[mine])
        B, t = X[~half][:MOST_ITEMS], y[~half][:MOST_ITEMS]
        is_new = ~np.isin(t, known)
        for regime, rows, labels, Q, wanted in (
            ("half new, unlabelled", B, t, None, t[:N_QUERIES]),
            ("half new, labelled", X[half], y[half], B[:N_QUERIES], t[:N_QUERIES]),
            ("only new, unlabelled", B[is_new], t[is_new], None, t[is_new][:N_QUERIES]),
        ):
            given = labels if Q is not None else None
            base = gains(cosine.set_gallery(rows, given), Q, wanted, labels)
            new = ~np.isin(wanted, known)
            for name, constants in CHANGES.items():
                with (
                    mock.patch.multiple(_novelty, **{k: v for k, v in constants.items() if "ALPHA" not in k}),
                    mock.patch.multiple(
                        _gallery_leaves, **{k: v for k, v in constants.items() if "ALPHA" in k}
                    ),
                ):
                    retriever.set_gallery(rows, given)  # and its share of known classes is found anew
                    gain = gains(retriever, Q, wanted, labels) - base
                parts = [np.nanmean(gain[new], axis=0), np.full(2, np.nan)]
                if not new.all():
                    parts[1] = np.nanmean(gain[~new], axis=0)
                found.setdefault((regime, name), []).append(np.array(parts))
    return [
        [data.name, regime, name, *(_shown(part) for part in np.mean(of_draws, axis=0))]
        for (regime, name), of_draws in found.items()
    ]


def _shown(gain: np.ndarray) -> str:
    return "" if np.isnan(gain).any() else " / ".join(f"{value:+.3f}" for value in gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    args = parser.parse_args()
    rows = [row for data in data_sets(args) for row in rows_of(data)]
    header = ["data", "gallery", "constants", "queries of new classes", "queries of known classes"]
    text = markdown_table(header, rows)
    print(text)
    if args.out:
        write_between(args.out, "open galleries", text)


if __name__ == "__main__":
    main()
