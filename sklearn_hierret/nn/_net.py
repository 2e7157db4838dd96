"""skorch's network, told about images: what training and searching for parameters go through."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
)
from skorch.dataset import Dataset as SkorchDataset
from skorch.utils import to_device
from torch.utils.data import Subset

from sklearn_hierret.images import ImageSource
from sklearn_hierret.nn._callbacks import DivergenceCheck, RetrievalScoring, code_accuracy
from sklearn_hierret.nn._data import ImageDataset, images_in, loader
from sklearn_hierret.nn._device import autocast, check_device, memory_hint, settled_device
from sklearn_hierret.nn._network import Vectors
from sklearn_hierret.nn.backbones import make_backbone, make_pooling
from sklearn_hierret.nn.backbones._adapter import n_channels_of, n_features_of
from sklearn_hierret.nn.losses import HIERARCHY_LOSSES, LOSSES, Objective


class ImageNeuralNet(NeuralNetClassifier):
    """The hooks of skorch that `CNNFeatureExtractor` fills; it has the parameters and the documentation.

    A network is made when the images and classes are known, `image_shape_`, `image_statistics_` and
    `label_classes_`; losses are those of its objective.
    """

    @property
    def device(self) -> str:
        """The device in use; "auto" is settled here."""
        return settled_device(self.__dict__["device"])

    @device.setter
    def device(self, value: str) -> None:
        self.__dict__["device"] = value

    @property
    def classes_(self) -> NDArray:
        """The labels, sorted."""
        return self.label_classes_

    @property
    def n_outputs_(self) -> int:
        """Classes of the last layer."""
        return len(self.classes_)

    def searched(self, features: NDArray) -> NDArray:
        """Take what a retriever compares from the outputs that `features_of` gives.

        Parameters
        ----------
        features : ndarray of shape (n_images, n_features)
            Outputs.

        Returns
        -------
        rows : ndarray
            Of as many images.
        """
        return features

    def class_codes(self, codes: NDArray) -> NDArray:
        """Find positions of classes, from the codes that the network learns.

        Parameters
        ----------
        codes : ndarray of int
            Codes.

        Returns
        -------
        positions : ndarray of int
            Of the same shape.
        """
        return codes

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Parameters; `device` as it was given.

        Parameters
        ----------
        deep : bool, default=True
        **kwargs
            skorch's.

        Returns
        -------
        params : dict
        """
        return {**super().get_params(deep=deep, **kwargs), "device": self.__dict__["device"]}

    def _get_param_names(self) -> list[str]:
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    def initialize_module(self) -> ImageNeuralNet:
        """Make the network for the images and classes seen by `fit`.

        Returns
        -------
        self : object
            The network.
        """
        if not hasattr(self, "image_shape_"):
            raise NotFittedError("The network depends on the images: call fit, not initialize.")
        height, width, n_channels = self.image_shape_
        backbone = make_backbone(self.backbone, n_channels)
        pooling = make_pooling(self.pooling, n_channels_of(backbone, n_channels, (height, width)))
        n_features = n_features_of(Vectors(backbone, pooling), n_channels, (height, width))
        self.module_ = self.module(
            backbone,
            pooling,
            self._objective(n_features),
            *self.image_statistics_,
            self.augmentation,
            **self.get_params_for("module"),
        )
        freeze(self.module_, self.freeze)
        return self

    def initialize_criterion(self) -> ImageNeuralNet:
        """Make the criterion, where the loss is one.

        Returns
        -------
        self : object
            The network.
        """
        params = self.get_params_for("criterion")
        of_objective = self.criterion is torch.nn.Identity
        self.criterion_ = (torch.nn.CrossEntropyLoss if of_objective and params else self.criterion)(**params)
        return self

    def check_training_readiness(self) -> None:
        """Check parameters and device before anything is made."""
        super().check_training_readiness()
        self._check_parameters()

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Make a dataset of images.

        Parameters
        ----------
        X : images, paths or Dataset
            What `fit` takes.
        y : array-like, optional
            Codes of classes.

        Returns
        -------
        dataset : torch Dataset
            Of (images, code) pairs.
        """
        return X if isinstance(X, torch.utils.data.Dataset) else ImageDataset(self._source(X), y)

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Divide images into those to learn from and, if asked for, those to validate on.

        Parameters
        ----------
        X : images or Dataset
            What `fit` takes.
        y : array-like, optional
            Codes of classes.
        **fit_params : dict
            Skorch's.

        Returns
        -------
        train, valid : torch Dataset
            The second may be None.
        """
        if self.train_split is not None or not self.validation_fraction:
            train, valid = super().get_split_datasets(X, y, **fit_params)
            return train, own_images(self, valid)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return split_off(X, np.asarray(y), float(self.validation_fraction), seed)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Make batches of a dataset.

        Parameters
        ----------
        dataset : torch Dataset
            Of images.
        training : bool, default=False
            Whether batches are to learn from.

        Returns
        -------
        iterator : DataLoader
            Of (images, code) batches.
        """
        params = self.get_params_for("iterator_train" if training else "iterator_valid")
        if training and self.samples_per_class is not None:
            params["samples_per_class"] = self.samples_per_class
        return loader(dataset, params.pop("batch_size", self.batch_size), training, **params)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Compute outputs of a batch.

        Parameters
        ----------
        x : tensor
            A batch.
        **fit_params : dict
            Skorch's.

        Returns
        -------
        outputs : tensor or tuple
            Of the module.
        """
        with self._autocast():
            return super().infer(images_in(x), **fit_params)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> torch.Tensor:
        """Compute the loss of a batch, that of the objective.

        Parameters
        ----------
        y_pred : tensor or tuple
            Outputs of the module.
        y_true : tensor
            Codes of classes.
        X : tensor or dict, optional
            The batch, with weights of its samples perhaps.
        training : bool, default=False
            Not used.

        Returns
        -------
        loss : tensor
            A scalar.
        """
        outputs, codes = as_float(y_pred), to_device(y_true, self.device)
        weights = to_device(X["weights"], self.device) if isinstance(X, dict) else None
        return loss_of(self.module_.objective, self.criterion_, outputs, codes, weights)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell callbacks what happens; meanwhile `predict` of a dataset gives codes, as its labels are.

        Parameters
        ----------
        method_name : str
            Of the callbacks.
        **cb_kwargs : dict
            Skorch's.
        """
        self._compares_codes = True
        try:
            super().notify(method_name, **cb_kwargs)
        finally:
            self._compares_codes = False

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        if training:
            keep_frozen(self.module_)

    @property
    def _default_callbacks(self) -> list:
        callbacks = [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("divergence", DivergenceCheck()),
            ("valid_loss", PassthroughScoring("valid_loss")),
            ("valid_acc", EpochScoring(code_accuracy, name="valid_acc", lower_is_better=False)),
            ("valid_map", RetrievalScoring(self.retrieval_k)),
        ]
        if isinstance(self.early_stopping, int) and self.early_stopping:
            stopping = EarlyStopping(
                "valid_map",
                patience=self.early_stopping,
                lower_is_better=False,
                threshold=0.0,
                load_best=True,
                sink=print if self.verbose else _silent,
            )
            callbacks.append(("early_stopping", stopping))
        if isinstance(self.verbose, int) and self.verbose > 1:
            callbacks.append(("progress_bar", ProgressBar()))
        return [*callbacks, ("print_log", PrintLog())]

    def __setattr__(self, name: str, value: Any) -> None:
        # skorch takes modules that are set for its own parts; these are parameters.
        if name in ("backbone", "pooling", "augmentation"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = state["device"]
        if device == "auto":
            state = {**state, "device": settled_device(device)}
        super().__setstate__(state)
        if device == "auto":
            self.__dict__["device"] = device

    # --------------------------------------------------------------------- inside

    def _source(self, X: Any) -> ImageSource:
        if not hasattr(self, "image_shape_"):
            return ImageSource(X, self.image_size)
        source = ImageSource(X, self.image_size, n_channels=self.image_shape_[2])
        if source.image_shape != self.image_shape_:
            shapes = source.image_shape, self.image_shape_
            sizes = ["{} x {} pixels, {} channels".format(*shape) for shape in shapes]
            raise ValueError(f"Images of {sizes[0]}, but the network was trained on {sizes[1]}.")
        return source

    def _check_parameters(self) -> None:
        self._check_loss()
        check_criterion(self)
        if self.hierarchy is not None and not hasattr(self.hierarchy, "distance_matrix"):
            raise TypeError(
                f"hierarchy must be a ClassHierarchy, got {type(self.hierarchy).__name__}; fit a builder "
                "on the features of another network and pass its hierarchy_."
            )
        if not isinstance(self.batch_size, Integral) or (self.batch_size < 1 and self.batch_size != -1):
            raise ValueError(
                f"batch_size must be a positive integer, or -1 for all, got {self.batch_size!r}."
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in [0, 1), got {self.validation_fraction}.")
        if self.early_stopping and not self.validation_fraction and self.train_split is None:
            raise ValueError("early_stopping needs validation_fraction, a share of the training images.")
        check_device(self.device)

    def _check_loss(self) -> None:
        names = (*LOSSES, *HIERARCHY_LOSSES)
        if not callable(self.loss) and self.loss not in names:
            raise ValueError(f"loss must be one of {names} or a callable, got {self.loss!r}.")
        if isinstance(self.loss, str) and self.loss in HIERARCHY_LOSSES and self.hierarchy is None:
            raise ValueError(f"loss={self.loss!r} needs hierarchy=, whose distances it learns.")

    def _objective(self, n_features: int) -> Objective:
        n_classes = self.n_outputs_
        if callable(self.loss):
            return self.loss(n_features, n_classes)
        if self.loss in LOSSES:
            return LOSSES[self.loss](n_features, n_classes)
        return HIERARCHY_LOSSES[self.loss](n_features, self.hierarchy.restrict(self.classes_))

    def _autocast(self) -> Any:
        return autocast(self.device, bool(self.mixed_precision))

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        """Seed torch by `random_state`, and restore the caller's random state afterwards."""
        if self.random_state is None:
            yield
            return
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        devices = [torch.cuda.current_device()] if self.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    def _memory_hint(self) -> Any:
        return memory_hint(self.device, self.batch_size)


def own_images(net: ImageNeuralNet, valid: Any) -> Any:
    """Make images with codes of skorch's dataset of images and labels."""
    if valid is None or isinstance(valid, Subset) or hasattr(valid, "codes"):
        return valid
    if not isinstance(valid, SkorchDataset) or valid.y is None:
        raise ValueError(
            "train_split must give parts of the training images, or a validation set as "
            "skorch.dataset.Dataset(images, labels)."
        )
    labels = np.asarray(valid.y)
    unknown = np.setdiff1d(labels, net.label_classes_)
    if len(unknown):
        raise ValueError(f"The validation set has labels that y lacks: {unknown.tolist()[:10]}.")
    return ImageDataset(net._source(valid.X), np.searchsorted(net.label_classes_, labels))


def check_criterion(net: ImageNeuralNet) -> None:
    """Raise a ValueError for a criterion that would not be used, or cannot be."""
    params = net.get_params_for("criterion")
    if net.criterion is torch.nn.Identity and not params:
        return
    if net.loss != "cross_entropy":
        raise ValueError(
            f"criterion is for loss='cross_entropy', and loss={net.loss!r} has its own: "
            f"{', '.join(['criterion', *(f'criterion__{name}' for name in params)])} would not be used."
        )
    if not isinstance(net.criterion, type):
        raise ValueError(
            f"criterion must be a class, such as CrossEntropyLoss, got {net.criterion!r}; its "
            "parameters are criterion__label_smoothing and the like."
        )
    if issubclass(net.criterion, torch.nn.NLLLoss):
        raise ValueError(
            "criterion=NLLLoss takes logarithms of probabilities, and the network gives scores: use "
            "CrossEntropyLoss."
        )


def loss_of(
    objective: Objective, criterion: Any, outputs: Any, codes: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Compute the loss of a batch by an objective, or a criterion of its outputs; a mean by weights.

    Raises
    ------
    ValueError
        If there are weights, and the loss is no mean over samples.
    """
    has_criterion = not isinstance(criterion, torch.nn.Identity)
    if weights is None:
        return criterion(outputs, codes) if has_criterion else objective.loss(outputs, codes)
    if has_criterion:
        if not hasattr(criterion, "reduction"):
            raise ValueError(f"{type(criterion).__name__} takes no weights of samples: it has no reduction.")
        each = copy.copy(criterion)
        each.reduction = "none"
        losses = each(outputs, codes)
    else:
        try:
            losses = objective.losses(outputs, codes)
        except NotImplementedError:
            raise ValueError(
                f"{type(objective).__name__} compares the samples of a batch, and takes no weights of "
                "samples or classes."
            ) from None
    total = weights.sum()
    return (weights * losses).sum() / torch.where(total > 0, total, 1)


def freeze(module: torch.nn.Module, names: Any) -> None:
    """Take parts of a network, by name, out of training."""
    if names is None:
        return
    modules = dict(module.named_modules())
    for name in [names] if isinstance(names, str) else names:
        if not name or name not in modules:
            raise ValueError(
                f"freeze={name!r} is no module of the network; some that are: "
                f"{[known for known in modules if known][:12]}."
            )
        modules[name].requires_grad_(False)


def keep_frozen(module: torch.nn.Module) -> None:
    """Put parts none of whose weights learn into evaluation mode: their statistics stay, too."""
    weights = list(module.parameters())
    if weights and not any(weight.requires_grad for weight in weights):
        module.eval()
        return
    for part in module.children():
        keep_frozen(part)


def split_off(images: Any, codes: NDArray, share: float, seed: int) -> tuple[Subset, Subset]:
    """Split off a stratified part to validate on; images that are alone in their class stay."""
    alone = np.bincount(codes)[codes] < 2
    others = np.flatnonzero(~alone)
    n_valid, n_classes = round(share * len(others)), len(np.unique(codes[others]))
    if not len(others) or not n_classes <= n_valid <= len(others) - n_classes:
        raise ValueError(
            f"validation_fraction={share:g} of {len(codes)} images is not enough for {n_classes} classes "
            "with two images or more: one image of each is needed in both parts."
        )
    split = StratifiedShuffleSplit(1, test_size=n_valid, random_state=seed)
    train, valid = next(split.split(np.empty(len(others)), codes[others]))
    train = np.sort(np.concatenate([others[train], np.flatnonzero(alone)]))
    return Subset(images, train.tolist()), Subset(images, np.sort(others[valid]).tolist())


def as_float(outputs: Any) -> Any:
    """Compute outputs in single precision, whatever the network computed in."""
    return tuple(part.float() for part in outputs) if isinstance(outputs, tuple) else outputs.float()


def _silent(text: str) -> None:
    """Where messages go that nobody asked for."""
