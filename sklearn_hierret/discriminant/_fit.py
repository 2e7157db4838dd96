"""From statistics to a model: what has to be chosen is chosen by the likelihood of held-out folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sklearn_hierret._state import refuse_old_file, value
from sklearn_hierret.discriminant._linear import logistic_regression
from sklearn_hierret.discriminant._model import (
    N_CANDIDATES,
    Ballot,
    DiscriminantModel,
    DiscriminantSpace,
    Voters,
    best_columns,
    discriminant_space,
)
from sklearn_hierret.statistics import FoldRule, FoldStatistics, Parts, Report, WithinClasses, stands_for

#: Multiples of the closed-form shrinkage, and penalties, that are tried.
FACTORS, PENALTIES = (1, 2, 4, 8, 16), (1.0, 0.25)
#: Widths of the votes in the discriminant space, and of those by the features' own cosine.
WIDTHS, OWN_WIDTHS = (0.02, 0.03, 0.045, 0.06), (0.001, 0.002, 0.004, 0.008, 0.015, 0.03)
#: The share of the loss that votes by the features' own cosine must save to be worth their cost.
LEAST_GAIN = 0.1
#: Held-out rows of a fold that votes are tried with.
MOST_VOTES = 2048
#: Share of equal probabilities that votes need where they stand alone: a class may get none.
EQUAL = 0.01
#: What is used where no sample can be held out.
CONCENTRATION, WIDTH, SHARE = 12.0, 0.045, 0.3
#: Above this many multiplications in a pass over the kept rows, the linear part is in closed form.
MOST_PRODUCTS = 1e10
#: Scores of held-out rows that choices are made by.
MOST_SCORES = 1 << 24
#: Held-out rows of one fold that tell the shrinkage without the other folds.
ENOUGH_ROWS = 2000
#: Shrinkage that leaves something of the covariance.
MOST_SHRINKAGE = 0.9


#: Files of version 0.2 name a class that was here.
__getattr__ = refuse_old_file
#: Coefficients (n_classes, n_components) and intercepts (n_classes,).
Linear = tuple[NDArray, NDArray]


@dataclass(frozen=True)
class Settings(FoldRule):
    """What the user asked for."""

    shrinkage: float | str
    n_components: int | None
    linear: str


@value("discriminant choices")
@dataclass(frozen=True)
class Choices:
    """What was chosen, and the cross-fitted loss of each part with it.

    Attributes
    ----------
    factor : float
        Of the closed-form shrinkage.
    concentration : float
        Of the classes around their directions: ``log p = concentration * cosine + log prior``.
    penalty : float or None
        Of the logistic regression; None for the closed form.
    temperature : float
        Of the linear part.
    widths, shares : tuples of two floats
        Of the kernels of the votes, in the discriminant space and by the features' own cosine, and of
        these votes in the blend.
    losses : dict
        Mean negative log-likelihood of held-out samples: "closed_form", "linear", "votes" (with a
        hundredth of equal probabilities, since a class may get none), "blend".
    """

    factor: float = 1.0
    concentration: float = CONCENTRATION
    penalty: float | None = None
    temperature: float = 1.0
    widths: tuple[float, float] = (WIDTH, OWN_WIDTHS[0])
    shares: tuple[float, float] = (SHARE, 0.0)
    losses: dict[str, float] | None = None


class Part:
    """All folds but one, or all: a covariance, and the kept rows that the model is made of."""

    space: DiscriminantSpace
    class_directions: NDArray
    _projected: NDArray | None
    _held_projected: NDArray | None

    def __init__(
        self, statistics: FoldStatistics, within: WithinClasses, rule: Settings, fold: int | None = None
    ) -> None:
        self.rule, self.within, self.counts = rule, within, within.counts
        members = slice(None) if fold is None else statistics.folds != fold
        self.rows, self.codes = statistics.rows[members], statistics.codes[members]
        weights = statistics.row_weights
        self.row_weights = None if weights is None else weights[members]
        n = statistics.class_counts
        self.log_prior = np.log(n / n.sum())
        if fold is not None:
            held = (statistics.folds == fold) & within.present[statistics.codes]
            place = np.flatnonzero(held)
            place = place[np.argsort(statistics.keys[place])]
            place = place[: max(1, MOST_SCORES // (statistics.n_folds * len(n)))]
            self.held_rows, self.held_codes = statistics.rows[place], statistics.codes[place]
            self.held_weights = stands_for(statistics.codes, n, weights)[place]

    def set_shrinkage(self, factor: float) -> None:
        """Make the space, with a multiple of the closed-form shrinkage."""
        fixed = self.rule.shrinkage
        self.shrinkage = (
            min(MOST_SHRINKAGE, factor * self.within.shrinkage) if isinstance(fixed, str) else float(fixed)
        )
        self.space, self.class_directions = discriminant_space(
            self.within, self.shrinkage, self.rule.n_components, self.rows.dtype
        )
        self._projected = self._held_projected = None

    def closed_form(self, concentration: float) -> Linear:
        """Coefficients and intercepts from the class directions alone.

        A class without samples gets what a direction at right angles to all would have.
        """
        dtype = self.rows.dtype
        return (concentration * self.class_directions).astype(dtype), self.log_prior.astype(dtype)

    def takes_regression(self) -> bool:
        """Whether a logistic regression is affordable, or asked for."""
        n_products = self.rows.shape[0] * self.class_directions.size
        return self.rule.linear == "logistic" or (self.rule.linear == "auto" and n_products <= MOST_PRODUCTS)

    def held_density(self, concentration: float) -> NDArray[np.float64]:
        """Log-density of the held-out rows under the closed form, up to a constant."""
        return log_totals(self.scores(self.closed_form(concentration)))

    def regression(self, concentration: float, penalty: float, start: Linear | None = None) -> Linear:
        """Coefficients and intercepts of a logistic regression drawn to the closed form."""
        weights = stands_for(self.codes, self.counts, self.row_weights)
        prior = self.closed_form(concentration)
        return logistic_regression(self.projected(), self.codes, weights, prior, penalty, start)

    def projected(self) -> NDArray:
        """Project the kept rows to the space."""
        if self._projected is None:
            self._projected = self.space.transform_unit(self.rows)
        return self._projected

    def held_projected(self) -> NDArray:
        """Project the held-out rows to the space."""
        if self._held_projected is None:
            self._held_projected = self.space.transform_unit(self.held_rows)
        return self._held_projected

    def scores(self, linear: Linear) -> NDArray:
        """Of the held-out rows."""
        return self.held_projected() @ linear[0].T + linear[1]

    def loss(self, linear: Linear) -> float:
        """Mean negative log-likelihood of the held-out rows."""
        return self.loss_of(self.scores(linear))

    def loss_of(self, scores: NDArray) -> float:
        losses = log_totals(scores) - scores[np.arange(len(scores)), self.held_codes]
        return float(np.average(losses, weights=self.held_weights))

    def voters(self, rows: NDArray) -> Voters:
        """Let kept rows vote, projected or as they are."""
        return Voters.of(rows, self.codes, self.counts, row_weights=self.row_weights)

    def model(self, linear: Linear, choices: Choices) -> DiscriminantModel:
        coefficients, intercepts = linear
        dtype = self.rows.dtype.type
        return DiscriminantModel(
            self.space,
            coefficients / dtype(choices.temperature),
            intercepts / dtype(choices.temperature),
            tuple(
                Ballot(space, self.voters(rows), width, share)
                for space, rows, width, share in zip(
                    (self.space, None),
                    (self.projected(), self.rows),
                    choices.widths,
                    choices.shares,
                    strict=True,
                )
                if share
            ),
        )


@value("fitted discriminant model")
class FittedModel(NamedTuple):
    """The model of all samples, and what was chosen for it.

    Attributes
    ----------
    model : DiscriminantModel
    choices : Choices
    shrinkage : float
        Of the model's covariance.
    class_directions : ndarray of shape (n_classes, n_components)
    held_density : ndarray of shape (n_held,)
        Log-densities of kept rows by the models without their fold, up to a constant.
    """

    model: DiscriminantModel
    choices: Choices
    shrinkage: float
    class_directions: NDArray
    held_density: NDArray[np.float64]


def fit_models(
    parts: Parts, rule: Settings, report: Report
) -> tuple[FittedModel, list[DiscriminantModel | None]]:
    """Choose, and fit the model of all samples and those without one fold each.

    A model is None where less than two classes would be left.
    """
    statistics = parts.statistics
    n_folds, able = statistics.n_folds, {}
    for fold in range(n_folds):
        left = statistics.class_counts - statistics.counts[fold]
        if np.count_nonzero(left) >= 2:
            part = Part(statistics, parts.within(fold), rule, fold)
            if len(part.held_rows):
                able[fold] = part
        report(f"covariance without fold {fold + 1} of {n_folds}", 0.1 * (fold + 1) / n_folds)
    choices, linear = _choose(list(able.values()), rule, report) if able else (Choices(), [])
    held_out: list[DiscriminantModel | None] = [None] * n_folds
    for (fold, able_part), fitted in zip(able.items(), linear, strict=True):
        held_out[fold] = able_part.model(fitted, choices)
    densities = [part.held_density(choices.concentration) for part in able.values()]
    report("models without a fold each", 0.85)
    whole = Part(statistics, parts.within(), rule)
    whole.set_shrinkage(choices.factor)
    if not able and whole.takes_regression():
        choices = replace(choices, penalty=PENALTIES[0])
    if choices.penalty is None:
        linear_of_all = whole.closed_form(choices.concentration)
    else:
        linear_of_all = whole.regression(choices.concentration, choices.penalty)
    model = whole.model(linear_of_all, choices)
    report("the model of all samples", 1.0)
    held_density = np.concatenate([np.empty(0), *densities])
    return FittedModel(model, choices, whole.shrinkage, whole.class_directions, held_density), held_out


def _choose(parts: list[Part], rule: Settings, report: Report) -> tuple[Choices, list[Linear]]:
    """Make the choices one after another; return the linear models of the parts, too."""
    # Large parts tell the shrinkage and the penalty alone.
    few = parts[:1] if len(parts[0].held_rows) >= ENOUGH_ROWS else parts
    tried = FACTORS if isinstance(rule.shrinkage, str) else FACTORS[:1]
    options: list[tuple[float, float, float]] = []
    for factor in tried:
        options.append((*_closed_form(few, factor), factor))
        if options[-1][0] > min(options)[0]:
            break
    factor = min(options)[2]
    loss, concentration = _closed_form(parts, factor)
    choices, losses = Choices(factor, concentration), {"closed_form": loss}
    report(f"shrinkage: {factor} times the closed form", 0.5)
    linear = [part.closed_form(concentration) for part in parts]
    if min(part.takes_regression() for part in parts):
        first: list[tuple[float, float | None, Linear]] = [(parts[0].loss(linear[0]), None, linear[0])]
        for penalty in PENALTIES:
            fitted = parts[0].regression(concentration, penalty, first[-1][2])
            first.append((parts[0].loss(fitted), penalty, fitted))
        _, best_penalty, linear[0] = min(first, key=lambda option: option[0])
        choices = replace(choices, penalty=best_penalty)
        if best_penalty is not None:
            linear[1:] = [part.regression(concentration, best_penalty) for part in parts[1:]]
    report(f"linear part: penalty {choices.penalty}", 0.7)
    scores = [part.scores(model) for part, model in zip(parts, linear, strict=True)]
    optimum = minimize_scalar(
        lambda log: _pooled(parts, [of_part * of_part.dtype.type(np.exp(-log)) for of_part in scores]),
        bounds=(-1, 1),
        method="bounded",
    )
    choices = replace(choices, temperature=float(np.exp(optimum.x)))
    scores = [of_part * of_part.dtype.type(1 / choices.temperature) for of_part in scores]
    choices = _with_votes(parts, scores, choices, losses)
    report("votes", 0.8)
    return choices, linear


def _closed_form(parts: list[Part], factor: float) -> tuple[float, float]:
    """Loss of the closed form with some shrinkage, and the best concentration."""
    cosines = []
    for part in parts:
        part.set_shrinkage(factor)
        cosines.append(part.held_projected() @ part.class_directions.T)

    def of_concentration(log: float) -> float:
        scores = [
            cosine * cosine.dtype.type(np.exp(log)) + part.log_prior.astype(cosine.dtype)
            for part, cosine in zip(parts, cosines, strict=True)
        ]
        return _pooled(parts, scores)

    optimum = minimize_scalar(of_concentration, bounds=(0, 6), method="bounded", options={"xatol": 0.02})
    return float(optimum.fun), float(np.exp(optimum.x))


def _pooled(parts: list[Part], scores: list[NDArray]) -> float:
    """Mean loss of the held-out rows of all parts."""
    totals = [part.held_weights.sum() for part in parts]
    losses = [part.loss_of(of_part) for part, of_part in zip(parts, scores, strict=True)]
    return float(np.average(losses, weights=totals))


def _with_votes(
    parts: list[Part], scores: list[NDArray], choices: Choices, losses: dict[str, float]
) -> Choices:
    """Add widths and shares of the votes to the choices, and the losses with them."""
    of_parts = _held_votes(parts, scores)
    weights = np.concatenate([part.held_weights[:MOST_VOTES] for part in parts])
    weights /= weights.sum()
    of_linear, of_votes, of_own = (
        np.concatenate(of_part, axis=-1) for of_part in zip(*of_parts, strict=True)
    )
    options = [(*_blended(np.stack([of_linear, votes]), weights), i) for i, votes in enumerate(of_votes)]
    best, two, i = min(options, key=lambda option: option[0])
    widths, shares = (WIDTHS[i], OWN_WIDTHS[0]), (float(two[1]), 0.0)
    options = [
        (*_blended(np.stack([of_linear, of_votes[i], own]), weights), j) for j, own in enumerate(of_own)
    ]
    with_own, three, j = min(options, key=lambda option: option[0])
    if with_own < (1 - LEAST_GAIN) * best:
        best, widths, shares = with_own, (WIDTHS[i], OWN_WIDTHS[j]), (float(three[1]), float(three[2]))
    equal = EQUAL / scores[0].shape[1]
    alone = [-float(weights @ np.log((1 - EQUAL) * votes + equal)) for votes in of_votes]
    losses |= {
        "linear": -float(weights @ np.log(np.maximum(of_linear, 1e-30))),
        "votes": min(alone),
        "blend": best,
    }
    return replace(choices, widths=widths, shares=shares, losses=losses)


def _held_votes(parts: list[Part], scores: list[NDArray]) -> list[tuple[NDArray, NDArray, NDArray]]:
    """Probabilities of held-out rows' own classes: linear, by votes, by votes of the own cosine."""
    results = []
    for part, of_part in zip(parts, scores, strict=True):
        members, codes = of_part[:MOST_VOTES], part.held_codes[:MOST_VOTES]
        of_own = members[np.arange(len(codes)), codes] - log_totals(members)
        candidates = best_columns(members, min(N_CANDIDATES, members.shape[1]))
        is_own = candidates == codes[:, None]
        by_space = [
            (part.voters(rows).votes(queries, candidates, widths) * is_own).sum(axis=2)
            for rows, queries, widths in (
                (part.projected(), part.held_projected()[:MOST_VOTES], WIDTHS),
                (part.rows, part.held_rows[:MOST_VOTES], OWN_WIDTHS),
            )
        ]
        results.append((np.exp(of_own.astype(np.float64)), *by_space))
    return results


def _blended(parts: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Find the least loss of a blend, and the shares, by expectation maximisation.

    Parameters
    ----------
    parts : ndarray of shape (n_parts, n_samples)
        Probability of each sample's own class; the first part is positive.
    weights : ndarray of shape (n_samples,)
    """
    parts = np.maximum(parts, [[1e-30]] + [[0.0]] * (len(parts) - 1))
    shares = np.full(len(parts), 1 / len(parts))
    for _ in range(100):
        joint = shares[:, None] * parts
        shares = joint / joint.sum(axis=0) @ weights
    shares = np.where(shares < 0.01, 0, shares)
    shares /= shares.sum()
    if not shares[0]:  # no class may be impossible
        shares = 0.99 * shares + 0.01 * np.eye(len(parts))[0]
    loss = -float(weights @ np.log(shares @ parts))
    alone = -float(weights @ np.log(parts[0]))
    return (loss, shares) if loss < alone else (alone, np.eye(len(parts))[0])


def log_totals(scores: NDArray) -> NDArray:
    """``log(sum(exp(scores), axis=1))``."""
    largest = scores.max(axis=1)
    return largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
