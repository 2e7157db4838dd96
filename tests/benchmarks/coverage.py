r"""How often the nodes of `leaves(coverage=)` hold the class of closed test samples, and how high they stand.

    python -m tests.benchmarks.coverage --plankton PATH/plankton --grocery PATH/grocery_store --out docs/PAGE

Beside them the nodes of `min_probability`, with the probability for which they are right as often on the test
part. Heights are relative to the root's. Two minutes on two cores.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from sklearn_hierret import HierarchicalRetriever
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

COVERAGES = (0.8, 0.9, 0.95)
PROBABILITIES = np.append(np.arange(0.501, 1, 0.005), 1.0)
LEVELS = [0, 0.25, 0.5, 0.75, 0.999, 1]


def nodes_table(data: Data, hierarchy: object) -> pd.DataFrame:
    """Coverage and mean height of the nodes of both rules, with a row for each frequency."""
    retriever = HierarchicalRetriever(hierarchy, alpha=1).fit(data.X_train, data.y_train)
    tree = retriever.hierarchy_
    heights = tree.heights / tree.height

    def judged(nodes: np.ndarray) -> tuple[float, float]:
        return tree.is_below(data.y_test, nodes).mean(), heights[nodes].mean()

    by_probability = [judged(retriever.leaves(data.X_test, min_probability=p)) for p in PROBABILITIES]
    rows = []
    for coverage in COVERAGES:
        share, height = judged(retriever.leaves(data.X_test, coverage=coverage))
        equal = [h for c, h in by_probability if c >= share - 1e-12]
        rows.append((coverage, share, height, min(equal, default=np.nan)))
    return pd.DataFrame(rows, columns=["asked", "measured", "height", "height of min_probability"])


def by_level(data: Data, hierarchy: object) -> pd.DataFrame:
    """Samples, and the share of them whose class lies there, for each level of the node; coverage 0.9."""
    retriever = HierarchicalRetriever(hierarchy, alpha=1).fit(data.X_train, data.y_train)
    tree, nodes = retriever.hierarchy_, retriever.leaves(data.X_test, coverage=0.9)
    level = np.searchsorted(LEVELS, tree.heights[nodes] / tree.height)
    is_right = tree.is_below(data.y_test, nodes)
    return pd.DataFrame({"level": level, "right": is_right}).groupby("level")["right"].agg(["size", "mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add_data_arguments(parser)
    args = parser.parse_args()
    rows, levels = [], []
    for data in data_sets(args):
        trees = {"learned": None} | ({} if data.taxonomy is None else {"given": data.taxonomy})
        for name, tree in trees.items():
            for row in nodes_table(data, tree).itertuples(index=False):
                rows.append([data.name, name, f"{row[0]:g}", *(f"{value:.3f}" for value in row[1:])])
            of_levels = by_level(data, tree)
            cells = [
                f"{of_levels['mean'][i]:.2f} ({of_levels['size'][i] / len(data.y_test):.0%})"
                if i in of_levels.index
                else ""
                for i in range(len(LEVELS))
            ]
            levels.append([data.name, name, *cells])
    text = markdown_table(
        [
            "data",
            "tree",
            "asked",
            "measured",
            "mean height",
            "mean height of `min_probability` that is right as often",
        ],
        rows,
    )
    heads = ["classes", "up to 0.25", "up to 0.5", "up to 0.75", "below the root", "root"]
    text += "\n\n" + markdown_table(["data", "tree", *heads], levels)
    if args.out:
        write_between(args.out, "coverage", text)
    print(text)


if __name__ == "__main__":
    main()
