"""CUB-200-2011 and NABirds: birds, with their files as they are distributed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_hierret.datasets._files import check_subset, fetched_folder, read_table, require
from sklearn_hierret.hierarchy import ClassHierarchy

_CUB_URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
_CUB_MD5 = "97eceeb196236b17998738112f37df78"


def fetch_cub200(
    *,
    subset: str = "train",
    data_home: Any = None,
    download_if_missing: bool = True,
    taxonomy: Any = None,
    return_X_y: bool = False,
    verbose: bool = True,
) -> Any:
    """CUB-200-2011: 11,788 photographs of 200 species of birds [1]_.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        By the official split.
    data_home : path, optional
        Default: scikit-learn's data home. The folder ``CUB_200_2011`` is looked for there.
    download_if_missing : bool, default=True
    taxonomy : path, optional
        A file of parents and children over the species' numbers, 1 ... 200.
    return_X_y : bool, default=False
        Only paths and labels.
    verbose : bool, default=True

    Returns
    -------
    data : Bunch
        paths (n,) of images; target (n,), numbers of species; target_names, by number; boxes (n, 4):
        x, y, width, height in pixels; hierarchy, None without `taxonomy`; DESCR.

    Raises
    ------
    OSError
        If files are missing, damaged or can't be fetched.

    References
    ----------
    .. [1] C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie, "The Caltech-UCSD
       Birds-200-2011 Dataset", 2011.

    Examples
    --------
    >>> from sklearn_hierret.datasets import fetch_cub200
    >>> paths, y = fetch_cub200(return_X_y=True)  # doctest: +SKIP
    """
    check_subset(subset)
    folder = fetched_folder(
        data_home,
        "CUB_200_2011",
        _CUB_URL,
        _CUB_MD5,
        download_if_missing=download_if_missing,
        verbose=verbose,
    )
    hierarchy = None if taxonomy is None else ClassHierarchy.from_parent_child(taxonomy)
    return _birds(folder, subset, hierarchy, return_X_y, "CUB-200-2011")


def load_nabirds(folder: Any, *, subset: str = "train", return_X_y: bool = False) -> Any:
    """NABirds: 48,562 photographs of birds of North America in 555 classes, with a taxonomy [1]_.

    It is not downloaded, since its publisher asks for consent. It is read from the unpacked folder.

    Parameters
    ----------
    folder : path
        The folder ``nabirds`` with ``images.txt``, ``hierarchy.txt`` and the others.
    subset : {"train", "test", "all"}, default="train"
        By the official split.
    return_X_y : bool, default=False
        Only paths and labels.

    Returns
    -------
    data : Bunch
        As `fetch_cub200`'s; hierarchy is that of the classes with images.

    References
    ----------
    .. [1] G. Van Horn et al., "Building a Bird Recognition App and Large Scale Dataset With
       Citizen Scientists", CVPR 2015.

    Examples
    --------
    >>> from sklearn_hierret.datasets import load_nabirds
    >>> data = load_nabirds("PATH/nabirds")  # doctest: +SKIP
    """
    check_subset(subset)
    folder = require(Path(folder).expanduser(), "the folder of NABirds")
    labels = [int(label) for _, label in read_table(require(folder / "image_class_labels.txt", "NABirds"), 2)]
    hierarchy = ClassHierarchy.from_parent_child(
        require(folder / "hierarchy.txt", "NABirds"),
        is_a=True,
        classes=np.unique(labels),
        names=require(folder / "classes.txt", "NABirds"),
    )
    return _birds(folder, subset, hierarchy, return_X_y, "NABirds")


def _birds(folder: Path, subset: str, hierarchy: ClassHierarchy | None, return_X_y: bool, title: str) -> Any:
    """Read what both data sets have in common: text files with an image's id first."""
    paths_of = _by_id(folder / "images.txt", title)
    labels_of = _by_id(folder / "image_class_labels.txt", title)
    is_train = _by_id(folder / "train_test_split.txt", title)
    boxes_of = {row[0]: row[1:] for row in read_table(require(folder / "bounding_boxes.txt", title), 5)}
    for name, table in (("image_class_labels", labels_of), ("train_test_split", is_train)):
        missing = [i for i in paths_of if i not in table]
        if missing:
            raise ValueError(f"{folder / name}.txt: image {missing[0]} is missing.")
    wanted = {"train": ("1",), "test": ("0",), "all": ("0", "1")}[subset]
    kept = [i for i in paths_of if is_train[i] in wanted]
    paths = np.array([str(folder / "images" / paths_of[i]) for i in kept])
    target: NDArray[np.intp] = np.array([int(labels_of[i]) for i in kept], dtype=np.intp)
    if return_X_y:
        return paths, target
    return Bunch(
        paths=paths,
        target=target,
        target_names={int(i): name for i, name in _by_id(folder / "classes.txt", title).items()},
        boxes=np.array([boxes_of[i] for i in kept], dtype=float),
        hierarchy=hierarchy,
        DESCR=title,
    )


def _by_id(path: Path, title: str) -> dict[str, str]:
    return {row[0]: row[1].strip() for row in read_table(require(path, title), 2)}
