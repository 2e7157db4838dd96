import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sklearn_hierret import DiscriminantClassifier, WithinClassWhitening, _arrays
from tests.strategies import blobs, examples


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=6, n_features=8, n_per_class=(30, 60))
    return X[:200], y[:200], X[200:], y[200:]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1000], y[:1000], X[1000:], y[1000:]


def loss(proba, y):
    return -np.log(proba[np.arange(len(y)), y]).mean()


def test_it_is_accurate_and_calibrated(digits):
    X, y, Q, t = digits
    model = DiscriminantClassifier().fit(X, y)
    proba = model.predict_proba(Q)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert model.score(Q, t) > 0.94
    losses = model.cross_fitted_loss_
    assert losses["blend"] <= min(losses["linear"], losses["votes"], losses["closed_form"] + 1e-3)
    # Among predictions of some confidence, that share is right.
    sure = proba.max(axis=1)
    for low, high in ((0.4, 0.8), (0.8, 1.0)):
        some = (sure > low) & (sure <= high)
        assert abs(np.mean(proba.argmax(axis=1)[some] == t[some]) - sure[some].mean()) < 0.13
    np.testing.assert_array_equal(model.predict(Q), model.classes_[proba.argmax(axis=1)])
    np.testing.assert_allclose(model.decision_function(Q), np.log(proba))


def test_streams_give_what_one_fit_gives(digits, rng):
    X, y, Q, _ = digits
    expected = DiscriminantClassifier().fit(X, y)
    model = DiscriminantClassifier()
    for rows in np.array_split(rng.permutation(len(X)), 9):
        model.partial_fit(X[rows], y[rows])
    np.testing.assert_allclose(model.predict_proba(Q), expected.predict_proba(Q), atol=1e-6)
    _, proba, folds = model.held_out_leaves(X)
    theirs = expected.held_out_leaves(X)
    np.testing.assert_array_equal(folds, theirs[2])
    np.testing.assert_allclose(proba, theirs[1], atol=1e-6)
    # Parameters are those of the first call.
    model.set_params(n_folds=5, shrinkage=0.5).partial_fit(X[:5], y[:5])
    assert model._statistics.n_folds == 3
    assert model._rule.shrinkage == "auto"


@given(st.data())
@settings(max_examples=examples(15), deadline=None)
def test_order_names_and_lengths_do_not_matter(data):
    n, d = data.draw(st.integers(24, 60)), data.draw(st.integers(2, 6))
    X = data.draw(arrays(np.float64, (n, d), elements=st.integers(-9, 9), fill=st.nothing()))
    y = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    y[:2] = 0, 1
    assume(len(np.unique(X, axis=0)) > n // 2)  # where nearly all rows are equal, choices are ties
    queries = data.draw(arrays(np.float64, (5, d), elements=st.floats(-10, 10, width=16)))
    expected = DiscriminantClassifier().fit(X, y).predict_proba(queries)
    assert np.all(np.isfinite(expected))
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-9)
    # Equal rows of different classes may be dealt either way; the statistics do not mind.
    order = data.draw(st.permutations(range(n)))
    shuffled = DiscriminantClassifier().fit(X[order], y[order]).predict_proba(queries)
    np.testing.assert_allclose(shuffled, expected, atol=1e-5)
    classes = np.unique(y)
    new = np.array(data.draw(st.permutations([f"class {c}" for c in range(4)])))
    renamed = DiscriminantClassifier().fit(X, new[y])
    columns = np.searchsorted(renamed.classes_, new[classes])
    np.testing.assert_allclose(renamed.predict_proba(queries)[:, columns], expected, atol=1e-5)
    lengths = data.draw(arrays(np.float64, (n, 1), elements=st.sampled_from([0.5, 1.0, 4.0, 1024.0])))
    scaled = DiscriminantClassifier().fit(X * lengths, y).predict_proba(3.7 * queries)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_scaling_by_any_factor(digits):
    X, y, Q, _ = digits
    expected = DiscriminantClassifier().fit(X, y).predict_proba(Q)
    factors = np.random.default_rng(0).uniform(0.1, 9, (len(X), 1))
    np.testing.assert_allclose(
        DiscriminantClassifier().fit(X * factors, y).predict_proba(Q / 7), expected, atol=1e-6
    )


def test_held_out_leaves_do_not_see_their_labels(rng):
    X, y = rng.normal(size=(300, 40)), rng.integers(0, 6, 300)
    model = DiscriminantClassifier().fit(X, y)
    codes, proba, folds = model.held_out_leaves(X)
    held_out, fitted = np.mean(codes[:, 0] == y), np.mean(model.predict(X) == y)
    assert held_out < 0.25  # one in six by chance
    assert fitted > held_out + 0.15  # what it was fitted to
    assert set(folds.tolist()) == {0, 1, 2}
    again = pickle.loads(pickle.dumps(model)).held_out_leaves(X, keep_models=False)
    np.testing.assert_array_equal(again[0], codes)
    np.testing.assert_allclose(again[1], proba, atol=1e-12)


def test_leaves_are_the_largest_probabilities(rng):
    X, y = blobs(rng, n_classes=30, n_features=10, spread=1.0)
    model = DiscriminantClassifier().fit(X, y)
    proba = model.predict_proba(X)
    for n_kept in (1, 5, 16):
        codes, kept = model.predict_leaves(X, n_kept)
        np.testing.assert_allclose(kept, -np.sort(-proba, axis=1)[:, :n_kept], atol=1e-12)
        np.testing.assert_allclose(np.take_along_axis(proba, codes.astype(int), axis=1), kept, atol=1e-12)
    with config_context(working_memory=0.01):
        np.testing.assert_allclose(model.predict_leaves(X)[1], model.predict_leaves(X, 16)[1], atol=1e-12)
    for bad in (0, 17, 2.5):
        with pytest.raises(ValueError, match="n_kept"):
            model.predict_leaves(X, bad)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(data, dtype):
    X, y, Q, t = data
    expected = DiscriminantClassifier().fit(X, y).predict_proba(Q)
    model = DiscriminantClassifier().fit(X.astype(dtype), y)
    found = model.predict_proba(Q.astype(dtype))
    assert found.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert abs(loss(found, t) - loss(expected, t)) < 0.05


def case_of_one_sample(rng):
    X, y = blobs(rng, n_classes=4, n_features=5)
    return np.append(X, rng.normal(size=(2, 5)), axis=0), np.append(y, [7, 8])


HARD_CASES = {
    "classes of one sample": case_of_one_sample,
    "all classes of one sample": lambda rng: (rng.normal(size=(9, 4)), np.arange(9)),
    "two samples": lambda rng: (np.eye(2), np.arange(2)),
    "two classes": lambda rng: blobs(rng, n_classes=2),
    "more classes than features": lambda rng: blobs(rng, n_classes=12, n_features=3),
    "one feature": lambda rng: (rng.normal(size=(40, 1)), rng.integers(0, 3, 40)),
    "far more features than samples": lambda rng: (rng.normal(size=(30, 700)), np.arange(30) % 3),
    "constant and repeated features": lambda rng: (
        np.repeat(rng.normal(size=(60, 3)), 3, axis=1) * [1, 0, 1, 1, 1, 1, 1, 1, 1] + [0, 5, *[0] * 7],
        np.arange(60) % 4,
    ),
    "all features constant": lambda rng: (np.ones((20, 3)), np.arange(20) % 2),
    "equal rows": lambda rng: (np.repeat(rng.normal(size=(4, 5)), 10, axis=0), np.repeat(np.arange(4), 10)),
    "zero rows": lambda rng: (np.zeros((20, 3)), np.arange(20) % 2),
    "very uneven": lambda rng: (rng.normal(size=(500, 6)), (np.arange(500) > 490).astype(int)),
    "a common offset": lambda rng: (1e4 + rng.normal(size=(90, 4)), np.arange(90) % 3),
    "tiny numbers": lambda rng: (1e-200 * rng.normal(size=(90, 4)), np.arange(90) % 3),
}


@pytest.mark.parametrize("case", HARD_CASES)
@pytest.mark.parametrize("linear", ["auto", "logistic", "closed_form"])
def test_hard_cases(rng, case, linear):
    X, y = HARD_CASES[case](rng)
    model = DiscriminantClassifier(linear=linear).fit(X, y)
    for found in (model.predict_proba(X), model.held_out_leaves(X)[1]):
        assert np.all(np.isfinite(found))
        assert np.all(found >= 0)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-9)
    assert np.all(np.isfinite(model.transform(X)))
    assert set(model.predict(X).tolist()) <= set(y.tolist())


def test_zero_rows_are_as_frequent_as_their_classes(data):
    X, y, _, _ = data
    for linear, tolerance in (("closed_form", 0.03), ("auto", 0.15)):  # a regression moves its intercepts
        model = DiscriminantClassifier(linear=linear).fit(X, y)
        proba = model.predict_proba(np.zeros((1, 8)))[0]
        np.testing.assert_allclose(proba, model.class_prior_, atol=tolerance)
    np.testing.assert_array_equal(model.transform(np.zeros((1, 8))), 0)


def test_it_is_a_step_of_a_pipeline(digits):
    X, y, Q, t = digits
    pipe = make_pipeline(DiscriminantClassifier(n_components=5), KNeighborsClassifier(5)).fit(X, y)
    assert pipe.score(Q, t) > 0.8
    assert pipe[0].get_feature_names_out().tolist() == [f"discriminantclassifier{i}" for i in range(5)]
    np.testing.assert_allclose(np.linalg.norm(pipe[0].transform(Q), axis=1), 1)


def test_parameters(digits):
    X, y, Q, t = digits
    fixed = DiscriminantClassifier(shrinkage=0.25).fit(X, y)
    assert fixed.shrinkage_ == 0.25
    closed = DiscriminantClassifier(linear="closed_form").fit(X, y)
    assert closed.choices_.penalty is None
    assert DiscriminantClassifier(linear="logistic").fit(X, y).score(Q, t) > 0.94
    few = DiscriminantClassifier(n_components=2).fit(X, y)
    assert few.components_.shape == (2, 64)
    assert few.means_.shape == (10, 2)
    other = DiscriminantClassifier(random_state=1).fit(X, y)
    assert np.mean(other.predict(Q) == closed.predict(Q)) > 0.9


def test_bad_input(data):
    X, y, Q, _ = data
    for labels, message in ((np.zeros(200), "one class"), (y[:-1], "inconsistent"), (y + 0.5, "continuous")):
        with pytest.raises(ValueError, match=message):
            DiscriminantClassifier().fit(X, labels)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            DiscriminantClassifier().fit(np.where(np.arange(8) == 3, value, X), y)
    model = DiscriminantClassifier().partial_fit(X[y == 0], y[y == 0])
    with pytest.raises(ValueError, match="got one class so far: 0"):
        model.predict(Q)
    with pytest.raises(ValueError, match="text and numbers never match"):
        model.partial_fit(X[:5], np.array(list("abcde")))
    model.partial_fit(X, y)
    assert model.predict(Q).shape == (len(Q),)
    with pytest.raises(ValueError, match="8 features"):
        model.predict(Q[:, :3])
    for params in ({"n_folds": 1}, {"shrinkage": 2}, {"linear": "kernel"}, {"random_state": -1}):
        with pytest.raises(ValueError, match=next(iter(params))):
            DiscriminantClassifier(**params).fit(X, y)


def test_too_much_memory_is_refused_before_it_starts(data, monkeypatch):
    X, y, _, _ = data
    monkeypatch.setattr(_arrays, "MEMORY_SHARE", 1e-9)
    with pytest.raises(MemoryError, match=r"statistics of 8 features .* reduce the features first"):
        DiscriminantClassifier().fit(X, y)


def test_verbose(data, capsys):
    X, y, _, _ = data
    DiscriminantClassifier(verbose=True).fit(X, y)
    printed = capsys.readouterr().out
    assert "[DiscriminantClassifier] covariance without fold 1 of 3" in printed
    assert "% done, about" in printed
    assert "the model of all samples" in printed


MANY = """
import resource
import numpy as np
from sklearn_hierret import HierarchicalRetriever
limit = 6 * 10**9
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
rng = np.random.default_rng(0)
means = rng.normal(size=(10_000, 64)).astype(np.float32)
y = np.arange(50_000) % 10_000
X = means[y] + 0.5 * rng.normal(size=(50_000, 64)).astype(np.float32)
order = rng.permutation(50_000)
retriever = HierarchicalRetriever(alpha=1.0).fit(X[order], y[order])
queries = means[:500]
assert np.mean(retriever.predict(queries) == np.arange(500)) > 0.9
some = np.arange(5000)
assert np.mean(y[order][retriever.kneighbors(n_neighbors=3, ids=some)[1][:, 0]] == y[order][some]) > 0.5
assert np.mean(retriever.set_params(assignment="hard").kneighbors(queries, 3)[0] < 0.6) > 0.5
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
def test_ten_thousand_classes_within_six_gigabytes():
    done = subprocess.run(
        [sys.executable, "-c", MANY], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_folds_do_not_depend_on_the_dtype():
    rng = np.random.RandomState(0)
    y = rng.randint(0, 30, 3000)
    X = (0.35 * rng.randn(30, 64)[y] + rng.randn(3000, 64)).astype(np.float32)
    model = DiscriminantClassifier().fit(X.astype(np.float64), y)
    single, double = (model.held_out_leaves(rows) for rows in (X, X.astype(np.float64)))
    assert np.mean(single[2] == double[2]) > 0.999
    np.testing.assert_allclose(single[1], double[1], atol=1e-4)
    # The same rows in both dtypes are in one fold, so that none is held out from its double.
    streams = [
        DiscriminantClassifier().partial_fit(X.astype(np.float64), y).partial_fit(X.astype(dtype), y)
        for dtype in (np.float64, np.float32)
    ]
    assert streams[0].cross_fitted_loss_["blend"] == pytest.approx(
        streams[1].cross_fitted_loss_["blend"], 1e-3
    )


def test_seeds_that_are_drawn(rng):
    """By a RandomState, or by None: at fit, once, so that all that follows is of one deal."""
    X, y = blobs(rng, n_classes=3)
    state = np.random.RandomState(5)
    seed = np.random.RandomState(5).randint(2**31 - 1)
    drawn = DiscriminantClassifier(random_state=state).fit(X, y)
    given = DiscriminantClassifier(random_state=seed).fit(X, y)
    np.testing.assert_array_equal(drawn.held_out_proba(X), given.held_out_proba(X))
    np.testing.assert_array_equal(drawn.held_out_proba(X), drawn.held_out_proba(X))
    fresh = DiscriminantClassifier(random_state=None).partial_fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
    np.testing.assert_array_equal(fresh.held_out_leaves(X)[2], fresh.held_out_leaves(X)[2])
    whitening = WithinClassWhitening(random_state=np.random.RandomState(1)).fit(X, y)
    assert np.isfinite(whitening.transform(X)).all()
