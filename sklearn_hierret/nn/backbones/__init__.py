"""Networks from images to maps of features, and how maps become vectors."""

from sklearn_hierret.nn.backbones._adapter import make_backbone
from sklearn_hierret.nn.backbones._plain import Plain11, TinyNet
from sklearn_hierret.nn.backbones._pooling import POOLINGS, AttentionPooling, GeMPooling, make_pooling
from sklearn_hierret.nn.backbones._pyramid import PyramidNet
from sklearn_hierret.nn.backbones._resnet import ResNetCifar

__all__ = [
    "POOLINGS",
    "AttentionPooling",
    "GeMPooling",
    "Plain11",
    "PyramidNet",
    "ResNetCifar",
    "TinyNet",
    "make_backbone",
    "make_pooling",
]
