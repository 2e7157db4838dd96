"""What the extractor costs beyond plain torch: time of an epoch, memory of transform.

    python -m tests.benchmarks.networks_cost

Epochs alternate between the extractor and a plain loop over the same network, batches and optimizer;
the ratio of medians is printed. Needs the extra ``nn`` and psutil.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import psutil
import torch
from torch.nn import functional as F

from sklearn_hierret.nn import CNNFeatureExtractor


def plain_epoch(net: CNNFeatureExtractor, X: torch.Tensor, y: torch.Tensor) -> float:
    """One epoch of the usual loop; seconds."""
    module, optimizer = net.module_, net.optimizer_
    start = time.perf_counter()
    module.train()
    order = torch.randperm(len(X))
    for rows in order.split(net.batch_size):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(X[rows].to(net.device)), y[rows].to(net.device))
        loss.backward()
        optimizer.step()
        loss.item()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for backbone, n, side in (("tiny", 6000, 32), ("plain11", 300, 32)):
        X = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        y = rng.integers(0, 10, n)
        net = CNNFeatureExtractor(backbone, max_epochs=1, random_state=0, batch_size=100).fit(X, y)
        ours, plain = [], []
        for _ in range(options.repeats):
            net.partial_fit(X, y)
            ours.append(net.history[-1, "dur"])
            plain.append(plain_epoch(net, torch.from_numpy(X), torch.from_numpy(y)))
        ratio = np.median(ours) / np.median(plain)
        print(
            f"{backbone}, {n} images: {np.median(ours):.2f} s an epoch, plain {np.median(plain):.2f} s; ",
            end="",
        )
        print(f"ratio {ratio:.3f}")
    X = rng.integers(0, 256, (10_000, 64, 64, 3), dtype=np.uint8)
    net = CNNFeatureExtractor("tiny", max_epochs=1).fit(X[:500], rng.integers(0, 10, 500))
    process = psutil.Process()
    before = process.memory_info().rss
    peak = 0

    class Watching(CNNFeatureExtractor):
        def _layer_output(self, images: torch.Tensor) -> torch.Tensor:
            nonlocal peak
            peak = max(peak, process.memory_info().rss)
            return super()._layer_output(images)

    net.__class__ = Watching
    start = time.perf_counter()
    features = net.transform(X)
    seconds = time.perf_counter() - start
    beyond = (max(peak, process.memory_info().rss) - before - features.nbytes) / 2**20
    print(f"transform of 10,000 images of 64 x 64: {seconds:.1f} s, {beyond:.0f} MiB beyond the result")


if __name__ == "__main__":
    main()
