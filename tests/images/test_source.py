import numpy as np
import pytest

from sklearn_hierret.images import ImageSource

PIL = pytest.importorskip("PIL.Image", reason="pillow comes with matplotlib")


def images(rng, n=5, shape=(6, 4, 3)):
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def paths(rng, tmp_path):
    made = []
    for i, array in enumerate(images(rng)):
        made.append(tmp_path / f"image{i}.png")
        PIL.fromarray(array).save(made[-1])
    return made


def test_arrays_are_taken_as_they_are(rng):
    X = images(rng)
    source = ImageSource(X)
    assert (len(source), source.image_shape) == (5, (6, 4, 3))
    assert source.batch(slice(1, 3)).dtype == np.uint8
    assert np.shares_memory(source.batch(slice(1, 3)), X)
    floats = ImageSource(X / 255.0)
    np.testing.assert_allclose(floats.batch([0, 2]), (X[[0, 2]] / 255).astype(np.float32))
    assert ImageSource(X[..., 0]).image_shape == (6, 4, 1)
    np.testing.assert_array_equal(ImageSource(list(X)).batch(slice(None)), X)
    np.testing.assert_array_equal(ImageSource(X.astype(int)).batch(slice(None)), X)


def test_files_are_read_when_needed(rng, paths):
    X = images(np.random.default_rng(0))
    for given in (paths, [str(p) for p in paths], np.array([str(p) for p in paths])):
        source = ImageSource(given)
        assert source.image_shape == (6, 4, 3)
        np.testing.assert_array_equal(source.batch([3, 1]).shape, (2, 6, 4, 3))
    grey = ImageSource(paths, n_channels=1)
    assert grey.image_shape == (6, 4, 1)
    assert ImageSource(paths, image_size=(3, 2)).batch(slice(None)).shape == (5, 3, 2, 3)
    assert X.shape == (5, 6, 4, 3)


def test_statistics_are_those_of_all_pixels(rng):
    X = images(rng, n=50)
    mean, deviation = ImageSource(X).statistics()
    np.testing.assert_allclose(mean, (X / 255).mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(deviation, (X / 255).std(axis=(0, 1, 2)), rtol=1e-5)
    assert ImageSource(np.zeros((3, 2, 2), dtype=np.uint8)).statistics()[1].tolist() == [1.0]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], ValueError, "number 1 has shape \\(4, 5, 3\\)"),
        (np.zeros((3, 16)), ValueError, "Reshape flat ones"),
        (np.zeros((3, 4, 4, 2)), ValueError, "1, 3 or 4 channels"),
        (np.zeros((3, 3, 8, 8)), ValueError, "Move the axis"),
        (np.zeros((0, 4, 4)), ValueError, "no image"),
        (np.full((2, 4, 4), np.nan), ValueError, "not finite"),
        (np.full((2, 4, 4), 300), ValueError, "Integer images hold 0 ... 255"),
        (np.zeros((2, 4, 4), dtype=complex), ValueError, "uint8 or floating"),
        (np.array([None, 1], dtype=object), ValueError, "images of one size, or paths"),
        ("image.png", TypeError, "one path"),
        (["missing.png"], FileNotFoundError, "missing.png"),
    ],
)
def test_bad_images(X, error, message):
    with pytest.raises(error, match=message):
        ImageSource(X)


def test_scales_that_look_confused():
    with pytest.warns(UserWarning, match="only 0 and 1"):
        ImageSource(np.ones((2, 4, 4), dtype=np.uint8))
    with pytest.warns(UserWarning, match="expected 0 ... 1"):
        ImageSource(np.full((2, 4, 4), 200.0))


def test_bad_files(rng, paths):
    PIL.fromarray(images(rng, 1, (7, 4, 3))[0]).save(paths[3])
    source = ImageSource(paths)
    with pytest.raises(ValueError, match=r"image3\.png: the image is 7 x 4 pixels, the first one 6 x 4"):
        source.batch([0, 3])
    for junk in (b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40), paths[0].read_bytes()[:60]):
        paths[2].write_bytes(junk)
        with pytest.raises(ValueError, match=r"image2\.png: this is no image"):
            source.batch([2])
