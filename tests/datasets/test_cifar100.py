from importlib.resources import files

import numpy as np
import pytest

from sklearn_hierret.datasets import load_cifar100_taxonomy


def test_names_and_indices_are_the_same_tree():
    names, indices = load_cifar100_taxonomy(), load_cifar100_taxonomy("index")
    np.testing.assert_array_equal(indices.classes, np.arange(100))
    assert indices.node_names[:3] == ("apple", "aquarium_fish", "baby")
    by_index = names.distance_matrix()[np.ix_(*2 * [names.index(list(indices.node_names[:100]))])]
    np.testing.assert_array_equal(by_index, indices.distance_matrix())
    assert names.distance("oak_tree", "maple_tree") < names.distance("oak_tree", "lobster")
    with pytest.raises(ValueError, match="labels must be"):
        load_cifar100_taxonomy("coarse")


def test_the_licence_ships():
    assert "MIT License" in (files("sklearn_hierret.datasets") / "data" / "LICENSE.cifar100").read_text()
