import base64
import json
import re

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import HammingRetriever, HierarchicalRetriever, HierarchyBuilder, LinkageHierarchyBuilder
from sklearn_hierret.explorer import explore
from sklearn_hierret.inspection import class_overview
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=4, n_features=6)
    names = np.array(["ant", "bee", "cow", "</script><b>"])[y]
    return X[:60], names[:60], X[60:90], names[60:90], rng.integers(0, 256, (30, 12, 10, 3), dtype=np.uint8)


def test_of_a_retriever_that_was_chosen_by_cross_validation(data):
    X, y, Q, _, images = data
    chosen = HierarchicalRetrieverCV(alphas=[0.5], cv=2).fit(X, y)
    plain = HierarchicalRetriever(alpha=0.5).fit(X, y)
    one, other = (content(explore(r, Q, images=images, path=None).html)["lists"] for r in (chosen, plain))
    assert one == other


def content(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)[1]
    return json.loads(text)


def unpacked(part):
    return np.frombuffer(base64.b64decode(part["data"]), dtype=f"<{part['dtype']}")


def test_what_is_in_the_page(data, tmp_path):
    X, y, Q, t, images = data
    retriever = HierarchicalRetriever().fit(X, y)
    before = retriever.kneighbors(Q)[1]
    explorer = explore(retriever, Q, t, images=images, path=tmp_path / "page.html", n_neighbors=5)
    assert (tmp_path / "page.html").read_text() == explorer.html
    np.testing.assert_array_equal(retriever.kneighbors(Q)[1], before)  # the gallery is as it was
    found = content(explorer.html)
    assert found["labels"] == t.tolist()
    assert len(found["images"]) == 30
    combined = HierarchicalRetriever().fit(X, y).set_gallery(Q).kneighbors(None, 5)
    assert unpacked(found["lists"]["combined"]["items"]).tolist() == combined[1].ravel().tolist()
    numbers = unpacked(found["features"]).reshape(30, -1) * found["scale"]
    unit = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    np.testing.assert_allclose(numbers @ numbers.T, unit @ unit.T, atol=1e-3)
    assert "sandbox" in explorer._repr_html_()
    assert "://" not in explorer.html  # nothing is fetched


def test_pixels_survive(data):
    image = pytest.importorskip("PIL.Image", reason="pillow comes with matplotlib")
    import io

    X, y, Q, _, images = data
    retriever = HierarchicalRetriever().fit(X, y)
    for given, expected in [
        (images, images),
        (images[..., 0], images[..., 0]),
        (images / 255, images),
    ]:
        text = content(explore(retriever, Q, images=given, path=None).html)["images"][7]
        kind, _, coded = text.partition(";base64,")
        assert kind == "data:image/png"
        np.testing.assert_array_equal(
            np.asarray(image.open(io.BytesIO(base64.b64decode(coded)))), expected[7]
        )


def test_pipelines_names_and_titles(data):
    X, y, Q, _, images = data
    pipe = make_pipeline(StandardScaler(), HierarchicalRetriever(alpha=np.inf)).fit(X, y)
    page = explore(
        pipe, Q, images=images, path=None, class_names={"ant": "{{script}} & <ant>"}, title="{{data}}"
    )
    assert "<title>{{data}}</title>" in page.html
    found = content(page.html)
    assert "{{script}} & <ant>" in found["tree"]["title"]
    assert found["labels"] is None
    assert np.isfinite(found["feedback"]["alpha"])


def test_bad_input(data, tmp_path):
    X, y, Q, t, images = data
    retriever = HierarchicalRetriever().fit(X, y)
    several = HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()]).fit(X, y)
    codes = HammingRetriever().fit((X > 0).astype(np.uint8), y)
    wrong = [
        (lambda: explore(retriever, Q, images=images[:-1], path=None), ValueError, "inconsistent numbers"),
        (lambda: explore(retriever, Q, t[:-1], images=images, path=None), ValueError, "inconsistent numbers"),
        (lambda: explore(retriever, Q[:, 1:], images=images, path=None), ValueError, "features"),
        (lambda: explore(retriever, Q * np.nan, images=images, path=None), ValueError, "NaN"),
        (lambda: explore(retriever, Q, images=images.astype(str), path=None), (ValueError, OSError), "."),
        (lambda: explore(retriever, Q, images=images[0], path=None), ValueError, "."),
        (lambda: explore(retriever, Q[:1], images=images[:1], path=None), ValueError, "two at least"),
        (lambda: explore(retriever, Q, images=images, path=None, n_neighbors=0), ValueError, "n_neighbors"),
        (lambda: explore(several, Q, images=images, path=None), TypeError, "one tree"),
        (lambda: explore(codes, Q, images=images, path=None), TypeError, "has codes"),
        (lambda: explore(retriever, Q, images=images, path=None, layout="umap"), ValueError, "layout"),
        (lambda: explore(retriever, Q, images=images, path=None, layout=Q[:, :3]), ValueError, "layout"),
        (lambda: explore(retriever, Q[:0], images=images[:0], path=None), ValueError, "."),
        (lambda: explore(retriever, Q, images=[images[0], "a.png"] * 15, path=None), TypeError, "two calls"),
    ]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept.txt").write_text("kept")
    wrong += [
        (
            lambda: explore(retriever, Q, images=images, path=tmp_path / "folder"),
            IsADirectoryError,
            "is a folder",
        ),
        (
            lambda: explore(retriever, Q, images=images, path=None, class_names=["a"]),
            TypeError,
            "class_names",
        ),
        (lambda: explore(retriever, Q, images=images, path=None, thumbnail=0), ValueError, "thumbnail"),
    ]
    for call, error, message in wrong:
        with pytest.raises(error, match=message):
            call()
    assert (tmp_path / "folder" / "kept.txt").read_text() == "kept"


def test_large_images_become_small(data, rng):
    X, y, Q, _, _ = data
    images = rng.integers(0, 256, (30, 300, 200, 3), dtype=np.uint8)
    page = explore(HierarchicalRetriever().fit(X, y), Q, images=images, path=None, thumbnail=64)
    assert len(page.html) < 300_000


@pytest.mark.parametrize("class_model", [None, GaussianNB(), "grouped"])
def test_images_of_the_fit_have_held_out_leaves(rng, class_model):
    """A wrong label is not what the page shows as the leaf of its image."""
    X, y = blobs(rng, n_classes=4, n_features=40)
    wrong = rng.permutation(len(y))[:12]
    labels = y.copy()
    labels[wrong] = (labels[wrong] + 1) % 4
    images = rng.integers(0, 256, (len(X), 4, 4, 3), dtype=np.uint8)
    groups = np.arange(len(X)) // 2 if class_model == "grouped" else None
    retriever = HierarchicalRetriever(class_model=None if groups is not None else class_model)
    retriever.fit(X, labels, groups)
    expected = retriever.leaves()  # cross-fitted
    searcher = retriever.searcher().over_samples(X)
    shown = searcher.leaves.labels_of(searcher.leaves.view(of_gallery=True).leaves())
    np.testing.assert_array_equal(shown, expected)
    explore(retriever, X, labels, images=images, path=None)
    if not isinstance(class_model, GaussianNB):  # the class model keeps samples, whatever the gallery is
        other = retriever.with_gallery(X[:5]).searcher().over_samples(X)
        np.testing.assert_array_equal(
            other.leaves.labels_of(other.leaves.view(of_gallery=True).leaves()), expected
        )


def test_names_that_are_no_text_are_shown_as_escapes(rng, tmp_path):
    X, y = blobs(rng, n_classes=2, n_features=5)
    names = np.array(["caf\udce9", "the"], dtype=object)[y]
    retriever = HierarchicalRetriever().fit(X, names)
    images = rng.integers(0, 256, (len(X), 4, 4, 3), dtype=np.uint8)
    explore(retriever, X, names, images=images, path=tmp_path / "page.html", title="caf\udce9")
    assert "\\udce9" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_files_of_any_sizes_and_kinds(data, rng, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="pillow comes with matplotlib")
    X, y, Q, _, _ = data
    retriever, paths = HierarchicalRetriever().fit(X, y), []
    for i in range(30):
        height, width = rng.integers(20, 90, 2)
        shape = (height, width) if i % 3 == 0 else (height, width, 3)
        kind = ("png", "jpg", "webp", "gif")[i % 4]
        # A name that is written from right to left, one that is markup, a long one.
        name = {1: "\u202e\u05d0\u05d1", 2: "<b onclick=x>", 3: "n" * 200}.get(i, f"image {i}")
        paths.append(str(tmp_path / f"{name}.{kind}"))
        image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    found = content(explore(retriever, Q, images=paths, path=None).html)
    assert found["ids"][2] == "<b onclick=x>.webp"
    assert found["ids"][1].startswith("\u202e")
    for missing in (True, False):  # and damaged
        (tmp_path / "broken.png").unlink(missing_ok=True)
        if not missing:
            (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
        broken = [*paths[:7], str(tmp_path / "broken.png"), *paths[8:]]
        with pytest.raises((FileNotFoundError, ValueError), match=r"broken\.png"):
            explore(retriever, Q, images=broken, path=tmp_path / "page.html")
        assert not (tmp_path / "page.html").exists()


def test_views_hold_what_the_package_finds(rng):
    X, y = rng.normal(size=(60, 30)), np.repeat(["ant", "bee", "cow"], 20)[rng.permutation(60)]
    retriever = HierarchicalRetriever(metric="cosine").fit(X, y)
    Q = np.concatenate([X[:20], X[:5]])
    labels = np.concatenate([y[:20], np.roll(y[:5], 1)])
    images = np.zeros((25, 6, 6), dtype=np.uint8)
    places = np.arange(50.0).reshape(25, 2)
    found = content(explore(retriever, Q, labels, images=images, path=None, layout=places).html)
    groups = [group["items"] for group in found["copies"] if group["is_exact"]]
    assert sorted(groups) == [[i, 20 + i] for i in range(5)]
    across = {tuple(group["items"]): group["across"] for group in found["copies"] if group["is_exact"]}
    assert across == {(i, 20 + i): bool(labels[i] != labels[20 + i]) for i in range(5)}
    overview = {row["class"]: row["n_samples"] for row in found["overview"]}
    assert overview == {str(c): int(np.sum(labels == c)) for c in np.unique(labels)}
    for column, part in zip(places.T, found["places"], strict=True):
        np.testing.assert_allclose(unpacked(part) / 65535, (column - column[0]) / np.ptp(column), atol=1e-4)


def test_clusters_of_new_classes_are_listed(rng):
    centers, y = 4 * rng.normal(size=(8, 10)), rng.integers(0, 8, 1200)
    X = centers[y] + rng.normal(size=(1200, 10))
    train = np.flatnonzero(y[:700] < 7)
    retriever = HierarchicalRetriever().fit(X[train], y[train])
    Q, t, images = X[700:], y[700:], np.zeros((500, 6, 6), dtype=np.uint8)
    found = content(explore(retriever, Q, images=images, path=None, layout="pca").html)
    listed = np.concatenate([cluster["items"] for cluster in found["clusters"]])
    assert np.isin(np.flatnonzero(t == 7), listed).mean() > 0.8
    assert np.mean(t[listed] == 7) > 0.8
    closed = HierarchicalRetriever(novelty=False).fit(X[train], y[train])
    assert content(explore(closed, Q, images=images, path=None, layout="pca").html)["clusters"] is None


def test_labels_that_the_tree_lacks(data):
    """The page is made, without suspects or an overview; the function for an overview says why."""
    X, y, Q, _, images = data
    retriever = HierarchicalRetriever().fit(X, y)
    found = content(explore(retriever, Q, np.full(30, "zebra"), images=images, path=None).html)
    assert found["issues"] is None
    assert found["overview"] is None
    with pytest.raises(ValueError, match="knows none of these labels"):
        class_overview(retriever.with_gallery(Q, np.full(30, "zebra"), new_classes="ignore"))
