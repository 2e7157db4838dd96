"""Networks that compute different features have different hashes; copies have the same."""

import collections
import copy
import dataclasses
import enum
import functools
import io
import logging
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from sklearn_hierret.nn import CNNFeatureExtractor, FrozenFeatureExtractor, TinyNet
from sklearn_hierret.nn._digest import UntellableError, digest_of

pytestmark = pytest.mark.filterwarnings("ignore:The network is your own")
ROOT = Path(__file__).parents[2]
LOGGER = logging.getLogger(__name__)
SCALE = 1.0


def images_of_classes(n_classes=3):
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    return images, np.arange(24) % n_classes


class Net(nn.Module):
    def __init__(self, **values):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        for name, value in values.items():
            setattr(self, name, value)

    def forward(self, x):
        LOGGER.debug("one batch")
        return self.conv(x) * getattr(self, "_scale", 1.0) * SCALE


def with_buffer(value, persistent):
    net = Net()
    net.register_buffer("table", torch.tensor(value), persistent=persistent)
    return net


def with_hook(factor):
    net = Net()
    net.register_forward_hook(lambda module, inputs, output: output * factor)
    return net


def with_forward(text):
    space = {}
    exec(f"def forward(self, x):\n    return {text}", space)
    return type("Made", (Net,), {"forward": space["forward"]})()


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Holder:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def with_attribute(scale):
    def act(x):
        return x * act.scale

    act.scale = scale
    return act


def handled_with_else(x):
    try:
        y = abs(x)
    except ValueError:
        y = 0
    else:
        y = abs(y)
    return y


def handled_without(x):
    try:
        y = abs(x)
        y = abs(y)
    except ValueError:
        y = 0
    return y


handled_without.__qualname__ = handled_with_else.__qualname__


def make_list(factor):
    if factor == 2:

        class Weights(list):
            def act(self):
                return 2

    else:

        class Weights(list):
            def act(self):
                return 3

    return Weights([1])


def tensor_with(scale):
    tensor = torch.ones(2)
    tensor.scale = scale
    return tensor


class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


class Tripled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 3


Tripled.__qualname__ = Tripled.__name__ = "Doubled"


def two_hooks(which):
    net = Net()
    for i in range(2):
        if i == which:
            net.register_forward_hook(lambda m, a, k, o: o, with_kwargs=True)
        else:
            net.register_forward_hook(lambda m, a, o: o)
    return net


PAIRS = {
    "number": (Net(scale=1.0), Net(scale=2.0)),
    "private": (Net(_scale=1.0), Net(_scale=2.0)),
    "mapping": (Net(config={"k": 1}), Net(config={"k": 2})),
    "nested": (Net(config={"k": [1, {2}]}), Net(config={"k": [1, {3}]})),
    "tensor": (Net(table=torch.tensor(1.0)), Net(table=torch.tensor(2.0))),
    "type of a tensor": (Net(table=torch.zeros(2)), Net(table=torch.zeros(2, dtype=torch.int32))),
    "half precision": (Net(t=torch.tensor(1.0).bfloat16()), Net(t=torch.tensor(1.0078125).bfloat16())),
    "array": (Net(table=np.arange(3)), Net(table=np.arange(1, 4))),
    "buffer": (with_buffer(1.0, True), with_buffer(2.0, True)),
    "other buffer": (with_buffer(1.0, False), with_buffer(2.0, False)),
    "hook": (with_hook(1), with_hook(2)),
    "function": (Net(act=functional.silu), Net(act=functional.elu)),
    "lambda": (Net(act=lambda x: x + 1), Net(act=lambda x: x + 2)),
    "partial": (
        Net(act=functools.partial(functional.leaky_relu, negative_slope=0.1)),
        Net(act=functools.partial(functional.leaky_relu, negative_slope=0.2)),
    ),
    "method": (Net(act=Times(1).forward), Net(act=Times(2).forward)),
    "object": (Net(holder=Holder(1)), Net(holder=Holder(2))),
    "class": (Net(kind=Times), Net(kind=Holder)),
    "code": (with_forward("x"), with_forward("x + x")),
    "constant": (with_forward("x * 2"), with_forward("x * 3")),
    "graph": (fx.symbolic_trace(Times(1.0)), fx.symbolic_trace(Times(3.0))),
    "activation of a layer": tuple(
        nn.TransformerEncoderLayer(4, 1, 8, activation=act) for act in (functional.silu, functional.elu)
    ),
    "wraps": tuple(functools.wraps(functional.relu)(act) for act in (lambda x: x * 2, lambda x: x * 3)),
    "arguments": (lambda *a: a, lambda a: a),
    "keywords": (lambda a, *, b: a, lambda a, b: a),
    "attribute of a function": tuple(with_attribute(scale) for scale in (2, 3)),
    "else": (handled_with_else, handled_without),
    "enumeration": tuple(enum.Enum("Mode", {"a": value})["a"] for value in (1, 2)),
    "named tuple": (
        collections.namedtuple("C", "scale shift")(2, 3),
        collections.namedtuple("C", "shift scale")(2, 3),
    ),
    "class of a list": (make_list(2), make_list(3)),
    "default of a mapping": tuple(collections.defaultdict(make) for make in (lambda: 1, lambda: 2)),
    "attribute of a tensor": tuple(tensor_with(scale) for scale in (1, 2)),
    "mask": tuple(np.ma.MaskedArray([1, 2], mask) for mask in ([True, False], [False, True])),
    "random state": (random.Random(0), random.Random(1)),
    "queue": (collections.deque([1]), collections.deque([2])),
    "time": (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")),
    "bytes in memory": (io.BytesIO(b"a"), io.BytesIO(b"b")),
    "attribute called training": (types.SimpleNamespace(training=1), types.SimpleNamespace(training=2)),
    "made data class": tuple(
        dataclasses.make_dataclass("C", [], namespace={"act": act})() for act in (lambda s: 2, lambda s: 3)
    ),
    "weight norm": (
        nn.utils.parametrizations.weight_norm(Doubled(2, 2)),
        nn.utils.parametrizations.weight_norm(Tripled(2, 2)),
    ),
    "which hook takes keywords": (two_hooks(0), two_hooks(1)),
    "order": (nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())),
    "cyclic padding": (nn.Conv2d(1, 1, 1, padding_mode="zeros"), nn.Conv2d(1, 1, 1, padding_mode="circular")),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_differs_has_another_hash(name):
    one, other = PAIRS[name]
    assert digest_of(one) != digest_of(other)


#: What is no module, cannot be pickled, or is given new weights when it is copied.
ALONE = ("method", "activation of a layer", "weight norm", "wraps", "else", "enumeration", "named tuple")


@pytest.mark.parametrize(
    "name", [name for name in PAIRS if isinstance(PAIRS[name][0], nn.Module) and name not in ALONE]
)
def test_copies_have_the_same_hash(name):
    one = PAIRS[name][0]
    expected = digest_of(one)
    assert digest_of(copy.deepcopy(one)) == expected
    assert digest_of(copy.deepcopy(one).train()) == expected
    if name not in ("hook", "lambda", "code", "constant", "which hook takes keywords"):
        assert digest_of(pickle.loads(pickle.dumps(one))) == expected


def test_globals_that_code_uses_count(monkeypatch):
    expected = digest_of(Net())
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert digest_of(Net()) != expected


HELPERS = """
import torch
from torch import nn
import helpers
from sklearn_hierret.nn._digest import digest_of

class Net(nn.Module):
    def forward(self, x):
        from helpers import act
        return act(x) * helpers.SCALE if x in {"mean", "avg", "average"} else x

net = Net()
net.words = {"a", "b", "cc"}
print(digest_of(net))
helpers.SCALE = 9
print(digest_of(net))
"""


def test_modules_that_code_uses_count_and_hash_seeds_do_not(tmp_path):
    (tmp_path / "net.py").write_text(HELPERS)
    printed = []
    for seed, act in ((0, "x + 1"), (1, "x + 1"), (0, "x + 2")):
        (tmp_path / "helpers.py").write_text(f"SCALE = 1\n\ndef act(x):\n    return {act}\n")
        run = subprocess.run(
            [sys.executable, "-B", str(tmp_path / "net.py")],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(run.stdout.split())
    assert printed[0] == printed[1]
    assert printed[0][0] != printed[0][1]
    assert printed[0][0] != printed[2][0]


def test_recurrent_networks_can_be_told():
    networks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        networks.append(digest_of(nn.LSTM(3, 4)))
    assert networks[0] == networks[1] != networks[2]


def test_scripts():
    def script(factor):
        return torch.jit.trace(Times(factor), torch.ones(1, 3, 4, 4))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather export other files
        one, same, other = script(2.0), script(2.0), script(3.0)
    assert digest_of(one) == digest_of(same)
    assert digest_of(one) != digest_of(other)


def test_what_cannot_be_read_is_said():
    net = Net(lock=threading.Lock())
    with pytest.raises(UntellableError, match=r"the network\.lock is a lock, whose content cannot be read"):
        digest_of(net)
    with pytest.raises(UntellableError, match="tensor of a layout"):
        digest_of(Net(t=torch.zeros(3).to_sparse()))
    keyed = Net(lock=threading.Lock(), cache_key="one")
    assert digest_of(keyed) == digest_of(Net(lock=threading.Lock(), cache_key="one"))
    assert digest_of(keyed) != digest_of(Net(lock=threading.Lock(), cache_key="two"))


def test_networks_that_cannot_be_told_are_not_cached(tmp_path):
    images, _ = images_of_classes(n_classes=3)
    net = Net(lock=Locked())
    with pytest.raises(ValueError, match=r"memory= needs to tell .*lock.*cache_key"):
        FrozenFeatureExtractor(net, image_size=16, memory=tmp_path).fit()
    assert FrozenFeatureExtractor(net, image_size=16).fit().transform(images).shape == (len(images), 4)
    net.cache_key = "net, 1"
    FrozenFeatureExtractor(net, image_size=16, memory=tmp_path).fit().transform(images)


class Locked:
    """It can be copied, and its content cannot be read."""

    def __init__(self):
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        return Locked()


@pytest.mark.parametrize("pooling", ["max", "spoc", "partial_mean", "rmac"])
def test_trained_networks_are_told_by_pooling(pooling, tmp_path):
    images, y = images_of_classes(n_classes=3)

    def features(pooling, memory):
        net = CNNFeatureExtractor(
            "tiny", pooling=pooling, max_epochs=0, random_state=0, device="cpu", verbose=0, memory=memory
        )
        return net.fit(images, y).transform(images)

    features("average", str(tmp_path))
    np.testing.assert_array_equal(features(pooling, str(tmp_path)), features(pooling, None))


def test_changed_bytes_are_not_returned(tmp_path):
    images, _ = images_of_classes(n_classes=3)
    frozen = FrozenFeatureExtractor(TinyNet(), image_size=16, memory=tmp_path).fit()
    expected = frozen.transform(images)
    [path] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT digest, numbers FROM features").fetchall()
        changed = [(b"\x01\x02\x03\x04" + numbers[4:], digest) for digest, numbers in rows]
        connection.executemany("UPDATE features SET numbers = ? WHERE digest = ?", changed)
        swapped = [(rows[0][1], rows[1][0])]  # features of another image
        connection.executemany("UPDATE features SET numbers = ? WHERE digest = ?", swapped)
    connection.close()
    np.testing.assert_allclose(frozen.transform(images), expected, atol=1e-6)
