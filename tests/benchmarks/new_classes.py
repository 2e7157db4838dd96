"""Queries of new and of known classes apart, in galleries with a few new classes.

    python -m tests.benchmarks.new_classes --plankton PATH/plankton --grocery PATH/grocery_store --write docs

A tenth, 30 % and half of the classes are missing in the training part, three draws each. Labelled galleries
are the training part, all of it; unlabelled ones are the test part, leave-one-out, and one half of the test
part that the other half searches. "Closed" galleries have no new classes. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.metrics import average_precision_at_k, class_weights
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

SHARES, N_DRAWS, N_QUERIES = (0.1, 0.3, 0.5), 3, 1500
MEASURES = ["mAP@1", "mAP@20", "mAP@20, macro"]


def precisions(neighbours: np.ndarray, wanted: np.ndarray, items: np.ndarray, own: bool) -> np.ndarray:
    """AP@1 and AP@20 of each query."""
    counts = np.array([np.sum(items == label) for label in wanted]) - own
    ranked = items[neighbours]
    return np.stack([average_precision_at_k(wanted, ranked, k, n_relevant=counts) for k in (1, 20)], axis=1)


def galleries(data: Data) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]]:
    """Name, gallery, its labels, queries (None for the gallery itself) and what they want."""
    X, y = data.X_test, data.y_test
    yield "labelled", data.X_train, data.y_train, X[:N_QUERIES], y[:N_QUERIES]
    yield "unlabelled", X, y, None, y
    half = len(X) // 2
    yield "unlabelled, halves", X[half:], y[half:], X[:half][:N_QUERIES], y[:half][:N_QUERIES]


def gains(data: Data, new: np.ndarray, only_new: bool = False) -> pd.DataFrame:
    """Gains over cosine, a row for each query and system."""
    is_known = ~np.isin(data.y_train, new)
    ours = HierarchicalRetriever().fit(data.X_train[is_known], data.y_train[is_known])
    cosine = HierarchicalRetriever(alpha=0, metric="cosine", new_classes="ignore")
    cosine.fit(data.X_train[is_known], data.y_train[is_known])
    white = HierarchicalRetriever(alpha=0, metric="whitened", new_classes="ignore")
    white.fit(data.X_train[is_known], data.y_train[is_known])
    tables = []
    part = data
    if only_new:
        keep = np.isin(data.y_test, new)
        part = replace(data, X_test=data.X_test[keep], y_test=data.y_test[keep])
    for name, G, labels, Q, wanted in galleries(part):
        if only_new and Q is not None:
            continue
        y = labels if name == "labelled" else None
        systems = {
            "cosine": cosine.with_gallery(G),
            "whitened cosine": white.with_gallery(G),
            "all classes known": ours.with_gallery(G, y, new_classes="ignore").set_params(novelty=False),
            "new classes ignored": ours.with_gallery(G, y, new_classes="ignore"),
            "defaults": ours.with_gallery(G, y),
        }
        some = slice(None if Q is not None else N_QUERIES)
        scores = {
            system: precisions(
                retriever.kneighbors(Q, 20, return_distance=False)[some], wanted[some], labels, Q is None
            )
            for system, retriever in systems.items()
        }
        base = scores.pop("cosine")
        is_there = np.isfinite(base[:, 1])
        of_new = np.isin(wanted[some], new)
        for system, values in scores.items():
            for group, chosen in (("new", of_new & is_there), ("known", ~of_new & is_there)):
                if np.any(chosen):
                    table = pd.DataFrame((values - base)[chosen], columns=MEASURES[:2])
                    table[MEASURES[2]] = table["mAP@20"] * class_weights(wanted[some][chosen])
                    tables.append(table.assign(gallery=name, system=system, queries=group))
    return pd.concat(tables, ignore_index=True)


def regimes(data: Data, n_draws: int) -> Iterator[tuple[str, pd.DataFrame]]:
    classes = np.unique(data.y_train)
    yield "closed", gains(data, classes[:0])
    for share in SHARES:
        draws = [
            np.random.RandomState(seed).permutation(classes)[: max(1, round(share * len(classes)))]
            for seed in range(n_draws)
        ]
        parts = [gains(data, new).assign(draw=i) for i, new in enumerate(draws)]
        yield f"{share:.0%} new", pd.concat(parts)
        if share == SHARES[-1]:
            parts = [gains(data, new, only_new=True).assign(draw=i) for i, new in enumerate(draws)]
            yield "only new", pd.concat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--write", type=Path, help="folder of the docs")
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--only", nargs="*", help="words that names of data sets begin with")
    args = parser.parse_args()
    rows: list[list[str]] = []
    for data in data_sets(args):
        if args.only and not any(data.name.startswith(word.replace("_", " ")) for word in args.only):
            continue
        for regime, table in regimes(data, args.draws):
            for (gallery, system), part in table.groupby(["gallery", "system"], sort=False):
                cells = [
                    " ".join(f"{v:+.3f}" for v in of_group.mean()) if len(of_group) else ""
                    for group in ("new", "known")
                    for of_group in [part.loc[part["queries"] == group, MEASURES]]
                ]
                rows.append([data.name, regime, str(gallery), str(system), *cells])
                print(*rows[-1], sep=" | ", flush=True)
    header = [
        "data",
        "regime",
        "gallery",
        "system",
        *(f"{g}: {', '.join(MEASURES)}" for g in ("new", "known")),
    ]
    text = markdown_table(header, rows)
    if args.write:
        write_between(args.write / "new_classes.md", "new classes", text)


if __name__ == "__main__":
    main()
