import pytest

from sklearn_hierret.search import _batch, _index


@pytest.fixture(autouse=True, scope="module", params=["numpy", "numba"] if _index._compiled else ["numpy"])
def engine(request):
    """Every test of search runs without numba, and with it where it is there."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(_index, "_compiled", None)
            patch.setattr(_batch, "_compiled", None)
        yield request.param
