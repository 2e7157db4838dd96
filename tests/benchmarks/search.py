"""Search side by side: this package, FAISS, scikit-learn, USearch and hnswlib, in one run.

    python -m tests.benchmarks.search                     # four galleries, several minutes
    python -m tests.benchmarks.search --full              # all galleries, batches, k and peers: hours
    python -m tests.benchmarks.search --plankton DIR      # real features too, tiled and jittered
    python -m tests.benchmarks.search --problems "50,000 x 768" --batches 2000 --ks 20 --methods defaults
    python -m tests.benchmarks.search --methods set_gallery   # builds only
    python -m tests.benchmarks.search --write docs        # tables and picture into docs/

Classes are Gaussian clouds that overlap, so that about 65 % of the leaves of queries are right; what was
reached stands above each table. One retriever is fitted for each gallery; its copies have other parameters.

All methods of a table are called in turn, again and again, and the best time of each counts. Those of this
package are whole calls of `kneighbors`, checks and leaf assignment included; FAISS, USearch and
scikit-learn's Euclidean distance get unit rows, made beforehand. "1 query" is the mean of 20 that come one at
a time. Approximate indexes hold the combined vectors of `HierarchicalEmbedding` and are tuned to a recall of
0.99 of the neighbours that `HierarchicalRetriever` finds at that alpha; combined vectors of their queries,
leaves included, are made beforehand. Peaks are of what NumPy allocates in one call, results included, over
the bytes of the gallery as it was given.

OMP_WAIT_POLICY is set to PASSIVE before FAISS is loaded, and there is a pause before each call: threads of
OpenMP and OpenBLAS go on spinning after their work, and FAISS is half as slow again in their company.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import copy
import time
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import HierarchicalRetriever
from tests.benchmarks._data import markdown_table
from tests.benchmarks._peers import (
    Method,
    approximate_peers,
    exact_peers,
    flat,
    numpy_peers,
    overlap,
)
from tests.benchmarks._problems import SHAPES, Problem, clouds, real
from tests.benchmarks._timing import interleaved, peak_of, rounded

PEER = "FAISS flat"
HEADER = ["problem", "queries", "k", "method", "ms", f"times as fast as {PEER}", "peak / gallery"]
BATCHES, KS = (1, 100, 2_000, 10_000), (1, 20, 2_000)
N_SINGLE = 20
#: Distances in a call of scikit-learn or USearch, and numbers in vectors of approximate indexes: by default
#: and with --full.
MOST_DISTANCES = {False: 3e8, True: 3e9}
MOST_NUMBERS = {False: 3e7, True: 2e8}


def exact_target(problem: Problem, retriever: HierarchicalRetriever, alpha: float) -> Method:
    """Neighbours by the gallery that the retriever has when it is called."""
    return lambda rows, k: (
        copy.copy(retriever).set_params(alpha=alpha).kneighbors(problem.queries[rows], k)[1]
    )


def ours(problem: Problem, retriever: HierarchicalRetriever) -> dict[str, Callable[[], Method]]:
    """Methods by name; galleries of their own are made when they are needed."""

    @cache
    def labelled() -> HierarchicalRetriever:
        return copy.copy(retriever).set_gallery(problem.X, problem.y)

    def method(like: Callable[[], HierarchicalRetriever], **params: object) -> Method:
        changed = copy.copy(like()).set_params(**params)
        return lambda rows, k: changed.kneighbors(problem.queries[rows], k)[1]

    makers = {
        f"defaults, alpha {alpha:g}": partial(method, lambda: retriever, alpha=alpha)
        for alpha in (16.0, 0.3, 0.0)
    }
    makers["hard leaves, alpha 1"] = partial(method, lambda: retriever, alpha=1.0, assignment="hard")
    for alpha in (16.0, 0.3):
        makers[f"labelled gallery, alpha {alpha:g}"] = partial(method, labelled, alpha=alpha)
    return makers


def builds(problem: Problem, retriever: HierarchicalRetriever, chosen: Callable[[str], bool]) -> list[list]:
    """Rows of a table: galleries from given leaves and from predicted ones, and FAISS's."""
    X, y = problem.X, problem.y
    calls = {
        "set_gallery, leaves given": lambda: copy.copy(retriever).set_gallery(X, y, gallery_leaves="labels"),
        "set_gallery, leaves predicted": lambda: copy.copy(retriever).set_gallery(X),
    }
    calls = {name: call for name, call in calls.items() if chosen(name)}
    if not calls:
        return []
    peaks = {name: f"{peak_of(call) / X.nbytes:.2f}" for name, call in calls.items()}
    calls["FAISS flat, normalise and add"] = lambda: flat(problem)
    times = interleaved(calls, 0.0)
    rows = [
        [problem.name, "", "", name, rounded(1e3 * seconds), "", peaks.get(name, "")]
        for name, seconds in times.items()
    ]
    print(markdown_table(HEADER, rows), flush=True)
    return rows


def run(problem: Problem, args: argparse.Namespace) -> tuple[list[list], list[str]]:
    """Rows of the table and remarks."""

    def chosen(name: str) -> bool:
        return not args.methods or any(part.lower() in name.lower() for part in args.methods)

    start = time.perf_counter()
    retriever = HierarchicalRetriever(alpha=16.0, n_jobs=args.n_jobs).fit(problem.X_train, problem.y_train)
    fitted = time.perf_counter() - start
    right = np.mean(retriever.leaves(problem.queries) == problem.y_queries)
    remarks = [
        f"{right:.1%} of the leaves of {len(problem.queries):,} queries are right; fitted to "
        f"{len(problem.X_train):,} samples in {fitted:.1f} s"
    ]
    print(f"\n{problem.name}: {remarks[0]}", flush=True)
    rows = builds(problem, retriever, chosen)
    mine = {name: make for name, make in ours(problem, retriever).items() if chosen(name)}
    targets = {alpha: exact_target(problem, retriever, alpha) for alpha in (16.0, 0.3)}
    slow = exact_peers(problem)
    others = {**slow}
    if problem.with_numpy:
        others |= numpy_peers(problem, retriever, 16.0)
    else:
        others |= approximate_peers(problem, retriever, targets, MOST_NUMBERS[args.full], remarks)
    if not args.full and not args.methods:  # the graph of FAISS is much the same, and takes as long to build
        others = {name: make for name, make in others.items() if not name.startswith("hnswlib")}
    makers = {**mine, **{name: make for name, make in others.items() if chosen(name)}}
    if not makers:
        return rows, remarks
    retriever.set_gallery(problem.X)
    methods = {PEER: flat(problem)} | {name: make() for name, make in makers.items()}
    for n_queries, k in cells(problem, args):
        is_much = n_queries * len(problem.X) > MOST_DISTANCES[args.full]
        calls = {}
        for name, method in methods.items():
            if is_much and name in slow:
                continue
            method(slice(0, 1), k)  # what the first call alone does: leaves, efforts
            calls[name] = partial(_batch, method, n_queries, k)
        times = interleaved(calls, args.seconds, slow)
        peaks = {name: peak_of(calls[name]) / problem.X.nbytes for name in mine if n_queries > 1}
        table = []
        for name, seconds in times.items():
            peak = f"{peaks[name]:.2f}" if name in peaks else ""
            ms = rounded(1e3 * seconds / (N_SINGLE if n_queries == 1 else 1))
            table.append([problem.name, n_queries, k, name, ms, rounded(times[PEER] / seconds), peak])
        print(f"\n{markdown_table(HEADER, table)}", flush=True)
        rows += table
    for name in others:
        if name.startswith("NumPy") and name in methods:
            share = overlap(methods[name](slice(0, 500), 20), targets[16.0](slice(0, 500), 20))
            remarks.append(f"{name}: {share:.1%} of 20 neighbours are those of the defaults")
    return rows, remarks


def _batch(method: Method, n_queries: int, k: int) -> None:
    if n_queries > 1:
        method(slice(0, n_queries), k)
        return
    for i in range(N_SINGLE):
        method(slice(i, i + 1), k)


def cells(problem: Problem, args: argparse.Namespace) -> list[tuple[int, int]]:
    """Sizes of batches, and k: by default other k than 20 in batches of 2,000 only."""
    batches = (500,) if problem.with_numpy else args.batches or BATCHES
    pairs = [(n_queries, k) for n_queries in batches for k in args.ks or KS if k <= len(problem.X)]
    if args.full or args.ks or problem.with_numpy:
        return pairs
    return [(n_queries, k) for n_queries, k in pairs if k == 20 or n_queries == 2_000]


def draw(rows: list[list]) -> Figure:
    """Batches of 2,000, k = 20: how many times as fast as FAISS's flat index."""
    found = [row for row in rows if row[1:3] == [2_000, 20] and row[3] != PEER]
    galleries = list(dict.fromkeys(row[0] for row in found))
    methods = list(dict.fromkeys(row[3] for row in found))
    figure = Figure(figsize=(9, 1.6 + 0.36 * len(methods)), layout="constrained")
    ax = figure.subplots()
    for i, gallery in enumerate(galleries):
        speed = {row[3]: float(row[5]) for row in found if row[0] == gallery}
        places = [j + 0.08 * (i - len(galleries) / 2) for j, method in enumerate(methods) if method in speed]
        ax.plot([speed[m] for m in methods if m in speed], places, "osD^vP*"[i % 7], label=gallery)
    ax.axvline(1, color="black", linewidth=1)
    ax.set(
        xscale="log",
        yticks=np.arange(len(methods)),
        yticklabels=methods,
        xlabel=f"times as fast as {PEER} (batches of 2,000, k = 20)",
    )
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=2, fontsize="small")
    return figure


def machine() -> str:
    parts = [f"{os.cpu_count()} cores"]
    for name in ("numpy", "faiss-cpu", "scikit-learn", "usearch", "hnswlib"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--full", action="store_true", help="all galleries, batches, k and peers")
    parser.add_argument("--problems", nargs="+", help="parts of names of galleries, of all there are")
    parser.add_argument("--methods", nargs="+", help="parts of names; FAISS flat is always there")
    parser.add_argument("--batches", nargs="+", type=int, help=f"default: {BATCHES}")
    parser.add_argument("--ks", nargs="+", type=int, help=f"default: {KS}")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each method in a cell, if it is fast")
    parser.add_argument("--plankton", type=Path, help="folder of the plankton data")
    parser.add_argument("--n-jobs", type=int, help="threads of this package's search")
    parser.add_argument("--write", type=Path, help="folder for the tables and the picture")
    args = parser.parse_args()
    n_queries = max((1_000, *(args.batches or BATCHES)))
    makers = {shape.name: partial(clouds, shape, n_queries) for shape in SHAPES}
    wanted = [shape.name for shape in SHAPES if shape.is_default or args.full]
    if args.plankton:
        makers["plankton"] = partial(real, args.plankton, n_queries)
        wanted.append("plankton")
    if args.problems:
        wanted = [name for name in makers if any(part in name for part in args.problems)]
    sections, rows = [], []
    print(machine())
    for name in wanted:
        problem = makers[name]()
        more, remarks = run(problem, args)
        rows += more
        notes = "\n".join(f"- {remark}" for remark in remarks)
        print(notes, flush=True)
        sections.append(f"## {problem.name}\n\n{notes}\n\n{markdown_table(HEADER, more)}\n")
        del problem
    if args.write:
        note = "# Search, side by side\n\nMade by `python -m tests.benchmarks.search --full --plankton "
        note += f"PATH/plankton --write docs` on {machine()}; "
        note += "[retrieval at scale](scale.md) says what it means.\n\n"
        (args.write / "search_benchmark.md").write_text(note + "\n".join(sections))
        draw(rows).savefig(args.write / "images" / "search.png", dpi=120)


if __name__ == "__main__":
    main()
