"""How large a page of 10,000 images is, and how fast it is in a browser.

    python -m tests.benchmarks.explorer [--images 10000]

Prints megabytes, seconds until the first paint and until all is shown, and the milliseconds of actions from
the event until the page has been laid out. Needs the extra "browser", chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.explorer import explore

ACTIONS = {
    "open an image": "go({image: 17})",
    "mark a result": "document.querySelector('#lists .yes').click()",
    "mark another": "document.querySelectorAll('#lists .no')[5].click()",
    "close it": "closeSearch()",
    "order by suspicion": "go({order: 'suspicion'})",
    "type a name": "go({text: 'image 12'}, {adds: false})",
    "delete it": "go({text: ''}, {adds: false})",
    "choose a node": "go({node: root - 1})",
    "count by prediction": "go({by: 'predicted'})",
    "show copies": "go({view: 'copies'})",
    "show classes": "go({view: 'classes'})",
    "show the map": "go({view: 'map'})",
    "choose on the map": "choose(Array.from({length: 500}, (_, i) => i))",
    "open another": "go({view: 'images', image: 5})",
    "correct a label": "relabel(5, data.classes[1])",
    "undo it": "relabel(5, null)",
}
TIME = """
    const start = performance.now();
    %s;
    document.body.getBoundingClientRect();
    return performance.now() - start;
"""


def main() -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    n = parser.parse_args().images
    rng = np.random.default_rng(0)
    X, y, _ = make_hierarchical_blobs(2 * n, level_std=(2, 1), n_features=96, random_state=0)
    retriever = HierarchicalRetriever().fit(X[:n], y[:n])
    # Smooth pictures, about as large as photographs when compressed.
    coarse = rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder:
        path, start = Path(folder) / "page.html", time.perf_counter()
        explore(retriever, X[n:], y[n:], images=images, path=path)
        print(f"{path.stat().st_size / 1e6:.1f} MB, made in {time.perf_counter() - start:.0f} s")
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            start = time.perf_counter()
            browser.get(path.as_uri())
            paint = browser.execute_script(
                "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            print(f"first paint {paint} ms, opened after {time.perf_counter() - start:.1f} s")
            for name, action in ACTIONS.items():
                print(f"{name}: {browser.execute_script(TIME % action):.0f} ms")
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
