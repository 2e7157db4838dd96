"""What the README and the examples say runs."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_readme_examples_run():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["search"].best_score_ > 0.9
    assert len(text.splitlines()) < 150


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("plot_*.py")), ids=lambda p: p.stem)
def test_examples_run(path, capsys, tmp_path):
    copy = tmp_path / path.name  # pictures are saved beside the script
    copy.write_text(path.read_text())
    runpy.run_path(str(copy), run_name="__main__")
    assert "nan" not in capsys.readouterr().out.lower()
    assert list(tmp_path.glob("*.png"))
