"""Coloured text can be read on both of napari's themes."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

from napari_zsdeconvnet._qt.forms.shades import ON_DARK, ON_LIGHT, shades_on
from napari_zsdeconvnet._qt.forms.step_list import DOUBTFUL, StepList

LEAST = 4.5
"""Contrast ratio that WCAG 2.2 asks for of text, at level AA."""


def luminance(colour):
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in QColor(colour).getRgbF()[:3]
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_knows_its_extremes():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("theme", "shades"), [("dark", ON_DARK), ("light", ON_LIGHT)])
def test_each_shade_stands_out_from_its_theme(theme, shades):
    behind = get_theme(theme).background.as_hex()
    for name, colour in asdict(shades).items():
        assert contrast(colour, behind) >= LEAST, name


def test_a_list_of_steps_follows_the_theme(viewer, qtbot):
    steps = StepList()
    viewer.window.add_dock_widget(steps, name="steps")
    steps.begin([("noise", "Noise.", [("Change", "noise")])])
    steps.say("noise", DOUBTFUL, "The gain was assumed.\nMeasure it.")
    for theme, shades in (("light", ON_LIGHT), ("dark", ON_DARK), ("light", ON_LIGHT)):
        viewer.theme = theme
        qtbot.waitUntil(lambda shades=shades: shades_on(steps) == shades)
        used = set(re.findall("#[0-9a-f]{6}", steps.labels["noise"].text()))
        assert used == {shades.caution, shades.link}
