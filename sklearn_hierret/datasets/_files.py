"""Data sets on disk: where they are, how they get there, how archives are opened."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

from sklearn.datasets import get_data_home

from sklearn_hierret._files import written_whole


def data_folder(data_home: Any, name: str) -> Path:
    """Folder of a data set below scikit-learn's data home; it is not made."""
    if data_home is not None:
        return Path(data_home).expanduser() / name
    return Path(get_data_home()) / name


def check_subset(subset: str) -> None:
    """Raise a ValueError unless it is "train", "test" or "all"."""
    if subset not in ("train", "test", "all"):
        raise ValueError(f"subset must be 'train', 'test' or 'all', got {subset!r}.")


def fetched_folder(
    data_home: Any, name: str, url: str, md5: str, *, download_if_missing: bool, verbose: bool
) -> Path:
    """Folder of a data set, downloaded and unpacked if it is not there.

    Raises
    ------
    OSError
        If it is missing and not to be fetched, or can't be.
    """
    folder = data_folder(data_home, name)
    if not folder.is_dir():
        if not download_if_missing:
            raise OSError(f"{folder} is not there; download_if_missing=True fetches it.")
        archive = download(url, folder.parent / url.rpartition("/")[2], md5, verbose=verbose)
        extract(archive, folder, name)
    return folder


def download(url: str, target: Path, md5: str, *, verbose: bool = True) -> Path:
    """Download a file, unless it is there already, and check that it is the one that is meant.

    Parameters
    ----------
    url : str
    target : Path
    md5 : str
        As its publisher gives it.
    verbose : bool, default=True
        Print how far it is.

    Raises
    ------
    OSError
        If it can't be fetched, or is another file than expected; nothing is left behind then.
    """
    if target.exists():
        check_sum(target, md5)
        return target
    with written_whole(target) as part:
        try:
            with urllib.request.urlopen(url, timeout=60) as response, part.open("wb") as file:
                total = int(response.headers.get("Content-Length") or 0)
                _copy(response, file, total, _printer(target.name) if verbose else None)
        except (URLError, TimeoutError, ConnectionError) as error:
            raise OSError(
                f"{url} can't be fetched ({error}). Download it by other means and put it at {target}."
            ) from error
        if total and part.stat().st_size != total:
            raise OSError(f"{url}: {part.stat().st_size} of {total} bytes came; try again.")
        check_sum(part, md5, url)
    return target


def check_sum(path: Path, md5: str, name: Any = None) -> None:
    """Raise an OSError unless a file has the checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise OSError(
            f"{name or path}: the checksum is {digest.hexdigest()}, not {md5}: the file is damaged, "
            "or another one. Delete it and try again."
        )


def extract(archive: Path, target: Path, inside: str) -> None:
    """Unpack the folder `inside` of a tar archive as `target`, all of it or nothing.

    Raises
    ------
    OSError
        For a damaged archive; for members that are links or devices or that leave the folder.
    """
    with written_whole(target) as part:
        room = part.parent / "unpacked"
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    _check_member(member, archive)
                    tar.extract(member, room, set_attrs=False)
        except (tarfile.TarError, EOFError) as error:
            raise OSError(f"{archive}: the archive is damaged ({error}). Delete it and try again.") from error
        if not (room / inside).is_dir():
            raise OSError(f"{archive}: there is no folder {inside!r} in it.")
        os.replace(room / inside, part)


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    parts = Path(member.name).parts
    if Path(member.name).is_absolute() or ".." in parts or member.name.startswith(("/", "\\")):
        raise OSError(f"{archive}: the member {member.name!r} would leave the folder: not unpacked.")
    if not (member.isfile() or member.isdir()):
        raise OSError(f"{archive}: the member {member.name!r} is a link or a device: not unpacked.")


def _copy(source: Any, file: Any, total: int, report: Callable[[int, int], None] | None) -> None:
    done = 0
    while chunk := source.read(1 << 20):
        file.write(chunk)
        done += len(chunk)
        if report is not None:
            report(done, total)


def _printer(name: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        share = f" of {total / 1e6:.0f}" if total else ""
        end = "\n" if total and done >= total else "\r"
        print(f"{name}: {done / 1e6:.0f}{share} MB", end=end, file=sys.stderr, flush=True)

    return report


def read_table(path: Path, n_columns: int) -> list[list[str]]:
    """Rows of a text file with columns separated by spaces; the last one takes what is left.

    Raises
    ------
    ValueError
        For a row with fewer columns; file and line are named.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        row = line.split(maxsplit=n_columns - 1)
        if len(row) < n_columns:
            raise ValueError(f"{path}, line {number}: {n_columns} columns expected, got {line!r}.")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: the file is empty.")
    return rows


def require(path: Path, what: str) -> Path:
    """Return the path, if it exists."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: is this {what}?")
    return path
