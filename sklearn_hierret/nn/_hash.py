"""The network as a transformer to binary codes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import TransformerTags

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret.hashing import check_n_bits, pack_signs
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.nn._callbacks import ClassCenters
from sklearn_hierret.nn._extractor import CNNFeatureExtractor
from sklearn_hierret.nn.losses import HierarchyPreservingHashing, Objective


class CNNHashExtractor(CNNFeatureExtractor):
    """Train a network to binary codes that keep a hierarchy; `transform` gives them packed.

    The last layer has one output a bit. `HierarchyPreservingHashing` pulls outputs to the centres of
    their class and of the class's ancestors, which are computed anew after epochs [1]_.

    Parameters
    ----------
    backbone : see `CNNFeatureExtractor`
        For fine tuning, a trained one, such as ``other.module_.backbone.network``.
    n_bits : int, default=64
        Length of the codes, a multiple of 8.
    hierarchy : ClassHierarchy or None, default=None
        A taxonomy, or a visual hierarchy that was learnt from another network's features. Its
        levels are those of ``levels(by="depth")``; a tree of many levels, such as a dendrogram,
        is better cut to a few before:
        ``ClassHierarchy.from_levels([tree.cut(n_clusters=m) for m in (121, 40, 10, 1)], tree.classes)``.
        None: classes only, which is deep class-wise hashing.
    n_hidden : int or None, default=None
        Units of a hidden layer before the bits; None: none, as published. Where the backbone's vectors
        are short, it helps a lot.
    sigmas : sequence of float or None, default=None
        See `HierarchyPreservingHashing`.
    first_update : int, float or None, default=0.5
        The first epoch after which centres are computed, or, below 1, the share of `max_epochs` before
        that; epochs are those of the whole history. 0: also before the first epoch, as published.
        Until then, and with None always, the network learns random codes of the classes; the more
        ancestors two classes share, the more their codes agree.
    bound_weight : float, default=10.0
    quantization_weight : float, default=0.0
        See `HierarchyPreservingHashing`. The weight of the quantization is 0.1 as published, which keeps
        bits from changing sides before classes are learnt: small networks lose by it.
    loss : "hpdh" or callable, default="hpdh"
        Or a function ``(n_features, n_classes) -> Objective`` whose features are relaxed codes; it
        says how many bits there are.
    **params
        See `CNNFeatureExtractor`; not `feature_layer`.

    References
    ----------
    .. [1] M. Zhang, X. Zhe, L. Ou-Yang, S. Chen, H. Yan, "Semantic Hierarchy Preserving Deep Hashing
       for Large-Scale Image Retrieval", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret.nn import CNNHashExtractor
    >>> digits = load_digits()
    >>> images = digits.images / 16
    >>> cnn = CNNHashExtractor("tiny", n_bits=16, max_epochs=1, random_state=0).fit(images, digits.target)
    >>> cnn.transform(images[:3]).shape
    (3, 2)
    >>> cnn.relaxed_codes(images[:3]).shape
    (3, 16)
    """

    _saved_parameters = (
        *CNNFeatureExtractor._saved_parameters,
        "n_bits",
        "n_hidden",
        "sigmas",
        "first_update",
        "bound_weight",
        "quantization_weight",
    )

    def __init__(
        self,
        backbone: Any = "plain11",
        *,
        n_bits: int = 64,
        hierarchy: ClassHierarchy | None = None,
        n_hidden: int | None = None,
        sigmas: Sequence[float] | None = None,
        first_update: float | None = 0.5,
        bound_weight: float = 10.0,
        quantization_weight: float = 0.0,
        loss: Any = "hpdh",
        **params: Any,
    ) -> None:
        self.n_bits = n_bits
        self.n_hidden = n_hidden
        self.sigmas = sigmas
        self.first_update = first_update
        self.bound_weight = bound_weight
        self.quantization_weight = quantization_weight
        super().__init__(backbone, hierarchy=hierarchy, loss=loss, **params)

    def transform(self, X: Any) -> NDArray[np.uint8]:  # type: ignore[override]
        """Compute codes of images: the signs of the relaxed ones, packed.

        Parameters
        ----------
        X : as in `fit`
            Of the size of the training images.

        Returns
        -------
        codes : ndarray of shape (n, n_bits / 8), uint8
        """
        return pack_signs(self.relaxed_codes(X))

    def relaxed_codes(self, X: Any) -> NDArray[np.float32]:
        """Compute what the codes are the signs of.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        relaxed : ndarray of shape (n, n_bits), float32
            Near -1 and 1 after training.
        """
        return self._features(X)

    def searched(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return codes as -1 and 1, whose cosine distances rank as their Hamming distances do.

        Parameters
        ----------
        features : ndarray of shape (n_images, n_bits)
            Relaxed codes.

        Returns
        -------
        signs : ndarray of shape (n_images, n_bits)
            -1 and 1.
        """
        return np.where(features >= 0, np.float32(1), np.float32(-1))

    def as_class_model(self) -> Any:
        """Refuse: the last layer takes relaxed codes, and a retriever has packed ones."""
        raise ValueError(
            "The classes of codes are told by a retriever's own class model, not by the network."
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags

    # --------------------------------------------------------------------- inside

    @property
    def _n_features_out(self) -> int:
        return -(-super()._n_features_out // 8)

    @property
    def _default_callbacks(self) -> list:
        # First, since accuracy is measured by the centres.
        return [("class_centers", ClassCenters(self.first_update)), *super()._default_callbacks]

    def _check_loss(self) -> None:
        check_n_bits(self.n_bits)
        if self.n_hidden is not None:
            check_positive_integer(self.n_hidden, "n_hidden")
        if not _is_epoch_or_share(self.first_update):
            raise ValueError(
                "first_update must be an integer of at least 0, a share in [0, 1), or None, got "
                f"{self.first_update!r}."
            )
        if self.loss != "hpdh" and not callable(self.loss):
            raise ValueError(f"loss must be 'hpdh' or a callable, got {self.loss!r}.")
        if self.hierarchy is not None and not isinstance(self.hierarchy, ClassHierarchy):
            raise TypeError(f"hierarchy must be a ClassHierarchy, got {type(self.hierarchy).__name__}.")
        if self.feature_layer is not None:
            raise ValueError("feature_layer: codes come from the last layer, it must be None.")

    def _objective(self, n_features: int) -> Objective:
        n_classes = self.n_outputs_
        if callable(self.loss):
            return self.loss(n_features, n_classes)
        levels = np.arange(n_classes)[None, :]
        if self.hierarchy is not None:
            levels = self.hierarchy.restrict(self.classes_).levels(by="depth")
        return HierarchyPreservingHashing(
            n_features,
            levels,
            self.n_bits,
            self.sigmas,
            bound_weight=self.bound_weight,
            quantization_weight=self.quantization_weight,
            n_hidden=self.n_hidden,
        )


def _is_epoch_or_share(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return value is None
    if isinstance(value, Integral):
        return int(value) >= 0
    return isinstance(value, Real) and 0 <= float(value) < 1
