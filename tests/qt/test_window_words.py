"""Nothing that the window shows is in terms of Python or of the shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from menu import PLUGIN, WIDGETS
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QWidget

import napari_zsdeconvnet
from napari_zsdeconvnet._qt.workers.notifications import show_error, show_info, show_warning
from napari_zsdeconvnet._qt.workers.window_text import REMEDIES
from napari_zsdeconvnet.utils.errors import InputError, Remedy

SOURCE = Path(napari_zsdeconvnet.__file__).parent

TERMS = re.compile(
    r"""\b[a-z]+_[a-z_]+\b          # names of arguments, such as voxel_size
    | \w+="                         # and their values, such as modality="widefield"
    | \baxes[ =]+"                  # axes by letters
    | "[TCZYX]{2,5}"
    | (?<![\w-])--\w                # options of the shell
    | \bzs\. | \w\(\)               # calls
    | (?<=\S[ ])None\b(?!\ of) | \(None\b | \bTrue\b | \bFalse\b
    | ` | \bndarray\b | \barray_like\b | \bdtype\b
    | (?<=\d)\ um\b                 # nm and µm in their place
    """,
    re.VERBOSE,
)

ELSEWHERE = ("cli", "simulation")
"""What only the shell or Python says."""

FILES = ("errors.py", "bioimage_io.py")
"""Of errors that are words already, and of a package whose description is read elsewhere."""

TYPED_IN_A_SHELL = "start napari with: python -c"
"""One remedy is a command, and has to be."""

FILLED = {"axes": "ZYX", "letter": "Q", "modality": "confocal", "value": "0.5", "order": "phase"}
"""What stands for a field of a message, by what its expression ends with."""


def messages():
    """Give every sentence in the source that a window may show, its fields filled in."""
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE)
        if where.parts[0] in ELSEWHERE or where.name in FILES:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out = set(_no_messages(tree))
        for node in ast.walk(tree):
            if node not in left_out and isinstance(node, ast.Constant | ast.JoinedStr):
                sentence = _filled(node)
                if len(sentence.split()) >= 4:
                    yield f"{where}:{node.lineno}", sentence


def _no_messages(tree):
    """Give docstrings, types and the parts of f-strings, which are looked at as a whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield from node.values
        elif isinstance(node, ast.Expr):
            yield node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "TypeVar"):
            yield from node.args
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "|" in ast.unparse(node):
            yield node.value


def _filled(node):
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(part.value)
        else:
            expression = ast.unparse(part.value)
            parts.append(
                next((words for end, words in FILLED.items() if expression.endswith(end)), "7")
            )
    return "".join(parts)


def test_no_message_has_terms_of_python():
    all_of_them = list(messages())
    assert len(all_of_them) > 400
    found = [
        f"{where}: {sentence}"
        for where, sentence in all_of_them
        if TYPED_IN_A_SHELL not in sentence and TERMS.search(sentence)
    ]
    assert found == []
    assert [words for words in REMEDIES.values() if TERMS.search(words)] == []


def test_errors_are_shown_with_the_remedies_of_the_window(notifications):
    show_error(InputError("axial-step-unknown", "It is not known", Remedy("axial-step")))
    for show in (show_error, show_warning, show_info):
        show("It is so.")
    shown = [words for _, words in notifications]
    assert shown == ["It is not known: type the plane step.", *["It is so."] * 3]


def texts(widget):
    """Give all that a widget shows, without its colours."""
    return [re.sub("<[^>]*>", "", text) for text in _texts(widget)]


def _texts(widget):
    """Give labels, buttons, choices, boxes and tooltips."""
    for one in [widget, *widget.findChildren(QWidget)]:
        yield one.toolTip()
        if isinstance(one, QLabel | QPushButton):
            yield one.text()
        if isinstance(one, QComboBox):
            yield from (one.itemText(index) for index in range(one.count()))
        for name in ("placeholderText", "suffix", "specialValueText", "title", "headerItem"):
            value = getattr(one, name, "")
            value = value() if callable(value) else value
            yield value if isinstance(value, str) else ""
    for action in widget.findChildren(QAction):
        yield action.text()


@pytest.mark.parametrize("name", WIDGETS)
def test_no_widget_has_terms_of_python(plugin, viewer, qtbot, raw, model, name):
    from napari_zsdeconvnet._qt.layers.state import ViewerState

    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    qtbot.waitUntil(widget.isVisible)
    shown = [text for text in texts(widget) if text]
    ViewerState.of(viewer).model = model
    ViewerState.of(viewer).psf = model.psf
    ViewerState.of(viewer).noise = model.noise
    qtbot.wait(100)
    shown += [text for text in texts(widget) if text]
    assert len(shown) >= 15
    assert [text for text in shown if TERMS.search(text)] == []
