import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_hierret.images import ImageCorruption


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (12, 28, 32, 3), dtype=np.uint8)


def test_blur_is_a_gaussian_cut_after_eleven_pixels(images):
    blurred = ImageCorruption("blur").transform(images)
    for channel in range(3):
        one = gaussian_filter(images[0, :, :, channel].astype(float), 2.0, radius=5, mode="mirror")
        np.testing.assert_allclose(blurred[0, :, :, channel], one, atol=0.51)
    point = np.zeros((1, 31, 31, 1), dtype=np.float32)
    point[0, 15, 15] = 1
    spread = ImageCorruption("blur").transform(point)[0, :, :, 0]
    assert np.flatnonzero(spread.any(axis=0)).tolist() == list(range(10, 21))
    assert spread.sum() == pytest.approx(1, abs=1e-5)


def test_saturation_moves_colours_from_grey(images):
    grey = images @ [0.299, 0.587, 0.114]
    for factor in (0.0, 0.1, 1.0, 5.0):
        changed = ImageCorruption("saturation", saturation_factors=[factor]).transform(images)
        expected = np.clip(grey[..., None] + factor * (images - grey[..., None]), 0, 255)
        np.testing.assert_allclose(changed, expected, atol=0.51)
    random = ImageCorruption("saturation", random_state=0).transform(images)
    assert any((random[i] == images[i]).all() for i in range(12))  # factor 1 for some
    one_channel = images[..., :1]
    np.testing.assert_array_equal(ImageCorruption("saturation").transform(one_channel), one_channel)


def test_occlusion_is_one_black_square(images):
    images = np.maximum(images, 1)
    hidden = ImageCorruption("occlusion", random_state=0).transform(images)
    places = set()
    for before, after in zip(images, hidden, strict=True):
        rows, columns = np.nonzero((after == 0).all(axis=2))
        assert (np.ptp(rows), np.ptp(columns)) == (8, 8)  # 70 / 224 of 28 is 9 pixels
        assert len(rows) == 81
        places.add((rows[0], columns[0]))
        np.testing.assert_array_equal(np.where((after == 0).all(axis=2)[..., None], before, after), before)
    assert len(places) > 6
    assert images.min() == 1  # the originals are as they were


@pytest.mark.parametrize("kind", ["blur", "saturation", "occlusion"])
def test_the_same_seed_gives_the_same_images(images, kind):
    for X in (images, (images / 255).astype(np.float32)):
        one = ImageCorruption(kind, random_state=3)
        again = clone(one).fit_transform(X)
        np.testing.assert_array_equal(one.transform(X), again)
        assert again.dtype == X.dtype
        with config_context(working_memory=0.1):
            np.testing.assert_array_equal(one.transform(X), again)
        assert again.max() <= (255 if X.dtype == np.uint8 else 1)
    piped = make_pipeline(ImageCorruption("blur"), ImageCorruption(kind, random_state=3)).fit_transform(
        images
    )
    assert piped.shape == images.shape


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "noise"}, "kind"),
        ({"kernel_size": 10}, "odd"),
        ({"patch": 2}, "patch"),
        ({"saturation_factors": [-1]}, "at least 0"),
        ({"saturation_factors": []}, "at least 0"),
    ],
)
def test_bad_parameters(images, params, message):
    with pytest.raises(ValueError, match=message):
        ImageCorruption(**params).fit(images)
    with pytest.raises(ValueError, match=message):
        ImageCorruption(**params).transform(images)
