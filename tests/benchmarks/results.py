"""The tables of docs/results.md: every method, tuned on training data, tested once.

    python -m tests.benchmarks.results --plankton PATH/plankton --out docs/results.md

Without --plankton only the digits are run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from tests.benchmarks._data import Data, digits, markdown_table, plankton

N_QUERIES = 3000
N_PERMUTATIONS = 10
KS = (1, 20, 100)
PAPER = {
    "model": HierarchicalRetriever(
        HierarchyBuilder(
            class_model=MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")
        ),
        assignment="hard",
    ),
    "grid": {
        "hierarchy__threshold": [0.05, 0.1, 0.2, 0.3, 0.4],
        "hierarchy__class_model__covariance_type": ["tied", "full"],
        "alpha": [0.2, 1.0, 5.0],
    },
}
OURS = {
    "model": HierarchicalRetriever(HierarchyBuilder(class_model=MahalanobisClassifier())),
    "grid": {
        "hierarchy__threshold": [0.001, 0.01, 0.05],
        "hierarchy__class_model__temperature": [2.0, 4.0, 8.0],
        "hierarchy__class_model__n_components": [0.99, 0.999],
        "alpha": [4.0, 16.0],
    },
}


def tune(method: dict, data: Data) -> HierarchicalRetriever:
    """Best parameters by mAP@20 within held-out folds of the training part."""
    search = GridSearchCV(
        method["model"],
        method["grid"],
        scoring=make_retrieval_scorer("map", k=20, gallery="query"),
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        refit=False,
        error_score="raise",
    ).fit(data.X_train, data.y_train)
    print(data.name, "tuned:", search.best_params_, round(search.best_score_, 4), flush=True)
    return clone(method["model"]).set_params(**search.best_params_)


def all_methods(data: Data) -> dict[str, object]:
    """Name -> unfitted estimator, or several to average; everything tuned is tuned here."""
    classes = np.unique(data.y_train)
    paper, ours = tune(PAPER, data), tune(OURS, data)
    visual = clone(ours).fit(data.X_train, data.y_train).hierarchy_
    leaf_model = ours.hierarchy.class_model

    def with_hierarchy(hierarchy: object) -> HierarchicalRetriever:
        """Our leaves and alpha on another hierarchy."""
        return clone(ours).set_params(hierarchy=hierarchy, class_model=leaf_model)

    methods = {
        "Euclidean": NearestNeighbors(algorithm="brute"),
        "cosine": HierarchicalRetriever(alpha=0),
        "paper: hard leaves, t and alpha tuned": paper,
        "paper: hierarchical distance only": clone(paper).set_params(alpha=np.inf),
        "defaults, nothing tuned": HierarchicalRetriever(),
        "ours: soft leaves, visual hierarchy, tuned": ours,
        # Not tuned: nearly the whole dendrogram, in the paper's 95 % of the variance.
        "the same, average linkage": with_hierarchy(
            HierarchyBuilder(0.001, linkage="average", class_model=MahalanobisClassifier(n_components=0.95))
        ),
        "the same, Ward hierarchy": with_hierarchy(LinkageHierarchyBuilder("ward")),
        "control: flat hierarchy": with_hierarchy(ClassHierarchy.flat(classes)),
        "control: visual hierarchy, classes permuted": [
            with_hierarchy(visual.permute(seed)) for seed in range(N_PERMUTATIONS)
        ],
    }
    if data.taxonomy is not None:
        methods["the same, given taxonomy"] = with_hierarchy(data.taxonomy)
        methods["control: taxonomy, classes permuted"] = [
            with_hierarchy(data.taxonomy.permute(seed)) for seed in range(N_PERMUTATIONS)
        ]
    return methods


def per_query(model: object, data: Data) -> pd.DataFrame:
    """One row a query, one column a metric."""
    params = {"metrics": ["map"]}
    if data.taxonomy is not None:
        params = {"metrics": ["map", "ahp"], "hierarchy": data.taxonomy}
    table = evaluate_retrieval(model, data.X_test, data.y_test, KS, per_query=True, **params)
    table = table[table["query"] < N_QUERIES]
    name = {"map": "mAP", "ahp": "AHP"}
    table["column"] = [f"{name[m]}@{k}" for m, k in zip(table["metric"], table["k"], strict=True)]
    wide = table.pivot_table(index="query", columns="column", values="score", dropna=False)
    return wide[["mAP@1", "mAP@20", "mAP@100", *(["AHP@100"] if data.taxonomy is not None else [])]]


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
    ours, flat = "ours: soft leaves, visual hierarchy, tuned", "control: flat hierarchy"
    pairs = [
        ("leaves: flat control over cosine", flat, "cosine"),
        ("visual hierarchy over flat", ours, flat),
        ("visual hierarchy over permuted", ours, "control: visual hierarchy, classes permuted"),
        ("average linkage over flat", "the same, average linkage", flat),
    ]
    if data.taxonomy is not None:
        pairs += [
            ("taxonomy over flat", "the same, given taxonomy", flat),
            (
                "taxonomy over permuted",
                "the same, given taxonomy",
                "control: taxonomy, classes permuted",
            ),
        ]
    gained = [c for c in ("mAP@20", "AHP@100") if c in columns]
    gains = [[name, *(interval(scores[a][c] - scores[b][c]) for c in gained)] for name, a, b in pairs]
    return f"{text}\n\n{markdown_table(['gain of', *gained], gains)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plankton", type=Path, help="folder of the plankton data")
    parser.add_argument("--out", type=Path, help="markdown file to write into, between its markers")
    args = parser.parse_args()
    sets = [digits(), *([plankton(args.plankton)] if args.plankton else [])]
    for data in sets:
        text = report(data)
        print(text)
        if args.out:
            marker = f"<!-- {data.name} -->"
            head, _, rest = args.out.read_text().partition(marker)
            args.out.write_text(f"{head}{marker}\n{text}\n{marker}{rest.partition(marker)[2]}")


if __name__ == "__main__":
    main()
