"""From statistics to a model: what has to be chosen is chosen by the likelihood of held-out folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sklearn_hierret.discriminant._linear import logistic_regression
from sklearn_hierret.discriminant._model import DiscriminantModel, best_columns
from sklearn_hierret.discriminant._space import WithinClasses
from sklearn_hierret.discriminant._statistics import FoldStatistics
from sklearn_hierret.discriminant._votes import N_CANDIDATES, Voters

#: Multiples of the closed-form shrinkage, penalties, and widths of the votes that are tried.
FACTORS, PENALTIES, WIDTHS = (1, 2, 4, 8, 16), (1.0, 0.25), (0.02, 0.03, 0.045, 0.06)
#: What is used where no sample can be held out.
CONCENTRATION, WIDTH, SHARE = 12.0, 0.045, 0.3
#: Above this many multiplications in a pass over the kept rows, the linear part is in closed form.
MOST_PRODUCTS = 1e10
#: Scores of held-out rows that choices are made by.
MOST_SCORES = 1 << 24
#: Shrinkage that leaves something of the covariance.
MOST_SHRINKAGE = 0.9


@dataclass(frozen=True)
class Rule:
    """What the user asked for."""

    shrinkage: float | str
    n_components: int | None
    linear: str


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
    temperature, width, share : float
        Of the linear part, of the votes' kernel, and of the votes in the blend.
    losses : dict
        Mean negative log-likelihood of held-out samples: "closed_form", "linear", "votes", "blend".
    """

    factor: float = 1.0
    concentration: float = CONCENTRATION
    penalty: float | None = None
    temperature: float = 1.0
    width: float = WIDTH
    share: float = SHARE
    losses: dict[str, float] | None = None


class Part:
    """All folds but one, or all: a covariance, and the kept rows that the model is made of."""

    def __init__(self, statistics: FoldStatistics, rule: Rule, fold: int | None) -> None:
        self.rule = rule
        counts, sums, moments = statistics.without(fold)
        self.within = WithinClasses.of(counts, sums, moments)
        self.counts = counts
        mine = slice(None) if fold is None else statistics.folds != fold
        self.rows, self.codes = statistics.rows[mine], statistics.codes[mine]
        n = statistics.class_counts
        self.log_prior = np.log(n / n.sum())
        if fold is not None:
            kept = np.bincount(statistics.codes, minlength=len(n))
            held = (statistics.folds == fold) & self.within.present[statistics.codes]
            place = np.flatnonzero(held)
            place = place[np.argsort(statistics.keys[place])]
            place = place[: max(1, MOST_SCORES // (statistics.n_folds * len(n)))]
            self.held_rows, self.held_codes = statistics.rows[place], statistics.codes[place]
            self.held_weights = (n / kept)[self.held_codes]

    def set_shrinkage(self, factor: float) -> None:
        """Make the space, with a multiple of the closed-form shrinkage."""
        fixed = self.rule.shrinkage
        self.shrinkage = (
            min(MOST_SHRINKAGE, factor * self.within.shrinkage) if isinstance(fixed, str) else float(fixed)
        )
        self.space, self.class_directions = self.within.space(
            self.shrinkage, self.rule.n_components, self.rows.dtype
        )
        self._projected: NDArray | None = None

    def closed_form(self, concentration: float) -> tuple[NDArray, NDArray]:
        """Coefficients and intercepts from the class directions alone.

        A class without samples gets what a random direction would have.
        """
        dtype = self.rows.dtype
        return (concentration * self.class_directions).astype(dtype), self.log_prior.astype(dtype)

    def takes_regression(self) -> bool:
        """Whether a logistic regression is affordable, or asked for."""
        n_products = self.rows.shape[0] * self.class_directions.size
        return self.rule.linear == "logistic" or (
            self.rule.linear == "auto" and n_products <= MOST_PRODUCTS
        )

    def linear(self, choices: Choices, start: tuple | None = None) -> tuple[NDArray, NDArray]:
        """Coefficients and intercepts, before the temperature."""
        prior = self.closed_form(choices.concentration)
        if choices.penalty is None:
            return prior
        kept = np.bincount(self.codes, minlength=len(self.counts))
        weights = (self.counts / np.maximum(1, kept))[self.codes]
        return logistic_regression(self.projected(), self.codes, weights, prior, choices.penalty, start)

    def projected(self) -> NDArray:
        """The kept rows in the space."""
        if self._projected is None:
            self._projected = self.space.transform(self.rows)
        return self._projected

    def model(self, linear: tuple[NDArray, NDArray], choices: Choices) -> DiscriminantModel:
        coefficients, intercepts = linear
        dtype = self.rows.dtype.type
        return DiscriminantModel(
            self.space,
            coefficients / dtype(choices.temperature),
            intercepts / dtype(choices.temperature),
            Voters.of(self.projected(), self.codes, self.counts),
            choices.width,
            choices.share,
        )


def fit_models(
    statistics: FoldStatistics, rule: Rule, report: Callable[[str], None]
) -> tuple[DiscriminantModel, Choices, float, list[DiscriminantModel | None], NDArray]:
    """Choose, and fit.

    Returns
    -------
    model : DiscriminantModel
        Of all samples.
    choices : Choices
    shrinkage : float
        Of the model's covariance.
    held_out : list of (DiscriminantModel or None)
        Models without one fold each; None where less than two classes would be left.
    class_directions : ndarray of shape (n_classes, n_components)
    """
    n_folds = statistics.n_folds
    parts: list[Part | None] = []
    for fold in range(n_folds):
        some = np.count_nonzero(statistics.without(fold)[0]) >= 2
        parts.append(Part(statistics, rule, fold) if some else None)
        report(f"covariance without fold {fold + 1} of {n_folds}")
    able = [part for part in parts if part is not None and len(part.held_rows)]
    choices, linear = _choose(able, rule, report) if able else (Choices(), [])
    report("all choices but the last fit")
    held_out = [
        None if part is None else part.model(linear[able.index(part)], choices) if part in able else None
        for part in parts
    ]
    whole = Part(statistics, rule, None)
    whole.set_shrinkage(choices.factor)
    if not able and whole.takes_regression():
        choices = replace(choices, penalty=PENALTIES[0])
    model = whole.model(whole.linear(choices), choices)
    report("the model of all samples")
    return model, choices, whole.shrinkage, held_out, whole.class_directions


def _choose(parts: list[Part], rule: Rule, report: Callable[[str], None]) -> tuple[Choices, list]:
    codes = np.concatenate([part.held_codes for part in parts])
    weights = np.concatenate([part.held_weights for part in parts])
    weights = weights / weights.sum()
    log_prior = parts[0].log_prior.astype(parts[0].rows.dtype)

    def loss(scores: NDArray, of: slice = slice(None)) -> float:
        own = scores[np.arange(len(scores)), codes[of]]
        w = weights[of] / weights[of].sum()
        return float(w @ (log_totals(scores) - own))

    # The shrinkage, with the closed form.
    best, factor, concentration = np.inf, 1.0, CONCENTRATION
    for tried in FACTORS if isinstance(rule.shrinkage, str) else (1,):
        for part in parts:
            part.set_shrinkage(tried)
        cosine = np.concatenate(
            [part.space.transform(part.held_rows) @ part.class_directions.T for part in parts]
        )

        def of_concentration(log: float, cosine: NDArray = cosine) -> float:
            return loss(cosine * cosine.dtype.type(np.exp(log)) + log_prior)

        found = minimize_scalar(of_concentration, bounds=(0, 6), method="bounded", options={"xatol": 0.02})
        if found.fun > best:
            break
        best, factor, concentration = float(found.fun), tried, float(np.exp(found.x))
    for part in parts:
        part.set_shrinkage(factor)
    report(f"shrinkage: {factor} times the closed form")
    # The linear part; on one fold it is chosen between the closed form and the penalties.
    choices, losses = Choices(factor, concentration), {"closed_form": best}
    results = []
    if min(part.takes_regression() for part in parts):
        part, of = parts[0], slice(0, len(parts[0].held_rows))
        Z, W, b = part.space.transform(part.held_rows), *part.closed_form(concentration)
        results = [(loss(Z @ W.T + b, of), None, (W, b))]
        for penalty in PENALTIES:
            W, b = part.linear(replace(choices, penalty=penalty), (W, b))
            results.append((loss(Z @ W.T + b, of), penalty, (W, b)))
        choices = replace(choices, penalty=min(results, key=lambda result: result[0])[1])
    linear = []
    for i, part in enumerate(parts):
        known = [result for _, penalty, result in results if i == 0 and penalty == choices.penalty]
        linear.append(known[0] if known else part.linear(choices))
        report(f"linear part without fold {i + 1} of {len(parts)}")
    held = [part.space.transform(part.held_rows) for part in parts]
    scores = np.concatenate([Z @ W.T + b for Z, (W, b) in zip(held, linear, strict=True)])
    found = minimize_scalar(
        lambda log: loss(scores * scores.dtype.type(np.exp(-log))), bounds=(-1, 1), method="bounded"
    )
    choices = replace(choices, temperature=float(np.exp(found.x)))
    losses["linear"] = float(found.fun)
    # The votes, and their share.
    scores *= scores.dtype.type(1 / choices.temperature)
    own = np.arange(len(codes)), codes
    of_linear = np.exp((scores[own] - log_totals(scores)).astype(np.float64))
    candidates = best_columns(scores, min(N_CANDIDATES, scores.shape[1]))
    of_votes, start = [], 0
    for part, Z in zip(parts, held, strict=True):
        mine = slice(start, start + len(Z))
        start += len(Z)
        voters = Voters.of(part.projected(), part.codes, part.counts)
        votes = voters.votes(Z, candidates[mine], WIDTHS)
        of_votes.append((votes * (candidates[mine] == codes[mine, None])).sum(axis=2))
    options = []
    for width, votes in zip(WIDTHS, np.concatenate(of_votes, axis=1), strict=True):

        def of_share(share: float, votes: NDArray = votes) -> float:
            return -float(weights @ np.log(np.maximum((1 - share) * of_linear + share * votes, 1e-30)))

        found = minimize_scalar(of_share, bounds=(0, 1), method="bounded", options={"xatol": 0.005})
        options.append((float(found.fun), width, float(found.x), of_share(1.0)))
    blended, width, share, votes_alone = min(options)
    if blended > losses["linear"]:
        blended, share = losses["linear"], 0.0
    losses |= {"votes": min(votes_alone for *_, votes_alone in options), "blend": blended}
    report("votes")
    return replace(choices, width=width, share=share, losses=losses), linear


def log_totals(scores: NDArray) -> NDArray:
    """``log(sum(exp(scores), axis=1))``."""
    largest = scores.max(axis=1)
    return largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
