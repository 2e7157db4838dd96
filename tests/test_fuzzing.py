"""Thousands of bad inputs, drawn at random: each ends in a documented error or in a right result.

Inputs that mean the same as good ones (another dtype, order, container) must give the same result; after
an error a fitted estimator must answer as before.
"""

import copy
import io
import random
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_hierret import (
    OASIS,
    ClassHierarchy,
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalNeighborsTransformer,
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    WithinClassWhitening,
    average_precision_at_k,
    make_retrieval_scorer,
    ndcg_at_k,
)
from tests.strategies import blobs

N_BATCHES, N_OF_A_BATCH = 30, 100
DOCUMENTED = (ValueError, TypeError, MemoryError)

X, Y = blobs(np.random.default_rng(0), n_classes=4, n_features=6, n_per_class=(15, 20))
X = X.astype(np.float32)
Q, T, X, Y = X[:9], Y[:9], X[9:], Y[9:]
NAMES = np.array(["ant", "bee", "cow", "dog"])
CODES = (X > 0).astype(np.uint8) * np.arange(1, 7, dtype=np.uint8)
CODES_Q = (Q > 0).astype(np.uint8) * np.arange(1, 7, dtype=np.uint8)


def with_cell(X, value, draws):
    X = X.astype(object) if not isinstance(value, float) else X.astype(float)
    X[draws.randrange(len(X)), draws.randrange(X.shape[1])] = value
    return X


#: Features that mean the same.
SAME = {
    "a list": lambda X, draws: X.tolist(),
    "a frame": lambda X, draws: pd.DataFrame(X).set_axis(range(X.shape[1]), axis=1),
    "columns first": lambda X, draws: np.asfortranarray(X),
    "every second row": lambda X, draws: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X, draws: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "big-endian": lambda X, draws: X.astype(X.dtype.newbyteorder(">")),
    "objects": lambda X, draws: X.astype(object),
    "double": lambda X, draws: X.astype(np.float64) if X.dtype.kind == "f" else X,
}
BAD_FEATURES = {
    "NaN": lambda X, draws: with_cell(X, np.nan, draws),
    "infinity": lambda X, draws: with_cell(X, draws.choice([np.inf, -np.inf]), draws),
    "None in a cell": lambda X, draws: with_cell(X, None, draws),
    "text in a cell": lambda X, draws: with_cell(X, "cat", draws),
    "a list in a cell": lambda X, draws: with_cell(X, [1, 2], draws),
    "complex": lambda X, draws: X + 1j,
    "one dimension": lambda X, draws: X[0],
    "three dimensions": lambda X, draws: X[None],
    "no rows": lambda X, draws: X[:0],
    "no columns": lambda X, draws: X[:, :0],
    "sparse": lambda X, draws: sparse.csr_array(X),
    "a mapping": lambda X, draws: {"X": X},
    "a text": lambda X, draws: "features.npy",
    "a number": lambda X, draws: 3.0,
    "ragged": lambda X, draws: [[1.0, 2.0], [3.0]],
    "times": lambda X, draws: X.astype("datetime64[s]"),
    "records": lambda X, draws: np.zeros(len(X), dtype=[("a", float), ("b", int)]),
    "a class": lambda X, draws: ClassHierarchy,
}
#: Only wrong where the number of columns or rows is known.
BAD_SHAPES = {
    "a column too many": lambda X, draws: np.hstack([X, X[:, :1]]),
    "a column too few": lambda X, draws: X[:, 1:],
}
BAD_LABELS = {
    "too few": lambda y, draws: y[:-1],
    "too many": lambda y, draws: np.concatenate([y, y[:1]]),
    "NaN": lambda y, draws: np.where(np.arange(len(y)) == draws.randrange(len(y)), np.nan, y),
    "None among names": lambda y, draws: [*NAMES[y[:-1]].tolist(), None],
    "NaT": lambda y, draws: np.array(["2020-01-01"] * (len(y) - 1) + ["NaT"], dtype="datetime64[D]"),
    "two columns": lambda y, draws: np.stack([y, y], axis=1),
    "a mapping": lambda y, draws: dict.fromkeys(range(len(y)), 1),
    "a number": lambda y, draws: 3,
    "lists": lambda y, draws: [[int(v)] * draws.choice([2, 3]) for v in y],
    "sparse": lambda y, draws: sparse.csr_array(y[None]),
}
BAD_TO_FIT = {
    **BAD_LABELS,
    "none": lambda y, draws: None,
    "fractions": lambda y, draws: y + 0.5,
    "one class": lambda y, draws: np.zeros(len(y)),
    "nothing": lambda y, draws: [],
}
BAD_NUMBERS = [0, -1, 1.5, True, "3", 10**12, np.nan, [2], np.array([1, 2]), "all", np.float64(2)]
BAD_IDS = {
    "twice": lambda n, draws: [0] * n,
    "too few": lambda n, draws: range(100, 99 + n),
    "a NaN": lambda n, draws: np.r_[np.arange(n - 1) + 500.0, np.nan],
    "None": lambda n, draws: [*(f"new {i}" for i in range(n - 1)), None],
    "lists": lambda n, draws: [[i] for i in range(n)],
    "a number": lambda n, draws: 7,
    "bytes": lambda n, draws: [b"new %d" % i for i in range(n)] + [b"one more"],
}
BAD_PARAMETERS = {
    HierarchicalRetriever: {
        "alpha": [-1, np.nan, "much", None, [1]],
        "metric": ["far", 3, None, LinkageHierarchyBuilder(), ["cosine"]],
        "stem": [-0.1, 1.1, np.nan, "thick", None],
        "assignment": ["fuzzy", None, 1],
        "gallery_leaves": ["guess", None, 3],
        "novelty": ["maybe", None, 3.5],
        "n_neighbors": [0, -3, 2.5, "5", None],
        "hierarchy": ["taxonomy.txt", 3, [], [3], ClassHierarchy.flat(["x", "y"])],
        "class_model": ["svm", 3, LinkageHierarchyBuilder()],
        "n_jobs": [1.5, "all"],
    },
    MahalanobisClassifier: {
        "covariance_type": ["round", None],
        "shrinkage": [-0.1, 1.5, "some", np.nan],
        "n_components": [0, -1, 1.5, "all", 100, np.nan],
        "decision": ["vote", None],
        "temperature": [0, -1, np.nan, "warm", None],
        "priors": ["biased", [1, 2], [0.5] * 4, [-1, 1, 0.5, 0.5], "x"],
    },
    HierarchyBuilder: {
        "threshold": [-0.1, 1.1, np.nan, "half", None],
        "threshold_decay": [-1, np.nan, "slow"],
        "linkage": ["ward?", 3],
        "class_model": ["gaussian", DiscriminantClassifier()],
    },
    LinkageHierarchyBuilder: {
        "method": ["nearest", None],
        "metric": ["far", 3],
        "heights": ["tall", None],
        "class_model": ["means", 3],
    },
    DiscriminantClassifier: {
        "shrinkage": [-0.1, 1.5, "some", np.nan],
        "n_components": [0, -1, 1.5, "all", np.nan],
        "linear": ["quadratic", 3],
    },
    WithinClassWhitening: {
        "shrinkage": [-0.1, 1.5, "some", np.nan, None],
        "n_components": [0, -1, 1.5, "all", 10**6],
        "between_shrinkage": [-0.1, 1.5, "some", np.nan],
    },
    OASIS: {
        "aggressiveness": [0, -1, "much", np.nan],
        "n_triplets": [0, 1.5, "all"],
        "semidefinite": ["yes", 1.0],
    },
    HierarchicalEmbedding: {"alpha": [-1, np.inf, np.nan, "much"], "n_components": [0, -1, 1.5, 100]},
    HierarchicalNeighborsTransformer: {"mode": ["cosine", None], "n_neighbors": [0, 1.5, "5", 10**9]},
    CombinedHierarchyBuilder: {"hierarchies": [None, [], "both", [("a", 3)]]},
}

FITTED = {
    "features": HierarchicalRetriever().fit(X, NAMES[Y]),
    "hard": HierarchicalRetriever(HierarchyBuilder(), alpha=1.0, assignment="hard").fit(X, NAMES[Y]),
    "cosine": HierarchicalRetriever(alpha=0).fit(X, NAMES[Y]),
    "codes": HammingRetriever(alpha=1.0).fit(CODES, NAMES[Y]),
}
UNFITTED = [
    HierarchicalRetriever(),
    HierarchicalRetriever(alpha=0),
    MahalanobisClassifier(),
    DiscriminantClassifier(),
    HierarchyBuilder(),
    LinkageHierarchyBuilder(),
    OASIS(n_triplets=50),
    WithinClassWhitening(),
    HierarchicalRetriever(metric="whitened"),
    HierarchicalEmbedding(),
    HierarchicalNeighborsTransformer(),
    CombinedHierarchyBuilder([("a", HierarchyBuilder()), ("b", LinkageHierarchyBuilder())]),
]
TREE = ClassHierarchy.from_outline("all\n  beast\n    cow\n    dog\n  insect\n    ant\n    bee\n")


def must_fail(call, *arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        try:
            result = call(*arguments, **named)
        except DOCUMENTED as error:
            if len(str(error)) < 10:
                raise
            return
    raise AssertionError(f"no error but {result!r}")


def answers(retriever, queries):
    distances, indices = retriever.kneighbors(queries, 3)
    return np.concatenate([distances, indices], axis=1)


def bad_fit(draws):
    estimator = copy.deepcopy(draws.choice(UNFITTED))
    if draws.random() < 0.5:
        name = draws.choice(list(BAD_FEATURES))
        yield f"{estimator!r}.fit of features: {name}"
        must_fail(estimator.fit, BAD_FEATURES[name](X, draws), Y)
    else:
        name = draws.choice(list(BAD_TO_FIT))
        yield f"{estimator!r}.fit to labels: {name}"
        must_fail(estimator.fit, X, BAD_TO_FIT[name](Y, draws))
    assert not [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]


def bad_parameter(draws):
    kind = draws.choice(list(BAD_PARAMETERS))
    name = draws.choice(list(BAD_PARAMETERS[kind]))
    value = draws.choice(BAD_PARAMETERS[kind][name])
    yield f"{kind.__name__}({name}={value!r})"
    template = next(e for e in [*UNFITTED, *FITTED.values()] if type(e) is kind)
    estimator = copy.deepcopy(template).set_params(**{name: value})
    if kind is HierarchicalNeighborsTransformer:  # as many as there are is known when they are asked for
        must_fail(lambda: estimator.fit(X, Y).transform(Q))
    else:
        must_fail(estimator.fit, X, Y)


def bad_query(draws):
    which = draws.choice(list(FITTED))
    retriever, queries = FITTED[which], CODES_Q if which == "codes" else Q
    before = answers(retriever, queries)
    kinds = {**BAD_FEATURES, **BAD_SHAPES}
    name = draws.choice(list(kinds))
    methods = ["kneighbors", "predict", "predict_proba", "retrieve", "leaves", "kneighbors_graph"]
    method = draws.choice(methods)
    yield f"{which}: {method} of {name}"
    must_fail(getattr(retriever, method), kinds[name](queries, draws))
    np.testing.assert_array_equal(answers(retriever, queries), before)


def same_query(draws):
    which = draws.choice(list(FITTED))
    retriever, queries = FITTED[which], CODES_Q if which == "codes" else Q
    name = draws.choice([n for n in SAME if which != "codes" or n not in ("a list", "objects")])
    yield f"{which}: kneighbors of {name}"
    distances, indices = retriever.kneighbors(SAME[name](queries, draws), 3)
    expected = retriever.kneighbors(queries, 3)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-6, atol=1e-7)


def same_fit(draws):
    name = draws.choice(list(SAME))
    estimator = copy.deepcopy(draws.choice([MahalanobisClassifier(), DiscriminantClassifier()]))
    yield f"{estimator!r}.fit of {name}"
    labels = draws.choice([Y.tolist(), pd.Series(Y), Y.astype(np.uint8), Y[:, None][:, 0]])
    found = copy.deepcopy(estimator).fit(SAME[name](X, draws), labels).predict_proba(Q)
    np.testing.assert_allclose(found, estimator.fit(X, Y).predict_proba(Q), atol=1e-4)


def bad_number(draws):
    which = draws.choice(list(FITTED))
    retriever, queries = FITTED[which], CODES_Q if which == "codes" else Q
    value = draws.choice(BAD_NUMBERS)
    method = draws.choice(["kneighbors", "retrieve", "kneighbors_graph"])
    yield f"{which}: {method}(n_neighbors={value!r})"
    must_fail(getattr(retriever, method), queries, value)


def bad_within(draws):
    retriever = FITTED[draws.choice(["features", "hard", "codes"])]
    queries = CODES_Q if retriever is FITTED["codes"] else Q
    masks = [np.ones(3, bool), np.ones((len(X), 1), bool), ["wolf"], [1.5], [None], [["ant"], 3]]
    value = draws.choice(masks)
    yield f"within={value!r}"
    must_fail(retriever.kneighbors, queries, 2, within=value)


def bad_gallery(draws):
    which = draws.choice(list(FITTED))
    retriever = copy.deepcopy(FITTED[which])
    rows, queries = (CODES[:7], CODES_Q) if which == "codes" else (X[:7], Q)
    before, size = answers(retriever, queries), retriever.n_samples_fit_
    method = draws.choice(["set_gallery", "add_to_gallery"])
    spoiled = draws.choice(["features", "labels", "ids"])
    arguments = {"X": rows, "y": NAMES[Y[:7]], "ids": None}
    if spoiled == "features":
        kinds = {**BAD_FEATURES, **BAD_SHAPES}
        del kinds["no rows"]
        name = draws.choice(list(kinds))
        arguments["X"] = kinds[name](rows, draws)
    elif spoiled == "labels":
        name = draws.choice(list(BAD_LABELS))
        arguments["y"] = BAD_LABELS[name](Y[:7], draws)
    else:
        name = draws.choice(list(BAD_IDS))
        arguments["ids"] = BAD_IDS[name](7, draws)
    yield f"{which}: {method} with {spoiled}: {name}"
    must_fail(getattr(retriever, method), **arguments)
    assert retriever.n_samples_fit_ == size
    np.testing.assert_array_equal(answers(retriever, queries), before)


def bad_removal(draws):
    retriever = copy.deepcopy(FITTED["features"])
    ids = draws.choice([[10**9], ["ant"], [0, 0], [None], [1.5], [[1], [2]], [np.nan], {"a": 1}, [-1]])
    yield f"remove_from_gallery({ids!r})"
    must_fail(retriever.remove_from_gallery, ids)
    assert retriever.n_samples_fit_ == len(X)


def bad_scoring(draws):
    whats = ["k", "metric", "gallery", "empty", "ties", "labels", "ranked", "hierarchy", "relevant"]
    what = draws.choice(whats)
    yield f"scoring with a bad {what}"
    ranked, labels = NAMES[np.tile(Y[:8], (9, 1))], NAMES[T]
    if what == "labels":
        name = draws.choice(list(BAD_LABELS))
        must_fail(make_retrieval_scorer("map", 3), FITTED["features"], Q, BAD_LABELS[name](T, draws))
    elif what == "ranked":
        wrong = draws.choice([ranked[:3], ranked[0], ranked[None], [], "abc"])
        must_fail(average_precision_at_k, labels, wrong, 3, n_relevant=np.full(9, 8))
    elif what == "hierarchy":
        wrong = draws.choice([None, "tree.txt", ClassHierarchy.flat(["x", "y"]), 3])
        must_fail(ndcg_at_k, labels, ranked, wrong, 3, y_gallery=NAMES[Y])
    elif what == "relevant":
        wrong = draws.choice([np.full(3, 2), np.full(9, -1), "many", np.full((9, 2), 1), np.full(9, np.nan)])
        must_fail(average_precision_at_k, labels, ranked, 3, n_relevant=wrong)
    else:
        values = {
            "k": [0, -1, 1.5, True, "3"],
            "metric": ["mAP", None, 3, "auc"],
            "gallery": ["train", None],
            "empty": ["drop", None],
            "ties": ["random", None],
        }
        must_fail(make_retrieval_scorer, **{what: draws.choice(values[what])})


def bad_partial_fit(draws):
    """More samples that are wrong: the retriever stays, and learns from right ones afterwards."""
    retriever = copy.deepcopy(FITTED[draws.choice(["features", "cosine"])])
    before = answers(retriever, Q)
    if draws.random() < 0.5:
        kinds = {**BAD_FEATURES, **BAD_SHAPES}
        name = draws.choice(list(kinds))
        yield f"partial_fit of features: {name}"
        must_fail(retriever.partial_fit, kinds[name](X[:7], draws), NAMES[Y[:7]])
    else:
        name = draws.choice(list(BAD_LABELS))
        yield f"partial_fit to labels: {name}"
        must_fail(retriever.partial_fit, X[:7], BAD_LABELS[name](Y[:7], draws))
    np.testing.assert_array_equal(answers(retriever, Q), before)


def bad_place(draws):
    retriever = copy.deepcopy(TAUGHT)
    before = answers(retriever, Q)
    labels = np.array(["emu", *NAMES[Y[1:7]]])
    nodes = ["bird", "ant", None, ["beast"]]
    wrong = [*({"emu": node} for node in nodes), {"ant": "beast"}, {"yak": "beast"}, {("emu",): "beast"}]
    parents = draws.choice([*wrong, ["beast"], "beast", 3])
    yield f"parents={parents!r}"
    must_fail(draws.choice([retriever.set_gallery, retriever.add_to_gallery]), X[:7], labels, parents=parents)
    np.testing.assert_array_equal(answers(retriever, Q), before)


def mutated_tree(draws):
    """Text that was a tree: an error, or a tree that can be written and read again."""
    form = draws.choice(["newick", "outline", "json", "nested", "csv", "nexus"])
    text = list(TEXTS[form] if form in TEXTS else getattr(TREE, f"to_{form}")())
    for _ in range(draws.randrange(1, 4)):
        place = draws.randrange(len(text))
        text[place] = draws.choice(["", *"(),:;'\n\t 0-a\"}\0[]{\\#\ufeff"])
    text = "".join(text)
    yield f"{form}: {text!r}"
    read = getattr(ClassHierarchy, "from_newick" if form == "nexus" else f"from_{form}")
    try:
        tree = read(io.StringIO(text) if form == "csv" else text)
    except DOCUMENTED:
        return
    except OSError:  # a text without a line end may be a path
        assert "\n" not in text.strip()
        return
    assert ClassHierarchy.from_json(tree.to_json()) == tree


TAUGHT = HierarchicalRetriever(TREE).fit(X, NAMES[Y])
TEXTS = {
    "nested": '{"name": "all", "children": [{"name": "beast", "children": ["cow", "dog"]}, {"name": "ant"}]}',
    "csv": "group,class\nbeast,cow\nbeast,dog\n,ant\n",
    "nexus": "#NEXUS [x] begin trees; translate a ant, b 'bee'; tree t = [&R] ((a:1,b:1)i:1,\"c\":2)r; end;",
}
CASES = [
    bad_fit,
    bad_partial_fit,
    bad_place,
    bad_parameter,
    bad_query,
    bad_query,
    same_query,
    same_fit,
    bad_number,
    bad_within,
    bad_gallery,
    bad_gallery,
    bad_removal,
    bad_scoring,
    mutated_tree,
]


@pytest.mark.parametrize("batch", range(N_BATCHES))
def test_bad_input_ends_in_an_error_or_a_right_result(batch):
    draws = random.Random(batch)
    failed = []
    for number in range(N_OF_A_BATCH):
        case, what = draws.choice(CASES), "?"
        try:
            for what in case(draws):  # noqa: B007
                pass
        except BaseException as error:
            failed.append(f"{number}: {what}\n    {type(error).__name__}: {str(error)[:300]}")
    assert not failed, "\n".join(failed)


def test_hashers_refuse_bad_features():
    draws = random.Random(0)
    hasher = ITQHasher(8, random_state=0).fit(X)
    for name, spoil in {**BAD_FEATURES, **BAD_SHAPES}.items():
        if name not in BAD_SHAPES:
            must_fail(ITQHasher(8).fit, spoil(X, draws))
        must_fail(hasher.transform, spoil(Q, draws))
