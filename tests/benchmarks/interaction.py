"""Relevance feedback and query sets by simulated users, on the test parts.

    python -m tests.benchmarks.interaction --plankton PATH/plankton --grocery PATH/grocery_store --write docs

Users mean a node of the taxonomy. Retrievers have the taxonomy, or learned their tree. 250 queries among
2,400 images of the test part, five rounds of ten marks. Twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.interaction import evaluate_interaction, kneighbors_of_set
from sklearn_hierret.interaction._evaluation import relevance_to_node
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

N_ITEMS, N_NEEDS = 2400, 400
METRICS = ["precision", "map", "ahp"]


def interval(values: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """95 % of the mean, by a bootstrap over queries."""
    means = values[random.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    return tuple(np.quantile(means, [0.025, 0.975]).tolist())


def feedback(data: Data, tree: str, error_rate: float, n_queries: int) -> pd.DataFrame:
    truth = data.taxonomy
    retriever = HierarchicalRetriever(truth if tree == "taxonomy" else None, metric="cosine")
    retriever.fit(data.X_train, data.y_train)
    table = evaluate_interaction(
        retriever,
        data.X_test[:N_ITEMS],
        data.y_test[:N_ITEMS],
        truth,
        error_rate=error_rate,
        n_queries=n_queries,
        per_query=True,
    )
    table.insert(0, "wrong marks", f"{error_rate:.0%}")
    table.insert(0, "tree", tree)
    table.insert(0, "data", data.name)
    return table


def rounds(table: pd.DataFrame) -> list[list[str]]:
    """Precision@10 / AHP@100 of each method and round, means over queries."""
    rows = []
    keys = ["data", "tree", "wrong marks", "method"]
    for key, part in table.groupby(keys, sort=False):
        means = part.groupby("round")[METRICS].mean()
        rows.append([*key, *(f"{m.precision:.3f} / {m.ahp:.3f}" for m in means.itertuples())])
    return rows


def margins(table: pd.DataFrame) -> list[list[str]]:
    """Least gain of the node posterior over each other method, from the second round on."""
    random, rows = np.random.default_rng(0), []
    for key, part in table.groupby(["data", "tree", "wrong marks"], sort=False):
        wide = part.pivot(index=["query", "round"], columns="method", values=["precision", "ahp"])
        for other in ("Rocchio", "Rocchio, cosine", "linear"):
            cells = []
            for metric in ("precision", "ahp"):
                gain = (wide[metric]["node posterior"] - wide[metric][other]).unstack("round")
                worst = min(range(2, 6), key=lambda number: gain[number].mean())
                low, high = interval(gain[worst].dropna().to_numpy(), random)
                cells.append(f"{gain[worst].mean():+.3f} [{low:+.3f}, {high:+.3f}] in round {worst}")
            rows.append([*key, other, *cells])
    return rows


def query_sets(data: Data, tree: str) -> list[list[str]]:
    """Three images of one node: what they share, the mean vector, and the first image alone."""
    truth, random = data.taxonomy, np.random.default_rng(0)
    retriever = HierarchicalRetriever(truth if tree == "taxonomy" else None, metric="cosine")
    retriever.fit(data.X_train, data.y_train)
    X, y = data.X_test[:N_ITEMS], data.y_test[:N_ITEMS]
    retriever.set_gallery(X, y, gallery_leaves="predicted")
    codes, scores = truth.index(y), {"what they share": [], "mean vector": [], "first image": []}
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for _ in range(N_NEEDS):
        first = random.integers(len(y))
        path = [int(codes[first])]
        while truth.parents[path[-1]] != truth.root:
            path.append(int(truth.parents[path[-1]]))
        node = random.choice(path)
        relevance = relevance_to_node(truth, node)[codes]
        below = np.flatnonzero(truth.is_below(truth.classes, np.full(truth.n_classes, node))[codes])
        if len(below) < 4:
            continue
        chosen = np.append(first, random.choice(below[below != first], 2, replace=False))
        rankings = {
            "what they share": kneighbors_of_set(retriever, X[chosen], 104)[1][0],
            "mean vector": retriever.kneighbors(unit[chosen].mean(axis=0)[None], 104)[1][0],
            "first image": retriever.kneighbors(X[[first]], 104)[1][0],
        }
        best = np.sort(np.delete(relevance, chosen))[::-1][:100]
        for name, found in rankings.items():
            ranked = found[~np.isin(found, chosen)][:100]
            scores[name].append((np.cumsum(relevance[ranked]) / np.cumsum(best)).mean())
    arrays = {name: np.array(values) for name, values in scores.items()}
    gain = arrays["what they share"] - arrays["mean vector"]
    low, high = interval(gain, random)
    means = [f"{values.mean():.3f}" for values in arrays.values()]
    return [[data.name, tree, *means, f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--queries", type=int, default=250)
    parser.add_argument("--write", type=Path, help="folder of docs whose page interaction.md is updated")
    options = parser.parse_args()
    sets = [data for data in data_sets(options) if data.taxonomy is not None]
    tables, needs = [], []
    for data in sets:
        for tree in ("taxonomy", "learned"):
            needs += query_sets(data, tree)
            for error_rate in (0.0, 0.1):
                tables.append(feedback(data, tree, error_rate, options.queries))
                print(f"{data.name}, {tree}, {error_rate}", flush=True)
    table = pd.concat(tables, ignore_index=True)
    head = ["data", "tree", "wrong marks", "method", *(f"round {i}" for i in range(6))]
    of_margins = ["data", "tree", "wrong marks", "over", "precision@10", "AHP@100"]
    of_sets = ["data", "tree", "what they share", "mean vector", "first image", "gain over the mean vector"]
    pages = {
        "rounds": markdown_table(head, rounds(table)),
        "margins": markdown_table(of_margins, margins(table)),
        "sets": markdown_table(of_sets, needs),
    }
    for name, text in pages.items():
        print(f"\n{name}\n{text}")
        if options.write:
            write_between(options.write / "interaction.md", name, text)


if __name__ == "__main__":
    main()
