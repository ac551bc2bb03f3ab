"""What holds for the package as a whole: what it imports, what it names, what it ships."""

from __future__ import annotations

import ast
import hashlib
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points, metadata, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import npe2
import pytest

import napari_zsdeconvnet as zs

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_zsdeconvnet"

WINDOWS_ONLY_KNOW = {
    "app_model",
    "magicgui",
    "napari",
    "PyQt5",
    "PyQt6",
    "pyqtgraph",
    "PySide2",
    "PySide6",
    "qtpy",
    "superqt",
    "vispy",
}


SOURCES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that the file imports, however deep in a function, with its absolute name."""
    package = ("napari_zsdeconvnet", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*parents, *([node.module] if node.module else [])))
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(found)


def test_import_is_light() -> None:
    script = "import sys, napari_zsdeconvnet; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "scipy", "numpy", "tifffile"} | WINDOWS_ONLY_KNOW
    assert not heavy & set(loaded)


def test_computing_loads_no_window() -> None:
    # import-linter reads the sources; this tells what those imports load in turn.
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in SOURCES
        if "_qt" not in path.parts and path.name != "__init__.py"
    ]
    script = "import sys\n" + "".join(f"import {name}\n" for name in names)
    loaded = subprocess.run(
        [sys.executable, "-c", script + "print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "torch" in loaded
    assert not WINDOWS_ONLY_KNOW & set(loaded)


@pytest.mark.parametrize("name", zs.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(zs, name).__doc__
    assert name in dir(zs)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = zs.no_such_name


def test_one_version() -> None:
    assert version("napari-zsdeconvnet") == zs.__version__
    assert f"## {zs.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version: {zs.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_typed() -> None:
    assert (files("napari_zsdeconvnet") / "py.typed").is_file()


def test_manifest_is_found_and_valid() -> None:
    manifest = npe2.PluginManifest.from_distribution("napari-zsdeconvnet")
    assert manifest.name == "napari-zsdeconvnet"
    manifest.validate_imports()


def test_manifest_stands_at_the_top_too() -> None:
    top = ROOT / "napari.yaml"
    if sys.platform == "win32" and not top.is_symlink():
        pytest.skip("git checks symbolic links out as text on this machine")
    assert top.samefile(PACKAGE / "napari.yaml")
    installed = files("napari_zsdeconvnet") / "napari.yaml"
    assert installed.read_text("utf-8") == top.read_text("utf-8")


def test_manifest_widgets_are_documented() -> None:
    # napari shows the title alone; what stands behind it must be a class with a sentence of help.
    manifest = npe2.PluginManifest.from_distribution("napari-zsdeconvnet")
    commands = {command.id: command.python_name for command in manifest.contributions.commands}
    assert manifest.contributions.widgets
    for widget in manifest.contributions.widgets:
        module, _, name = str(commands[widget.command]).partition(":")
        assert getattr(import_module(module), name).__doc__, widget.display_name


def test_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="zsdeconvnet")
    assert callable(command.load())


def requirement_names() -> set[str]:
    """What the package itself requires, extras and groups aside."""
    return names_of(project()["dependencies"])


def extra_names() -> set[str]:
    """What its extras require, for files and machines that not everybody has."""
    extras = project()["optional-dependencies"]
    return names_of(line for name, lines in extras.items() if name != "gui" for line in lines)


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return dict(table["project"])


def names_of(lines: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w.-]", line)[0].lower() for line in lines}


def test_requirements_name_what_is_imported() -> None:
    distribution_of = {"PIL": "pillow", "skimage": "scikit-image", "bioimageio": "bioimageio.core"}
    tops = {name.split(".")[0] for path in SOURCES for name in imports(path)}
    third_party = tops - set(sys.stdlib_module_names) - {"napari_zsdeconvnet"}
    imported = {distribution_of.get(top, top).lower() for top in third_party}
    # fsspec opens addresses for zarr, dask comes with distributed, and the manifest is npe2's.
    assert imported | {"dask", "fsspec", "npe2"} == requirement_names() | extra_names()


LESSER = {"pylibczirw"}
"""Extras under the LGPL, which ask nothing of a program that only imports them."""


@pytest.mark.parametrize("name", sorted((requirement_names() | extra_names()) - LESSER))
def test_requirement_is_free_of_the_gpl(name: str) -> None:
    # This also keeps the Qt bindings out: PyQt6 is under the GPL, PySide6 under the LGPL.
    fields = ("License-Expression", "License", "Classifier")
    stated = [value for field in fields for value in metadata(name).get_all(field) or []]
    # Some state their licence in full text, which may speak of others' further down.
    headlines = [value.splitlines()[0] for value in stated if value.strip()]
    assert headlines
    assert not [line for line in headlines if re.search(r"GPL|General Public", line)]


def test_ci_runs_the_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]
    assert command in (ROOT / "README.md").read_text("utf-8").splitlines()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) < 900


def packaging_script(name: str) -> dict[str, Any]:
    """Return the names of a script in ``packaging/``."""
    return runpy.run_path(str(ROOT / "packaging" / f"{name}.py"), run_name="script")


def test_the_conda_recipe_requires_what_the_package_does(tmp_path: Path) -> None:
    sdist = tmp_path / "napari_zsdeconvnet-9.8.7.tar.gz"
    sdist.write_bytes(b"archive")
    text = packaging_script("recipe")["recipe"](sdist)
    assert "@" not in text.partition("schema_version")[2]
    assert 'version: "9.8.7"' in text
    assert f"sha256: {hashlib.sha256(b'archive').hexdigest()}" in text
    run = text.partition("  run:\n")[2].partition("\n\n")[0]
    names = {line.split()[1] for line in run.splitlines()} - {"python"}
    assert names == requirement_names() - {"napari", "torch"} | {"napari-base", "pytorch"}
    with pytest.raises(SystemExit, match="not a source archive"):
        packaging_script("recipe")["recipe"](tmp_path / "other.zip")


def test_every_python_has_a_lock_that_keeps_to_the_constraints() -> None:
    pythons = packaging_script("lock")["pythons"]()
    assert pythons[0] == "3.11"
    pinned = re.findall(r"^(\S+)==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    for python in pythons:
        lock = ROOT / "packaging" / "constraints" / f"py{python.replace('.', '')}.txt"
        locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text("utf-8"), re.M))
        # Not for every Python: there are no wheels of it.
        elsewhere = LESSER if python == "3.14" else set()
        wanted = {name.replace(".", "-") for name in requirement_names() | extra_names()}
        assert wanted - elsewhere <= set(locked), lock
        # Constraints alone, such as tox, are in no lock.
        assert {n: locked[n] for n, _ in pinned if n in locked} == {
            n: version for n, version in pinned if n in locked
        }, f"{lock.name} is older than constraints.txt: run `tox -e lock`"
