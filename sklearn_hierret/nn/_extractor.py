"""The network as a scikit-learn transformer and classifier."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import TransformerTags, check_consistent_length
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from skorch.dataset import Dataset as SkorchDataset
from skorch.utils import to_device
from torch.utils.data import DataLoader, Dataset

from sklearn_hierret._arrays import check_two_classes, plain_labels
from sklearn_hierret._sklearn import check_sample_weight, memory_of
from sklearn_hierret.images import ImageSource
from sklearn_hierret.nn import _saving
from sklearn_hierret.nn._data import ImageDataset, images_in
from sklearn_hierret.nn._digest import UntellableError, digest_of
from sklearn_hierret.nn._head import HeadClassifier
from sklearn_hierret.nn._net import ImageNeuralNet, as_float
from sklearn_hierret.nn._network import ImageNetwork
from sklearn_hierret.nn.losses import Objective


class CNNFeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImageNeuralNet):
    """Train a network on labelled images; `transform` gives features for a retriever.

    A skorch `NeuralNetClassifier` that is a transformer, too: it goes into a `Pipeline` before a
    `HierarchicalRetriever`, or into one as its ``class_model``. All of skorch's parameters work,
    such as ``optimizer__weight_decay``, ``iterator_train__num_workers``, ``compile``, ``warm_start``.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="plain11"
        See `make_backbone`.
    loss : str or callable, default="cross_entropy"
        "corr" and "corr+cls" pull features to the embeddings of their classes (`Correlation`); they need
        `hierarchy`. Others: "cross_entropy", "center" (`CenterLoss`), "label_embedding"
        (`LabelEmbedding`), "smooth_ap" (`SmoothAP`), "multigrain" (`MultiGrain`); with
        pytorch-metric-learning "triplet" (the hardest of a batch), "contrastive", "fast_ap",
        "multi_similarity"; with `hierarchy` "adaptive_margin" (`AdaptiveMargin`), "huse" (`HUSE`),
        "shrewd" (`SHREWD`), "hyperbolic" (`HyperbolicEmbedding`). Or a function ``(n_features, n_classes)
        -> Objective``, such as `MetricLearning` or `DeViSE`.
    hierarchy : ClassHierarchy or CombinedHierarchy, default=None
        A taxonomy, or the visual hierarchy of another network's features.
    pooling : str or nn.Module, default="average"
        "average", "max" (MAC), "gem", "spoc", "partial_mean", "rmac" or "attention" (`AttentionPooling`).
    augmentation : nn.Module, default=None
        Changes batches while training, such as `Augmentation`.
    image_size : (int, int), default=None
        (height, width) that files are resized to; None: they must be of one size.
    feature_layer : str, default=None
        `transform` gives the output of the module of that name, such as "backbone.network", maps
        averaged over places. None: what comes before the classifier, that is, the vectors of the
        backbone, or for "corr" losses the semantic embedding.
    freeze : str or sequence of str, default=None
        Names of modules that do not learn, such as "backbone" or "backbone.network.0", as in
        ``module_.named_modules()``. They, and parts of a given backbone whose weights have
        ``requires_grad=False``, stay in evaluation mode: statistics of batch normalisation stay as well.
    class_weight : "balanced", mapping from label to weight, or None, default=None
        Weights of the losses, for losses that are means over images: "cross_entropy", "center", "corr",
        "corr+cls", "hyperbolic", and criteria. "balanced": inverse to the classes' frequencies.
    samples_per_class : int, default=None
        Images of each of several classes in a batch, for losses on the distances within a batch;
        None: batches are drawn at random.
    validation_fraction : float, default=0.0
        Share of the training images, stratified, that losses, accuracy and mAP@k are measured
        on after each epoch.
    retrieval_k : int, default=20
        k of that mAP.
    early_stopping : int, default=0
        Stop when that mAP has not risen for so many epochs, and go back to the best; 0: never. Needs
        `validation_fraction`.
    mixed_precision : bool, default=False
        Compute in bfloat16 where that is safe.
    memory : str, path or joblib.Memory, default=None
        Caches `transform`, by the weights and the images: a search over a retriever's parameters
        computes features once per fold. A Pipeline's own ``memory`` caches fits.
    random_state : int, RandomState or None, default=None
        Of the weights, the batches and the augmentation. An int makes a CPU run repeatable.
    device : str, default="auto"
        "auto" is "cuda" where there is such a device, else "cpu".
    optimizer : torch Optimizer class, default=torch.optim.AdamW
    lr : float, default=1e-3
    max_epochs : int, default=20
        `training_preset` has more elaborate ways of training.
    batch_size : int, default=128
    verbose : int, default=0
        1 prints a line an epoch; 2 adds a progress bar.
    module : nn.Module class, default=ImageNetwork
        skorch's.
    criterion : loss of torch, default=Identity
        Takes scores of classes and their codes, such as ``torch.nn.CrossEntropyLoss``, in place of the loss
        "cross_entropy"; ``criterion__label_smoothing`` and ``criterion__weight`` (in the order of `classes_`)
        alone mean that loss. Other losses have their own.
    dataset : torch Dataset class, default=ImageDataset
        skorch's.
    train_split : callable, default=None
        skorch's, such as ``predefined_split(Dataset(images, labels))``. Its scores by
        ``EpochScoring("accuracy")`` and the like compare codes of classes, not labels.
    **params
        skorch's.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    module_ : ImageNetwork
    image_shape_ : (int, int, int)
        height, width, channels of the training images.
    n_features_out_ : int
    history_ : skorch History
        Losses and scores of each epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret.nn import CNNFeatureExtractor
    >>> digits = load_digits()
    >>> images = digits.images / 16
    >>> cnn = CNNFeatureExtractor("tiny", max_epochs=1, random_state=0).fit(images, digits.target)
    >>> cnn.transform(images[:3]).shape
    (3, 64)
    """

    #: What `save` keeps, besides the parts of the network.
    _saved_parameters: tuple[str, ...] = (
        "image_size",
        "feature_layer",
        "retrieval_k",
        "mixed_precision",
        "batch_size",
    )

    def __init__(
        self,
        backbone: Any = "plain11",
        *,
        loss: str | Callable[[int, int], Objective] = "cross_entropy",
        hierarchy: Any = None,
        pooling: Any = "average",
        augmentation: Any = None,
        image_size: tuple[int, int] | None = None,
        feature_layer: str | None = None,
        freeze: str | Sequence[str] | None = None,
        class_weight: str | Mapping | None = None,
        samples_per_class: int | None = None,
        validation_fraction: float = 0.0,
        retrieval_k: int = 20,
        early_stopping: int = 0,
        mixed_precision: bool = False,
        memory: Any = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        optimizer: Any = torch.optim.AdamW,
        lr: float = 1e-3,
        max_epochs: int = 20,
        batch_size: int = 128,
        verbose: int = 0,
        module: Any = ImageNetwork,
        criterion: Any = torch.nn.Identity,
        dataset: Any = ImageDataset,
        train_split: Any = None,
        **params: Any,
    ) -> None:
        self.backbone = backbone
        self.loss = loss
        self.hierarchy = hierarchy
        self.pooling = pooling
        self.augmentation = augmentation
        self.image_size = image_size
        self.feature_layer = feature_layer
        self.freeze = freeze
        self.class_weight = class_weight
        self.samples_per_class = samples_per_class
        self.validation_fraction = validation_fraction
        self.retrieval_k = retrieval_k
        self.early_stopping = early_stopping
        self.mixed_precision = mixed_precision
        self.memory = memory
        self.random_state = random_state
        super().__init__(
            module,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            verbose=verbose,
            device=device,
            dataset=dataset,
            train_split=train_split,
            **params,
        )

    def __repr__(self) -> str:
        # As scikit-learn does, what differs from the defaults; some of these are skorch's.
        defaults: dict[str, Any] = {"iterator_train": DataLoader, "iterator_valid": DataLoader}
        for cls in reversed(type(self).__mro__[:-1]):
            if "__init__" in vars(cls):
                defaults.update(
                    (p.name, p.default) for p in signature(vars(cls)["__init__"]).parameters.values()
                )
        params = self.get_params(deep=False)
        given = {k: v for k, v in params.items() if not (k in defaults and repr(v) == repr(defaults[k]))}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    # -------------------------------------------------------------------- learning

    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> CNNFeatureExtractor:
        """Train on images.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels), or paths
            uint8, or floats from 0 to 1; or paths of image files.
        y : array-like of shape (n,)
            Class labels, of any kind, at least two distinct ones.
        sample_weight : array-like of shape (n,), optional
            Weights of the losses; see `class_weight` for the losses that take some.
        **fit_params
            skorch's.

        Returns
        -------
        self : object
        """
        starts_anew = not (self.warm_start and self.initialized_)
        data = self._training_data(X, y, None if starts_anew else self.classes_, sample_weight)
        with self._seeded(), self._memory_hint():
            super().fit(data, data.codes, **fit_params)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> CNNFeatureExtractor:
        """Train on, for `max_epochs` more epochs.

        Parameters
        ----------
        X, y
            See `fit`.
        classes : array-like, optional
            All labels that may come, needed at the first call if `y` lacks some.
        sample_weight : array-like of shape (n,), optional
            See `fit`.
        **fit_params
            skorch's.

        Returns
        -------
        self : object
        """
        if isinstance(X, ImageDataset):  # from fit
            return super().partial_fit(X, y, **fit_params)
        is_new = not self.initialized_
        data = self._training_data(X, y, classes if is_new else self.classes_, sample_weight)
        with self._seeded() if is_new else contextlib.nullcontext(), self._memory_hint():
            return super().partial_fit(data, data.codes, **fit_params)

    # ---------------------------------------------------------------- using what was learnt

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute features of images.

        Parameters
        ----------
        X : as in `fit`
            Of the size of the training images.

        Returns
        -------
        features : ndarray of shape (n, n_features), float32
        """
        return self._features(X)

    def _features(self, X: Any) -> NDArray[np.float32]:
        """Return what `transform` gives, an array whatever `set_output` says."""
        check_is_fitted(self)
        source = self._source(X)
        if self.memory is None:
            return self.features_of(ImageDataset(source))
        cached = memory_of(self.memory).cache(_cached_features, ignore=["net", "source"])
        return cached(self, source, self._state_hash(), self.feature_layer, source.key())

    def features_of(self, dataset: Any) -> NDArray[np.float32]:
        """Compute features of a torch dataset of (images, code) pairs, batch by batch.

        Parameters
        ----------
        dataset : torch Dataset
            What `get_dataset` returns.

        Returns
        -------
        features : ndarray of shape (n_images, n_features)
            float32.
        """
        self.module_.eval()
        features, start = np.empty((0, 0), dtype=np.float32), 0
        with torch.inference_mode(), self._autocast(), self._memory_hint():
            for images, _ in self.get_iterator(dataset, training=False):
                batch = self._layer_output(to_device(images_in(images), self.device))
                if not start:
                    features = np.empty((len(dataset), batch.shape[1]), dtype=np.float32)
                features[start : start + len(batch)] = batch.float().cpu().numpy()
                start += len(batch)
        return features

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Class probabilities.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        objective = self.module_.objective
        with torch.inference_mode(), self._memory_hint():
            parts = [
                objective.probabilities(as_float(outputs)).cpu().numpy() for outputs in self.forward_iter(X)
            ]
        return np.concatenate(parts)

    def predict(self, X: Any) -> NDArray:
        """Most probable class of each image.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        codes = self.predict_proba(X).argmax(axis=1)
        if getattr(self, "_compares_codes", False) and isinstance(X, Dataset):
            if len(self.classes_) < self.n_outputs_:
                raise ValueError(
                    "Scores by skorch compare clusters; 'valid_acc' has the accuracy of classes."
                )
            return codes
        return self.classes_[codes]

    def as_class_model(self) -> HeadClassifier:
        """Return the network's last layer as a retriever's ``class_model``, for the features of `transform`.

        Returns
        -------
        classifier : HeadClassifier
        """
        check_is_fitted(self)
        if self.feature_layer is not None:
            raise ValueError(f"The last layer does not take features of {self.feature_layer!r}.")
        return HeadClassifier(self)

    def save(self, folder: Any) -> None:
        """Save to a folder: ``weights.safetensors`` and ``extractor.json``, no pickle.

        Parameters
        ----------
        folder : path
            Made if it does not exist. Modules and functions among the parameters are not saved;
            `load` asks for those it needs.
        """
        check_is_fitted(self)
        _saving.save(self, folder)

    @classmethod
    def load(cls, folder: Any, *, device: str = "auto", **parts: Any) -> CNNFeatureExtractor:
        """Load what `save` saved, on any device.

        Parameters
        ----------
        folder : path
        device : str, default="auto"
        **parts
            Parameters that were modules or functions: `backbone`, `pooling`, `loss`.

        Returns
        -------
        extractor : CNNFeatureExtractor, fitted

        Warns
        -----
        UserWarning
            If other versions of the packages saved it.
        """
        return _saving.load(cls, folder, device, parts)

    @property
    def n_features_out_(self) -> int:
        return self._n_features_out

    @property
    def _n_features_out(self) -> int:
        check_is_fitted(self)
        with torch.inference_mode():
            self.module_.eval()
            zeros = torch.zeros(1, *self.image_shape_, device=self.device)
            return int(self._layer_output(zeros).shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags = TransformerTags(preserves_dtype=["float32"])
        return tags

    # --------------------------------------------------------------------- inside

    def _training_data(
        self,
        X: Any,
        y: ArrayLike | None,
        classes: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
    ) -> ImageDataset:
        """Check images and labels; what the network depends on is noted when it is new."""
        if isinstance(X, SkorchDataset):
            X, y = X.X, X.y if y is None else y
        elif isinstance(X, Dataset):
            raise TypeError(
                f"X is a {type(X).__name__}: pass images, or paths, and labels as arrays "
                "(sklearn_hierret.datasets.load_image_folder gives those of class folders), or "
                "skorch.dataset.Dataset(images, labels)."
            )
        if y is None:
            raise ValueError("This estimator requires y to be passed, but the target y is None.")
        self._check_parameters()
        source = ImageSource(X, self.image_size) if classes is None else self._source(X)
        labels = column_or_1d(plain_labels(y), warn=True)
        check_consistent_length(source, labels)
        check_classification_targets(labels)
        seen, codes = np.unique(labels, return_inverse=True)
        known = seen if classes is None else np.unique(np.asarray(classes))
        unknown = np.setdiff1d(seen, known)
        if len(unknown):
            raise ValueError(f"y has labels that are not among the classes: {unknown.tolist()[:10]}.")
        check_two_classes(known)
        if self.hierarchy is not None:
            self.hierarchy.index(known)
        if classes is None or not self.initialized_:
            self.label_classes_ = known
            self.image_shape_ = source.image_shape
            self.image_statistics_ = source.statistics()
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = check_sample_weight(sample_weight, labels, dtype=np.float32, ensure_non_negative=True)
            weights = weights * compute_sample_weight(self.class_weight, labels).astype(np.float32)
            if not np.all(weights >= 0) or not np.any(weights > 0):
                raise ValueError("class_weight must be at least 0, and above it for some classes.")
        return ImageDataset(source, np.searchsorted(known, seen)[codes], weights)

    def _layer_output(self, images: torch.Tensor) -> torch.Tensor:
        """Features of a batch, or the output of `feature_layer`, maps averaged."""
        if self.feature_layer is None:
            return self.module_.features(images)
        names = dict(self.module_.named_modules())
        if self.feature_layer not in names:
            raise ValueError(
                f"feature_layer={self.feature_layer!r} is no module of the network; some that are: "
                f"{[name for name in names if name][:12]}."
            )
        caught: list[torch.Tensor] = []
        hook = names[self.feature_layer].register_forward_hook(lambda *args: caught.append(args[2]))
        try:
            self.module_(images)
        finally:
            hook.remove()
        return caught[0].flatten(2).mean(dim=2) if caught[0].ndim > 2 else caught[0]

    def _state_hash(self) -> str:
        try:
            return digest_of(self.module_, bool(self.mixed_precision))
        except UntellableError as error:
            raise ValueError(
                f"memory= needs to tell the network from others, and {error} Give the backbone or pooling an "
                "attribute cache_key that changes whenever its results do, or do without memory=."
            ) from error


def _cached_features(
    net: CNNFeatureExtractor, source: ImageSource, state: str, layer: str | None, key: Any
) -> NDArray[np.float32]:
    return net.features_of(ImageDataset(source))
