"""Without torch, numba or scikit-image, what needs them is not collected."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("torch") is None or find_spec("skorch") is None:
    collect_ignore += ["sklearn_hierret/nn", "tests/nn"]
if find_spec("skimage") is None:
    collect_ignore += [f"sklearn_hierret/descriptors/{name}.py" for name in ("__init__", "_verification")]
if find_spec("numba") is None:
    collect_ignore += ["sklearn_hierret/search/_compiled.py"]
