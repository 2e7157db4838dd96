"""Command line of the study."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sklearn_hierret.study._data import read_data
from sklearn_hierret.study._run import Study


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; 0, or 2 after an error that the user can correct."""
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_hierret.study",
        description="Every method of the papers on one data set: tables, figures, intervals.",
    )
    parser.add_argument("--data", help="digits, plankton=PATH, grocery=PATH, cifar100, cub or folder=PATH")
    parser.add_argument("--features", help=".npz with X_train, y_train, X_test, y_test")
    parser.add_argument("--taxonomy", help="file of parents and children, Newick or JSON")
    parser.add_argument("--out", type=Path, help="folder for results; default: study_NAME")
    parser.add_argument(
        "--network",
        help="backbone to train, frozen:NAME for a network as it is (such as frozen:efficientnet-lite0), or "
        "none; default: tiny for digits, else plain11",
    )
    parser.add_argument("--size", type=int, help="pixels that images are resized to for a frozen network")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--queries", type=int, default=2000, help="at most so many test samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-robustness", action="store_true", help="clean images only")
    parser.add_argument("--no-retrain", action="store_true", help="one network for all corruptions")
    parser.add_argument(
        "--regimes", action="store_true", help="also a labelled gallery, and classes that are new to it"
    )
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        data = read_data(options.data, options.features, options.taxonomy, options.seed)
        network = options.network
        if network is None:
            network = "tiny" if data.name == "digits" else "plain11"
            if not data.are_images or find_spec("skorch") is None:
                network = "none"
                if data.are_images:
                    print("Without the extra nn, pixels are the features.", file=sys.stderr)
        study = Study(
            data,
            options.out or Path(f"study_{data.name}"),
            network=network,
            epochs=options.epochs,
            robustness=not options.no_robustness,
            retrain=not options.no_retrain,
            regimes=options.regimes,
            size=options.size,
            n_queries=options.queries,
            seed=options.seed,
        )
        study.run()
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print((study.out / "report.md").read_text(encoding="utf-8"))
    print(f"{time.perf_counter() - start:.0f} s; everything is in {study.out}")
    return 0


if __name__ == "__main__":
    # An exit, so that what is half-written is removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
