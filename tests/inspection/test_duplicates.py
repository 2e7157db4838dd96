import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sklearn_hierret import HammingRetriever, HierarchicalRetriever
from sklearn_hierret.inspection import _pairs, near_duplicates
from sklearn_hierret.inspection._duplicates import copies
from sklearn_hierret.inspection._pairs import nearest_of_all

X, Y = load_digits(return_X_y=True)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**31 - 1))
def test_nearest_of_all_against_a_loop(n, d, seed):
    rows = unit(np.random.default_rng(seed).normal(size=(n, d)))
    k = min(3, n - 1)
    distances, indices = nearest_of_all(rows, k)
    for i in range(n):
        order = sorted((1 - float(rows[i] @ rows[j]), j) for j in range(n) if j != i)
        np.testing.assert_allclose(distances[i], [max(0, d) for d, _ in order[:k]], atol=1e-12)
        np.testing.assert_allclose(1 - rows[indices[i]] @ rows[i], distances[i], atol=1e-12)
        assert i not in indices[i]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 2000), st.integers(1, 12), st.integers(0, 10**6))
def test_largest_values_against_a_full_sort(n, width, k, seed):
    values = np.random.default_rng(seed).integers(0, 40, (n, width)).astype(np.float32)
    k = min(k, width)
    best = _pairs._largest(values, k)
    assert all(len(set(row)) == k for row in best.tolist())
    expected = np.sort(values, axis=1)[:, -k:]
    np.testing.assert_array_equal(np.sort(np.take_along_axis(values, best, axis=1), axis=1), expected)


def test_large_cells_are_cut_into_halves(monkeypatch):
    monkeypatch.setattr(_pairs, "CELL_SIZE", 10)
    rows = np.random.default_rng(0).normal(size=(200, 5))
    for some in (rows, np.ones_like(rows)):
        parts = list(_pairs._halves(some, np.arange(0, 200, 2)))
        assert max(map(len, parts)) <= 30
        assert sorted(np.concatenate(parts)) == list(range(0, 200, 2))


def test_cells_find_what_all_pairs_find(monkeypatch):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200, 32))
    rows = (means[rng.integers(0, 200, 20_000)] + 0.7 * rng.normal(size=(20_000, 32))).astype(np.float32)
    rows[10_000:10_500] = rows[:500] + 0.05 * rng.normal(size=(500, 32))
    rows = unit(rows).astype(np.float32)
    expected = copies(rows, 0.5)[0]
    monkeypatch.setattr(_pairs, "MOST_EXACT", 5000)
    found = copies(rows, 0.5)[0]
    pairs, expected = ({tuple(sorted(p)) for p in some.tolist()} for some in (found, expected))
    made = {(i, 10_000 + i) for i in range(500)}
    assert len(made & expected) == 500
    assert len(made & pairs) >= 475  # cells are by chance, and depend on the version of k-means
    assert len(pairs & expected) >= 0.95 * len(expected)


def test_groups_by_hand():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 30))
    rows[1], rows[2] = rows[0], rows[0] + 0.02 * rng.normal(size=30)
    rows[11] = rows[10] + 0.03 * rng.normal(size=30)
    y = np.arange(60) % 3
    retriever = HierarchicalRetriever(metric="cosine").fit(rows, y)
    table = near_duplicates(retriever)
    assert [sorted(part["id"]) for _, part in table.groupby("group")] == [[0, 1, 2], [10, 11]]
    assert table["across_classes"].all()
    assert not table["across_parts"].any()
    by_id = table.set_index("id")
    assert by_id.loc[[0, 1], "kind"].tolist() == ["exact", "exact"]
    assert by_id.loc[2, "kind"] == "near"
    assert by_id.loc[11, "nearest_id"] == 10
    u = unit(rows)
    assert by_id.loc[11, "distance"] == pytest.approx(1 - u[11] @ u[10])
    tenth = np.sort(1 - u @ u.T, axis=1)[:, 10]
    assert by_id.loc[11, "relative_distance"] == pytest.approx(
        (1 - u[11] @ u[10]) / np.sqrt(tenth[10] * tenth[11])
    )


def test_leaks_between_two_sets():
    retriever = HierarchicalRetriever().fit(X[:900], Y[:900])
    queries = X[900:950].copy()
    queries[7], queries[9] = X[3], X[5] * 1.5  # lengths do not matter
    table = near_duplicates(
        retriever,
        queries,
        np.where(np.arange(50) == 9, 0, Y[900:950]),
        ids=np.arange(1000, 1050),
        threshold=0,
    )
    assert list(table["id"]) == [3, 1007, 5, 1009]
    assert list(table["part"]) == ["gallery", "X"] * 2
    assert table["across_parts"].all()
    assert table["across_classes"].tolist() == [Y[3] != Y[907]] * 2 + [True] * 2
    before = retriever.gallery_ids_
    assert len(before) == 900


def test_many_copies_of_one_image_are_one_group():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 20))
    rows[:40] = rows[0] + 0.02 * rng.normal(size=(40, 20))
    table = near_duplicates(HierarchicalRetriever(metric="cosine").fit(rows, np.arange(300) % 4))
    assert set(table["id"][table["group"] == table["group"][0]]) == set(range(40))


def test_nothing_is_double():
    rows = np.eye(12)
    table = near_duplicates(HierarchicalRetriever().fit(rows, np.arange(12) % 2))
    assert len(table) == 0
    assert list(table.columns) == [
        "group",
        "part",
        "id",
        "label",
        "kind",
        "nearest_id",
        "distance",
        "relative_distance",
        "across_classes",
        "across_parts",
    ]


def test_bad_input():
    retriever = HierarchicalRetriever().fit(X[:100], Y[:100])
    for threshold in (-0.1, 1.5, "near", None):
        with pytest.raises(ValueError, match="threshold"):
            near_duplicates(retriever, threshold=threshold)
    with pytest.raises(ValueError, match="X, which is missing"):
        near_duplicates(retriever, y=Y[:3])
    with pytest.raises(ValueError, match="inconsistent"):
        near_duplicates(retriever, X[:3], Y[:2])
    with pytest.raises(ValueError, match="features"):
        near_duplicates(retriever, X[:3, :5])
    with pytest.raises(ValueError, match="never match"):
        near_duplicates(retriever, X[:3], ["a", "b", "c"])
    codes = HammingRetriever(alpha=0).fit(np.arange(20, dtype=np.uint8).reshape(10, 2))
    with pytest.raises(TypeError, match="codes"):
        near_duplicates(codes)
    empty = HierarchicalRetriever().fit(X[:100], Y[:100]).remove_from_gallery(range(99))
    assert len(near_duplicates(empty)) == 0
