"""Folds of samples, and of classes that a fold's models do not see."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, check_cv
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.metadata_routing import process_routing

from sklearn_hierret._sklearn import routing_enabled


class Fold(NamedTuple):
    """Positions of samples: those that models are fitted to, those of unseen classes, and the queries."""

    fit: NDArray[np.intp]
    unseen: NDArray[np.intp]
    test: NDArray[np.intp]


def folds_of(X: NDArray, y: NDArray, cv: Any, params: dict, unseen: float, random_state: Any) -> list[Fold]:
    """Folds of a splitter, each without the samples of some classes.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    cv : int, splitter or iterable
    params : dict
        For the splitter.
    unseen : float in [0, 1)
        Share of the classes; from fold to fold the next ones in a random order.
    random_state : int, RandomState or None
    """
    classes = np.unique(y)
    n_unseen = max(1, round(unseen * len(classes))) if unseen else 0
    if len(classes) - n_unseen < 2:
        raise ValueError(
            f"unseen={unseen} of {len(classes)} classes leaves {len(classes) - n_unseen}: two at least must "
            "be seen."
        )
    order = check_random_state(random_state).permutation(classes)
    splitter = check_cv(grouped(cv) if params.get("groups") is not None else cv, y, classifier=True)
    folds = []
    for i, split in enumerate(splitter.split(X, y, **params)):
        train, test = (_positions(part) for part in split)
        hidden = np.roll(order, -i * n_unseen)[:n_unseen]
        is_seen = ~np.isin(y[train], hidden)
        seen = np.unique(y[train][is_seen])
        if len(seen) < 2:
            raise ValueError(f"Fold {i} has {len(seen)} classes to fit to; two at least are needed.")
        folds.append(Fold(train[is_seen], train[~is_seen], test))
    if not folds:
        raise ValueError("cv gave no folds: is it a generator that is used up?")
    return folds


def grouped(cv: Any) -> Any:
    """Return a splitter that keeps groups together in place of a number of folds."""
    return StratifiedGroupKFold(int(cv)) if isinstance(cv, Integral) else cv


def _positions(part: Any) -> NDArray[np.intp]:
    """Of samples, which some splits give as lists or masks."""
    part = np.asarray(part)
    return np.flatnonzero(part) if part.dtype == bool else part.astype(np.intp, copy=False)


def for_splitter(estimator: Any, n_samples: int, params: dict) -> dict:
    """Return what the splitter is given, of what was given to the fit of an estimator."""
    if routing_enabled():
        routed = process_routing(estimator, "fit", **params).splitter.split
    else:
        others = sorted(params.keys() - {"groups"})
        if others:
            raise TypeError(f"fit got an unexpected keyword argument {others[0]!r}.")
        routed = params
    groups = routed.get("groups")
    if groups is not None:
        check_consistent_length(groups, np.empty(n_samples))
        if pd.isna(np.asarray(groups)).any():
            raise ValueError("Some groups are missing (NaN or None): give such samples groups of their own.")
    return dict(routed)
