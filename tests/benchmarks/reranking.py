"""Re-ranking steps on the test parts, with leaves and without.

    python -m tests.benchmarks.reranking --plankton PATH/plankton --grocery PATH/grocery_store --write docs

Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn_hierret import HierarchicalRetriever, evaluate_retrieval
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, KReciprocal, QueryExpansion
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

N_ITEMS = 2000
STEPS = {
    "no step": lambda retriever: retriever,
    "query expansion": QueryExpansion,
    "query expansion, 3 images": lambda retriever: QueryExpansion(retriever, n_expanded=3),
    "k-reciprocal": KReciprocal,
    "diffusion": Diffusion,
    "database augmentation": DatabaseAugmentation,
}


def rows(data: Data) -> list[list[str]]:
    y = data.y_test[:N_ITEMS]
    table = []
    for name, step in STEPS.items():
        cells = []
        for leaves in (False, True):
            retriever = HierarchicalRetriever(metric="cosine", alpha="auto" if leaves else 0)
            model = step(retriever).fit(data.X_train, data.y_train)
            galleries = ["fit"] if name == "database augmentation" else ["query", "fit"]
            scores = {}
            for gallery in galleries:
                found = evaluate_retrieval(model, data.X_test[:N_ITEMS], y, [1, 20], gallery=gallery)
                scores[gallery] = " / ".join(f"{score:.3f}" for score in found["score"])
            cells += [scores.get("query", ""), scores["fit"]]
        table.append([data.name, name, *cells])
        print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--write", type=Path, help="folder of docs whose page interaction.md is updated")
    options = parser.parse_args()
    head = ["data", "step", "cosine", "cosine, labelled gallery", "defaults", "defaults, labelled gallery"]
    text = markdown_table(head, [row for data in data_sets(options) for row in rows(data)])
    print(text)
    if options.write:
        write_between(options.write / "interaction.md", "reranking", text)


if __name__ == "__main__":
    main()
