"""A walk through all ten widgets in one window, with mouse and keyboard alone.

Each is opened from the menu, typed into, used, closed by its cross and opened again. What has gone
wrong under real hands before is looked for on the way.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cut_off import cut_off
from leaks import dead_connections, settle, temporary_layers, widgets
from menu import WIDGETS
from qtpy.compat import isalive
from qtpy.QtWidgets import QAbstractSpinBox, QDockWidget
from real_events import AVAILABLE, MISSING, User, menu_item
from test_window_words import TERMS, texts

from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets import psf_widget
from napari_zsdeconvnet._qt.workers.activity import activity
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate

pytestmark = [pytest.mark.skipif(not AVAILABLE, reason=MISSING), pytest.mark.slow]

LONG = 300_000  # milliseconds; shared machines can be slow
AT_ONCE = 5_000
PIXEL = 0.0626

PICTURES = os.environ.get("ZSDECONVNET_PICTURES", "")
"""A folder for a picture of the window at each station, to be looked at."""


class Walk:
    """One window, and the hands that use it."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.user = User(qtbot)
        self.user.use(self.window)
        self.state = ViewerState.of(viewer)

    @property
    def window(self):
        """The window, which nothing may hold once the viewer has closed it."""
        return self.viewer.window._qt_window

    def open(self, name, *, by_mouse=True):
        """Open a widget from the menu; gives its dock and the widget."""
        before = set(self.window.findChildren(QDockWidget))
        path = ("Plugins", "ZS-DeconvNet", f"{name} (ZS-DeconvNet)")
        if by_mouse:
            self.user.choose(self.window.menuBar(), *path)
        else:
            menu_item(self.window.menuBar(), *path).trigger()

        def there():
            new = set(self.window.findChildren(QDockWidget)) - before
            return [dock for dock in new if type(dock.widget()).__name__ == WIDGETS[name]]

        self.wait(lambda: bool(there()) and there()[0].widget().isVisible())
        (dock,) = there()
        self.user.use(self.window)  # no window manager gives the keyboard back after a menu
        return dock, dock.widget()

    def close(self, dock):
        """Close a dock by the cross in its title bar."""
        widget = dock.widget()
        self.user.click(dock.title.close_button)
        self.wait(lambda: not isalive(widget))
        settle()
        assert dead_connections(self.viewer) == []
        assert temporary_layers(self.viewer) == []
        assert widgets() == []
        assert activity.words == ""

    def wait(self, until, timeout=LONG):
        self.qtbot.waitUntil(until, timeout=timeout)

    def type_into_first_box(self, widget, text="7"):
        """Click once on the first number that can be typed, and type over it."""
        boxes = [
            box
            for box in widget.findChildren(QAbstractSpinBox)
            if box.isVisible() and box.isEnabled() and not box.isReadOnly()
        ]
        boxes.sort(key=lambda box: box.mapTo(widget, box.rect().topLeft()).y())
        if not boxes:
            return None
        line = boxes[0].lineEdit()
        self.user.click(line)
        known = line.text() != boxes[0].specialValueText()
        if known:
            self.user.press("ctrl+a")
        self.user.type(text)
        self.wait(lambda: text in line.text(), AT_ONCE)
        self.user.press("Tab")
        assert text in line.text(), line.text()
        return boxes[0]

    def read(self, widget):
        """See that nothing is said in terms of Python, nor cut off, and take a picture."""
        assert [text for text in texts(widget) if text and TERMS.search(text)] == []
        if PICTURES:
            where = Path(PICTURES) / f"{len(list(Path(PICTURES).glob('*.png'))):02d}.png"
            self.qtbot.wait(200)
            self.window.grab().save(str(where))

        def fits():
            assert cut_off(widget) == []

        self.wait(fits, AT_ONCE)


@pytest.fixture
def walk(plugin, viewer, qtbot, monkeypatch):
    for kind in ("fast", "paper"):
        # It goes on for as long as it takes to close a dock and to open it again.
        small = replace(presets.PRESETS[kind], patch=48, batch=1, steps=5000)
        monkeypatch.setitem(presets.PRESETS, kind, small)
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    # A small one is drawn sooner, where the processor draws.
    viewer.window._qt_window.resize(*((1400, 950) if PICTURES else (1000, 750)))
    raw = sample.raw.astype(np.int32)
    raw[24:72, 24:72] += np.random.default_rng(0).poisson(200, (48, 48))  # evenly lit
    viewer.add_image(raw.astype(np.uint16), name="cell")
    return Walk(viewer, qtbot)


def noise(walk):
    """Draw a box on the sample, which is not taken; and measure in the image."""
    _, widget = dock = walk.open("Noise calibration")
    walk.user.click(widget.draw_button)
    canvas = walk.viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    walk.user.drag(canvas, (middle.x() - 90, middle.y() - 90), (middle.x() + 90, middle.y() + 90))
    walk.wait(lambda: not widget.busy and len(widget.roi.data) == 1)
    walk.wait(lambda: widget.verdict.text().startswith("Not empty"))
    assert widget.summary.text().startswith("Not ready")
    walk.read(widget)
    walk.user.click(widget.sources.buttons["image"])
    walk.wait(lambda: walk.state.noise is not None and not widget.busy)
    assert "Ready" in widget.summary.text()
    walk.type_into_first_box(widget, "98")
    return dock


def psf(walk):
    """Type a pixel size over "not known" with one click, and simulate."""
    _, widget = dock = walk.open("PSF")
    walk.type_into_first_box(widget, "62.6")
    assert widget.pixel_box.value == 62.6
    walk.user.click(widget.make_button)
    walk.wait(lambda: walk.state.psf is not None and not widget.busy)
    assert psf_widget.LAYER_NAME in walk.viewer.layers
    assert [layer.name for layer in widget.image.layer_box.choices] == ["cell"]
    return dock


def train(walk):
    """Begin, close the dock, open it again, and stop."""
    dock, widget = walk.open("Train")
    assert widget.train_button.isEnabled(), widget.train_button.toolTip()
    walk.user.click(widget.train_button)
    assert widget.stop_button.text() == "Cancel"
    assert "Preparing" in widget.status_label.text()
    walk.user.click(dock.title.close_button)
    walk.wait(lambda: activity.words.startswith("Train"))
    again, same = walk.open("Train")
    assert same is widget
    walk.wait(lambda: widget.stop_button.text() == "Stop")
    walk.read(widget)
    walk.user.click(widget.stop_button)
    walk.wait(lambda: not widget.running)
    assert walk.state.model is not None
    return again, widget


def deconvolve(walk):
    _, widget = dock = walk.open("Apply model")
    walk.user.click(widget.start_button)
    walk.wait(lambda: widget.status_label.text().startswith("Done") and not widget.running)
    result = walk.viewer.layers["cell deconvolved"]
    assert result.visible
    assert result.opacity == 1
    walk.type_into_first_box(widget, "2")
    return dock


def quality(walk):
    """Begin to judge, and cancel."""
    _, widget = dock = walk.open("Quality")
    walk.user.click(widget.start_button)
    walk.user.click(widget.cancel_button)
    assert widget.status_label.text() == "Cancelled; nothing changed."
    walk.wait(lambda: not widget.running, AT_ONCE)
    assert not widget.report.isVisible()
    return dock


def compare(walk):
    """Put a divider between two layers, and close with it there."""
    _, widget = dock = walk.open("Compare")
    if widget.left_box.value is widget.right_box.value:
        walk.user.click(widget.right_box.native)
        walk.user.press("Down", "Return")
    walk.wait(lambda: widget.left_box.value is not widget.right_box.value, AT_ONCE)
    walk.user.click(widget.swipe_button)
    walk.wait(lambda: widget.swipe is not None)
    assert temporary_layers(walk.viewer)
    return dock


def one_click(walk):
    """The form has the focus in its first empty box, and takes what is typed."""
    _, widget = dock = walk.open("Deconvolve…")
    walk.viewer.layers["cell"].scale = (1, 1)
    walk.viewer.layers["cell"].units = ("pixel", "pixel")
    walk.user.click(widget.start_button)
    walk.wait(lambda: widget.asking)
    walk.user.type("62.6")
    walk.user.press("Tab")
    assert widget.form.boxes["pixel_size"].value == 62.6
    walk.read(widget)
    walk.user.click(widget.cancel_button)
    assert widget.status_label.text() == "Cancelled; nothing changed."
    return dock


def sim(walk):
    """Frames that are none are said not to be, and what is typed is taken."""
    _, widget = dock = walk.open("SIM")
    walk.type_into_first_box(widget, "62.6")
    assert widget.raw.problem
    assert not widget.estimate_button.isEnabled()
    return dock


def queue(walk):
    _, widget = dock = walk.open("Queue")
    assert [layer.name for layer in widget.layers] == ["cell"]
    walk.user.click(widget.none_button)
    assert widget.chosen == []
    assert not widget.start_button.isEnabled()
    walk.user.click(widget.all_button)
    assert len(widget.chosen) == 1
    return dock


def models(walk):
    _, widget = dock = walk.open("Models")
    walk.wait(lambda: not widget.running)
    walk.user.click(widget.refresh_button)
    walk.wait(lambda: not widget.running)
    return dock


STATIONS = {
    "Noise calibration": noise,
    "PSF": psf,
    "Train": train,
    "Apply model": deconvolve,
    "Quality": quality,
    "Compare": compare,
    "Deconvolve…": one_click,
    "SIM": sim,
    "Queue": queue,
    "Models": models,
}


def test_walk_through_all_widgets(walk):
    assert set(STATIONS) == set(WIDGETS)
    for name, station in STATIONS.items():
        dock, widget = station(walk)
        walk.read(widget)
        walk.close(dock)
        dock, widget = walk.open(name, by_mouse=False)  # the mouse has shown that it gets there
        walk.read(widget)
        walk.close(dock)
    assert np.isfinite(walk.viewer.layers["cell deconvolved"].data).all()
