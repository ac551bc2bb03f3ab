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
from napari_zsdeconvnet._qt.forms.forms import note
from napari_zsdeconvnet._qt.workers.notifications import show_error, show_info, show_warning
from napari_zsdeconvnet._qt.workers.window_text import in_window_words
from napari_zsdeconvnet.utils.errors import InputError

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
    | (?<=\d)\ um\b                 # of which the window makes nanometres
    """,
    re.VERBOSE,
)

ELSEWHERE = ("cli", "simulation")
"""What only the shell or Python says."""

TYPED_IN_A_SHELL = "start napari with: python -c"
"""One remedy is a command, and has to be."""

FILLED = {"axes": "ZYX", "letter": "Q", "modality": "confocal", "value": "0.5", "order": "phase"}
"""What stands for a field of a message, by what its expression ends with."""


def messages():
    """Give every sentence in the source that a window may show, its fields filled in."""
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE)
        if where.parts[0] in ELSEWHERE or where.name == "window_text.py":
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


def test_no_message_has_terms_of_python_once_it_is_shown():
    all_of_them = list(messages())
    assert len(all_of_them) > 400
    found = [
        f"{where}: {shown}"
        for where, sentence in all_of_them
        if TYPED_IN_A_SHELL not in sentence
        for shown in [in_window_words(sentence)]
        if TERMS.search(shown)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "cell has 44 planes (Z) where single images are wanted; process it as a volume, with "
            'axes "ZYX", choose one plane, or say axes "TYX" if they are frames in time.',
            "cell has 44 planes where single images are wanted; read it as a volume, choose one "
            "plane, or read the layer as a time series if they are frames in time.",
        ),
        (
            "axial_step is not given; a light sheet shapes the PSF only along z, so give the "
            'distance between planes in micrometres, or take modality="widefield" for a 2D PSF.',
            "the plane step is not given; a light sheet shapes the PSF only along z, so give the "
            "distance between planes in micrometres, or choose widefield (Microscope) for a 2D "
            "PSF.",
        ),
        (
            "a pixel of 0.0626 um and 0.3 x 0.1 x 0.1 um",
            "a pixel of 62.6 nm and 300 x 100 x 100 nm",
        ),
        (
            "simulated light-sheet, NA 1, 0.525 um emission, sheet of 3 um (FWHM)",
            "simulated light-sheet, NA 1, 525 nm emission, sheet of 3 µm (FWHM)",
        ),
        (
            "The plane step is 250, in micrometres; did you mean 0.25 (250 nm)?",
            "The plane step is 250000 nm; did you mean 250 nm?",
        ),
        (
            "The raw pixel is 0.0002, in micrometres; it lies between 0.005 and 20.",
            "The raw pixel is 0.2 nm; it lies between 5 and 20000 nm.",
        ),
        ("Layer 'my voxel_size.tif' is good.", "Layer 'my voxel_size.tif' is good."),
    ],
)
def test_sentences_in_terms_of_the_window(said, shown):
    assert in_window_words(said) == shown
    assert in_window_words(shown) == shown


def test_whatever_is_said_is_said_in_these_terms(notifications, qtbot):
    label = note('Give axes="TYX".')
    qtbot.addWidget(label)
    assert not TERMS.search(label.text())
    label.setText("voxel_size is wrong")
    assert label.text() == "the voxel size is wrong"
    for show in (show_error, show_warning, show_info):
        show("voxel_size is wrong")
    show_error(InputError("voxel_size is wrong"))
    assert [words for _, words in notifications] == ["the voxel size is wrong"] * 4


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
