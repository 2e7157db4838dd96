"""Similarities that are learned, then ranked by cosine, beside the retriever's defaults.

    python -m tests.benchmarks.similarities --plankton PATH/plankton --grocery PATH/grocery_store

Scores are those of test samples that search each other. NCA, whose time grows with the square of the
samples, learns from 3,000 of them, in 64 principal components; OASIS in 128.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from sklearn_hierret import OASIS, DiscriminantClassifier, HierarchicalRetriever, evaluate_retrieval
from tests.benchmarks._data import add_data_arguments, data_sets, markdown_table, write_between

N_SAMPLES, N_QUERIES = 3000, 2500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    options = parser.parse_args()
    sets = data_sets(options)
    plain = HierarchicalRetriever(metric="cosine", alpha=0)
    methods: dict[str, Any] = {
        "cosine": plain,
        "NCA, then cosine": make_pipeline(
            PCA(64, random_state=0), NeighborhoodComponentsAnalysis(32, init="pca", random_state=0), plain
        ),
        "OASIS, then cosine": make_pipeline(PCA(128, random_state=0), OASIS(random_state=0), plain),
        "OASIS, C = 1, 200,000 triplets": make_pipeline(
            PCA(128, random_state=0), OASIS(1.0, n_triplets=200_000, random_state=0), plain
        ),
        "discriminant space, then cosine": make_pipeline(DiscriminantClassifier(), plain),
        "defaults": HierarchicalRetriever(),
    }
    rows = []
    for name, model in methods.items():
        cells = [name]
        for data in sets:
            X, y = normalize(data.X_train), data.y_train
            n_most = min(64, X.shape[1] - 1)
            if "NCA" in name:
                X, y = X[:N_SAMPLES], y[:N_SAMPLES]
                model[0].set_params(n_components=n_most)
            elif "OASIS" in name:
                model[0].set_params(n_components=min(128, X.shape[1] - 1))
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
            queries, labels = normalize(data.X_test[:N_QUERIES]), data.y_test[:N_QUERIES]
            known = np.isin(labels, y)
            table = evaluate_retrieval(model, queries[known], labels[known], ks=[1, 20])
            cells.append(f"{' / '.join(f'{score:.3f}' for score in table['score'])} ({seconds:.0f} s)")
        rows.append(cells)
        print(cells, flush=True)
    text = markdown_table(["method", *(data.name for data in sets)], rows)
    print(text)
    if options.out:
        write_between(options.out, "similarities", text)


if __name__ == "__main__":
    main()
