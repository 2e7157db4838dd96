"""Words as queries: probabilities by hand, rankings by brute force."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever
from sklearn_hierret.interaction import TextSearch
from tests.strategies import blobs

TREE = ClassHierarchy.from_newick("((carp,trout)fish,((finch,robin)songbird,owl)bird)animal;")
LETTERS = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=512).transform


@pytest.fixture
def data(rng):
    X, codes = blobs(rng, n_classes=5, n_features=6, spread=1.5)
    y = np.array(TREE.classes.tolist())[codes]
    return X[:60], y[:60], X[60:], y[60:]


def fitted(data, **params):
    X, y, gallery, labels = data
    retriever = HierarchicalRetriever(TREE, **{"alpha": 2.0, "novelty": False, **params}).fit(X, y)
    return retriever.set_gallery(gallery, labels, new_classes="ignore"), labels


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fish", {"carp": 0.5, "trout": 0.5}),
        ("owl", {"owl": 1}),
        (["songbird", "owl"], {"finch": 0.25, "robin": 0.25, "owl": 0.5}),
        ({"songbird": 3, "owl": 1}, {"finch": 0.375, "robin": 0.375, "owl": 0.25}),
        ({"fish", "carp"}, {"carp": 0.75, "trout": 0.25}),
    ],
)
def test_names_become_probabilities(data, words, expected):
    search = TextSearch(fitted(data)[0])
    proba = dict(zip(TREE.classes.tolist(), search.class_probabilities(words).tolist(), strict=True))
    assert proba == pytest.approx({name: expected.get(name, 0) for name in TREE.classes.tolist()})


def test_free_text_is_most_like_its_class_or_what_is_above(data):
    search = TextSearch(fitted(data)[0], LETTERS, {"finch": "a small finch", "fish": "swimmers"})
    order = TREE.classes.tolist()
    assert order[search.class_probabilities("some small finches").argmax()] == "finch"
    proba = search.class_probabilities("good swimmers")
    assert {order[i] for i in np.argsort(-proba)[:2]} == {"carp", "trout"}
    assert proba.sum() == pytest.approx(1)
    assert (
        TextSearch(fitted(data)[0], LETTERS).class_probabilities("owl").max() == 1
    )  # a name is no free text


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_words_beside_images_by_hand(data, assignment, alpha):
    retriever, _ = fitted(data, assignment=assignment, alpha=alpha, metric="cosine", stem=0.3)
    X, gallery = data[0][:7], data[2]
    search = TextSearch(retriever)
    words = search.class_probabilities(["fish", "owl"])
    proba = retriever.class_model_.predict_proba(X) * words
    proba /= proba.sum(axis=1, keepdims=True)
    tree = TREE.with_stem(0.3)
    D_H = proba @ tree.distance(TREE.classes[:, None], retriever.gallery_labels_)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, gallery)]
    D = 1 - unit[0] @ unit[1].T + alpha * D_H
    distances, indices = search.kneighbors(["fish", "owl"], X, 10)
    np.testing.assert_array_equal(indices, np.argsort(D, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(distances, np.sort(D, axis=1)[:, :10], atol=1e-6)


def test_words_alone_by_hand(data):
    retriever, labels = fitted(data, stem=0.3)
    gallery = data[2].copy()
    gallery[3] = 0  # a row that equals no words
    retriever.set_gallery(gallery, labels, new_classes="ignore", metadata={"price": np.arange(len(labels))})
    search = TextSearch(retriever)
    D_H = search.class_probabilities("bird") @ TREE.with_stem(0.3).distance(TREE.classes[:, None], labels)
    distances, indices = search.kneighbors("bird", n_neighbors=len(labels))
    np.testing.assert_array_equal(indices[0], np.argsort(D_H, kind="stable"))
    np.testing.assert_allclose(distances[0], np.sort(D_H), atol=1e-6)
    table = search.retrieve("bird", n_neighbors=3, where="price >= 20", columns=["price"])
    assert (table["price"] >= 20).all()
    assert set(table["label"]) <= {"finch", "robin", "owl"}
    assert "visual_distance" not in table
    only = search.kneighbors("bird", None, 1, within={"positions": [7]}, return_distance=False)
    assert only.tolist() == [[7]]


def test_clusters_keep_what_an_image_gives_them():
    X, y = load_digits(return_X_y=True)
    is_known = y < 7
    retriever = HierarchicalRetriever(ClassHierarchy.flat(range(7)), alpha=2).fit(
        X[:900][is_known[:900]], y[:900][is_known[:900]]
    )
    retriever.set_gallery(X[900:])
    found = retriever.discovered_["leaf"].tolist()
    assert found
    search = TextSearch(retriever, LETTERS, {0: "zero", 1: "one"})
    is_new = np.isin(np.arange(900, len(X)), np.flatnonzero(~is_known))
    queries = X[:900][~is_known[:900]][:20]
    near = search.kneighbors([0, 1], queries, 5, return_distance=False)
    assert is_new[near].mean() > 0.6  # these words rule out known classes alone
    alone = search.kneighbors(found[0], n_neighbors=5, return_distance=False)
    assert is_new[alone].mean() > 0.6
    assert np.isfinite(search.kneighbors(found[0], queries, 5)[0]).all()
    assert search.class_probabilities("an unknown text").min() > 0


def test_pipelines_and_galleries_that_change(data):
    X, y, gallery, labels = data
    pipe = make_pipeline(StandardScaler(), HierarchicalRetriever(TREE, alpha=1)).fit(X, y)
    search = TextSearch(pipe)
    direct = TextSearch(pipe[-1]).kneighbors("fish", pipe[0].transform(gallery[:3]), 4)
    np.testing.assert_array_equal(search.kneighbors("fish", gallery[:3], 4)[1], direct[1])
    pipe[-1].add_to_gallery(pipe[0].transform(gallery), labels)
    assert search.kneighbors("fish", n_neighbors=len(X) + 1)[1].shape[1] == len(X) + 1
    pipe[-1].add_to_gallery(pipe[0].transform(gallery[:9]), ["wolf"] * 9)
    with pytest.raises(RuntimeError, match="tree has changed"):
        search.kneighbors("fish")
    assert TextSearch(pipe).class_probabilities("wolf")[-1] == 1


def test_bad_words(data):
    search = TextSearch(fitted(data)[0])
    for words, message in (
        ("a plane", "no class and no node"),
        (["fish", "plane"], "no class and no node"),
        ([], "no words"),
        ({"fish": 0}, "must be positive"),
        ({"fish": np.nan}, "must be positive"),
        ({"fish": "much"}, "must be positive"),
        ("", "no class and no node"),
    ):
        with pytest.raises(ValueError, match=message):
            search.kneighbors(words)
    with pytest.raises(ValueError, match="no class and no node"):
        TextSearch(fitted(data)[0], LETTERS).kneighbors("  ")
    with pytest.raises(ValueError, match="pass SentenceTransformer"):
        TextSearch(fitted(data)[0], "a model's name")
    combined = HierarchicalRetriever([TREE, ClassHierarchy.flat(TREE.classes)]).fit(*data[:2])
    with pytest.raises(ValueError, match="need one tree"):
        TextSearch(combined)
