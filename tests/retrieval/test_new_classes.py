"""Galleries with classes that were not there at fit: labels teach, and so do clusters."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_hierret import ClassHierarchy, CombinedHierarchy, HierarchicalRetriever
from sklearn_hierret.metrics import average_precision_at_k

N_KNOWN, N_ALL = 12, 16


@pytest.fixture(scope="module")
def data():
    """Samples of classes around directions, the first twelve of which are known: training set and gallery."""
    rng = np.random.default_rng(0)
    means = 1.2 * rng.normal(size=(N_ALL, 16))
    y = np.repeat(np.arange(N_ALL), 50)
    X = means[y] + rng.normal(size=(len(y), 16))
    first = np.arange(len(y)) % 2 == 0
    train = first & (y < N_KNOWN)
    return X[train], y[train], X[~first], y[~first]


@pytest.fixture(scope="module")
def fitted(data):
    return HierarchicalRetriever().fit(*data[:2])


def precision_of(retriever, Q, t, gallery_labels):
    ranked = gallery_labels[retriever.kneighbors(Q, 20, return_distance=False)]
    counts = np.bincount(gallery_labels, minlength=N_ALL)[t]
    return average_precision_at_k(t, ranked, 20, n_relevant=counts)


@pytest.mark.parametrize("labelled", [True, False])
def test_queries_of_new_classes_gain_and_those_of_known_ones_keep_theirs(data, fitted, labelled):
    _, _, G, t = data
    Q, gallery = np.arange(len(t)) % 3 == 0, np.arange(len(t)) % 3 != 0
    labels = t[gallery]
    new = t[Q] >= N_KNOWN
    ours = fitted.with_gallery(G[gallery], labels if labelled else None)
    ignoring = fitted.with_gallery(G[gallery], labels if labelled else None, new_classes="ignore")
    cosine = HierarchicalRetriever(alpha=0, metric="cosine").fit(*data[:2]).set_gallery(G[gallery])
    scores = [precision_of(r, G[Q], t[Q], labels) for r in (ours, ignoring, cosine)]
    for of_others in scores[1:]:
        assert scores[0][new].mean() > of_others[new].mean() + 0.02
    assert scores[0][~new].mean() > scores[2][~new].mean() + 0.02


def test_labels_become_leaves_at_once(data, fitted):
    _, _, G, t = data
    retriever = fitted.with_gallery(G, t)
    assert retriever.gallery_hierarchy_.n_classes == N_ALL
    assert retriever.hierarchy_ == fitted.hierarchy_
    table = retriever.retrieve(G[t >= N_KNOWN] + 0.01, 3)
    assert (table["leaf"] == table["label"]).all()
    assert (table["query_known"] == 1).all()
    assert np.mean(retriever.leaves(G + 0.01) == t) > 0.9
    assert np.mean(retriever.predict(G + 0.01) == t) > 0.9
    before = fitted.hierarchy_.distance_matrix()
    after = retriever.gallery_hierarchy_.restrict(fitted.hierarchy_.classes).distance_matrix()
    np.testing.assert_array_equal(after, before)


def test_one_row_is_enough_and_the_last_one_takes_its_leaf_away(data, fitted):
    _, _, G, t = data
    known = t < N_KNOWN
    grown = fitted.with_gallery(G[known], t[known]).add_to_gallery(G[~known][:1], t[~known][:1], [9999])
    assert grown.gallery_hierarchy_.classes[-1] == N_KNOWN
    whole = fitted.with_gallery(np.vstack([G[known], G[~known][:1]]), np.append(t[known], N_KNOWN))
    for one, other in zip(grown.kneighbors(G, 9), whole.kneighbors(G, 9), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    shrunk = grown.remove_from_gallery([9999])
    assert shrunk.gallery_hierarchy_.n_classes == N_KNOWN
    closed = fitted.with_gallery(G[known], t[known])
    np.testing.assert_allclose(shrunk.kneighbors(G, 9)[0], closed.kneighbors(G, 9)[0], atol=1e-6)


def test_a_gallery_that_grows_and_shrinks_is_that_which_was_set(data, fitted, rng):
    _, _, G, t = data
    order = rng.permutation(len(t))
    parts = np.array_split(order, 4)
    grown = fitted.with_gallery(G[parts[0]], t[parts[0]], ids=parts[0])
    for part in parts[1:]:
        grown.add_to_gallery(G[part], t[part], ids=part)
    gone = order[t[order] == N_KNOWN][:20].tolist() + order[:30].tolist()
    gone = sorted(set(gone))
    grown.remove_from_gallery(gone)
    left = order[~np.isin(order, gone)]
    whole = fitted.with_gallery(G[left], t[left], ids=left)
    for queries in (G[::5] + 0.01, None):
        np.testing.assert_allclose(
            grown.kneighbors(queries, 9)[0], whole.kneighbors(queries, 9)[0], atol=1e-5
        )


def test_no_label_of_a_row_changes_its_own_distances(data, fitted, rng):
    """Where gallery samples are queries, neither they nor what they are compared with know their labels."""
    _, _, G, t = data
    expected = fitted.with_gallery(G, t).kneighbors(None, 9)[0]
    for row in rng.integers(0, len(t), 5).tolist():
        for label in (0, N_KNOWN, 99):
            changed = t.copy()
            changed[row] = label
            found = fitted.with_gallery(G, changed).kneighbors(None, 9)[0]
            np.testing.assert_allclose(found[row], expected[row], atol=1e-6)


def test_permuted_labels_of_new_classes_bring_no_gain(data, fitted, rng):
    """Galleries that random labels have taught know them no better than other random labels."""
    _, _, G, t = data
    new, gains = np.flatnonzero(t >= N_KNOWN), []
    for _ in range(6):
        permuted, others = t.copy(), t.copy()
        permuted[new], others[new] = rng.permutation(t[new]), rng.permutation(t[new])
        ranked = fitted.with_gallery(G, permuted).kneighbors(None, 20, return_distance=False)[new]
        # Not by average precision: it rewards results of one label, whether or not it is the right one.
        precisions = [np.mean(wanted[ranked] == wanted[new][:, None]) for wanted in (permuted, others)]
        gains.append(precisions[0] - precisions[1])
    assert abs(np.mean(gains)) < 0.01


def test_predicted_leaves_learn_nothing_from_labels(data, fitted, rng):
    _, _, G, t = data
    expected = fitted.with_gallery(G, new_classes="labels").kneighbors(G, 5)
    for labels in (t, rng.permutation(t)):
        retriever = fitted.with_gallery(G, labels, gallery_leaves="predicted")
        np.testing.assert_array_equal(retriever.kneighbors(G, 5), expected)


def test_tables_of_the_gallery_are_its_neighbours(data, fitted):
    _, _, G, t = data
    retriever = fitted.with_gallery(G, t, ids=np.arange(len(t)) + 500)
    table = retriever.retrieve(n_neighbors=3)
    distances, indices = retriever.kneighbors(None, 3)
    np.testing.assert_array_equal(table["id"].to_numpy().reshape(-1, 3), indices + 500)
    np.testing.assert_allclose(table["distance"].to_numpy().reshape(-1, 3), distances)
    weighed = table["visual_distance"] + min(1, fitted.alpha_) * table["hierarchical_distance"]
    np.testing.assert_allclose(table["distance"], weighed, atol=1e-9)


def test_given_trees_have_new_classes_below_the_root_or_where_they_know_them(data):
    X, y, G, t = data
    tree = ClassHierarchy.from_levels([range(14), np.arange(14) // 2, np.arange(14) // 4, [0] * 14])
    for hierarchy in (tree, CombinedHierarchy([tree, tree])):
        retriever = HierarchicalRetriever(hierarchy).fit(X, y).set_gallery(G, t)
        longer = retriever.gallery_hierarchy_
        np.testing.assert_array_equal(longer.classes, np.arange(N_ALL))
        assert longer.distance(12, 13) == tree.distance(12, 13)
        assert np.all(longer.distance(14, np.arange(14)) == 1)
        assert np.mean(retriever.leaves(G + 0.01) == t) > 0.9


def taxonomy(n=N_KNOWN):
    """Classes by threes, in groups that are called so."""
    groups = np.arange(n) // 3
    names = [*range(n), *(f"group {i}" for i in range(groups.max() + 1)), "root"]
    parents = [*(n + groups), *[n + groups.max() + 1] * (groups.max() + 1), -1]
    heights = [0] * n + [1] * (groups.max() + 1) + [2]
    return ClassHierarchy(np.arange(n), parents, heights, names)


def test_users_say_where_new_classes_stand(data):
    X, y, G, t = data
    fitted = HierarchicalRetriever(taxonomy()).fit(X, y)
    before = fitted.hierarchy_.distance_matrix()
    old = t != N_ALL - 1
    retriever = fitted.with_gallery(
        G[old], t[old], parents={N_KNOWN: "group 1", np.int64(N_KNOWN + 1): "group 3"}
    )

    def check(retriever, placed):
        tree = retriever.gallery_hierarchy_
        for label in np.unique(retriever.searcher().gallery.labels)[N_KNOWN:]:
            members = placed.get(label, [])
            expected = np.where(np.isin(tree.classes, [*members, label]), 0.5, 1.0)
            expected[tree.classes == label] = 0
            np.testing.assert_allclose(tree.distance(label, tree.classes), expected)
        np.testing.assert_allclose(tree.distance_matrix()[:N_KNOWN, :N_KNOWN], before)

    placed = {N_KNOWN: [3, 4, 5], N_KNOWN + 1: [9, 10, 11]}
    check(retriever, placed)
    retriever.add_to_gallery(G[~old], t[~old], parents={N_ALL - 1: "group 0"})
    placed[N_ALL - 1] = [0, 1, 2]
    check(retriever, placed)
    retriever.remove_from_gallery(retriever.gallery_ids_[:5])
    check(retriever, placed)
    check(pickle.loads(pickle.dumps(retriever)), placed)
    of_group = retriever.retrieve(G[t == 4], 150)["label"].to_numpy().reshape(-1, 150)
    unplaced = fitted.with_gallery(G, t).retrieve(G[t == 4], 150)["label"].to_numpy().reshape(-1, 150)
    assert np.mean(of_group == N_KNOWN) > 2 * np.mean(unplaced == N_KNOWN)
    retriever.partial_fit(X, y)
    check(retriever, placed)
    check(retriever.set_gallery(G, t), {})  # that was said of another gallery


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({N_KNOWN: "group 9"}, "no inner node with the name 'group 9'"),
        ({N_KNOWN: 3}, "no inner node with the name 3"),
        ({0: "group 1"}, "has the class 0 already"),
        ({99: "group 1"}, "teach no new class: 99"),
        (["group 1"], "must be a mapping"),
        ("group 1", "must be a mapping"),
    ],
)
def test_bad_parents_change_nothing(data, parents, message):
    X, y, G, t = data
    retriever = HierarchicalRetriever(taxonomy()).fit(X, y)
    before = retriever.searcher()
    for change in (retriever.set_gallery, retriever.add_to_gallery):
        with pytest.raises(ValueError, match=message):
            change(G, t, parents=parents)
        assert retriever.searcher() is before
    for how in ({"new_classes": "ignore"}, {"gallery_leaves": "predicted"}):
        with pytest.raises(ValueError, match="teach no new class"):
            retriever.set_gallery(G, t, parents={N_KNOWN: "group 1"}, **how)
    with pytest.raises(ValueError, match="parents"):
        retriever.set_gallery(G, parents={N_KNOWN: "group 1"})


def test_clusters_are_found_and_do_not_depend_on_the_order(data, fitted, rng):
    _, _, G, t = data
    retriever = fitted.with_gallery(G)
    table = retriever.discovered_
    assert table.columns.tolist() == ["leaf", "size", "central_ids", "probability_new", "node"]
    of_new = [np.mean(t[ids] >= N_KNOWN) for ids in table["central_ids"]]
    assert np.average(of_new, weights=table["size"]) > 0.8
    assert table["size"].sum() >= 0.7 * np.sum(t >= N_KNOWN)
    assert set(table["leaf"]).isdisjoint(fitted.classes_.tolist())
    order = rng.permutation(len(t))
    again = fitted.with_gallery(G[order], ids=order)
    assert again.discovered_["size"].tolist() == table["size"].tolist()
    np.testing.assert_allclose(again.kneighbors(G[:40], 5)[0], retriever.kneighbors(G[:40], 5)[0], atol=1e-6)
    restored = pickle.loads(pickle.dumps(retriever))
    pd.testing.assert_frame_equal(restored.discovered_, table)
    np.testing.assert_array_equal(restored.kneighbors(None, 5), retriever.kneighbors(None, 5))


def test_known_classes_alone_make_next_to_no_clusters(data, fitted):
    _, _, G, t = data
    known = t < N_KNOWN
    retriever = fitted.with_gallery(G[known])
    assert retriever.discovered_["size"].sum() <= 0.2 * known.sum()
    closed = fitted.with_gallery(G[known]).set_params(novelty=False)
    cosine = HierarchicalRetriever(alpha=0, metric="cosine").fit(*data[:2]).set_gallery(G[known])
    ours, theirs, base = (
        precision_of(r, G[known] + 0.01, t[known], t[known]).mean() for r in (retriever, closed, cosine)
    )
    assert ours - base > 0.6 * (theirs - base) > 0


def test_leaves_can_be_named_merged_and_dropped(data, fitted):
    _, _, G, _ = data
    retriever = fitted.with_gallery(G)
    first, second = retriever.discovered_["leaf"][:2].tolist()
    sizes = retriever.discovered_.set_index("leaf")["size"]
    retriever.discover(name={first: 1000})
    assert retriever.discovered_["leaf"][0] == 1000
    assert retriever.discovered_["size"][0] == sizes[first]
    assert 1000 in retriever.leaves(G)
    retriever.discover(merge=[[1000, second]])
    assert second not in set(retriever.discovered_["leaf"])
    merged = retriever.discovered_.set_index("leaf")["size"][1000]
    assert merged > max(sizes[first], sizes[second])
    retriever.discover()  # anew: the name stays where most of its rows stay
    assert len(retriever.discovered_)
    retriever.discover(drop=retriever.discovered_["leaf"].tolist())
    assert len(retriever.discovered_) == 0
    assert set(retriever.leaves(G)) <= set(fitted.classes_.tolist())


def test_added_rows_join_the_leaves_that_there_are(data, fitted):
    _, _, G, t = data
    retriever = fitted.with_gallery(G[::2])
    before = retriever.discovered_
    retriever.add_to_gallery(G[1::2])
    after = retriever.discovered_
    assert after["leaf"].tolist() == before["leaf"].tolist()
    assert after["size"].sum() > 1.5 * before["size"].sum()
    retriever.remove_from_gallery(retriever.gallery_ids_[::2])
    assert retriever.discovered_["size"].sum() < after["size"].sum()
    assert retriever.kneighbors(None, 3)[1].shape[1] == 3
    assert len(t) > 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"name": {"gone": 1000}}, "no discovered leaves 'gone'"),
        ({"drop": [-7]}, "no discovered leaves -7"),
        ({"merge": [[-7, -8]]}, "no discovered leaves"),
        ({"name": {"first": None}}, "names of leaves are missing"),
        ({"name": {"first": 3}}, "have these names already: 3"),
        ({"name": {"first": "pear"}}, "text and numbers never match"),
        ({"merge": [["first"]]}, "Two leaves or more"),
        ({"merge": ["first"]}, "sequence of sequences"),
        ({"merge": "first"}, "sequence of sequences"),
        ({"name": ["first"]}, "name must be a mapping"),
        ({"name": "first"}, "name must be a mapping"),
    ],
)
def test_bad_changes_change_nothing(data, fitted, how, message):
    retriever = fitted.with_gallery(data[2])
    before, first = retriever.discovered_, retriever.discovered_["leaf"][0]
    if isinstance(how.get("name"), dict):
        how = {"name": {first if key == "first" else key: value for key, value in how["name"].items()}}
    if how.get("merge") == [["first"]]:
        how = {"merge": [[first]]}
    with pytest.raises(ValueError, match=message):
        retriever.discover(**how)
    pd.testing.assert_frame_equal(retriever.discovered_, before)


def test_bad_input(data, fitted):
    X, y, G, t = data
    before = fitted.kneighbors(G, 3)
    with pytest.raises(ValueError, match="at least 6 samples"):
        fitted.set_gallery(G[:5], new_classes="discover")
    with pytest.raises(ValueError, match="new_classes must be"):
        fitted.set_gallery(G, new_classes="some")
    with pytest.raises(ValueError, match="new_classes"):
        HierarchicalRetriever(new_classes="some").fit(X, y)
    with pytest.raises(ValueError, match="text and numbers never match"):
        fitted.set_gallery(G, t.astype(str))
    np.testing.assert_array_equal(fitted.kneighbors(G, 3), before)
    assert not hasattr(fitted, "discovered_")
    with pytest.raises(AttributeError, match="No new classes were sought"):
        _ = fitted.with_gallery(G, t).discovered_
    with pytest.raises(ValueError, match="labels of this one are its leaves"):
        fitted.with_gallery(G, t).discover()
    with pytest.raises(NotFittedError):
        HierarchicalRetriever().discover()
    two = HierarchicalRetriever().fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match="needs held-out classes"):
        two.set_gallery(G, new_classes="discover")
    two.set_gallery(G)  # where nothing can be told, nothing is sought
    assert fitted.with_gallery(G[:5]).kneighbors(G[:2], 2)[1].shape == (2, 2)


@pytest.mark.parametrize("labels", [None, "one", "two"])
@pytest.mark.parametrize("kind", ["equal", "zero", "few", "six", "all"])
def test_odd_galleries(data, fitted, kind, labels):
    X, _, G, _ = data
    zero = np.zeros((30, G.shape[1]))
    gallery = {"equal": zero + 1, "zero": zero, "few": np.repeat(G[:3], 9, axis=0), "six": G[:6], "all": X}[
        kind
    ]
    y = {None: None, "one": np.full(len(gallery), 99), "two": np.arange(len(gallery)) % 2 + 11}[labels]
    retriever = fitted.with_gallery(gallery, y)
    assert retriever.kneighbors(None, 2)[1].shape == (len(gallery), 2)
    assert np.all(np.isfinite(retriever.retrieve(G[:3], 2)["distance"]))
    assert len(retriever.retrieve(n_neighbors=1)) == len(gallery)
    retriever.add_to_gallery(G[:3], None if y is None else [200, 201, 0])
    retriever.remove_from_gallery(retriever.gallery_ids_[:2])
    assert len(retriever.leaves()) == len(gallery) + 1
    if y is None:
        assert retriever.discover().discovered_["size"].sum() <= len(gallery) + 1


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("alpha", [0, 0.5, 8.0, np.inf])
def test_copies_are_first(data, fitted, labelled, alpha):
    _, _, G, t = data
    retriever = fitted.with_gallery(G, t if labelled else None).set_params(alpha=alpha)
    for queries in (G, 3.7 * G, G.astype(np.float32)):
        distances, indices = retriever.kneighbors(queries, 2)
        np.testing.assert_array_equal(indices[:, 0], np.arange(len(G)))
        assert np.all(distances[:, 0] == 0)
    twice = retriever.with_gallery(np.vstack([G, G]), None if not labelled else np.tile(t, 2))
    n = len(G)
    np.testing.assert_array_equal(twice.kneighbors(None, 1)[1][:, 0], (np.arange(2 * n) + n) % (2 * n))
    table = retriever.retrieve(G[:3], 1)
    assert np.all(table[["distance", "visual_distance"]].to_numpy() == 0)
    assert np.all(table["hierarchical_distance"] == 0)
