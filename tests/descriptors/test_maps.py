import numpy as np
import pytest

from sklearn_hierret import TRUSTED_TYPES
from sklearn_hierret.descriptors import RMAC, CroW, GramFeatures
from sklearn_hierret.images._regions import regions


@pytest.fixture
def maps(rng):
    return np.maximum(rng.normal(size=(30, 6, 5, 4)), 0)


def unit(v):
    length = np.linalg.norm(v)
    return v / length if length > 0 else v


def test_crow_in_loops(maps):
    expected = []
    for image in maps:
        activity = image.sum(axis=0)
        places = np.sqrt(activity / np.sqrt((activity**2).sum()))
        shares = np.array([(channel > 0).mean() for channel in image])
        weights = np.log((6 * 1e-6 + shares.sum()) / (1e-6 + shares))
        sums = np.array([(channel * places).sum() for channel in image])
        expected.append(unit(sums * weights))
    np.testing.assert_allclose(CroW().fit_transform(maps), expected, rtol=1e-5)
    dead = maps[:1] * np.array([0, 1, 1, 1, 1, 1])[:, None, None]
    assert np.isfinite(CroW().fit_transform(dead)).all()
    assert not CroW().fit_transform(0 * maps).any()


def test_rmac_in_loops(maps):
    expected = []
    for image in maps:
        total = np.zeros(6)
        for top, left, side in regions(5, 4, 2):
            total += unit(image[:, top : top + side, left : left + side].reshape(6, -1).max(axis=1))
        expected.append(unit(total))
    np.testing.assert_allclose(RMAC(n_scales=2).fit_transform(maps), expected, rtol=1e-5)


def test_rmac_whitens_regions(maps):
    model = RMAC(3, n_scales=2).fit(maps)
    rows = np.array(
        [
            unit(image[:, top : top + side, left : left + side].reshape(6, -1).max(axis=1))
            for image in maps
            for top, left, side in regions(5, 4, 2)
        ]
    )
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    white = (rows - rows.mean(axis=0)) @ (vectors[:, ::-1][:, :3] / np.sqrt(values[::-1][:3]))
    white = np.array([unit(row) for row in white]).reshape(30, -1, 3).sum(axis=1)
    found = model.transform(maps)
    expected = np.array([unit(row) for row in white])
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)  # signs are free
    assert len(model.get_feature_names_out()) == 3


def test_regions_lie_within_the_map():
    for height, width in ((1, 1), (5, 5), (7, 10), (10, 7), (2, 9)):
        found = regions(height, width, 3)
        assert all(t >= 0 and t + s <= height and left >= 0 and left + s <= width for t, left, s in found)
        covered = np.zeros((height, width), dtype=bool)
        for t, left, s in found:
            covered[t : t + s, left : left + s] = True
        assert covered.mean() > 0.9 or height * 3 < width


def test_gram_matrices_in_loops(maps):
    plain = GramFeatures(None).fit(maps)
    expected = []
    for image in maps:
        places = image.reshape(6, -1)
        gram = places @ places.T / 20
        upper = gram[np.triu_indices(6)]
        expected.append(unit(np.sign(upper) * np.sqrt(np.abs(upper))))
    np.testing.assert_allclose(plain.transform(maps), expected, rtol=1e-4, atol=1e-6)
    reduced = GramFeatures(2).fit(maps)
    np.testing.assert_allclose(reduced.components_.T @ reduced.components_, np.eye(2), atol=1e-10)
    assert reduced.transform(maps).shape == (30, 3)
    # Style has no places: another order of them changes nothing.
    order = np.random.default_rng(0).permutation(20)
    mixed = maps.reshape(30, 6, 20)[:, :, order].reshape(30, 6, 5, 4)
    np.testing.assert_allclose(reduced.transform(mixed), reduced.transform(maps), atol=1e-5)


@pytest.mark.parametrize("model", [CroW(), CroW(2), RMAC(), RMAC(2), GramFeatures(3)], ids=repr)
def test_maps_of_other_sizes(model, maps):
    model.fit(maps)
    found = model.transform(maps[:, :, :3, :3])
    assert found.shape == (30, len(model.get_feature_names_out()))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("model", [CroW(), RMAC(), GramFeatures(3)], ids=repr)
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((3, 4)), "Maps have shape"),
        (np.zeros((0, 6, 2, 2)), "no maps"),
        (np.full((2, 6, 2, 2), np.nan), "not finite"),
        (np.full((2, 6, 2, 2), "a"), "Maps have shape"),
    ],
)
def test_bad_maps(model, maps, X, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    model.fit(maps)
    with pytest.raises(ValueError, match=message):
        model.transform(X)
    with pytest.raises(ValueError, match="5 channels, expected 6"):
        model.transform(maps[:, :5])


@pytest.mark.parametrize("model", [CroW(2), RMAC(2), GramFeatures(3)], ids=repr)
def test_they_are_saved_without_code(model, maps):
    skops = pytest.importorskip("skops.io", reason="the extra test")
    loaded = skops.loads(skops.dumps(model.fit(maps)), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.transform(maps), model.transform(maps))


def test_too_many_components(maps):
    for model in (CroW(7), RMAC(7), GramFeatures(7), CroW(40)):
        with pytest.raises(ValueError, match="exceeds the 6 channels"):
            model.fit(maps)
    with pytest.raises(ValueError, match="'n_components' parameter"):
        CroW(0).fit(maps)
