"""Files of all the kinds that people have."""

import io
import os

import numpy as np
import pytest

from sklearn_hierret.images import ImageSource
from sklearn_hierret.images._list import ImageList
from sklearn_hierret.images._reading import image_files, paths_of, read_image

PIL = pytest.importorskip("PIL.Image", reason="pillow comes with matplotlib")


@pytest.fixture
def picture(rng):
    """Smooth colours, 12 x 10, so that formats with losses keep them nearly."""
    y, x = np.mgrid[:12, :10]
    return np.stack([20 * y, 25 * x, 10 * (x + y)], axis=2).astype(np.uint8)


def stored(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM"])
def test_formats(picture, format):
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(format, {})
    found = read_image(stored(PIL.fromarray(picture), format=format, **lossless))
    np.testing.assert_allclose(found.astype(int), picture, atol=8 if format == "JPEG" else 0)
    assert read_image(stored(PIL.fromarray(picture), format=format), 1).shape == (12, 10, 1)


def test_grey_of_eight_sixteen_and_thirtytwo_bits():
    grey = np.arange(120, dtype=np.uint8).reshape(12, 10)
    cases = [
        (PIL.fromarray(grey), "PNG"),
        (PIL.fromarray(grey.astype(np.uint16) * 256), "PNG"),
        (PIL.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        (PIL.fromarray(grey.astype(np.int32)), "TIFF"),
        (PIL.fromarray(grey.astype(np.float32)), "TIFF"),
        (PIL.fromarray(grey.astype(np.float32) / 255), "TIFF"),
    ]
    for image, format in cases:
        found = read_image(stored(image, format=format))
        np.testing.assert_array_equal(found[:, :, 0], grey, err_msg=f"{image.mode} {format}")
        np.testing.assert_array_equal(
            read_image(stored(image, format=format), 3), np.repeat(found, 3, axis=2)
        )
    dark = np.full((4, 4), 200, dtype=np.uint16)  # of 65,535
    assert read_image(stored(PIL.fromarray(dark), format="PNG")).max() == 0
    with pytest.raises(ValueError, match="its values are -1"):
        read_image(stored(PIL.fromarray(np.full((4, 4), -1, dtype=np.float32)), format="TIFF"))


def test_cmyk_palettes_and_what_is_transparent(picture):
    cmyk = PIL.fromarray(picture).convert("CMYK")
    found = read_image(stored(cmyk, format="TIFF"))
    np.testing.assert_array_equal(found, np.asarray(cmyk.convert("RGB")))
    palette = PIL.fromarray(picture).quantize(200)
    np.testing.assert_array_equal(
        read_image(stored(palette, format="PNG")), np.asarray(palette.convert("RGB"))
    )
    alpha = np.zeros((12, 10, 4), dtype=np.uint8)
    alpha[:6] = (255, 0, 0, 255)  # red above, and nothing below, which is stored as black
    image = PIL.fromarray(alpha)
    found = read_image(stored(image, format="PNG"))
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[11, 0].tolist() == [255, 255, 255]
    assert read_image(stored(image.quantize(8), format="PNG"))[11, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(read_image(stored(image, format="PNG"), 4), alpha)
    grey = PIL.fromarray(alpha).convert("LA")
    assert read_image(stored(grey, format="PNG"))[11, 0].tolist() == [255]


def test_of_an_animation_the_first(picture):
    frames = [PIL.fromarray(picture), PIL.fromarray(255 - picture)]
    data = stored(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_image(data), picture)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_turned_photographs(picture, orientation, turn):
    exif = PIL.Exif()
    exif[0x0112] = orientation
    found = read_image(stored(PIL.fromarray(picture), format="PNG", exif=exif))
    np.testing.assert_array_equal(found, np.rot90(picture, turn))


def test_a_jpeg_may_be_decoded_smaller(rng):
    large = np.kron(rng.integers(0, 255, (15, 20)), np.ones((40, 40))).astype(np.uint8)  # 600 x 800
    data = stored(PIL.fromarray(large), format="JPEG")
    assert read_image(data).shape == (600, 800, 1)
    small = read_image(data, at_least=(100, 100))
    assert 100 <= min(small.shape[:2]) < 300
    np.testing.assert_allclose(small[3::5, 3::5].mean(), large.mean(), rtol=0.05)


def test_files_that_are_no_images(picture, tmp_path, monkeypatch):
    png = stored(PIL.fromarray(picture), format="PNG")
    jpeg = stored(PIL.fromarray(np.kron(picture[..., 0], np.ones((9, 9))).astype(np.uint8)), format="JPEG")
    for junk in (b"", b"text", png[:40], jpeg[: len(jpeg) // 2], b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(ValueError, match="photo: this is no image that can be read"):
            read_image(junk, name="photo")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 100)  # 120 are more, though pillow would only warn
    with pytest.raises(ValueError, match=r"photo: .*too large|photo: .*more than 100"):
        read_image(png, name="photo")
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ValueError, match="photo: this image is too large"):
        read_image(png, name="photo")
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", None)
    assert read_image(png).shape == (12, 10, 3)


def test_damaged_bytes_are_images_or_named(picture, rng):
    """No damage raises anything but a ValueError that names the file."""
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP"):
        whole = np.frombuffer(stored(PIL.fromarray(picture), format=format), dtype=np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(0, len(data), rng.integers(1, 6))] = rng.integers(0, 256)
            try:
                found = read_image(data.tobytes(), name="photo")
            except ValueError as error:
                found = str(error)
            is_named = isinstance(found, str) and found.startswith("photo: ")
            assert is_named or (found.dtype == np.uint8 and found.ndim == 3)


def test_folders(picture, tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a/x/3.tif", ".hidden/4.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)]
    assert found == ["a/x/3.tif", "b/1.jpg", "b/2.PNG"]
    with pytest.raises(ValueError, match="no image found"):
        image_files(tmp_path / ".hidden" / "..", extensions=[".xyz"])
    with pytest.raises(ValueError, match="is no folder"):
        image_files(tmp_path / "missing")


def test_what_paths_are():
    assert paths_of(np.array(["a", "b"])) == paths_of(["a", "b"]) == ["a", "b"]
    assert paths_of(np.zeros(3)) is None
    assert paths_of([np.zeros(3)]) is None
    assert paths_of(np.array([b"a"])) == ["a"]
    assert paths_of([os.fspath("a")]) == ["a"]


def test_images_of_pillow_are_read_as_their_files(picture, tmp_path):
    exif = PIL.Exif()
    exif[0x0112] = 6
    alpha = np.zeros((12, 10, 4), dtype=np.uint8)
    alpha[:6] = (255, 0, 0, 128)
    stored_ones = [
        (PIL.fromarray(picture), {"exif": exif}),
        (PIL.fromarray(alpha), {}),
        (PIL.fromarray(np.full((12, 10), 40_000, dtype=np.uint16)), {}),
    ]
    for i, (image, options) in enumerate(stored_ones):
        path = tmp_path / f"{i}.png"
        image.save(path, **options)
        files, opened = ImageList([path], 3), ImageList([PIL.open(path)], 3)
        expected = files.pixels(0, files.content(0))
        np.testing.assert_array_equal(opened.pixels(0, opened.content(0)), expected)
    arrays = ImageList([alpha], 3)
    file = ImageList([tmp_path / "1.png"], 3)
    found = arrays.pixels(0, arrays.content(0)).astype(int)
    np.testing.assert_allclose(found, file.pixels(0, file.content(0)), atol=1)


def test_sources_read_them_so(picture, tmp_path):
    exif = PIL.Exif()
    exif[0x0112] = 6
    PIL.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    PIL.fromarray(np.rot90(picture, 3)).save(tmp_path / "upright.png")
    source = ImageSource([tmp_path / "turned.png", tmp_path / "upright.png"])
    turned, upright = source.batch([0, 1])
    np.testing.assert_array_equal(turned, upright)


def test_links_to_folders_are_followed(picture, tmp_path):
    for name in ("set/cat/1.png", "elsewhere/bird/1.png", "set/cat/.hidden/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.fromarray(picture).save(path)
    os.symlink(tmp_path / "elsewhere" / "bird", tmp_path / "set" / "bird")
    os.symlink(tmp_path / "set", tmp_path / "set" / "cat" / "again")  # a circle
    found = [str(path.relative_to(tmp_path / "set")) for path in image_files(tmp_path / "set")]
    assert found == ["bird/1.png", "cat/1.png"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_images_as_bytes(picture, format):
    one = stored(PIL.fromarray(picture), format=format)
    rows = [{"bytes": one, "path": None}] * 2  # as Hugging Face's data sets have them
    import pandas as pd

    for given in (
        [one, one],
        np.array([one, one], dtype=object),
        rows,
        pd.Series([one, one]),
        [bytearray(one)] * 2,
    ):
        source, images = ImageSource(given), ImageList(given, 3)
        expected = read_image(one)
        np.testing.assert_array_equal(source.batch([1])[0], expected)
        np.testing.assert_array_equal(images.pixels(1, images.content(1)), read_image(one, 3))
        assert images.name(1) == "image 1"


def test_messages_on_bytes_are_short(picture):
    one = stored(PIL.fromarray(picture), format="PNG")
    with pytest.raises(ValueError, match=r"^image 0: this is no image") as caught:
        ImageSource([one[:40]])
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    with pytest.raises(TypeError, match="number 1 is a str"):
        ImageSource([one, "b.png"])
    with pytest.raises(FileNotFoundError):
        ImageSource([b"folder/a.png"])  # a path in bytes


def test_paths_in_tables_of_polars(picture, tmp_path):
    polars = pytest.importorskip("polars", reason="needs polars")
    paths = []
    for i in range(2):
        PIL.fromarray(picture).save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    table = polars.DataFrame({"path": paths, "label": ["x", "y"]})
    assert paths_of(table["path"]) == paths_of(table.select("path")) == paths
    assert len(ImageSource(table["path"])) == 2
