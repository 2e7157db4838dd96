r"""The tables of docs/results.md: every method, chosen on training data, scored once on the test part.

    python -m tests.benchmarks.results --plankton PATH/plankton --grocery PATH/grocery_store \
        --out docs/results.md

Without the folders only the digits are run. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchyBuilder,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    TextHierarchyBuilder,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between
from tests.benchmarks._pretrained import sentence_vectors

N_QUERIES = 3000
N_PERMUTATIONS = 5
KS = (1, 20, 100)
#: The weight at which trees are compared, since the use of a tree falls with it.
ALPHA_OF_TREES = 16.0
#: Full Gaussians of more features take minutes a fit.
MOST_FEATURES = 200
PAPER = HierarchicalRetriever(
    HierarchyBuilder(class_model=MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")),
    metric="cosine",
    assignment="hard",
    alpha=1.0,
    stem=0.0,
    gallery_leaves="predicted",
)
FIRST_ROUND = HierarchicalRetriever(
    HierarchyBuilder(), alpha=16.0, metric="cosine", stem=0.0, gallery_leaves="predicted"
)


def tuned_paper(data: Data) -> HierarchicalRetriever:
    """The paper's rule; t, alpha and covariance by mAP@20 in held-out folds of the training part."""
    grid = {
        "hierarchy__threshold": [0.05, 0.1, 0.2, 0.3, 0.4],
        "hierarchy__class_model__covariance_type": ["tied", "full"],
        "alpha": [0.2, 1.0, 5.0],
    }
    if data.X_train.shape[1] > MOST_FEATURES:
        grid["hierarchy__class_model__covariance_type"] = ["tied"]
    search = GridSearchCV(
        PAPER,
        grid,
        scoring=make_retrieval_scorer("map", k=20, gallery="query"),
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        refit=False,
        error_score="raise",
    ).fit(data.X_train, data.y_train)
    print(data.name, "paper:", search.best_params_, round(search.best_score_, 4), flush=True)
    return clone(PAPER).set_params(**search.best_params_)


def all_methods(data: Data) -> dict[str, object]:
    """Name -> unfitted estimator, or several to average."""
    classes = np.unique(data.y_train)
    paper = tuned_paper(data)
    default = HierarchicalRetriever().fit(data.X_train, data.y_train)
    print(data.name, "alpha", default.alpha_, default.class_model_.choices_, flush=True)
    leaves = FrozenEstimator(default.class_model_)

    def on(hierarchy: object) -> HierarchicalRetriever:
        """The default leaves on some hierarchy, at one alpha, all classes known."""
        return HierarchicalRetriever(hierarchy, alpha=ALPHA_OF_TREES, class_model=leaves, novelty=False)

    def learned(hierarchy: ClassHierarchy) -> HierarchicalRetriever:
        return on(hierarchy).set_params(stem=0.7)

    visual, visual_builder = default.hierarchy_, FrozenEstimator(default.hierarchy_builder_)
    ward = LinkageHierarchyBuilder("ward").fit(data.X_train, data.y_train).hierarchy_
    logistic = make_pipeline(Normalizer(), LogisticRegression(C=10, max_iter=100))
    neighbours = make_pipeline(Normalizer(), KNeighborsClassifier(20, weights="distance"))
    methods = {
        "Euclidean": NearestNeighbors(algorithm="brute"),
        "cosine": HierarchicalRetriever(visual, alpha=0, metric="cosine", class_model=leaves),
        "whitened cosine": HierarchicalRetriever(visual, alpha=0, metric="whitened", class_model=leaves),
        "LDA, then cosine": make_pipeline(
            LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
            HierarchicalRetriever(metric="cosine", alpha=0),
        ),
        "paper: hard leaves, t and alpha tuned": paper,
        "paper: hierarchical distance only": clone(paper).set_params(alpha=np.inf),
        "Gaussian leaves (the defaults of 0.1)": FIRST_ROUND,
        "logistic regression leaves": HierarchicalRetriever(class_model=logistic),
        "k-neighbours leaves": HierarchicalRetriever(class_model=neighbours),
        "**defaults**": HierarchicalRetriever(),
        "**all classes known**": HierarchicalRetriever(novelty=False),
        "alpha 16, flat": on(ClassHierarchy.flat(classes)),
        "alpha 16, visual hierarchy": learned(visual),
        "alpha 16, visual hierarchy permuted": [
            learned(visual.permute(seed)) for seed in range(N_PERMUTATIONS)
        ],
        "alpha 16, Ward hierarchy": learned(ward),
    }
    if data.X_train.shape[1] > MOST_FEATURES and len(data.X_train) > 5000:
        del methods["Gaussian leaves (the defaults of 0.1)"]
    if data.names is not None:
        text = TextHierarchyBuilder(sentence_vectors, data.names)
        both = CombinedHierarchyBuilder([("visual", visual_builder), ("text", text)], linkage="average")
        methods["alpha 16, names of classes"] = on(text)
        methods["alpha 16, visual + names"] = on(both)
    if data.taxonomy is not None:
        methods["alpha 16, given taxonomy"] = on(data.taxonomy)
        methods["alpha 16, given taxonomy permuted"] = [
            on(data.taxonomy.permute(seed)) for seed in range(N_PERMUTATIONS)
        ]
        methods["alpha 16, given taxonomy, no stem"] = on(data.taxonomy).set_params(stem=0.0)
    return methods


def per_query(model: object, data: Data, gallery: str = "query") -> pd.DataFrame:
    """One row a query, one column a metric."""
    params = {"metrics": ["map"]}
    if data.taxonomy is not None:
        params = {"metrics": ["map", "ahp"], "hierarchy": data.taxonomy}
    table = evaluate_retrieval(model, data.X_test, data.y_test, KS, per_query=True, gallery=gallery, **params)
    table = table[table["query"] < N_QUERIES]
    name = {"map": "mAP", "ahp": "AHP"}
    table["column"] = [f"{name[m]}@{k}" for m, k in zip(table["metric"], table["k"], strict=True)]
    wide = table.pivot_table(index="query", columns="column", values="score", dropna=False)
    return wide[["mAP@1", "mAP@20", *(["AHP@100"] if data.taxonomy is not None else [])]]


def interval(difference: pd.Series, n_resamples: int = 2000) -> str:
    """Mean difference of paired queries with its 95 % bootstrap interval."""
    values = difference.dropna().to_numpy()
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n_resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def report(data: Data) -> str:
    scores = {}
    for name, models in all_methods(data).items():
        start = time.perf_counter()
        several = models if isinstance(models, list) else [models]
        tables = [per_query(model.fit(data.X_train, data.y_train), data) for model in several]
        scores[name] = sum(tables[1:], tables[0]) / len(tables)
        print(f"{data.name}: {name}", scores[name].mean().round(4).to_dict(), end=" ")
        print(f"({time.perf_counter() - start:.1f} s)", flush=True)
    columns = list(scores["cosine"].columns)
    rows = [
        [name, *(f"{s[c].mean():.3f}" for c in columns), interval(s["mAP@20"] - scores["cosine"]["mAP@20"])]
        for name, s in scores.items()
    ]
    text = markdown_table(["method", *columns, "mAP@20 over cosine (95 %)"], rows)
    flat = "alpha 16, flat"
    pairs = [
        ("defaults over cosine", "**defaults**", "cosine"),
        ("the same, all classes known", "**all classes known**", "cosine"),
        ("visual hierarchy over flat", "alpha 16, visual hierarchy", flat),
        (
            "visual hierarchy over permuted",
            "alpha 16, visual hierarchy",
            "alpha 16, visual hierarchy permuted",
        ),
    ]
    if data.names is not None:
        pairs.append(("visual + names over flat", "alpha 16, visual + names", flat))
    if data.taxonomy is not None:
        taxonomy = "alpha 16, given taxonomy"
        pairs += [
            ("taxonomy over flat", taxonomy, flat),
            ("taxonomy over permuted", taxonomy, f"{taxonomy} permuted"),
        ]
    gains = [[name, *(interval(scores[a][c] - scores[b][c]) for c in columns)] for name, a, b in pairs]
    labelled = []
    for name, params in {
        "cosine": {"metric": "cosine", "alpha": 0.0},
        "whitened cosine": {"metric": "whitened", "alpha": 0.0},
        "defaults": {},
        "alpha 16": {"alpha": 16.0},
    }.items():
        retriever = HierarchicalRetriever(**params).fit(data.X_train, data.y_train)
        table = per_query(retriever, data, gallery="fit")
        labelled.append([name, *(f"{table[c].mean():.3f}" for c in columns)])
    return "\n\n".join(
        [
            text,
            markdown_table(["gain of", *columns], gains),
            "The training part as a labelled gallery, test images as queries:",
            markdown_table(["labelled gallery", *columns], labelled),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for data in data_sets(args):
        text = report(data)
        print(text)
        if args.out:
            write_between(args.out, data.name, text)


if __name__ == "__main__":
    main()
