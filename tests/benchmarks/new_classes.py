"""Queries of new and of known classes apart, in galleries with a few new classes.

    python -m tests.benchmarks.new_classes --plankton PATH/plankton --grocery PATH/grocery_store --write docs

A tenth, 30 % and half of the classes are missing in the training part, three draws each. Labelled galleries
are the training part, all of it; unlabelled ones are the test part, leave-one-out, and one half of the test
part that the other half searches. "Closed" galleries have no new classes. Then: how many labelled rows a new
class needs, beside a new fit; how well signs tell known classes from new ones, by the number of reference
rows; times. An hour on two cores.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import HierarchicalRetriever, WithinClassWhitening
from sklearn_hierret.metrics import average_precision_at_k, class_weights
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

SHARES, N_DRAWS, N_QUERIES = (0.1, 0.3, 0.5), 3, 1500
#: Labelled rows of a new class, and reference rows.
ALL = 10**6
#: Largest shares of known classes that are believed.
CAPS = (0.5, 0.65, 0.8, 0.9, 1.0)
SHOTS, N_REFERENCE = (1, 2, 5, 10, 25, ALL), (64, 256, 512, 1024)
MEASURES = ["mAP@1", "mAP@20", "mAP@20, macro"]


def precisions(neighbours: np.ndarray, wanted: np.ndarray, items: np.ndarray, own: bool) -> np.ndarray:
    """AP@1 and AP@20 of each query."""
    counts = np.array([np.sum(items == label) for label in wanted]) - own
    ranked = items[neighbours]
    return np.stack([average_precision_at_k(wanted, ranked, k, n_relevant=counts) for k in (1, 20)], axis=1)


def galleries(data: Data) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]]:
    """Name, gallery, its labels, queries (None for the gallery itself) and what they want."""
    X, y = data.X_test, data.y_test
    yield "labelled", data.X_train, data.y_train, X[:N_QUERIES], y[:N_QUERIES]
    yield "unlabelled", X, y, None, y
    half = len(X) // 2
    yield "unlabelled, halves", X[half:], y[half:], X[:half][:N_QUERIES], y[:half][:N_QUERIES]


def visual_searches(X: np.ndarray, y: np.ndarray) -> dict[str, Callable[..., NearestNeighbors]]:
    """What makes a search by cosine of a gallery, of features as they are and of whitened ones."""
    whitening = WithinClassWhitening().fit(X, y)

    def search(
        transform: Callable[[np.ndarray], np.ndarray], G: np.ndarray, Q: np.ndarray | None
    ) -> np.ndarray:
        nearest = NearestNeighbors(metric="cosine", algorithm="brute").fit(transform(G))
        return nearest.kneighbors(None if Q is None else transform(Q), 20, return_distance=False)

    return {"cosine": partial(search, np.asarray), "whitened cosine": partial(search, whitening.transform)}


def gains(
    data: Data, new: np.ndarray, ours: HierarchicalRetriever, visual: dict, only_new: bool = False
) -> pd.DataFrame:
    """Gains over cosine, a row for each query and system."""
    tables = []
    part = data
    if only_new:
        keep = np.isin(data.y_test, new)
        part = replace(data, X_test=data.X_test[keep], y_test=data.y_test[keep])
    for name, G, labels, Q, wanted in galleries(part):
        if only_new and Q is not None:
            continue
        y = labels if name == "labelled" else None
        ranked = {system: search(G, Q) for system, search in visual.items()}
        systems = {
            "all classes known": ours.with_gallery(G, y, new_classes="ignore").set_params(novelty=False),
            "new classes ignored": ours.with_gallery(G, y, new_classes="ignore"),
            "defaults": ours.with_gallery(G, y),
        }
        for system, retriever in systems.items():
            ranked[system] = retriever.kneighbors(Q, 20, return_distance=False)
        some = slice(None if Q is not None else N_QUERIES)
        scores = {
            system: precisions(neighbours[some], wanted[some], labels, Q is None)
            for system, neighbours in ranked.items()
        }
        base = scores.pop("cosine")
        is_there = np.isfinite(base[:, 1])
        of_new = np.isin(wanted[some], new)
        for system, values in scores.items():
            for group, chosen in (("new", of_new & is_there), ("known", ~of_new & is_there)):
                if np.any(chosen):
                    table = pd.DataFrame((values - base)[chosen], columns=MEASURES[:2])
                    table[MEASURES[2]] = table["mAP@20"] * class_weights(wanted[some][chosen])
                    tables.append(table.assign(gallery=name, system=system, queries=group))
    return pd.concat(tables, ignore_index=True)


def fitted(data: Data, new: np.ndarray) -> tuple[HierarchicalRetriever, dict]:
    """What knows all classes but some."""
    is_known = ~np.isin(data.y_train, new)
    X, y = data.X_train[is_known], data.y_train[is_known]
    return HierarchicalRetriever().fit(X, y), visual_searches(X, y)


def regimes(data: Data, n_draws: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and gains of each regime."""
    classes = np.unique(data.y_train)
    yield "closed", gains(data, classes[:0], *fitted(data, classes[:0]))
    for share in SHARES:
        some, alone = [], []
        for seed in range(n_draws):
            new = np.random.RandomState(seed).permutation(classes)[: max(1, round(share * len(classes)))]
            systems = fitted(data, new)
            some.append(gains(data, new, *systems))
            if share == SHARES[-1]:
                alone.append(gains(data, new, *systems, only_new=True))
        yield f"{share:.0%} new", pd.concat(some)
        if alone:
            yield "only new", pd.concat(alone)


def few(data: Data) -> Iterator[list[str]]:
    """mAP@1 and mAP@20 of queries of new classes over cosine, by the labelled rows that each class has."""
    classes = np.unique(data.y_train)
    new = np.random.RandomState(0).permutation(classes)[: max(1, round(SHARES[0] * len(classes)))]
    is_known = ~np.isin(data.y_train, new)
    wanted = np.isin(data.y_test, new)
    Q, t = data.X_test[wanted][:N_QUERIES], data.y_test[wanted][:N_QUERIES]
    X, y = data.X_train[is_known], data.y_train[is_known]
    ours = HierarchicalRetriever().fit(X, y)
    visual = visual_searches(X, y)
    for n in SHOTS:
        rows = [np.flatnonzero(data.y_train == label)[:n] for label in new]
        gallery = np.concatenate([np.flatnonzero(is_known), *rows])
        G, labels = data.X_train[gallery], data.y_train[gallery]
        ranked = {name: search(G, Q) for name, search in visual.items()}
        systems = {"taught": ours.with_gallery(G, labels)}
        if n > 1:
            anew = HierarchicalRetriever().fit(G, labels)  # partial_fit gives the same
            systems["fitted anew"] = anew.with_gallery(G, labels)
        for name, retriever in systems.items():
            ranked[name] = retriever.kneighbors(Q, 20, return_distance=False)
        scores = {name: precisions(r, t, labels, False).mean(axis=0) for name, r in ranked.items()}
        for name in list(scores)[1:]:
            yield [
                data.name,
                str(n) if n < 10**6 else "all",
                name,
                " ".join(f"{v:+.3f}" for v in scores[name] - scores["cosine"]),
            ]


def trade_off(data: Data, n_draws: int) -> Iterator[list[str]]:
    """Gains over cosine in an unlabelled gallery, by the largest share of known classes that is believed.

    Draws weigh alike.
    """
    classes = np.unique(data.y_train)
    gained: dict = {cap: {"new": [], "known": [], "closed": []} for cap in CAPS}
    for seed in range(n_draws):
        some = np.random.RandomState(seed).permutation(classes)[: max(1, round(SHARES[0] * len(classes)))]
        for new in (some, classes[:0]) if seed == 0 else (some,):
            ours, visual = fitted(data, new)
            G, y = data.X_test, data.y_test
            base = precisions(visual["cosine"](G, None), y, y, True)
            for cap in CAPS:
                with mock.patch("sklearn_hierret.new_classes._discovery.MOST_SHARE", cap):
                    ranked = ours.with_gallery(G).kneighbors(None, 20, return_distance=False)
                gain = precisions(ranked, y, y, True) - base
                is_there, of_new = np.isfinite(gain[:, 1]), np.isin(y, new)
                if not len(new):
                    gained[cap]["closed"].append(gain[is_there].mean(axis=0))
                    continue
                gained[cap]["new"].append(gain[is_there & of_new].mean(axis=0))
                gained[cap]["known"].append(gain[is_there & ~of_new].mean(axis=0))
    for cap, groups in gained.items():
        means = [np.mean(groups[group], axis=0) for group in ("new", "known", "closed")]
        yield [data.name, f"{cap:g}", *(" ".join(f"{v:+.3f}" for v in mean) for mean in means)]


def told(data: Data) -> Iterator[list[str]]:
    """AUROC of what tells known test samples from new ones, by the number of reference rows."""
    classes = np.unique(data.y_train)
    for share in (SHARES[0], SHARES[-1]):
        new = np.random.RandomState(0).permutation(classes)[: max(1, round(share * len(classes)))]
        is_known = ~np.isin(data.y_train, new)
        ours = HierarchicalRetriever().fit(data.X_train[is_known], data.y_train[is_known])
        model = ours.set_gallery(data.X_test).searcher().leaves.model
        clusters, evidence, truth = model.new, model.evidence, ~np.isin(data.y_test, new)
        if clusters is None or evidence is None or evidence.coefficients is None:
            continue
        rows = evidence.visual(data.X_test)
        scores, largest = evidence.scores(rows), model.known_model.leaves(data.X_test, "soft")["probability"]
        cells = [
            f"{roc_auc_score(truth, model.known_model.known_log_odds(data.X_test)):.3f}",
            f"{roc_auc_score(truth, largest[:, 0]):.3f}",
        ]
        own = np.full(len(rows), -1)
        own[clusters.serials] = np.arange(len(clusters.serials))
        for n in N_REFERENCE:
            fewer = replace(evidence, reference=evidence.reference[:n])
            mine = np.where(own < n, own, -1)
            signs = fewer.signs(rows, scores, largest[:, 0], clusters.gallery[:n], mine)
            cells.append(f"{roc_auc_score(truth, fewer.known_log_odds(signs)):.3f}")
        yield [data.name, f"{share:.0%}", *cells]


def costs() -> Iterator[list[str]]:
    """Seconds and bytes of galleries of 100,000 rows, in turns with those that teach nothing."""
    rng = np.random.default_rng(0)
    means = 1.2 * rng.normal(size=(300, 768)).astype(np.float32)

    def sample(n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, n_classes, n)
        return means[y] + 1.5 * rng.normal(size=(n, 768)).astype(np.float32), y

    def seconds(action: Callable[..., object], *given: object) -> float:
        start = time.perf_counter()
        action(*given)
        return time.perf_counter() - start

    def one_by_one(retriever: HierarchicalRetriever, queries: np.ndarray) -> None:
        for query in queries[:, None]:
            retriever.kneighbors(query, 20)

    ours = HierarchicalRetriever(alpha=1.0).fit(*sample(15_000, 270))
    for name, n_classes in (("closed", 270), ("a tenth new", 300)):
        G, labels = sample(100_000, n_classes)
        Q, _ = sample(1000, n_classes)
        for kind, y in (("unlabelled", None), ("labelled", labels)):
            before = ours.with_gallery(G, y, new_classes="ignore")
            ignoring = seconds(lambda G, y: ours.with_gallery(G, y, new_classes="ignore"), G, y)
            teaching = seconds(ours.with_gallery, G, y)
            tracemalloc.start()
            after = ours.with_gallery(G, y)
            peak = tracemalloc.get_traced_memory()[1] / G.nbytes
            tracemalloc.stop()
            both = (before, after)
            batches = [[seconds(r.kneighbors, Q, 20) for r in both] for _ in range(3)]
            singles = [[seconds(one_by_one, r, Q[:100]) for r in both] for _ in range(3)]
            batch, single = np.median(batches, axis=0), 10 * np.median(singles, axis=0)
            cells = [f"{ignoring:.1f}", f"{teaching:.1f}", f"{peak:.2f}"]
            cells += [f"{batch[0]:.2f}", f"{batch[1] / batch[0]:.2f}", f"{single[0]:.1f}"]
            yield [f"{name}, {kind}", *cells, f"{single[1] / single[0]:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--write", type=Path, help="folder of the docs")
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--costs", action="store_true", help="measure times, too")
    parser.add_argument("--only", nargs="*", help="words that names of data sets begin with")
    parser.add_argument("--tables", nargs="*", help="some of: regimes, few, told, trade-off; default: all")
    args = parser.parse_args()
    rows: list[list[str]] = []
    shots: list[list[str]] = []
    aurocs: list[list[str]] = []
    shares: list[list[str]] = []
    wanted = args.tables or ["regimes", "few", "told", "trade-off"]
    for data in data_sets(args):
        if args.only and not any(data.name.startswith(word.replace("_", " ")) for word in args.only):
            continue
        parts = {"few": (shots, few(data)), "told": (aurocs, told(data))}
        parts["trade-off"] = (shares, trade_off(data, args.draws))
        for name, (of_tables, lines) in parts.items():
            for line in lines if name in wanted else ():
                of_tables.append(line)
                print(*line, sep=" | ", flush=True)
        for regime, table in regimes(data, args.draws) if "regimes" in wanted else ():
            for (gallery, system), part in table.groupby(["gallery", "system"], sort=False):
                cells = [
                    " ".join(f"{v:+.3f}" for v in of_group.mean()) if len(of_group) else ""
                    for group in ("new", "known")
                    for of_group in [part.loc[part["queries"] == group, MEASURES]]
                ]
                rows.append([data.name, regime, str(gallery), str(system), *cells])
                print(*rows[-1], sep=" | ", flush=True)
    header = [
        "data",
        "regime",
        "gallery",
        "system",
        *(f"{g}: {', '.join(MEASURES)}" for g in ("new", "known")),
    ]
    signs = ["log-density", "largest probability", *(f"all signs, {n} rows" for n in N_REFERENCE)]
    tables = {
        "new classes": markdown_table(header, rows),
        "few": markdown_table(["data", "rows of a class", "system", "mAP@1, mAP@20"], shots),
        "told": markdown_table(["data", "new", *signs], aurocs),
        "trade-off": markdown_table(["data", "largest share", "new", "known", "nothing new"], shares),
    }
    tables = {name: text for name, text in tables.items() if name.replace("new classes", "regimes") in wanted}
    if args.costs:
        columns = ["set, ignoring (s)", "set (s)", "peak / gallery", "1,000 queries, ignoring (s)", "ratio"]
        columns += ["one query, ignoring (ms)", "ratio"]
        tables["costs"] = markdown_table(["gallery", *columns], list(costs()))
        print(tables["costs"])
    for name, text in tables.items():
        if args.write:
            write_between(args.write / "new_classes.md", name, text)


if __name__ == "__main__":
    main()
