"""Keypoints, their descriptors, and where they lie."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.descriptors import VLAD, LocalFeatures, RootSIFT, SpatialVerification, count_inliers
from sklearn_hierret.descriptors._root_sift import root_sift
from sklearn_hierret.descriptors._verification import _ransac

skimage = pytest.importorskip("skimage", reason="the extra image; .ci/run has an environment with it")


@pytest.fixture(scope="module")
def patches():
    """24 pieces of two photographs, 128 x 128."""
    corners = [(r, c) for r in (0, 128, 256) for c in range(0, 512, 128)]
    return np.stack([p[r : r + 128, c : c + 128] for p in load_sample_images().images for r, c in corners])


@pytest.fixture(scope="module")
def turned(patches):
    """The first eight, turned by 12 degrees."""
    from skimage.transform import rotate

    return np.stack([rotate(patch, 12, mode="reflect") for patch in patches[:8]])


def test_root_sift_compares_histograms(rng):
    raw = rng.integers(0, 255, (5, 128))
    found = root_sift(raw)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    shares = raw / raw.sum(axis=1, keepdims=True)
    expected = [[sum(np.sqrt(p * q) for p, q in zip(a, b, strict=True)) for b in shares] for a in shares]
    np.testing.assert_allclose(found @ found.T, expected, rtol=1e-5)
    assert not root_sift(np.zeros((1, 128))).any()


def test_descriptors_are_those_of_scikit_image(patches):
    [found] = RootSIFT(max_keypoints=10_000).local_features(patches[2:3])
    sift = skimage.feature.SIFT()
    grey = patches[2] @ np.array([0.299, 0.587, 0.114])
    sift.detect_and_extract(np.rint(grey).astype(np.uint8))
    assert len(found.keypoints) == len(sift.keypoints) > 20
    np.testing.assert_allclose(np.sort(found.keypoints, axis=0), np.sort(sift.keypoints, axis=0))
    few = RootSIFT(max_keypoints=7, n_jobs=2)
    assert [len(d) for d in few.fit().transform([patches[2], patches[2, :, ::-1]])] == [7, 7]


def test_images_without_structure_have_none():
    flat = np.full((3, 40, 40), 0.5)
    assert [d.shape for d in RootSIFT().transform(flat)] == [(0, 128)] * 3
    assert [d.shape for d in RootSIFT().transform(np.zeros((1, 3, 3), dtype=np.uint8) + 7)] == [(0, 128)]
    with pytest.raises(ValueError, match="no descriptor"):
        VLAD(2).fit([np.ones((5, 128)), np.zeros((5, 128))]).transform(RootSIFT().transform(flat))


def test_near_duplicates_agree_on_a_place(patches, turned):
    local, of_turned = (RootSIFT().local_features(images) for images in (patches[:8], turned))
    own = [count_inliers(a, b) for a, b in zip(local, of_turned, strict=True)]
    others = [count_inliers(local[i], of_turned[(i + 3) % 8]) for i in range(8)]
    assert np.median(own) > 10
    assert max(others) < np.median(own)
    assert count_inliers(local[0], local[0]) == len(local[0].keypoints)


def test_ransac_finds_the_transform(rng):
    source = 200 * rng.random((40, 2))
    angle, scale = 0.7, 1.8
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = source @ turn.T + [30, -12]
    target[:15] = 200 * rng.random((15, 2))  # wrong matches
    found = _ransac(source, target, 1.0, 200)
    from skimage.measure import ransac
    from skimage.transform import SimilarityTransform

    _, inliers = ransac((source, target), SimilarityTransform, 2, 1.0, max_trials=500, rng=0)
    assert found == inliers.sum() == 25
    assert _ransac(source, 100 * source, 1.0, 200) <= 2  # not more than eight times as large
    assert _ransac(np.ones((5, 2)), np.ones((5, 2)), 1.0, 50) == 0  # all in one place


def test_verified_results_come_first(patches, turned, rng):
    X, y = rng.random((24, 6)), np.repeat([0, 1], 12)  # features that know nothing
    X_new = rng.random((8, 6))
    sift = RootSIFT()
    step = SpatialVerification(HierarchicalRetriever(alpha=0), n_candidates=24, min_inliers=5)
    step.fit(X, y, sift.local_features(patches))
    local = sift.local_features(turned)
    distances, indices = step.kneighbors(X_new, 24, local_features=local)
    assert (indices[:, 0] == np.arange(8)).sum() >= 6
    plain_distances, plain = step.retriever_.kneighbors(X_new, 24)
    for i in range(8):
        inliers = np.array([count_inliers(local[i], step.local_features_[j]) for j in plain[i]])
        verified = np.where(inliers >= 5, inliers, 0)
        expected = np.where(verified > 0, plain_distances[i].min() - verified, plain_distances[i])
        order = np.argsort(-verified, kind="stable")
        np.testing.assert_array_equal(indices[i], plain[i][order])
        np.testing.assert_allclose(distances[i], expected[order])
    few = step.set_params(n_candidates=3).kneighbors(X_new, 24, local_features=local)[1]
    np.testing.assert_array_equal(np.sort(few[:, :3]), np.sort(plain[:, :3]))
    np.testing.assert_array_equal(few[:, 3:], plain[:, 3:])
    own = step.kneighbors(n_neighbors=2, return_distance=False)
    assert (own != np.arange(24)[:, None]).all()


def test_verified_results_come_first_whatever_distances_are(patches, rng):
    X, y = rng.normal(size=(24, 6)) + np.eye(6)[np.repeat([0, 1], 12)], np.repeat([0, 1], 12)
    local = RootSIFT().local_features(patches)
    retriever = HierarchicalRetriever(alpha=1000.0)
    step = SpatialVerification(retriever, n_candidates=24, min_inliers=5, n_neighbors=1)
    step.fit(X, y, local)
    textured = [i for i in range(12) if len(local[i].keypoints) > 20]
    assert len(textured) > 3
    opposite = -X[textured]  # far from all that it should find
    own = [local[i] for i in textured]
    distances, indices = step.kneighbors(opposite, 24, local_features=own)
    assert indices[:, 0].tolist() == textured
    assert (np.diff(distances, axis=1) >= 0).all()
    assert step.predict(X[textured], own).tolist() == [0] * len(textured)
    with pytest.raises(ValueError, match="local_features are missing"):
        step.predict(X)


def test_a_place_counts_once():
    rng = np.random.default_rng(0)
    a = LocalFeatures(np.repeat([[0.0, 0], [50, 80]], 4, axis=0), rng.random((8, 16)))
    b = LocalFeatures(np.repeat([[9.0, 9], [70, 20]], 4, axis=0), a.descriptors)
    assert count_inliers(a, b) <= 2  # two places always fit


def test_galleries_are_replaced(patches, rng):
    local = RootSIFT().local_features(patches[:10])
    X, y = rng.random((10, 4)), np.repeat([0, 1], 5)
    step = SpatialVerification(HierarchicalRetriever(alpha=0)).fit(X, y, local)
    step.set_gallery(X[:4], y[:4], local_features=local[:4])
    assert len(step.local_features_) == step.n_samples_fit_ == 4
    assert step.kneighbors(X[2:3], 1, local_features=local[2:3])[1].tolist() == [[2]]


def test_bad_local_features(rng):
    X, y = rng.random((6, 4)), np.repeat([0, 1], 3)
    local = [LocalFeatures(rng.random((5, 2)), rng.random((5, 8))) for _ in range(6)]
    step = SpatialVerification(HierarchicalRetriever(alpha=0))
    with pytest.raises(ValueError, match="local_features are missing"):
        step.fit(X, y)
    with pytest.raises(TypeError, match="a ndarray and a list_iterator"):
        step.fit(X, y, iter(local))
    with pytest.raises(TypeError, match="a NoneType and a list"):
        step.fit(None, y, local)
    with pytest.raises(ValueError, match="6 samples, but local_features of 5"):
        step.fit(X, y, local[:5])
    with pytest.raises(ValueError, match=r"sample 1: keypoints \(n, 2\)"):
        step.fit(X, y, [local[0], (np.zeros((3, 2)), np.zeros((4, 8))), *local[2:]])
    with pytest.raises(ValueError, match=r"different widths: \[8, 9\]"):
        step.fit(X, y, [LocalFeatures(np.zeros((3, 2)), np.zeros((3, 9))), *local[1:]])
    with pytest.raises(TypeError, match="LocalFeatures are expected, got a ndarray"):
        step.fit(X, y, [np.zeros((3, 8)), *local[1:]])
    with pytest.raises(ValueError, match="sample 2 are not finite"):
        step.fit(X, y, [*local[:2], LocalFeatures(np.full((5, 2), np.nan), np.zeros((5, 8))), *local[3:]])
    step.fit(X, y, local)
    with pytest.raises(ValueError, match=r"different widths: \[8, 9\]"):
        step.kneighbors(X[:1], local_features=[LocalFeatures(np.zeros((3, 2)), np.zeros((3, 9)))])
    with pytest.raises(ValueError, match="'upsampling' parameter"):
        RootSIFT(upsampling=3).fit()
    with pytest.raises(ValueError, match="local_features are missing"):
        step.kneighbors(X)
    with pytest.raises(ValueError, match="6 samples, but local_features of 1"):
        step.kneighbors(X, local_features=local[:1])
    for params in ({"min_inliers": 2}, {"max_ratio": 0}, {"tolerance": 0}, {"n_candidates": 0}):
        with pytest.raises(ValueError, match="parameter of SpatialVerification"):
            SpatialVerification(HierarchicalRetriever(alpha=0), **params).fit(X, y, local)


def test_the_extra_is_named(monkeypatch, patches):
    monkeypatch.setitem(__import__("sys").modules, "skimage.feature", None)
    with pytest.raises(ImportError, match=r"RootSIFT needs scikit-image: .*sklearn-hierret\[image\]"):
        RootSIFT().fit()
