"""The visual metric of a retriever: chosen or fitted, and without each fold for held-out samples."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import ClassModel
from sklearn_hierret.distance import (
    CosineMetric,
    TransformedMetric,
    VisualMetric,
    WhiteningChoice,
    WithinClassWhitening,
    choose_whitening,
)
from sklearn_hierret.statistics import FoldStatistics, Parts

HeldOutRows = Callable[[int, NDArray[np.intp], NDArray], NDArray]


@dataclass(frozen=True)
class FittedMetric:
    """What a fit makes of the parameter `metric`.

    Attributes
    ----------
    chosen : "cosine", "whitened" or fitted transformer
    visual : VisualMetric
        Of all samples.
    held_out : callable
        ``held_out(fold, others, X)`` gives rows of samples of a fold by a metric that did not see that fold,
        up to a rotation; `others` are the positions of all samples that are not in it.
    shrinkage : float or None
        Of the whitening, if there is one.
    """

    chosen: Any
    visual: VisualMetric
    held_out: HeldOutRows
    shrinkage: float | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        name = self.chosen if isinstance(self.chosen, str) else type(self.chosen).__name__
        return name if self.shrinkage is None else f"{name}, shrinkage {self.shrinkage:g}"


def cosine_metric() -> FittedMetric:
    """Return the metric that compares features by cosine."""
    plain = CosineMetric()
    return FittedMetric("cosine", plain, lambda fold, others, X: plain.rows(X)[0])


def fit_metric(metric: Any, model: ClassModel, training: TrainingSet) -> FittedMetric:
    """Fit the visual metric: "auto", "cosine", "whitened" or a transformer.

    The class model's statistics are used where it keeps some of these samples.
    """
    X, y = training.X, training.y
    if isinstance(metric, str) and metric == "cosine":
        return cosine_metric()
    if not isinstance(metric, str):
        return _transformed(metric, X, y)
    may_be_cosine = metric == "auto"
    shares_folds = model.keeps_folds and model.parts is not None
    parts = (
        model.parts if shares_folds else Parts(FoldStatistics.of_block(X, y, 3, 0, groups=training.groups))
    )
    assert parts is not None
    choice = choose_whitening(parts, may_be_cosine=may_be_cosine)
    whitening = choice.whitening()
    if whitening is None:
        if not may_be_cosine:
            warnings.warn(
                "metric='whitened', and samples do not differ within their classes: there is nothing to "
                "whiten by, so features are compared by cosine.",
                UserWarning,
                stacklevel=2,
            )
        return cosine_metric()
    if shares_folds:
        return FittedMetric("whitened", whitening, _by_folds(choice), choice.shrinkage)
    assert choice.shrinkage is not None
    estimator = WithinClassWhitening(shrinkage=choice.shrinkage)
    return FittedMetric("whitened", whitening, _by_clones(estimator, X, y, whitening), choice.shrinkage)


def _by_folds(choice: WhiteningChoice) -> HeldOutRows:
    """Whiten by the statistics of the other folds."""

    def held_out(fold: int, others: NDArray[np.intp], X: NDArray) -> NDArray:
        rows = choice.rows_without(fold, X)
        return CosineMetric().rows(X)[0] if rows is None else rows

    return held_out


def _by_clones(transformer: Any, X: NDArray, y: NDArray, whole: VisualMetric) -> HeldOutRows:
    """Fit clones without a fold; where that fails, as for classes too small, take what saw all samples."""

    def held_out(fold: int, others: NDArray[np.intp], rows: NDArray) -> NDArray:
        metric = whole
        if len(others) < len(X):
            with contextlib.suppress(ValueError), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                metric = _value_of(clone(transformer).fit(X[others], y[others]))
        return metric.rows(rows)[0]

    return held_out


def _transformed(transformer: Any, X: NDArray, y: NDArray) -> FittedMetric:
    fitted = clone(transformer).fit(X.copy(), y)
    whole = _value_of(fitted)
    whole.rows(X[:2])  # or raises
    return FittedMetric(fitted, whole, _by_clones(transformer, X, y, whole))


def _value_of(fitted: Any) -> VisualMetric:
    """Take the value of a whitening that keeps all features: its rows tell the features."""
    if isinstance(fitted, WithinClassWhitening):
        whitening = fitted.whitening_
        if whitening is None:
            return CosineMetric()
        if whitening.n_components == len(whitening.mean) and fitted.between_shrinkage is None:
            return whitening
    return TransformedMetric(fitted)
