r"""Galleries that teach nothing: what leaves gain where classes are known, and cost where they are not.

    python -m tests.benchmarks.regimes --plankton PATH/plankton --grocery PATH/grocery_store --write docs

Fitted to the training part, or to a random half of its classes; scored on the test part, leave-one-out,
without a look at its labels, and with the training part as a labelled gallery. Corrupted queries are blurred,
occluded, and, if they have colours, more or less saturated images, whose features the frozen network makes
(see `_pretrained`). Twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sklearn_hierret import (
    DiscriminantClassifier,
    HierarchicalRetriever,
    HierarchyBuilder,
    MahalanobisClassifier,
)
from sklearn_hierret.images import ImageCorruption
from sklearn_hierret.metrics import (
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    class_weights,
)
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

#: Random halves of the classes, and queries of each.
N_HALVES, N_QUERIES, N_CORRUPTED = 3, 1500, 500
MEASURES = ["mAP@1", "mAP@20", "AHP@100"]
MACRO = "mAP@20, macro"
PAPER = {
    "metric": "cosine",
    "hierarchy": HierarchyBuilder(
        class_model=MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")
    ),
    "assignment": "hard",
    "stem": 0,
    "gallery_leaves": "predicted",
}
NAMES = ["LDA and cosine", "the paper's rule", "whitened cosine", "without novelty", "novelty"]


def scores(data: Data, ranked: np.ndarray, y: np.ndarray, items: np.ndarray, own: bool) -> np.ndarray:
    """mAP@1, mAP@20, AHP@100 of each query, given the rows of its neighbours among the items."""
    found = items[ranked]
    counts = np.array([np.sum(items == label) for label in y]) - own
    kept = [average_precision_at_k(y, found, k, n_relevant=counts) for k in (1, 20)]
    ahp = np.full(len(y), np.nan)
    if data.taxonomy is not None:
        ahp = average_hierarchical_precision_at_k(
            y, found, data.taxonomy, 100, y_gallery=items, exclude_query=own
        )
    return np.stack([*kept, ahp], axis=1)


def neighbours(retriever: HierarchicalRetriever, Q: np.ndarray | None, **params: object) -> np.ndarray:
    retriever.set_params(**params)
    return retriever.kneighbors(Q, 101, return_distance=False)


def others(found: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """The first 100 that are not the query's own image."""
    if own is None:
        return found[:, :100]
    is_other = found != own[:, None]
    is_other[is_other.all(axis=1), -1] = False
    return found[is_other].reshape(len(found), 100)


def regime(
    data: Data,
    known: np.ndarray,
    test: np.ndarray,
    is_labelled: bool = False,
    corrupted: tuple[np.ndarray, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Gains over cosine of each method, a row a query.

    Parameters
    ----------
    known : classes that models are fitted to
    test : mask of the test samples that are searched, and search each other
    is_labelled : the training part is the gallery
    corrupted : features of corrupted images that search the test part, and whose images they are
    """
    mine = np.isin(data.y_train, known)
    X, y = data.X_train[mine], data.y_train[mine]
    G, t = (data.X_train, data.y_train) if is_labelled else (data.X_test[test], data.y_test[test])
    Q, wanted, own = None, data.y_test[test][:N_QUERIES], None
    if is_labelled:
        Q = data.X_test[test][:N_QUERIES]
    elif corrupted is not None:
        Q, own = corrupted
        wanted = data.y_test[own]
    ours = HierarchicalRetriever(new_classes="ignore").fit(X, y)
    space = DiscriminantClassifier().fit(X, y)
    plain = HierarchicalRetriever(alpha=0, metric="cosine").fit(space.transform(X), y)
    plain.set_gallery(space.transform(G))
    cosine = HierarchicalRetriever(alpha=0, metric="cosine").fit(X, y).set_gallery(G)
    whitened = HierarchicalRetriever(alpha=0, metric="whitened").fit(X, y).set_gallery(G)
    paper = HierarchicalRetriever(**PAPER).fit(X, y)
    for retriever in (ours, paper):
        retriever.set_gallery(G, t if is_labelled else None)
    by_method = {
        "cosine": neighbours(cosine, Q),
        NAMES[0]: neighbours(plain, None if Q is None else space.transform(Q)),
        NAMES[1]: neighbours(paper, Q),
        NAMES[2]: neighbours(whitened, Q),
        NAMES[3]: neighbours(ours, Q, alpha="auto", novelty=False),
        NAMES[4]: neighbours(ours, Q, alpha="auto", novelty=True),
    }
    found = {
        name: scores(data, others(ranked[:N_QUERIES], own), wanted, t, not is_labelled)
        for name, ranked in by_method.items()
    }
    base = found.pop("cosine")
    # Means of these over queries are means over classes.
    is_there = np.isfinite(base[:, 1])
    weights = np.full(len(wanted), np.nan)
    weights[is_there] = class_weights(wanted[is_there])
    parts = []
    for name, of_method in found.items():
        gains = pd.DataFrame(of_method - base, columns=MEASURES).assign(method=name)
        parts.append(gains.assign(**{MACRO: gains["mAP@20"] * weights}))
    return pd.concat(parts, ignore_index=True)


def corrupted_queries(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Features of corrupted images, and the positions of these in the test part."""
    images = data.images[:N_CORRUPTED]
    blur = ImageCorruption("blur", kernel_size=3 if images.shape[1] < 32 else 5)
    kinds = [blur, ImageCorruption("occlusion", random_state=0)]
    if images.shape[3] == 3:
        kinds.append(ImageCorruption("saturation", random_state=0))
    features = [data.features_of(kind.fit_transform(images)) for kind in kinds]
    return np.concatenate(features).astype(data.X_test.dtype), np.tile(np.arange(len(images)), len(kinds))


def regimes(data: Data) -> Iterator[tuple[str, pd.DataFrame]]:
    everything = np.ones(len(data.y_test), dtype=bool)
    classes = np.unique(data.y_train)
    yield "closed", regime(data, classes, everything)
    yield "closed, labelled gallery", regime(data, classes, everything, True)
    if data.features_of is not None:
        yield "closed, corrupted queries", regime(data, classes, everything, False, corrupted_queries(data))
    halves = [
        np.random.RandomState(seed).permutation(classes)[: len(classes) // 2] for seed in range(N_HALVES)
    ]
    yield "half unseen", pd.concat([regime(data, known, everything) for known in halves])
    unseen = [regime(data, known, ~np.isin(data.y_test, known)) for known in halves]
    yield "only unseen", pd.concat(unseen)
    labelled = [regime(data, known, everything, True) for known in halves]
    yield "half unseen, labelled gallery", pd.concat(labelled)


def told(data: Data) -> list[list[str]]:
    """AUROC of what could tell known test samples from others, in the mean over halves."""
    found = []
    classes = np.unique(data.y_train)
    for seed in range(N_HALVES):
        known = np.random.RandomState(seed).permutation(classes)[: len(classes) // 2]
        mine = np.isin(data.y_train, known)
        model = DiscriminantClassifier().fit(data.X_train[mine], data.y_train[mine])
        proba = model.predict_proba(data.X_test)
        entropy = -(proba * np.log(np.maximum(proba, 1e-12))).sum(axis=1)
        sphere = model.transform(data.X_test) @ model.transform(data.X_train[mine]).T
        unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (data.X_test, data.X_train[mine])]
        measures = [
            model.known_proba(data.X_test),
            proba.max(axis=1),
            -entropy,
            (model.transform(data.X_test) @ model.means_.T).max(axis=1),
            sphere.max(axis=1),
            (unit[0] @ unit[1].T).max(axis=1),
        ]
        truth = np.isin(data.y_test, known)
        found.append([roc_auc_score(truth, measure) for measure in measures])
    return [[data.name, *(f"{value:.3f}" for value in np.mean(found, axis=0))]]


def draw(points: pd.DataFrame, path: Path) -> None:
    """Gain where classes are known against that where none is."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axis, measure in zip(axes, MEASURES[:2], strict=True):
        for marker, (name, some) in zip("osv^D", points.groupby("method", sort=False), strict=False):
            table = some.pivot_table(index="data", columns="regime", values=measure)
            axis.scatter(table["only unseen"], table["closed"], marker=marker, label=name, s=45)
        axis.axvline(0, color="0.7", linewidth=0.8)
        axis.axhline(0, color="0.7", linewidth=0.8)
        axis.set(
            title=measure, xlabel="gain over cosine, only unseen classes", ylabel="gain, all classes known"
        )
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--write", type=Path, help="folder of the docs to write regimes.md and a picture into"
    )
    args = parser.parse_args()
    rows, points, aurocs = [], [], []
    for data in data_sets(args):
        aurocs += told(data)
        for name, gains in regimes(data):
            columns = [*MEASURES, MACRO]
            means = gains.groupby("method", sort=False)[columns].mean()
            errors = gains.groupby("method", sort=False)[columns].sem()
            for method in means.index:
                cells = [
                    "" if np.isnan(m) else f"{m:+.3f} ± {2 * e:.3f}"
                    for m, e in zip(means.loc[method], errors.loc[method], strict=True)
                ]
                rows.append([data.name, name, method, *cells])
                print(*rows[-1], sep=" | ", flush=True)
            points.append(means.reset_index().assign(data=data.name, regime=name))
    header = [
        *("data", "log-density", "largest probability", "entropy", "nearest class direction"),
        *("nearest training sample", "the same, own cosine"),
    ]
    tables = {
        "regimes": markdown_table(["data", "regime", "method", *MEASURES, MACRO], rows),
        "told": markdown_table(header, aurocs),
    }
    print(*tables.values(), sep="\n\n")
    if args.write:
        for name, text in tables.items():
            write_between(args.write / "regimes.md", name, text)
        draw(pd.concat(points), args.write / "images" / "regimes.png")


if __name__ == "__main__":
    main()
