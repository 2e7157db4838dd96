"""Wrong labels and copies: what is found, beside what others find.

    python -m tests.benchmarks.inspection --plankton PATH/plankton --grocery PATH/grocery_store --write docs
    (with --copies for the table of copies, --million for time and memory)

Labels of the training part are moved, 3 % and 10 % of them, to random other classes or to siblings in the
given taxonomy. Beside `label_issues`: cleanlab (it has to be installed; it scores with the same held-out
probabilities, and with those of a logistic regression, cross-validated in 5 folds), and the product of the
class's probability and its share in 15 whitened neighbours. Copies need Pillow, torch and the network of
`_pretrained`.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.inspection import label_issues
from sklearn_hierret.inspection._duplicates import copies
from tests.benchmarks._data import Data, add_data_arguments, data_sets, markdown_table, write_between

SHARES, N_DRAWS = (0.03, 0.1), 3
#: Samples that a logistic regression is fitted to, or it takes hours.
MOST_REGRESSION = 4000
N_COPIES = 250
KINDS = {"rotated": "r", "cropped": "c", "JPEG 40": "j", "darkened": "d", "all four": "rcdj"}


def moved(data: Data, share: float, kind: str, seed: int) -> np.ndarray:
    """Labels some of which are wrong: random other ones, or siblings in the taxonomy."""
    rng = np.random.default_rng(seed)
    y, classes = data.y_train.copy(), np.unique(data.y_train)
    distances = data.taxonomy.distance_matrix()
    for row in rng.permutation(len(y))[: round(share * len(y))]:
        others = classes[classes != y[row]]
        if kind == "siblings":
            to_others = distances[y[row], others]
            others = others[to_others == to_others.min()]
        y[row] = rng.choice(others)
    return y


def scores_of(
    data: Data, y: np.ndarray, with_regression: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name of a method, the rows that it scores, and how wrong it takes their labels for."""
    retriever = HierarchicalRetriever().fit(data.X_train, y)
    table, rows = label_issues(retriever), np.arange(len(y))
    rank = np.empty(len(y))
    rank[table["id"]] = -np.arange(len(table))
    yield "label_issues", rows, rank
    proba = retriever.class_model_.held_out_proba(data.X_train).astype(np.float64)
    proba /= proba.sum(axis=1, keepdims=True)
    codes = np.searchsorted(retriever.class_model_.classes_, y)
    neighbours = retriever.with_searcher(retriever.searcher()).set_params(alpha=0).kneighbors(None, 15)[1]
    agreeing = ((codes[neighbours] == codes[:, None]).sum(axis=1) + 0.5) / 16
    own = np.maximum(proba[rows, codes], 1e-9)
    yield "probability times neighbours", rows, -np.log(own) - np.log(agreeing)
    yield from _cleanlab("same probabilities", rows, codes, proba)
    if with_regression:
        some = np.sort(np.random.RandomState(0).permutation(len(y))[:MOST_REGRESSION])
        keep = np.isin(codes[some], np.flatnonzero(np.bincount(codes[some]) >= 5))
        some = some[keep]
        few = np.unique(codes[some], return_inverse=True)[1]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100))
        proba = cross_val_predict(model, data.X_train[some], few, cv=5, method="predict_proba")
        yield from _cleanlab("logistic regression", some, few, proba)


def _cleanlab(name: str, rows: np.ndarray, codes: np.ndarray, proba: np.ndarray) -> Iterator:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    for score in ("self_confidence", "normalized_margin"):
        yield f"cleanlab, {name}, {score}", rows, -get_label_quality_scores(codes, proba, method=score)
    found = find_label_issues(codes, proba, n_jobs=1)
    own = -get_label_quality_scores(codes, proba)
    yield f"cleanlab, {name}, find_label_issues", rows, own + found


def issues_table(sets: list[Data], n_draws: int, with_regression: bool) -> pd.DataFrame:
    """Average precision, and precision at the true number, of each method."""
    results = []
    for data in sets:
        for kind in ("siblings", "random"):
            for share in SHARES:
                for draw in range(n_draws):
                    y = moved(data, share, kind, draw)
                    is_wrong = y != data.y_train
                    for method, rows, score in scores_of(data, y, with_regression and draw == 0):
                        wrong = is_wrong[rows]
                        first = np.argsort(-score, kind="stable")[: wrong.sum()]
                        results.append(
                            {
                                "data": data.name,
                                "moved to": kind,
                                "method": method,
                                "AP": average_precision_score(wrong, score),
                                "precision": wrong[first].mean(),
                            }
                        )
                        print(*results[-1].values(), share, draw, sep=" | ", flush=True)
    return pd.DataFrame(results)


def copied(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return a changed copy of an image, uint8, (height, width, channels)."""
    from PIL import Image

    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    height, width = pixels.shape[:2]
    if "r" in kind:
        margin = ((height // 2,) * 2, (width // 2,) * 2) + ((0, 0),) * (pixels.ndim - 2)
        turned = Image.fromarray(np.pad(pixels, margin, mode="reflect"))
        turned = turned.rotate(rng.uniform(-10, 10), resample=Image.Resampling.BICUBIC)
        box = (width // 2, height // 2, width // 2 + width, height // 2 + height)
        pixels = np.asarray(turned.crop(box))
    if "c" in kind:
        w, h = int(0.9 * width), int(0.9 * height)
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        part = Image.fromarray(pixels).crop((x, y, x + w, y + h))
        pixels = np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))
    if "d" in kind:
        pixels = (0.7 * pixels).astype(np.uint8)
    if "j" in kind:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=40)
        pixels = np.asarray(Image.open(buffer))
    return pixels.reshape(image.shape)


def copies_rows(data: Data) -> Iterator[list[str]]:
    """Average precision, and recall at a precision of 0.9, of pairs with a copy, by three distances."""
    assert data.images is not None
    assert data.features_of is not None
    rng = np.random.default_rng(0)
    retriever = HierarchicalRetriever().fit(data.X_train, data.y_train)
    gallery = retriever.searcher().gallery
    originals = data.features_of(data.images).astype(np.float32)
    for name, kind in KINDS.items():
        made = np.stack([copied(image, kind, rng) for image in data.images[:N_COPIES]])
        X = np.concatenate([originals, data.features_of(made).astype(np.float32)])
        is_copy = np.arange(len(X)) >= len(originals)
        cells = []
        for rows, relative in ((X, False), (gallery.as_queries(X), False), (gallery.as_queries(X), True)):
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            distances = 1 - unit @ unit.T
            np.fill_diagonal(distances, np.inf)
            if relative:
                tenth = np.partition(distances, 9, axis=1)[:, 9]
                distances = distances / np.sqrt(tenth[:, None] * tenth)
            one, other = np.nonzero(np.triu(np.ones_like(distances, dtype=bool), 1) & is_copy)
            is_pair = other - len(originals) == one
            score = -distances[one, other]
            precision, recall, _ = precision_recall_curve(is_pair, score)
            cells.append(
                f"{average_precision_score(is_pair, score):.3f} {recall[precision >= 0.9].max(initial=0):.2f}"
            )
        pairs, _, _ = copies((unit := gallery.as_queries(X)) / np.linalg.norm(unit, axis=1)[:, None], 0.5)
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        pairs = pairs[is_copy[pairs[:, 1]]]
        right = pairs[:, 1] - len(originals) == pairs[:, 0]
        found = f"{right.mean() if len(right) else 1:.2f} {right.sum() / N_COPIES:.2f}"
        yield [data.name, name, *cells, found]


def million() -> None:
    """Time and memory of near copies among 1,000,000 made-up rows of 384 features."""
    rng = np.random.default_rng(0)
    n, d = 1_000_000, 384
    means = rng.normal(size=(2000, d)).astype(np.float32)
    rows = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 50_000):
        part = slice(start, start + 50_000)
        rows[part] = means[rng.integers(0, 2000, 50_000)]
        rows[part] += 0.8 * rng.standard_normal((50_000, d), dtype=np.float32)
    made = np.arange(10_000)
    rows[n - 10_000 :] = rows[made] + 0.1 * rng.standard_normal((10_000, d), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start_of_search = time.perf_counter()
    pairs = copies(rows, 0.5)[0]
    seconds = time.perf_counter() - start_of_search
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    found = np.isin(n - 10_000 + made, pairs[pairs[:, 0] == pairs[:, 1] - (n - 10_000), 1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{seconds:.0f} s, peak {peak:.1f} GiB, {len(pairs)} pairs, recall of made copies {found.mean():.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--write", type=Path, help="folder of the docs")
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--copies", action="store_true", help="measure copies, not labels")
    parser.add_argument("--regression", action="store_true", help="add logistic regression, which is slow")
    parser.add_argument("--million", action="store_true", help="time 1,000,000 rows")
    args = parser.parse_args()
    if args.million:
        million()
        return
    sets = [data for data in data_sets(args) if data.taxonomy is not None]
    if args.copies:
        rows = [row for data in sets if data.features_of is not None for row in copies_rows(data)]
        header = ["data", "copies", "cosine: AP, recall", "whitened", "relative, whitened"]
        header.append("near_duplicates: precision, recall")
        marker, text = "copies", markdown_table(header, rows)
    else:
        table = issues_table(sets, args.draws, args.regression)
        cells = table.pivot_table("AP", "method", ["data", "moved to"], sort=False)
        rows = [
            [name, *(f"{v:.3f}" for v in row)]
            for name, row in zip(cells.index, cells.to_numpy(), strict=True)
        ]
        header = ["average precision", *(f"{data}: {kind}" for data, kind in cells.columns)]
        marker, text = "label issues", markdown_table(header, rows)
    print(text)
    if args.write:
        write_between(args.write / "clean_labels.md", marker, text)


if __name__ == "__main__":
    main()
