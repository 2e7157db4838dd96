"""What a retriever may rank by, and how well it does in each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from sklearn_hierret._state import value
from sklearn_hierret.distance import within_one_error
from sklearn_hierret.evaluation import RetrievalScorer, scores_of_queries
from sklearn_hierret.metrics import class_weights
from sklearn_hierret.model_selection._splits import Fold
from sklearn_hierret.retrieval import HierarchicalRetriever, Searcher


@value("candidate")
class Candidate(NamedTuple):
    """What a retriever may rank by."""

    alpha: float
    stem: float | str
    weights: tuple[float, ...] | None
    metric: Any = "auto"


class Candidates(NamedTuple):
    """All combinations of the parameters."""

    all: list[Candidate]

    @classmethod
    def of(cls, alphas: ArrayLike, stems: Sequence, weights: list, metrics: Sequence) -> Candidates:
        """Check them.

        Raises
        ------
        ValueError
            If there is none, or one out of range.
        """
        try:
            checked = np.asarray(alphas, dtype=np.float64)
        except (TypeError, ValueError):
            checked = np.empty(0)
        if checked.ndim != 1 or not len(checked) or not np.all(checked >= 0):
            raise ValueError(f"alphas must be a list of numbers of at least 0, got {alphas!r}.")
        stems = list(stems)
        for stem in stems:
            is_number = isinstance(stem, (int, float, np.number)) and not isinstance(stem, bool)
            if not (isinstance(stem, str) and stem == "auto") and not (is_number and 0 <= stem <= 1):
                raise ValueError(f"stems must be 'auto' or numbers from 0 to 1, got {stem!r}.")
        metrics = [metrics] if isinstance(metrics, str) or hasattr(metrics, "fit") else list(metrics)
        for metric in metrics:
            if not (isinstance(metric, str) and metric in ("auto", "cosine", "whitened")) and not (
                hasattr(metric, "fit") and hasattr(metric, "transform")
            ):
                raise ValueError(
                    f"metrics must be 'auto', 'cosine', 'whitened' or transformers, got {metric!r}."
                )
        if not stems or not weights or not metrics:
            raise ValueError("stems, weights and metrics must not be empty.")
        every = product(metrics, stems, weights, checked.tolist())
        return cls([Candidate(alpha, stem, subset, metric) for metric, stem, subset, alpha in every])

    def columns(self) -> dict[str, NDArray]:
        """Columns of `cv_results_`."""
        columns = {}
        for name in Candidate._fields:
            column = np.empty(len(self.all), dtype=object)
            column[:] = [getattr(candidate, name) for candidate in self.all]
            columns[f"param_{name}"] = column
        return columns


def scores_of_fold(
    retriever_of: Callable[[Any], HierarchicalRetriever],
    X: NDArray,
    y: NDArray,
    fold: Fold,
    scorers: tuple[Any, ...],
    candidates: Candidates,
    groups: NDArray | None = None,
) -> list[NDArray[np.float64]]:
    """Scores that each scorer gives, (n_candidates, n_queries), or (n_candidates, 1) of other callables.

    Parameters
    ----------
    retriever_of : callable
        Gives a fitted retriever with each metric; what it ranks by is changed.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    fold : Fold
    scorers : tuple of callables
    candidates : Candidates
    groups : ndarray of shape (n_samples,), optional
        No query finds its own.
    """
    scores: list[list[NDArray[np.float64]]] = []
    for metric, alike in groupby(candidates.all, key=lambda candidate: candidate.metric):
        scores += _scores_of_metric(retriever_of(metric), X, y, fold, scorers, list(alike), groups)
    return [np.array(of_scorer) for of_scorer in zip(*scores, strict=True)]


def _scores_of_metric(
    retriever: HierarchicalRetriever,
    X: NDArray,
    y: NDArray,
    fold: Fold,
    scorers: tuple[Any, ...],
    candidates: list[Candidate],
    groups: NDArray | None,
) -> list[list[NDArray[np.float64]]]:
    """Scores of candidates that share a metric: a list for each."""
    Q, t = X[fold.test], y[fold.test]
    is_ours = isinstance(scorers[0], RetrievalScorer)
    judges: list[Any] = [scorers]
    if is_ours and not scorers[0].shares_search(scorers[-1]):
        judges = [(scorer,) for scorer in scorers]
    searches = []
    if is_ours:
        searches = [pair[0].search(retriever, Q, t, *_apart(pair[0], fold, groups)) for pair in judges]
    rankers = [search.model for search in searches] if is_ours else [retriever]
    searchers = {
        weights: [_with_weights(ranker.searcher(), weights) for ranker in rankers]
        for weights in {candidate.weights for candidate in candidates}
    }
    scores = []
    for candidate in candidates:
        models = [
            ranker.with_searcher(searcher, alpha=candidate.alpha, stem=candidate.stem)
            for ranker, searcher in zip(rankers, searchers[candidate.weights], strict=True)
        ]
        if not is_ours:
            scores.append([np.array([float(scorers[0](models[0], Q, t))])])
            continue
        of_candidate = []
        for pair, search, model in zip(judges, searches, models, strict=True):
            search.model = model
            of_candidate += scores_of_queries(pair, search)
        scores.append(of_candidate)
    return scores


def _apart(scorer: RetrievalScorer, fold: Fold, groups: NDArray | None) -> tuple[NDArray, ...]:
    """Return the groups of queries, and of a gallery that is not theirs, where some of them meet."""
    if groups is None or scorer.ties == "average":
        return ()
    of_queries, of_gallery = groups[fold.test], groups[np.append(fold.fit, fold.unseen)]
    if scorer.gallery == "fit":
        return (of_queries, of_gallery) if np.isin(of_queries, of_gallery).any() else ()
    return (of_queries,) if len(np.unique(of_queries)) > 1 else ()


def _with_weights(searcher: Searcher, weights: Any) -> Searcher:
    """Search by a tree with other weights of its parts; a gallery may have a tree of its own."""
    model = searcher.leaves.model
    return searcher if weights is None else replace(searcher, leaf_model=model.with_weights(weights))


class Scores:
    """Scores of candidates in folds, by one scorer or a pair.

    Parameters
    ----------
    results : list of lists of ndarrays
        What `scores_of_fold` returned for each fold.
    labels : list of ndarrays
        Of the queries of each fold.
    scorers : tuple of callables
    """

    def __init__(
        self, results: list[list[NDArray[np.float64]]], labels: list[NDArray], scorers: tuple[Any, ...]
    ) -> None:
        self._names = ["first", "second"] if len(scorers) == 2 else ["score"]
        #: (n_splits, n_candidates) of each scorer.
        self._of_folds = []
        for scorer, parts in zip(scorers, zip(*results, strict=True), strict=True):
            for i, part in enumerate(parts):
                if getattr(scorer, "empty", "skip") == "skip" and np.isnan(part).all(axis=1).any():
                    raise ValueError(
                        f"Fold {i} has no score: no query's class is in what it retrieves from, or the "
                        "scorer returned NaN."
                    )
            mean = scorer.mean if isinstance(scorer, RetrievalScorer) else _only
            pairs = zip(parts, labels, strict=True)
            self._of_folds.append(np.array([[mean(row, y) for row in part] for part, y in pairs]))
        self._is_as_good = None
        if len(scorers) == 2:
            first = np.concatenate([of_scorers[0] for of_scorers in results], axis=1)
            is_there = np.isfinite(first[0])
            first = first[:, is_there].T
            if scorers[0].macro:
                first = first * class_weights(np.concatenate(labels)[is_there])[:, None]
            best = int(self._of_folds[0].mean(axis=0).argmax())
            self._is_as_good = within_one_error(first, best)

    def best(self) -> int:
        """Position of the candidate to take."""
        means = self._of_folds[-1].mean(axis=0)
        if self._is_as_good is not None:
            means = np.where(self._is_as_good, means, -np.inf)
        return int(np.argmax(means))

    def columns(self) -> dict[str, NDArray]:
        """Columns of `cv_results_`."""
        columns: dict[str, NDArray] = {}
        for name, values in zip(self._names, self._of_folds, strict=True):
            columns |= {f"split{i}_test_{name}": row for i, row in enumerate(values)}
            mean = values.mean(axis=0)
            columns |= {f"mean_test_{name}": mean, f"std_test_{name}": values.std(axis=0)}
            columns[f"rank_test_{name}"] = rankdata(-mean, "min").astype(np.int32)
        if self._is_as_good is not None:
            columns["is_within_one_se"] = self._is_as_good
        return columns


def _only(scores: NDArray[np.float64], y: NDArray) -> float:
    return float(scores[0])
