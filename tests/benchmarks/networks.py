"""Networks trained on plankton and grocery images, and every retrieval method on their features.

    python -m tests.benchmarks.networks --plankton PATH/plankton --grocery PATH/grocery_store --out FOLDER

Needs the extra ``nn``. Images are averaged down to 32 x 32 pixels. Networks are kept in FOLDER, and
not trained again when they are there; the tables are printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchy,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    evaluate_retrieval,
)
from sklearn_hierret.nn import Augmentation, CNNFeatureExtractor, Plain11, training_preset
from tests.benchmarks._data import markdown_table

N_QUERIES = 2500


def smaller(images: np.ndarray, side: int = 32) -> np.ndarray:
    n, height, width, channels = images.shape
    blocks = images.reshape(n, side, height // side, side, width // side, channels)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def read(folder: Path, by_id: bool) -> dict:
    """Images, labels and taxonomy; the test part is shuffled, since it is sorted by class."""
    data: dict = {}
    for part in ("train", "test"):
        with np.load(folder / f"{part}.npz") as file:
            order = np.random.RandomState(0).permutation(len(file["y"]))
            data[part] = smaller(file["images"])[order], file["y"].astype(int)[order]
    description = json.loads((folder / "hierarchy.json").read_text())
    ids = description["class_ids"] if by_id else description["classes"]
    edges = [(parent, child) for child, parent in description["parent"].items()]
    tree = ClassHierarchy.from_parent_child(edges, classes=ids)
    data["taxonomy"] = tree.relabel({name: i for i, name in enumerate(ids)})
    return data


def trained(folder: Path, data: dict, backbone: partial, epochs: int, **params: object) -> tuple:
    """An extractor from the folder, or trained; and its seconds per epoch, if they are known."""
    if not (folder / "extractor.json").exists():
        net = CNNFeatureExtractor(
            backbone, **params, random_state=0, verbose=1, **training_preset("one_cycle", epochs=epochs)
        )
        start = time.perf_counter()
        net.fit(*data["train"])
        seconds = (time.perf_counter() - start) / epochs
        net.save(folder)
        (folder / "seconds_per_epoch.txt").write_text(f"{seconds:.1f} {net.device}\n")
    net = CNNFeatureExtractor.load(folder, backbone=backbone)
    return net, (folder / "seconds_per_epoch.txt").read_text().split()


def rows_of(name: str, loss: str, net: CNNFeatureExtractor, speed: list, data: dict) -> list[list]:
    """One row for each retrieval method."""
    (X_train, y_train), (X_test, y_test) = data["train"], data["test"]
    train, test = net.transform(X_train), net.transform(X_test[:N_QUERIES])
    proba_test = net.predict_proba(X_test)
    accuracy = float(np.mean(net.classes_[proba_test.argmax(axis=1)] == y_test))
    print(f"{name}, {loss}: accuracy {accuracy:.3f}, {speed[0]} s an epoch on {speed[1]}", flush=True)
    paper_model = MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")
    visual = HierarchyBuilder(0.001, linkage="average")
    methods = {
        "cosine": HierarchicalRetriever(metric="cosine", alpha=0),
        "whitened cosine": HierarchicalRetriever(metric="whitened", alpha=0),
        "the paper's rule, t 0.2, alpha 1": HierarchicalRetriever(
            HierarchyBuilder(0.2, class_model=paper_model),
            metric="cosine",
            assignment="hard",
            alpha=1,
            stem=0,
            gallery_leaves="predicted",
        ),
        "visual hierarchy": HierarchicalRetriever(visual),
        "Ward hierarchy": HierarchicalRetriever(LinkageHierarchyBuilder()),
        "control: flat": HierarchicalRetriever(ClassHierarchy.flat(net.classes_)),
        "taxonomy": HierarchicalRetriever(data["taxonomy"]),
        "visual hierarchy and taxonomy": HierarchicalRetriever([visual, data["taxonomy"]]),
        "visual hierarchy, softmax leaves": HierarchicalRetriever(visual, class_model=net.as_class_model()),
        "taxonomy, softmax leaves": HierarchicalRetriever(data["taxonomy"], class_model=net.as_class_model()),
    }
    rows = []
    for method, model in methods.items():
        table = evaluate_retrieval(
            model.fit(train, y_train),
            test,
            y_test[:N_QUERIES],
            [20, 100],
            ["map", "ahp"],
            hierarchy=data["taxonomy"],
        ).set_index(["metric", "k"])["score"]
        rows.append([name, loss, f"{accuracy:.3f}", method, f"{table['map', 20]:.3f}"])
        rows[-1].append(f"{table['ahp', 100]:.3f}")
    return rows


def from_command_line(
    description: str | None, epochs: tuple[int, int]
) -> Iterator[tuple[str, dict, Path, dict]]:
    """Name, data, folder of networks, and how to train them, of each data set that is asked for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--plankton", type=Path)
    parser.add_argument("--grocery", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs=2, default=epochs, help="plankton, grocery")
    parser.add_argument("--width", type=float, nargs=2, default=(0.25, 0.5), help="of Plain-11")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    augmentations = {
        "plankton": Augmentation(2, rotation=30),
        "grocery": Augmentation(4, erasing=0.25),
    }
    for i, (name, folder) in enumerate((("plankton", options.plankton), ("grocery", options.grocery))):
        if folder is None:
            continue
        params = {
            "backbone": partial(Plain11, width=options.width[i]),
            "epochs": options.epochs[i],
            "augmentation": augmentations[name],
        }
        yield name, read(folder, by_id=name == "plankton"), options.out / name, params


def main() -> None:
    rows: list[list] = []
    for name, data, out, params in from_command_line(__doc__, (10, 20)):
        net, speed = trained(out / "cross_entropy", data, **params)
        rows += rows_of(name, "cross entropy", net, speed, data)
        builder = HierarchyBuilder(0.001, linkage="average")
        visual = builder.fit(net.transform(data["train"][0]), data["train"][1]).hierarchy_
        trees: dict[str, ClassHierarchy | CombinedHierarchy] = {
            "taxonomy": data["taxonomy"],
            "visual hierarchy": visual,
        }
        for tree_name, tree in trees.items():
            where = out / f"corr_cls_{tree_name.split()[0]}"
            net, speed = trained(where, data, **params, loss="corr+cls", hierarchy=tree)
            rows += rows_of(name, f"L_CORR+CLS, {tree_name}", net, speed, data)
    print(markdown_table(["data", "network", "accuracy", "retrieval", "mAP@20", "AHP@100"], rows))


if __name__ == "__main__":
    main()
