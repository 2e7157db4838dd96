"""The interface of everything that networks are trained for."""

from __future__ import annotations

from torch import Tensor, nn


class Objective(nn.Module):
    """A head with its loss.

    Vectors of the backbone go in; `features` are what a retriever gets, `forward` is what the loss
    and the probabilities are computed from.
    """

    def features(self, vectors: Tensor) -> Tensor:
        """Return features for retrieval; the vectors themselves unless said otherwise.

        Parameters
        ----------
        vectors : tensor of shape (n, n_vectors)
            What the head is given.

        Returns
        -------
        features : tensor of shape (n, n_features)
            Of as many samples.
        """
        return vectors

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute outputs of the head from `features`."""
        raise NotImplementedError

    def losses(self, outputs: Tensor | tuple[Tensor, ...], codes: Tensor) -> Tensor:
        """Loss of each sample, (n,); for objectives whose loss is a mean over samples, which takes weights.

        Parameters
        ----------
        outputs : tensor or tuple of tensors
            Of `forward`.
        codes : tensor of shape (n,)
            Positions of classes.

        Returns
        -------
        losses : tensor of shape (n,)
            Of as many samples.
        """
        raise NotImplementedError

    def loss(self, outputs: Tensor | tuple[Tensor, ...], codes: Tensor) -> Tensor:
        """Compute the mean loss of a batch.

        Parameters
        ----------
        outputs : tensor or tuple of tensors
            Of `forward`.
        codes : tensor of shape (n,)
            Positions of classes.

        Returns
        -------
        loss : tensor
            A scalar.
        """
        return self.losses(outputs, codes).mean()

    def probabilities(self, outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Class probabilities, (n, n_classes)."""
        raise NotImplementedError
