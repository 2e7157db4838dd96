"""Vectors of images beside loops over descriptors, and what is refused."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret import TRUSTED_TYPES, HierarchicalRetriever
from sklearn_hierret.descriptors import (
    RVD,
    VLAD,
    BagOfVisualWords,
    FisherVector,
    LocalFeatures,
    TriangulationEmbedding,
)
from sklearn_hierret.descriptors._lists import drawn_descriptors, power_normalised

ALL = [
    BagOfVisualWords(6, random_state=0),
    VLAD(5, random_state=0),
    TriangulationEmbedding(5, n_discarded=0, random_state=0),
    RVD(5, random_state=0),
    FisherVector(3, random_state=0),
]
EACH = pytest.mark.parametrize("model", ALL, ids=lambda model: type(model).__name__)


@pytest.fixture
def images(rng):
    """Descriptors of two kinds of images, in 7 dimensions."""
    return [rng.random((int(rng.integers(5, 30)), 7)) + (i % 2) * np.eye(7)[0] for i in range(20)]


def fitted(model, images):
    if isinstance(model, FisherVector):
        pytest.importorskip("skimage", reason="the extra image; .ci/run has an environment with it")
    return model.fit(images)


def nearest(x, words):
    return int(np.argmin([((x - word) ** 2).sum() for word in words]))


def unit(v):
    length = np.linalg.norm(v)
    return v / length if length > 0 else v


def signed_root(v):
    return np.sign(v) * np.sqrt(np.abs(v))


def test_bags_in_loops(images):
    model = BagOfVisualWords(6, random_state=0).fit(images)
    counts = np.zeros((20, 6))
    for i, image in enumerate(images):
        for x in image:
            counts[i, nearest(x, model.words_)] += 1
    idf = np.log((1 + 20) / (1 + (counts > 0).sum(axis=0))) + 1  # smoothed, as scikit-learn has it
    np.testing.assert_allclose(model.idf_, idf)
    np.testing.assert_allclose(model.transform(images), [unit(row * idf) for row in counts], rtol=1e-5)


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_vlad_in_loops(images, intra, power):
    model = VLAD(5, intra=intra, power=power, random_state=0).fit(images)
    for image, found in zip(images, model.transform(images), strict=True):
        sums = np.zeros((5, 7))
        for x in image:
            word = nearest(x, model.words_)
            sums[word] += x - model.words_[word]
        vector = np.concatenate([unit(row) for row in sums] if intra else sums)
        np.testing.assert_allclose(found, unit(signed_root(vector) if power == 0.5 else vector), atol=1e-6)


def directions(x, words):
    return np.concatenate([unit(x - word) for word in words])


def test_triangulation_in_loops(images):
    model = TriangulationEmbedding(5, random_state=0).fit(images)
    rows = np.array([directions(x, model.words_) for image in images for x in image])
    np.testing.assert_allclose(model.mean_, rows.mean(axis=0))
    white = (rows - model.mean_) @ model.projection_
    assert white.shape[1] == 5 * 7 - 7
    np.testing.assert_allclose(white.T @ white / len(rows), np.eye(28), atol=1e-8)
    # What was left out are the components of most variance.
    variances = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    kept = 1 / np.linalg.norm(model.projection_, axis=0) ** 2
    np.testing.assert_allclose(kept, variances[7:], rtol=1e-6)
    sums = [
        sum((directions(x, model.words_) - model.mean_) @ model.projection_ for x in image)
        for image in images
    ]
    np.testing.assert_allclose(model.transform(images), [unit(signed_root(s)) for s in sums], atol=1e-5)
    whole = TriangulationEmbedding(5, n_discarded=0, random_state=0).fit(images)
    assert whole.projection_.shape[1] <= 35
    with pytest.raises(ValueError, match="n_discarded=35 leaves none"):
        TriangulationEmbedding(5, n_discarded=35).fit(images)
    with pytest.raises(ValueError, match="n_discarded=7 leaves none"):
        TriangulationEmbedding(1).fit(images)


def test_rvd_in_loops(images):
    model = RVD(5, n_nearest=2, random_state=0).fit(images)
    sums = np.zeros((20, 5, 7))
    for i, image in enumerate(images):
        for x in image:
            order = np.argsort([((x - word) ** 2).sum() for word in model.words_], kind="stable")
            for rank, word in enumerate(order[:2]):
                difference = x - model.words_[word]
                sums[i, word] += difference / np.abs(difference).sum() / 2**rank
    np.testing.assert_allclose(model.means_, sums.mean(axis=0), atol=1e-6)
    vectors = []
    for row in sums:
        parts = [(row[w] - model.means_[w]) @ model.projections_[w] for w in range(5)]
        vectors.append(unit(signed_root(np.concatenate(parts))))
    np.testing.assert_allclose(model.transform(images), vectors, atol=1e-5)
    for w in range(5):
        white = (sums[:, w] - model.means_[w]) @ model.projections_[w]
        variances = (white**2).mean(axis=0)
        assert variances.max() == pytest.approx(1)  # those under the floor are less
    many = RVD(5, n_nearest=99, random_state=0).fit(images)
    assert many.transform(images).shape == (20, 35)


def test_fisher_vectors_are_gradients(images):
    """Beside numerical derivatives of the log-likelihood, in the parameters of scikit-image."""
    pytest.importorskip("skimage", reason="the extra image; .ci/run has an environment with it")
    model = FisherVector(3, random_state=0).fit(images)
    found = model.transform(images[:1])[0]
    assert found.shape == (3 * 15,)
    assert np.linalg.norm(found) == pytest.approx(1, rel=1e-5)
    mixture, step, x = model.mixture_, 1e-5, images[0]

    def likelihood(k, d, change):
        means = mixture.means_.copy()
        means[k, d] += change
        logs = -0.5 * (((x[:, None] - means) ** 2 / mixture.covariances_) + np.log(mixture.covariances_)).sum(
            axis=2
        )
        logs += np.log(mixture.weights_)
        return np.log(np.exp(logs).sum(axis=1)).mean()

    gradient = np.array(
        [
            [
                (likelihood(k, d, step) - likelihood(k, d, -step))
                / (2 * step)
                * np.sqrt(mixture.covariances_[k, d] / mixture.weights_[k])
                for d in range(7)
            ]
            for k in range(3)
        ]
    ).ravel()
    rest = found[3:24] * np.abs(found[3:24])  # before the roots
    np.testing.assert_allclose(rest / np.linalg.norm(rest), gradient / np.linalg.norm(gradient), atol=1e-4)


@EACH
def test_images_are_told_apart(model, images):
    vectors = fitted(model, images).transform(images)
    assert vectors.dtype == np.float32
    assert vectors.shape == (20, len(model.get_feature_names_out()))
    similar = vectors @ vectors.T - 2 * np.eye(20)
    assert (similar.argmax(axis=1) % 2 == np.arange(20) % 2).mean() > 0.8
    np.testing.assert_allclose(fitted(model, images).transform(images), vectors, atol=1e-6)  # repeatable


@EACH
def test_the_order_of_descriptors_does_not_matter(model, images, rng):
    model = fitted(model, images)
    shuffled = [rng.permutation(image) for image in images]
    np.testing.assert_allclose(model.transform(shuffled), model.transform(images), atol=1e-5)


@EACH
def test_images_without_descriptors(model, images):
    model = fitted(model, [*images, []])
    empty = [images[0], np.zeros((0, 7)), images[1]]
    with pytest.raises(ValueError, match="Image 1 has no descriptor: leave it out"):
        model.transform(empty)
    model.set_params(on_empty="zeros")
    try:
        found = model.transform(empty)
    finally:
        model.set_params(on_empty="raise")
    assert not found[1].any()
    np.testing.assert_allclose(found[[0, 2]], model.transform(images[:2]))
    with pytest.raises(ValueError, match="No image has a descriptor"):
        model.fit([[], []])


@EACH
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (3, TypeError, "sequence of descriptor arrays, got a int"),
        ("text", TypeError, "got a str"),
        ([], ValueError, "no image"),
        ([np.zeros((3, 7)), np.zeros((3, 8))], ValueError, "different widths: 8 in image 1, expected 7"),
        ([np.zeros(7)], ValueError, "those of image 0 have shape"),
        ([np.full((9, 7), np.nan)], ValueError, "image 0 are not finite"),
        ([np.full((9, 7), "a")], ValueError, "matrix of numbers"),
        (np.zeros((4, 7)), ValueError, "those of image 0 have shape"),
        ([np.zeros((2, 7))], ValueError, "as many descriptors, got 2"),
    ],
)
def test_bad_descriptors(model, images, X, error, message):
    fitted(model, images)
    with pytest.raises(error, match=message):
        type(model)(random_state=0).fit(X)
    if "as many" not in message:
        with pytest.raises(error, match=message):
            model.transform(X)


@EACH
def test_they_are_saved_without_code(model, images):
    skops = pytest.importorskip("skops.io", reason="the extra test")
    model = fitted(model, images)
    loaded = skops.loads(skops.dumps(model), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.transform(images), model.transform(images))


def test_samples_are_drawn_from_all_images(images):
    random = np.random.RandomState(0)
    everything = np.concatenate(images)
    np.testing.assert_array_equal(drawn_descriptors(images, 10_000, random), everything)
    some = drawn_descriptors([images[0], images[0][:0], *images[1:]], 100, random)
    assert len(some) == 100
    assert len(np.unique(some, axis=0)) == 100
    assert {row.tobytes() for row in some} <= {row.tobytes() for row in everything}


def test_power_law():
    found = power_normalised(np.array([[4.0, -9.0], [0.0, 0.0]]), 0.5)
    np.testing.assert_allclose(found, [[2 / np.sqrt(13), -3 / np.sqrt(13)], [0, 0]])


def test_descriptors_that_are_words_leave_nothing(images):
    model = VLAD(4, random_state=0).fit([np.repeat(np.eye(7)[:4], 10, axis=0) / 3])
    assert not model.transform([np.eye(7)[:4] / 3]).any()


def test_local_features_are_taken(images):
    local = [LocalFeatures(np.zeros((len(image), 2)), image) for image in images]
    model = VLAD(5, random_state=0).fit(images)
    np.testing.assert_array_equal(model.transform(local), model.transform(images))


def test_parameters_are_checked_again(images):
    model = VLAD(5, random_state=0).fit(images).set_params(on_empty="typo")
    with pytest.raises(ValueError, match="'on_empty' parameter"):
        model.transform(images)


def test_descriptors_that_do_not_vary():
    with pytest.raises(ValueError, match="do not vary"):
        TriangulationEmbedding(2, n_discarded=0).fit([np.ones((5, 3))])


@pytest.mark.parametrize("kind", [TriangulationEmbedding, RVD])
def test_single_and_double_precision_agree(kind, images):
    found = [
        kind(4, random_state=0).fit([one.astype(dtype) for one in images]).transform(images)
        for dtype in (np.float32, np.float64)
    ]
    np.testing.assert_allclose(*found, atol=0.05)


def test_a_pipeline_to_a_retriever(images):
    y = np.arange(20) % 2
    pipe = make_pipeline(VLAD(5, random_state=0), PCA(8, whiten=True), HierarchicalRetriever()).fit(images, y)
    assert (pipe.predict(images) == y).mean() > 0.8


class RowsAsImages:
    """What scikit-learn's checks need: each row is an image of as many descriptors of one number."""

    def fit(self, X, y=None):
        X = validate_data(self, X)
        return super().fit([row[:, None] for row in X])

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return super().transform([row[:, None] for row in X])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class Bags(RowsAsImages, BagOfVisualWords):
    pass


class Residuals(RowsAsImages, VLAD):
    pass


class Triangles(RowsAsImages, TriangulationEmbedding):
    pass


class Robust(RowsAsImages, RVD):
    pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # fewer distinct numbers than words
@pytest.mark.parametrize(
    "model",
    [
        Bags(2, random_state=0),
        Residuals(2, random_state=0),
        Triangles(3, random_state=0),
        Robust(2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_check_estimator(model):
    results = check_estimator(model, on_skip=None, on_fail=None)
    assert [(r["check_name"], str(r["exception"])) for r in results if r["status"] == "failed"] == []
    assert len(results) > 40
