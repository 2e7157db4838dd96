"""Temperature 4 against the one of held-out likelihood, for soft leaves.

python -m tests.benchmarks.temperature --plankton PATH/plankton
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn_hierret import HierarchicalRetriever, HierarchyBuilder, MahalanobisClassifier, evaluate_retrieval
from tests.benchmarks._data import digits, markdown_table, plankton


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plankton", type=Path, help="folder of the plankton data")
    args = parser.parse_args()
    rows = []
    for data in [digits(), *([plankton(args.plankton)] if args.plankton else [])]:
        for temperature in (1.0, 2.0, 4.0, 8.0, "auto"):
            model = MahalanobisClassifier(temperature=temperature)
            retriever = HierarchicalRetriever(HierarchyBuilder(class_model=model))
            retriever.fit(data.X_train, data.y_train)
            table = evaluate_retrieval(retriever, data.X_test[:3000], data.y_test[:3000], [20], ["map"])
            chosen = getattr(retriever.class_model_, "temperature_", temperature)
            accuracy = retriever.class_model_.score(data.X_test, data.y_test)
            score = table["score"].item()
            rows.append([data.name, temperature, f"{chosen:.2f}", f"{accuracy:.3f}", f"{score:.3f}"])
    print(markdown_table(["data", "temperature", "chosen", "accuracy of the leaf", "mAP@20"], rows))


if __name__ == "__main__":
    main()
