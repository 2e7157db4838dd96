"""A retriever that chooses its weights by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_hierret._arrays import unchanged_on_error
from sklearn_hierret._sklearn import HasMethods, Interval, fit_context
from sklearn_hierret._training import TrainingSet, hashed_groups
from sklearn_hierret.building import CombinedHierarchyBuilder, named
from sklearn_hierret.evaluation import RetrievalScorer, make_retrieval_scorer
from sklearn_hierret.hierarchy import CombinedHierarchy, check_weights
from sklearn_hierret.model_selection._candidates import Candidates, Scores, scores_of_fold
from sklearn_hierret.model_selection._splits import Fold, folds_of, for_splitter, grouped
from sklearn_hierret.retrieval import (
    ALPHAS,
    HierarchicalRetriever,
    Options,
    Searcher,
    fit_metric,
    fit_retriever,
)

#: Parameters of a retriever that are none here.
CHOSEN = ("alpha", "stem", "metric")


class HierarchicalRetrieverCV(HierarchicalRetriever):
    """`HierarchicalRetriever` with alpha, stem and the weights of hierarchies chosen by cross-validation.

    One class model is fitted a fold, and every candidate ranks with it. Then the retriever is fitted to
    all samples with the best candidate's parameters.

    `HierarchicalRetriever` chooses alpha by itself, at a fifth of the cost, from held-out samples of the same
    classes. This one can hold out whole classes, or groups of samples that belong together (photographs of
    one series, say), and judges by any metric.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None, default=None
        See `HierarchicalRetriever`.
    alphas : array-like of shape (n_alphas,), default=(0, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 16)
        Candidates for the weight of the hierarchical distance, in [0, inf].
    stems : sequence of "auto" or float, default=("auto",)
        Candidates for the least distance of different leaves.
    weights : array-like of shape (n_candidates, n_hierarchies), default=None
        Candidates for the weights of a combined hierarchy: a list, a `CombinedHierarchyBuilder` or a
        `CombinedHierarchy`. None keeps its weights.
    metrics : sequence of {"auto", "cosine", "whitened"} or transformers, default=("auto",)
        Candidates for the visual distance; each is fitted in each fold, beside one class model.
    cv : int, cross-validation splitter or iterable, default=3
        See `sklearn.model_selection.check_cv`; an int means stratified folds, which keep groups
        together where some are given.
    scoring : scorer or pair of scorers, default=None
        One scorer: the candidate with the best mean over the folds; any callable (estimator, X, y) will do,
        where the estimator's gallery is the training part of the fold. A pair, made by
        `make_retrieval_scorer`: the best by the second among those that are within one standard error of the
        best by the first (of the difference, over the queries of all folds [1]_). None means the pair of
        ``mAP@1`` and ``mAP@20``: where `groups` are given, queries search the training part of the fold,
        since in their own part they would find their group; otherwise they search their own part, as in an
        unlabelled gallery. Of equals the first is taken, in the order of `metrics`, `stems`, `weights` and
        `alphas`.
    unseen : float in [0, 1), default=0
        Share of the classes that are held out of each fold's fit as well, as in a gallery with unknown
        classes. Their samples stay in what is searched.
    assignment, gallery_leaves, new_classes, novelty, n_neighbors, class_model
        See `HierarchicalRetriever`.
    random_state : int, RandomState or None, default=0
        Draws the classes that are not seen.
    n_jobs, verbose
        See `HierarchicalRetriever`.

    Attributes
    ----------
    alpha_ : float
    stem_ : "auto" or float
    metric_ : "cosine", "whitened" or fitted transformer
        What the candidate that was chosen became.
    weights_ : tuple of length n_hierarchies, or None
        They sum to 1; None if there were no candidates.
    best_index_ : int
        Of the candidate in `cv_results_`.
    cv_results_ : dict of ndarrays
        ``pd.DataFrame(cv_results_)`` shows it: ``param_alpha``, ``param_stem``, ``param_weights``,
        ``param_metric``, and for
        each scorer, ``score`` or ``first`` and ``second``, ``split0_test_score``, ..., ``mean_test_score``,
        ``std_test_score`` and ``rank_test_score``; with a pair ``is_within_one_se``.
    n_splits_ : int
    classes_, hierarchy_, hierarchy_builder_, class_model_, n_features_in_, feature_names_in_
        See `HierarchicalRetriever`.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, C. J. Stone, R. A. Olshen, "Classification and Regression Trees", 1984,
       section 3.4.3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret.model_selection import HierarchicalRetrieverCV
    >>> X, y = load_digits(return_X_y=True)
    >>> retriever = HierarchicalRetrieverCV(alphas=[0, 0.3, 1, 3], unseen=0.3).fit(X[:900], y[:900])
    >>> retriever.alpha_ in (0, 0.3, 1, 3)
    True
    >>> retriever.kneighbors(X[900:], 20)[1].shape
    (897, 20)
    """

    _parameter_constraints: dict = {
        **{
            name: of
            for name, of in HierarchicalRetriever._parameter_constraints.items()
            if name not in CHOSEN
        },
        "alphas": ["array-like"],
        "stems": ["array-like"],
        "weights": ["array-like", None],
        "metrics": [list, tuple, str, HasMethods(["fit", "transform"])],
        "cv": ["cv_object"],
        "scoring": [callable, list, tuple, None],
        "unseen": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        alphas: ArrayLike = ALPHAS,
        stems: Any = ("auto",),
        weights: Sequence[ArrayLike] | None = None,
        metrics: Any = ("auto",),
        cv: Any = 3,
        scoring: Any = None,
        unseen: float = 0.0,
        assignment: str = "soft",
        gallery_leaves: str = "auto",
        new_classes: str = "auto",
        novelty: bool | str = "auto",
        n_neighbors: int = 5,
        class_model: Any = None,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.hierarchy = hierarchy
        self.alphas = alphas
        self.stems = stems
        self.weights = weights
        self.metrics = metrics
        self.cv = cv
        self.scoring = scoring
        self.unseen = unseen
        self.assignment = assignment
        self.gallery_leaves = gallery_leaves
        self.new_classes = new_classes
        self.novelty = novelty
        self.n_neighbors = n_neighbors
        self.class_model = class_model
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _nested: ClassVar[dict[str, str]] = {
        name: remedy for name, remedy in HierarchicalRetriever._nested.items() if name != "metric"
    }
    #: What the retriever ranks by was chosen, and is no parameter.
    _lazy: ClassVar[dict] = {
        **HierarchicalRetriever._lazy,
        "alpha": lambda self: self.alpha_,
        "stem": lambda self: self.stem_,
        "metric": lambda self: self._candidate.metric,
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        metadata: Any = None,
        **params: Any,
    ) -> HierarchicalRetrieverCV:
        """Choose alpha, stem and weights, and fit to all samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.
        ids, metadata
            See `HierarchicalRetriever.fit`.
        **params : dict
            ``groups``, array-like of shape (n_samples,), for the splitter, and for scorers made by
            `make_retrieval_scorer`, where no query finds its own group; with metadata routing whatever the
            splitter asks for.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For groups that are missing, for `unseen` that leaves fewer than two classes, and for folds
            in which nothing can be found, among others.
        """
        candidates = _candidates(self)
        if self.unseen and isinstance(self.class_model, FrozenEstimator):
            raise ValueError("unseen needs a class model that is fitted in each fold; this one is frozen.")
        with unchanged_on_error(self):
            training = TrainingSet.of(self, X, y)
            X, y = training.X, training.y
            params = for_splitter(self, len(X), params)
            if params.get("groups") is not None:
                training = replace(training, groups=hashed_groups(params["groups"], len(X)))
            folds = folds_of(X, y, self.cv, params, self.unseen, self.random_state)
            scorers = _scorers(self.scoring, folds, has_groups=params.get("groups") is not None)
            names = HierarchicalRetriever().get_params(deep=False).keys() - {*CHOSEN, "verbose"}
            shared = {name: getattr(self, name) for name in names}
            report = Options(0.0, name=type(self).__name__ if self.verbose else None).print
            results = []
            for i, fold in enumerate(folds):
                report(f"fold {i + 1} of {len(folds)}")
                retriever_of = _fitted_to(shared, training, fold, candidates)
                results.append(scores_of_fold(retriever_of, X, y, fold, scorers, candidates, training.groups))
            scores = Scores(results, [y[fold.test] for fold in folds], scorers)
            best = scores.best()
            self.n_splits_, self.best_index_ = len(folds), best
            self.cv_results_ = {**candidates.columns(), **scores.columns()}
            chosen = candidates.all[best]
            self._candidate, self.stem_, self.weights_ = chosen, chosen.stem, chosen.weights
            report(f"alpha {chosen.alpha:g}, stem {self.stem_}, weights {self.weights_}")
            hierarchy = _weighted(self.hierarchy, self.weights_)
            fit_retriever(
                self,
                training,
                alpha=chosen.alpha,
                stem=chosen.stem,
                metric=chosen.metric,
                hierarchy=hierarchy,
                ids=ids,
                metadata=metadata,
            )
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Routing of metadata: to the splitter.

        Returns
        -------
        routing : MetadataRouter
        """
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(splitter=grouped(self.cv), method_mapping=to_splitter)

    def _late(self) -> dict[str, Any]:
        others = super(HierarchicalRetriever, self)._late()  # the metric was chosen, not given
        return {**others, "alpha": self.alpha_, "stem": self.stem_}


def _fitted_to(
    params: dict[str, Any], training: TrainingSet, fold: Fold, candidates: Candidates
) -> Callable[[Any], HierarchicalRetriever]:
    """Fit a retriever to what a fold shows its models, with each metric; the rest joins the gallery."""
    first = candidates.all[0].metric
    X, y, groups = training.X, training.y, training.groups
    X_fit, y_fit, groups_fit = X[fold.fit], y[fold.fit], None if groups is None else groups[fold.fit]
    fitted = HierarchicalRetriever(**params, metric=first, alpha=1.0).fit(X_fit, y_fit, groups_fit)

    def with_metric(metric: Any) -> HierarchicalRetriever:
        searcher = fitted.searcher()
        if metric is not first:
            model, origin = searcher.leaves.model, searcher.gallery.origin
            of_fit = TrainingSet(X_fit, *np.unique(y_fit, return_inverse=True), groups_fit)
            visual = fit_metric(metric, model.model, of_fit).visual
            searcher = Searcher.over_nothing(
                model, visual, searcher.options, searcher.classes, origin, X.dtype
            ).over(X_fit, y_fit, None, origin)
        if len(fold.unseen):
            searcher = searcher.with_added(X[fold.unseen], y[fold.unseen], None)
        return fitted.with_searcher(searcher)

    return with_metric


def _candidates(estimator: HierarchicalRetrieverCV) -> Candidates:
    weights: list = [None]
    if estimator.weights is not None:
        if not isinstance(estimator.hierarchy, (list, tuple, CombinedHierarchy, CombinedHierarchyBuilder)):
            raise ValueError(
                "weights are those of several hierarchies, and hierarchy is one: pass a list, a "
                "CombinedHierarchyBuilder or a CombinedHierarchy."
            )
        parts: Any = getattr(estimator.hierarchy, "hierarchies", estimator.hierarchy)
        weights = [tuple(check_weights(subset, len(parts)).tolist()) for subset in estimator.weights]
    return Candidates.of(estimator.alphas, estimator.stems, weights, estimator.metrics)


def _scorers(scoring: Any, folds: list[Fold], has_groups: bool) -> tuple[Any, ...]:
    if scoring is None:
        gallery = "fit" if has_groups else "query"
        sizes = [len(f.fit) + len(f.unseen) if has_groups else len(f.test) - 1 for f in folds]
        if min(sizes) < 1:
            raise ValueError(
                "A fold of one sample has nothing to search: without groups the samples of a fold query "
                "each other. Pass scoring=make_retrieval_scorer(..., gallery='fit')."
            )
        k = min(20, *sizes)
        return tuple(make_retrieval_scorer("map", k, gallery) for k in (1, k))
    pair = (scoring,) if callable(scoring) else tuple(scoring)
    if not callable(scoring) and (
        len(pair) != 2 or not all(isinstance(scorer, RetrievalScorer) for scorer in pair)
    ):
        raise ValueError(
            f"scoring must be a scorer, or a pair made by make_retrieval_scorer, got {scoring!r}."
        )
    return pair


def _weighted(hierarchy: Any, weights: Any) -> Any:
    """Return a combined hierarchy, or its builder, with the weights that were chosen."""
    if weights is None:
        return hierarchy
    if isinstance(hierarchy, CombinedHierarchy):
        return CombinedHierarchy(hierarchy.hierarchies, weights)
    builder = named(hierarchy) if isinstance(hierarchy, (list, tuple)) else clone(hierarchy)
    return builder.set_params(weights=weights)
