"""How well a sample is known: the odds that its class was among those of the fit."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._state import value
from sklearn_hierret.discriminant._fit import Choices, FittedModel, Part, Settings, log_totals
from sklearn_hierret.discriminant._model import CHUNK, DiscriminantSpace
from sklearn_hierret.statistics import FoldStatistics, Parts, WithinClasses

#: Samples of a group of classes that is unknown once.
MOST_HELD = 2048
#: Log-odds beyond this say nothing more about a share.
MOST_LOG_ODDS = 30


@value("density")
@dataclass(frozen=True)
class Density:
    """A mixture of von Mises-Fisher distributions on the discriminant sphere, one of each class.

    Attributes
    ----------
    space : DiscriminantSpace
    directions : ndarray of shape (n_classes, n_components)
        Class directions times the concentration.
    log_prior : ndarray of shape (n_classes,)
    """

    space: DiscriminantSpace
    directions: NDArray
    log_prior: NDArray

    @classmethod
    def of(cls, part: Part, choices: Choices) -> Density:
        return cls(part.space, *part.closed_form(choices.concentration))

    def log_density(self, X: NDArray) -> NDArray[np.float64]:
        """Up to a constant, (n_samples,)."""
        results = np.empty(len(X))
        row_bytes = X.itemsize * (2 * len(self.log_prior) + 3 * X.shape[1])
        for rows in row_chunks(len(X), row_bytes, at_most=CHUNK):
            scores = self.space.transform(X[rows]) @ self.directions.T
            scores += self.log_prior
            results[rows] = log_totals(scores)
        return results


@value("novelty")
@dataclass(frozen=True)
class Novelty:
    """Log-odds that the class of a sample is known, where known and unknown ones are equally frequent.

    Attributes
    ----------
    density : Density
        Of all classes.
    slope, intercept : float
        Of the log-odds, by the log-density.
    """

    density: Density
    slope: float
    intercept: float

    def log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """(n_samples,); infinite where nothing could be held out."""
        if not self.slope:
            return np.full(len(X), np.inf)
        return self.slope * self.density.log_density(X) + self.intercept


def fit_novelty(parts: Parts, rule: Settings, fitted: FittedModel) -> Novelty:
    """Calibrate a density by samples that it did not see, of known and of unknown classes.

    Both are samples of the training set: each fold by a model of the others, and each of some
    groups of classes by a model of the other classes, all with the choices that were made for the model.
    """
    choices, known = fitted.choices, fitted.held_density

    def density_of(statistics: FoldStatistics, within: WithinClasses) -> Density:
        part = Part(statistics, within, rule)
        part.set_shrinkage(choices.factor)
        return Density.of(part, choices)

    statistics = parts.statistics
    unknown = [
        density_of(group.others, group.within).log_density(statistics.rows[group.held[:MOST_HELD]])
        for group in parts.groups()
    ]
    density = density_of(statistics, parts.within())
    if not len(known) or not unknown:
        return Novelty(density, 0.0, np.inf)
    values = np.concatenate([known, *unknown])
    center, scale = values.mean(), max(values.std(), np.finfo(np.float64).tiny)
    is_known = np.arange(len(values)) < len(known)
    model = LogisticRegression(class_weight="balanced")
    model.fit(((values - center) / scale)[:, None], is_known)
    # A sample in denser surroundings is never less known.
    slope = max(0.0, float(model.coef_[0, 0])) / scale
    return Novelty(density, slope, float(model.intercept_[0] - slope * center) if slope else np.inf)


def known_proba(log_odds: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Probability that samples are known, of log-odds for equal shares and the true share.

    It is 0 and 1 exactly where the share is.
    """
    if share in (0, 1):
        return np.full(len(log_odds), float(share))
    return expit(log_odds + logit(share))


def known_share(log_odds: NDArray[np.float64]) -> float:
    """Find the share of known samples that makes samples likeliest.

    The likelihood is concave in the share, so that its derivative vanishes at most once.
    """
    ratio = np.exp(np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS))
    if not len(ratio) or np.mean(1 / ratio) <= 1:
        return 1.0
    if np.mean(ratio) <= 1:
        return 0.0
    return float(brentq(lambda share: np.mean((ratio - 1) / (1 + share * (ratio - 1))), 0, 1))


def check_share(share: float) -> None:
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number between 0 and 1, got {share!r}.")
