"""A curator's session in a browser: look for wrong labels, correct them, and bring the corrections back."""

import json
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.explorer import explore
from sklearn_hierret.inspection import label_issues, read_corrections
from tests.explorer.conftest import click

DIGITS = load_digits()
N = 400


@pytest.fixture
def mislabelled():
    rng = np.random.default_rng(0)
    y, rows = DIGITS.target[:N].copy(), rng.permutation(N)[:20]
    y[rows] = (y[rows] + rng.integers(1, 10, 20)) % 10
    return y, rows


def opened(browser, tmp_path, retriever, y, **more):
    images = DIGITS.images[:N] / 16
    explore(retriever, DIGITS.data[:N], y, images=images, path=tmp_path / "page.html", **more)
    browser.set_window_size(1250, 1000)
    browser.get((tmp_path / "page.html").as_uri())
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )


def choose(browser, name, value):
    browser.execute_script(
        "const box = document.getElementById(arguments[0]); box.value = arguments[1];"
        "box.dispatchEvent(new Event(box.type === 'search' ? 'input' : 'change'))",
        name,
        value,
    )


def shown(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#node button.open')].map(e => Number(e.dataset.item))"
    )


def text(browser, selector):
    return browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def saved(path):
    for _ in range(50):
        if path.exists() and path.stat().st_size:
            return path
        time.sleep(0.1)
    raise AssertionError(f"{path.name} was not saved")


def test_a_session(browser, tmp_path, mislabelled):
    y, rows = mislabelled
    retriever = HierarchicalRetriever().fit(DIGITS.data[:N], y)
    opened(browser, tmp_path, retriever, y)
    choose(browser, "order", "suspicion")
    first = shown(browser)
    assert first[:20] == label_issues(retriever)["id"][:20].tolist()
    corrected = [item for item in first if item in rows][:5]
    for item in corrected:
        click(browser, f"#node button.open[data-item='{item}']")
        click(browser, "#query button.large")
        assert browser.execute_script("return document.getElementById('large').open")
        click(browser, "#large button")
        browser.execute_script(
            "document.getElementById('label').value = arguments[0]", str(DIGITS.target[item])
        )
        click(browser, "#correction button[type=submit]")
        assert text(browser, "#status") == f"{item} is {DIGITS.target[item]} now."
    choose(browser, "filter", "corrected")
    assert sorted(shown(browser)) == sorted(corrected)
    click(browser, "#json")
    click(browser, "#csv")
    tables = [
        read_corrections(saved(tmp_path / f"corrections.{kind}"), retriever) for kind in ("json", "csv")
    ]
    for table in tables:
        assert sorted(table["id"]) == sorted(corrected)
        assert table["label"].tolist() == DIGITS.target[table["id"].to_numpy(dtype=int)].tolist()
    retriever.relabel(table["id"], table["label"], update_model=True)
    opened(browser, tmp_path, retriever, retriever.gallery_labels_)
    choose(browser, "filter", "suspect")
    assert not set(shown(browser)) & set(corrected)
    assert len(shown(browser)) < 60
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_lists_are_searched_and_filtered(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    retriever = HierarchicalRetriever().fit(DIGITS.data[:N], y)
    names = [f"scan {i:03d}.png" for i in range(N)]
    opened(browser, tmp_path, retriever, y, ids=names)
    assert text(browser, "#count") == "120 of 400 images"
    assert set(y[shown(browser)[:10]]) == set(range(10))  # classes in turn
    click(browser, "#more")
    assert text(browser, "#count") == "240 of 400 images"
    choose(browser, "find", "scan 12")
    assert sorted(shown(browser)) == list(range(120, 130))
    assert text(browser, "#node .card .id").startswith("scan 12")
    choose(browser, "find", "no such")
    assert text(browser, "#count") == "No image is like that."
    choose(browser, "find", "")
    choose(browser, "filter", "disagree")
    leaves = retriever.leaves()
    assert sorted(shown(browser)) == np.flatnonzero(leaves != y).tolist()


def test_the_address_holds_the_state(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    item = shown(browser)[3]
    click(browser, f"#node button.open[data-item='{item}']")
    address = browser.current_url
    assert address.endswith(f"image={item}")
    browser.back()
    assert browser.execute_script("return document.getElementById('search').hidden")
    browser.get("about:blank")
    browser.get(address)
    assert not browser.execute_script("return document.getElementById('search').hidden")
    assert text(browser, "#query dd") == str(item)
    browser.refresh()
    assert text(browser, "#query dd") == str(item)
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert browser.execute_script("return document.getElementById('search').hidden")
    browser.get(address.partition("#")[0] + "#node=99999&image=-3")
    assert browser.execute_script("return document.getElementById('search').hidden")


def test_what_marks_mean_includes_none_and_marks_are_saved(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    click(browser, "#node button.open")
    click(browser, "#lists .card:nth-child(3) button.yes")
    assert "none of these" in text(browser, "#meant ol")
    click(browser, "#json")
    items = json.loads(saved(tmp_path / "corrections.json").read_text())["items"]
    assert [(item["label"], item["mark"]) for item in items] == [(None, "relevant")]


def test_marks_move_neither_focus_nor_page(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    click(browser, "#node button.open")
    where = "const b = document.activeElement; return [b.className, b.getBoundingClientRect().top]"
    for key, selector in (("r", "button.open"), (" ", "button.no")):
        button = browser.find_element("css selector", f"#lists .card:nth-child(7) {selector}")
        browser.execute_script("arguments[0].focus()", button)
        before = browser.execute_script(where)
        button.send_keys(key)
        assert not browser.execute_script("return document.getElementById('meant').hidden")
        after = browser.execute_script(where)
        assert after[0] == before[0]
        assert abs(after[1] - before[1]) < 2
        click(browser, "#forget")


def test_serious_faults_of_accessibility(browser, tmp_path, mislabelled):
    axe = pytest.importorskip("axe_selenium_python", reason="needs axe-selenium-python")
    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    for action in ("", "#node button.open", "#lists button.yes", "#query button.large"):
        if action:
            click(browser, action)
        checker = axe.Axe(browser)
        checker.inject()
        serious = [v for v in checker.run()["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []


def test_all_views_and_their_faults(browser, tmp_path, mislabelled):
    """Copies, classes and the map are shown, lead to images, and have no serious fault."""
    axe = pytest.importorskip("axe_selenium_python", reason="needs axe-selenium-python")
    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    visible = """
        const sections = [...document.querySelectorAll('#content > section')];
        return sections.filter(e => e.offsetParent).map(e => e.id)"""
    expected = {"copies": ["copies"], "classes": ["classes-view"], "map": ["map", "node"], "new": ["new"]}
    for view, sections in expected.items():
        click(browser, f"#views [data-view='{view}']")
        assert browser.execute_script(visible) == sections
        assert f"view={view}" in browser.current_url
        checker = axe.Axe(browser)
        checker.inject()
        serious = [v for v in checker.run()["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []
    click(browser, "#views [data-view='classes']")
    rows = browser.execute_script("return document.querySelectorAll('#classes-view tbody tr').length")
    assert rows == 10
    name = text(browser, "#classes-view tbody th button")
    click(browser, "#classes-view tbody th button")
    assert text(browser, "#node h2") == name
    assert browser.execute_script(visible) == ["node"]


def test_images_are_chosen_on_the_map(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    places = np.stack([np.arange(N) % 20, np.arange(N) // 20], axis=1).astype(float)
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y, layout=places)
    click(browser, "#views [data-view='map']")
    draw = """
        const canvas = document.getElementById("points"), box = canvas.getBoundingClientRect();
        const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
          pointerId: 1, bubbles: true,
          clientX: box.left + 12 + x * (box.width - 24),
          clientY: box.top + 12 + (1 - y) * (box.height - 24)}));
        const [first, ...others] = arguments[0];
        send("pointerdown", ...first);
        for (const point of others) send("pointermove", ...point);
        send("pointerup", ...(others.at(-1) ?? first));
    """
    low, high = 4.5 / 19, 9.5 / 19  # around the columns and rows 5 to 9
    browser.execute_script(draw, [[low, low], [high, low], [high, high], [low, high], [low, low]])
    expected = [i for i in range(N) if 5 <= i % 20 <= 9 and 5 <= i // 20 <= 9]
    assert sorted(shown(browser)) == expected
    click(browser, "#whole")
    assert text(browser, "#count") == f"120 of {N} images"
    browser.execute_script(draw, [[7 / 19, 3 / 19]])
    assert browser.current_url.endswith("image=67")
    for colour in ("known", "suspicion", "class"):
        choose(browser, "colour", colour)


def test_few_tab_stops(browser, tmp_path, mislabelled):
    from selenium.webdriver.common.keys import Keys

    y, _ = mislabelled
    opened(browser, tmp_path, HierarchicalRetriever().fit(DIGITS.data[:N], y), y)
    click(browser, "#node button.open")
    stops = """
        const all = document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]');
        return [...all].filter(e => e.offsetParent && e.tabIndex >= 0 && !e.closest('#facets')).length"""
    assert browser.execute_script(stops) < 25
    skip = browser.find_element("css selector", ".skip")
    address = browser.current_url
    skip.send_keys(Keys.ENTER)
    assert browser.current_url == address
    assert browser.execute_script("return document.activeElement.classList.contains('open')")
    active = "return Number(document.activeElement.dataset.item)"
    first = browser.execute_script(active)
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    second = browser.execute_script(active)
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert second != first
    assert browser.execute_script(active) == first


def test_counts_follow_labels_and_corrections(browser, tmp_path, mislabelled):
    y, _ = mislabelled
    retriever = HierarchicalRetriever().fit(DIGITS.data[:N], y)
    opened(browser, tmp_path, retriever, y)
    counts = """
        const counts = {};
        for (const e of document.querySelectorAll('#tree li'))
          counts[e.dataset.node] = Number(e.querySelector('.count').textContent);
        return counts"""
    by_label = browser.execute_script(counts)
    assert [by_label[str(c)] for c in range(10)] == np.bincount(y, minlength=10).tolist()
    choose(browser, "by", "predicted")
    leaves = np.bincount(retriever.leaves(), minlength=10).tolist()
    assert [browser.execute_script(counts)[str(c)] for c in range(10)] == leaves
    choose(browser, "by", "label")
    item = next(i for i in range(N) if y[i] != 3)
    browser.execute_script("go({image: arguments[0]})", item)
    browser.execute_script("document.getElementById('label').value = '3'")
    click(browser, "#correction button[type=submit]")
    assert browser.execute_script(counts)["3"] == by_label["3"] + 1
