"""Loaders, on tiny files in the true formats."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_hierret import ClassHierarchy
from sklearn_hierret.datasets import (
    _cifar100,
    fetch_cifar100,
    fetch_cub200,
    load_image_folder,
    load_image_table,
    load_nabirds,
)
from sklearn_hierret.datasets._files import download, extract


def left_behind(folder):
    return [p.name for p in Path(folder).rglob("*") if p.name.startswith(".part-")]


# ---------------------------------------------------------------------------- CIFAR-100


def write_cifar(folder, rng, n=7):
    """The files of the binary distribution, with few images; returns what is in them."""
    folder.mkdir(parents=True)
    made = {}
    for name in ("train", "test"):
        coarse, fine = rng.integers(0, 20, n), rng.integers(0, 100, n)
        images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        with (folder / f"{name}.bin").open("wb") as file:
            for c, f, image in zip(coarse, fine, images, strict=True):
                file.write(bytes([c, f]))
                for channel in range(3):
                    file.write(image[:, :, channel].tobytes())
        made[name] = images, fine, coarse
    (folder / "fine_label_names.txt").write_text("".join(f"class_{i}\n" for i in range(100)) + "\n")
    (folder / "coarse_label_names.txt").write_text("".join(f"coarse_{i}\n" for i in range(20)))
    return made


def test_cifar100_in_its_format(tmp_path, rng):
    made = write_cifar(tmp_path / "cifar-100-binary", rng)
    for subset, parts in (("train", ["train"]), ("test", ["test"]), ("all", ["train", "test"])):
        data = fetch_cifar100(subset=subset, data_home=tmp_path, download_if_missing=False)
        for key, position in (("images", 0), ("target", 1), ("coarse_target", 2)):
            np.testing.assert_array_equal(data[key], np.concatenate([made[p][position] for p in parts]))
    assert data.target_names[3] == "class_3"
    assert len(data.coarse_target_names) == 20
    data.hierarchy.index(data.target)
    X, y = fetch_cifar100(data_home=tmp_path, return_X_y=True)
    assert X.shape == (7, 32, 32, 3)
    assert y.shape == (7,)


def test_damaged_cifar100(tmp_path, rng):
    folder = tmp_path / "cifar-100-binary"
    write_cifar(folder, rng)
    whole = (folder / "train.bin").read_bytes()
    for content in (whole[:-5], b"", b"\xff" + whole[1:]):
        (folder / "train.bin").write_bytes(content)
        with pytest.raises(OSError, match=r"train\.bin: .* damaged"):
            fetch_cifar100(data_home=tmp_path)
    (folder / "train.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.bin is not there"):
        fetch_cifar100(data_home=tmp_path)
    (folder / "fine_label_names.txt").write_text("a\n")
    with pytest.raises(OSError, match=r"1 names instead of 100"):
        fetch_cifar100(subset="test", data_home=tmp_path)
    with pytest.raises(OSError, match="download_if_missing=True"):
        fetch_cifar100(data_home=tmp_path / "other", download_if_missing=False)
    with pytest.raises(ValueError, match="subset must be"):
        fetch_cifar100(subset="validation", data_home=tmp_path)


def test_cifar100_is_fetched_checked_and_unpacked(tmp_path, rng, monkeypatch, capsys):
    write_cifar(tmp_path / "source" / "cifar-100-binary", rng)
    archive = tmp_path / "served.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "source" / "cifar-100-binary", "cifar-100-binary")
    monkeypatch.setattr(_cifar100, "_URL", archive.as_uri())
    monkeypatch.setattr(_cifar100, "_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    home = tmp_path / "home"
    assert fetch_cifar100(data_home=home).images.shape == (7, 32, 32, 3)
    assert "MB" in capsys.readouterr().err
    monkeypatch.setattr(_cifar100, "_URL", "file:///nowhere")
    fetch_cifar100(data_home=home, verbose=False)  # it is there now
    assert left_behind(home) == []
    with pytest.raises(OSError, match="put it at"):
        fetch_cifar100(data_home=tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


# -------------------------------------------------------------------- files and archives


def test_downloads_that_are_not_what_is_meant(tmp_path):
    served = tmp_path / "served"
    served.write_bytes(b"something else")
    with pytest.raises(OSError, match=r"checksum is .* not abc"):
        download(served.as_uri(), tmp_path / "home" / "file", "abc", verbose=False)
    assert not list((tmp_path / "home").iterdir())
    there = tmp_path / "there"
    there.write_bytes(b"truncated")
    with pytest.raises(OSError, match="there: the checksum"):
        download(served.as_uri(), there, "abc")


def archive_with(path, *members):
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def special(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member, b""


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ((tarfile.TarInfo("../evil"), b"x"), "would leave the folder"),
        ((tarfile.TarInfo("/tmp/evil"), b"x"), "would leave the folder"),
        ((tarfile.TarInfo("data/../../evil"), b"x"), "would leave the folder"),
        (special("data/link", tarfile.SYMTYPE), "link or a device"),
        (special("data/hard", tarfile.LNKTYPE), "link or a device"),
        (special("data/null", tarfile.CHRTYPE), "link or a device"),
        (special("data/pipe", tarfile.FIFOTYPE), "link or a device"),
    ],
)
def test_archives_that_reach_out_are_refused(tmp_path, member, message):
    archive = archive_with(tmp_path / "a.tar", (tarfile.TarInfo("data/first"), b"1"), member)
    with pytest.raises(OSError, match=message):
        extract(archive, tmp_path / "home" / "data", "data")
    assert not list((tmp_path / "home").iterdir())
    assert not (tmp_path / "evil").exists()


def test_damaged_archives(tmp_path):
    whole = archive_with(tmp_path / "a.tar", (tarfile.TarInfo("data/first"), b"1" * 5000))
    extract(whole, tmp_path / "home" / "data", "data")
    assert (tmp_path / "home" / "data" / "first").read_bytes() == b"1" * 5000
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:1500])
    junk = tmp_path / "junk.tar"
    junk.write_bytes(b"no archive at all")
    for archive, message in ((cut, "damaged"), (junk, "damaged"), (whole, "no folder 'other'")):
        with pytest.raises(OSError, match=message):
            extract(archive, tmp_path / "home" / "more", "other")
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["data"]


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="can't be written to"):
        download((tmp_path / "file").as_uri(), tmp_path / "file" / "data", "abc")


# ------------------------------------------------------------------------------- birds


def write_birds(folder, hierarchy=None):
    """Six images of three classes, in the format that CUB-200-2011 and NABirds share."""
    folder.mkdir(parents=True)
    ids = [f"{i:04d}-a" for i in range(6)]
    (folder / "images.txt").write_text("".join(f"{i} 00{k % 3}/{i}.jpg\n" for k, i in enumerate(ids)))
    (folder / "image_class_labels.txt").write_text("".join(f"{i} {3 + k % 3}\n" for k, i in enumerate(ids)))
    (folder / "train_test_split.txt").write_text("".join(f"{i} {int(k < 4)}\n" for k, i in enumerate(ids)))
    (folder / "bounding_boxes.txt").write_text("".join(f"{i} {k}.5 2 30 40\n" for k, i in enumerate(ids)))
    (folder / "classes.txt").write_text("1 Birds\n2 Ducks, Geese\n3 Mallard (Male)\n4 Teal\n5 Loon\n")
    if hierarchy:
        (folder / "hierarchy.txt").write_text(hierarchy)


def test_nabirds(tmp_path):
    write_birds(tmp_path / "nabirds", "2 1\n3 2\n4 2\n5 1\n")
    data = load_nabirds(tmp_path / "nabirds")
    assert data.target.tolist() == [3, 4, 5, 3]
    assert data.target_names[2] == "Ducks, Geese"
    assert Path(data.paths[1]).parts[-3:] == ("images", "001", "0001-a.jpg")
    assert data.boxes[1].tolist() == [1.5, 2, 30, 40]
    assert data.hierarchy.distance(3, [4, 5]).tolist() == [0.5, 1.0]
    assert data.hierarchy.node_names[0] == "Mallard (Male)"
    assert len(load_nabirds(tmp_path / "nabirds", subset="test", return_X_y=True)[0]) == 2
    assert len(load_nabirds(tmp_path / "nabirds", subset="all").paths) == 6


def test_cub(tmp_path):
    write_birds(tmp_path / "CUB_200_2011")
    tree = tmp_path / "tree.txt"
    tree.write_text("9 3\n9 4\n10 9\n10 5\n")
    data = fetch_cub200(data_home=tmp_path, taxonomy=tree, download_if_missing=False)
    assert data.hierarchy.distance(3, [4, 5]).tolist() == [0.5, 1.0]
    assert fetch_cub200(data_home=tmp_path).hierarchy is None
    with pytest.raises(OSError, match="download_if_missing"):
        fetch_cub200(data_home=tmp_path / "other", download_if_missing=False)


def test_damaged_birds(tmp_path):
    folder = tmp_path / "nabirds"
    write_birds(folder, "2 1\n3 2\n4 2\n5 1\n")
    with pytest.raises(FileNotFoundError, match="is not there: is this the folder of NABirds"):
        load_nabirds(tmp_path / "other")
    labels = (folder / "image_class_labels.txt").read_text()
    for content, message in [
        ("0000-a 3\nx\n", "line 2: 2 columns expected"),
        ("", "the file is empty"),
        (labels.split("\n", 1)[1], "image 0000-a is missing"),
    ]:
        (folder / "image_class_labels.txt").write_text(content)
        with pytest.raises(ValueError, match=message):
            load_nabirds(folder)
    (folder / "image_class_labels.txt").write_text(labels.replace("-a 5", "-a 7"))
    with pytest.raises(ValueError, match="no node: 7"):
        load_nabirds(folder)


# ---------------------------------------------------------------------------- one's own


@pytest.fixture
def image_folder(tmp_path):
    for name in ("animal/dog/1.png", "animal/dog/2.JPG", "animal/cat/1.png", "car/x.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "images" / "readme.txt").write_text("no image")
    (tmp_path / "images" / ".thumbs").mkdir()
    (tmp_path / "images" / ".thumbs" / "x.png").write_bytes(b"")
    return tmp_path / "images"


def test_image_folders_are_hierarchies(image_folder):
    data = load_image_folder(image_folder)
    assert data.target.tolist() == ["cat", "dog", "dog", "car"]
    assert [Path(p).name for p in data.paths] == ["1.png", "1.png", "2.JPG", "x.png"]
    assert data.hierarchy.classes.tolist() == ["car", "cat", "dog"]
    assert data.hierarchy.distance("dog", ["cat", "car"]).tolist() == [0.5, 1.0]
    _, y = load_image_folder(image_folder / "animal", return_X_y=True)
    assert y.tolist() == ["cat", "dog", "dog"]
    flat = load_image_folder(image_folder / "animal").hierarchy
    assert flat.distance("cat", "dog") == 1


def test_bad_image_folders(image_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="none is not there"):
        load_image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="is no folder"):
        load_image_folder(image_folder / "readme.txt")
    with pytest.raises(ValueError, match="no image found"):
        load_image_folder(image_folder, extensions=[".xyz"])
    (image_folder / "car" / "cat").mkdir()
    (image_folder / "car" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="Two folders are called 'cat'"):
        load_image_folder(image_folder)
    (image_folder / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1\.png: an image beside the folders"):
        load_image_folder(image_folder)


@pytest.fixture
def image_table(image_folder):
    table = pd.DataFrame(
        {
            "file": ["animal/dog/1.png", "animal/cat/1.png", "car/x.png"],
            "coarse": ["animal", "animal", "thing"],
            "fine": ["NA", "007", "car"],  # names that are easily misread
        }
    )
    table.to_csv(image_folder / "table.csv", index=False)
    return image_folder / "table.csv", table


def test_tables_with_columns_from_coarse_to_fine(image_table):
    path, frame = image_table
    columns = {"path_column": "file", "label_columns": ["coarse", "fine"]}
    for table, folder in ((path, None), (frame, path.parent)):
        data = load_image_table(table, folder=folder, **columns)
        assert data.target.tolist() == ["NA", "007", "car"]
        assert data.hierarchy.distance("NA", ["007", "car"]).tolist() == [0.5, 1.0]
        assert all(Path(p).is_file() for p in data.paths)
    single = load_image_table(path, path_column="file", label_columns="fine")
    assert single.hierarchy is None
    X, y = load_image_table(path, path_column="file", label_columns="fine", return_X_y=True)
    assert len(X) == len(y) == 3


def test_bad_tables(image_table, tmp_path):
    path, frame = image_table
    columns = {"path_column": "file", "label_columns": "fine"}
    with pytest.raises(ValueError, match=r"missing in the hierarchy: .*'car'"):
        load_image_table(path, hierarchy=ClassHierarchy.flat(["NA", "007"]), **columns)
    with pytest.raises(ValueError, match="no column 'label'"):
        load_image_table(path, path_column="file")
    for column, value, message in [
        ("fine", None, "row 2: 'fine' is missing"),
        ("file", None, "row 2: 'file' is missing"),
    ]:
        broken = frame.copy()
        broken.loc[1, column] = value
        with pytest.raises(ValueError, match=message):
            load_image_table(broken, folder=path.parent, **columns)
    gone = frame.assign(file=["animal/dog/1.png", "none.png", "car/x.png"])
    with pytest.raises(FileNotFoundError, match=r"row 2: .*none\.png is not there"):
        load_image_table(gone, folder=path.parent, **columns)
    torn = frame.assign(fine=["a", "b", "a"])
    with pytest.raises(ValueError, match="two different paths"):
        load_image_table(torn, folder=path.parent, path_column="file", label_columns=["coarse", "fine"])
    with pytest.raises(ValueError, match="no row"):
        load_image_table(frame[:0], **columns)
    for content in (b"", b"a,b\n1\n2,3,4\n", bytes(range(256))):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"no CSV file|no column"):
            load_image_table(tmp_path / "bad.csv", **columns)


def test_a_wrong_subset_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: pytest.fail("it downloads"))
    for fetch in (fetch_cub200, fetch_cifar100):
        with pytest.raises(ValueError, match="subset must be"):
            fetch(subset="validation", data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []
