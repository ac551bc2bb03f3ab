"""Codes of bad input, and the words of its remedies in every front end."""

from __future__ import annotations

import argparse
import ast
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import napari_zsdeconvnet
from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.console import REMEDIES as SHELL
from napari_zsdeconvnet.cli.console import worded
from napari_zsdeconvnet.utils.errors import PYTHON, InputError, Remedy

SOURCE = Path(napari_zsdeconvnet.__file__).parent
SHARED = {
    "axial-step-unknown",
    "camera-maps-shape",
    "camera-maps-size",
    "camera-unknown",
    "extra-missing",
    "file-is-folder",
    "file-kind",
    "file-missing",
    "file-unreadable",
    "format-too-new",
    "gain-unknown",
    "image-axes-count",
    "image-kind",
    "image-not-finite",
    "image-too-small",
    "index-out-of-range",
    "length-out-of-range",
    "memory-exhausted",
    "model-not-sim",
    "no-number",
    "no-whole-number",
    "output-exists",
    "patterns-other-frames",
    "pixel-size-unknown",
    "pixel-sizes-differ",
    "psf-not-2d",
    "psf-unknown",
    "record-image-count",
    "result-arrays-shape",
    "sim-period-impossible",
    "voxel-size-unknown",
    "voxel-size-wrong",
    "wavelengths-swapped",
}
"""Codes of problems that are met in several folders, with one meaning."""


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Give every call of this name in the source, and where it is."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                yield path.relative_to(SOURCE), node


def codes() -> Iterator[tuple[str, str]]:
    """Give the folder and the code of every error that is raised."""
    for where, call in calls("InputError"):
        if where.name == "errors.py":
            continue  # hands a code on
        assert call.args, f"{where}:{call.lineno} has no code"
        if isinstance(call.args[0], ast.Constant):
            yield where.parts[0], call.args[0].value
        else:  # chosen just before: the constants of that name
            yield from ((where.parts[0], code) for code in _assigned(where, call.args[0]))


def _assigned(where: Path, name: ast.expr) -> Iterator[str]:
    found = [
        node.value.value
        for node in ast.walk(ast.parse((SOURCE / where).read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == ast.unparse(name)
        and isinstance(node.value, ast.Constant)
    ]
    assert found, f"{where}: what {ast.unparse(name)} is cannot be told"
    yield from found


def test_codes_are_names_of_one_meaning() -> None:
    folders = defaultdict(set)
    for folder, code in codes():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code), code
        folders[code].add(folder)
    assert len(folders) > 150
    assert {code for code, several in folders.items() if len(several) > 1} == SHARED


def window() -> dict[str, str]:
    """Give the remedies of the window without loading Qt."""
    path = SOURCE / "_qt" / "workers" / "window_text.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REMEDIES":
            return dict(ast.literal_eval(node.value))
    raise AssertionError("the window has no remedies")


@pytest.mark.parametrize("table", [PYTHON, SHELL, window()], ids=["python", "shell", "window"])
def test_every_remedy_has_words_in_every_front_end(table: dict[str, str]) -> None:
    used = defaultdict(set)
    for _, call in calls("Remedy"):
        given = len(call.args) > 1 or any(word.arg == "value" for word in call.keywords)
        used[ast.literal_eval(call.args[0])].add(given)
    assert set(table) == set(used)
    for key, words in table.items():
        fields = {field for _, field, _, _ in Formatter().parse(words) if field is not None}
        assert fields <= {"", "0"}, key
        assert not fields or used[key] == {True}, f"{key} is used without what fills its words"


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Give the options of a command and of those below it."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(options, action.choices.values()))
    return found


def test_the_shell_names_options_that_it_has() -> None:
    named = {option for words in SHELL.values() for option in re.findall(r"--[a-z-]+", words)}
    assert len(named) > 10
    assert named <= options(parser())


def test_facts_are_followed_by_their_remedies() -> None:
    error = InputError(
        "planes-missing",
        "It has no planes",
        Remedy("volume", when="if they are planes"),
        "choose another",
        axes="TYX",
    )
    assert str(error) == 'It has no planes: say axes="ZYX" if they are planes, or choose another.'
    assert (
        worded(error) == "It has no planes: say --axes ZYX if they are planes, or choose another."
    )
    within = error.within("a.tif")
    assert (within.code, within.fields) == (error.code, error.fields)
    assert str(within) == f"a.tif: {error}"
    within.add_note("It was kept.")
    assert worded(within).endswith("or choose another. It was kept.")
    assert str(InputError("image-constant", "It is constant.")) == "It is constant."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.fields) == (str(error), error.code, error.fields)


@pytest.mark.parametrize("folder", ["_qt", "cli"])
def test_front_ends_take_no_sentence_apart(folder: str) -> None:
    for path in (SOURCE / folder).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            assert "re" not in names, f"{path} imports re"
