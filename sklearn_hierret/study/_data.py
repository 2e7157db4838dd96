"""What is studied: images or features, labels, perhaps a taxonomy, from a word on the command line."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret.datasets import fetch_cifar100, fetch_cub200, load_image_folder
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.images import ImageSource


@dataclass
class StudyData:
    """A training part, from which everything is learnt, and a test part, which is searched."""

    name: str
    X_train: Any
    y_train: NDArray
    X_test: Any
    y_test: NDArray
    taxonomy: ClassHierarchy | None = None
    #: Images, or paths of them; else features.
    are_images: bool = True
    image_size: tuple[int, int] | None = None

    def content_hash(self) -> str:
        """Return what tells these data from others: arrays by their values, files by name, size and time."""
        parts = [
            ImageSource(X, self.image_size).key() if self.are_images else X
            for X in (self.X_train, self.X_test)
        ]
        return joblib.hash([*parts, self.y_train, self.y_test])


def read_data(spec: str | None, features: Any, taxonomy: Any, seed: int) -> StudyData:
    """Load data from ``digits``, ``plankton=PATH``, ``cifar100``, ``cub``, ``folder=PATH``, or features.

    Parameters
    ----------
    spec : str or None
    features : path or None
        An .npz file with X_train, y_train, X_test and y_test; instead of images.
    taxonomy : path or None
        A file of parents and children, Newick, or JSON; default: the data set's own, if it has one.
    seed : int
        Of the split of what has none, and of the order of the test part.
    """
    if (spec is None) == (features is None):
        raise ValueError("Say what to study: --data or --features.")
    data = _features(Path(features)) if features is not None else _images(str(spec), seed)
    if taxonomy is not None:
        data.taxonomy = read_taxonomy(Path(taxonomy), np.unique(data.y_train))
    if data.taxonomy is not None:
        data.taxonomy = data.taxonomy.restrict(np.unique(np.concatenate([data.y_train, data.y_test])))
    # Files sorted by class would make ties flatter a ranking.
    order = np.random.RandomState(seed).permutation(len(data.y_test))
    data.X_test, data.y_test = data.X_test[order], data.y_test[order]
    return data


def read_taxonomy(path: Path, classes: NDArray) -> ClassHierarchy:
    """Find a taxonomy over the labels; where these are numbers and it has names, in its order of names."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: is this a taxonomy?")
    if path.suffix == ".json":
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            if "parent" not in description:
                return ClassHierarchy.from_json(path)
            names = description.get("class_ids", description["classes"])
            edges = [(parent, child) for child, parent in description["parent"].items()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: this is no taxonomy that can be read ({error!r}).") from error
        tree = ClassHierarchy.from_parent_child(edges, classes=names)
        return tree.relabel({name: i for i, name in enumerate(names)}).restrict(classes)
    if path.suffix in (".nwk", ".newick", ".tree"):
        return ClassHierarchy.from_newick(path)
    return ClassHierarchy.from_parent_child(path, multiple_parents="tree")


def _features(path: Path) -> StudyData:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: is this a file of features?")
    X_train, y_train, X_test, y_test = _arrays_of(path, ("X_train", "y_train", "X_test", "y_test"))
    for part, X, y in (("train", X_train, y_train), ("test", X_test, y_test)):
        if X.ndim != 2 or X.dtype.kind not in "fiu" or y.shape != (len(X),):
            raise ValueError(
                f"{path}: X_{part} must be a matrix of numbers with a label in y_{part} for each row, got "
                f"shapes {X.shape} and {y.shape}."
            )
        if not np.isfinite(X).all():
            raise ValueError(f"{path}: X_{part} holds NaN or infinity.")
    own = path.parent / "hierarchy.json"
    tree = read_taxonomy(own, np.unique(y_train)) if own.is_file() else None
    X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
    return StudyData(path.stem, X_train, y_train, X_test, y_test, tree, are_images=False)


def _arrays_of(path: Path, names: tuple[str, ...]) -> list[NDArray]:
    """Arrays of an .npz file, by name."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            missing = [name for name in names if name not in file]
            arrays = [] if missing else [file[name] for name in names]
            others = sorted(file)
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: this is no .npz file that can be read ({error}).") from error
    if missing:
        raise ValueError(f"{path} has no array {missing[0]!r}, only {others}.")
    return arrays


def _images(spec: str, seed: int) -> StudyData:
    name, _, where = spec.partition("=")
    if name in ("plankton", "grocery", "folder") and not where:
        raise ValueError(f"--data {name} needs its folder: --data {name}=PATH.")
    if name == "digits":
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        return _halves("digits", images, digits.target, seed)
    if name in ("plankton", "grocery"):
        return _npz(name, Path(where))
    if name == "cifar100":
        train, test = (fetch_cifar100(subset=s, data_home=where or None) for s in ("train", "test"))
        return StudyData(name, train.images, train.target, test.images, test.target, train.hierarchy)
    if name == "cub":
        train, test = (fetch_cub200(subset=s, data_home=where or None) for s in ("train", "test"))
        parts = train.paths, train.target, test.paths, test.target
        return StudyData(name, *parts, image_size=(224, 224))
    if name == "folder":
        data = load_image_folder(where)
        tree = data.hierarchy if data.hierarchy.height > 1 else None
        return _halves(Path(where).name, data.paths, data.target, seed, tree, (64, 64))
    raise ValueError(
        f"--data is digits, plankton=PATH, grocery=PATH, cifar100, cub or folder=PATH, got {spec!r}."
    )


def _npz(name: str, folder: Path) -> StudyData:
    """Read a folder with train.npz and test.npz (images, y), perhaps hierarchy.json."""
    parts = {}
    for part in ("train", "test"):
        path = folder / f"{part}.npz"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: is this the folder of {name}?")
        images, y = _arrays_of(path, ("images", "y"))
        parts[part] = images, y.astype(int)
    own = folder / "hierarchy.json"
    tree = read_taxonomy(own, np.unique(parts["train"][1])) if own.is_file() else None
    return StudyData(name, *parts["train"], *parts["test"], tree)


def _halves(
    name: str, X: NDArray, y: NDArray, seed: int, tree: Any = None, image_size: Any = None
) -> StudyData:
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=seed, stratify=y)
    return StudyData(name, X_train, y_train, X_test, y_test, tree, image_size=image_size)
