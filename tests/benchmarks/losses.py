"""Every loss and pooling on one small network: Plain-11 of a quarter of the width, 32 x 32 pixels.

    python -m tests.benchmarks.losses --grocery PATH/grocery_store
    python -m tests.benchmarks.losses --plankton PATH/plankton --train 8000 --epochs 8

Needs the extra ``metric``.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_hierret import HierarchicalRetriever, HierarchyBuilder, class_embedding, evaluate_retrieval
from sklearn_hierret.nn import (
    Augmentation,
    CNNFeatureExtractor,
    DeViSE,
    LatentGaussianExtractor,
    Plain11,
    training_preset,
)
from tests.benchmarks._data import markdown_table
from tests.benchmarks.networks import N_QUERIES, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--grocery", type=Path)
    where.add_argument("--plankton", type=Path)
    parser.add_argument("--train", type=int, help="images to train on; default: all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="*", help="networks whose names start so")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    data = read(options.grocery or options.plankton, by_id=options.plankton is not None)
    (X_train, y_train), (X_test, y_test) = data["train"], data["test"]
    X_train, y_train = X_train[: options.train], y_train[: options.train]
    seen = np.isin(y_test, y_train)
    X_test, y_test = X_test[seen], y_test[seen]
    tree = data["taxonomy"].restrict(np.unique(y_train))
    # Stand-ins for word vectors: the taxonomy's embedding, in 50 dimensions, with noise.
    words = class_embedding(tree, 50)
    words = words + 0.05 * np.random.default_rng(0).normal(size=words.shape)
    cases: dict[str, dict[str, Any]] = {
        "cross entropy": {},
        "corr (taxonomy)": {"loss": "corr", "hierarchy": tree},
        "corr+cls (taxonomy)": {"loss": "corr+cls", "hierarchy": tree},
        "center": {"loss": "center"},
        "label embedding": {"loss": "label_embedding"},
        "DeViSE (noisy taxonomy as words)": {"loss": lambda d, k: DeViSE(d, words)},
        "Smooth-AP": {"loss": "smooth_ap", "samples_per_class": 4},
        "triplet, hardest of a batch": {"loss": "triplet", "samples_per_class": 4},
        "contrastive": {"loss": "contrastive", "samples_per_class": 4},
        "FastAP": {"loss": "fast_ap", "samples_per_class": 4},
        "multi-similarity": {"loss": "multi_similarity", "samples_per_class": 4},
        "MultiGrain": {"loss": "multigrain", "samples_per_class": 4},
        "adaptive margin (taxonomy)": {"loss": "adaptive_margin", "hierarchy": tree, "samples_per_class": 4},
        "HUSE (taxonomy)": {"loss": "huse", "hierarchy": tree},
        "SHREWD (taxonomy)": {"loss": "shrewd", "hierarchy": tree},
        "hyperbolic (taxonomy)": {"loss": "hyperbolic", "hierarchy": tree},
        "latent Gaussian": {"class": LatentGaussianExtractor},
        **{
            f"cross entropy, pooling {name}": {"pooling": name}
            for name in ("gem", "max", "spoc", "partial_mean", "rmac", "attention")
        },
    }
    rows = []
    for name, params in cases.items():
        if options.only and not name.startswith(tuple(options.only)):
            continue
        start = time.perf_counter()
        kind = params.pop("class", CNNFeatureExtractor)
        epochs = options.epochs // 2 if kind is LatentGaussianExtractor else options.epochs
        net = kind(
            partial(Plain11, width=0.25),
            augmentation=Augmentation(4, erasing=0.25),
            random_state=0,
            **training_preset("one_cycle", epochs=epochs),
            **params,
        ).fit(X_train, y_train)
        seconds = (time.perf_counter() - start) / options.epochs
        train, test = net.transform(X_train), net.transform(X_test[:N_QUERIES])
        scores = []
        for model in (
            HierarchicalRetriever(metric="cosine", alpha=0),
            HierarchicalRetriever(HierarchyBuilder(0.001, linkage="average")),
            HierarchicalRetriever(),
        ):
            table = evaluate_retrieval(
                model.fit(train, y_train),
                test,
                y_test[:N_QUERIES],
                [20, 100],
                ["map", "ahp"],
                hierarchy=tree,
            ).set_index(["metric", "k"])["score"]
            scores += [f"{table['map', 20]:.3f}", f"{table['ahp', 100]:.3f}"]
        rows.append([name, f"{net.score(X_test, y_test):.3f}", *scores, f"{seconds:.1f}"])
        print(rows[-1], flush=True)
    header = [
        "network",
        "accuracy",
        "cosine mAP@20",
        "AHP@100",
        "visual hierarchy mAP@20",
        "AHP@100",
        "defaults mAP@20",
        "AHP@100",
    ]
    print(markdown_table([*header, "s an epoch"], rows))


if __name__ == "__main__":
    main()
