"""Features of image files by a frozen network, beside a plain torch loop over the same loader.

    python -m tests.benchmarks.extraction --grocery PATH/grocery_store [--images 640]

Needs the extra ``pretrained``. Writes the images into a temporary folder first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sklearn_hierret.images._list import ImageList
from sklearn_hierret.nn import FrozenFeatureExtractor
from sklearn_hierret.nn.frozen._loading import ahead, prepare
from tests.benchmarks._data import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grocery", type=Path, required=True)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with np.load(options.grocery / "test.npz") as file:
        images = file["images"][: options.images]
    with tempfile.TemporaryDirectory() as folder:
        for i, image in enumerate(images):
            Image.fromarray(image).resize((256, 256)).save(Path(folder) / f"{i:05d}.jpg")
        rows = []
        for n_jobs in (1, 2):
            frozen = FrozenFeatureExtractor(image_size=160, n_jobs=n_jobs).fit()
            kept = FrozenFeatureExtractor(image_size=160, n_jobs=n_jobs, memory=Path(folder) / "kept").fit()
            kept.transform(folder)
            times: dict[str, list[float]] = {"plain loop": [], "transform": [], "kept": []}
            for _ in range(options.rounds):
                for name, work in (
                    ("plain loop", lambda frozen=frozen: plain(frozen, folder)),
                    ("transform", lambda frozen=frozen: frozen.transform(folder)),
                    ("kept", lambda kept=kept: kept.transform(folder)),
                ):
                    start = time.perf_counter()
                    work()
                    times[name].append(time.perf_counter() - start)
            ratio = np.median(np.divide(times["transform"], times["plain loop"]))
            seconds = [np.median(values) for values in times.values()]
            rows.append([n_jobs, *(f"{len(images) / s:.0f}" for s in seconds), f"{ratio:.3f}"])
        tracemalloc.start()
        frozen.transform(np.repeat(images, 8, axis=0))
        peak = tracemalloc.get_traced_memory()[1]
    header = ["threads", "plain loop, images/s", "transform", "features kept", "transform / plain loop"]
    print(markdown_table(header, rows))
    print(f"NumPy's peak for {8 * len(images)} images, with the result: {peak / 2**20:.0f} MiB")


def plain(frozen: FrozenFeatureExtractor, folder: str) -> list[torch.Tensor]:
    """What anybody would write."""
    settings, network, found = frozen._settings, frozen.network_, []
    images = ImageList(folder, 3)
    chunks = [
        range(s, min(s + settings.batch_size, len(images)))
        for s in range(0, len(images), settings.batch_size)
    ]
    with torch.inference_mode():
        for batch in ahead(lambda rows: prepare(images, None, settings, rows), chunks, settings.n_threads):
            found.append(network(batch.inputs.to(memory_format=torch.channels_last)))
    return found


if __name__ == "__main__":
    main()
