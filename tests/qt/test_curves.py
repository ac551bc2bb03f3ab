"""The loss curves show every term and follow the theme."""

from __future__ import annotations

import math
import time

import pytest

from napari_zsdeconvnet._qt.plots.curves import LossCurves, _ticks


@pytest.fixture
def curves(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    curves = LossCurves(viewer)
    qtbot.addWidget(curves)
    return curves


def losses(step):
    return {"total": 2.0 / (step + 1), "denoising": 1.0 / (step + 1), "hessian": 0.0}


def test_every_term_has_a_curve_and_a_name_in_the_legend(curves):
    for step in range(5):
        curves.append(step, losses(step))
    curves.redraw()
    steps, values = curves.terms["denoising"]
    assert steps == [0, 1, 2, 3, 4]
    assert values == [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert list(curves._curves) == ["total"], "the error alone, until its terms are asked for"
    assert "━ error" in curves.legend.text()
    assert "denoising" not in curves.legend.text()
    curves.legend.linkActivated.emit("terms")
    assert list(curves._curves) == ["total", "denoising", "hessian"]
    for name in ("error", "denoising", "hessian"):
        assert f"━ {name}" in curves.legend.text()
    curves.legend.linkActivated.emit("terms")
    assert list(curves._curves) == ["total"]


def test_zero_has_no_logarithm_and_leaves_a_gap(curves):
    curves.append(0, {"hessian": 0.0})
    curves.append(1, {"hessian": 0.5})
    curves.redraw()
    _, values = curves.terms["hessian"]
    assert math.isnan(values[0])
    assert values[1] == 0.5


def test_a_term_may_begin_later_and_another_end(curves):
    """Of a volume the denoiser is trained first, then what sharpens."""
    curves.show_terms(True)
    for step in range(1, 41):
        early = {"total": 0.5, "denoising": 0.4}
        curves.append(step, early if step <= 30 else {"total": 0.2, "deconvolution": 0.1})
        curves.redraw()
    assert "deconvolution" in curves.legend.text()
    steps, values = curves.terms["deconvolution"]
    assert steps == list(range(1, 41))
    assert all(math.isnan(value) for value in values[:30])
    assert values[30:] == [0.1] * 10
    faint, mean = curves._curves["deconvolution"]
    for curve in (faint, mean):
        drawn = curve.getOriginalDataset()[1]
        assert [i for i, value in enumerate(drawn) if math.isfinite(value)] == list(range(30, 40))
    assert all(math.isnan(value) for value in curves.terms["denoising"][1][30:])


def test_the_mean_follows_the_trend_and_not_the_scatter(curves):
    for step in range(200):
        curves.append(step, {"total": 0.01 * (3.0 if step % 2 else 1 / 3)})
    curves.redraw()
    faint, mean = curves._curves["total"]
    assert max(faint.getOriginalDataset()[1]) == pytest.approx(0.03)
    settled = mean.getOriginalDataset()[1][100:]
    assert min(settled) > 0.009
    assert max(settled) < 0.0112


def test_clear_begins_anew(curves):
    curves.append(0, losses(0))
    curves.redraw()
    curves.clear()
    assert curves.terms == {}
    curves.append(7, losses(7))
    curves.redraw()
    assert curves.terms["total"] == ([7], [0.25])


def test_the_colours_follow_the_theme(curves):
    viewer = curves.plot._viewer
    dark = curves.plot.backgroundBrush().color().lightness()
    viewer.theme = "light"
    light = curves.plot.backgroundBrush().color().lightness()
    assert light > dark + 100


def test_two_thousand_steps_are_drawn_quickly(curves, qtbot):
    for step in range(2000):
        curves.append(step, losses(step))
    curves.resize(360, 200)
    curves.show()
    qtbot.waitExposed(curves)
    curves.redraw()
    begun = time.perf_counter()
    curves.redraw()
    curves.grab()
    assert time.perf_counter() - begun < 0.1


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1.2e-4, 0.02, ["0.0001", "0.001", "0.01", "0.1"]),
        (0.011, 0.06, ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
        (0.011, 0.03, ["0.01", "0.02", "0.03"]),
        (0.0061, 0.0078, ["0.006", "0.007", "0.008"]),
        (0.0098, 0.0112, ["0.0095", "0.01", "0.0105", "0.011", "0.0115"]),
        (0.5, 0.5, ["0.5"]),
    ],
)
def test_the_axis_is_labelled_sparsely_over_many_decades_and_always(low, high, labels):
    labelled, _ = _ticks(low, high)
    assert [text for _, text in labelled] == labels
