import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret.retrieval._conditions import holds

N = 40


def columns(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "price": rng.integers(0, 20, N) / 2,
        "count": rng.integers(-3, 4, N),
        "brand": rng.choice(np.array(["x", "y", "it's", None], dtype=object), N),
        "fresh": rng.random(N) < 0.5,
        "unit price": np.where(rng.random(N) < 0.2, np.nan, rng.random(N)),
        "day": pd.date_range("2020-01-01", periods=N).to_numpy(),
    }


def is_missing(value):
    return value is None or value != value


# Comparisons as text, and the same by a row's values.
LEAVES = [
    ("price < 5", lambda r: r["price"] < 5),
    ("2 <= price < 7.5", lambda r: 2 <= r["price"] < 7.5),
    ("price > count", lambda r: r["price"] > r["count"]),
    ("count == -2", lambda r: r["count"] == -2),
    ("brand == 'x'", lambda r: r["brand"] == "x"),
    ('brand != "it\'s"', lambda r: r["brand"] is not None and r["brand"] != "it's"),
    ("brand in ('x', 'z')", lambda r: r["brand"] in ("x", "z")),
    ("brand not in ['y']", lambda r: r["brand"] is not None and r["brand"] != "y"),
    ("count in {1, 2, 'x'}", lambda r: r["count"] in (1, 2)),
    ("fresh", lambda r: r["fresh"]),
    ("fresh == False", lambda r: not r["fresh"]),
    ("`unit price` >= 0.5", lambda r: r["unit price"] >= 0.5),
    ("`unit price` != 0.5", lambda r: not is_missing(r["unit price"])),
    ("day < '2020-01-09'", lambda r: r["day"] < np.datetime64("2020-01-09")),
    ("brand > 'x'", lambda r: r["brand"] is not None and r["brand"] > "x"),
    ("price == 'x'", lambda r: False),
]
CONDITIONS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda c: (f"not ({c[0]})", lambda r, f=c[1]: not f(r))),
        st.tuples(inner, inner).map(
            lambda p: (f"({p[0][0]}) and ({p[1][0]})", lambda r, p=p: p[0][1](r) and p[1][1](r))
        ),
        st.tuples(inner, inner).map(
            lambda p: (f"({p[0][0]}) or ({p[1][0]})", lambda r, p=p: p[0][1](r) or p[1][1](r))
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, st.integers(0, 5))
def test_conditions_against_a_loop(condition, seed):
    text, expected = condition
    table = columns(seed)
    rows = [{name: values[i] for name, values in table.items()} for i in range(N)]
    assert holds(text, table, N).tolist() == [bool(expected(row)) for row in rows]


HOSTILE = [
    "__import__('os').system('touch {mark}')",
    "price.__class__",
    "price < ().__class__.__bases__[0].__subclasses__()",
    "open('{mark}', 'w')",
    "[x for x in (1,).__class__.__mro__]",
    "(lambda: open('{mark}', 'w'))()",
    "price < exec('1')",
    "price if price else open('{mark}', 'w')",
    "price < f'{{open}}'",
    "price < (y := 3)",
    "@price",
    "price[0] < 3",
    "price < 3; import os",
    "import os",
    "price < 2 ** 99999",
    "price + 1 < 3",
    "print",
    "*price",
    "price < b'x'",
    "price < 3j",
    "price < None",
    "price is 3",
    "brand == ...",
    "'price'",
    "3",
    "True",
    "",
    "price <",
    "price < 3 and",
    "price",
    "price == [1, 2]",
    "price in 3",
    "price in 'abc'",
    "await price",
    "yield",
    "`",
    "``",
    "`price",
    "price\x00 < 3",
    "(" * 300 + "price" + ")" * 300,
    "not " * 1500 + "fresh",
    "fresh and " * 3000 + "fresh",
    "price < " + "9" * 20_000,
    "-" * 1500 + "1 < price",
    "price < 'a' + 'b'",
    "\u202e price < 3",
    "del price",
    "assert price",
    "price = 3",
    "{{1: 2}} == price",
]


def hostile():
    """Five hundred strings: the list, and each beside or inside harmless text."""
    rng = np.random.default_rng(0)
    frames = [
        "{}",
        "fresh and ({})",
        "not ({})",
        "({}) or price < 3",
        "price < 3 and {}",
        "brand in ('x', {})",
    ]
    frames += ["{} == price", "price < {}", "fresh or not ({})", "count in ({}, 1)"]
    return [rng.choice(frames).replace("{}", text) if i else text for i in range(10) for text in HOSTILE]


def test_no_text_runs_code(tmp_path):
    mark = tmp_path / "mark"
    texts = hostile()
    assert len(texts) >= 500
    n_refused = 0
    for text in texts:
        try:
            result = holds(
                text.replace("{mark}", str(mark)).replace("{{", "{").replace("}}", "}"), columns(), N
            )
        except (ValueError, TypeError):
            n_refused += 1
        else:
            assert result.shape == (N,)
            assert result.dtype == bool
    assert not mark.exists()
    assert n_refused > 400


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("pirce < 3", ValueError, "'pirce'.*perhaps 'price'"),
        ("nothing < 3", ValueError, r"of \['price'"),
        ("price < ", ValueError, "cannot be parsed"),
        ("price", ValueError, "not true or false"),
        ("price < 'x'", TypeError, "compares numbers and text"),
        ("day < 'no day'", ValueError, "'no day' is no date"),
        (["price"], TypeError, "must be text"),
        ("price < 3" + " " * 10_000, ValueError, "characters"),
    ],
)
def test_errors_say_what_is_wrong(text, error, message):
    with pytest.raises(error, match=message):
        holds(text, columns(), N)
