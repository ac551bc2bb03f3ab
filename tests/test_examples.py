"""Every public name has an example that runs; documentation uses public names alone."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.modes import registry

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", zs.__all__)
def test_the_example_of_a_public_name_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", [])
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(zs, name), name, globs={})
    assert example.examples, f"zs.{name} has no example"
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(example, out=lines.append)
    assert not lines, "".join(lines)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_pages_use_public_names_alone(page: Path):
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M))
    assert not re.findall(r"(?:from|import) napari_zsdeconvnet\.\S+", code)
    names = set(re.findall(r"\bzs\.(\w+)", code))
    assert names <= set(zs.__all__)


@pytest.mark.slow
def test_the_first_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "first_python.md").read_text("utf-8")
    code = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    exec("\n".join(code), {})
    assert (tmp_path / "sharp.tif").exists()
    assert (tmp_path / "model.safetensors").exists()
