import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def digits():
    """400 images of 8 x 8 pixels from 0 to 1, labels as text."""
    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.target))[:400]
    return data.images[order] / 16, np.array(list("abcdefghij"))[data.target[order]]
