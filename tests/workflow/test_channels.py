"""Recordings with channels: each as if recorded alone, and all together in the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.acquisition import Optics
from napari_zsdeconvnet.io.image import Display
from napari_zsdeconvnet.workflow.channels import ChannelRuns
from napari_zsdeconvnet.workflow.pipeline import Pipeline

PIXEL = 0.0626
OPTICS = (Optics(1.3, 0.461), Optics(1.3, 0.605))
CAMERA = zs.NoiseModel(100.0, 1.0, 4.0)
SETTINGS = {"steps": 0, "judged": False, "seed": 3, "device": "cpu", "camera": CAMERA}


@pytest.fixture(scope="module")
def image() -> zs.Image:
    """Two channels of 64 x 72 pixels, recorded at two emission wavelengths."""
    pixels = [
        zs.simulate(kind, shape=(64, 72), pixel_size=PIXEL, wavelength=optics.wavelength).raw
        for kind, optics in zip(("filaments", "vesicles"), OPTICS, strict=True)
    ]
    return zs.Image(
        np.stack(pixels),
        "CYX",
        voxel_size=(PIXEL, PIXEL),
        name="cell.tif",
        channel_names=("DAPI", "RFP"),
        optics=OPTICS,
        display=(Display("0000FF"), Display("FF0000", (90.0, 400.0))),
    )


def alone(image: zs.Image, channel: int) -> zs.Image:
    return replace(
        image,
        data=image.data[channel],
        axes="YX",
        optics=(OPTICS[channel],),
        channel_names=(),
        display=(),
    )


def test_each_channel_comes_out_as_if_recorded_alone(image: zs.Image):
    made = zs.run(image, **SETTINGS).finish()
    assert made.deconvolved.axes == made.denoised.axes == "CYX"
    assert made.deconvolved.data.shape == (2, 128, 144)
    assert made.deconvolved.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    assert made.deconvolved.channel_names == ("DAPI", "RFP")
    assert made.deconvolved.display == image.display
    for channel, optics in enumerate(OPTICS):
        one = zs.run(alone(image, channel), **SETTINGS).finish()
        for what in ("denoised", "deconvolved"):
            both, single = getattr(made, what).data[channel], getattr(one, what).data
            np.testing.assert_array_equal(both, single)
        record = made.channels[channel].record
        assert record.psf.source == one.record.psf.source
        assert f"{1000 * optics.wavelength:.0f} nm" in record.psf.source
    (shift,) = made.shifts
    assert (shift.channel, shift.names) == (1, ("Channel 1 (RFP)", "Channel 0 (DAPI)"))
    assert "share too little structure" in shift.sentence
    assert made.channels[0].model.psf.fwhm[0] < made.channels[1].model.psf.fwhm[0]


def test_a_channel_that_is_left_as_it_is_keeps_its_counts(image: zs.Image):
    made = zs.run(image, channels=[1], **SETTINGS).finish()
    assert made.channels[0] is None
    np.testing.assert_array_equal(made.denoised.data[0], image.data[0])
    np.testing.assert_array_equal(made.deconvolved.data[0, ::2, 1::2], image.data[0])
    assert not np.array_equal(made.denoised.data[1], image.data[1])


def test_channels_stand_behind_time(image: zs.Image):
    series = replace(image, data=np.stack([image.data] * 2), axes="TCYX", frame_interval=2.0)
    made = zs.run(series, **SETTINGS).finish()
    assert made.deconvolved.axes == "TCYX"
    assert made.deconvolved.data.shape == (2, 2, 128, 144)
    assert made.deconvolved.frame_interval == 2.0


def test_steps_say_of_which_channel_they_are(image: zs.Image):
    run = zs.run(image, **SETTINGS)
    assert isinstance(run, ChannelRuns)
    assert run.result is None
    steps = list(run)
    named = list(dict.fromkeys((one.channel, one.name) for one in steps))
    assert named == [(0, "DAPI"), (1, "RFP")]
    assert run.result is not None


def test_a_stopped_run_begins_no_further_channel(image: zs.Image):
    run = zs.run(image, **SETTINGS)
    first = next(run)
    run.stop()
    assert {one.channel for one in (first, *run)} == {0}
    assert run.result is None
    with pytest.raises(zs.InputError, match="stopped before all channels"):
        run.finish()


def test_a_microscope_for_each_channel_goes_before_the_file(image: zs.Image):
    scopes = [zs.Microscope(1.3, wavelength) for wavelength in (0.5, 0.7)]
    made = zs.run(replace(image, optics=()), microscope=scopes, **SETTINGS).finish()
    for result, nanometres in zip(made.channels, (500, 700), strict=True):
        assert f"{nanometres} nm" in result.record.psf.source


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": [2]}, "has 2 channels, counted from 0"),
        ({"channels": []}, "No channel is chosen"),
        ({"microscope": [zs.Microscope(1.3, 0.5)]}, "1 microscopes are given for 2 channels"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_computed(image, settings, words):
    with pytest.raises(zs.InputError, match=words):
        zs.run(image, **SETTINGS, **settings)


def test_one_channel_needs_no_axis(image: zs.Image):
    single = replace(image, data=image.data[:1], optics=OPTICS[:1], channel_names=("DAPI",))
    run = zs.run(single, **SETTINGS)
    assert isinstance(run, Pipeline)
    assert "C" not in run.finish().deconvolved.axes
