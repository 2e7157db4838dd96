"""The field's taxonomies: read, embedded, and metrics on them against naive loops.

    python -m tests.benchmarks.taxonomies PATH/taxonomies

The folder is that of the published semantic embeddings, with NABirds' own files.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from sklearn_hierret import (
    ClassGraph,
    ClassHierarchy,
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    class_embedding,
    hierarchical_precision_at_k,
)
from sklearn_hierret.datasets import load_cifar100_taxonomy
from tests.benchmarks._data import markdown_table
from tests.reference import hierarchy as naive_tree
from tests.reference import metrics as naive


def against_loops(tree: ClassHierarchy) -> list[str]:
    """Largest differences to the naive loops: d_G, Wu-Palmer, HP, AHP at 250, AP."""
    n = tree.n_classes
    some = np.arange(n) if n <= 100 else np.random.default_rng(0).choice(n, 100, replace=False)
    differences = []
    tables = {}
    for kind, one in (("lca", lambda *a: 1 - naive_tree.distance(*a)), ("wup", naive_tree.wu_palmer)):
        found = tree.similarity_matrix(kind)
        expected = np.array([[one(tree, i, j) for j in some] for i in some])
        differences.append(np.abs(found[np.ix_(some, some)] - expected).max())
        tables[kind] = found
    rng = np.random.default_rng(1)
    gallery = rng.choice(some, 600)
    for function, loops in (
        (hierarchical_precision_at_k, naive.hierarchical_precision),
        (average_hierarchical_precision_at_k, naive.average_hierarchical_precision),
    ):
        worst = 0.0
        for kind, table in tables.items():
            scores = table[gallery[:2]][:, gallery] + rng.normal(scale=0.3, size=(2, 600))
            others = [np.delete(np.arange(600), q) for q in range(2)]
            ranked = [gallery[o[np.argsort(-scores[q, o])]][:250] for q, o in enumerate(others)]
            found = function(
                tree.classes[gallery[:2]],
                tree.classes[ranked],
                tree,
                250,
                y_gallery=tree.classes[gallery],
                exclude_query=True,
                similarity=kind,
            )
            expected = [
                loops(gallery[q], ranked[q], gallery[others[q]], 250, lambda i, j, t=table: t[i, j])
                for q in range(2)
            ]
            worst = max(worst, np.abs(found - expected).max())
        differences.append(worst)
    relevant = rng.random((20, 500)) < 0.1
    relevant[:, 0] = True
    ap = average_precision_at_k(np.ones(20), relevant.astype(float), denominator="relevant")
    scores = -np.arange(500)
    expected = [average_precision_score(row, scores) for row in relevant]
    differences.append(np.abs(ap - expected).max())
    return [f"{d:.0e}" for d in differences]


def main() -> None:
    folder = Path(sys.argv[1])
    ids = [entry[0] for entry in json.loads((folder / "ilsvrc_class_index.json").read_text()).values()]
    dag = folder / "ilsvrc_wordnet.pruned_dag.parent-child.txt"
    start = time.perf_counter()
    wordnet = ClassHierarchy.from_parent_child(dag, classes=ids, multiple_parents="tree")
    seconds = time.perf_counter() - start
    trees = {
        "CIFAR-100": load_cifar100_taxonomy("index"),
        "NABirds": ClassHierarchy.from_parent_child(
            folder / "nabirds.child-parent.txt", is_a=True, names=folder / "nabirds.classes.txt"
        ),
        "CUB, balanced": ClassHierarchy.from_parent_child(folder / "cub_balanced.parent-child.txt"),
        "CUB, Wikispecies": ClassHierarchy.from_parent_child(folder / "cub_wikispecies.parent-child.txt"),
        "ILSVRC, the authors' tree": ClassHierarchy.from_parent_child(
            folder / "ilsvrc_wordnet.mintree.parent-child.txt"
        ),
        "ILSVRC, our tree": wordnet,
    }
    rows = []
    for name, tree in trees.items():
        phi = class_embedding(tree)
        error = np.abs(phi @ phi.T - tree.similarity_matrix()).max()
        rows.append([name, tree.n_classes, tree.n_nodes, f"{tree.height:g}", f"{error:.0e}"])
        rows[-1] += against_loops(tree)
    header = ["tree", "classes", "nodes", "height", "embedding error", "d_G", "Wu-Palmer"]
    print(markdown_table([*header, "HP@250", "AHP@250", "AP"], rows))
    print(f"\nWordNet's graph to a tree: {seconds:.1f} s")
    for depth in ("longest", "shortest"):
        for heights in ("classes", "graph"):
            start = time.perf_counter()
            graph = ClassGraph.from_parent_child(dag, classes=ids, depth=depth, heights=heights)
            d, wup = graph.distance_matrix(), graph.similarity_matrix("wup")
            seconds = time.perf_counter() - start
            tree = wordnet.restrict(graph.classes)
            print(
                f"graph, depth={depth!r}, heights={heights!r}: {graph.n_nodes} nodes, "
                f"height {graph.height:g}; "
                f"mean d_G {d.mean():.3f} (our tree's {tree.distance_matrix().mean():.3f}), "
                f"mean Wu-Palmer {wup.mean():.3f}; {seconds:.1f} s"
            )
    try:
        ClassHierarchy.from_parent_child(dag, multiple_parents="tree")
    except ValueError as error:
        print("all of the file:", str(error)[:100], "...")


if __name__ == "__main__":
    main()
