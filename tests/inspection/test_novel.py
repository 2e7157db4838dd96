import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.inspection import novel_items

X, Y = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def retriever():
    return HierarchicalRetriever().fit(X[Y < 8], Y[Y < 8])


def test_new_classes_come_first_in_provisional_leaves(retriever):
    table = novel_items(retriever, X)
    assert (Y[table["id"][:200]] >= 8).mean() > 0.9
    provisional = table[table["is_provisional"]]
    assert np.isin(np.flatnonzero(Y >= 8), provisional["id"]).mean() > 0.9
    assert (np.diff(table["known_probability"]) >= 0).all()
    sizes = provisional.groupby("leaf")["leaf_size"].first()
    assert (sizes > 10).all()
    central = provisional[provisional["is_central"]]
    assert set(central["leaf"]) == set(provisional["leaf"])
    assert table.loc[~table["is_provisional"], "leaf_size"].isna().all()
    assert len(retriever.gallery_ids_) == (Y < 8).sum()  # it stays as it is


def test_the_gallery_itself(retriever):
    opened = retriever.with_gallery(X, ids=[f"image {i}" for i in range(len(X))])
    table, expected = novel_items(opened), novel_items(retriever, X)
    np.testing.assert_allclose(table["known_probability"], expected["known_probability"])
    assert table["id"][0].startswith("image ")


def test_bad_input(retriever):
    with pytest.raises(ValueError, match="X, which is missing"):
        novel_items(retriever, ids=[1, 2])
    with pytest.raises(ValueError, match="GaussianNB does not say"):
        novel_items(HierarchicalRetriever(class_model=GaussianNB()).fit(X, Y))
    with pytest.raises(ValueError, match="novelty=False"):
        novel_items(HierarchicalRetriever(novelty=False).fit(X, Y))
    with pytest.raises(ValueError, match="at least"):
        novel_items(retriever, X[:3])
