"""Without torch, what needs it is not collected."""

from importlib.util import find_spec

if find_spec("torch") is None or find_spec("skorch") is None:
    collect_ignore = ["sklearn_hierret/nn", "tests/nn"]
