"""The window under real clicks and keys, which a value that is set does not stand for."""

from __future__ import annotations

import pytest
from real_events import AVAILABLE, MISSING, User

from napari_zsdeconvnet._qt._one_click_widget import OneClickWidget

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=MISSING)

LONG = 120_000  # milliseconds; shared machines can be slow


@pytest.fixture
def user(qtbot):
    return User(qtbot)


@pytest.fixture
def one_click(qtbot, viewer, sample, user):
    """One click with its form open, for a layer of which nothing is known."""
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="One click")
    viewer.add_image(sample.raw, name="cell")
    user.use(viewer.window._qt_window)
    user.click(widget.start_button)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    yield widget
    widget.cancel()


@pytest.fixture
def form(one_click):
    return one_click.form


def test_form_is_completed_by_typing_alone(one_click, user):
    """The focus is in the first empty box as the form opens, and Tab leads through the rest."""
    user.type("62.6")
    user.press("Tab", "Tab")
    user.type("1.4")
    assert one_click.form.boxes["na"].value == 1.4
    user.press("Tab")
    user.type("525")
    assert one_click.form.missing == ""
    # Neither Tab nor Enter is needed before the button can be clicked.
    assert one_click.start_button.isEnabled()
    assert one_click.form.values()["pixel_size"] == pytest.approx(0.0626)


def test_box_that_is_not_known_takes_typing_after_one_click(form, user):
    for name, typed in (("na", "1.4"), ("wavelength", "525"), ("pixel_size", "65.5")):
        user.click(form.boxes[name].native.lineEdit())
        user.type(typed)
        assert form.boxes[name].value == float(typed)
    assert form.missing == ""
    # What is known is edited where it is clicked, and not replaced.
    user.click(form.boxes["wavelength"].native.lineEdit())
    user.press("Home", "Delete")
    user.type("6")
    assert form.boxes["wavelength"].value == 625
