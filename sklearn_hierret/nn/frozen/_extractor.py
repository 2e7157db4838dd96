"""The frozen network as a transformer: images in, features out."""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import TransformerTags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from tqdm.auto import tqdm

from sklearn_hierret._arrays import unchanged_on_error
from sklearn_hierret._sklearn import Interval, StrOptions, fit_context
from sklearn_hierret.images import ImageList
from sklearn_hierret.nn._device import autocast, memory_hint
from sklearn_hierret.nn._digest import UntellableError
from sklearn_hierret.nn.backbones._adapter import n_features_of
from sklearn_hierret.nn.frozen._loading import ahead, prepare
from sklearn_hierret.nn.frozen._network import FrozenNetwork
from sklearn_hierret.nn.frozen._settings import (
    Settings,
    batch_size_of,
    device_of,
    folder_of,
    key_of,
    pair,
    statistics,
)
from sklearn_hierret.nn.frozen._sources import Source, open_network
from sklearn_hierret.nn.frozen._store import FeatureStore


class FrozenFeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of images by a network that is not trained: the first step before a retriever.

    Images are arrays of one or of different sizes, PIL images, paths, a data frame of paths, or a folder with
    all images in it and below.

    Parameters
    ----------
    network : str, path, nn.Module or callable, default="efficientnet-lite0"
        - ``"efficientnet-lite0"``, whose weights come with the extra ``pretrained``;
        - ``"timm:NAME"`` or ``"torchvision:NAME"``, with the weights that these packages download;
        - a module, whose output is vectors (n, d), maps (n, d, height, width) or tokens (n, n_tokens, d);
        - the path of a TorchScript (``.pt``, ``.pth``, ``.ts``) or ONNX file (``.onnx``). These are programs:
          take them from people whom you trust;
        - a function from a tensor (n, channels, height, width) to an array.
    weights : path, default=None
        A state dict to load into the network: safetensors, or a file of torch without code.
    pooling : str or nn.Module, default=None
        What makes vectors of maps or tokens: "average", "max" (MAC), "gem", "spoc", "partial_mean", "rmac".
        None: the network's own, or the average.
    layers : sequence of str, default=None
        Names of modules, as in ``named_modules()``, whose outputs are the features; a name given twice counts
        once. The outputs of several modules are scaled to length 1 and concatenated.
    image_size : int or (int, int), default=None
        (height, width) that images are resized to, bicubically. None: what the network was trained on, or
        (224, 224).
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How images of another aspect ratio are fitted: they are stretched, only their middle is kept, or they
        get grey borders.
    tiles : int or (int, int), default=1
        Every image is resized to this many times `image_size` and cut into this many rows and columns of
        tiles. Its features are the mean over its tiles.
    mean, std : sequence of float, default=None
        Mean and standard deviation of each channel, for pixels from 0 to 1. None: those of the network, or of
        ImageNet. One number each for networks of one channel.
    batch_size : "auto" or int, default="auto"
        Images, or tiles, that the network computes at once. "auto": 64 on a GPU; on a processor, which is
        fastest with few, as many as have 400,000 pixels, such as 7 of 224 x 224.
    n_jobs : int, default=None
        Threads that read and resize images while the network computes. None: one; -1: as many as there are
        processors.
    device : str or torch.device, default="auto"
        "auto" is "cuda" where there is such a device, else "cpu".
    mixed_precision : bool, default=False
        Compute in bfloat16 where that is safe.
    compile : bool, default=False
        Compile the network by `torch.compile`.
    memory : str, path or joblib.Memory, default=None
        Folder in which features are kept, found by the content of the image. An image is computed once,
        whatever its name, its position or its fold, and an interrupted run continues where it stopped. A
        network is told from others by its weights, attributes, hooks and code. A function, and a network with
        parts that cannot be read, need an attribute ``cache_key`` that changes whenever their results do.
    on_error : {"raise", "warn"}, default="raise"
        "warn": files that are missing or damaged are named in a warning, and their features are NaN. The
        rows keep their positions.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    network_ : FrozenNetwork
        The network with normalisation and pooling.
    image_size_ : (int, int)
        Height and width of its input.
    n_features_out_ : int
        Number of features.

    See Also
    --------
    CNNFeatureExtractor : Trains a network.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.nn import FrozenFeatureExtractor, TinyNet
    >>> images = np.random.default_rng(0).integers(0, 256, (20, 40, 30, 3), dtype=np.uint8)
    >>> frozen = FrozenFeatureExtractor(TinyNet(), image_size=32, mean=[0.5] * 3, std=[0.25] * 3).fit(images)
    >>> frozen.transform(images).shape
    (20, 64)
    >>> pipe = make_pipeline(frozen, HierarchicalRetriever()).fit(images, np.repeat([0, 1], 10))
    """

    _parameter_constraints: dict = {
        "resize": [StrOptions({"stretch", "crop", "pad"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_jobs": [None, Integral],
        "device": [str, torch.device],
        "mixed_precision": ["boolean"],
        "compile": ["boolean"],
        "on_error": [StrOptions({"raise", "warn"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        network: Any = "efficientnet-lite0",
        *,
        weights: Any = None,
        pooling: Any = None,
        layers: Sequence[str] | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "stretch",
        tiles: int | tuple[int, int] = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int | str = "auto",
        n_jobs: int | None = None,
        device: str = "auto",
        mixed_precision: bool = False,
        compile: bool = False,
        memory: Any = None,
        on_error: str = "raise",
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.weights = weights
        self.pooling = pooling
        self.layers = layers
        self.image_size = image_size
        self.resize = resize
        self.tiles = tiles
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.device = device
        self.mixed_precision = mixed_precision
        self.compile = compile
        self.memory = memory
        self.on_error = on_error
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any = None, y: Any = None) -> FrozenFeatureExtractor:
        """Open the network; nothing is learnt, and the images are not looked at.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If the network needs a package that is not installed; it is named.
        TypeError
            For what is no network.
        ValueError
            For a name that is not known, weights that do not fit, layers that the network lacks, a network
            whose output is not one vector, map, or sequence of tokens for each image.

        Warns
        -----
        UserWarning
            If a network of your own comes without `image_size`, `mean`, `std`, or ends with a linear layer:
            those of ImageNet are assumed.
        """
        with unchanged_on_error(self):
            return self._fit()

    def _fit(self) -> FrozenFeatureExtractor:
        picks_layers = self.layers is not None
        source = open_network(
            self.network,
            self.weights,
            pools=self.pooling is not None and not picks_layers,
            picks_layers=picks_layers,
        )
        self._say_what_is_assumed(source)
        mean = source.mean if self.mean is None else self.mean
        std = source.std if self.std is None else self.std
        mean, std = statistics(mean, std)
        size = source.image_size if self.image_size is None else pair(self.image_size, "image_size")
        device = device_of(self.device)
        network = FrozenNetwork(source, self.pooling, self.layers, mean, std).eval()
        settings = Settings(
            image_size=size,
            n_channels=len(mean),
            resize=self.resize,
            grid=pair(self.tiles, "tiles"),
            batch_size=batch_size_of(self.batch_size, size, device),
            n_threads=max(1, joblib.effective_n_jobs(self.n_jobs)),
            wanted_device=self.device,
            device=device,
            is_compiled=bool(self.compile),
            mixed_precision=bool(self.mixed_precision),
            memory=folder_of(self.memory),
            on_error=self.on_error,
            verbose=int(self.verbose),
            n_features=0,
            key=None,
        )
        settings.n_features = n_features_of(network, len(mean), size)
        if settings.memory is not None:
            try:
                digest = source.digest()
                if digest is None:
                    raise UntellableError("a function cannot be told from others.")
                settings.key = key_of(digest, network, settings)
            except UntellableError as error:
                raise ValueError(
                    f"memory= needs to tell the network from others, and {error} Give it an attribute "
                    "cache_key that changes whenever its results do."
                ) from error
        self.network_ = network.to(device, memory_format=torch.channels_last)
        self._settings = settings
        self._make_ready()
        self.image_size_, self.n_features_out_ = size, settings.n_features
        return self

    def _say_what_is_assumed(self, source: Source) -> None:
        """Warn of what a network of the user's own may not have been trained on."""
        if source.is_known:
            return
        assumed = []
        if self.mean is None or self.std is None:
            assumed.append("mean and deviation of ImageNet (mean=, std=)")
        if self.image_size is None:
            assumed.append("images of 224 x 224 pixels (image_size=)")
        if self.layers is None and source.last_layer is not None:
            assumed.append(
                f"what its last layer {source.last_layer!r} gives, which may be scores of classes (layers=)"
            )
        if assumed:
            warnings.warn(f"The network is your own; taken are {', '.join(assumed)}.", UserWarning, 5)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute features of images.

        Parameters
        ----------
        X : array-like of images, of paths, data frame of paths, or folder
            Arrays have shape (height, width[, channels]), uint8, or floats from 0 to 1.

        Returns
        -------
        features : ndarray of shape (n, n_features), float32

        Raises
        ------
        ValueError
            If an image is damaged and ``on_error="raise"``; the message names it.
        OSError
            If a file is missing or can't be read and ``on_error="raise"``.

        Warns
        -----
        UserWarning
            If files are missing or damaged and ``on_error="warn"``; they are named.
        """
        check_is_fitted(self)
        settings = self._settings
        images = ImageList(X, settings.n_channels)
        store = None
        if settings.memory is not None and settings.key is not None:
            store = FeatureStore(settings.memory, settings.key, settings.n_features)
        try:
            return self._transform(images, store)
        finally:
            if store is not None:
                store.close()

    def _transform(self, images: ImageList, store: FeatureStore | None) -> NDArray[np.float32]:
        settings = self._settings
        features = np.full((len(images), settings.n_features), np.nan, dtype=np.float32)
        step = max(1, settings.batch_size // (settings.grid[0] * settings.grid[1]))
        chunks = [range(start, min(start + step, len(images))) for start in range(0, len(images), step)]
        damaged: list[str] = []
        with (
            torch.inference_mode(),
            memory_hint(settings.device, settings.batch_size),
            tqdm(total=len(images), unit="image") if settings.verbose else contextlib.nullcontext() as bar,
            # Closed before the store is, whatever happens: threads use it.
            contextlib.closing(
                ahead(partial(prepare, images, store, settings), chunks, settings.n_threads)
            ) as batches,
        ):
            for batch in batches:
                for row, error in batch.errors.items():
                    if settings.on_error == "raise":
                        raise error
                    damaged.append(
                        str(error) if images.name(row) in str(error) else f"{images.name(row)}: {error}"
                    )
                for row, values in batch.known.items():
                    features[row] = values
                if batch.inputs is not None:
                    features[batch.to_do] = computed = self._features(batch.inputs)
                    if store is not None:
                        store.put(batch.digests, computed)
                if bar is not None:
                    bar.update(len(batch.rows))
        if damaged:
            more = "" if len(damaged) <= 5 else f", and {len(damaged) - 5} more"
            warnings.warn(
                f"{len(damaged)} of {len(images)} images are damaged, their features are NaN: "
                f"{'; '.join(damaged[:5])}{more}",
                UserWarning,
                4,
            )
        return features

    def _features(self, inputs: Tensor) -> NDArray[np.float32]:
        settings = self._settings
        n_tiles = settings.grid[0] * settings.grid[1]
        # Convolutions are up to twice as fast when the channels of a pixel lie side by side.
        inputs = inputs.to(settings.device, memory_format=torch.channels_last)
        # Threads take turns: the network uses all cores, and layers are caught by hooks in it.
        with self._turn, autocast(settings.device, settings.mixed_precision):
            vectors = [self._run(part) for part in inputs.split(settings.batch_size)]
        for part, given in zip(vectors, inputs.split(settings.batch_size), strict=True):
            if part.shape != (len(given), settings.n_features):
                raise ValueError(
                    f"The network gave an array of shape {tuple(part.shape)} for {len(given)} images, "
                    f"expected {(len(given), settings.n_features)}."
                )
        results = torch.cat(vectors)
        if n_tiles > 1:
            results = results.reshape(-1, n_tiles, results.shape[1]).mean(dim=1)
        return results.float().cpu().numpy()

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_clone__(self) -> FrozenFeatureExtractor:
        # Nothing changes a network that was given, so that clones need no copies of it.
        return type(self)(**self.get_params(deep=False))

    def _make_ready(self) -> None:
        """Return what can't be pickled."""
        self._turn = threading.Lock()
        self._run: Any = torch.compile(self.network_) if self._settings.is_compiled else self.network_

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state = {name: value for name, value in state.items() if name not in ("_run", "_turn")}
        if "network_" in state and str(self._settings.device) != "cpu":
            state["network_"] = copy.deepcopy(self.network_).cpu()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "network_"):
            device = device_of(self._settings.wanted_device)
            self._settings = replace(self._settings, device=device)
            self.network_.to(device)
            self._make_ready()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags = TransformerTags(preserves_dtype=["float32"])
        tags.requires_fit = True
        return tags
