"""One module: images from 0 to 1 in, one vector each out."""

from __future__ import annotations

import copy
import difflib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sklearn_hierret.nn.backbones import make_pooling
from sklearn_hierret.nn.frozen._sources import Source


class FrozenNetwork(nn.Module):
    """Normalisation, network, pooling; several layers one after another, each of length 1.

    Parameters
    ----------
    source : Source
    pooling : str, nn.Module or None
    layers : sequence of str, optional
        Names of modules of the network.
    mean, std : sequence of float
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: Source, pooling: Any, layers: Any, mean: Any, std: Any) -> None:
        super().__init__()
        self.body = source.body
        pooling = make_pooling("average" if pooling is None else pooling)
        self.pooling = copy.deepcopy(pooling).requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])
        names = layers if isinstance(layers, (list, tuple)) else [layers]
        self.layers: tuple[str, ...] | None = None if layers is None else tuple(names)
        if self.layers is not None:
            self._check_layers(source)

    def _check_layers(self, source: Source) -> None:
        if not self.layers or not all(isinstance(name, str) for name in self.layers):
            raise ValueError(
                f"layers must be names of modules, at least one, got {list(self.layers or ())!r}."
            )
        if not source.has_layers:
            raise ValueError("TorchScript and ONNX files and functions have no layers to choose from.")
        modules = dict(self.body.named_modules())
        for name in self.layers:
            if name not in modules:
                raise ValueError(f"The network has no module {name!r}{_like(name, modules)}.")

    def forward(self, images: Tensor) -> Tensor:
        """Vectors; with layers by one thread at a time."""
        images = (images - self.mean) / self.std
        if self.layers is None:
            return self._vectors(self.body(images), "The network").float()
        caught: dict[str, Tensor] = {}

        def catch(module: nn.Module, inputs: Any, output: Any, name: str) -> None:
            if name in caught:
                raise ValueError(f"The network calls the module {name!r} several times: choose another one.")
            # Pooled at once: what comes next may work in place.
            caught[name] = self._vectors(output, f"Layer {name!r}").float().clone()

        modules = dict(self.body.named_modules())
        names = dict.fromkeys(self.layers)
        hooks = [modules[name].register_forward_hook(partial(catch, name=name)) for name in names]
        try:
            self.body(images)
        finally:
            for hook in hooks:
                hook.remove()
        missing = [name for name in names if name not in caught]
        if missing:
            raise ValueError(f"The network has the module {missing[0]!r}, but does not call it.")
        parts = [caught[name] for name in names]
        return parts[0] if len(parts) == 1 else torch.cat([normalize(part, dim=1) for part in parts], dim=1)

    def _vectors(self, output: Any, what: str) -> Tensor:
        """Pool maps (n, d, height, width) and tokens (n, n_tokens, d); vectors (n, d) stay as they are."""
        if not isinstance(output, Tensor):
            raise ValueError(f"{what} must give an array, got a {type(output).__name__}: pass a callable.")
        if output.ndim == 3:
            output = output.transpose(1, 2)[..., None]
        if output.ndim == 4:
            output = self.pooling(output.float())
        if output.ndim != 2:
            raise ValueError(
                f"{what} must give vectors, maps or tokens, got an array of shape {tuple(output.shape)}."
            )
        return output


def _like(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, [n for n in names if n], n=5, cutoff=0.3)
    return f"; some that it has: {close}" if close else ""
