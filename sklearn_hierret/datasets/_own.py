"""One's own images: a folder with a folder for each class, or a table of paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from sklearn_hierret._frames import as_frame, is_table
from sklearn_hierret.datasets._files import require
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.images import EXTENSIONS, image_files


def load_image_folder(
    folder: Any, *, extensions: Sequence[str] = EXTENSIONS, return_X_y: bool = False
) -> Any:
    """Load images in a folder for each class: ``root/class/image``.

    Folders in folders are a hierarchy: ``root/animal/dog/1.png`` is of class ``dog``, below
    ``animal``. Names that start with a dot are passed over.

    Parameters
    ----------
    folder : path
    extensions : sequence of str
        Of files that are images, in lower case.
    return_X_y : bool, default=False
        Only paths and labels.

    Returns
    -------
    data : Bunch
        paths (n,), sorted; target (n,), names of classes; target_names; hierarchy, that of the folders.

    Raises
    ------
    ValueError
        If there is no image, an image beside the folders of the classes, or two folders of the same
        name that hold images.

    Examples
    --------
    >>> from sklearn_hierret.datasets import load_image_folder
    >>> paths, y = load_image_folder("PATH/images", return_X_y=True)  # doctest: +SKIP
    """
    root = require(Path(folder).expanduser(), "a folder with a folder for each class")
    paths = image_files(root, extensions)
    where: dict[str, Path] = {}
    for path in paths:
        if path.parent == root:
            raise ValueError(f"{path}: an image beside the folders of the classes, in none of them.")
        if where.setdefault(path.parent.name, path.parent) != path.parent:
            raise ValueError(
                f"Two folders are called {path.parent.name!r}: {where[path.parent.name]}, {path.parent}."
            )
    target = np.array([path.parent.name for path in paths])
    names = np.array([str(path) for path in paths])
    if return_X_y:
        return names, target
    edges: dict[tuple, None] = {}
    for one in where.values():
        chain = [root, *reversed([p for p in [one, *one.parents] if root in p.parents])]
        edges.update(dict.fromkeys(pairwise(chain)))
    tree = ClassHierarchy.from_parent_child(
        list(edges),
        classes=np.array([*where.values(), None], dtype=object)[:-1],
        names={path: path.name for edge in edges for path in edge},
    )
    return Bunch(
        paths=names,
        target=target,
        target_names=sorted(where),
        hierarchy=tree.relabel({path: path.name for path in where.values()}),
        DESCR=f"Images of {len(where)} classes in {root}.",
    )


def load_image_table(
    table: Any,
    *,
    path_column: str = "path",
    label_columns: str | Sequence[str] = "label",
    folder: Any = None,
    hierarchy: ClassHierarchy | None = None,
    return_X_y: bool = False,
) -> Any:
    """Load images listed in a CSV file or a data frame, with their labels.

    Parameters
    ----------
    table : path or DataFrame
    path_column : str, default="path"
    label_columns : str or sequence of str, default="label"
        The label, or labels from coarse to fine, of which the last is the class and all are a
        hierarchy.
    folder : path, optional
        What paths are relative to; default: the folder of the file.
    hierarchy : ClassHierarchy, optional
        A taxonomy that must know all classes.
    return_X_y : bool, default=False
        Only paths and labels.

    Returns
    -------
    data : Bunch
        paths (n,); target (n,); target_names; hierarchy, None for a single column and no taxonomy;
        frame, the table.

    Raises
    ------
    ValueError
        For a missing column or value, a class that the hierarchy lacks, a class below two parents.
    FileNotFoundError
        For an image that is not there; it is named.

    Examples
    --------
    >>> from sklearn_hierret.datasets import load_image_table
    >>> data = load_image_table(
    ...     "PATH/birds.csv", label_columns=["family", "species"]
    ... )  # doctest: +SKIP
    """
    columns = [label_columns] if isinstance(label_columns, str) else list(label_columns)
    title = "The table"
    if is_table(table):
        table = as_frame(table)
    else:
        source = require(Path(table).expanduser(), "a CSV file")
        folder = source.parent if folder is None else folder
        title = str(source)
        try:
            # As text: a class called "NA" or "007" stays what it is.
            table = pd.read_csv(source, dtype=str, keep_default_na=False, na_values=[""])
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(f"{source}: this is no CSV file that can be read ({error}).") from error
    missing = [name for name in (path_column, *columns) if name not in table.columns]
    if missing:
        raise ValueError(f"{title} has no column {missing[0]!r}, only {list(table.columns)}.")
    if not len(table):
        raise ValueError(f"{title} has no row.")
    for name in (path_column, columns[-1]):
        gaps = np.flatnonzero(table[name].isna())
        if len(gaps):
            raise ValueError(f"{title}, row {gaps[0] + 1}: {name!r} is missing.")
    base = Path() if folder is None else Path(folder).expanduser()
    paths = [base / path for path in table[path_column]]
    for number, path in enumerate(paths, start=1):
        if not path.is_file():
            raise FileNotFoundError(f"{title}, row {number}: {path} is not there.")
    target = table[columns[-1]].to_numpy()
    target = np.array(target.tolist())
    if hierarchy is not None:
        hierarchy.index(np.unique(target))
    elif len(columns) > 1:
        hierarchy = ClassHierarchy.from_frame(table[columns].drop_duplicates())
    names = np.array([str(path) for path in paths])
    if return_X_y:
        return names, target
    return Bunch(
        paths=names,
        target=target,
        target_names=np.unique(target).tolist(),
        hierarchy=hierarchy,
        frame=table,
        DESCR=f"{len(names)} images of {len(np.unique(target))} classes.",
    )
