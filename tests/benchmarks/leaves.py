r"""Where the defaults of leaves, stem and alpha come from: cross-fitted on training parts alone.

    python -m tests.benchmarks.leaves --plankton PATH/plankton --grocery PATH/grocery_store \
        --out docs/defaults.md

Every leaf is by a model that did not see the sample's fold, and samples retrieve within their fold,
leave-one-out. No test part is read. About five minutes on two cores.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_hierret import ClassHierarchy, DiscriminantClassifier, MahalanobisClassifier
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.leaves import expected_distances, leaf_matrix
from sklearn_hierret.retrieval import ALPHAS, LeafModel, fit_metric
from sklearn_hierret.retrieval._alpha import choose_alpha
from sklearn_hierret.retrieval._fitting import fit_leaf_model
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

N_QUERIES = 1200
#: Gaussians of more features take minutes a fit.
MOST_FEATURES = 200


class Fold:
    """Queries of a fold and the others, with the visual distances of all pairs."""

    def __init__(
        self, data: Data, leaves: np.ndarray, rows: np.ndarray, unit: np.ndarray, truth: ClassHierarchy
    ) -> None:
        self.leaves, self.y = leaves[rows], np.searchsorted(truth.classes, data.y_train[rows])
        self.n = min(N_QUERIES, len(rows))
        self.visual = 1 - unit[: self.n] @ unit.T
        np.fill_diagonal(self.visual, np.inf)
        self.similarity = 1 - truth.distance_matrix()

    def scores(self, tree: ClassHierarchy, alpha: float, n_kept: int | None = None) -> np.ndarray:
        """mAP@1, mAP@20 and AHP@100 of leaves on some tree."""
        leaves = self.leaves if n_kept is None else self.leaves[:, :n_kept]
        theirs = leaf_matrix(leaves, tree.n_classes)
        affinity = 1 - expected_distances(leaves[: self.n], tree)
        distances = self.visual + alpha * (1 - (theirs @ affinity.T).T)
        order = np.argsort(distances, axis=1, kind="stable")[:, :100]
        right = self.y[order] == self.y[: self.n, None]
        relevant = np.bincount(self.y)[self.y[: self.n]] - 1
        precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
        deep = (precision * right)[:, :20].sum(axis=1) / np.clip(relevant, 1, 20)
        some = relevant > 0
        rows = self.similarity[self.y[: self.n]]
        best = -np.sort(-rows[:, self.y], axis=1)[:, 1 : order.shape[1] + 1]
        graded = np.cumsum(np.take_along_axis(rows, self.y[order], axis=1), axis=1) / np.cumsum(best, axis=1)
        ahp = np.trapezoid(graded, axis=1) / (order.shape[1] - 1)
        return np.array([right[some, 0].mean(), deep[some].mean(), ahp.mean()])


def leaves_of(data: Data) -> tuple[LeafModel, HeldOutLeaves]:
    training = training_of(data)
    leaf_model = fit_leaf_model(None, None, training)
    return leaf_model, leaf_model.model.held_out(training, "soft")


def training_of(data: Data) -> TrainingSet:
    return TrainingSet(data.X_train, *np.unique(data.y_train, return_inverse=True))


def parts(data: Data) -> list[list[str]]:
    """Cross-fitted loss of the parts, and accuracy beside class models that a user would try."""
    model = DiscriminantClassifier().fit(data.X_train, data.y_train)
    losses, chosen = model.cross_fitted_loss_, model.choices_
    right = model.classes_[model.held_out_leaves(data.X_train)[0][:, 0]] == data.y_train
    accuracies = [f"{right.mean():.3f}"]
    others = [
        make_pipeline(Normalizer(), LogisticRegression(C=10, max_iter=100)),
        make_pipeline(Normalizer(), KNeighborsClassifier(20, weights="distance")),
    ]
    if data.X_train.shape[1] <= MOST_FEATURES:
        others.append(MahalanobisClassifier())
    for other in others:
        found = cross_val_predict(other, data.X_train, data.y_train, cv=3)
        accuracies.append(f"{np.mean(found == data.y_train):.3f}")
    accuracies += ["not run"] * (4 - len(accuracies))
    names = ("closed_form", "linear", "votes", "blend")
    share = " / ".join(f"{value:.2f}" for value in chosen.shares)
    return [
        [data.name, *(f"{losses[name]:.3f}" for name in names), f"{model.shrinkage_:.3f}", share, *accuracies]
    ]


def retrieved(data: Data) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """Rows of the tables of trees, of kept classes, of alpha."""
    leaf_model, held_out = leaves_of(data)
    classes = leaf_model.model.classes
    flat = ClassHierarchy.flat(classes)
    truth = flat if data.taxonomy is None else data.taxonomy.restrict(classes)
    rng = np.random.RandomState(0)
    metric = fit_metric("auto", leaf_model.model, training_of(data))
    folds, plain = [], []
    for fold in range(3):
        rows = rng.permutation(np.flatnonzero(held_out.folds == fold))
        visual = metric.held_out(fold, np.flatnonzero(held_out.folds != fold), data.X_train[rows])
        folds.append(Fold(data, held_out.leaves, rows, visual, truth))
        plain.append(Fold(data, held_out.leaves, rows, unit_rows(data.X_train[rows])[0], truth))

    def mean(tree: ClassHierarchy, alpha: float, n_kept: int | None = None) -> np.ndarray:
        return np.mean([fold.scores(tree, alpha, n_kept) for fold in folds], axis=0)

    given = {"visual": leaf_model.tree} | ({} if data.taxonomy is None else {"taxonomy": truth})
    of_flat = mean(flat, 16.0)
    trees = [[data.name, "flat", "", *(f"{value:.3f}" for value in of_flat)]]
    for name, tree in given.items():
        for stem in (0.0, 0.3, 0.5, 0.7):
            gains = mean(tree.with_stem(stem), 16.0) - of_flat
            trees.append([data.name, name, str(stem), *(f"{value:+.3f}" for value in gains)])
    kept = []
    for name, tree in {"flat": flat, **{n: t.with_stem(0.5) for n, t in given.items()}}.items():
        whole = mean(tree, 16.0)
        row = [data.name, name]
        for n_kept in (4, 8):
            change = mean(tree, 16.0, n_kept) - whole
            row.append(f"{change[1]:+.4f} / {change[2]:+.4f}")
        kept.append(row)
    codes = np.searchsorted(classes, data.y_train)
    default = leaf_model.ranking_tree("auto")
    path = np.array([mean(default, alpha) for alpha in ALPHAS])
    chosen = choose_alpha(data.X_train, codes, held_out, default, metric=metric)
    cosine = np.mean([fold.scores(default, 0.0) for fold in plain], axis=0)

    def shown(i: int) -> str:
        return f"{ALPHAS[i]:g}: {path[i, 0]:.3f} / {path[i, 1]:.3f}"

    places = (0, int(path[:, 0].argmax()), int(path[:, 1].argmax()), ALPHAS.index(chosen))
    name = "cosine" if metric.shrinkage is None else f"whitened, {metric.shrinkage:g}"
    alphas = [[data.name, f"{cosine[0]:.3f} / {cosine[1]:.3f}", name, *(shown(i) for i in places)]]
    return trees, kept, alphas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    args = parser.parse_args()
    tables: dict[str, tuple[list[str], list[list[str]]]] = {
        "parts": (
            [
                *("data", "closed form", "linear", "votes", "blend", "shrinkage", "shares of votes"),
                *("accuracy: ours", "logistic regression", "k neighbours", "Gaussians"),
            ],
            [],
        ),
        "trees": (["data", "tree", "stem", "mAP@1", "mAP@20", "AHP@100"], []),
        "kept": (["data", "tree", "4 instead of 16", "8 instead of 16"], []),
        "alpha": (["data", "cosine", "metric", "alpha 0", "best mAP@1", "best mAP@20", "chosen"], []),
    }
    for data in data_sets(args):
        tables["parts"][1].extend(parts(data))
        for name, rows in zip(("trees", "kept", "alpha"), retrieved(data), strict=True):
            tables[name][1].extend(rows)
        print(*(rows[-1] for _, rows in tables.values()), sep="\n", flush=True)
    for name, (header, rows) in tables.items():
        text = markdown_table(header, rows)
        print(text)
        if args.out:
            write_between(args.out, name, text)


if __name__ == "__main__":
    main()
