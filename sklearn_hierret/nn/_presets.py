"""Ways of training that have worked, as parameters of skorch."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR


def training_preset(name: str, *, epochs: int | None = None, cycles: int = 5) -> dict[str, Any]:
    """Return parameters for `CNNFeatureExtractor`; only skorch's own.

    Parameters
    ----------
    name : {"sgdr", "cosine", "one_cycle"}
        "sgdr": SGD with warm restarts, rate 0.1 to 1e-6, a first cycle of 12 epochs, each twice
        as long as the one before, gradient norm clipped at 10, batches of 100 [1]_. "cosine":
        SGD, rate 0.1 to 0 in one half wave, weight decay 5e-4. "one_cycle": SGD, rate up to 0.1 and
        down again [2]_.
    epochs : int, optional
        Default: 30; for "sgdr" that of its `cycles`.
    cycles : int, default=5
        Cycles of "sgdr": 5 are 372 epochs.

    Returns
    -------
    params : dict

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, section 5.1.1.
    .. [2] L. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
       Large Learning Rates", 2018.

    Examples
    --------
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, training_preset
    >>> CNNFeatureExtractor("resnet110w", **training_preset("sgdr", cycles=3)).max_epochs
    84
    """
    if name not in ("sgdr", "cosine", "one_cycle"):
        raise ValueError(f"name must be 'sgdr', 'cosine' or 'one_cycle', got {name!r}.")
    if epochs is None:
        epochs = 12 * (2**cycles - 1) if name == "sgdr" else 30
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}.")
    params = {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "optimizer__nesterov": True,
        "lr": 0.1,
        "max_epochs": epochs,
        "batch_size": 100,
    }
    if name == "sgdr":
        schedule = LRScheduler(CosineAnnealingWarmRestarts, T_0=12, T_mult=2, eta_min=1e-6)
        clipping = GradientNormClipping(gradient_clip_value=10.0)
        return {**params, "callbacks": [("schedule", schedule), ("clipping", clipping)]}
    params["optimizer__weight_decay"] = 5e-4
    if name == "cosine":
        schedule = LRScheduler(CosineAnnealingLR, T_max=epochs)
    else:
        # The scheduler takes one step more than there are epochs.
        schedule = LRScheduler(OneCycleLR, max_lr=0.1, total_steps=epochs + 1)
    return {**params, "callbacks": [("schedule", schedule)]}
