"""What people pass by mistake, and what they are told."""

import io

import numpy as np
import pytest

from sklearn_hierret import (
    DiscriminantClassifier,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
)
from sklearn_hierret.explorer import explore
from sklearn_hierret.images import ImageSource
from sklearn_hierret.images._reading import read_image
from tests.strategies import blobs


@pytest.fixture(scope="module")
def fitted():
    X, y = blobs(np.random.default_rng(0))
    return HierarchicalRetriever(alpha=0.5).fit(X, y), X, y


def test_text_in_place_of_a_builder(fitted):
    _, X, y = fitted
    with pytest.raises(ValueError, match=r"such as LinkageHierarchyBuilder\('ward'\).* Got 'ward'"):
        HierarchicalRetriever("ward").fit(X, y)
    with pytest.raises(ValueError, match=r"such as DiscriminantClassifier\(\).* Got 'lda'"):
        HierarchicalRetriever(class_model="lda").fit(X, y)


@pytest.mark.parametrize(
    "images",
    [np.zeros((6, 4, 4, 3)), np.zeros((6, 4, 4)), ["a.jpg", "b.jpg"], np.array(["a.jpg", "b.jpg"])],
    ids=["colours", "grey", "paths", "array of paths"],
)
def test_images_in_place_of_features(fitted, images):
    retriever, _, y = fitted
    for call in (
        lambda: HierarchicalRetriever().fit(images, y[: len(images)]),
        lambda: DiscriminantClassifier().fit(images, y[: len(images)]),
        lambda: LinkageHierarchyBuilder().fit(images, y[: len(images)]),
        lambda: retriever.kneighbors(images),
        lambda: retriever.set_gallery(images),
        lambda: retriever.add_to_gallery(images),
    ):
        with pytest.raises(ValueError, match=r"must hold features.*FrozenFeatureExtractor"):
            call()


def test_positions_in_place_of_labels(fitted):
    retriever, X, _ = fitted
    with pytest.raises(ValueError, match=r"no class is called 17\. For positions pass \{'positions'"):
        retriever.kneighbors(X[:2], 2, within=[0, 17])
    positions = [0, 17, 30]
    found = retriever.kneighbors(X[:2], 2, within=np.isin(np.arange(len(X)), positions))[1]
    assert set(found.ravel()) <= set(positions)
    with pytest.raises(ValueError, match="missing in the hierarchy"):
        retriever.kneighbors(X[:2], 2, within=[10**9])


def test_damaged_files_in_memory_have_a_name():
    for file in (io.BytesIO(b"\x89PNG"), b"\x89PNG\r\n"):
        with pytest.raises(
            ValueError,
            match=r"^the file: .* \(cannot identify image file it\)",
        ):
            read_image(file)
    with pytest.raises(ValueError, match=r"^image 0: .* file it\)"):
        ImageSource([b"\x89PNG\r\n"])


def test_pages_before_a_fit(fitted):
    _, X, y = fitted
    with pytest.raises(ValueError, match="not fitted yet"):
        explore(HierarchicalRetriever(), X, y, images=np.zeros((len(X), 4, 4)), path=None)


def test_partial_fit_is_there_where_it_works(fitted):
    _, X, y = fitted
    assert not hasattr(MahalanobisClassifier(temperature="auto"), "partial_fit")
    assert not hasattr(HierarchyBuilder(class_model=MahalanobisClassifier(temperature="auto")), "partial_fit")
    for params in ({}, {"n_components": 1}, {"n_components": 0.9}, {"shrinkage": 0}, {"priors": "uniform"}):
        MahalanobisClassifier(**params).partial_fit(X, y).predict(X)
    with pytest.raises(ValueError, match="n_components"):
        MahalanobisClassifier(n_components=1.0).fit(X, y)


def test_cosine_linkage_of_one_feature():
    y = np.repeat([0, 1, 2], 10)
    X = np.linspace(-1, 2, 30)[:, None]
    tree = LinkageHierarchyBuilder("average", metric="cosine").fit(X, y).hierarchy_
    assert (tree.distance(1, 2), tree.distance(0, 1)) == (0, 1)  # the sign is all there is
    with pytest.raises(ValueError, match="All class means are equal"):
        LinkageHierarchyBuilder("average", metric="cosine").fit(np.abs(X) + 1, y)
