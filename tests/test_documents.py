"""What the README and the examples say runs."""

import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run_blocks(path):
    """Names that the Python blocks of a Markdown file leave behind."""
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, str(path), "exec"), names)
    return names


PAGES = ["start", "embeddings", "visual_distance", "leaves", "tune", "uncertain", "serve"]


@pytest.mark.slow
def test_readme_runs_and_shows_its_output(capsys):
    path = ROOT / "README.md"
    assert run_and_compare(path, capsys)["search"].best_score_ > 0.9
    assert "[8 8 8 8 8 8 8 8 8 8]" in path.read_text()  # what marks bring, as it says
    assert len(path.read_text().splitlines()) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page_runs_and_shows_its_output(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it saves features as a user would
    names = run_and_compare(ROOT / "docs" / f"{name}.md", capsys)
    assert name != "serve" or names["own"].shape == (2, 5)


@pytest.mark.parametrize("path", ["README.md", "docs/start.md", "docs/idea.md"])
def test_sentences_are_short(path):
    text = re.sub(r"```.*?```|\|.*\||!\[.*?\)", "", (ROOT / path).read_text(), flags=re.DOTALL)
    for sentence in re.split(r"[.:;?!]\s|\n\n|\n-", text):
        assert len(sentence.split()) <= 35, sentence


def test_page_of_new_classes_runs(capsys):
    retriever = run_blocks(ROOT / "docs" / "new_classes.md")["retriever"]
    printed = capsys.readouterr().out
    assert re.search(r"\[8 9|\[9 8|8 8|9 9", printed)  # leaves of the new labels
    assert "probability_new" in printed
    assert 77 not in set(retriever.discovered_["leaf"])


def test_interaction_guide_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_blocks(ROOT / "docs" / "interaction.md")
    assert names["is_right"].mean() > 0.8
    assert (tmp_path / "explorer.html").stat().st_size > 100_000


def test_hashing_guide_runs(capsys):
    run_blocks(ROOT / "docs" / "hashing.md")
    scores = [float(s) for s in re.findall(r"mAP@5 (0\.\d+)", capsys.readouterr().out)]
    assert scores[1] > scores[0] > 0.8


#: A block of Python and what the page shows below it, as docs/outputs.py finds them.
BLOCK = runpy.run_path(str(ROOT / "docs" / "outputs.py"))["BLOCK"]
NUMBER = r"-?\d+\.?\d*(?:e-?\d+)?"


def assert_same_line(found, expected):
    """Other versions round in other ways; a line without such numbers is the same to the letter."""
    if not re.search(r"\d\.\d", expected):
        assert found == expected
        return
    skeletons = [re.sub(r" +", " ", re.sub(NUMBER, "#", line)) for line in (found, expected)]
    assert skeletons[0] == skeletons[1]
    numbers = [[float(number) for number in re.findall(NUMBER, line)] for line in (found, expected)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-3)


def run_and_compare(path, capsys):
    """Run the blocks of a page, and compare what they print with what it shows below them."""
    names: dict = {}
    for block, _, shown in BLOCK.findall(path.read_text()):
        exec(compile(block, path.name, "exec"), names)
        printed = capsys.readouterr().out
        for one, other in zip(printed.splitlines(), shown.splitlines(), strict=True):
            assert_same_line(one.rstrip(), other.rstrip())
    return names


@pytest.mark.slow
def test_page_on_labels_runs_and_shows_its_output(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corrections.csv").write_text("id,label,mark\n1512,4,\n7,,relevant\n")
    names = run_and_compare(ROOT / "docs" / "clean_labels.md", capsys)
    assert names["retriever"].gallery_labels_[1512] == 4
    assert (tmp_path / "labels.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("skorch") is None, reason="needs the extra nn")
def test_networks_guide_runs(capsys):
    assert run_blocks(ROOT / "docs" / "networks.md")["search"].best_params_["retriever__alpha"] == 16
    assert "accuracy 0." in capsys.readouterr().out


def test_links_inside_are_whole():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("plot_*.py")), ids=lambda p: p.stem)
def test_examples_run(path, capsys, tmp_path, monkeypatch):
    needs_nn = re.search(r"^from sklearn_hierret.nn import", path.read_text(), re.MULTILINE)
    if needs_nn and find_spec("skorch") is None:
        pytest.skip("needs the extra nn; the environment that has it runs it")
    monkeypatch.setattr("sys.argv", [str(path)])
    copy = tmp_path / path.name  # pictures are saved beside the script
    copy.write_text(path.read_text())
    runpy.run_path(str(copy), run_name="__main__")
    assert "nan" not in capsys.readouterr().out.lower()
    assert list(tmp_path.glob("*.png"))
