"""Rankings of many settings, to be compared between two commits.

``python -m tests.benchmarks.rankings --out a.npz`` in each checkout (with ``--plankton``, ``--grocery`` for
more data), then ``--compare a.npz b.npz``. Only public names are used, so that old commits run it, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from sklearn_hierret import (
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    PCAHasher,
    WithinClassWhitening,
    evaluate_retrieval,
)
from sklearn_hierret.interaction import RetrievalSession, Rocchio, facets, kneighbors_of_set
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, KReciprocal, QueryExpansion
from tests.benchmarks._data import grocery_frozen, plankton, plankton_frozen

K = 30


def digits() -> tuple[np.ndarray, ...]:
    X, y = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    return X[:700], y[:700], X[700:1300], y[700:1300], X[1300:]


def of_data(data, n_train: int, n_gallery: int) -> tuple[np.ndarray, ...]:
    X, y = data.X_test, data.y_test
    return data.X_train[:n_train], data.y_train[:n_train], X[:n_gallery], y[:n_gallery], X[-200:]


def of_retriever(retriever, Q, **how) -> dict:
    distances, indices = retriever.kneighbors(Q, K, **how)
    return {"distances": distances, "indices": indices}


def settings(X, y, G, g, Q, small: bool) -> dict:
    """Name -> distances and indices."""
    found: dict[str, dict] = {}
    half = np.isin(y, np.unique(y)[::2])
    for name, params in {
        "defaults": {},
        "cosine": {"metric": "cosine"},
        "hard": {"assignment": "hard", "alpha": 3.0},
        "infinite": {"alpha": np.inf},
        "flat": {"alpha": 0.0},
        "no novelty": {"novelty": False, "stem": 0.3},
    }.items():
        retriever = HierarchicalRetriever(**params).fit(X, y)
        found[f"{name}: fit"] = of_retriever(retriever, Q)
        found[f"{name}: own"] = of_retriever(retriever, None)
        retriever.set_gallery(G)
        found[f"{name}: unlabelled"] = of_retriever(retriever, Q)
        retriever.set_gallery(G, g)
        found[f"{name}: labelled"] = of_retriever(retriever, Q)
        table = retriever.retrieve(Q[:20], 5)
        found[f"{name}: table"] = {
            "distances": table.select_dtypes("number").to_numpy(float),
            "indices": table["id"].to_numpy(),
        }
        found[f"{name}: alpha"] = {"distances": np.array([retriever.alpha_]), "indices": np.zeros(1)}
        retriever.remove_from_gallery(np.arange(40)).add_to_gallery(X[:60], y[:60])
        found[f"{name}: changed"] = of_retriever(retriever, Q)
        found[f"{name}: changed, own"] = of_retriever(retriever, None)
        found[f"{name}: leaves"] = {"distances": np.zeros(1), "indices": np.asarray(retriever.leaves(Q))}
    open_one = HierarchicalRetriever().fit(X[half], y[half]).set_gallery(G)
    found["half unseen"] = of_retriever(open_one, Q)
    found["half unseen, labelled"] = of_retriever(open_one.set_gallery(G, g), Q)
    retriever = HierarchicalRetriever().fit(X, y).set_gallery(G)
    found["within"] = of_retriever(retriever, Q, within=np.unique(y)[:3])
    session = RetrievalSession(retriever, Q[:1])
    shown = session.kneighbors(10)[1][0]
    session.mark(shown[:4], shown[4:7])
    for name, one in {"session": session}.items():
        distances, indices = one.kneighbors(K)
        found[name] = {"distances": distances, "indices": indices}
        found[f"{name}: proposed"] = {"distances": np.zeros(1), "indices": one.propose(5)}
    rocchio = RetrievalSession(retriever, Q[:2], method=Rocchio()).mark(shown[:4], shown[4:7])
    distances, indices = rocchio.kneighbors(K)
    found["Rocchio"] = {"distances": distances, "indices": indices}
    distances, indices = kneighbors_of_set(retriever, Q[:6], K, groups=[0, 0, 1, 1, 1, 2])
    found["sets"] = {"distances": distances, "indices": indices}
    table = facets(retriever, Q[:5], 50)
    found["facets"] = {
        "distances": table["query_probability"].to_numpy(),
        "indices": table["n_results"].to_numpy(),
    }
    embedding = HierarchicalEmbedding.from_retriever(retriever)
    found["vectors"] = {
        "distances": embedding.transform_query(Q) @ embedding.transform_gallery().T,
        "indices": np.zeros(1),
    }
    known = np.flatnonzero(np.isin(g, y))[:300]
    for metric in ("map", "ahp"):
        params = {} if metric == "map" else {"hierarchy": "fitted"}
        table = evaluate_retrieval(retriever, G[known], g[known], ks=[1, 20], metrics=metric, **params)
        found[f"scores: {metric}"] = {"distances": table["score"].to_numpy(float), "indices": np.zeros(1)}
    if small:
        paper = HierarchyBuilder(
            class_model=MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")
        )
        for name, params in {
            "paper": {"hierarchy": paper, "metric": "cosine", "assignment": "hard", "stem": 0},
            "Ward": {"hierarchy": LinkageHierarchyBuilder("ward")},
            "full Gaussians": {"hierarchy": HierarchyBuilder(class_model=MahalanobisClassifier())},
            "list": {"hierarchy": [LinkageHierarchyBuilder("ward"), LinkageHierarchyBuilder("average")]},
            "combined": {
                "hierarchy": CombinedHierarchyBuilder(
                    [("a", LinkageHierarchyBuilder("ward")), ("b", LinkageHierarchyBuilder("average"))],
                    linkage="average",
                )
            },
            "neighbours": {"class_model": KNeighborsClassifier(15)},
            "transformer": {"metric": WithinClassWhitening(n_components=8)},
            "components": {"class_model": DiscriminantClassifier(n_components=4, linear="closed_form")},
        }.items():
            retriever = HierarchicalRetriever(**params).fit(X, y)
            found[f"{name}: own"] = of_retriever(retriever, None)
            found[f"{name}: fit"] = of_retriever(retriever, Q)
            found[f"{name}: unlabelled"] = of_retriever(retriever.set_gallery(G), Q)
        for step in (QueryExpansion(), DatabaseAugmentation(), Diffusion(), KReciprocal()):
            step.fit(X, y)
            name = type(step).__name__
            found[f"{name}: fit"] = of_retriever(step, Q)
            found[f"{name}: own"] = of_retriever(step, None)
        chosen = HierarchicalRetrieverCV(alphas=[0, 0.5, 2], stems=[0, 0.7]).fit(X, y)
        found["chosen"] = of_retriever(chosen, Q)
        hasher = PCAHasher(32).fit(X)
        codes, queries = hasher.transform(X), hasher.transform(Q)
        for name, params in {
            "codes": {},
            "codes, soft": {"assignment": "soft"},
            "codes, flat": {"alpha": 0},
        }.items():
            retriever = HammingRetriever(**params).fit(codes, y)
            found[f"{name}: fit"] = of_retriever(retriever, queries)
            found[f"{name}: own"] = of_retriever(retriever, None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plankton", type=Path)
    parser.add_argument("--grocery", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2)
    args = parser.parse_args()
    if args.compare:
        compare(*args.compare)
        return
    parts = {"digits": (digits(), True)}
    if args.plankton:
        parts["plankton, CNN"] = of_data(plankton(args.plankton), 3000, 3000), False
        parts["plankton, frozen"] = of_data(plankton_frozen(args.plankton), 2500, 2000), False
    if args.grocery:
        parts["grocery"] = of_data(grocery_frozen(args.grocery), 1500, 1500), False
    arrays = {}
    for data, (part, small) in parts.items():
        for setting, of_setting in settings(*part, small).items():
            for name, array in of_setting.items():
                arrays[f"{data}; {setting}; {name}"] = array
    np.savez(args.out, **{name: np.asarray(array) for name, array in arrays.items()})


def compare(old: Path, new: Path) -> None:
    """Print what differs."""
    n_same = n_order = 0
    with np.load(old, allow_pickle=False) as before, np.load(new, allow_pickle=False) as after:
        for name in before.files:
            if not name.endswith("indices"):
                continue
            of_distances = name.removesuffix("indices") + "distances"
            a, b = before[name], after[name]
            d, e = before[of_distances], after[of_distances]
            if a.shape == b.shape and np.array_equal(a, b) and np.array_equal(d, e, equal_nan=True):
                n_same += 1
                continue
            if a.shape == b.shape and d.shape == e.shape:
                share = float(np.mean(a == b))
                with np.errstate(invalid="ignore"):
                    most = float(np.nanmax(np.abs(d - e), initial=0, where=np.isfinite(d - e)))
                n_order += share == 1
                print(f"{name}: {share:.2%} of the positions alike, distances within {most:.1e}")
            else:
                print(f"{name}: shapes {a.shape} and {b.shape}")
    print(f"{n_same} settings bit for bit alike, {n_order} more in the same order")


if __name__ == "__main__":
    main()
