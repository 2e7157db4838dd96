"""Networks by name, from files, as modules and functions: all of them modules afterwards."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_hierret.nn._digest import digest_of
from sklearn_hierret.nn.backbones._pretrained import Inside, pretrained_network

#: How an ONNX file names another one: the key "location" as protocol buffers write it, and a length.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x00-\xff])", re.DOTALL)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Source:
    """A network before pooling, with what it was trained on."""

    body: nn.Module
    image_size: tuple[int, int] = (224, 224)
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    #: Whether these are what the network was trained on, not what most networks were.
    is_known: bool = True

    @property
    def last_layer(self) -> str | None:
        """Name of a linear layer that comes last among the modules, as that of a classifier does."""
        leaves = [(name, part) for name, part in self.body.named_modules() if not list(part.children())]
        is_linear = leaves and isinstance(leaves[-1][1], nn.Linear)
        return leaves[-1][0] if is_linear else None

    @property
    def has_layers(self) -> bool:
        """Whether outputs of modules can be asked for."""
        return not isinstance(self.body, (Called, ONNX, Script))

    def digest(self) -> str | None:
        """Return what tells the network from others; None, or an `UntellableError` error, if nothing does."""
        if isinstance(self.body, Called):
            key = getattr(self.body.function, "cache_key", None)
            return None if key is None else str(key)
        return self.body.digest if isinstance(self.body, ONNX) else digest_of(self.body)


def open_network(network: Any, weights: Any, *, pools: bool, picks_layers: bool) -> Source:
    """Load a network by name, from a file, or as it is.

    Parameters
    ----------
    network : str, path, nn.Module or callable
    weights : path, optional
        Of a state dict.
    pools, picks_layers : bool
        See `pretrained_network`.
    """
    if isinstance(network, torch.jit.ScriptModule):
        source = Source(Script(network), is_known=False)
    elif isinstance(network, nn.Module):
        source = _own_module(network)
    elif isinstance(network, (str, Path)):
        if Path(network).suffix.lower() in (".pt", ".pth", ".ts", ".torchscript", ".onnx"):
            source = Source(_from_file(Path(network).expanduser().resolve()), is_known=False)
        else:
            options = {"load": weights is None, "pools": pools, "picks_layers": picks_layers}
            source = Source(*pretrained_network(str(network), **options))
    elif callable(network) and not isinstance(network, type):
        source = Source(Called(network), is_known=False)
    else:
        kind = f"the class {network.__name__}" if isinstance(network, type) else f"a {type(network).__name__}"
        hint = ""
        if hasattr(network, "module_") or hasattr(network, "module"):  # skorch's
            hint = " Pass its module_ after fit, and layers=[...] for what comes before its classifier."
        raise TypeError(f"network must be a name, a path, a module or a callable, got {kind}.{hint}")
    body = source.body
    if weights is not None:
        if isinstance(body, (ONNX, Called)):
            raise ValueError("weights= are for networks of torch; ONNX files and functions have their own.")
        _load_weights(body.network if isinstance(body, Inside) else body, Path(weights).expanduser())
    if any(tensor.is_meta for tensor in (*body.parameters(), *body.buffers())):
        raise ValueError("The network has no weights: it is on the device 'meta'.")
    if source.has_layers:
        body.eval().requires_grad_(False).float()
    return source


def _own_module(network: nn.Module) -> Source:
    """Take a module, and what it says of the images that it was trained on, as those of timm do."""
    config = getattr(network, "pretrained_cfg", None)
    source = Source(copy.deepcopy(network), is_known=False)
    if isinstance(config, dict) and {"input_size", "mean", "std"} <= config.keys():
        size = tuple(config["input_size"][-2:])
        return Source(source.body, size, tuple(config["mean"]), tuple(config["std"]))
    return source


class Called(nn.Module):
    """A function from images to arrays or tensors."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Any:
        output = self.function(images)
        if isinstance(output, Tensor):
            return output
        try:
            return torch.from_numpy(np.asarray(output, dtype=np.float32))
        except (TypeError, ValueError):
            return output  # refused by its type


class Script(nn.Module):
    """A TorchScript module, which pickle can't take as it is."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Any:
        return self.script(images)

    def __getstate__(self) -> dict[str, Any]:
        buffer = io.BytesIO()
        with _quiet():
            torch.jit.save(self.script, buffer)
        return {"content": buffer.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__init__(self)
        with _quiet():
            self.script = torch.jit.load(io.BytesIO(state["content"]), map_location="cpu")
        self.training = self.script.training


class ONNX(nn.Module):
    """An ONNX file, run by onnxruntime."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.digest = path, _digest_of_onnx(path)
        self._open()

    def _open(self) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("An ONNX file needs onnxruntime: python -m pip install onnxruntime") from None
        providers = onnxruntime.get_available_providers()
        try:
            self.session = onnxruntime.InferenceSession(str(self.path), providers=providers)
        except Exception as error:  # its own types, which it does not export
            raise ValueError(f"{self.path}: onnxruntime can't read this file ({error}).") from error

    def forward(self, images: Tensor) -> Tensor:
        entry = self.session.get_inputs()[0]
        n = entry.shape[0] if isinstance(entry.shape[0], int) else len(images)
        results = []
        for start in range(0, len(images), n):  # some files take batches of one size only
            subset = images[start : start + n].cpu().numpy()
            batch = np.concatenate([subset, np.repeat(subset[-1:], n - len(subset), axis=0)])
            try:
                output = self.session.run(None, {entry.name: batch})[0]
            except Exception as error:
                raise ValueError(f"{self.path}: the network failed ({error}).") from error
            results.append(output[: len(subset)] if len(output) == n else output)
        return torch.from_numpy(np.concatenate(results).astype(np.float32, copy=False))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self.path.is_file() or _digest_of_onnx(self.path) != self.digest:
            raise ValueError(
                f"{self.path} is not there, or is not the file that the network was fitted with."
            )
        self._open()


def _from_file(path: Path) -> nn.Module:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: is it the file of a network?")
    if path.suffix.lower() == ".onnx":
        return ONNX(path)
    try:
        with _quiet():
            return Script(torch.jit.load(str(path), map_location="cpu"))
    except RuntimeError as error:
        raise ValueError(
            f"{path}: this is no TorchScript file ({str(error).splitlines()[0]}). Weights alone go into "
            "weights=, beside the network that they are for."
        ) from error


def _digest_of_onnx(path: Path) -> str:
    """Hash an ONNX file, and the files that it says its weights lie in."""
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16)
    names = set()
    for match in _LOCATION.finditer(content):
        start, n = match.end(), match[1][0]
        if n > 127:  # the length takes two bytes
            start, n = start + 1, (n & 127) + 128 * content[start]
        names.add(content[start : start + n])
    for name in sorted(names):
        digest.update(name)
        other = path.parent / os.fsdecode(name)
        if other.is_file():
            with open(other, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's request to export other files than TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _load_weights(body: nn.Module, path: Path) -> None:
    """Read a state dict, from a safetensors file or one of torch's without code."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: are these the weights?")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = {
            name.removeprefix("module."): value for name, value in state.get("state_dict", state).items()
        }
    except (SafetensorError, RuntimeError, OSError, EOFError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: these are no weights that can be read ({error}).") from error
    except Exception as error:  # pickle.UnpicklingError, where there is code in the file
        raise ValueError(f"{path}: this file holds more than weights, so it was not read.") from error
    try:
        # A classifier that was taken off may be among the weights.
        body = body.script if isinstance(body, Script) else body
        missing = body.load_state_dict(state, strict=False).missing_keys
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: the weights do not fit the network: {reason[:500]}") from error
    if missing:
        raise ValueError(
            f"{path}: the weights do not fit the network: {len(missing)} of its {len(body.state_dict())} "
            f"arrays are missing, such as {missing[:3]}."
        )
