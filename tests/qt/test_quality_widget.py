"""Press Judge, read the verdict, see the spectrum; and be told what is missing."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_zsdeconvnet._qt.forms.verdict_text import failed_html, headline_html, others_html
from napari_zsdeconvnet._qt.layers.state import Judged, ViewerState
from napari_zsdeconvnet._qt.widgets.quality_widget import QualityWidget
from napari_zsdeconvnet.quality.checks import Measure, not_judged
from napari_zsdeconvnet.quality.spectra import sharpening
from napari_zsdeconvnet.quality.verdict import Verdict
from napari_zsdeconvnet.workflow.record import RunRecord, methods_paragraph

LONG = 120_000  # milliseconds; shared machines can be slow
PIXEL = 0.0626

FINE = Measure("spread", 0.126, "", (None, 0.3), True, "It would change little.")
BROKEN = Measure("re-blur", 4.03, "", (0.7, 1.4), False, "The PSF is < right; look at the z-map.")
SHARP = Measure("sharpening", 1.8, "", (1.25, None), True, "Sharpened to 122 nm.")
BLIND = not_judged("flux", "there is no light.")


@pytest.fixture
def widget(viewer, raw):
    widget = QualityWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Quality")
    return widget


@pytest.fixture
def spectrum(sample):
    signal = sample.raw - 100.0
    return sharpening(signal, sample.truth, sample.noise.variance(sample.raw), sample.psf, 2)


def text(html):
    """What a reader sees of rich text, a line for each paragraph."""
    parts = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "p":
                parts.append("\n")

        def handle_data(self, data):
            parts.append(data)

    Reader().feed(html)
    return "".join(parts).strip()


class TestWords:
    def test_each_measure_has_outcome_number_limits_and_sentence(self):
        verdict = Verdict((FINE, BLIND, SHARP, BROKEN), ("By the way.",))
        assert text(failed_html(verdict)) == (
            "✘ re-blur: failed, 4.03 (0.700 to 1.40 passes)The PSF is < right; look at the z-map."
        )
        assert text(others_html(verdict)).splitlines() == [
            "✔ spread: passed, 0.126 (at most 0.300 passes)It would change little.",
            "✔ sharpening: passed, 1.80 (at least 1.25 passes)Sharpened to 122 nm.",
            "– flux: not judgedNot judged: there is no light.",
            "Note: By the way.",
        ]

    def test_the_headline_says_in_words_what_its_colour_says(self):
        assert text(headline_html(Verdict((FINE, SHARP, BLIND)))) == "✔ All 2 measures passed."
        alone = text(headline_html(Verdict((FINE, BLIND))))
        assert alone == "✔ The one measure that applies passed: spread."
        broken = text(headline_html(Verdict((FINE, BROKEN))))
        assert broken == "✘ 1 of 2 measures failed: re-blur."
        assert text(headline_html(Verdict((BLIND,)))) == "– Nothing could be judged."
        colours = {headline_html(Verdict((one,))).split('"')[1] for one in (FINE, BROKEN, BLIND)}
        assert len(colours) == 3


def test_judging_shows_the_verdict_and_its_spectrum(qtbot, viewer, widget, raw, model):
    ViewerState.of(viewer).model = model
    assert not widget.report.isVisible()
    widget.repeats_box.value = 2
    widget.judge_button.click()
    assert widget.running
    assert widget.cancel_button.isEnabled()
    assert not widget.form.isEnabled()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)

    verdict = ViewerState.of(viewer).judged(raw).verdict
    assert verdict.headline() in widget.report.headline.text()
    assert verdict.failed, "a network that has hardly begun cannot be good"
    for measure in verdict.failed:
        assert measure.sentence in text(widget.report.failed.text())
    shown = text(widget.report.failed.text() + widget.report.others.text())
    for measure in verdict.measures:
        assert measure.sentence in shown
    assert verdict.notes[0] in shown
    assert widget.report.plot.isVisible()
    assert "'raw z-map' and 'raw spread'" in widget.status_label.text()
    assert widget.judge_button.isEnabled()
    assert widget.form.isEnabled()
    # Readable in the width that it is laid out for, and what is read can be copied.
    assert widget.minimumSizeHint().width() <= 420
    for label in (widget.report.headline, widget.report.failed, widget.report.others):
        assert label.wordWrap()
        assert label.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse


def test_a_verdict_that_another_widget_asked_for_is_shown(viewer, widget, raw, model, spectrum):
    state = ViewerState.of(viewer)
    state.model = model
    other = viewer.add_image(raw.data, name="other")
    state.set_judged(raw, Judged(model, Verdict((BROKEN,), spectrum=spectrum), frame=3))
    assert "re-blur" in widget.report.headline.text()
    assert "'raw', time point 3." in widget.report.subject.text()
    assert widget.report.plot.isVisible()
    state.set_judged(other, Judged(model, Verdict((FINE,))))
    assert "re-blur" in widget.report.headline.text(), "that was another layer's"
    widget.image.layer = other
    assert "The one measure that applies passed" in widget.report.headline.text()
    assert not widget.report.plot.isVisible()
    state.model = replace(model, seed=1)
    assert "another model" in widget.report.subject.text()


def test_one_opened_later_shows_what_is_known(viewer, raw, model):
    ViewerState.of(viewer).set_judged(raw, Judged(model, Verdict((BROKEN,))))
    widget = QualityWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Quality")
    assert "re-blur" in widget.report.headline.text()


def test_the_plot_holds_spectra_floor_and_cutoff(viewer, widget, spectrum):
    import pyqtgraph as pg

    widget.report.plot.show_spectrum(spectrum, "µm")
    widget.report.plot.show_spectrum(spectrum, "µm")  # again: nothing is drawn twice
    image, result, floor = widget.report.plot.power.getPlotItem().listDataItems()
    np.testing.assert_allclose(image.getOriginalDataset()[1], spectrum.image)
    np.testing.assert_allclose(result.getOriginalDataset()[1], spectrum.result)
    np.testing.assert_allclose(floor.getOriginalDataset()[1], spectrum.noise)
    perfect, gain, _ = widget.report.plot.gain.getPlotItem().listDataItems()
    drawn = gain.getOriginalDataset()[1]
    np.testing.assert_allclose(drawn[spectrum.seen], spectrum.gain[spectrum.seen])
    assert np.isnan(drawn[~spectrum.seen]).all(), "where the image shows nothing, nothing is said"
    assert np.nanmin(perfect.getOriginalDataset()[1]) >= 1
    for plot in (widget.report.plot.power, widget.report.plot.gain):
        (line,) = (one for one in plot.getPlotItem().items if isinstance(one, pg.InfiniteLine))
        assert line.value() == pytest.approx(spectrum.cutoff)
        assert plot.getAxis("bottom").labelText == "cycles per µm"
    widget.report.plot.show_spectrum(None, "")
    assert not widget.report.plot.isVisible()


def test_cancel_leaves_everything_as_it_was(qtbot, viewer, widget, raw, model):
    ViewerState.of(viewer).model = model
    widget.repeats_box.value = 32
    widget.judge_button.click()
    qtbot.waitUntil(lambda: widget.progress_bar.value() > 0, timeout=LONG)
    widget.cancel_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert list(viewer.layers) == [raw]
    assert ViewerState.of(viewer).judged(raw) is None
    assert widget.status_label.text() == "Cancelled; nothing changed."
    assert widget.judge_button.isEnabled()


def test_what_is_missing_is_said(viewer, widget, raw, model, notifications):
    assert not widget.judge_button.isEnabled()
    assert "no model" in widget.judge_button.toolTip()
    ViewerState.of(viewer).model = model
    assert widget.judge_button.isEnabled()
    assert not widget.mismatch_label.isVisible()
    widget.image.layer = viewer.add_image(raw.data, scale=(0.1, 0.1), units=("um", "um"))
    assert "100 nm" in widget.mismatch_label.text()
    viewer.layers.clear()
    assert not widget.judge_button.isEnabled()
    assert "no image" in widget.judge_button.toolTip()


def test_what_cannot_be_judged_is_refused_in_a_sentence(
    qtbot, viewer, widget, raw, model, notifications
):
    state = ViewerState.of(viewer)
    state.model = model
    other = viewer.add_image(raw.data[:48], name="cut", scale=(PIXEL, PIXEL), units=("um", "um"))
    widget.image.layer = raw
    widget.second_box.value = other
    widget.judge_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert "second exposure has the shape" in notifications[-1][1]
    assert "second exposure has the shape" in widget.status_label.text()


def test_of_a_reconstruction_it_is_said_what_cannot_be_judged(qtbot, viewer, widget, raw, model):
    ViewerState.of(viewer).model = replace(model, reconstruction={"anything": 1})
    widget.image.layer = raw
    widget.judge_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert "The one measure that applies passed" in widget.report.headline.text()
    assert "can only be told from its raw frames" in widget.report.others.text()


def test_a_methods_paragraph_is_copied_with_the_verdict_once_there_is_one(
    qtbot, viewer, widget, raw, model
):
    state, clipboard = ViewerState.of(viewer), QApplication.clipboard()
    clipboard.clear()
    assert not widget.methods_button.isEnabled()
    state.model = model
    for verdict in (None, Verdict((BROKEN,))):
        if verdict is not None:
            state.set_judged(raw, Judged(model, verdict))
        clipboard.clear()
        widget.methods_button.click()
        qtbot.waitUntil(lambda: bool(clipboard.text()), timeout=LONG)
        assert clipboard.text() == methods_paragraph(RunRecord.of(model, verdict=verdict))
    assert "Copied" in widget.status_label.text()
