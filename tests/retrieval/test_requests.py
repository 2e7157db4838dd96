"""Requests: pages, weights, radii, conditions, queries by id; each against the whole ranking."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import HammingRetriever, HierarchicalRetriever
from tests.strategies import DRAWS_ALL, blobs

N_GALLERIES = 2000 if DRAWS_ALL else 150
CONDITIONS = {
    "price < 3": lambda t: t["price"] < 3,
    "price < 0": lambda t: t["price"] < 0,
    "brand == 'x' or price >= 9": lambda t: (t["brand"] == "x") | (t["price"] >= 9),
    "not (brand in ('x', 'y'))": lambda t: ~t["brand"].isin(["x", "y"]),
    "price >= 0": lambda t: t["price"] >= 0,
}


def metadata(rng, n):
    return pd.DataFrame({"price": rng.integers(0, 10, n), "brand": rng.choice(["x", "y", "z"], n)})


@pytest.fixture(scope="module")
def retrievers():
    rng = np.random.default_rng(0)
    X, y = blobs(rng, n_classes=5, n_features=6)
    bits = rng.integers(0, 256, (len(X), 2), dtype=np.uint8)
    return [
        HierarchicalRetriever().fit(X, y),
        HierarchicalRetriever(assignment="hard", metric="cosine", alpha=2.0).fit(X, y),
        HierarchicalRetriever(alpha=np.inf).fit(X, y),
        HierarchicalRetriever(alpha=0.0).fit(X, y),
        HammingRetriever().fit(bits, y),
    ]


def drawn(rng, retrievers):
    """A retriever with a gallery that has grown and shrunk, its table, and queries."""
    retriever = copy.copy(retrievers[rng.integers(len(retrievers))])
    is_coded = isinstance(retriever, HammingRetriever)
    n = int(rng.integers(5, 60))
    if is_coded:
        X, Q = (rng.integers(0, 256, (m, 2), dtype=np.uint8) for m in (n, 4))
    else:
        X, Q = (3 * rng.normal(size=(m, 6)) for m in (n, 4))
        X[rng.integers(n)] = Q[0]  # a copy
    y = rng.integers(0, 7, n) if rng.random() < 0.5 else None
    first = int(rng.integers(3, n + 1))
    table = metadata(rng, n)
    how = {"new_classes": "ignore"} if not is_coded and rng.random() < 0.5 else {}
    retriever.set_gallery(X[:first], None if y is None else y[:first], metadata=table[:first], **how)
    if first < n:
        retriever.add_to_gallery(X[first:], None if y is None else y[first:], metadata=table[first:])
    if rng.random() < 0.5:
        gone = rng.permutation(n)[: rng.integers(1, n - 2)]
        retriever.remove_from_gallery(gone)
        table = table.drop(index=gone)
    return retriever, table.reset_index(drop=True), Q


def ranked(full, allowed, k, offset=0):
    """The first of a whole ranking that are allowed, and what fills up the rest."""
    distances, indices = full
    result = np.full((len(indices), k), np.inf), np.full((len(indices), k), -1)
    for i, row in enumerate(indices):
        place = [j for j, item in enumerate(row) if item >= 0 and allowed[item]][offset : offset + k]
        result[0][i, : len(place)], result[1][i, : len(place)] = distances[i, place], row[place]
    return result


def same(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)


def test_requests_against_the_whole_ranking(retrievers):
    rng = np.random.default_rng(1)
    for _ in range(N_GALLERIES):
        retriever, table, Q = drawn(rng, retrievers)
        n = len(table)
        full, of_gallery = retriever.kneighbors(Q, n), retriever.kneighbors(None, n - 1)
        text = rng.choice(list(CONDITIONS))
        allowed, k, offset = (
            CONDITIONS[text](table).to_numpy(),
            int(rng.integers(1, n)),
            int(rng.integers(0, n + 3)),
        )
        everything = np.ones(n, dtype=bool)
        same(retriever.kneighbors(Q, k, where=text), ranked(full, allowed, k))
        mask = rng.random(n) < 0.5
        same(retriever.kneighbors(Q, k, where=text, within=mask), ranked(full, allowed & mask, k))
        page = retriever.kneighbors(Q, k, offset=offset)
        same(page, ranked(full, everything, max(0, min(k, n - offset)) if offset else k, offset))
        if n > 2:
            k = min(k, n - 1)
            same(retriever.kneighbors(None, k, where=text), ranked(of_gallery, allowed, k))
            chosen = rng.permutation(n)[:2]
            some = retriever.kneighbors(n_neighbors=k, ids=retriever.gallery_ids_[chosen], where=text)
            same(some, tuple(part[chosen] for part in ranked(of_gallery, allowed, k)))
            brands, how = table["brand"].to_numpy(), {"where": text} if rng.random() < 0.5 else {}
            if how:
                k = min(k, n - 1)
            kept = allowed if how else everything
            own = retriever.kneighbors(None, k, not_same="brand", offset=offset, **how)
            expected = [
                ranked((of_gallery[0][[i]], of_gallery[1][[i]]), kept & (brands != brands[i]), n, offset)
                for i in range(n)
            ]
            width = own[1].shape[1]
            same(own, tuple(np.concatenate([e[p][:, :width] for e in expected]) for p in (0, 1)))
            wanted = rng.choice(["x", "y", "unknown"], len(Q))
            found = retriever.kneighbors(Q, k, not_same={"brand": wanted}, **how)
            assert found[1].shape == (len(Q), k)
            for i, brand in enumerate(wanted):
                row = ranked((full[0][[i]], full[1][[i]]), kept & (brands != brand), k)
                same([part[[i]] for part in found], row)
        radius = float(rng.choice(full[0][np.isfinite(full[0])]))
        near = retriever.radius_neighbors(Q, radius, where=text)
        for i in range(len(Q)):
            expected = [j for d, j in zip(full[0][i], full[1][i], strict=True) if d <= radius and allowed[j]]
            assert near[1][i].tolist() == expected
            assert (near[0][i] <= radius).all()


def test_alpha_of_one_request(retrievers):
    rng = np.random.default_rng(2)
    X, y = blobs(rng, n_classes=5, n_features=6)
    Q = 3 * rng.normal(size=(8, 6))
    for fitted in (0.0, 2.0):
        retriever = HierarchicalRetriever(alpha=fitted, metric="cosine", stem=0.5, novelty=False).fit(X, y)
        before = retriever.kneighbors(Q, 9)
        for alpha in (0, 0.5, 7, np.inf):
            other = HierarchicalRetriever(alpha=alpha, metric="cosine", stem=0.5, novelty=False).fit(X, y)
            same(retriever.kneighbors(Q, 9, alpha=alpha), other.kneighbors(Q, 9))
            assert retriever.retrieve(Q, 3, alpha=alpha)["id"].tolist() == other.retrieve(Q, 3)["id"].tolist()
        same(retriever.kneighbors(Q, 9), before)  # nothing is left of a request
        assert retriever.alpha_ == fitted


def test_radius_as_scikit_learn(rng):
    X = rng.normal(size=(150, 5))
    retriever = HierarchicalRetriever(alpha=0.0, metric="cosine").fit(X, rng.integers(0, 3, 150))
    theirs = NearestNeighbors(metric="cosine", radius=0.4).fit(X)
    graph, expected = retriever.radius_neighbors_graph(X[:20], 0.4), theirs.radius_neighbors_graph(X[:20])
    assert (graph != expected).nnz == 0
    own, others = retriever.radius_neighbors_graph(None, 0.4), theirs.radius_neighbors_graph()
    assert (own != others).nnz == 0
    weights = retriever.radius_neighbors_graph(X[:20], 0.4, mode="distance")
    there = theirs.radius_neighbors_graph(X[:20], mode="distance")
    np.testing.assert_allclose(weights.toarray(), there.toarray(), atol=1e-7)
    assert [len(found) for found in retriever.radius_neighbors(X[:3], 0, return_distance=False)] == [1, 1, 1]
    assert graph.indices.dtype == np.int32  # as some programs need it


def test_tables_have_pages_and_columns(retrievers, rng):
    retriever = copy.copy(retrievers[0])
    X, table = 3 * rng.normal(size=(30, 6)), metadata(rng, 30)
    retriever.set_gallery(X, ids=[f"image {i}" for i in range(30)], metadata=table)
    found = retriever.retrieve(X[:2], 4, offset=4, columns=["brand", "price"], where="price < 8")
    whole = retriever.retrieve(X[:2], 8, where="price < 8")
    assert found["rank"].tolist() == [5, 6, 7, 8] * 2
    assert found["id"].tolist() == whole.loc[whole["rank"] > 4, "id"].tolist()
    position = found["id"].str.removeprefix("image ").astype(int)
    for name in ("brand", "price"):
        assert found[name].tolist() == table[name].iloc[position].tolist()
    assert found.columns[-2:].tolist() == ["brand", "price"]
    own = retriever.retrieve(ids=["image 7", "image 3"], n_neighbors=2, columns="price")
    assert own["query"].tolist() == [0, 0, 1, 1]
    assert "image 7" not in own.loc[own["query"] == 0, "id"].tolist()
    assert retriever.retrieve(X[:2], 3, offset=100).empty
    few = retriever.kneighbors(X[:2], 50, where="price < 8", not_same={"brand": ["x", "y"]})
    assert few[1].shape == (2, 50)  # as many as are asked for, though most are none
    others = retriever.retrieve(n_neighbors=4, not_same="brand", columns=["brand"], offset=1)
    assert (others["brand"].to_numpy() != table["brand"].to_numpy()[others["query"]]).all()
    assert set(others["rank"]) == {2, 3, 4, 5}


def test_metadata_lasts(retrievers, rng):
    X, y = 3 * rng.normal(size=(40, 6)), rng.integers(0, 5, 40)
    retriever = copy.copy(retrievers[0]).set_gallery(X, y)
    table = metadata(rng, 40)
    with pytest.raises(ValueError, match="needs metadata"):
        retriever.kneighbors(X[:2], where="price < 3")
    retriever.set_metadata(table)
    expected = retriever.kneighbors(X[:2], 3, where="brand == 'x'")
    for other in (pickle.loads(pickle.dumps(retriever)), retriever.with_searcher(retriever.searcher())):
        same(other.kneighbors(X[:2], 3, where="brand == 'x'"), expected)
    corrected = retriever.with_searcher(retriever.searcher()).relabel([0, 1], [1, 1])
    assert set(table["brand"].iloc[corrected.kneighbors(X[:2], 3, where="brand == 'x'")[1].ravel()]) == {"x"}
    grown = copy.deepcopy(retriever).partial_fit(X[:5] + 0.1, y[:5])
    assert len(grown.gallery_ids_) in (40, 45)
    retriever.set_metadata(table.assign(brand="z"))
    assert (retriever.kneighbors(X[:2], 3, where="brand == 'x'")[1] == -1).all()
    retriever.set_metadata(None)
    with pytest.raises(ValueError, match="needs metadata"):
        retriever.kneighbors(X[:2], where="price < 3")


def test_few_conditions_are_kept(retrievers, rng):
    retriever = copy.copy(retrievers[0])
    n = 100
    retriever.set_gallery(rng.normal(size=(n, 6)), metadata={"place": np.arange(n)})
    Q, gallery = rng.normal(size=(2, 6)), retriever.searcher().gallery
    first = gallery.condition("place < 20")
    assert gallery.condition("place < 20") is first
    for i in range(60):
        text = f"place >= {i} and place < {i + 20}"
        found = retriever.kneighbors(Q, 20, where=text)[1]
        assert (np.sort(found, axis=1) == np.arange(i, i + 20)).all()
        if i == 0:
            assert gallery.condition("place < 20") is first
    assert gallery.condition("place < 20") is not first
    for i in range(40):
        assert retriever.kneighbors(Q, 90, where=f"place < {60 + i}")[1].max() == min(59 + i, 99)
    assert len(gallery.__dict__["conditions"]) <= 16


def test_bad_requests(retrievers, rng):
    retriever = copy.copy(retrievers[0])
    X, table = rng.normal(size=(20, 6)), metadata(rng, 20)
    retriever.set_gallery(X, metadata=table)
    codes = HammingRetriever().fit(rng.integers(0, 256, (20, 2), dtype=np.uint8))
    wrong = [
        (lambda: retriever.kneighbors(X, offset=-1), ValueError, "offset"),
        (lambda: retriever.kneighbors(X, offset=1.5), ValueError, "offset"),
        (lambda: retriever.kneighbors(X, alpha=-1), ValueError, "alpha"),
        (lambda: retriever.kneighbors(X, alpha="auto"), ValueError, "alpha"),
        (lambda: retriever.kneighbors(X, alpha=np.nan), ValueError, "alpha"),
        (lambda: codes.kneighbors(np.zeros((1, 2), dtype=np.uint8), alpha=1), ValueError, "needs leaves"),
        (lambda: retriever.kneighbors(X, where="prize < 3"), ValueError, "perhaps 'price'"),
        (lambda: retriever.kneighbors(X, where=3), TypeError, "text"),
        (lambda: retriever.kneighbors(X, ids=[1]), ValueError, "X or ids"),
        (lambda: retriever.kneighbors(ids=[1, 99]), ValueError, "99"),
        (lambda: retriever.kneighbors(ids=[1, 1]), ValueError, "distinct"),
        (lambda: retriever.retrieve(ids=[]), ValueError, "no sample"),
        (lambda: retriever.kneighbors(X, not_same="brand"), ValueError, "values of the queries"),
        (lambda: retriever.kneighbors(not_same={"brand": ["x"]}), ValueError, "their own values"),
        (lambda: retriever.kneighbors(X, not_same={"brand": ["x"]}), ValueError, "20 queries, but 1 values"),
        (lambda: retriever.kneighbors(not_same="brands"), ValueError, "perhaps 'brand'"),
        (lambda: retriever.kneighbors(not_same=["brand"]), TypeError, "not_same"),
        (
            lambda: retriever.with_gallery(X, metadata={"l": [[1]] * 20}).kneighbors(not_same="l"),
            TypeError,
            "not lists",
        ),
        (lambda: retriever.radius_neighbors(X, -0.1), ValueError, "radius"),
        (lambda: retriever.radius_neighbors(X, np.nan), ValueError, "radius"),
        (lambda: retriever.radius_neighbors_graph(X, mode="weights"), ValueError, "mode"),
        (lambda: retriever.retrieve(X, columns=["brands"]), ValueError, "perhaps 'brand'"),
        (lambda: retriever.set_gallery(X, metadata=table[:3]), ValueError, "3 rows"),
        (lambda: retriever.set_gallery(X, metadata=table.to_numpy()), TypeError, "DataFrame"),
        (lambda: retriever.set_gallery(X, metadata=table.set_axis([1, 2], axis=1)), TypeError, "text"),
        (
            lambda: retriever.set_gallery(X, metadata=table.set_axis(["a", "a"], axis=1)),
            ValueError,
            "distinct",
        ),
        (lambda: retriever.add_to_gallery(X[:1]), ValueError, "has metadata"),
        (
            lambda: retriever.add_to_gallery(X[:1], metadata={"price": [1], "size": [2]}),
            ValueError,
            r"missing \['brand'\], unknown \['size'\]",
        ),
        (
            lambda: copy.copy(retrievers[0]).add_to_gallery(X[:1], [0], metadata=table[:1]),
            ValueError,
            "no metadata",
        ),
    ]
    for call, error, message in wrong:
        with pytest.raises(error, match=message):
            call()
    emptied = copy.copy(retriever).remove_from_gallery(retriever.gallery_ids_)
    for question in (emptied.retrieve, emptied.kneighbors):
        with pytest.raises(ValueError, match="holds 0 samples"):
            question()
    assert len(retriever.gallery_ids_) == 20
    retriever.add_to_gallery(X[:1], metadata={"brand": ["w"], "price": [1.5]})
    assert retriever.retrieve(X[:1], 1, where="brand == 'w'", columns=["price"])["price"].tolist() == [1.5]


def test_samples_by_id_and_by_position(retrievers, rng):
    for _ in range(20):
        retriever, _, Q = drawn(rng, retrievers)
        n = retriever.n_samples_fit_
        chosen = rng.choice(n, min(4, n), replace=False)
        mask = np.isin(np.arange(n), chosen)
        expected = retriever.kneighbors(Q, 3, within=mask)
        same(retriever.kneighbors(Q, 3, within={"positions": chosen}), expected)
        same(retriever.kneighbors(Q, 3, within={"ids": retriever.gallery_ids_[chosen]}), expected)
        same(
            retriever.kneighbors(Q, 3, within={"ids": set(retriever.gallery_ids_[chosen].tolist())}), expected
        )
        both = retriever.kneighbors(Q, 2, within={"positions": chosen}, where="price < 5")
        same(both, retriever.kneighbors(Q, 2, within=mask, where="price < 5"))
    for within, message in (
        ({"ids": [10**6]}, "No sample of the gallery has the id"),
        ({"names": [1]}, "takes {'ids'"),
        ({"positions": [n]}, "Positions must be from 0"),
        ({"positions": [-1]}, "Positions must be from 0"),
        ({"positions": [0.5]}, "must be integers"),
        ({"positions": [[0, 1]]}, "must be integers in one row"),
        ({"ids": [0], "positions": [0]}, "takes {'ids'"),
    ):
        with pytest.raises(ValueError, match=message):
            retriever.kneighbors(Q, 1, within=within)


def test_rows_that_change(rng):
    X, y = blobs(rng, n_classes=4, n_features=6)
    table = pd.DataFrame({"price": np.arange(len(X)), "brand": "x"}, index=[f"im{i}" for i in range(len(X))])
    retriever = HierarchicalRetriever().fit(X, y, ids=table.index, metadata=table)
    assert retriever.gallery_ids_.tolist() == table.index.tolist()
    assert retriever.retrieve(X[:1], 1, columns=["price"])["price"].item() == 0
    retriever.set_metadata({"price": [500, 501]}, ids=["im3", "im1"])
    assert retriever.retrieve(X[:1], 2, where="price >= 500", columns=["price", "brand"]).set_index("id")[
        "price"
    ].to_dict() == {"im3": 500, "im1": 501}
    new, more = X[:2] + 5, pd.DataFrame({"price": [7, 8], "brand": ["new", "newer"]})
    before = retriever.searcher()
    with pytest.raises(ValueError, match="has a sample with the id 'im5'"):
        retriever.add_to_gallery(new, y[:2], ["im5", "other"], metadata=more)
    assert retriever.searcher() is before
    retriever.add_to_gallery(new, y[:2], ["im5", "other"], metadata=more, if_exists="replace")
    rest = np.delete(np.arange(len(X)), 5)
    naive = (
        HierarchicalRetriever()
        .fit(X, y)
        .set_gallery(np.concatenate([X[rest], new]), np.concatenate([y[rest], y[:2]]), new_classes="labels")
    )
    same(retriever.kneighbors(X, 5), naive.kneighbors(X, 5))
    assert retriever.gallery_ids_.tolist() == [*table.index[rest], "im5", "other"]
    assert retriever.retrieve(new, 1, where="brand == 'new'")["id"].tolist() == ["im5", "im5"]
    # All samples at once.
    retriever.add_to_gallery(X, y, retriever.gallery_ids_[: len(X)], metadata=table, if_exists="replace")
    assert retriever.n_samples_fit_ == len(X) + 1


def test_bad_changes(rng):
    X, y = blobs(rng, n_classes=4, n_features=6)
    retriever = HierarchicalRetriever().fit(
        X, y, ids=np.arange(len(X)), metadata={"price": np.arange(len(X))}
    )
    before = retriever.searcher()
    for change, message in (
        (lambda: retriever.add_to_gallery(X, y, metadata={"price": y}, if_exists="replace"), "needs ids"),
        (lambda: retriever.add_to_gallery(X[:1], y[:1], [0], if_exists="keep"), "if_exists must be"),
        (lambda: retriever.add_to_gallery(X[:1], y[:1], [0], if_exists="replace"), "has metadata"),
        (lambda: retriever.set_metadata({"price": [1]}, ids=[0, 1]), "2 samples, but 1 rows"),
        (lambda: retriever.set_metadata({"cost": [1]}, ids=[0]), "no columns"),
        (lambda: retriever.set_metadata({"price": [1]}, ids=[-1]), "No sample"),
        (lambda: retriever.set_metadata({"price": [1, 2]}, ids=[1, 1]), "distinct"),
        (lambda: retriever.set_metadata(None, ids=[1]), "whole table"),
        (lambda: retriever.set_metadata({"price": 3}, ids=3), "a value for each sample"),
        (lambda: HierarchicalRetriever().fit(X, y, ids=[1, 2]), "2 ids"),
        (lambda: HierarchicalRetriever().fit(X, y, ids=np.zeros(len(X))), "distinct"),
        (lambda: HierarchicalRetriever().fit(X, y, metadata={"price": [1]}), "1 rows of metadata"),
    ):
        with pytest.raises(ValueError, match=message):
            change()
    assert retriever.searcher() is before


def test_changed_metadata_keep_their_kind(rng):
    X, y = blobs(rng, n_classes=4, n_features=6)
    n = len(X)
    table = {"date": pd.date_range("2024-01-01", periods=n), "flag": np.arange(n) % 2 == 0, "n": np.arange(n)}
    retriever = HierarchicalRetriever().fit(X, y, metadata=pd.DataFrame(table))
    retriever.set_metadata({"date": [None, "2030-05-01"]}, ids=[0, 1])
    found = retriever.retrieve(X[:1], n, where="date >= '2029-01-01'", columns=["date"])
    assert found["id"].tolist() == [1]
    assert len(retriever.retrieve(X[:1], n, where="date < '2029-01-01'")) == n - 2
    retriever.set_metadata({"n": [0.5], "flag": [False]}, ids=[2])
    assert retriever.retrieve(X[:1], n, where="n == 0.5 and not flag")["id"].tolist() == [2]
    for change in ({"flag": [None]}, {"flag": [1]}, {"n": ["many"]}, {"date": ["soon"]}):
        with pytest.raises(ValueError, match="cannot be put there"):
            retriever.set_metadata(change, ids=[3])
