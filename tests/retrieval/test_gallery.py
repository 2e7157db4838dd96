"""A gallery that was changed step by step is the gallery of what is left."""

import copy
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB

from sklearn_hierret import (
    DiscriminantClassifier,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
)
from sklearn_hierret.retrieval._columns import Column
from tests.strategies import blobs, examples, generators


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    X, y = blobs(rng, n_classes=6, n_features=5, spread=1.5)
    return X, y


def retriever_of(X, y, **params):
    builder = HierarchyBuilder(class_model=MahalanobisClassifier(n_components=None))
    return HierarchicalRetriever(builder, **params).fit(X[:60], y[:60])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30)),
        st.tuples(st.just("remove"), st.integers(1, 30)),
    ),
    max_size=12,
)


@given(
    steps,
    generators(),
    st.sampled_from(["hard", "soft"]),
    st.sampled_from([0.0, 0.7, 16.0, np.inf]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["auto", "predicted"]),
)
@settings(max_examples=examples(60), deadline=None)
def test_any_sequence_of_additions_and_removals(data, steps, rng, assignment, alpha, dtype, gallery_leaves):
    X, y = data
    X = X.astype(dtype)
    retriever = retriever_of(X, y, alpha=alpha, assignment=assignment, gallery_leaves=gallery_leaves)
    retriever.set_gallery(X[:60], y[:60])  # of new samples, whose leaves are not cross-fitted
    kept = list(range(60))  # rows of X, by position
    ids = list(range(60))
    next_id = 60
    for step, n in steps:
        if step == "add":
            rows = rng.integers(0, len(X), n)  # duplicates of each other too
            retriever.add_to_gallery(X[rows], y[rows])
            kept += rows.tolist()
            ids += range(next_id, next_id + n)
            next_id += n
        else:
            gone = set(rng.permutation(len(kept))[: min(n, len(kept) - 6)].tolist())
            retriever.remove_from_gallery([ids[i] for i in gone])
            kept = [row for i, row in enumerate(kept) if i not in gone]
            ids = [number for i, number in enumerate(ids) if i not in gone]
        np.testing.assert_array_equal(retriever.gallery_ids_, ids)
        np.testing.assert_array_equal(retriever.gallery_labels_, y[kept])
        assert retriever.n_samples_fit_ == len(kept)
    fresh = retriever_of(X, y, alpha=alpha, assignment=assignment, gallery_leaves=gallery_leaves)
    fresh.set_gallery(X[kept], y[kept])
    mask = rng.random(len(kept)) < 0.5
    for changed in (retriever, pickle.loads(pickle.dumps(retriever))):
        for queries in (None, X[100:110]):
            k = len(kept) - (queries is None)
            for within in (None, mask):
                distances, indices = changed.kneighbors(queries, k, within=within)
                expected = fresh.kneighbors(queries, k, within=within)
                np.testing.assert_allclose(distances, expected[0], rtol=1e-5, atol=1e-5)
                # Leaves were assigned in other batches: equal but for ties by rounding.
                if assignment == "hard":
                    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_array_equal(retriever.leaves(), fresh.leaves())
    np.testing.assert_array_equal(retriever.predict(X[:5]), fresh.predict(X[:5]))


@pytest.mark.parametrize("assignment", ["hard", "soft"])
def test_within_a_mask_is_the_search_of_that_part(data, assignment):
    X, y = data
    retriever = retriever_of(X, y, alpha=1.0, assignment=assignment).set_gallery(X, y)
    mask = np.zeros(len(X), dtype=bool)
    mask[3::7] = True
    distances, indices = retriever.kneighbors(X[:20], 8, within=mask)
    part = copy.copy(retriever).set_gallery(X[mask], y[mask])
    expected = part.kneighbors(X[:20], 8)
    np.testing.assert_allclose(distances, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(indices, np.flatnonzero(mask)[expected[1]])


def test_within_a_subtree(data):
    X, y = data
    retriever = retriever_of(X, y, alpha=1.0, assignment="hard").set_gallery(X, y)
    tree = retriever.hierarchy_
    inner = tree.parents[0]
    members = tree.members(inner)
    _, indices = retriever.kneighbors(X[:20], 4, within=members)
    assert np.isin(retriever.leaves()[indices], members).all()
    one = retriever.kneighbors(X[:20], 4, within=members[0])[1]
    assert (retriever.leaves()[one] == members[0]).all()
    with pytest.raises(ValueError, match="missing in the hierarchy"):
        retriever.kneighbors(X[:2], 2, within=["no such class"])
    with pytest.raises(ValueError, match=r"mask of shape \(3,\) for a gallery of"):
        retriever.kneighbors(X[:2], 2, within=[True, False, True])


@pytest.mark.parametrize("alpha", [0.0, 1.0, np.inf])
def test_short_results_are_padded(data, alpha):
    X, y = data
    retriever = retriever_of(X, y, alpha=alpha)
    mask = np.zeros(60, dtype=bool)
    mask[[4, 9]] = True
    distances, indices = retriever.kneighbors(X[:5], 4, within=mask)
    assert np.isfinite(distances[:, :2]).all()
    assert np.isposinf(distances[:, 2:]).all()
    assert (np.sort(indices, axis=1) == [-1, -1, 4, 9]).all()
    own = retriever.kneighbors(None, 4, within=mask)[1]
    assert (own[4] == [9, -1, -1, -1]).all()
    table = retriever.retrieve(None, 4, within=mask)
    assert len(table) == 58 * 2 + 2
    assert set(table["id"]) == {4, 9}
    nothing = retriever.kneighbors(X[:5], 2, within=np.zeros(60, dtype=bool))
    assert (nothing[1] == -1).all()
    assert np.isposinf(nothing[0]).all()


def test_ids(data):
    X, y = data
    retriever = retriever_of(X, y)
    retriever.remove_from_gallery([0, 59])
    retriever.add_to_gallery(X[:1], y[:1])
    assert retriever.gallery_ids_[-1] == 60
    with pytest.raises(ValueError, match="No sample of the gallery has the id 59"):
        retriever.remove_from_gallery([5, 59])
    assert 5 in retriever.gallery_ids_  # nothing was removed
    with pytest.raises(ValueError, match="a sample with the id 58"):
        retriever.add_to_gallery(X[:1], y[:1], ids=[58])
    retriever.add_to_gallery(X[60:61], y[60:61], ids=[59])  # free since it was removed
    assert retriever.gallery_ids_.tolist() == [*range(1, 59), 60, 59]
    assert retriever.add_to_gallery(X[:1], y[:1]).gallery_ids_[-1] == 61  # numbers that run never come again
    names = [f"image {i}" for i in range(60)]
    retriever.set_gallery(X[:60], y[:60], ids=names)
    with pytest.raises(ValueError, match="give the new samples ids"):
        retriever.add_to_gallery(X[:1], y[:1])
    with pytest.raises(ValueError, match="text and numbers never match"):
        retriever.add_to_gallery(X[:1], y[:1], ids=[7])
    retriever.add_to_gallery(X[:2], y[:2], ids=["a much longer name than those before", "b"])
    retriever.remove_from_gallery("image 3")
    assert retriever.gallery_ids_[-2:].tolist() == ["a much longer name than those before", "b"]
    assert "image 3" not in retriever.gallery_ids_


def test_bad_additions_change_nothing(data):
    X, y = data
    retriever = retriever_of(X, y)
    before = retriever.kneighbors(X[:5])[1]
    for call, message in [
        (lambda: retriever.add_to_gallery(X[:3, :2], y[:3]), "features"),
        (lambda: retriever.add_to_gallery(X[:3]), "The gallery has labels, and no y"),
        (lambda: retriever.add_to_gallery(X[:3], y[:2]), "3 samples, but 2 labels"),
        (lambda: retriever.add_to_gallery(X[:3], y[:3], ids=[70, 71]), "3 samples, but 2 ids"),
        (lambda: retriever.add_to_gallery(X[:2], y[:2], ids=[70, 70]), "distinct"),
        (lambda: retriever.add_to_gallery(X[:2], ["a", "b"]), "text and numbers"),
        (lambda: retriever.add_to_gallery([[np.nan] * 5], [0]), "NaN"),
        (lambda: retriever.remove_from_gallery([3, 3]), "distinct"),
        (lambda: retriever.remove_from_gallery([[3], [4]]), "one-dimensional"),
        (lambda: retriever.remove_from_gallery(["x"]), "No sample of the gallery has the id 'x'"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
        assert retriever.n_samples_fit_ == 60
        np.testing.assert_array_equal(retriever.kneighbors(X[:5])[1], before)
    with pytest.raises(ValueError, match="The gallery has no labels, and y"):
        retriever.set_gallery(X[:9]).add_to_gallery(X[:3], y[:3])


def test_a_copy_keeps_its_own_gallery(data):
    X, y = data
    retriever = retriever_of(X, y)
    other = copy.copy(retriever)
    other.add_to_gallery(X[60:90], y[60:90]).remove_from_gallery(np.arange(30))
    assert retriever.n_samples_fit_ == 60
    np.testing.assert_array_equal(retriever.gallery_ids_, np.arange(60))


def test_labels_that_were_added_can_be_predicted(data):
    X, y = data
    retriever = retriever_of(X, y, alpha=0, n_neighbors=1)
    retriever.add_to_gallery(X[100:101] + 100, [99])
    assert retriever.predict(X[100:101] + 100) == [99]
    assert 99 in retriever.classes_


def test_everything_may_be_removed_and_come_back(data):
    X, y = data
    for assignment in ("hard", "soft"):
        retriever = retriever_of(X, y, assignment=assignment)
        retriever.remove_from_gallery(retriever.gallery_ids_)
        assert retriever.n_samples_fit_ == 0
        with pytest.raises(ValueError, match="the gallery holds 0 samples"):
            retriever.kneighbors(X[:1], 1)
        retriever.add_to_gallery(X[:4], y[:4])
        assert retriever.kneighbors(X[:1], 1)[1] == [[0]]
        assert retriever.gallery_ids_.tolist() == [60, 61, 62, 63]


def test_changing_alpha_or_assignment_after_additions(data):
    X, y = data
    retriever = retriever_of(X, y, alpha=0.0, assignment="hard").add_to_gallery(X[60:120], y[60:120])
    retriever.remove_from_gallery(np.arange(40))
    for assignment in ("hard", "soft", "hard"):
        retriever.set_params(alpha=2.0, assignment=assignment).add_to_gallery(X[:1], y[:1])
        held = np.r_[40:120, [0] * (retriever.n_samples_fit_ - 80)]
        fresh = retriever_of(X, y, alpha=2.0, assignment=assignment).set_gallery(X[held], y[held])
        np.testing.assert_allclose(retriever.kneighbors(X[:9])[0], fresh.kneighbors(X[:9])[0], atol=1e-9)


def test_a_row_is_moved_few_times():
    column = Column((np.arange(1),))
    moved = 0
    for i in range(1, 2000):
        before = {id(part) for part in column.parts}
        column = column.appended(np.array([i]))
        moved += sum(len(part) for part in column.parts if id(part) not in before)
    assert moved < 2000 * 12
    assert len(column.parts) <= 12
    np.testing.assert_array_equal(column.array, np.arange(2000))
    np.testing.assert_array_equal(column.find(np.array([1999, 5, -3])), [1999, 5, -1])


def test_verbose_says_how_far_it_is(data, capsys):
    X, y = data
    retriever = retriever_of(X, y, verbose=True)
    retriever.kneighbors(X)
    printed = capsys.readouterr().out
    assert "[HierarchicalRetriever] hierarchy and class model in" in printed
    assert f"[HierarchicalRetriever] leaves of {len(X)} samples in" in printed
    assert f"[HierarchicalRetriever] searched {len(X)} of {len(X)} queries in" in printed
    with config_context(working_memory=0.05):
        retriever.kneighbors(X)
    printed = capsys.readouterr().out
    assert " s left" in printed
    retriever.set_params(verbose=False).kneighbors(X)
    assert capsys.readouterr().out == ""


def test_ids_are_not_rounded(data):
    X, y = data
    retriever = retriever_of(X, y)
    for first, later in (
        (np.arange(3, dtype=np.uint64) + 2**63, np.array([-1])),
        (np.arange(3, dtype=np.uint64) + 2**60, np.array([-1])),
        ([2**63, -1, 2**63 + 1], [5]),
        ([2**62, 2**62 + 1, 2**62 + 2], [0.5]),
        (np.array([1.5, 2.5, 3.5]), np.array([2**60 + 1])),
    ):
        retriever.set_gallery(X[:3], y[:3], ids=first).add_to_gallery(X[3:4], y[3:4], ids=later)
        expected = [*np.asarray(first, dtype=object).tolist(), *np.asarray(later, dtype=object).tolist()]
        assert retriever.gallery_ids_.tolist() == expected
        assert (
            retriever.remove_from_gallery([expected[1]]).gallery_ids_.tolist() == expected[:1] + expected[2:]
        )
    with pytest.raises(ValueError, match="text and bytes never match"):
        retriever.set_gallery(X[:2], y[:2], ids=["a", "b"]).add_to_gallery(X[:1], y[:1], ids=[b"c"])


@pytest.mark.parametrize(
    "labels", [[0.0, np.nan], np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), np.array(["a", None])]
)
def test_labels_and_ids_are_there(data, labels):
    X, y = data
    retriever = retriever_of(X, y)
    with pytest.raises(ValueError, match="Some labels are missing"):
        retriever.set_gallery(X[:2], labels)
    with pytest.raises(ValueError, match="Some ids are missing"):
        retriever.set_gallery(X[:2], y[:2], ids=labels)
    assert retriever.n_samples_fit_ == 60


def test_parameters_set_after_fit_are_checked(data):
    X, y = data
    for bad in ({"alpha": "x"}, {"assignment": "x"}, {"stem": 2}):
        retriever = retriever_of(X, y).set_params(**bad)
        for change in (retriever.set_gallery, retriever.add_to_gallery):
            with pytest.raises(ValueError, match=f"The {next(iter(bad))!r} parameter"):
                change(X[:2], y[:2])


def test_masks_of_objects_and_classes_that_are_boolean(data):
    X, y = data
    retriever = retriever_of(X, y)
    mask = np.arange(60) % 3 == 0
    expected = retriever.kneighbors(X[60:70], 3, within=mask)[1]
    found = retriever.kneighbors(X[60:70], 3, within=mask.astype(object))[1]
    np.testing.assert_array_equal(found, expected)
    two = HierarchicalRetriever(alpha=1.0, gallery_leaves="labels").fit(X[:60], y[:60] > 1)
    found = two.kneighbors(X[60:70], 3, within=[True])[1]
    np.testing.assert_array_equal(found, two.kneighbors(X[60:70], 3, within=y[:60] > 1)[1])
    with pytest.raises(ValueError, match=r"A mask of shape \(1,\)"):
        retriever.kneighbors(X[60:70], 3, within=[True])


def test_a_gallery_that_rolls_stays_small(data):
    """Samples come and go: what is gone leaves nothing behind, and nothing else changes."""
    X, y = data
    few = retriever_of(X, y, alpha=0.5)
    rng = np.random.default_rng(0)
    for start in range(0, 4000, 100):
        rows = rng.integers(0, 60, 100)
        few.add_to_gallery(X[rows], y[rows], ids=np.arange(start, start + 100) + 100)
        few.remove_from_gallery(few.gallery_ids_[:-80])
        gallery = few.searcher().gallery
        assert gallery.samples.n_ever <= 2 * 80 + 1024 + 100
        fresh = retriever_of(X, y, alpha=0.5).set_gallery(X[rows[-80:]], y[rows[-80:]])
        assert few.gallery_ids_.tolist() == list(range(start + 120, start + 200))
        for found, expected in zip(few.kneighbors(X[60:64], 5), fresh.kneighbors(X[60:64], 5), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert len(pickle.dumps(few)) < 2 * len(pickle.dumps(fresh))


def test_training_samples_keep_their_leaves_when_numbered_anew(data):
    X, y = data
    retriever = retriever_of(X, y)
    before = retriever.leaves()
    retriever.remove_from_gallery(retriever.gallery_ids_[:20])
    searcher = retriever.searcher()
    compacted = searcher.gallery.compacted()
    assert compacted.samples.n_ever == 40
    retriever = retriever.with_searcher(replace(searcher, gallery=compacted))
    np.testing.assert_array_equal(retriever.leaves(), before[20:])
    retriever.set_params(assignment="hard")
    np.testing.assert_array_equal(retriever.leaves(), before[20:])


def test_no_addition_is_lost(data):
    X, y = data
    retriever = retriever_of(X, y)

    def add(thread):
        for i in range(20):
            row = (20 * thread + i) % len(X)
            retriever.add_to_gallery(X[row : row + 1], y[row : row + 1], ids=[1000 + 20 * thread + i])

    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(retriever.gallery_ids_.tolist()) == [*range(60), *range(1000, 1120)]


@pytest.mark.slow
def test_readers_see_one_gallery_whatever_writers_do(data):
    """Each answer is that of one of two galleries that take turns, whole."""
    X, y = data
    galleries = [(X[:60], y[:60]), (X[60:100], (y[60:100] + 3) % 6)]
    retriever = retriever_of(X, y, n_neighbors=3)
    Q, t = X[100:110], y[100:110]
    allowed = {"predict": set(), "score": set(), "retrieve": set(), "proba": set()}

    def answers():
        table = retriever.retrieve(Q, 3)
        yield "predict", tuple(retriever.predict(Q).tolist())
        yield "proba", retriever.predict_proba(Q).tobytes()
        yield "score", round(retriever.score(Q, t), 12)
        yield "retrieve", tuple(zip(table["id"], table["label"], table["distance"].round(9), strict=True))

    for gallery in galleries:
        retriever.set_gallery(*gallery)
        for name, answer in answers():
            allowed[name].add(answer)
    end, wrong, n_answers = time.monotonic() + 30, [], [0]

    def read():
        while time.monotonic() < end and not wrong:
            for name, answer in answers():
                n_answers[0] += 1
                if answer not in allowed[name]:
                    wrong.append((name, answer))

    def write():
        while time.monotonic() < end and not wrong:
            for gallery in galleries:
                retriever.set_gallery(*gallery)

    threads = [threading.Thread(target=target) for target in (read, read, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert n_answers[0] > 100


class CountingNB(GaussianNB):
    n_fits = 0

    def fit(self, X, y):
        type(self).n_fits += 1
        return super().fit(X, y)


def test_held_out_leaves_are_computed_once_whatever_comes_and_goes(data):
    X, y = data
    retriever = HierarchicalRetriever(alpha=1.0, class_model=CountingNB()).fit(X, y)
    before = retriever.leaves()
    n_fits = CountingNB.n_fits
    for i in range(3):
        retriever.add_to_gallery(X[i : i + 1], y[i : i + 1])
        retriever.kneighbors(n_neighbors=3)
        retriever.remove_from_gallery([i])
        retriever.kneighbors(n_neighbors=3)
    np.testing.assert_array_equal(retriever.leaves()[: len(X) - 3], before[3:])
    assert CountingNB.n_fits == n_fits
    assert n_fits == 4


@pytest.mark.parametrize("alpha", [0, 1.0])
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_ids_of_an_emptied_gallery_can_be_used_again(data, alpha, assignment):
    X, y = data
    retriever = retriever_of(X, y, alpha=alpha, assignment=assignment)
    retriever.remove_from_gallery(retriever.gallery_ids_)
    assert retriever.n_samples_fit_ == 0
    retriever.add_to_gallery(X[:20], y[:20], ids=np.arange(20))
    fresh = retriever_of(X, y, alpha=alpha, assignment=assignment).set_gallery(X[:20], y[:20])
    for Q in (X[20:25], None):
        for found, expected in zip(retriever.kneighbors(Q, 5), fresh.kneighbors(Q, 5), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_what_is_in_a_gallery_needs_no_valid_parameters(data):
    X, y = data
    retriever = retriever_of(X, y).set_params(n_neighbors=0)
    assert len(retriever.gallery_ids_) == 60
    with pytest.raises(ValueError, match="n_neighbors"):
        retriever.kneighbors(X[:1])


@pytest.mark.parametrize("is_small", [True, False])
def test_reading_changes_nothing_and_both_sets_of_leaves_stay(data, is_small, monkeypatch):
    X, y = data
    expected = retriever_of(X, y).kneighbors(None, 3)
    monkeypatch.setattr("sklearn_hierret.retrieval._gallery.SMALL", 1 << 26 if is_small else 0)
    retriever = retriever_of(X, y)
    gallery = retriever.searcher().gallery
    states = []
    for _ in range(2):
        retriever.leaves()
        retriever.kneighbors(X[:5], 3)
        retriever.kneighbors(None, 3)
        states.append([id(view) for view in vars(gallery)["views"].values()])
    assert states[0] == states[1]
    assert len(states[0]) == 2
    assert retriever.searcher().gallery is gallery
    own, new = (retriever.searcher().leaves.view(of_gallery=of) for of in (True, False))
    assert (own.index.rows.unit is new.index.rows.unit) == (not is_small)  # no copy of many features
    for found, wanted in zip(retriever.kneighbors(None, 3), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_frozen_class_model_of_other_features(data):
    X, y = data
    frozen = FrozenEstimator(DiscriminantClassifier().fit(X[:, :2], y))
    with pytest.raises(ValueError, match="is expecting 2 features"):
        HierarchicalRetriever(LinkageHierarchyBuilder(), class_model=frozen).fit(X, y)


def test_added_labels_are_checked_as_those_of_a_gallery_are(data):
    X, y = data
    retriever = retriever_of(X, y, alpha=0, gallery_leaves="labels", novelty=False, new_classes="ignore")
    with pytest.raises(ValueError, match="hierarchy lacks these labels"):
        retriever.add_to_gallery(X[:3], y[:3] + 100)
    assert retriever.n_samples_fit_ == 60
