from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_zsdeconvnet._qt.layers.layer_axes import (
    layer_axes,
    layer_voxel_size,
    possible_readings,
    read_as,
    set_step,
    usual_reading,
    what_is_there,
)
from napari_zsdeconvnet._qt.layers.layers import layer_image
from napari_zsdeconvnet.utils.errors import InputError


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((8, 9), None, "YX"),
        ((3, 8, 9), None, "TYX"),
        ((3, 8, 9), ("z", "y", "x"), "ZYX"),
        ((3, 8, 9), ("Slice", "y", "x"), "ZYX"),
        ((3, 8, 9), ("C", "y", "x"), "CYX"),
        ((2, 3, 8, 9), None, "TZYX"),
        ((2, 3, 8, 9), ("channel", "-3", "y", "x"), "CTYX"),
        ((2, 3, 8, 9), ("-4", "z", "y", "x"), "TZYX"),
        ((2, 3, 8, 9), ("time", "c", "y", "x"), "TCYX"),
    ],
)
def test_axes_come_from_labels_and_else_from_their_number(shape, labels, axes):
    assert layer_axes(Image(ramp(*shape), axis_labels=labels)) == axes


@pytest.mark.parametrize(
    ("shape", "layer", "kind"),
    [
        ((8, 9), {}, "image"),
        ((3, 8, 9), {}, "time series"),
        ((3, 8, 9), {"scale": (0.3, 0.1, 0.1)}, "volume"),
        ((3, 8, 9), {"scale": (1, 0.1, 0.1)}, "time series"),
        ((3, 8, 9), {"scale": (0.3, 0.1, 0.1), "units": ("s", "um", "um")}, "time series"),
        ((3, 8, 9), {"axis_labels": ("z", "y", "x")}, "volume"),
        ((3, 8, 9), {"axis_labels": ("c", "y", "x")}, "image"),
        ((2, 3, 8, 9), {}, "time series of volumes"),
        ((2, 3, 8, 9), {"axis_labels": ("c", "z", "y", "x")}, "volume"),
        ((2, 3, 8, 9), {"axis_labels": ("t", "c", "y", "x")}, "time series"),
        ((2, 3, 2, 8, 9), {}, "time series of volumes"),
    ],
)
def test_the_layer_says_what_it_is(shape, layer, kind):
    image = Image(ramp(*shape), **layer)
    assert usual_reading(image) == kind
    assert read_as(image).kind == kind


@pytest.mark.parametrize(
    ("shape", "labels", "kind", "axes"),
    [
        ((3, 8, 9), None, "volume", "ZYX"),
        ((3, 8, 9), None, "image", "CYX"),
        ((3, 8, 9), ("z", "y", "x"), "time series", "TYX"),
        ((3, 8, 9), ("c", "y", "x"), "volume", "ZYX"),
        ((2, 3, 8, 9), None, "volume", "CZYX"),
        ((2, 3, 8, 9), None, "time series", "TCYX"),
        ((2, 3, 8, 9), ("t", "c", "y", "x"), "volume", "ZCYX"),
        ((2, 3, 2, 8, 9), None, "time series of volumes", "TCZYX"),
    ],
)
def test_the_user_can_correct_it(shape, labels, kind, axes):
    layer = Image(ramp(*shape), axis_labels=labels)
    assert kind in possible_readings(layer)
    assert layer_axes(layer, kind) == axes
    image = layer_image(layer, read_as(layer, kind))
    assert image.axes == axes.replace("C", "")


def test_what_cannot_be_read_is_refused_with_a_way_out():
    with pytest.raises(InputError, match="'many' has 6 axes"):
        read_as(Image(np.zeros((2, 2, 2, 2, 8, 8)), name="many"))
    with pytest.raises(InputError, match="cannot be read as a volume; read it as an image"):
        read_as(Image(np.zeros((8, 8))), "volume")
    with pytest.raises(InputError, match="planes before its time points"):
        read_as(Image(np.zeros((2, 2, 8, 8)), axis_labels=("z", "t", "y", "x")))


def test_rgb_is_refused_with_a_way_out():
    layer = Image(np.zeros((8, 8, 3), dtype=np.uint8), rgb=True, name="photo")
    with pytest.raises(InputError, match=r"'photo' is an RGB picture.*Split RGB"):
        layer_image(layer)


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        (None, None, None),
        ((0.1, 0.2), None, (0.1, 0.2)),
        ((0.1, 0.2), ("um", "um"), (0.1, 0.2)),
        ((65, 65), ("nm", "nm"), (0.065, 0.065)),
        ((1, 1), ("um", "um"), (1.0, 1.0)),
    ],
)
def test_the_voxel_size_is_in_micrometres(scale, units, expected):
    size = layer_voxel_size(Image(ramp(8, 9), scale=scale, units=units))
    assert size == (pytest.approx(expected) if expected else None)


def test_time_is_no_length_and_pixels_are():
    series = Image(ramp(3, 8, 9), scale=(0.5, 0.1, 0.1), units=("s", "um", "um"))
    assert layer_voxel_size(series) == pytest.approx((0.1, 0.1))
    with pytest.raises(InputError, match="second"):
        layer_voxel_size(Image(ramp(8, 9), units=("s", "s")))


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((0.3, 0.1, 0.1), None, (0.3, 0.1, 0.1)),
        ((300, 100, 100), ("nm", "nm", "nm"), (0.3, 0.1, 0.1)),
        ((1, 1, 1), ("um", "um", "um"), (1, 1, 1)),
        ((1, 0.1, 0.1), ("um", "um", "um"), None),
        ((1, 0.1, 0.1), None, None),
        (None, None, None),
    ],
)
def test_a_step_of_one_beside_another_pixel_is_no_step(scale, units, expected):
    layer = Image(ramp(3, 8, 9), scale=scale, units=units)
    reading = read_as(layer, "volume")
    assert reading.voxel_size == (pytest.approx(expected) if expected else None)
    assert reading.lacks_step == (expected is None and scale is not None)


def test_a_typed_step_counts_and_is_seen():
    layer = Image(ramp(3, 8, 9), scale=(1, 100, 100), units=("nm", "nm", "nm"))
    assert read_as(layer, "volume", axial_step=0.3).voxel_size == pytest.approx((0.3, 0.1, 0.1))
    set_step(layer, "ZYX", 0.3)
    np.testing.assert_allclose(layer.scale, (300, 100, 100))
    assert usual_reading(layer) == "volume"
    # A typed step of one micrometre is one, though the scale looks as if nothing were known.
    layer = Image(ramp(3, 8, 9), scale=(1, 0.1, 0.1))
    assert read_as(layer, "volume", axial_step=1.0).voxel_size == (1.0, 0.1, 0.1)


def test_it_is_said_in_words():
    layer = Image(ramp(2, 3, 8, 9), scale=(1, 0.3, 0.1, 0.1))
    assert what_is_there(layer, read_as(layer)) == (
        "2 time points of 3 planes of 8 x 9 pixels of 100 nm, 300 nm from plane to plane."
    )
    assert what_is_there(layer, read_as(layer, "volume")).startswith("3 planes of 8 x 9")


@pytest.mark.parametrize("count", [2, 4])
def test_one_channel_is_chosen(count):
    data = ramp(count, 3, 8, 9)
    layer = Image(data, axis_labels=("c", "t", "y", "x"), name="several")
    assert read_as(layer).channel == 0
    image = layer_image(layer, read_as(layer, channel=count + 3))
    np.testing.assert_array_equal(image.data, data[-1])
