"""One way to get a network: by a name of ours, of timm or of torchvision, or as a module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sklearn_hierret.nn.backbones._plain import Plain11, TinyNet
from sklearn_hierret.nn.backbones._pretrained import timm_network, torchvision_network
from sklearn_hierret.nn.backbones._pyramid import PyramidNet
from sklearn_hierret.nn.backbones._resnet import ResNetCifar

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "tiny": TinyNet,
    "plain11": Plain11,
    "resnet110": ResNetCifar,
    "pyramidnet272": PyramidNet,
    "resnet110w": lambda in_channels: ResNetCifar(in_channels, channels=(32, 64, 128)),
}


def make_backbone(backbone: Any, in_channels: int = 3) -> nn.Module:
    """Make a network without its classifier.

    Parameters
    ----------
    backbone : str, nn.Module, or callable
        "tiny", "plain11", "resnet110", "resnet110w", "pyramidnet272"; ``"timm:NAME"`` or
        ``"torchvision:NAME"`` for a network of those packages, ``"timm:NAME:pretrained"`` with its
        weights; a module, which is copied; or a callable from the number of channels to a
        module. Its output is a map (n, features, height, width) or vectors (n, features).
    in_channels : int, default=3

    Returns
    -------
    module : nn.Module

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret.nn import make_backbone
    >>> make_backbone("tiny", 1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64, 2, 2])
    """
    if isinstance(backbone, nn.Module):
        return copy.deepcopy(backbone)
    if isinstance(backbone, str):
        source, _, name = backbone.partition(":")
        if source in ("timm", "torchvision") and name:
            name, _, weights = name.partition(":")
            if weights not in ("", "pretrained"):
                raise ValueError(f"After the second ':' comes 'pretrained' or nothing, got {weights!r}.")
            if source == "timm":
                return timm_network(name, bool(weights), in_channels)
            if in_channels != 3:
                raise ValueError(f"torchvision's networks take images of 3 channels, got {in_channels}.")
            return torchvision_network(name, bool(weights))[0]
        if backbone not in BACKBONES:
            raise ValueError(
                f"backbone must be one of {tuple(BACKBONES)}, 'timm:NAME', 'torchvision:NAME', a module "
                f"or a callable, got {backbone!r}."
            )
        return BACKBONES[backbone](in_channels)
    if callable(backbone):
        module = backbone(in_channels)
        if isinstance(module, nn.Module):
            return module
        raise TypeError(f"backbone gave a {type(module).__name__}, not a module.")
    raise TypeError(f"backbone must be a name, a module or a callable, got {type(backbone).__name__}.")


def n_features_of(modules: nn.Module, in_channels: int, image_size: tuple[int, int]) -> int:
    """Length of the vectors that a module makes of images, seen on two images of zeros."""
    shape = _shape_of(modules, in_channels, image_size)
    if len(shape) != 2 or shape[0] != 2 or not shape[1]:
        raise ValueError(
            f"The network must give one vector an image, got a shape of {tuple(shape)} for two images."
        )
    return int(shape[1])


def n_channels_of(backbone: nn.Module, in_channels: int, image_size: tuple[int, int]) -> int:
    """Channels of the maps, or numbers of the vectors, that a backbone makes."""
    shape = _shape_of(backbone, in_channels, image_size)
    return int(shape[1]) if len(shape) > 1 else 0  # n_features_of says what is wrong


def _shape_of(modules: nn.Module, in_channels: int, image_size: tuple[int, int]) -> torch.Size:
    was_training = modules.training
    modules.eval()
    try:
        with torch.no_grad():
            return modules(torch.zeros(2, in_channels, *image_size)).shape
    except RuntimeError as error:
        raise ValueError(
            f"The network can't take images of {image_size[0]} x {image_size[1]} pixels with {in_channels} "
            f"channels: {error}"
        ) from error
    finally:
        modules.train(was_training)
