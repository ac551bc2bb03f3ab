"""Names, sources and notes come from files: they are shown as text, whatever HTML they hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QTreeWidget, QWidget

from napari_zsdeconvnet._qt.forms.folded_note import FoldedNote
from napari_zsdeconvnet._qt.forms.forms import note, tip
from napari_zsdeconvnet._qt.forms.step_list import DONE
from napari_zsdeconvnet._qt.forms.verdict_text import failed_html, others_html
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.workers.activity import without_html
from napari_zsdeconvnet.quality.checks import Measure
from napari_zsdeconvnet.quality.verdict import Verdict

EVIL = "<img src='file:///etc/x.png'>&lt;<b>ha</b><a href='file:///x'>click</a>"
WIDGETS = (
    *("Deconvolve…", "Queue", "Noise calibration", "PSF", "Train"),
    *("Apply model", "SIM", "Models", "Quality", "Compare"),
)


@pytest.fixture
def windows(viewer, sample, model):
    """All ten windows, with a viewer in which everything has an evil name."""
    from napari_zsdeconvnet._qt.forms.navigation import open_widget

    viewer.add_image(sample.raw, name=EVIL, scale=(0.0626, 0.0626), units=("um", "um"))
    state = ViewerState.of(viewer)
    opened = [open_widget(viewer, name) for name in WIDGETS]
    state.noise = replace(model.noise, source=EVIL, warnings=(EVIL,))
    state.psf = replace(model.psf, source=EVIL, warnings=(EVIL,))
    named = tuple(replace(source, name=EVIL) for source in model.sources)
    state.model = replace(model, preset=EVIL, psf=state.psf, noise=state.noise, sources=named)
    for window in opened:
        for folded in window.findChildren(FoldedNote):
            folded.unfold()
    return opened


def labels(widget: QWidget) -> list[QLabel]:
    return widget.findChildren(QLabel)


def test_no_label_and_no_tooltip_renders_what_a_file_holds(windows):
    for window in windows:
        assert labels(window)
        for label in labels(window):
            if label.textFormat() == Qt.TextFormat.PlainText:
                continue
            where = f"{type(window).__name__}: {label.text()!r}"
            assert "<img" not in label.text(), where
            # Labels of the libraries' own menus have words of theirs alone.
            rich = label.textFormat() == Qt.TextFormat.RichText
            assert rich or not Qt.mightBeRichText(label.text()), where
        for widget in window.findChildren(QWidget):
            shown = widget.toolTip()
            assert "<img" not in shown or not Qt.mightBeRichText(shown), shown
        for tree in window.findChildren(QTreeWidget):
            for row in range(tree.topLevelItemCount()):
                assert "<img" not in tree.topLevelItem(row).toolTip(0)


def test_a_noise_source_is_there_to_read(windows):
    known = [label for window in windows for label in labels(window) if "Noise:" in label.text()]
    assert known
    assert any("&lt;img" in label.text() for label in known)


def test_steps_of_one_click_show_names_as_text(windows):
    steps = windows[0].steps
    steps.begin((("image", "Image.", ()),))
    steps.say("image", DONE, f"{EVIL}\n{EVIL}")
    assert "<img" not in steps.labels["image"].text()


def test_words_of_a_verdict_are_text(windows):
    failed = Measure("noise level", 1.0, "", (0.9, 1.1), False, EVIL)
    verdict = Verdict((failed,), (EVIL,))
    assert "<img" not in failed_html(verdict) + others_html(verdict)


def test_a_tooltip_and_a_bar_of_napari_show_names_as_text(qtbot):
    assert "<img" not in tip(EVIL)
    assert tip("plain and simple") == "plain and simple"
    assert not Qt.mightBeRichText(without_html(f"1 of 2, {EVIL}: looking"))
    assert note(EVIL).textFormat() == Qt.TextFormat.PlainText
