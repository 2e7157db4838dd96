import os

# Before SciPy is imported: scikit-learn skips its array API check otherwise.
os.environ["SCIPY_ARRAY_API"] = "1"
# Before NumPy is imported: workers of pytest-xdist share the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import settings

from tests.strategies import examples

mpl.use("agg")
# Fits differ in speed from one machine to the next; a deadline would test the machine.
# CI draws the same examples each time: there, a failure is the change's.
settings.register_profile(
    "default", deadline=None, derandomize="CI" in os.environ, max_examples=examples(100)
)
settings.load_profile("default")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")
