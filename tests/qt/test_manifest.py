from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from menu import PLUGIN, WIDGETS


def test_every_command_names_something_that_is_there(manifest):
    for command in manifest.contributions.commands:
        assert callable(command.python_name and _imported(command.python_name)), command.id


def _imported(python_name):
    module, name = python_name.split(":")
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("name", WIDGETS)
def test_each_widget_opens_from_the_menu(plugin, viewer, qtbot, name):
    from napari_zsdeconvnet._qt.layers.state import ViewerState

    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    qtbot.waitUntil(widget.isVisible)
    assert type(widget).__name__ == WIDGETS[name]
    assert widget.minimumSizeHint().width() <= 420
    assert widget._state is ViewerState.of(viewer), "behind napari's proxy is the same viewer"
    viewer.window.remove_dock_widget(dock)


def test_deconvolve_stands_in_the_filter_menu_while_one_image_is_selected(manifest, viewer):
    """What napari makes of the manifest, and not just what it says."""
    from app_model.expressions import Expr
    from napari.plugins._npe2 import _npe2_manifest_to_actions

    actions, _ = _npe2_manifest_to_actions(manifest)
    (action,) = [one for one in actions if one.id == "napari-zsdeconvnet.deconvolve_layer"]
    assert action.title == "Deconvolve… (ZS-DeconvNet)"
    (rule,) = action.menus
    assert rule.id == "napari/layers/filter"
    for count, shown in ((0, False), (1, True), (2, False)):
        assert Expr.parse(str(rule.when)).eval({"num_selected_image_layers": count}) is shown
    assert action.callback == "napari_zsdeconvnet._qt.widgets.one_click:deconvolve_layer"


def test_the_sample_opens_with_its_units_its_psf_and_its_truth_in_place(plugin, viewer):
    viewer.open_sample(PLUGIN, "filaments")
    raw = viewer.layers["Filaments"]
    psf = viewer.layers["PSF of the filaments"]
    truth = viewer.layers["Truth of the filaments"]
    assert raw.data.dtype == np.uint16
    assert [str(unit) for unit in raw.units] == ["micrometer"] * 2
    np.testing.assert_allclose(psf.scale, raw.scale / 2)
    assert psf.data.sum() == pytest.approx(1, abs=1e-3)
    for corner in ((0, 0), raw.data.shape):
        np.testing.assert_allclose(
            truth.data_to_world(2 * np.array(corner) - 0.5),
            raw.data_to_world(np.array(corner) - 0.5),
        )
    assert not truth.visible
    assert viewer.layers[-1] is raw

    from napari_zsdeconvnet._qt.forms.choosers import image_layers

    assert image_layers(viewer) == [raw], "neither the PSF nor the truth is offered for training"

    from napari_zsdeconvnet._qt.layers.layer_metadata import recorded_of
    from napari_zsdeconvnet.io.acquisition import Optics

    assert recorded_of(raw).optics() == Optics(1.3, 0.525), "one click has nothing to ask"


def test_the_volume_opens_with_its_voxel_size_and_is_read_as_one(plugin, viewer):
    viewer.open_sample(PLUGIN, "volume")
    raw = viewer.layers["Volume"]
    assert raw.data.dtype == np.uint16
    assert raw.ndim == 3
    truth, psf = viewer.layers["Truth of the volume"], viewer.layers["PSF of the volume"]
    np.testing.assert_allclose(truth.extent.world, raw.extent.world)
    middle = psf.extent.world[:, 0].mean()
    assert middle == pytest.approx(raw.extent.world[:, 0].mean())

    from napari_zsdeconvnet._qt.forms.choosers import image_layers
    from napari_zsdeconvnet._qt.layers.layer_axes import read_as

    assert image_layers(viewer) == [raw]
    reading = read_as(raw)
    assert reading.kind == "volume"
    assert reading.voxel_size == pytest.approx((0.2, 0.09, 0.09))


@pytest.mark.parametrize("kind", ["filaments", "vesicles"])
def test_raw_sim_opens_as_nine_frames_with_its_truth_in_place(plugin, viewer, kind):
    viewer.open_sample(PLUGIN, f"sim_{kind}")
    raw, truth = (
        viewer.layers[f"Raw SIM of {kind}"],
        viewer.layers[f"Truth of the raw SIM of {kind}"],
    )
    assert raw.data.shape == (9, 256, 256)
    assert viewer.layers[-1] is raw
    for corner in ((0, 0), (256, 256)):
        np.testing.assert_allclose(
            truth.data_to_world(2 * np.array(corner) - 0.5),
            raw.data_to_world((0, *(np.array(corner) - 0.5)))[1:],
        )

    from napari_zsdeconvnet._qt.forms.choosers import image_layers
    from napari_zsdeconvnet._qt.layers.layer_axes import read_as

    assert image_layers(viewer) == [raw]
    assert read_as(raw).voxel_size == pytest.approx((0.0626, 0.0626))


def test_the_sim_stack_opens_as_a_volume(plugin, viewer):
    viewer.open_sample(PLUGIN, "sim_stack")
    raw = viewer.layers["SIM stack"]
    np.testing.assert_allclose(
        viewer.layers["Truth of the SIM stack"].extent.world, raw.extent.world
    )

    from napari_zsdeconvnet._qt.layers.layer_axes import read_as

    reading = read_as(raw)
    assert reading.kind == "volume"
    assert reading.voxel_size == pytest.approx((0.125, 0.04, 0.04))


@pytest.mark.parametrize("name", ["filaments", "volume", "sim_filaments", "sim_stack"])
def test_making_the_sample_needs_neither_qt_nor_napari(name):
    check = (
        "import sys; from napari_zsdeconvnet.simulation.sample_data import "
        f"{name}; layers = {name}();"
        "assert {kind for _, _, kind in layers} == {'image'};"
        "bad = {'napari', 'qtpy', 'magicgui'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", check], check=True, env={**os.environ})
