"""The page in a browser, which `.ci/run` has: Debian's chromium and chromium-driver, and selenium."""

import time

import numpy as np
import pytest

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever, HierarchyBuilder
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.explorer import explore
from sklearn_hierret.interaction import RetrievalSession

EVIL = "<script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def data():
    X, y, tree = make_hierarchical_blobs(500, level_std=(2, 1), n_features=12, random_state=0)
    names = np.array([EVIL, *(f"class {i}" for i in range(1, tree.n_classes))])
    tree = ClassHierarchy(names[tree.classes], tree.parents, tree.heights)
    retriever = HierarchicalRetriever(tree).fit(X[:300], names[y[:300]])
    shade = (25 * y[300:]).astype(np.uint8)
    images = np.broadcast_to(shade[:, None, None, None], (200, 40, 40, 3)).copy()
    return retriever, X[300:], names[y[300:]], images


@pytest.fixture
def page(browser, data, tmp_path):
    retriever, X, y, images = data
    explore(retriever, X, y, images=images, path=tmp_path / "page.html", title=EVIL)
    browser.set_window_size(1250, 1000)
    browser.get((tmp_path / "page.html").as_uri())
    yield browser
    problems = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert problems == []


def found(browser, place):
    """Numbers of the images in a grid."""
    script = f"return [...document.querySelectorAll('{place} button.open')].map(e => Number(e.dataset.item))"
    return browser.execute_script(script)


def click(browser, selector):
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def test_lists_are_those_of_the_retriever(page, data):
    retriever, X, _, _ = data
    click(page, "#node button.open[data-item='3']")
    grids = [found(page, f"#lists > div:nth-child({i}) .grid") for i in (1, 2)]
    for alpha, grid in zip((0.0, retriever.alpha), grids, strict=True):
        model = HierarchicalRetriever(retriever.hierarchy_, alpha=alpha)
        model.__dict__.update({k: v for k, v in vars(retriever).items() if k != "alpha"})
        model.set_gallery(X, gallery_leaves="predicted", new_classes="ignore")  # as the page does
        assert grid == model.kneighbors(None, 20)[1][3].tolist()
    assert page.execute_script("return document.querySelectorAll('#facets .facet').length") >= 1


def test_names_are_text(page):
    assert page.title == EVIL
    assert page.find_element("tag name", "h1").text == EVIL
    names = page.execute_script(
        "return [...document.querySelectorAll('#tree li > div')].map(e => e.innerText)"
    )
    assert any("<script>" in name for name in names)
    assert page.execute_script("return document.querySelectorAll('script').length") == 2


@pytest.fixture(scope="module")
def few_classes():
    """Six classes at most, so that the page knows all leaves; one of them is new in the gallery."""
    rng = np.random.default_rng(0)
    centers, y = 2.5 * rng.normal(size=(6, 12)), rng.integers(0, 6, 420)
    X = centers[y] + rng.normal(size=(420, 12))
    train = np.flatnonzero(y[:300] < 5)
    retriever = HierarchicalRetriever(HierarchyBuilder()).fit(X[train], y[train])
    return retriever, X[300:], y[300:]


def test_marks_rank_as_a_session_does(browser, few_classes, tmp_path):
    """Two hundred random sessions: the belief and the order of the page are those of the package."""
    retriever, X, y = few_classes
    images = np.zeros((len(X), 6, 6), dtype=np.uint8)
    explore(retriever, X, y, images=images, path=tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    searched = retriever.with_gallery(X, gallery_leaves="predicted", new_classes="ignore")
    names, rng, n_unknown = retriever.hierarchy_.node_names, np.random.default_rng(1), 0
    for _ in range(200):
        query, *marked = rng.permutation(len(X))[: 1 + rng.integers(1, 9)].tolist()
        is_relevant = rng.random(len(marked)) < rng.random()
        if rng.random() < 0.7:  # marks with a meaning
            is_relevant = y[marked] == y[query]
        marks = [[item, bool(r)] for item, r in zip(marked, is_relevant, strict=True)]
        script = (
            "const r = rankedByMarks(arguments[0], new Map(arguments[1]), 24);"
            "return [[...r.p], r.found.map(f => f.item), r.found.map(f => f.total)]"
        )
        p, items, totals = browser.execute_script(script, query, marks)
        session = RetrievalSession(searched, X[[query]])
        session.mark(*(np.array(marked)[mask] for mask in (is_relevant, ~is_relevant)))
        table = session.nodes()
        ours = np.array([p[names.index(node)] for node in table["node"]])
        np.testing.assert_allclose(ours, table["probability"], atol=2e-3)
        distances, positions = session.kneighbors(len(X) - len(marked))
        others = positions[0] != query
        of_item = dict(zip(positions[0][others].tolist(), distances[0][others].tolist(), strict=True))
        np.testing.assert_allclose(totals, [of_item[item] for item in items], atol=0.02)
        np.testing.assert_allclose(totals, sorted(of_item.values())[:24], atol=0.02)
        n_unknown += p[-1] > 0.5
    assert 5 < n_unknown < 195  # both kinds were there


def test_marks_are_taken_back_where_they_are_shown(page, data):
    click(page, "#node button.open[data-item='3']")
    shown = found(page, "#lists > div:nth-child(2) .grid")
    for item, sign in ((shown[0], "yes"), (shown[1], "no"), (shown[2], "yes")):
        click(page, f"#lists > div:nth-child(2) .card[data-item='{item}'] button.{sign}")
    assert page.execute_script("return document.querySelectorAll('#marked button').length") == 3
    assert not set(found(page, "#meant .grid")) & {3, *shown[:3]}
    click(page, "#marked button:nth-child(2)")
    assert page.execute_script("return document.querySelectorAll('#marked button').length") == 2
    assert page.execute_script("return document.querySelectorAll('#meant li').length") == 4
    click(page, "#forget")
    assert page.execute_script("return document.getElementById('meant').hidden")


def test_keys_are_enough(page):
    from selenium.webdriver.common.keys import Keys

    root = page.find_element("css selector", "#tree li")
    root.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    inside = page.execute_script("return document.activeElement.id")
    assert inside.startswith("node-")
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.find_element("id", inside).get_attribute("aria-selected") == "true"
    first = page.find_element("css selector", "#node button.open")
    first.send_keys(Keys.ENTER)
    result = page.find_element("css selector", "#lists .grid button.open")
    item = result.get_attribute("data-item")
    result.send_keys("r")
    assert page.execute_script("return !document.getElementById('meant').hidden")
    pressed = f"return document.querySelector('#lists .card[data-item=\"{item}\"] button.yes').ariaPressed"
    assert page.execute_script(pressed) == "true"


def test_small_screens(page):
    page.set_window_size(420, 800)
    click(page, "#node button.open")
    wide = page.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 1
    columns = "getComputedStyle(document.getElementById('lists')).gridTemplateColumns"
    assert len(page.execute_script(f"return {columns}").split()) == 1


@pytest.mark.slow
def test_two_thousand_images(browser, data, tmp_path, rng):
    retriever, X, y, _ = data
    X = np.repeat(X, 10, axis=0) + 0.3 * rng.normal(size=(2000, X.shape[1]))
    base = rng.integers(0, 256, (2000, 8, 8, 3))
    images = np.repeat(np.repeat(base, 8, axis=1), 8, axis=2).astype(np.uint8)
    path = tmp_path / "page.html"
    explore(retriever, X, np.repeat(y, 10), images=images, path=path, layout="pca")
    assert path.stat().st_size < 15e6
    start = time.perf_counter()
    browser.get(path.as_uri())
    click(browser, "#node button.open")
    click(browser, "#lists button.yes")
    assert len(found(browser, "#meant .grid")) == 24
    assert time.perf_counter() - start < 30  # usable, on a slow machine, too
