"""The study, step by step; each step is kept, so that what was interrupted goes on."""

from __future__ import annotations

import contextlib
import json
import time
import zipfile
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret._files import remove_unfinished, written_whole
from sklearn_hierret.evaluation import evaluate_retrieval
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.images import ImageCorruption, ImageSource
from sklearn_hierret.study import _report
from sklearn_hierret.study._data import StudyData
from sklearn_hierret.study._methods import SemanticProjection, all_methods, tuned

CORRUPTIONS = ("blur", "saturation", "occlusion")
#: The training part as a gallery with labels; classes that only the test part has, among others or alone.
REGIMES = ("labelled", "half_unseen", "only_unseen")
#: Images of more numbers are reduced to a quarter of as many.
N_PIXELS = 512
KS = (1, 5, 10, 20, 50, 100, 250)


class Study:
    """Every method on one data set: tuned on a validation split, scored once on the test part.

    Parameters
    ----------
    data : StudyData
    out : path
        Steps, tables and figures go there.
    network : str, default="none"
        Backbone of the networks that are trained on images (extra ``nn``); "frozen:NAME" takes the
        features of `FrozenFeatureExtractor`, "none" takes pixels.
    epochs : int, default=20
    robustness : bool, default=True
        Also on images that are blurred, of changed saturation, and occluded.
    retrain : bool, default=True
        Train the network again for each corruption, as the paper does; otherwise only search with it.
    regimes : bool, default=False
        Also with a labelled gallery, and with half of the classes left out of the training part.
    size : int, optional
        Pixels that images are resized to for a frozen network.
    n_queries : int, default=2000
        Test samples, at most; each is a query against all others.
    seed : int, default=0
    """

    def __init__(
        self,
        data: StudyData,
        out: Any,
        *,
        network: str = "none",
        epochs: int = 20,
        robustness: bool = True,
        retrain: bool = True,
        regimes: bool = False,
        size: int | None = None,
        n_queries: int = 2000,
        seed: int = 0,
    ) -> None:
        if network.partition(":")[0] == "frozen" and not network.partition(":")[2]:
            raise ValueError("network 'frozen' needs a name, such as frozen:efficientnet-lite0.")
        for name, value, least in (("epochs", epochs, 0), ("n_queries", n_queries, 2), ("size", size, 1)):
            if value is not None and (not isinstance(value, Integral) or value < least):
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
        self.data, self.out = data, Path(out)
        self.network, self.epochs = network, epochs
        self.kinds = ("clean", *(_corruptions_of(data) if robustness else ()), *(REGIMES if regimes else ()))
        self.retrain, self.size, self.n_queries, self.seed = retrain, size, n_queries, seed
        self.config = {
            "data": data.name,
            "images": data.are_images,
            "n_train": len(data.y_train),
            "n_test": len(data.y_test),
            "n_classes": len(np.unique(data.y_train)),
            "taxonomy": None if data.taxonomy is None else data.taxonomy.to_newick(),
            "network": network,
            "epochs": epochs,
            "kinds": list(self.kinds),
            "retrain": retrain,
            "size": size,
            "n_queries": n_queries,
            "seed": seed,
            "content": data.content_hash(),
        }

    def run(self) -> pd.DataFrame:
        """Run what is not there yet, write tables and figures, return the summary.

        Raises
        ------
        ValueError
            If the folder holds another study.
        OSError
            If it can't be written to.
        """
        self._claim_folder()
        parts = []
        for kind in self.kinds:
            features = self._features(kind)
            parts += self._scores(kind, features)
        per_query = pd.concat(parts, ignore_index=True)
        self._say("intervals, tables and figures")
        return _report.write(per_query, self._chosen(), self.config, self.out, self.seed, REGIMES)

    def _claim_folder(self) -> None:
        path = self.out / "config.json"
        if path.exists():
            with _step(path):
                before = json.loads(path.read_text(encoding="utf-8"))
            if before != self.config and not any((self.out / "steps").glob("[!.]*")):
                self._write_config(path)  # that one ended before its first step did
                return
            if before != self.config:
                names = [
                    name for name in self.config if name not in before or before[name] != self.config[name]
                ]
                raise ValueError(
                    f"{self.out} holds another study (other {', '.join(names) or 'settings'} in {path}): "
                    "choose another --out, or delete that folder."
                )
            remove_unfinished(self.out)
            self._say(f"going on with what is in {self.out}")
            return
        self._write_config(path)

    def _write_config(self, path: Path) -> None:
        with written_whole(path) as part:
            part.write_text(json.dumps(self.config, indent=1) + "\n", encoding="utf-8")

    # ------------------------------------------------------------------------ features

    def _features(self, kind: str) -> dict[str, NDArray]:
        """Arrays X_fit, y_fit, X_val, y_val, X_test, y_test, and semantic ones."""
        kind = "clean" if kind == "labelled" else kind
        path = self.out / "steps" / f"features_{kind}.npz"
        if not path.exists():
            arrays = self._make_features(kind)
            with written_whole(path) as part:
                np.savez(part, **arrays)  # type: ignore[arg-type]
        with _step(path), path.open("rb") as raw, np.load(raw) as file:
            return {name: file[name] for name in file}

    def _make_features(self, kind: str) -> dict[str, NDArray]:
        start, data = time.perf_counter(), self.data
        rows, test = np.arange(len(data.y_train)), np.arange(len(data.y_test))
        if kind in REGIMES:
            classes = np.unique(data.y_train)
            known = np.random.RandomState(self.seed).permutation(classes)[: max(2, (len(classes) + 1) // 2)]
            rows = rows[np.isin(data.y_train, known)]
            if kind == "only_unseen":
                test = test[~np.isin(data.y_test, known)]
        fit, val = train_test_split(rows, test_size=0.2, random_state=self.seed, stratify=data.y_train[rows])
        test = test[: self.n_queries]
        arrays: dict[str, NDArray] = {
            "y_fit": data.y_train[fit],
            "y_val": data.y_train[val],
            "y_test": data.y_test[test],
        }
        parts = {"fit": data.X_train[fit], "val": data.X_train[val], "test": data.X_test[test]}
        learns = "half_unseen" if kind in REGIMES else kind if self.retrain else "clean"
        if data.are_images:
            parts = {
                name: self._corrupted(X, kind if name == "test" else learns) for name, X in parts.items()
            }
        for prefix, extractor in self._extractors(parts["fit"], arrays["y_fit"], learns).items():
            for name, X in parts.items():
                arrays[f"{prefix}_{name}"] = np.asarray(extractor.transform(X), dtype=np.float32)
        self._say(f"features of {kind} data in {time.perf_counter() - start:.0f} s")
        return arrays

    def _corrupted(self, X: Any, kind: str) -> Any:
        if kind not in CORRUPTIONS:
            return X
        source = ImageSource(X, self.data.image_size)
        # The paper's kernel of 11 pixels is for images of 224.
        kernel = 2 * max(1, round(5 * min(source.image_shape[:2]) / 224)) + 1
        images = source.batch(slice(None))
        return ImageCorruption(kind, kernel_size=kernel, random_state=self.seed).transform(images)

    def _extractors(self, X: Any, y: NDArray, kind: str) -> dict[str, Any]:
        """Name of features -> fitted transformer: plain, and semantic where there is a taxonomy."""
        tree = self.data.taxonomy
        tree = None if tree is None else tree.restrict(np.unique(y))
        name, _, frozen = self.network.partition(":")
        if not self.data.are_images or self.network == "none" or name == "frozen":
            plain: Any = _AsItIs()
            if self.data.are_images:
                plain = self._frozen(frozen) if frozen else _Pixels(self.data.image_size).fit(X)
            if tree is None:
                return {"plain": plain}
            projection = SemanticProjection(tree).fit(plain.transform(X), y)
            return {"plain": plain, "semantic": _Then(plain, projection)}
        extractors = {"plain": self._network(X, y, kind, "cross_entropy", None)}
        if tree is not None:
            extractors["semantic"] = self._network(X, y, kind, "corr+cls", tree)
        return extractors

    def _frozen(self, name: str) -> Any:
        from sklearn_hierret.nn import FrozenFeatureExtractor

        memory = self.out / "steps" / "frozen"
        return FrozenFeatureExtractor(name, image_size=self.size, memory=memory, verbose=1).fit()

    def _network(self, X: Any, y: NDArray, kind: str, loss: str, tree: ClassHierarchy | None) -> Any:
        from sklearn_hierret.nn import Augmentation, CNNFeatureExtractor, training_preset

        folder = self.out / "steps" / f"network_{kind}_{loss.replace('+', '_')}"
        if not folder.exists():
            self._say(f"training {self.network} by {loss} on {kind} images, {self.epochs} epochs")
            side = ImageSource(X[:1], self.data.image_size).image_shape[0]
            net = CNNFeatureExtractor(
                self.network,
                loss=loss,
                hierarchy=tree,
                augmentation=Augmentation(max(1, side // 8), flip=self.data.name != "digits"),
                image_size=self.data.image_size,
                random_state=self.seed,
                verbose=1,
                **training_preset("one_cycle", epochs=self.epochs),
            ).fit(X, y)
            with written_whole(folder) as part:
                net.save(part)
        with _step(folder):
            return CNNFeatureExtractor.load(folder)

    # -------------------------------------------------------------------------- scores

    def _scores(self, kind: str, arrays: dict[str, NDArray]) -> list[pd.DataFrame]:
        """Scores of each query by each method, from files or made."""
        classes = np.unique(arrays["y_fit"])
        tree = self.data.taxonomy
        seen = None if tree is None else tree.restrict(classes)
        n = len(arrays["y_test"])
        is_labelled = kind == "labelled"
        labels, counts = np.unique(arrays["y_test"], return_counts=True)
        if not (np.isin(labels, classes).any() if is_labelled else (counts > 1).any()):
            raise ValueError(
                f"{kind}: no test sample has another one of its class to find; the test part needs classes "
                "of two samples or more."
            )
        ks = [k for k in KS if k < (len(arrays["y_fit"]) if is_labelled else n)]
        metrics = ["map"] if tree is None else ["map", "ahp"]
        truth: dict[str, Any] = {} if tree is None else {"hierarchy": tree}
        frames = []
        for method in all_methods(seen, classes, self.seed):
            if is_labelled and isinstance(method.model, NearestNeighbors):
                continue  # it keeps no labels
            slug = "".join(c if c.isalnum() else "_" for c in method.name)
            path = self.out / "steps" / f"scores_{kind}_{slug}.csv"
            if not path.exists():
                start = time.perf_counter()
                X = {name: arrays[f"{method.features}_{name}"] for name in ("fit", "val", "test")}
                model, params = tuned(method, X["fit"], arrays["y_fit"], X["val"], arrays["y_val"], 20)
                scores = evaluate_retrieval(
                    model,
                    X["test"],
                    arrays["y_test"],
                    ks,
                    metrics,
                    gallery="fit" if is_labelled else "query",
                    per_query=True,
                    **truth,
                )
                scores.insert(0, "method", method.name)
                scores.insert(0, "kind", kind)
                scores["params"] = json.dumps(params)
                with written_whole(path) as part:
                    scores.to_csv(part, index=False, float_format="%.6g")
                self._say(f"{kind}: {method.name}, {params}, {time.perf_counter() - start:.1f} s")
            with _step(path):
                frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
                if len(frame) != n * len(ks) * len(metrics) or frame["params"].isna().any():
                    raise ValueError("rows are missing")
            frames.append(frame)
        return frames

    def _chosen(self) -> dict[str, Any]:
        """Parameters that were chosen, by kind and method."""
        chosen = {}
        for path in sorted((self.out / "steps").glob("scores_*.csv")):
            row = pd.read_csv(path, nrows=1, keep_default_na=False).iloc[0]
            chosen[f"{row['kind']}: {row['method']}"] = json.loads(row["params"])
        return chosen

    def _say(self, message: str) -> None:
        print(f"[study of {self.data.name}] {message}", flush=True)


@contextlib.contextmanager
def _step(path: Path) -> Iterator[None]:
    """Name the step that an earlier run wrote where reading it fails."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, and it is made again.") from error


def _corruptions_of(data: StudyData) -> tuple[str, ...]:
    """Return what can be done to the images; grey ones have no saturation."""
    if not data.are_images:
        return ()
    n_channels = ImageSource(data.X_train[:1], data.image_size).image_shape[2]
    return tuple(kind for kind in CORRUPTIONS if kind != "saturation" or n_channels >= 3)


class _AsItIs:
    def transform(self, X: Any) -> NDArray:
        return np.asarray(X)


class _Pixels:
    """Images as rows of numbers from 0 to 1, or, where they are many, their principal components."""

    def __init__(self, image_size: tuple[int, int] | None) -> None:
        self.image_size = image_size

    def fit(self, X: Any) -> _Pixels:
        self.pca = None
        rows = self.transform(X)
        if rows.shape[1] > N_PIXELS:
            self.pca = PCA(min(N_PIXELS // 4, len(rows) // 2), random_state=0).fit(rows)
        return self

    def transform(self, X: Any) -> NDArray:
        images = ImageSource(X, self.image_size).batch(slice(None))
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        rows = (images / np.float32(scale)).reshape(len(images), -1)
        return rows if self.pca is None else self.pca.transform(rows)


class _Then:
    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second

    def transform(self, X: Any) -> NDArray:
        return self.second.transform(self.first.transform(X))
