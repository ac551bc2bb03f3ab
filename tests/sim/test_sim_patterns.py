from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from napari_zsdeconvnet import sim
from napari_zsdeconvnet.sim.patterns import Pattern, Patterns
from napari_zsdeconvnet.utils.errors import InputError

THIRDS = tuple(2 * math.pi * p / 3 for p in range(3))


def some_patterns(**changes) -> Patterns:
    values = {
        "orientations": (
            Pattern(0.2, 18.0, (0.1, 2.2, -1.9), 0.8, 0.99, 20.0),
            Pattern(0.21, 78.0, THIRDS, 0.7),
            Pattern(0.22, 138.0, THIRDS, 0.1, 0.3, 2.0, False, "No pattern is found; try again."),
        ),
        "pixel_size": 0.06,
        "na": 1.4,
        "wavelength": 0.525,
        "shape": (48, 64),
        "brightness": ((1.0, 1.1, 0.9),) * 3,
        "warnings": ("It was dark.",),
        "attenuation": 0.5,
    }
    return Patterns(**(values | changes))


def test_a_pattern_has_frequency_and_steps():
    pattern = Pattern(0.2, 90.0, (0.0, 2.0, 4.1), 0.8)

    assert pattern.frequency == pytest.approx((5.0, 0.0), abs=1e-12)
    assert pattern.steps == pytest.approx(
        (math.degrees(2.0), math.degrees(2.1), 360 - math.degrees(4.1))
    )


def test_patterns_are_a_sequence_of_orientations():
    patterns = some_patterns()

    assert len(patterns) == 3
    assert patterns.phases == 3
    assert patterns[1].period == 0.21
    assert [pattern.angle for pattern in patterns] == [18.0, 78.0, 138.0]
    assert len(patterns.found) == 2


def test_the_report_names_units_and_what_is_missing():
    report = some_patterns().report()

    for words in ("200.00 nm", "18.00 degrees", "depth 0.80", "NOT FOUND", "try again", "dark"):
        assert words in report


@pytest.mark.parametrize("order", ["orientation", "phase"])
def test_saved_patterns_come_back_the_same(tmp_path, order):
    patterns = some_patterns(order=order)
    patterns.save(tmp_path / "patterns.json")

    assert Patterns.load(tmp_path / "patterns.json") == patterns
    assert [path.name for path in tmp_path.iterdir()] == ["patterns.json"]


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "patterns.json"
    with pytest.raises(InputError, match=r"patterns\.json cannot be read"):
        Patterns.load(path)
    path.write_text("no json")
    with refused("file-kind"):
        Patterns.load(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="holds no SIM patterns"):
        Patterns.load(path)
    values = some_patterns().to_dict()
    path.write_text(json.dumps({**values, "version": 99}))
    with pytest.raises(InputError, match="version 99"):
        Patterns.load(path)
    phases = {"phases": [0.0, float("inf"), 2.0]}
    for damaged in (
        {name: value for name, value in values.items() if name != "na"},
        {**values, "pixel_size": 0.0},
        {**values, "orientations": [{**one, **phases} for one in values["orientations"]]},
        {**values, "orientations": [{**one, "period": 0} for one in values["orientations"]]},
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match="damaged"):
            Patterns.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": "random"}, "order"),
        ({"brightness": ((1.0, 1.0, 1.0),)}, "brightness"),
        ({"orientations": (Pattern(0.2, 0.0, (0.0, 1.0), 0.5),)}, "phases"),
    ],
)
def test_patterns_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        some_patterns(**changes)


def test_the_illumination_is_drawn_about_the_middle_of_the_image():
    pattern = Pattern(0.24, 0.0, THIRDS, 0.6)
    patterns = some_patterns(orientations=(pattern,), brightness=())
    drawn = patterns.illumination()

    assert drawn.shape == (3, 96, 128)
    assert drawn.mean() == pytest.approx(1, abs=0.02)
    # The middle of 128 fine pixels lies between two of them, an eighth of a period apart.
    expected = 1 + 0.6 * math.cos(math.pi / 8)
    assert drawn[0, 0, 63:65] == pytest.approx([expected, expected], abs=1e-5)
    # A coarse pixel's middle is that of its four fine ones.
    coarse = patterns.illumination(factor=1)
    assert coarse[0].mean() == pytest.approx(drawn[0].mean(), abs=0.01)


def test_the_order_of_the_recording_is_that_of_the_illumination():
    by_orientation = some_patterns().illumination()
    by_phase = some_patterns(order="phase").illumination()

    np.testing.assert_array_equal(by_phase[[0, 3, 6]], by_orientation[:3])


def test_a_crop_keeps_its_fringes():
    patterns = some_patterns()
    part = patterns.cropped(10, 7, (21, 30))

    np.testing.assert_allclose(
        part.illumination(), patterns.illumination()[:, 20:62, 14:74], atol=1e-4
    )
    assert part.shape == (21, 30)
    assert replace(part, orientations=patterns.orientations, shape=patterns.shape) == patterns


def test_the_names_of_the_room_are_found_lazily():
    # Modules carry other names than what is in them, so that one does not hide the other.
    assert callable(sim.estimate)
    assert callable(sim.estimate)
    assert "Reconstruction" in dir(sim)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = sim.no_such_name
