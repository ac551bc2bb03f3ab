from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_zsdeconvnet._qt.layers.contrast import contrast_of, fit_contrast, limits_above
from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.layers import (
    add_or_update,
    beside,
    layer_image,
    make_into,
    shown_place,
)
from napari_zsdeconvnet._qt.layers.shapes import shapes_mask
from napari_zsdeconvnet.utils.errors import InputError


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def test_lazy_layers_stay_lazy_and_multiscale_ones_give_the_full_resolution(tmp_path):
    dask = pytest.importorskip("dask.array")
    data = ramp(3, 8, 10)
    lazy = layer_image(Image(dask.from_array(data, chunks=(1, 8, 10)), name="lazy"))
    assert isinstance(lazy.data, dask.Array)
    np.testing.assert_array_equal(lazy.data, data)
    assert (lazy.axes, lazy.name) == ("TYX", "lazy")
    np.save(tmp_path / "ramp.npy", data)
    mapped = layer_image(Image(np.load(tmp_path / "ramp.npy", mmap_mode="r")))
    assert isinstance(mapped.data, np.memmap)
    pyramid = Image([data[0], data[0, ::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(layer_image(pyramid).data, data[0])


def test_one_channel_is_chosen_of_a_lazy_layer_too():
    dask = pytest.importorskip("dask.array")
    data = ramp(2, 3, 8, 9)
    for pixels in (data, dask.from_array(data)):
        layer = Image(pixels, axis_labels=("c", "t", "y", "x"), name="two")
        image = layer_image(layer, read_as(layer, channel=1))
        assert image.axes == "TYX"
        assert type(image.data) is type(pixels)
        np.testing.assert_array_equal(image.data, data[1])


def test_the_place_is_the_one_the_sliders_show():
    data = ramp(2, 3, 8, 9)
    viewer = ViewerModel()
    layer = viewer.add_image(
        data, axis_labels=("c", "t", "y", "x"), scale=(1, 0.5, 0.1, 0.1), translate=(0, 4, 0, 0)
    )
    viewer.dims.set_current_step(1, 2)
    assert shown_place(layer, viewer, read_as(layer)) == (2,)
    plain = viewer.add_image(data, scale=(1, 0.5, 0.1, 0.1), translate=(0, 4, 0, 0))
    assert shown_place(plain, viewer, read_as(plain)) == (0, 2)


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


@pytest.mark.parametrize("upsampling", [1, 2])
def test_a_slab_of_a_volume_lies_where_it_was_cut(upsampling):
    viewer = ViewerModel()
    source = viewer.add_image(
        np.zeros((2, 20, 40, 50)), scale=(9, 0.5, 0.1, 0.1), translate=(0, 3, 1, 2)
    )
    slab = np.ones((5, 20 * upsampling, 24 * upsampling))
    part = add_or_update(
        viewer, "slab", slab, like=source, upsampling=upsampling, origin=(4, 10, 20)
    )
    last = np.array(slab.shape) - 0.5
    np.testing.assert_allclose(
        part.data_to_world((-0.5,) * 3), source.data_to_world((0, 3.5, 9.5, 19.5))[1:]
    )
    np.testing.assert_allclose(
        part.data_to_world(last), source.data_to_world((0, 8.5, 29.5, 43.5))[1:]
    )
    assert part.scale[0] == 0.5, "planes stay as they are"


def test_what_stands_beside_shares_the_middle_plane():
    source = Image(np.zeros((21, 40, 50)), scale=(0.5, 0.1, 0.1), translate=(3, 1, 2))
    place = beside(source, (5, 9, 9), (0.2, 0.05, 0.05))
    assert place["translate"][0] + 2 * 0.2 == pytest.approx(3 + 10 * 0.5)
    assert place["translate"][2] > 2 + 49.5 * 0.1


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


def test_one_result_is_made_into_another_where_its_axes_allow():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((2, 8, 8)), name="raw")
    preview = add_or_update(viewer, "preview", ramp(8, 8), like=source, visible=False)
    assert not preview.visible
    make_into(viewer, "preview", "raw denoised", like=source, ndim=3)
    assert preview.name == "preview"
    make_into(viewer, "preview", "raw denoised", like=source, ndim=2)
    assert preview.visible
    assert add_or_update(viewer, "raw denoised", 2 * ramp(8, 8), like=source) is preview
    assert [layer.name for layer in viewer.layers] == ["raw", "raw denoised"]

    # What is there already stays what it is.
    another = add_or_update(viewer, "preview", ramp(8, 8), like=source)
    make_into(viewer, "preview", "raw denoised", like=source, ndim=2)
    assert another.name == "preview"
    assert add_or_update(viewer, "raw denoised", ramp(8, 8), like=source) is preview


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


def test_contrast_is_of_what_was_measured():
    """The spread of a stack is NaN beyond the part that was judged."""
    pixels = np.full((6, 40, 40), np.nan, dtype=np.float32)
    assert contrast_of(pixels) == ((0, 1), (0, 1))
    pixels[2:4, 10:20, 10:20] = np.linspace(1, 3, 200).reshape(2, 10, 10)
    (low, high), span = contrast_of(pixels)
    assert 1 <= low < high <= 3
    assert span == (1, 3)
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((6, 40, 40)), name="stack")
    layer = add_or_update(viewer, "spread", pixels, like=source)
    assert layer.contrast_limits == [low, high]


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


class TestContrastOfTheSource:
    """Counts from 90 to 290 over an offset of 100; nearly all of them below 190."""

    @pytest.fixture
    def source(self):
        pixels = np.linspace(90, 190, 1024, dtype=np.float32).reshape(32, 32)
        pixels[0, :2] = 290, 90
        return Image(pixels, name="raw", gamma=0.7, colormap="green")

    def test_black_and_white_are_those_of_the_source_above_the_offset(self, source):
        like = limits_above(source, source.data, 100)
        assert like == pytest.approx((-10, 190))
        dim = np.linspace(0, 50, 1024, dtype=np.float32).reshape(32, 32)
        (black, white), span = contrast_of(dim, like)
        assert (black, white) == pytest.approx((-10, 190))
        assert span == pytest.approx((-10, 190))

    def test_peaks_above_it_are_not_clipped(self, source):
        like = limits_above(source, source.data, 100)
        sharp = np.linspace(0, 500, 1024, dtype=np.float32).reshape(32, 32)
        (black, white), _ = contrast_of(sharp, like)
        assert black == pytest.approx(-10)
        assert white == pytest.approx(499, rel=0.01)

    @pytest.mark.parametrize("limits", [(0, 65535), (90, 400), (-20, 190)])
    def test_limits_that_show_little_are_not_taken(self, source, limits):
        source.contrast_limits_range = source.contrast_limits = limits
        assert limits_above(source, source.data, 100) is None

    def test_of_a_background_that_is_bright(self):
        pixels = np.linspace(500, 600, 1024, dtype=np.float32).reshape(32, 32)
        source = Image(pixels, contrast_limits=(480, 620))
        assert limits_above(source, pixels, 100) == pytest.approx((380, 520))

    def test_gamma_and_colours_are_those_of_the_source(self, source):
        viewer = ViewerModel()
        viewer.add_layer(source)
        layer = add_or_update(
            viewer, "raw sharp", source.data - 100, like=source, contrast=(-10, 190)
        )
        assert layer.contrast_limits == pytest.approx([-10, 190])
        assert (layer.gamma, layer.colormap.name) == (0.7, "green")
