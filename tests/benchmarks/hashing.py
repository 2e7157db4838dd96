"""Codes of 16, 32 and 64 bits of plankton and grocery images, against float features.

    python -m tests.benchmarks.hashing --plankton PATH/plankton --grocery PATH/grocery_store --out FOLDER

Needs the extra ``nn``. The networks trained by cross entropy are those of
``tests.benchmarks.networks``, of the same FOLDER; hashing starts from them. Train is the gallery, the
test part are the queries. Tables are printed: accuracy, and what the order of ties alone changes.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    PCAHasher,
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    evaluate_retrieval,
    ndcg_at_k,
)
from sklearn_hierret.nn import CNNFeatureExtractor, CNNHashExtractor
from tests.benchmarks._data import markdown_table
from tests.benchmarks.networks import N_QUERIES, from_command_line

BITS = (16, 32, 64)
NDCG = {"similarity": "levels", "discount": "log2(rank)", "average": True}
#: Of the backbone, and of the hashing layer.
RATES = [3e-4, 1e-2]


def hashing_net(folder: Path, data: dict, backbone: partial, epochs: int, **params: Any) -> CNNHashExtractor:
    """A hashing network from the folder, or trained, from the weights of that of cross entropy."""
    if not (folder / "extractor.json").exists():
        # Anew for each: training goes on with the weights that it is given.
        teacher = CNNFeatureExtractor.load(folder.parent / "cross_entropy", backbone=backbone)
        net = CNNHashExtractor(
            teacher.module_.backbone.network,
            **params,
            n_hidden=512,
            max_epochs=epochs,
            batch_size=100,
            lr=RATES[1],
            optimizer__param_groups=[("backbone.*", {"lr": RATES[0]})],
            callbacks=[("schedule", LRScheduler(OneCycleLR, max_lr=RATES, total_steps=epochs + 1))],
            random_state=0,
        )
        start = time.perf_counter()
        net.fit(*data["train"])
        print(f"{folder}: {(time.perf_counter() - start) / epochs:.0f} s an epoch", flush=True)
        net.save(folder)
    return CNNHashExtractor.load(folder, backbone=backbone)


def scores(retriever: Any, test: np.ndarray, y_test: np.ndarray, tree: ClassHierarchy) -> list[str]:
    """mAP of whole rankings, AHP@250 and nDCG@100, in the order of the gallery and over all tied orders."""
    n = len(retriever.gallery_labels_)
    cells = []
    for names, k, params in (
        (["map"], n, {"denominator": "relevant"}),
        (["ahp"], 250, {"hierarchy": tree}),
        (["ndcg"], 100, {"hierarchy": tree, **NDCG}),
    ):
        both = [
            evaluate_retrieval(retriever, test, y_test, [k], names, gallery="fit", ties=ties, **params)
            for ties in ("index", "average")
        ]
        cells.append(" / ".join(f"{table['score'].item():.3f}" for table in both))
    return cells


def milliseconds(retriever: Any, test: np.ndarray) -> str:
    """Of a query, for 20 neighbours."""
    start = time.perf_counter()
    retriever.kneighbors(test, n_neighbors=20)
    return f"{1e3 * (time.perf_counter() - start) / len(test):.3f}"


def tie_orders(
    codes: tuple[np.ndarray, np.ndarray], y_train: np.ndarray, y_test: np.ndarray, tree: ClassHierarchy
) -> list[str]:
    """Worst, average and best of each metric over the orders of ties, and a gallery sorted by class."""
    retriever = HammingRetriever().fit(codes[0], y_train)
    n, similarity = len(y_train), tree.similarity_matrix()
    counts = np.bincount(y_train, minlength=int(max(y_train.max(), y_test.max())) + 1)
    found: dict[str, list] = {}
    for start in range(0, len(y_test), 100):
        rows = slice(start, start + 100)
        distances, indices = retriever.kneighbors(codes[1][rows], n_neighbors=n)
        ranked, y = y_train[indices], y_test[rows]
        alike = similarity[tree.index(y)[:, None], tree.index(ranked.ravel()).reshape(ranked.shape)]
        for name, order in (
            ("worst", np.lexsort((alike, distances), axis=1)),
            ("average", None),
            ("sorted by class", np.lexsort((ranked, distances), axis=1)),
            ("best", np.lexsort((-alike, distances), axis=1)),
        ):
            labels = ranked if order is None else np.take_along_axis(ranked, order, axis=1)
            tied = {"distances": distances} if order is None else {}
            graded = {"hierarchy": tree, "y_gallery": y_train, **tied}
            found.setdefault(name, []).append(
                np.stack(
                    [
                        average_precision_at_k(
                            y, labels, None, n_relevant=counts[y], denominator="relevant", **tied
                        ),
                        average_hierarchical_precision_at_k(y, labels, k=250, **graded),
                        ndcg_at_k(y, labels, k=100, **NDCG, **graded),
                    ]
                )
            )
    means = {name: np.nanmean(np.concatenate(parts, axis=1), axis=1) for name, parts in found.items()}
    return [" / ".join(f"{value:.3f}" for value in means[name]) for name in means]


def rows_of(name: str, data: dict, out: Path, backbone: partial, epochs: int, augmentation: Any) -> tuple:
    """Rows of both tables."""
    (X_train, y_train), (X_test, y_test) = data["train"], data["test"]
    tree = data["taxonomy"]
    teacher = CNNFeatureExtractor.load(out / "cross_entropy", backbone=backbone)
    train, test = teacher.transform(X_train), teacher.transform(X_test[:N_QUERIES])
    y_test = y_test[:N_QUERIES]
    # Only seen classes are learnt.
    classes = np.unique(y_train)
    visual = HierarchyBuilder(0.001, linkage="average").fit(train, y_train).hierarchy_
    sizes = (len(classes), len(classes) // 3, len(classes) // 9, 1)
    visual = ClassHierarchy.from_levels([visual.cut(n_clusters=m) for m in sizes], visual.classes)
    trees = {"taxonomy": tree.restrict(classes), "visual hierarchy": visual}

    rows, ties = [], []

    def add(method: str, n_bits: Any, n_bytes: int, retriever: Any, queries: np.ndarray) -> None:
        cells = scores(retriever, queries, y_test, tree)
        rows.append([name, method, n_bits, *cells, n_bytes, milliseconds(retriever, queries)])
        print(rows[-1], flush=True)

    n_bytes = 4 * train.shape[1]
    add(
        "float, cosine",
        "",
        n_bytes,
        HierarchicalRetriever(tree, alpha=0, metric="cosine").fit(train, y_train),
        test,
    )
    add("float, soft leaves, taxonomy", "", n_bytes, HierarchicalRetriever(tree).fit(train, y_train), test)
    for n_bits in BITS:
        codes: dict[str, tuple] = {
            "PCA signs": PCAHasher(n_bits).fit(train),
            "ITQ": ITQHasher(n_bits, random_state=0).fit(train),
        }
        codes = {method: (h.transform(train), h.transform(test)) for method, h in codes.items()}
        for tree_name, levels in trees.items():
            folder = out / f"hpdh_{tree_name.split()[0]}_{n_bits}"
            net = hashing_net(
                folder, data, backbone, epochs, n_bits=n_bits, hierarchy=levels, augmentation=augmentation
            )
            codes[f"HPDH, {tree_name}"] = net.transform(X_train), net.transform(X_test[:N_QUERIES])
        for method, (gallery, queries) in codes.items():
            add(method, n_bits, n_bits // 8, HammingRetriever().fit(gallery, y_train), queries)
            if method != "PCA signs":
                few = tie_orders((gallery, queries[:500]), y_train, y_test[:500], tree)
                ties.append([name, method, n_bits, len(np.unique(gallery, axis=0)), *few])
        for method in ("ITQ", "HPDH, taxonomy"):
            gallery, queries = codes[method]
            retriever = HammingRetriever(tree, alpha=1.0).fit(gallery, y_train)
            add(f"{method}, alpha 1, taxonomy", n_bits, n_bits // 8, retriever, queries)
    return rows, ties


def main() -> None:
    rows: list[list] = []
    ties: list[list] = []
    for name, data, out, params in from_command_line(__doc__, (8, 15)):
        more = rows_of(name, data, out, **params)
        rows += more[0]
        ties += more[1]
    header = ["data", "codes", "bits", "mAP", "mAHP@250", "nDCG@100", "bytes a sample", "ms a query"]
    print(markdown_table(header, rows))
    print(markdown_table(["data", "codes", "bits", "distinct", "worst", "average", "by class", "best"], ties))


if __name__ == "__main__":
    main()
