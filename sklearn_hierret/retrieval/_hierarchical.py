"""The retriever: neighbours by visual and hierarchical distance together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from sklearn_hierret._arrays import check_same_kind, unchanged_on_error
from sklearn_hierret._sklearn import fit_context
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.retrieval._base import BaseRetriever, replace_searcher
from sklearn_hierret.retrieval._changes import corrected, taught_again
from sklearn_hierret.retrieval._discovered import discovered_table, edited, sought_again
from sklearn_hierret.retrieval._fitting import (
    can_learn_more,
    fit_leaf_model,
    fit_ranking,
    learned_more,
    moved_samples,
    origin_after_more,
    parents_after_more,
)
from sklearn_hierret.retrieval._gallery import LeafOrigin
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._options import Options, constraints_of
from sklearn_hierret.retrieval._samples import distinct
from sklearn_hierret.retrieval._searcher import Searcher
from sklearn_hierret.search import is_compiled


class HierarchicalRetriever(BaseRetriever):
    """Retrieve by ``D = visual distance + alpha * hierarchical distance``.

    The :term:`visual distance` is the cosine distance, by default of features that were whitened within
    classes where that helps held-out samples. The hierarchical distance of two samples is that of their
    leaves (:term:`leaf`), the classes that the :term:`class model` assigns them to [1]_. For new queries, the
    leaf of a labelled :term:`gallery` sample is its label. True labels of queries are never part of a
    distance, nor are labels of the gallery where gallery samples are the queries. :term:`alpha`,
    :term:`stem` and :term:`P(known)` say how much leaves count.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None, default=None
        A builder (`HierarchyBuilder`, `LinkageHierarchyBuilder`, `CombinedHierarchyBuilder`) is
        cloned and fitted; a `ClassHierarchy` is used as it is; None means the visual hierarchy of a
        `DiscriminantClassifier`: average linkage of the cosine distances of its class means, heights
        by rank. A list adds their distances with equal weights. The paper's is
        ``HierarchyBuilder(class_model=MahalanobisClassifier("tied", n_components=0.95,
        decision="mahalanobis"))``, with ``metric="cosine", assignment="hard", stem=0,
        gallery_leaves="predicted"``.
    alpha : "auto" or float in [0, inf], default="auto"
        Weight of the hierarchical distance. 0 is the visual distance alone; infinity orders by the
        hierarchical distance, then by the visual one. "auto" chooses at fit, by what held-out samples
        retrieve at rank 1, and then at rank 20. The weight is 1 at most in galleries whose labels have taught
        new classes. Where `novelty` finds unknown classes that teach nothing, it is 8 at least if leaves are
        predicted, and 1 at most if they are labels. `alpha` may be changed after fitting.
    metric : {"auto", "cosine", "whitened"} or transformer, default="auto"
        The visual distance: cosine of the features, or of features whitened within classes (see
        `WithinClassWhitening`), with a shrinkage that held-out samples choose. "auto" takes whichever of
        the two held-out samples of known and of held-out classes retrieve better with; with ten classes at
        most it is cosine. A transformer is cloned and fitted; cosine of its results is the distance, and the
        gallery keeps the features as well. ``metric="cosine", alpha=0`` is plain cosine search.
    assignment : {"soft", "hard"}, default="soft"
        "hard" gives each sample one leaf, as the paper does; "soft" takes the expected
        hierarchical distance under the class model's 16 largest probabilities; the rest counts as
        no class, at distance 1. It may be changed after fitting.
    stem : "auto" or float in [0, 1], default="auto"
        Different leaves are at least so far apart: ``D_H' = stem + (1 - stem) D_H``. "auto" is 0.7 for
        hierarchies that are learned from features, 0.5 for given ones, and 0.6 where class names or given
        hierarchies are a part. It may be changed after fitting;
        `hierarchy_` is the tree without a stem.
    gallery_leaves : {"auto", "predicted", "labels"}, default="auto"
        Leaves of the gallery for new queries: "auto" takes the label of each sample, and what the class model
        predicts where the label is none of its classes and teaches nothing; "labels" raises for such
        labels (but see `novelty`); "predicted" never looks at labels. Searches with
        gallery samples as queries, ``kneighbors(None)``, and leave-one-out scorers always take predicted
        leaves; the leaves of training samples are cross-fitted.
    new_classes : {"auto", "labels", "discover", "ignore"}, default="auto"
        What galleries teach about classes that were not there at fit. "labels": each label that the class
        model lacks becomes a leaf at once, from one sample on; a query's probability of it comes from
        the prototype and the votes of its samples. Where gallery samples are the queries, only the other half
        of the gallery teaches. "discover": clusters of samples that known classes do not explain become
        provisional leaves (`discovered_`), whatever labels there are. "auto": labels teach, and clusters are
        sought in galleries that are set without labels, where `novelty` is heeded. "ignore": neither. With
        ``gallery_leaves="predicted"`` labels teach nothing. The gallery of `fit` has nothing to teach.
    novelty : {"auto"} or bool, default="auto"
        Whether queries rely on their leaves less, the less likely their class is known. In galleries with
        discovered leaves P(known) comes from density, class probability and the nearness of gallery and
        training samples. In other galleries with unknown classes, ``D = D_V + alpha (1 - k (1 - D_H))``,
        where ``k = P(known)^4`` comes from density alone, given the share of known
        classes in the gallery. The share is counted where labels are the gallery's leaves; elsewhere it
        is estimated [2]_, with 0.35 as the lower limit. In a gallery whose classes are all known, or
        taught, k is 1. With ``gallery_leaves="labels"`` a gallery sample whose label the hierarchy lacks, and
        that teaches nothing, then raises no error, but is at distance 1 from every leaf. "auto" heeds
        P(known) where the class model has a method ``known_proba``, as `DiscriminantClassifier` has. It
        may be changed after fitting; ``False`` also keeps "auto" from seeking clusters.
    n_neighbors : int, default=5
        Default of `kneighbors`, voters in `predict`, and k of the mAP in `score`.
    class_model : classifier, default=None
        Gives the leaves; for "soft" it needs ``predict_proba``. It is given arrays. It is
        cloned and fitted (wrap a fitted one in `sklearn.frozen.FrozenEstimator`); if it keeps no folds,
        cross-fitted leaves take three more fits. None means the class model of the hierarchy's
        builder, or else a default `DiscriminantClassifier`.
    n_jobs : int, default=None
        Threads of the search and of the leaves that it needs; default: as many as NumPy's products use.
    verbose : bool, default=False
        Print what was done, how far a long search is and how long it will take.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels that `predict` can return: the training set's, and the gallery's where
        `set_gallery` brought others.
    hierarchy_ : ClassHierarchy or CombinedHierarchy
    hierarchy_builder_ : fitted builder, or None if a hierarchy was given
    class_model_ : fitted classifier
    alpha_ : float
        What fit chose for known classes, or the number that `alpha` is.
    metric_ : "cosine", "whitened" or fitted transformer
        What was chosen, or given.
    discovered_ : DataFrame
        Discovered leaves of the gallery: leaf, size, central_ids, probability_new (the mean of its samples)
        and node (what it stands below in `gallery_hierarchy_`); only where clusters were sought.
    gallery_hierarchy_ : ClassHierarchy or CombinedHierarchy
        `hierarchy_`, and the classes that the gallery brought.
    shrinkage_ : float or None
        Of the covariance within classes, where `metric_` is "whitened".
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    Neighbours are in the order of (distance, position in the gallery), where distances
    are compared in float64; they are returned in the dtype of the gallery, which is
    float32 for half and single precision features and float64 for all others. Unless the metric is a
    transformer, a zero vector has visual distance 1 to everything; its soft leaf is about the class
    frequencies. A copy of the query is at distance 0, whatever alpha and the leaves are; its visual row, as
    a transformer, whitening or scaling to unit length makes it, differs from the query's by at most 1e-6 in
    each entry, and is not zero. Visual distances of a query are bit for bit the same whatever other queries
    it comes with, and those of equal rows are equal; leaves are made by products of the class model, which
    may round their last digit differently.

    Where whitening is used, the whitening has seen the labels of the training set. So ``kneighbors(None)`` on
    the gallery of `fit` is somewhat too good, above all with fewer samples than features (docs/defaults.md).

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, eqs. 3-6.
    .. [2] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to New a
       Priori Probabilities: A Simple Procedure", Neural Computation 14, 2002.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> retriever = HierarchicalRetriever().fit(X_train, y_train)
    >>> distances, indices = retriever.kneighbors(X_test, n_neighbors=3)
    >>> indices.shape
    (450, 3)
    """

    _lazy: ClassVar[dict] = {
        **BaseRetriever._lazy,
        "discovered_": lambda self: discovered_table(self.searcher()),
        "gallery_hierarchy_": lambda self: self.searcher().leaves.model.tree,
    }
    _nested: ClassVar[dict[str, str]] = {
        "hierarchy": "HierarchicalRetriever(hierarchy=HierarchyBuilder())",
        "class_model": "class_model=DiscriminantClassifier()",
        "metric": "metric=WithinClassWhitening()",
    }
    _parameter_constraints: dict = constraints_of(
        "hierarchy alpha metric assignment stem gallery_leaves new_classes novelty n_neighbors class_model "
        "n_jobs verbose"
    )

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        alpha: float | str = "auto",
        metric: Any = "auto",
        assignment: str = "soft",
        stem: float | str = "auto",
        gallery_leaves: str = "auto",
        new_classes: str = "auto",
        novelty: bool | str = "auto",
        n_neighbors: int = 5,
        class_model: Any = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.hierarchy = hierarchy
        self.alpha = alpha
        self.metric = metric
        self.assignment = assignment
        self.stem = stem
        self.gallery_leaves = gallery_leaves
        self.new_classes = new_classes
        self.novelty = novelty
        self.n_neighbors = n_neighbors
        self.class_model = class_model
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        ids: ArrayLike | None = None,
        metadata: Any = None,
    ) -> HierarchicalRetriever:
        """Fit hierarchy and class model; the training set becomes the gallery.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.
        groups : array-like of shape (n_samples,), optional
            Samples of one group, such as photographs of one series, are held out together.
        ids : array-like of shape (n_samples,), optional
            Distinct names of the samples, such as the index of a data frame; default: running numbers.
        metadata : DataFrame or dict of columns, optional
            A row for each sample, see `set_gallery`.

        Returns
        -------
        self : object
            The fitted retriever.

        Raises
        ------
        ValueError
            Among others, for labels that a given hierarchy lacks; they are named.
        """
        with unchanged_on_error(self):
            fit_retriever(self, TrainingSet.of(self, X, y, groups), ids=ids, metadata=metadata)
        return self

    @available_if(
        lambda retriever: can_learn_more(
            retriever.hierarchy, retriever.class_model, retriever.__dict__.get("metric", "auto")
        )
    )
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> HierarchicalRetriever:
        """Let samples join those that hierarchy, class model, metric and alpha are made of.

        The first call is `fit`. Later ones keep the samples of the gallery, whose leaves are computed
        anew: `add_to_gallery` adds some. What held-out samples choose is chosen by the samples that the class
        model keeps, 32,768 or 8 a class. A new class needs no `partial_fit` in order to be found, see
        `new_classes`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels, new ones among them.
        classes : array-like, optional
            Accepted as scikit-learn's is; a class counts once it has samples.
        groups : array-like of shape (n_samples,), optional
            See `fit`; the same groups share a fold.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            Among others, for labels that a given hierarchy lacks.

        Notes
        -----
        There is this method where the class model is a `DiscriminantClassifier`, the metric no transformer,
        and the hierarchy one of its class means, given, or of a builder with a ``partial_fit``. Clusters
        that were found are sought anew, and changes by `discover` are lost. Hierarchy and class model are
        those of the fit, whatever the parameters are now.
        """
        if classes is not None:
            check_same_kind(np.asarray(classes), np.asarray(y), "classes", "the labels")
        if "_searcher" not in self.__dict__:
            return self.fit(X, y) if groups is None else self.fit(X, y, groups=groups)
        if not isinstance(self.metric, str):
            raise ValueError("A transformer as metric learns from all samples: fit to all of them.")
        with unchanged_on_error(self):
            block = TrainingSet.of(self, X, y, groups, is_first=False)
            check_same_kind(block.classes, self.searcher().classes, "Labels", "those seen at fit")
            searcher = self.searcher()
            model = learned_more(searcher.leaves.model.closed, block.X, block.y, groups)
            fit_retriever(self, None, model, origin_after_more(searcher.gallery))
        return self

    def relabel(
        self, ids: ArrayLike, labels: ArrayLike, *, update_model: bool = False
    ) -> HierarchicalRetriever:
        """Correct labels of the gallery, and the leaves that these teach.

        Parameters
        ----------
        ids : array-like of shape (n_samples,)
            Some of `gallery_ids_`, each once.
        labels : array-like of shape (n_samples,)
            Their right labels, new ones among them.
        update_model : bool, default=False
            Whether hierarchy, class model, metric and alpha learn from all corrections so far, as a fit to
            the right labels would: samples of the fit are moved from class to class in the statistics; others
            only teach leaves. This takes about as long as a fit without its passes over the samples.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            For ids that are not there or come twice, without labels in the gallery, and, with `update_model`,
            for labels that a given hierarchy lacks; nothing is corrected then.
        AttributeError
            With `update_model`, where there is no `partial_fit`.
        """
        if not update_model:
            return replace_searcher(self, lambda searcher: taught_again(corrected(searcher, ids, labels)))
        if not can_learn_more(self.hierarchy, self.class_model, self.__dict__.get("metric", "auto")):
            raise AttributeError(
                "update_model needs a DiscriminantClassifier as class model, a metric by name, and a "
                "hierarchy of its class means or a given one: fit again with the right labels."
            )
        with unchanged_on_error(self):
            searcher = self._searcher = corrected(self.searcher(), ids, labels)
            rows, before = moved_samples(searcher.leaves.model, searcher.gallery)
            gallery, origin = searcher.gallery, searcher.gallery.origin
            assert gallery.labels is not None
            if len(rows):
                groups = origin.groups
                model = learned_more(
                    searcher.leaves.model.closed,
                    gallery.features_at(rows),
                    gallery.labels[rows],
                    None if groups is None else groups[gallery.samples.serials[rows]],
                    before,
                )
                fit_retriever(self, None, model, origin._replace(held_out=None, fit_labels=None))
            else:
                self._searcher = taught_again(searcher)
        return self

    def discover(
        self,
        *,
        name: Mapping | None = None,
        merge: Sequence[ArrayLike] | None = None,
        drop: ArrayLike | None = None,
    ) -> HierarchicalRetriever:
        """Seek clusters of new classes in the gallery anew, or change those that were found.

        Without arguments clusters are sought: samples that were added since become clusters of their own
        where the known classes do not explain them. A leaf keeps its label where most of its samples stay
        together. With arguments the leaves of `discovered_` are changed instead.

        Parameters
        ----------
        name : mapping from leaf to label, optional
            The label that a leaf has from now on; it stays a cluster.
        merge : sequence of sequences of leaves, optional
            The leaves of each become one, which keeps the label of the first.
        drop : leaf or array-like of leaves, optional
            These have no samples from now on, which fall back to the known classes.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            If the gallery is too small, if its leaves are its labels, or if fit could hold out no classes;
            for leaves that are not there, and names that classes or other leaves have.
        """
        if name is None and merge is None and drop is None:
            return replace_searcher(self, sought_again)
        return replace_searcher(self, lambda searcher: edited(searcher, name, merge, drop))

    def _late(self) -> dict[str, Any]:
        metric, at_fit = self.__dict__.get("metric"), self._metric_at_fit
        if not _is_same(metric, at_fit[0]):
            raise ValueError(
                f"metric is {metric!r} and was {at_fit[0]!r} at fit, where it is read: fit again to use it."
            )
        if not _is_unchanged(metric, at_fit):
            raise ValueError("Parameters of metric changed after fit, where they are read: fit again.")
        return super()._late()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # Files do not keep which objects are the same.
        if "_metric_at_fit" in state and _is_unchanged(self.__dict__.get("metric"), self._metric_at_fit):
            state["_metric_at_fit"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_metric_at_fit" in state and state["_metric_at_fit"] is None:
            self._metric_at_fit = _snapshot(self.__dict__.get("metric"))


def fit_retriever(
    retriever: HierarchicalRetriever,
    training: TrainingSet | None,
    model: LeafModel | None = None,
    origin: LeafOrigin | None = None,
    *,
    ids: ArrayLike | None = None,
    metadata: Any = None,
    **chosen: Any,
) -> None:
    """Fit a retriever by its parameters, or by what was chosen instead of some.

    Parameters
    ----------
    retriever : HierarchicalRetriever
    training : TrainingSet or None
        It becomes the gallery. None: the samples that the class model keeps; the gallery stays.
    model : LeafModel, optional
        What has learned already.
    origin : LeafOrigin, optional
        Where the leaves of the gallery that stays come from.
    ids, metadata
        Of the training samples, see `HierarchicalRetriever.fit`.
    **chosen : dict
        Values of parameters.
    """
    names = retriever.get_params(deep=False).keys() | {"alpha", "metric", "stem"}
    params = {name: chosen[name] if name in chosen else getattr(retriever, name) for name in names}
    name = type(retriever).__name__
    table = None if training is None else Metadata.given(metadata, len(training.X))
    if ids is not None and training is not None:  # before anything takes time
        ids = distinct(ids, len(training.X))
    options = Options.of({**params, "alpha": 0.0}, 0.0, name)
    if model is None:
        assert training is not None
        model = fit_leaf_model(
            params["hierarchy"], params["class_model"], training, params["verbose"], options.print
        )
    kept = model.model.kept if training is None else training
    assert kept is not None
    ranking = fit_ranking(
        kept,
        model,
        **{name: params[name] for name in ("metric", "alpha", "assignment", "stem")},
        keeps_evidence=params["new_classes"] != "ignore",
        report=options.print,
    )
    model, metric = ranking.leaf_model, ranking.metric
    options = Options.of(params, ranking.alpha, name)
    of_kept = LeafOrigin(
        params["gallery_leaves"], len(kept.X), ranking.held_out, kept.groups, params["new_classes"]
    )
    searcher = Searcher.over_nothing(model, metric.visual, options, kept.classes, of_kept, kept.X.dtype)
    if searcher.leaves.heeds_novelty:
        model.model.known_log_odds(kept.X[:1])  # so that no query has to wait for it
    if training is not None:
        searcher = searcher.over(training.X, training.y, ids, of_kept, None, table)
    else:
        before = retriever.searcher()
        gallery, origin = before.gallery, origin or of_kept
        parents = parents_after_more(before.leaf_model, model)
        table = gallery.compacted().samples.metadata
        searcher = searcher.over(gallery.features, gallery.labels, gallery.ids, origin, parents, table)
        searcher = searcher.with_ids_after(gallery.samples.next_id)
    if not is_compiled():
        options.print(
            'searches are two to three times as fast with numba: pip install "sklearn-hierret[fast]"'
        )
    model.model.release()
    retriever._alpha_at_fit, retriever._gallery_leaves = ranking.alpha, params["gallery_leaves"]
    retriever._new_classes = params["new_classes"]
    retriever.hierarchy_, retriever.hierarchy_builder_ = model.hierarchy, model.builder
    retriever.class_model_ = model.classifier
    retriever.metric_, retriever.shrinkage_ = metric.chosen, metric.shrinkage
    retriever._metric_at_fit = _snapshot(params["metric"])
    retriever._searcher = searcher


def _is_same(metric: Any, other: Any) -> bool:
    return metric is other or (isinstance(metric, str) and metric == other)


def _is_unchanged(metric: Any, at_fit: tuple[Any, dict[str, Any]]) -> bool:
    """Return whether a metric is that of a snapshot, with the same objects as parameters."""
    now, params = _snapshot(metric)
    return _is_same(now, at_fit[0]) and all(params.get(n, params) is v for n, v in at_fit[1].items())


def _snapshot(metric: Any) -> tuple[Any, dict[str, Any]]:
    """Return a metric and its parameters as they are."""
    return metric, {} if metric is None or isinstance(metric, str) else metric.get_params()
