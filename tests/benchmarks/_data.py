"""The data sets that defaults and results are measured on."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret import ClassHierarchy
from tests.benchmarks._pretrained import efficientnet_lite0


@dataclass
class Data:
    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    taxonomy: ClassHierarchy | None = None
    #: Of the first test samples, (n, height, width, channels), uint8, and what makes features of such images.
    images: np.ndarray | None = None
    features_of: Callable[[np.ndarray], np.ndarray] | None = None
    #: What classes are called.
    names: dict[int, str] | None = None


def digits() -> Data:
    """Pixels of scikit-learn's digits, half of them for testing."""
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X / 16, y, test_size=0.5, random_state=0, stratify=y)
    X_train, X_test, y_train, y_test = split
    images = np.round(255 * X_test.reshape(-1, 8, 8, 1)).astype(np.uint8)
    data = Data("digits", X_train, y_train, X_test, y_test)
    return replace(data, images=images, features_of=lambda images: images.reshape(len(images), -1) / 255)


def plankton(folder: Path) -> Data:
    """CNN features of plankton images."""
    return _of_files("plankton", folder, "features_cnn128.npz")


def plankton_frozen(folder: Path) -> Data:
    """Features of plankton images by a frozen EfficientNet-Lite0."""
    data = _of_files("plankton, frozen network", folder, "features_efficientnet_lite0.npz")
    return replace(data, features_of=lambda images: efficientnet_lite0(images, 128))


def grocery_frozen(folder: Path) -> Data:
    """Features of grocery photographs by a frozen EfficientNet-Lite0."""
    data = _of_files("grocery, frozen network", folder, "features_efficientnet_lite0.npz")
    return replace(data, features_of=lambda images: efficientnet_lite0(images, 160))


def _of_files(name: str, folder: Path, features: str) -> Data:
    """Both parts are shuffled, since they are sorted by class."""
    with np.load(folder / features) as file:
        X_train, y_train, X_test, y_test = (file[n] for n in ("X_train", "y_train", "X_test", "y_test"))
    rng = np.random.RandomState(0)
    order, train_order = rng.permutation(len(y_test)), rng.permutation(len(y_train))
    description = json.loads((folder / "hierarchy.json").read_text())
    edges = [(parent, child) for child, parent in description["parent"].items()]
    ids = description.get("class_ids", description["classes"])
    by_name = ClassHierarchy.from_parent_child(edges).restrict(ids)
    taxonomy = ClassHierarchy(np.arange(by_name.n_classes), by_name.parents, by_name.heights)
    rows = [line.split("\t") for line in (folder / "classes.txt").read_text().splitlines()]
    names = {int(label): re.sub("[_-]", " ", name) for label, name, *_ in rows}
    with np.load(folder / "test.npz") as file:
        images = file["images"][order[:1000]]
    return Data(
        name,
        X_train[train_order].astype(np.float32),
        y_train[train_order].astype(int),
        X_test[order].astype(np.float32),
        y_test[order].astype(int),
        taxonomy,
        images,
        names=names,
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the data are, and the file that tables go into."""
    parser.add_argument("--plankton", type=Path, help="folder of the plankton data")
    parser.add_argument("--grocery", type=Path, help="folder of the grocery data")
    parser.add_argument("--out", type=Path, help="markdown file to write into, between its markers")


def data_sets(args: argparse.Namespace) -> list[Data]:
    """The digits, and whatever a folder was given for."""
    sets = [digits()]
    if args.plankton:
        sets += [plankton(args.plankton), plankton_frozen(args.plankton)]
    if args.grocery:
        sets.append(grocery_frozen(args.grocery))
    return sets


def write_between(path: Path, marker: str, text: str) -> None:
    """Put a text between the two markers of a name in a markdown file."""
    marker = f"<!-- {marker} -->"
    head, _, rest = path.read_text().partition(marker)
    path.write_text(f"{head}{marker}\n{text}\n{marker}{rest.partition(marker)[2]}")


def markdown_table(header: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
