"""The retriever of binary codes: neighbours by Hamming and hierarchical distance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from sklearn_hierret._arrays import check_two_classes, plain_labels, unchanged_on_error
from sklearn_hierret._sklearn import fit_context
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.hashing import check_codes, unpack_signs
from sklearn_hierret.retrieval._base import BaseRetriever
from sklearn_hierret.retrieval._fitting import fit_leaf_model, fit_ranking
from sklearn_hierret.retrieval._gallery import LeafOrigin
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._options import Options, constraints_of
from sklearn_hierret.retrieval._samples import distinct
from sklearn_hierret.retrieval._searcher import Searcher
from sklearn_hierret.search import require_faiss


class HammingRetriever(BaseRetriever):
    """Retrieve packed binary codes by ``D = Hamming distance / n_bits + alpha * hierarchical distance``.

    Codes come from a hasher (`ITQHasher`, `PCAHasher`, ``sklearn_hierret.nn.CNNHashExtractor``) or
    from anywhere: rows of bytes, as `numpy.packbits` packs them. A sample takes ``n_bits / 8`` bytes,
    filled up to 1, 2, 4 or a multiple of 8, and 16 for its place and its id. Everything else is as in
    `HierarchicalRetriever`, except that adding and removing samples copy the codes.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None, default=None
        As in `HierarchicalRetriever`; builders see the codes as -1 and 1.
    alpha : "auto" or float in [0, inf], default="auto"
        As in `HierarchicalRetriever`; "auto" is 0 without labels. Where it is 0, and neither
        `hierarchy` nor `class_model` is given, `fit` needs no labels, and nothing but the codes is kept.
    assignment : {"hard", "soft"}, default="hard"
        As in `HierarchicalRetriever`. "soft" keeps 16 classes and probabilities for each sample, 128
        bytes or more, and compares each query with all of them.
    stem, gallery_leaves
        As in `HierarchicalRetriever`.
    n_neighbors : int, default=5
        Default of `kneighbors`, voters in `predict`, and k of the mAP in `score`.
    class_model : classifier, default=None
        Gives the leaves of codes, which it sees as -1 and 1. None means the class model of the
        hierarchy's builder, or else a default `DiscriminantClassifier`.
    backend : {"numpy", "faiss"}, default="numpy"
        What searches where alpha is 0 and few neighbours are wanted. The results are the same; FAISS
        uses its own threads.
    n_jobs : int, default=None
        Threads of the search and of the leaves that it needs; default: as many as NumPy's products use.
    verbose : bool, default=False
        Print what was done, how far a long search is and how long it will take.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels that `predict` can return: the training set's, and the gallery's where
        `set_gallery` brought others.
    hierarchy_ : ClassHierarchy or CombinedHierarchy, or None if none was asked for
    hierarchy_builder_ : fitted builder, or None if a hierarchy was given
    class_model_ : fitted classifier, or None
    alpha_ : float
        What fit chose, or the number that `alpha` is.
    n_features_in_ : int
        Bytes of a code.
    feature_names_in_ : ndarray of shape (n_bytes,)
        Only if codes came with string column names.

    Notes
    -----
    Neighbours are in the order of (distance, position in the gallery). Hamming distances tie a
    lot, so the order of the gallery matters: a gallery sorted by class flatters or ruins metrics. See
    ``ties="average"`` of `make_retrieval_scorer`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hierret import HammingRetriever, ITQHasher
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> pipe = make_pipeline(ITQHasher(32, random_state=0), HammingRetriever()).fit(X_train, y_train)
    >>> distances, indices = pipe[-1].kneighbors(pipe[:-1].transform(X_test), n_neighbors=3)
    >>> indices.shape
    (450, 3)
    """

    _nested: ClassVar[dict[str, str]] = {
        "hierarchy": "HammingRetriever(hierarchy=HierarchyBuilder())",
        "class_model": "class_model=DiscriminantClassifier()",
    }
    _parameter_constraints: dict = constraints_of(
        "hierarchy alpha assignment stem gallery_leaves n_neighbors class_model backend n_jobs verbose"
    )

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        alpha: float | str = "auto",
        assignment: str = "hard",
        stem: float | str = "auto",
        gallery_leaves: str = "auto",
        n_neighbors: int = 5,
        class_model: Any = None,
        backend: str = "numpy",
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.hierarchy = hierarchy
        self.alpha = alpha
        self.assignment = assignment
        self.stem = stem
        self.gallery_leaves = gallery_leaves
        self.n_neighbors = n_neighbors
        self.class_model = class_model
        self.backend = backend
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        ids: ArrayLike | None = None,
        metadata: Any = None,
    ) -> HammingRetriever:
        """Make the training set the gallery; fit hierarchy and class model if they are asked for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_bits / 8), uint8
            Packed codes.
        y : array-like of shape (n_samples,), optional
            Class labels; needed for a hierarchy, and then of at least two classes.
        ids, metadata
            See `HierarchicalRetriever.fit`.

        Returns
        -------
        self : object
            The fitted retriever.

        Raises
        ------
        TypeError
            For codes that are no bytes.
        ValueError
            Among others, for labels that a given hierarchy lacks; they are named.
        """
        with unchanged_on_error(self):
            self._fit(X, y, ids, metadata)
        return self

    def _fit(self, X: ArrayLike, y: ArrayLike | None, ids: ArrayLike | None, metadata: Any) -> None:
        if self.backend == "faiss":
            require_faiss()
        check_codes(X)
        X = validate_data(self, X, dtype=None, order="C")
        asked = self.hierarchy is not None or self.class_model is not None
        asked = asked or self.alpha not in (0, "auto")
        table = Metadata.given(metadata, len(X))
        ids = None if ids is None else distinct(ids, len(X))
        classes = np.empty(0)
        if y is not None:
            y = column_or_1d(plain_labels(y), warn=True)
            check_consistent_length(X, y)
            check_classification_targets(y)
            classes, codes = np.unique(y, return_inverse=True)
            asked = asked or (self.alpha == "auto" and len(classes) > 1)
        elif asked:
            raise ValueError(
                "This HammingRetriever requires y to be passed, but the target y is None: hierarchy "
                "and class model are fitted to labels. With alpha=0 and neither of them none are needed."
            )
        params, name = self.get_params(deep=False), type(self).__name__
        self._gallery_leaves, model, held_out = self.gallery_leaves, None, None
        self.hierarchy_ = self.hierarchy_builder_ = self.class_model_ = None
        self._alpha_at_fit = 0.0 if isinstance(self.alpha, str) else float(self.alpha)
        if asked and y is not None:
            check_two_classes(classes)
            report = Options.of({**params, "alpha": 0.0}, 0.0, name).print
            training = TrainingSet(unpack_signs(X), classes, codes)
            leaf_model = fit_leaf_model(self.hierarchy, self.class_model, training, self.verbose, report)
            ranking = fit_ranking(
                training,
                leaf_model,
                metric="cosine",
                scale=0.5,  # half of the cosine distance of signs is the share of bits that differ
                **{name: params[name] for name in ("alpha", "assignment", "stem")},
                report=report,
            )
            self._alpha_at_fit, held_out = ranking.alpha, ranking.held_out
            model = replace(ranking.leaf_model, of_codes=True)
            self.hierarchy_, self.hierarchy_builder_ = model.hierarchy, model.builder
            self.class_model_ = model.classifier
            model.model.release()
        options = Options.of(params, self._alpha_at_fit, name)
        origin = LeafOrigin(self._gallery_leaves, len(X), held_out)
        searcher = Searcher.over_nothing(model, None, options, classes, origin, X.dtype)
        self._searcher = searcher.over(X, y, ids, origin, None, table)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
