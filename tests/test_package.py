"""What holds for the package as a whole: what it imports, what it names, what it ships."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points, metadata, version
from importlib.resources import files
from pathlib import Path

import npe2
import pytest

import napari_zsdeconvnet as zs

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_zsdeconvnet"

# From the ground up, along the way of the data: images -> noise, psf -> networks, losses ->
# pairs -> model -> recordings -> training (which makes models) -> quality. A module may import
# those on the floors below its own, none beside it and none above.
FLOORS = (
    {"phases"},
    {
        *("errors", "bands", "overlapping", "stopping"),
        *("surroundings", "saturation", "fill_regions", "shared_noise"),
    },
    {"units"},
    {"memory", "json_values", "ome_xml", "tiff_vendors", "marked_regions"},
    {
        "tiff_sizes",
        "files",
        "lazy",
        "damping",
        "devices",
        "optics",
        "drawing",
        "forward",
        "tiling",
        "metadata",
        "fourier",
    },
    {"images", "psf_grid", "tiff_pages", "mrc_files", "phantoms", "pixel_mask", "open_field"},
    {"tiff_tags", "tiff_sets", "stand_in"},
    {"outliers"},
    {"image_files", "provenance", "usable", "bead_fit"},
    {
        *(
            "stack_checks",
            "background",
            "beads",
            "processed",
            "psf_checks",
            "psf_files",
            "phantoms_3d",
        ),
        "frame_pairs",
    },
    {"photon_transfer", "psf_simulation", "fixed_lines"},
    {"psf"},
    {"noise"},
    {"simulation", "classical", "noise_check"},
    {"sim", "best_weights"},
    {"losses", "sharpening", "coarse_light", "unrolled"},
    {"networks"},
    {"informed_network", "prior"},
    {"presets", "held_out", "out_of_focus"},
    {"pairs", "camera_maps"},
    {"map_parts"},
    {"sim_pairs"},
    {"volume_networks", "validation"},
    {"objectives"},
    {"modes", "inference"},
    {"model"},
    {"model_folder"},
    {"recordings", "beginning"},
    {"training"},
    {"sim_training", "autosave"},
    {"spectra"},
    {"quality", "pictures", "beyond"},
    {"decorrelation", "residuals"},
    {"stability"},
    {"measures", "evidence"},
    {"sim_evidence", "verdict"},
    {"sim_verdict"},
    {"record"},
    {"pipeline"},
    {"batch"},
    {"_samples", "console", "streams"},
    {"commands", "argument_values"},
    {"demo", "arguments"},
    {"cli", "_qt"},
)

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


def module_of(path: Path) -> str:
    """The name on a floor: `noise` for noise.py, `_qt` for everything in that folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted({module_of(path) for path in SOURCES} - {"__init__"})


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


def imported_rooms(module: str) -> set[str]:
    """The package's own modules that `module` imports."""
    names = (name for path in SOURCES if module_of(path) == module for name in imports(path))
    own = {name.split(".")[1] for name in names if name.startswith("napari_zsdeconvnet.")}
    return own & set(MODULES) - {module}


def test_import_is_light() -> None:
    script = "import sys, napari_zsdeconvnet; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "scipy", "numpy", "tifffile"} | WINDOWS_ONLY_KNOW
    assert not heavy & set(loaded)


def test_computing_loads_no_window() -> None:
    # The source says so below; this says it of everything that those imports load in turn.
    names = [name for name in MODULES if name not in {"_qt", "_samples"}]
    script = "import sys\n" + "".join(f"import napari_zsdeconvnet.{name}\n" for name in names)
    loaded = subprocess.run(
        [sys.executable, "-c", script + "print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "torch" in loaded
    assert not WINDOWS_ONLY_KNOW & set(loaded)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "_qt"])
def test_only_the_windows_know_qt(module: str) -> None:
    tops = {
        name.split(".")[0]
        for path in SOURCES
        if module_of(path) == module
        for name in imports(path)
    }
    assert not tops & WINDOWS_ONLY_KNOW


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    height = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    assert module in height, f"give {module} its floor in FLOORS"
    upward = {name for name in imported_rooms(module) if height[name] >= height[module]}
    assert not upward


def test_the_import_reader_sees_every_form() -> None:
    # The two rules above rest on imports(): it must see relative, absolute and nested imports.
    assert "napari_zsdeconvnet.errors.InputError" in imports(PACKAGE / "images.py")
    assert "tifffile" in imports(PACKAGE / "image_files.py")
    assert "napari_zsdeconvnet.errors.InputError" in imports(PACKAGE / "_qt" / "_shapes.py")
    assert "errors" in imported_rooms("_qt")


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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"]}


def test_requirements_name_what_is_imported() -> None:
    distribution_of = {"PIL": "pillow"}
    tops = {name.split(".")[0] for path in SOURCES for name in imports(path)}
    third_party = tops - set(sys.stdlib_module_names) - {"napari_zsdeconvnet"}
    imported = {distribution_of.get(top, top).lower() for top in third_party}
    assert imported == requirement_names()


@pytest.mark.parametrize("name", sorted(requirement_names()))
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
