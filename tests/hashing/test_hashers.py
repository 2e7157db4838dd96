import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import train_test_split

from sklearn_hierret import HammingRetriever, ITQHasher, PCAHasher
from sklearn_hierret.hashing import check_codes, pack_signs, unpack_signs


@pytest.fixture(scope="module")
def digits():
    return train_test_split(*load_digits(return_X_y=True), random_state=0)


def test_packing():
    relaxed = np.array([[0.0, -0.1, 2, -3, -1, -1, -1, 5], [-1, 1, 1, 1, 1, 1, 1, 1]])
    codes = pack_signs(relaxed)
    assert codes.tolist() == [[0b10100001], [0b01111111]]
    np.testing.assert_array_equal(unpack_signs(codes), np.where(relaxed >= 0, 1, -1))
    assert unpack_signs(codes).dtype == np.float32


@pytest.mark.parametrize(
    "hasher", [PCAHasher(16), ITQHasher(16, random_state=0), ITQHasher(128, random_state=0)]
)
def test_codes_are_the_signs_of_a_projection(digits, hasher):
    X, Q, _, _ = digits
    codes = hasher.fit(X).transform(Q)
    assert codes.shape == (len(Q), hasher.n_bits // 8)
    assert codes.dtype == np.uint8
    relaxed = (Q - X.mean(axis=0)) @ hasher.projection_
    np.testing.assert_allclose(hasher.relaxed_codes(Q), relaxed, atol=1e-9)
    np.testing.assert_array_equal(unpack_signs(codes), np.where(relaxed >= 0, 1, -1))
    assert hasher.get_feature_names_out().tolist() == [
        f"{type(hasher).__name__.lower()}{i}" for i in range(hasher.n_bits // 8)
    ]


def test_pca_bits_are_principal_components(digits):
    X = digits[0]
    relaxed = PCAHasher(8).fit(X).relaxed_codes(X)
    covariance = relaxed.T @ relaxed / (len(X) - 1)
    variances = np.linalg.eigvalsh(np.cov(X.T))[::-1][:8]
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-8 * variances[0])


def test_itq_rotates_components_and_its_error_falls(digits):
    X = digits[0]
    hasher = ITQHasher(32, random_state=0).fit(X)
    P = hasher.projection_
    np.testing.assert_allclose(P.T @ P, np.eye(32), atol=1e-9)
    spanned = PCAHasher(32).fit(X).projection_
    np.testing.assert_allclose(spanned @ spanned.T @ P, P, atol=1e-9)
    errors = hasher.quantization_errors_
    assert np.all(np.diff(errors) <= 1e-12)
    assert errors[-1] < 0.8 * errors[0]
    assert hasher.n_iter_ == len(errors)
    # The last error by its definition: signs against components of variance 1 a bit.
    relaxed = hasher.relaxed_codes(X)
    scaled = relaxed / np.sqrt(np.mean(relaxed**2))
    again = np.mean((np.where(relaxed >= 0, 1, -1) - scaled) ** 2)
    assert again <= errors[-1] + 1e-9


def test_more_bits_than_components(digits):
    X = digits[0][:, :12]
    X = X[:, X.std(axis=0) > 0]
    d = X.shape[1]
    P = ITQHasher(32, random_state=0).fit(X).projection_
    np.testing.assert_allclose(P @ P.T, np.eye(d), atol=1e-9)  # distances are kept
    with pytest.warns(UserWarning, match=f"32 bits, but {d} principal components"):
        codes = PCAHasher(32).fit_transform(X)
    assert np.all(unpack_signs(codes)[:, d:] == 1)


def test_itq_keeps_neighbours_better_than_pca_and_more_bits_do_better(digits):
    X, Q, y, t = digits
    scores = {}
    for name, hasher in [
        ("pca", PCAHasher(32)),
        ("itq", ITQHasher(32, random_state=0)),
        ("short", ITQHasher(8, random_state=0)),
    ]:
        retriever = HammingRetriever(n_neighbors=20).fit(hasher.fit(X).transform(X), y)
        scores[name] = retriever.score(hasher.transform(Q), t)
    assert scores["itq"] > scores["pca"]
    assert scores["itq"] > scores["short"] + 0.1


def test_hamming_distances_of_itq_go_with_angles(digits):
    X = digits[0]
    centred = X - X.mean(axis=0)
    cosine = pairwise_distances(centred[:200], metric="cosine").ravel()
    signs = unpack_signs(ITQHasher(64, random_state=0).fit(X).transform(X[:200]))
    assert np.corrcoef(cosine, pairwise_distances(signs, metric="hamming").ravel())[0, 1] > 0.9


def test_repeatable_and_float32_stays(digits):
    X = digits[0].astype(np.float32)
    a, b = (ITQHasher(16, random_state=3).fit(X) for _ in range(2))
    np.testing.assert_array_equal(a.projection_, b.projection_)
    assert a.relaxed_codes(X).dtype == a.projection_.dtype == np.float32
    assert a.relaxed_codes(digits[0]).dtype == np.float32


@pytest.mark.parametrize("n_bits", [0, 4, 12, -8, True])
def test_bits_fill_bytes(digits, n_bits):
    with pytest.raises(ValueError, match="n_bits"):
        ITQHasher(n_bits).fit(digits[0])


def test_codes_are_bytes(digits):
    with pytest.raises(TypeError, match=r"dtype uint8, got float64.*packbits"):
        check_codes(digits[0])
    with pytest.raises(TypeError, match="got bool"):
        check_codes(digits[0] > 0)
    with pytest.raises(ValueError, match=r"shape \(n_samples, n_bits / 8\), got \(3,\)"):
        check_codes(np.zeros(3, dtype=np.uint8))
    with pytest.raises(ValueError, match="0 samples"):
        check_codes(np.zeros((0, 4), dtype=np.uint8))


def test_components_without_variance_have_constant_bits(rng):
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 40))
    for dtype in (np.float64, np.float32):
        with pytest.warns(UserWarning, match="16 bits, but 5 principal components"):
            hasher = PCAHasher(16).fit(X.astype(dtype))
        codes = hasher.transform(X)
        assert np.all(unpack_signs(codes)[:, 5:] == 1)
        one_by_one = np.concatenate([hasher.transform(row[None]) for row in X])
        np.testing.assert_array_equal(codes, one_by_one)
    with pytest.raises(ValueError, match="All features are constant"):
        ITQHasher(8).fit(np.ones((10, 3)))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("hasher", [PCAHasher(32), ITQHasher(32, random_state=0)])
def test_codes_do_not_depend_on_the_scale(digits, hasher, scale):
    X = digits[0].astype(np.float64)
    expected = hasher.fit(X).transform(X)
    found = hasher.fit(X * scale).transform(X * scale)
    assert np.mean(np.unpackbits(found) != np.unpackbits(expected)) < 1e-3  # where rounding decides
