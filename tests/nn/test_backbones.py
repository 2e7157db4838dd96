from importlib.util import find_spec

import numpy as np
import pytest
import torch

from sklearn_hierret.nn import Plain11, PyramidNet, ResNetCifar, TinyNet, make_backbone
from sklearn_hierret.nn._network import Vectors
from sklearn_hierret.nn.backbones import POOLINGS, GeMPooling, make_pooling
from sklearn_hierret.nn.backbones._pooling import PartialMeanPooling, RMACPooling, regions


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]


def test_plain11_is_as_in_the_paper():
    network = Plain11(3)
    assert [m.out_channels for m in convolutions(network)] == [64, 64, 128, 128, 128, 256, 256, 256, 512]
    assert all(m.kernel_size == (3, 3) for m in convolutions(network))
    dense = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in dense] == [512]
    assert len(convolutions(network)) + len(dense) + 1 == 11  # with the classifier
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 512, 4, 4)
    vectors = Vectors(network, make_pooling("average")).eval()
    assert vectors(torch.zeros(2, 3, 32, 32)).shape == (2, 512)
    assert Plain11(1, width=0.25)(torch.zeros(1, 1, 16, 16)).shape[1] == 128


def test_resnet110():
    network = make_backbone("resnet110")
    assert len(convolutions(network)) + 1 == 110  # with the classifier
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 8, 8)
    wide = make_backbone("resnet110w", 1)
    assert wide(torch.zeros(1, 1, 32, 32)).shape == (1, 128, 8, 8)
    assert len(convolutions(wide)) == 109
    n_parameters = sum(p.numel() for p in network.parameters())
    assert n_parameters == pytest.approx(1.7e6, rel=0.05)  # table 6 of He et al.


def test_shortcuts_have_no_parameters():
    network = ResNetCifar(1, n_blocks=2, channels=(4, 8, 16)).eval()
    x = torch.randn(2, 1, 8, 8)
    for block in network.blocks:
        torch.nn.init.zeros_(block.convolutions[4].weight)  # the residual is zero then
    maps = network.stem(x)
    expected = torch.nn.functional.pad(maps[:, :, ::2, ::2][:, :, ::2, ::2], (0, 0, 0, 0, 0, 12))
    torch.testing.assert_close(network(x), expected)


def test_poolings_in_numpy():
    maps = torch.rand(2, 3, 4, 5) + 0.1
    array = maps.numpy()
    np.testing.assert_allclose(make_pooling("average")(maps), array.mean(axis=(2, 3)), rtol=1e-6)
    np.testing.assert_allclose(make_pooling("max")(maps), array.max(axis=(2, 3)))
    for p in (1.0, 3.0, 7.5):
        expected = (array**p).mean(axis=(2, 3)) ** (1 / p)
        np.testing.assert_allclose(GeMPooling(p)(maps).detach(), expected, rtol=1e-5)
    far = GeMPooling(300.0)(maps).detach()
    np.testing.assert_allclose(far, array.max(axis=(2, 3)), rtol=0.02)


def test_spoc_and_partial_mean_in_numpy():
    maps = torch.rand(2, 3, 5, 7)
    array = maps.numpy().astype(float)
    y, x = np.mgrid[:5, :7]
    prior = np.exp(-((y - 2) ** 2 + (x - 3) ** 2) / (2 * (5 / 6) ** 2))
    np.testing.assert_allclose(make_pooling("spoc")(maps), (array * prior).sum(axis=(2, 3)), rtol=1e-5)
    largest = np.sort(array.reshape(2, 3, 35), axis=2)[:, :, -4:]  # a tenth of 35, rounded
    np.testing.assert_allclose(make_pooling("partial_mean")(maps), largest.mean(axis=2), rtol=1e-6)
    for share, other in ((1.0, "average"), (1e-9, "max")):
        torch.testing.assert_close(PartialMeanPooling(share)(maps), make_pooling(other)(maps))
    with pytest.raises(ValueError, match="share must be"):
        PartialMeanPooling(0)


def test_rmac_in_numpy():
    maps = torch.rand(2, 3, 6, 6)
    total = np.zeros((2, 3))
    for side, starts in ((6, [0]), (4, [0, 2]), (3, [0, 1, 3])):
        for top in starts:
            for left in starts:
                region = maps[:, :, top : top + side, left : left + side].numpy().max(axis=(2, 3))
                total += region / np.linalg.norm(region, axis=1, keepdims=True)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(RMACPooling()(maps), expected, rtol=1e-5)
    wide = regions(6, 12, 1)
    assert [top for top, *_ in wide] == [0] * len(wide)
    assert wide[-1] == (0, 6, 6)
    assert len(wide) == 3  # half of each overlaps with the next
    assert len(regions(12, 6, 2)) == 3 + 8
    assert RMACPooling()(torch.rand(1, 2, 1, 1)).shape == (1, 2)
    with pytest.raises(ValueError, match="n_scales must be"):
        RMACPooling(0)


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_poolings_can_learn(name):
    pooling = make_pooling(name).double()
    maps = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooling, (maps,))


def test_pyramidnet():
    network = make_backbone("pyramidnet272")
    assert len(convolutions(network)) + 1 == 272
    widths = [m.out_channels for m in convolutions(network) if m.kernel_size == (3, 3)]
    assert widths[0] == 16
    assert widths[1:] == [int(16 + 200 * k / 90) for k in range(1, 91)]
    small = PyramidNet(1, depth=20, widening=12).eval()
    assert small(torch.zeros(2, 1, 9, 16)).shape == (2, 112, 3, 4)
    with pytest.raises(ValueError, match="9 n"):
        PyramidNet(depth=21)


def test_gem_learns_its_p():
    pooling = GeMPooling().double()
    maps = torch.rand(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooling, (maps,))
    pooling(maps).sum().backward()
    assert pooling.p.grad.abs() > 0
    tiny = torch.full((1, 2, 3, 3), 1e-12, requires_grad=True)
    GeMPooling()(tiny).sum().backward()
    assert torch.isfinite(tiny.grad).all()
    with pytest.raises(ValueError, match="p must be at least 1"):
        GeMPooling(0.5)


def test_modules_are_copied():
    mine = TinyNet(1)
    assert make_backbone(mine) is not mine
    assert make_backbone(mine).convolutions[0].weight is not mine.convolutions[0].weight


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_other_packages_are_asked_for(name):
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(ImportError, match=f"needs {name}: python -m pip install"):
        make_backbone(f"{name}:resnet18")
