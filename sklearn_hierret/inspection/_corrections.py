"""Corrections that a person made on a page: files of labels and marks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_hierret._frames import tabular
from sklearn_hierret.inspection._evidence import retriever_in

#: What the page writes into its files.
FORMAT = "sklearn_hierret corrections"
COLUMNS = ("id", "label", "mark")
MARKS = ("relevant", "irrelevant")


@tabular
def read_corrections(path: Any, estimator: Any = None) -> pd.DataFrame:
    r"""Read labels and marks that the explorer's page has exported.

    Parameters
    ----------
    path : path
        A file that ends with .json or .csv.
    estimator : fitted retriever, or Pipeline or search that ends with one, optional
        Ids and labels become those of its gallery and its classes, which text alone does not tell: a CSV
        file may mean the number 7 or the name "7". Labels that it does not know stay as they are.

    Returns
    -------
    table : DataFrame
        One row for each sample: id, label (missing where it was not corrected) and mark ("relevant",
        "irrelevant" or missing). ``table.dropna(subset="label")`` are the corrected labels.

    Raises
    ------
    ValueError
        If the file is no such export, or has an id twice, an unknown mark, or, with an estimator, an id that
        its gallery lacks; they are named.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_hierret.inspection import read_corrections
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "corrections.csv")
    ...     _ = path.write_text("id,label,mark\na.jpg,apple,\nb.jpg,,relevant\n")
    ...     table = read_corrections(path)
    >>> table.dropna(subset="label")["label"].tolist()
    ['apple']
    """
    path = Path(path)
    is_csv = path.suffix.lower() == ".csv"
    table = _from_csv(path) if is_csv else _from_json(path)
    twice = table["id"][table["id"].duplicated()].tolist()
    if twice:
        raise ValueError(f"{path.name} corrects the sample {twice[0]!r} twice.")
    unknown = table["mark"][table["mark"].notna() & ~table["mark"].isin(MARKS)].tolist()
    if unknown:
        raise ValueError(f"{path.name} has the mark {unknown[0]!r}; marks are {' and '.join(MARKS)}.")
    if estimator is None:
        return table.assign(id=table["id"].infer_objects(), label=table["label"])
    searcher = retriever_in(estimator)[0].searcher()
    ids = _by_text(table["id"], searcher.gallery.ids.tolist())
    gone = table["id"][[item is None for item in ids]].tolist()
    if gone:
        raise ValueError(f"{path.name} corrects samples that the gallery lacks, such as {gone[0]!r}.")
    labels = _by_text(table["label"], searcher.gallery.classes.tolist())
    kept = [old if new is None else new for old, new in zip(table["label"], labels, strict=True)]
    return table.assign(id=pd.Series(ids).infer_objects(), label=pd.Series(kept, dtype=object))


def _from_json(path: Path) -> pd.DataFrame:
    no_export = f"{path.name} is no file of corrections that the explorer has exported"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{no_export}: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'{no_export}: "format" is not "{FORMAT}".')
    items = content.get("items")
    if not isinstance(items, list) or not all(isinstance(i, dict) and _is_plain(i.get("id")) for i in items):
        raise ValueError(f'{no_export}: "items" is no list of samples with ids.')
    columns = {name: pd.Series([i.get(name) for i in items], dtype=object) for name in COLUMNS}
    if not all(value is None or _is_plain(value) for name in COLUMNS for value in columns[name]):
        raise ValueError(f"{no_export}: labels and marks are text or numbers.")
    return pd.DataFrame(columns)


def _from_csv(path: Path) -> pd.DataFrame:
    no_export = f"{path.name} is no file of corrections that the explorer has exported"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{no_export}: {error}") from None
    if list(table.columns) != list(COLUMNS):
        raise ValueError(f"{no_export}: its columns are {list(table.columns)}, not {list(COLUMNS)}.")
    table = table.astype(object)
    return table.where(table != "", None)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _by_text(values: Iterable, known: list) -> list:
    """Return the known value that each is, or looks like; None where there is none."""
    same, by_text = set(known), {str(item): item for item in known}
    return [
        None if value is None else value if value in same else by_text.get(str(value)) for value in values
    ]
