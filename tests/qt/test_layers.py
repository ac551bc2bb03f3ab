from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_zsdeconvnet._qt._layers import (
    add_or_update,
    channel_count,
    fit_contrast,
    layer_axes,
    layer_image,
    layer_voxel_size,
    read_frame,
    shapes_mask,
    shown_frame,
)
from napari_zsdeconvnet.errors import InputError


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


def test_axes_that_cannot_be_told_are_refused():
    with pytest.raises(InputError, match="'many' has 5 axes"):
        layer_axes(Image(np.zeros((2, 2, 2, 8, 8)), name="many"))
    with pytest.raises(InputError, match="axes TTYX"):
        layer_axes(Image(np.zeros((2, 2, 8, 8)), axis_labels=("t", "frame", "y", "x")))


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


def test_lazy_and_multiscale_layers_give_the_full_resolution():
    dask = pytest.importorskip("dask.array")
    data = ramp(3, 8, 10)
    lazy = layer_image(Image(dask.from_array(data, chunks=(1, 8, 10)), name="lazy"))
    assert isinstance(lazy.data, np.ndarray)
    np.testing.assert_array_equal(lazy.data, data)
    assert (lazy.axes, lazy.name) == ("TYX", "lazy")
    pyramid = Image([data[0], data[0, ::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(layer_image(pyramid).data, data[0])


def test_one_channel_is_chosen():
    data = ramp(2, 3, 8, 9)
    layer = Image(data, axis_labels=("c", "t", "y", "x"), name="two")
    assert channel_count(layer) == 2
    with pytest.raises(InputError, match="2 channels; choose one"):
        layer_image(layer)
    with pytest.raises(InputError, match="no channel 2; choose one of 0 to 1"):
        layer_image(layer, channel=2)
    image = layer_image(layer, channel=1)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.data, data[1])


def test_the_frame_is_the_one_the_sliders_show():
    data = ramp(2, 3, 8, 9)
    viewer = ViewerModel()
    layer = viewer.add_image(
        data, axis_labels=("c", "t", "y", "x"), scale=(1, 0.5, 0.1, 0.1), translate=(0, 4, 0, 0)
    )
    viewer.dims.set_current_step(1, 2)
    assert shown_frame(layer, viewer, channel=1) == (1, 2)
    viewer.dims.set_current_step(0, 0)
    np.testing.assert_array_equal(read_frame(layer, shown_frame(layer, viewer)), data[0, 2])


PLACEMENTS = {
    "plain": {},
    "scaled": {"scale": (0.1, 0.2), "translate": (5, -7), "units": ("um", "um")},
    "turned": {"scale": (0.1, 0.2), "translate": (5, -7), "rotate": 30, "shear": (0.2,)},
    "affine": {"scale": (2, 2), "affine": np.array([[0, 1, 3], [-1, 0, 4], [0, 0, 1]])},
}


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS.keys())
@pytest.mark.parametrize("upsampling", [1, 2])
def test_a_result_covers_its_source_exactly(placement, upsampling):
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((8, 10)), **placement)
    result = add_or_update(
        viewer,
        "result",
        np.ones((8 * upsampling, 10 * upsampling)),
        like=source,
        upsampling=upsampling,
    )
    # The outer edges of the two grids, half a pixel beyond the first and last centres.
    for corner in ((0, 0), (8, 0), (0, 10), (8, 10)):
        np.testing.assert_allclose(
            result.data_to_world(np.array(corner) * upsampling - 0.5),
            source.data_to_world(np.array(corner) - 0.5),
            atol=1e-9,
        )
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels


def test_a_part_of_a_series_lies_where_it_was_cut():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((5, 40, 50)), scale=(1, 0.1, 0.1), translate=(0, 1, 2))
    part = add_or_update(
        viewer, "part", np.ones((20, 24)), like=source, upsampling=2, origin=(10, 20)
    )
    np.testing.assert_allclose(
        part.data_to_world((-0.5, -0.5)), source.data_to_world((0, 9.5, 19.5))[1:]
    )
    np.testing.assert_allclose(part.scale, (0.05, 0.05))


def test_the_result_of_one_channel_keeps_the_time_axis():
    viewer = ViewerModel()
    source = viewer.add_image(
        np.zeros((5, 2, 8, 8)), axis_labels=("t", "c", "y", "x"), scale=(3, 1, 0.1, 0.1)
    )
    result = add_or_update(viewer, "r", np.ones((5, 16, 16)), like=source, upsampling=2)
    assert result.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(result.scale, (3, 0.05, 0.05))


def test_a_result_is_updated_in_place_also_after_renaming():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((8, 8)), colormap="magma", name="raw")
    other = viewer.add_image(np.zeros((8, 8)), name="other")
    first = add_or_update(viewer, "denoised", ramp(8, 8), like=source, metadata={"step": 1})
    assert first.colormap.name == "magma"
    first.name = "my favourite"
    again = add_or_update(viewer, "denoised", 10 * ramp(8, 8), like=source)
    assert again is first
    assert first.name == "my favourite"
    assert first.contrast_limits[1] > 600
    assert add_or_update(viewer, "denoised", ramp(8, 8), like=other) is not first
    assert add_or_update(viewer, "deconvolved", ramp(8, 8), like=source) is not first
    assert len(viewer.layers) == 5


def test_a_removed_result_comes_back():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((8, 8)))
    viewer.layers.remove(add_or_update(viewer, "r", ramp(8, 8), like=source))
    assert add_or_update(viewer, "r", ramp(8, 8), like=source) in viewer.layers


def test_contrast_survives_flat_data_and_one_hot_pixel():
    flat = Image(np.zeros((8, 8), dtype=np.float32))
    fit_contrast(flat)
    assert flat.contrast_limits[1] > flat.contrast_limits[0]
    hot = np.random.default_rng(0).normal(10, 1, (256, 256)).astype(np.float32)
    hot[3, 3] = 1e6
    layer = Image(hot)
    fit_contrast(layer)
    assert layer.contrast_limits[1] < 20


def whole(shapes, layer):
    mask, part = shapes_mask(shapes, layer)
    full = np.zeros(layer.data.shape[-2:], dtype=bool)
    full[part] = mask
    return full


def test_a_rectangle_takes_the_pixels_whose_centres_lie_inside():
    layer = Image(np.zeros((20, 30)))
    shapes = Shapes([np.array([(2.5, 4.5), (2.5, 9.5), (7.5, 9.5), (7.5, 4.5)])])
    expected = np.zeros((20, 30), dtype=bool)
    expected[3:8, 5:10] = True
    np.testing.assert_array_equal(whole(shapes, layer), expected)


def test_shapes_and_image_may_lie_differently():
    layer = Image(np.zeros((4, 20, 30)), scale=(1, 0.1, 0.2), translate=(0, 5, 6))
    corners = np.array([(5.25, 6.9), (5.25, 7.9), (5.75, 7.9), (5.75, 6.9)])
    shapes = Shapes([corners * 2], scale=(0.5, 0.5))
    expected = np.zeros((20, 30), dtype=bool)
    expected[3:8, 5:10] = True
    np.testing.assert_array_equal(whole(shapes, layer), expected)


def test_ellipses_and_polygons_enclose_their_area_and_lines_none():
    layer = Image(np.zeros((200, 200)))
    frame = np.array([(20, 40), (20, 120), (80, 120), (80, 40)], dtype=float)
    ellipse = whole(Shapes([frame], shape_type="ellipse"), layer)
    assert ellipse.sum() == pytest.approx(np.pi * 30 * 40, rel=0.01)
    assert ellipse[50, 80]
    assert not ellipse[22, 42]
    triangle = np.array([(10, 10), (110, 10), (110, 110)], dtype=float)
    polygon = whole(Shapes([triangle], shape_type="polygon"), layer)
    assert polygon.sum() == pytest.approx(5000, rel=0.02)
    assert polygon[100, 20]
    assert not polygon[20, 100]
    with pytest.raises(InputError, match="no rectangle, ellipse or polygon"):
        shapes_mask(Shapes([frame[:2]], shape_type="line"), layer)


def test_overlapping_shapes_are_joined_and_cut_at_the_border():
    layer = Image(np.zeros((20, 30)))
    box = np.array([(-5, -5), (-5, 4.5), (4.5, 4.5), (4.5, -5)])
    other = np.array([(2.5, 2.5), (2.5, 9.5), (9.5, 9.5), (9.5, 2.5)])
    mask = whole(Shapes([box, other]), layer)
    expected = np.zeros((20, 30), dtype=bool)
    expected[:5, :5] = True  # cut at the upper left corner of the image
    expected[3:10, 3:10] = True
    np.testing.assert_array_equal(mask, expected)


def test_shapes_outside_the_image_are_refused():
    layer = Image(np.zeros((20, 30)), name="raw")
    box = np.array([(50, 50), (50, 60), (60, 60), (60, 50)])
    with pytest.raises(InputError, match="The shapes in 'ROI' cover no pixel of 'raw'"):
        shapes_mask(Shapes([box], name="ROI"), layer)
    with pytest.raises(InputError, match="'ROI' holds no"):
        shapes_mask(Shapes(name="ROI", ndim=2), layer)
