"""Public docstrings: parameters in the signature's order, what is returned, a verb first."""

import importlib
import inspect

import pytest
from numpydoc.validate import validate
from sklearn.utils._testing import assert_docstring_consistency

from tests.test_layering import PACKAGES

#: Left out: parameters that several functions share say "See ..." (PR04, PR07), what is returned may need no
#: further description (RT03, RT04), properties name a value (GL08), and the rest is a matter of taste.
IGNORED = {
    "ES01",
    "EX01",
    "GL01",
    "GL02",
    "GL03",
    "GL07",
    "GL08",
    "PR04",
    "PR07",
    "PR08",
    "RT02",
    "RT03",
    "RT04",
    "SA01",
}


#: Parameters, and the estimators in which they are the same thing.
SHARED = {
    "n_folds": ["DiscriminantClassifier", "WithinClassWhitening"],
    "random_state": ["DiscriminantClassifier", "WithinClassWhitening"],
    "n_jobs": ["HammingRetriever", "HierarchicalRetriever"],
    "n_neighbors": ["HammingRetriever", "HierarchicalRetriever"],
    "verbose": ["HammingRetriever", "HierarchicalRetriever"],
    "n_features_in_": [
        "DiscriminantClassifier",
        "HierarchicalRetriever",
        "MahalanobisClassifier",
        "WithinClassWhitening",
    ],
}
OF_STEPS = {
    "retriever": ["Diffusion", "Diversify", "KReciprocal", "QueryExpansion"],
    "n_neighbors": ["DatabaseAugmentation", "Diffusion", "Diversify", "KReciprocal", "QueryExpansion"],
    "retriever_": ["DatabaseAugmentation", "Diffusion", "Diversify", "KReciprocal", "QueryExpansion"],
}


@pytest.mark.parametrize(
    ("package", "name", "owners"),
    [
        *(("", name, owners) for name, owners in SHARED.items()),
        *((".reranking", name, owners) for name, owners in OF_STEPS.items()),
    ],
)
def test_shared_parameters_are_described_alike(package, name, owners):
    module = importlib.import_module(f"sklearn_hierret{package}")
    kind = "include_attrs" if name.endswith("_") else "include_params"
    assert_docstring_consistency([getattr(module, owner) for owner in owners], **{kind: [name]})


MEANINGS = {
    # The last is deprecated.
    "alpha": "HierarchicalRetriever HammingRetriever HierarchicalEmbedding QueryExpansion",
    "memory": "HierarchyBuilder CNNFeatureExtractor CNNHashExtractor LatentGaussianExtractor "
    "FrozenFeatureExtractor RetrievalPipeline",
}


@pytest.mark.parametrize("name", MEANINGS)
def test_a_name_of_a_parameter_has_one_meaning(name):
    owners = set()
    for package in PACKAGES:
        try:
            module = importlib.import_module(f"sklearn_hierret{package}")
            items = [getattr(module, public) for public in module.__all__]
        except ImportError:  # of an extra
            continue
        owners |= {
            item.__name__
            for item in items
            if isinstance(item, type) and name in inspect.signature(item.__init__).parameters
        }
    assert owners <= set(MEANINGS[name].split())


def docstrings(package):
    module = importlib.import_module(f"sklearn_hierret{package}")
    for name in module.__all__:
        item = getattr(module, name)
        if not callable(item):
            continue
        yield f"sklearn_hierret{package}.{name}"
        for member, function in (
            inspect.getmembers(item, inspect.isfunction) if isinstance(item, type) else []
        ):
            is_ours = function.__module__.startswith("sklearn_hierret")
            if is_ours and not member.startswith("_") and function.__doc__ is not None:
                yield f"sklearn_hierret{package}.{name}.{member}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings(package):
    if package == ".nn":
        pytest.importorskip("skorch", reason="needs the extra nn")
    faults = {}
    for name in docstrings(package):
        errors = [error for error in validate(name)["errors"] if error[0] not in IGNORED]
        if errors:
            faults[name] = errors
    assert faults == {}
