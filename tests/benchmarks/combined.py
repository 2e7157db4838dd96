"""Visual hierarchy, taxonomy, and both: what each gives. Nothing is tuned.

    python -m tests.benchmarks.combined --plankton PATH/plankton --grocery PATH/grocery_store

Grocery images are 64 x 64 pixels, seen through 64 principal components of their training part.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchyBuilder,
    HierarchicalRetriever,
    HierarchyBuilder,
    evaluate_retrieval,
)
from tests.benchmarks._data import Data, markdown_table, plankton

N_QUERIES = 2500


def grocery(folder: Path) -> Data:
    parts = {}
    for name in ("train", "test"):
        with np.load(folder / f"{name}.npz") as file:
            parts[name] = file["images"].reshape(len(file["y"]), -1) / 255.0, file["y"].astype(int)
    pca = PCA(64, random_state=0, whiten=False).fit(parts["train"][0])
    description = json.loads((folder / "hierarchy.json").read_text())
    edges = [(parent, child) for child, parent in description["parent"].items()]
    ids = description.get("class_ids", description["classes"])
    taxonomy = ClassHierarchy.from_parent_child(edges, classes=ids).relabel(
        {name: i for i, name in enumerate(ids)}
    )
    order = np.random.RandomState(0).permutation(len(parts["test"][1]))
    X_train, X_test = (pca.transform(parts[name][0]) for name in ("train", "test"))
    y_train, y_test = (parts[name][1] for name in ("train", "test"))
    return Data("grocery", X_train, y_train, X_test[order], y_test[order], taxonomy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plankton", type=Path)
    parser.add_argument("--grocery", type=Path)
    folders = parser.parse_args()
    rows = []
    for folder, read in ((folders.plankton, plankton), (folders.grocery, grocery)):
        if folder is None:
            continue
        data = read(folder)
        parts = [("visual", HierarchyBuilder(0.001, linkage="average")), ("taxonomy", data.taxonomy)]
        Q, t = data.X_test[:N_QUERIES], data.y_test[:N_QUERIES]
        for name, weights in (
            ("visual", [1, 0]),
            ("3 visual : 1 taxonomy", [3, 1]),
            ("1 : 1", [1, 1]),
            ("1 : 3", [1, 3]),
            ("taxonomy", [0, 1]),
        ):
            model = HierarchicalRetriever(CombinedHierarchyBuilder(parts, weights=weights))
            table = evaluate_retrieval(
                model.fit(data.X_train, data.y_train),
                Q,
                t,
                [20, 100],
                ["map", "ahp", "hap", "mistake_severity"],
                hierarchy=data.taxonomy,
                normalize=True,
                denominator="min",
            ).set_index(["metric", "k"])["score"]
            keys = [("map", 20), ("ahp", 100), ("hap", 100), ("mistake_severity", 20)]
            rows.append([data.name, name, *(f"{table[key]:.3f}" for key in keys)])
    print(markdown_table(["data", "D_H of", "mAP@20", "AHP@100", "H-AP@100", "severity@20"], rows))


if __name__ == "__main__":
    main()
