"""Networks in files that run nothing when they are read: safetensors and JSON."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import skorch
import torch

from sklearn_hierret.hierarchy import CombinedHierarchy
from sklearn_hierret.nn._description import FORMAT, PARTS, read_description
from sklearn_hierret.nn._net import ImageNeuralNet

_WEIGHTS, _DESCRIPTION = "weights.safetensors", "extractor.json"


def save(net: ImageNeuralNet, folder: Any) -> None:
    """Write weights and description of a fitted extractor."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {name: getattr(net, name) for name in (*PARTS, *net._saved_parameters)}
    not_saved = [name for name in PARTS if not isinstance(parameters[name], str)]
    classes = net.classes_
    if classes.dtype.kind not in "iufUb" and not all(isinstance(c, str) for c in classes.tolist()):
        raise ValueError(f"Class labels must be text or numbers to be saved, got {classes.dtype}.")
    clusters = getattr(net, "cluster_classes_", None)
    description = {
        "format": FORMAT,
        "class": type(net).__name__,
        "versions": _versions(),
        "parameters": {name: value for name, value in parameters.items() if name not in not_saved},
        "not_saved": {name: _name_of(parameters[name]) for name in not_saved},
        "hierarchy": _hierarchy_to_json(net.hierarchy),
        "classes": classes.tolist(),
        "cluster_classes": None if clusters is None else clusters.tolist(),
        "dtype_of_classes": classes.dtype.str,
        "image_shape": list(net.image_shape_),
        "image_statistics": [values.tolist() for values in net.image_statistics_],
    }
    state = {name: tensor.contiguous().cpu() for name, tensor in net.module_.state_dict().items()}
    text = json.dumps(description, indent=1, default=lambda value: value.tolist())  # NumPy's numbers
    save_file(state, folder / _WEIGHTS)
    (folder / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def load(cls: type[ImageNeuralNet], folder: Any, device: str, parts: dict) -> Any:
    """Load an extractor from what `save` wrote."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in (_DESCRIPTION, _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} does not exist: is {folder} what save wrote?")
    try:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            sizes = [size for name in file.keys() for size in file.get_slice(name).get_shape()]  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{folder / _WEIGHTS}: no weights of this network ({error}).") from error
    description = read_description(folder / _DESCRIPTION, cls, max(sizes, default=0))
    missing = {name: what for name, what in description["not_saved"].items() if name not in parts}
    if missing:
        name, what = next(iter(missing.items()))
        raise ValueError(f"The {name} was no name but {what}, which is not saved: pass {name}=.")
    wrong = [name for name in parts if name not in description["not_saved"]]
    if wrong:
        raise TypeError(f"{wrong[0]} is saved, or no part of a network.")
    _compare_versions(description["versions"], folder)
    parameters = {**description["parameters"], **parts}
    net = cls(device=device, hierarchy=description["hierarchy"], **parameters)
    net.label_classes_, net.cluster_classes_ = description["classes"], description["cluster_classes"]
    net.image_shape_, net.image_statistics_ = description["image_shape"], description["image_statistics"]
    try:
        net.initialize()
    except (ValueError, TypeError, RuntimeError, KeyError, OverflowError) as error:
        raise ValueError(f"{folder / _DESCRIPTION}: no network is made of it ({error}).") from error
    try:
        net.module_.load_state_dict(load_file(folder / _WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / _WEIGHTS}: no weights of this network ({error}).") from error
    net.module_.to(net.device)
    return net


def _versions() -> dict[str, str]:
    return {
        "sklearn_hierret": version("sklearn-hierret"),
        "torch": torch.__version__.partition("+")[0],
        "skorch": skorch.__version__,
    }


def _compare_versions(saved: dict[str, str], folder: Path) -> None:
    here = _versions()
    other = [
        f"{name} {saved.get(name)} (here {here[name]})" for name in here if saved.get(name) != here[name]
    ]
    if other:
        warnings.warn(
            f"{folder} was saved with {', '.join(other)}: features may differ slightly.", UserWarning, 4
        )


def _name_of(part: Any) -> str:
    return f"a {type(part).__name__}" if not hasattr(part, "__name__") else part.__name__


def _hierarchy_to_json(hierarchy: Any) -> Any:
    if hierarchy is None:
        return None
    if isinstance(hierarchy, CombinedHierarchy):
        parts = [json.loads(part.to_json()) for part in hierarchy.hierarchies]
        return {"hierarchies": parts, "weights": hierarchy.weights.tolist()}
    return json.loads(hierarchy.to_json())
