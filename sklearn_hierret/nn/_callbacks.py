"""What happens after each epoch."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from skorch.callbacks import Callback
from skorch.utils import to_device

from sklearn_hierret.metrics import map_at_k
from sklearn_hierret.nn._data import images_in, labels_of


class RetrievalScoring(Callback):
    """mAP@k of the validation images among themselves by cosine, as ``valid_map`` in the history.

    Parameters
    ----------
    k : int, default=20
        At most all other validation images.
    """

    def __init__(self, k: int = 20) -> None:
        self.k = k

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Record the score, and whether it is the best so far."""
        if dataset_valid is None:
            return
        codes = net.class_codes(labels_of(dataset_valid))
        k = min(self.k, len(codes) - 1)
        features = net.searched(net.features_of(dataset_valid))
        search = NearestNeighbors(metric="cosine", algorithm="brute").fit(features)
        ranked = codes[search.kneighbors(n_neighbors=k, return_distance=False)]
        counts = np.bincount(codes)[codes] - 1
        score = map_at_k(codes, ranked, n_relevant=counts, empty="zero")
        best = max((row.get("valid_map", -1.0) for row in net.history[:-1]), default=-1.0)
        net.history.record("valid_map", score)
        net.history.record("valid_map_best", bool(score > best))


class DivergenceCheck(Callback):
    """Stops training with an error once the loss of an epoch is no finite number."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the mean loss of the epoch."""
        loss = net.history[-1].get("train_loss", 0.0)
        if not np.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss of epoch {len(net.history)} is {loss}. Try a smaller lr than "
                f"{net.lr:g}, training_preset('one_cycle'), or gradient clipping "
                "(skorch.callbacks.GradientNormClipping)."
            )


class ClassCenters(Callback):
    """After each epoch, the mean outputs of the classes, from one pass over the training images.

    They are for objectives with `update_centers` (zhang2021, eq. 3); a class without images keeps
    its centre.

    Parameters
    ----------
    first : int, float or None, default=0.5
        The first epoch after which that is done, 0 being the start, or the share of `max_epochs` that
        comes before; None: never.
    """

    def __init__(self, first: float | None = 0.5) -> None:
        self.first = first

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Compute the means of a network that has learnt nothing, if that is asked for."""
        if self.first == 0 and isinstance(self.first, Integral) and not net.history:
            self._update(net, net.get_split_datasets(X, y)[0])

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Compute the means, if it is time."""
        if self.first is None:
            return
        before = self.first if isinstance(self.first, Integral) else self.first * net.max_epochs
        if len(net.history) >= before:
            self._update(net, dataset_train)

    def _update(self, net: Any, dataset_train: Any) -> None:
        objective = net.module_.objective
        if not hasattr(objective, "update_centers"):
            return
        # Added up in double precision, which not every device has.
        means = objective.centers[: net.n_outputs_].cpu().double()
        sums, counts = torch.zeros_like(means), means.new_zeros(len(means))
        net.module_.eval()
        # no_grad, not inference_mode: the loss is to learn with what comes out.
        with torch.no_grad(), net._autocast():
            for batch in net.get_iterator(dataset_train, training=False):
                images, codes = batch
                outputs = net.module_.features(to_device(images_in(images), net.device))
                sums.index_add_(0, codes.cpu(), outputs.cpu().double())
                counts += torch.bincount(codes.cpu(), minlength=len(counts))
            has_some = counts > 0
            means[has_some] = sums[has_some] / counts[has_some, None]
            objective.update_centers(means)


def code_accuracy(net: Any, X: Any, y: ArrayLike) -> float:
    """Share of the samples whose class is right; `y` are codes, since skorch sees no labels."""
    return float(np.mean(net.predict_proba(X).argmax(axis=1) == net.class_codes(np.asarray(y))))
