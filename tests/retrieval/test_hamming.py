import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import Pipeline

from sklearn_hierret import (
    ClassHierarchy,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchyBuilder,
    ITQHasher,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    evaluate_retrieval,
    make_retrieval_scorer,
    map_at_k,
)
from sklearn_hierret.hashing import unpack_signs
from tests.reference import hashing as reference
from tests.strategies import examples, generators

TREE = ClassHierarchy.from_newick("((a,b),(c,d));")


@pytest.fixture
def data(rng):
    """Codes of 24 bits around a centre of each class, and labels."""
    centres = rng.integers(0, 2, (4, 24))
    labels = rng.integers(0, 4, 150)
    bits = centres[labels] ^ (rng.random((150, 24)) < 0.2)
    codes, y = np.packbits(bits, axis=1), np.array(list("abcd"))[labels]
    return codes[:110], y[:110], codes[110:], y[110:]


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0, 0.3, 4.0, np.inf])
@pytest.mark.parametrize("hierarchy", [TREE, HierarchyBuilder(0.3), LinkageHierarchyBuilder()])
def test_kneighbors_equals_sorting_all_distances(data, assignment, alpha, hierarchy):
    X, y, Q, _ = data
    retriever = HammingRetriever(hierarchy, alpha=alpha, assignment=assignment, stem=0.25).fit(X, y)
    retriever.set_gallery(X, y, gallery_leaves="predicted")
    model, tree = retriever.class_model_, retriever.hierarchy_.with_stem(0.25)
    U = tree.distance(model.classes_[:, None], model.classes_[None, :])
    for queries in (Q, None):
        own = X if queries is None else queries
        if assignment == "hard":
            mine, theirs = (np.searchsorted(model.classes_, model.predict(unpack_signs(x))) for x in (own, X))
            H = U[mine][:, theirs]
        else:
            H = model.predict_proba(unpack_signs(own)) @ U @ model.predict_proba(unpack_signs(X)).T
        k = 40
        expected = reference.neighbours(own, X, k, alpha, H, queries is None)
        distances, indices = retriever.kneighbors(queries, n_neighbors=k)
        np.testing.assert_allclose(distances, expected[0], atol=1e-6)
        if assignment == "hard":  # probabilities are rounded to float32, where ties may break
            np.testing.assert_array_equal(indices, expected[1])
        assert distances.dtype == np.float64


def test_without_labels(data):
    X, _, Q, _ = data
    retriever = HammingRetriever().fit(X)
    distances, indices = retriever.kneighbors(Q, n_neighbors=7)
    expected = reference.neighbours(Q, X, 7)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=0, atol=1e-12)
    assert retriever.n_samples_fit_ == 110
    assert retriever.hierarchy_ is retriever.class_model_ is None
    table = retriever.retrieve(Q[:2], n_neighbors=3)
    assert list(table) == ["query", "rank", "id", "label", "distance", "hamming_distance"]
    for ask in (retriever.predict, retriever.predict_proba):
        with pytest.raises(ValueError, match="gallery has no labels"):
            ask(Q)
    assert HammingRetriever(alpha="auto").fit(X).alpha_ == 0
    for asked in ({"alpha": 1.0}, {"hierarchy": TREE}, {"class_model": BernoulliNB()}):
        with pytest.raises(ValueError, match="requires y to be passed"):
            HammingRetriever(**asked).fit(X)
    with pytest.raises(ValueError, match="There are no leaves: fit with labels"):
        retriever.set_params(alpha=1.0).kneighbors(Q)
    with pytest.raises(ValueError, match="There are no leaves"):
        retriever.leaves(Q)


def test_labels_may_come_with_the_gallery(data):
    X, y, Q, t = data
    retriever = HammingRetriever(n_neighbors=3).fit(X).set_gallery(X, y)
    assert retriever.classes_.tolist() == list("abcd")
    assert retriever.score(Q, t) == HammingRetriever(n_neighbors=3, alpha=0).fit(X, y).score(Q, t)


def test_predict_and_score(data):
    X, y, Q, t = data
    retriever = HammingRetriever(n_neighbors=9, alpha=0).fit(X, y)
    indices = reference.neighbours(Q, X, 9)[1]
    votes = np.array([[np.mean(y[row] == c) for c in "abcd"] for row in indices])
    np.testing.assert_allclose(retriever.predict_proba(Q), votes)
    assert retriever.predict(Q).tolist() == [list("abcd")[i] for i in votes.argmax(axis=1)]
    n_relevant = [np.sum(y == label) for label in t]
    assert retriever.score(Q, t) == pytest.approx(map_at_k(t, y[indices], 9, n_relevant=n_relevant))
    assert is_classifier(retriever)


def test_retrieve_shows_both_parts(data):
    X, y, Q, _ = data
    retriever = (
        HammingRetriever(TREE, alpha=0.5).fit(X, y).set_gallery(X, y, ids=[f"i{i}" for i in range(110)])
    )
    table = retriever.retrieve(Q[:5], n_neighbors=4)
    assert len(table) == 20
    total = table["hamming_distance"] + 0.5 * table["hierarchical_distance"]
    np.testing.assert_allclose(table["distance"], total)
    stemmed = TREE.with_stem(0.5)  # that of a given hierarchy
    np.testing.assert_allclose(
        table["hierarchical_distance"], stemmed.distance(table["query_leaf"], table["leaf"])
    )
    np.testing.assert_array_equal(table["leaf"], table["label"])
    item = table["id"].str[1:].astype(int)
    expected = [reference.hamming(Q[q], X[i]) / 24 for q, i in zip(table["query"], item, strict=True)]
    np.testing.assert_allclose(table["hamming_distance"], expected)
    np.testing.assert_array_equal(table["label"], y[item])


@pytest.mark.parametrize("alpha", [0, 1.0])
@given(rng=generators())
@settings(max_examples=examples(25))
def test_galleries_grow_and_shrink(alpha, rng):
    codes = rng.integers(0, 256, (60, 1), dtype=np.uint8)
    y = np.array(list("abcd"))[rng.integers(0, 4, 60)]
    y[:4] = list("abcd")
    retriever = HammingRetriever(TREE, alpha=alpha).fit(codes[:20], y[:20]).set_gallery(codes[:20], y[:20])
    alive = list(range(20))
    for start in (20, 33, 41):
        size = int(rng.integers(1, 8))
        retriever.add_to_gallery(
            codes[start : start + size], y[start : start + size], ids=range(start, start + size)
        )
        alive += range(start, start + size)
        gone = rng.choice(alive, size=int(rng.integers(0, 6)), replace=False)
        retriever.remove_from_gallery(gone)
        alive = [i for i in alive if i not in set(gone.tolist())]
        anew = copy.copy(retriever).set_gallery(codes[alive], y[alive], ids=alive)
        np.testing.assert_array_equal(retriever.gallery_ids_, alive)
        for queries in (codes[:5], None):
            for one, other in zip(retriever.kneighbors(queries, 4), anew.kneighbors(queries, 4), strict=True):
                np.testing.assert_array_equal(one, other)


def test_search_within(data):
    X, y, Q, _ = data
    retriever = HammingRetriever(TREE, alpha=0.0).fit(X, y)
    is_chosen = np.isin(y, ["c", "d"])  # the leaves of a labelled gallery
    rows = np.flatnonzero(is_chosen)
    expected = reference.neighbours(Q, X[rows], 6)
    for within in (["c", "d"], TREE.members(TREE.lca("c", "d")), is_chosen):
        distances, indices = retriever.kneighbors(Q, 6, within=within)
        np.testing.assert_array_equal(indices, rows[expected[1]])
        np.testing.assert_allclose(distances, expected[0], rtol=0, atol=1e-12)
    few = np.zeros(110, dtype=bool)
    few[:3] = True
    distances, indices = retriever.kneighbors(Q, 5, within=few)
    assert np.all(indices[:, 3:] == -1)
    assert np.all(np.isinf(distances[:, 3:]))


def test_class_models_see_signs(data):
    X, y, Q, _ = data
    for model in (MahalanobisClassifier(), BernoulliNB(binarize=0)):
        retriever = HammingRetriever(TREE, alpha=1.0, class_model=model).fit(X, y)
        expected = model.fit(unpack_signs(X), y).predict(unpack_signs(Q))
        np.testing.assert_array_equal(retriever.leaves(Q), expected)
    assert isinstance(HammingRetriever(alpha=1.0).fit(X, y).class_model_, DiscriminantClassifier)


def test_classes_of_one_code_each():
    """As a good hashing network makes them: nothing varies within a class."""
    codes = np.array([[0, 0], [0, 255], [255, 1]], dtype=np.uint8)
    y = np.repeat(["a", "b", "c"], 5)
    retriever = HammingRetriever(alpha=1.0, n_neighbors=5).fit(np.repeat(codes, 5, axis=0), y)
    query = np.array([[0, 3]], dtype=np.uint8)
    assert retriever.leaves(query).tolist() == ["a"]
    assert retriever.retrieve(query)["label"].tolist() == ["a"] * 5
    assert retriever.hierarchy_.distance("a", "c") == 1


def test_threads_and_copies_change_nothing(data):
    X, y, Q, _ = data
    retriever = HammingRetriever(TREE, alpha=0.5).fit(X, y)
    expected = retriever.kneighbors(Q, 10)
    for other in (
        copy.deepcopy(retriever),
        pickle.loads(pickle.dumps(retriever)),
        clone(retriever).fit(X, y),
        HammingRetriever(TREE, alpha=0.5, n_jobs=2).fit(X, y),
    ):
        np.testing.assert_array_equal(other.kneighbors(Q, 10), expected)
    one_by_one = np.concatenate([retriever.kneighbors(Q[i : i + 1], 10, False) for i in range(len(Q))])
    np.testing.assert_array_equal(one_by_one, expected[1])


def test_verbose(data, capsys):
    X, y, Q, _ = data
    HammingRetriever(TREE, alpha=0.5, verbose=True).fit(X, y).kneighbors(Q)
    out = capsys.readouterr().out
    assert "[HammingRetriever] leaves of 40 samples" in out
    assert "searched 40 of 40 queries" in out


def test_published_protocol_against_loops(data):
    """mAP, mAHP and nDCG of whole and cut rankings, ties in the order of the gallery and averaged."""
    from tests.reference import metrics

    X, y, Q, t = data
    retriever = HammingRetriever(alpha=0).fit(X, y)
    similarity = dict(
        zip(((a, b) for a in "abcd" for b in "abcd"), TREE.similarity_matrix().ravel(), strict=True)
    )
    levels = dict(
        zip(((a, b) for a in "abcd" for b in "abcd"), TREE.similarity_matrix("levels").ravel(), strict=True)
    )
    ranked = y[reference.neighbours(Q, X, len(X))[1]]
    n_relevant = {c: int(np.sum(y == c)) for c in "abcd"}

    def mean(values):
        return np.mean(list(values))

    def table(names, k, **params):
        found = evaluate_retrieval(retriever, Q, t, [k], names, gallery="fit", **params)
        return dict(zip(found["metric"], found["score"], strict=True))

    found = table(["map"], 110, denominator="relevant")
    expected = mean(
        metrics.average_precision(c, row, 110, n_relevant[c], "relevant")
        for c, row in zip(t, ranked, strict=True)
    )
    assert found["map"] == pytest.approx(expected, abs=1e-10)
    # Over a whole ranking, all relevant items are hits.
    assert table(["map"], 110, denominator="hits")["map"] == pytest.approx(expected, abs=1e-10)
    hits = mean(
        metrics.average_precision(c, row, 25, n_relevant[c], "hits") for c, row in zip(t, ranked, strict=True)
    )
    assert table(["map"], 25, denominator="hits")["map"] == pytest.approx(hits, abs=1e-10)
    ahp = mean(
        metrics.average_hierarchical_precision(c, row, y, 25, lambda a, b: similarity[a, b])
        for c, row in zip(t, ranked, strict=True)
    )
    assert table(["ahp"], 25, hierarchy=TREE)["ahp"] == pytest.approx(ahp, abs=1e-10)
    ndcg = mean(
        metrics.ndcg(
            c, row, y, 25, lambda a, b: levels[a, b], lambda i: 1.0 if i == 1 else np.log2(i), average=True
        )
        for c, row in zip(t, ranked, strict=True)
    )
    params = {"hierarchy": TREE, "similarity": "levels", "discount": "log2(rank)", "average": True}
    assert table(["ndcg"], 25, **params)["ndcg"] == pytest.approx(ndcg, abs=1e-10)


def test_averaged_ties_do_not_depend_on_the_order_of_the_gallery(data, rng):
    X, y, Q, t = data
    by_class, shuffled = np.argsort(y, kind="stable"), rng.permutation(len(y))
    scores: dict = {"index": [], "average": []}
    for order in (by_class, by_class[::-1], shuffled):
        retriever = HammingRetriever(alpha=0).fit(X[order, :1], y[order])  # 8 bits: ties everywhere
        for ties, found in scores.items():
            scorer = make_retrieval_scorer("map", k=110, gallery="fit", denominator="relevant", ties=ties)
            found.append(scorer(retriever, Q[:, :1], t))
    assert np.ptp(scores["average"]) < 1e-12
    assert np.ptp(scores["index"]) > 0.01


def test_searches_over_bits_and_alpha():
    X, y = load_digits(return_X_y=True)
    pipe = Pipeline([("codes", ITQHasher(random_state=0)), ("retriever", HammingRetriever())])
    grid = {
        "codes__n_bits": [8, 32],
        "retriever__alpha": [0.0, 1.0],
        "retriever__hierarchy": [LinkageHierarchyBuilder()],
    }
    search = GridSearchCV(pipe, grid, scoring=make_retrieval_scorer("map", k=20, gallery="query"), cv=2)
    search.fit(X[:600], y[:600])
    assert search.best_params_["codes__n_bits"] == 32
    assert search.best_params_["retriever__alpha"] == 1.0


BAD = {
    "floats": (lambda X, y: (X / 255, y), TypeError, "dtype uint8, got float64"),
    "wider integers": (lambda X, y: (X.astype(int), y), TypeError, "dtype uint8, got int64"),
    "one code": (lambda X, y: (X[0], y[:1]), ValueError, r"shape \(n_samples, n_bits / 8\)"),
    "no codes": (lambda X, y: (X[:0], y[:0]), ValueError, "0 samples"),
    "lengths": (lambda X, y: (X, y[:-1]), ValueError, "inconsistent numbers of samples"),
    "a class that the hierarchy lacks": (
        lambda X, y: (X, np.where(y == "a", "e", y)),
        ValueError,
        "'e'",
    ),
    "one class": (lambda X, y: (X, np.full(len(y), "a")), ValueError, "At least two classes"),
    "real targets": (lambda X, y: (X, np.random.default_rng(0).random(len(y))), ValueError, "label type"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_fits(data, case):
    X, y, Q, _ = data
    change, error, message = BAD[case]
    retriever = HammingRetriever(TREE, alpha=1.0).fit(X, y)
    before = retriever.kneighbors(Q)
    with pytest.raises(error, match=message):
        retriever.fit(*change(X, y))
    np.testing.assert_array_equal(retriever.kneighbors(Q), before)


def test_other_widths(data):
    X, y, Q, _ = data
    retriever = HammingRetriever().fit(X, y)
    for use in (retriever.kneighbors, retriever.set_gallery, retriever.add_to_gallery, retriever.predict):
        with pytest.raises(ValueError, match="X has 2 features, but HammingRetriever is expecting 3"):
            use(Q[:, :2])
        with pytest.raises(TypeError, match="dtype uint8"):
            use(Q.astype(np.float32))


def test_a_missing_backend(data, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        HammingRetriever(backend="faiss").fit(data[0])
    with pytest.raises(ValueError, match="backend"):
        HammingRetriever(backend="annoy").fit(data[0])


def test_columns_have_names(data):
    X, y, Q, _ = data
    frame, queries = (pd.DataFrame(codes, columns=["a", "b", "c"]) for codes in (X, Q))
    retriever = HammingRetriever().fit(frame, y)
    assert retriever.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(retriever.kneighbors(queries), HammingRetriever().fit(X, y).kneighbors(Q))
    with pytest.raises(ValueError, match="feature names should match"):
        retriever.kneighbors(queries[["c", "b", "a"]])


def test_distances_that_are_equal_but_for_rounding():
    """7 / 24 + 1 / 2 and 19 / 24 are not the same float."""
    near, far = np.zeros(24, dtype=int), np.zeros(24, dtype=int)
    near[:7], far[:19] = 1, 1
    codes = np.packbits([far, near, far, near], axis=1)
    tree = ClassHierarchy.from_levels([[0, 1, 2], [0, 0, 1], [0, 0, 0]], ["own", "other", "third"])

    class Known(BernoulliNB):
        def predict(self, X):  # by the number of bits, which is 0, 19 or 7
            return self.classes_[[{0: 1, 19: 1, 7: 0, 24: 2}[int(n)] for n in (X > 0).sum(axis=1)]]

    y = np.array(["own", "other", "own", "third"])
    retriever = HammingRetriever(tree, alpha=1.0, class_model=Known(), stem=0).fit(codes, y)
    retriever.set_gallery(codes, y, gallery_leaves="predicted")
    assert tree.distance("own", "other") == 0.5
    distances, indices = retriever.kneighbors(np.zeros((1, 3), dtype=np.uint8), 4)
    assert indices.tolist() == [[0, 1, 2, 3]]
    assert len(np.unique(distances)) == 1


def test_removing_leaves_nothing_behind(data):
    X, y, _, _ = data
    retriever = HammingRetriever(TREE, alpha=0.5).fit(X, y).remove_from_gallery([3, 4])
    assert len(retriever.searcher().gallery.index) == 108
    retriever.remove_from_gallery(retriever.gallery_ids_)
    assert retriever.n_samples_fit_ == 0
    retriever.add_to_gallery(X[:3], y[:3])
    np.testing.assert_array_equal(retriever.kneighbors(X[:1], 3)[1][0, 0], 0)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_averaged_ties_within_little_memory(leave_one_out):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (3, 2), dtype=np.uint8)[rng.integers(0, 3, 300)]
    X[::9] = rng.integers(0, 256, (34, 2), dtype=np.uint8)
    y = rng.integers(0, 3, 300)
    retriever = HammingRetriever().fit(X, y)
    scorer = make_retrieval_scorer("map", k=4, gallery="query" if leave_one_out else "fit", ties="average")
    expected = scorer(retriever, X, y)
    with config_context(working_memory=0.05):
        assert scorer(retriever, X, y) == pytest.approx(expected, abs=1e-12)


def test_infinite_alpha_does_not_tell_ties(data):
    X, y, Q, t = data
    scorer = make_retrieval_scorer("map", k=5, gallery="fit", ties="average")
    with pytest.raises(ValueError, match="alpha=1e6 ranks alike"):
        scorer(HammingRetriever(TREE, alpha=np.inf).fit(X, y), Q, t)
