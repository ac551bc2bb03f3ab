"""One command, one form, one result with its verdict: through the real window and workers."""

from __future__ import annotations

import os
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import tifffile
from placed import borders
from qtpy.QtWidgets import QFileDialog

from napari_zsdeconvnet._qt.forms.step_list import ACTIVE, DONE, DOUBTFUL, ENDED, FAILED, WAITING
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.one_click import deconvolve_layer
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.workers import checkpoints, remembered_optics
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.model.facts import ModelFacts
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate, simulate_volume
from napari_zsdeconvnet.utils.errors import InputError

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow
OPTICS = {"na": 1.3, "wavelength": 525}
"""As typed: nanometres."""

METADATA = {
    "OME": {
        "Instrument": {"Objective": {"LensNA": 1.3}},
        "Image": {"Pixels": {"Channel": {"Name": "GFP", "EmissionWavelength": 525}}},
    }
}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    for chosen, smaller in (
        (presets.PRESETS, {"patch": 48, "batch": 1, "steps": 3}),
        (presets.SIM_PRESETS, {"patch": 48, "batch": 1, "steps": 3}),
        (presets.VOLUME_PRESETS, {"patch": 32, "planes": 8, "batch": 1, "steps": 4}),
    ):
        monkeypatch.setitem(chosen, "fast", replace(chosen["fast"], **smaller))


@pytest.fixture(scope="module")
def pixels():
    return simulate("filaments", shape=(96, 96), pixel_size=PIXEL).raw


@pytest.fixture
def one_click(viewer):
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deconvolve…")
    return widget


def add(viewer, pixels, name="cell", **settings):
    """A layer that says its pixels."""
    plain = {"scale": (1,) * (pixels.ndim - 2) + (PIXEL, PIXEL)}
    units = {"units": ("pixel",) * (pixels.ndim - 2) + ("um", "um")}
    return viewer.add_image(pixels, name=name, **{**plain, **units, **settings})


def fill(widget, **typed):
    for name, value in typed.items():
        widget.form.boxes[name].value = value


def wait_for_form(qtbot, widget):
    qtbot.waitUntil(lambda: widget.asking or not widget.running, timeout=LONG)
    assert widget.asking


def wait_for_end(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


def run(qtbot, widget, layer, **typed):
    widget.start(layer)
    wait_for_form(qtbot, widget)
    fill(widget, **typed)
    widget.start_button.click()
    wait_for_end(qtbot, widget)


def test_from_a_bare_layer_to_a_result_with_its_verdict(qtbot, viewer, pixels, one_click):
    raw = viewer.add_image(pixels, name="cell")
    one_click.start(raw)
    wait_for_form(qtbot, one_click)
    # Nothing is known, nothing is invented, and nothing goes on.
    assert one_click.form.missing == "type in: Raw pixel, NA, Emission."
    assert not one_click.start_button.isEnabled()
    notes = {name: label.text() for name, label in one_click.form._notes.items()}
    assert notes["pixel_size"] == "● in nm", "the unit is said before a number is typed"
    assert notes["na"] == "● required"
    fill(one_click, pixel_size=PIXEL, **OPTICS)
    assert not one_click.start_button.isEnabled()
    assert "did you mean" in one_click.form.hint.text(), "no need to look for a tooltip"
    fill(one_click, pixel_size=1000 * PIXEL)
    assert one_click.start_button.text() == "Go on"
    trains = []
    viewer.layers.events.inserted.connect(
        lambda _: trains.append(one_click.steps.states["model"] == ACTIVE)
    )
    one_click.start_button.click()
    qtbot.waitUntil(lambda: "Preview deconvolved" in viewer.layers, timeout=LONG)
    assert trains == [False, False]
    previews = [viewer.layers["Preview denoised"], viewer.layers["Preview deconvolved"]]
    wait_for_end(qtbot, one_click)

    names = ["cell", "cell denoised", "cell deconvolved"]
    assert previews == viewer.layers[1:3]  # no layer came or went for it
    assert [layer.name for layer in viewer.layers[:3]] == names
    np.testing.assert_allclose(raw.scale, (PIXEL, PIXEL))
    deconvolved = viewer.layers["cell deconvolved"]
    assert deconvolved.data.shape == (192, 192)
    np.testing.assert_allclose(borders(deconvolved), borders(raw))
    assert deconvolved.visible
    assert not viewer.layers["cell denoised"].visible
    assert viewer.layers.selection.active is deconvolved

    state = ViewerState.of(viewer)
    assert state.model.steps_trained == 3
    assert state.judged(raw).model is state.model
    states = one_click.steps.states
    assert {states[step] for step in states if step != "verdict"} == {DONE}
    assert states["verdict"] in (DONE, DOUBTFUL)
    assert "NA 1.3, typed" in one_click.steps.said["optics"]
    assert "widefield, assumed" in one_click.steps.said["optics"]
    assert "Offset" in one_click.steps.said["noise"]
    assert set(one_click.curves.terms) >= {"total"}

    # The next time everything is known and the model is at hand.
    one_click.start_button.click()
    wait_for_end(qtbot, one_click)
    assert "Reusing the model" in one_click.steps.said["model"]
    assert WAITING not in one_click.steps.states.values()  # nothing looks as if it were to come

    # And a noise that the user has calibrated since makes another model.
    before = state.model
    state.noise = NoiseModel(offset=99, gain=1.1, read_variance=4.0)
    assert "changed" in one_click.status_label.text()
    one_click.start_button.click()
    qtbot.waitUntil(lambda: state.model is not before, timeout=LONG)
    one_click.cancel()
    wait_for_end(qtbot, one_click)
    assert state.model.noise.offset == 99
    assert "another calibration" in one_click.steps.said["model"]


def test_what_the_metadata_say_is_not_asked_and_a_stop_keeps_what_was_learned(
    qtbot, viewer, pixels, one_click, monkeypatch
):
    monkeypatch.setitem(presets.PRESETS, "fast", replace(presets.PRESETS["fast"], steps=5000))
    raw = add(viewer, pixels, metadata=METADATA)
    one_click.start(raw)
    qtbot.waitUntil(lambda: one_click._last is not None and one_click._last.step > 2, timeout=LONG)
    assert not one_click.asking
    assert "NA 1.3, from the file" in one_click.steps.said["optics"]
    assert one_click.cancel_button.text() == "Stop here"
    one_click.cancel_button.click()
    wait_for_end(qtbot, one_click)
    assert 2 < ViewerState.of(viewer).model.steps_trained < 5000
    assert "cell deconvolved" in viewer.layers
    assert one_click.steps.states["verdict"] == ENDED
    assert ViewerState.of(viewer).judged(raw) is None


def test_what_was_typed_is_remembered_for_the_channel_alone(qtbot, viewer, pixels, one_click):
    channel = {"Channel": {"Name": "GFP"}}
    first = add(viewer, pixels, name="first", metadata=channel)
    one_click.start(first)
    wait_for_form(qtbot, one_click)
    assert one_click.form.title.text() == "Channel 'GFP'"
    fill(one_click, **OPTICS)
    one_click.start_button.click()
    qtbot.waitUntil(lambda: one_click.steps.states["psf"] == DONE, timeout=LONG)
    one_click.cancel()
    wait_for_end(qtbot, one_click)
    assert remembered_optics.remembered("gfp") == {
        "na": 1.3,
        "wavelength": 0.525,
        "modality": "widefield",
    }

    second = add(viewer, pixels, name="second", metadata=channel)
    one_click.start(second)
    qtbot.waitUntil(lambda: one_click.steps.states["optics"] == DONE, timeout=LONG)
    assert "NA 1.3, remembered for channel 'GFP'" in one_click.steps.said["optics"]
    one_click.cancel()
    wait_for_end(qtbot, one_click)

    # For another channel it is a suggestion, marked until it is accepted.
    other = add(viewer, pixels, name="other", metadata={"Channel": {"Name": "RFP"}})
    one_click.start(other)
    wait_for_form(qtbot, one_click)
    assert one_click.form.boxes["na"].value == 1.3
    assert "● as before" in one_click.form._notes["na"].text()
    assert not one_click.form.missing
    one_click.cancel_button.click()
    assert not one_click.asking
    assert one_click.steps.states["image"] == ENDED


def test_a_stack_is_taken_as_a_volume(qtbot, viewer, one_click):
    sample = simulate_volume("filaments", shape=(10, 48, 48), photons=100)
    step, pixel, _ = sample.voxel_size
    raw = viewer.add_image(sample.raw, name="stack", scale=(1, pixel, pixel))
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    one_click.start(raw)
    wait_for_form(qtbot, one_click)
    # Three axes that say nothing: series or volume is asked in the same form.
    assert one_click.image.kind_box.visible
    one_click.image.kind_box.value = "volume"
    viewer.dims.set_current_step(0, 4)
    assert "Plane step" in one_click.form.missing
    assert "Refractive index" in one_click.form.missing
    fill(one_click, axial_step=1000 * step, na=1.4, wavelength=525, refractive_index=1.33)
    assert "below the refractive index" in one_click.form.hint.text(), "before any work begins"
    assert not one_click.start_button.isEnabled()
    fill(one_click, na=1.1)
    one_click.start_button.click()
    wait_for_end(qtbot, one_click)
    assert viewer.layers["stack deconvolved"].data.shape == (10, 48, 48)
    np.testing.assert_allclose(viewer.layers["stack deconvolved"].scale, sample.voxel_size)
    assert viewer.dims.current_step[0] == 4, "the plane in view stays, though its scale is another"
    assert state.model.axes == "ZYX"
    assert state.judged(raw) is not None


def test_a_psf_for_volumes_replaces_the_optics_as_soon_as_the_layer_is_read_as_one(
    qtbot, viewer, one_click
):
    sample = simulate_volume("filaments", shape=(10, 48, 48), photons=100)
    raw = viewer.add_image(sample.raw, name="stack")
    state = ViewerState.of(viewer)
    state.psf = sample.psf
    one_click.start(raw)
    wait_for_form(qtbot, one_click)
    assert "NA" in one_click.form.missing, "of an image the PSF has too many axes"
    one_click.image.kind_box.value = "volume"
    assert one_click.form.missing == "type in: Raw pixel, Plane step."
    state.psf = None
    assert "NA" in one_click.form.missing


def test_raw_sim_is_recognised_asked_about_and_reconstructed(qtbot, viewer, one_click):
    sample = simulate_sim("filaments", shape=(96, 96), photons=300)
    pixel = sample.pixel_size
    raw = viewer.add_image(sample.raw, name="sim", scale=(1, pixel, pixel))
    one_click.start(raw)
    wait_for_form(qtbot, one_click)
    assert one_click.form.sim_box.visible
    assert one_click.form.sim_box.value
    fill(one_click, **OPTICS)
    one_click.start_button.click()
    qtbot.waitUntil(lambda: "sim Wiener" in viewer.layers, timeout=LONG)
    assert viewer.layers.selection.active.name == "Preview deconvolved"
    wait_for_end(qtbot, one_click)
    said = one_click.steps.said
    assert "3 of 3 orientations found" in said["patterns"]
    deconvolved = viewer.layers["sim deconvolved"]
    assert deconvolved.data.shape == (192, 192)
    np.testing.assert_allclose(borders(deconvolved), borders(raw))
    assert not viewer.layers["sim Wiener"].visible
    assert ViewerState.of(viewer).model.reconstruction is not None
    assert ViewerState.of(viewer).judged(raw) is not None
    assert one_click.steps.states["verdict"] in (DONE, DOUBTFUL)
    z_map = viewer.layers["sim z-map"]
    np.testing.assert_allclose(borders(z_map), borders(raw))
    assert not z_map.visible


class TestFailures:
    def test_nan_is_told_at_the_step_that_meets_it(
        self, qtbot, viewer, pixels, one_click, notifications
    ):
        holes = pixels.astype(np.float32)
        holes[8:-8, 8:-8:2] = np.nan  # single ones are masked
        run_without_form(qtbot, one_click, add(viewer, holes, "holes", metadata=METADATA))
        assert one_click.steps.states["noise"] == FAILED
        assert "NaN" in one_click.steps.said["noise"]
        assert any("NaN" in message for _, message in notifications)
        assert "holes deconvolved" not in viewer.layers
        assert one_click.start_button.isEnabled()

    def test_an_rgb_picture_is_refused_with_a_hint(self, viewer, one_click, notifications):
        picture = viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="picture")
        one_click.start(picture)
        assert not one_click.running
        assert "Split RGB" in notifications[-1][1]

    def test_a_result_is_not_deconvolved_again(
        self, qtbot, viewer, pixels, one_click, notifications
    ):
        key = {"napari-zsdeconvnet": ("a", "b")}
        one_click.start(viewer.add_image(pixels, name="cell deconvolved", metadata=key))
        assert not one_click.running
        assert "is itself a result" in notifications[-1][1]

    def test_without_a_selected_image_it_says_so(self, viewer, notifications):
        viewer.add_points(np.zeros((1, 2)))
        deconvolve_layer(viewer)
        assert "Select an image layer" in notifications[-1][1]

    def test_eight_bits_are_pointed_out(self, qtbot, viewer, pixels, one_click):
        bits = np.clip(pixels, 0, 254).astype(np.uint8)
        cancel_early(qtbot, one_click, add(viewer, bits, "bits", metadata=METADATA))
        assert "8 bits" in one_click.steps.said["image"]


def test_what_a_crash_left_of_a_training_is_gone_on_with(
    qtbot, viewer, pixels, one_click, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "trainings")

    def fails(*_):
        raise InputError("no-result", "no result today.")

    raw = add(viewer, pixels, metadata=METADATA)
    with monkeypatch.context() as patched:
        patched.setattr(Image2D, "predict", fails)
        run_without_form(qtbot, one_click, raw)
    (path,) = (tmp_path / "trainings").iterdir()
    one_click._state.model = None  # of a napari that is begun anew
    os.utime(path, (1e9, 1e9))
    run_without_form(qtbot, one_click, raw)
    assert "Trained for 3 steps before." in one_click.steps.said["model"]
    assert "cell deconvolved" in viewer.layers
    assert not path.exists()


def test_a_training_that_goes_on_can_be_given_up_for_one_that_begins_anew(
    qtbot, viewer, pixels, one_click, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "trainings")
    many = replace(presets.PRESETS["fast"], steps=5000)
    monkeypatch.setitem(presets.PRESETS, "fast", many)
    raw = add(viewer, pixels, metadata=METADATA)
    one_click.start(raw)
    qtbot.waitUntil(lambda: one_click._training, timeout=LONG)
    one_click._job.stop()  # which saves it, as closing the window does
    wait_for_end(qtbot, one_click)
    (path,) = (tmp_path / "trainings").iterdir()
    step = ModelFacts.read(path).steps_trained
    os.utime(path, (1e9, 1e9))

    one_click.start(raw)
    wanted = f"A training of this recording stopped after step {step}; it goes on from there."
    qtbot.waitUntil(lambda: wanted in one_click.steps.said.get("model", ""), timeout=LONG)
    assert "Start anew" in one_click.steps.labels["model"].text()
    qtbot.waitUntil(lambda: one_click._training, timeout=LONG)
    assert one_click._last.step > step
    one_click.steps.labels["model"].linkActivated.emit("from-the-first-step")
    qtbot.waitUntil(lambda: not path.exists(), timeout=LONG)
    qtbot.waitUntil(lambda: one_click.curves.terms.get("total", ([],))[0][:1] == [1], timeout=LONG)
    assert one_click.steps.said["model"].startswith("Training…")
    assert "Start anew" not in one_click.steps.labels["model"].text()
    one_click.cancel()
    wait_for_end(qtbot, one_click)


def test_the_result_is_saved_with_its_pixel_size_from_its_own_line(
    qtbot, viewer, pixels, one_click, monkeypatch, tmp_path, notifications
):
    """napari's own dialog offers a writer first that drops the pixel size."""
    run(qtbot, one_click, add(viewer, pixels), **OPTICS)
    asked = []

    def answer(_owner, _title, name, files):
        asked.append((name, files))
        return str(tmp_path / "sharp"), files

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    one_click.steps.clicked.emit("save")
    path = tmp_path / "sharp.ome.tif"
    qtbot.waitUntil(path.exists, timeout=LONG)
    qtbot.waitUntil(lambda: bool(notifications), timeout=LONG)
    name, files = asked[0]
    assert name == "cell deconvolved.ome.tif"
    assert files == "OME-TIFF (*.ome.tif *.ome.tiff);;OME-Zarr (*.ome.zarr)"
    assert read_image(path).voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    one_click.steps.clicked.emit("save")
    assert "there already" in notifications[-1][1]
    # The next image is not "again", whatever stands below of the one before.
    assert one_click.start_button.text() == "Deconvolve again"
    one_click.image.layer = add(viewer, pixels, name="other")
    assert one_click.start_button.text() == "Deconvolve"
    one_click.image.layer = viewer.layers["cell"]
    assert one_click.start_button.text() == "Deconvolve again"


def test_a_form_ends_with_the_layer_that_it_asks_for(qtbot, viewer, pixels, one_click):
    raw, other = add(viewer, pixels), add(viewer, pixels, name="other")
    one_click.start(raw)
    wait_for_form(qtbot, one_click)
    one_click.image.layer = other  # read alike
    assert not one_click.asking


class TestKindsOfLayers:
    def test_the_full_resolution_of_a_multiscale_layer_is_taken(
        self, qtbot, viewer, pixels, one_click
    ):
        raw = viewer.add_image(
            [pixels, pixels[::2, ::2]],
            scale=(PIXEL, PIXEL),
            units="um",
            name="pyramid",
            metadata=METADATA,
        )
        cancel_early(qtbot, one_click, raw)
        assert "96 x 96 pixels" in one_click.steps.said["image"]
        assert "full one" in one_click.steps.said["image"]

    def test_a_dask_layer_goes_all_the_way(self, qtbot, viewer, pixels, one_click):
        raw = add(viewer, da.from_array(pixels, chunks=48), "lazy", metadata=METADATA)
        run_without_form(qtbot, one_click, raw)
        assert viewer.layers["lazy deconvolved"].data.shape == (192, 192)


class TestChangingAssumptions:
    def test_each_opens_its_widget_on_that_layer(self, viewer, pixels, one_click, monkeypatch):
        from napari_zsdeconvnet._qt.layers.layer_axes import read_as
        from napari_zsdeconvnet._qt.widgets import one_click_widget
        from napari_zsdeconvnet._qt.widgets.task import SIM_STEPS, STEPS, task_of

        opened = []

        class Widget:
            image = raw = type("Chooser", (), {"layer": None})()

        monkeypatch.setattr(
            one_click_widget, "open_widget", lambda _, name: opened.append(name) or Widget
        )
        add(viewer, pixels, "another")
        raw = add(viewer, pixels)
        one_click._task = task_of(viewer, raw, read_as(raw), sim=False)
        targets = {to for step in (*STEPS, *SIM_STEPS) for _, to in step[2]}
        targets -= {"form", "anew", "save"}
        for target in targets:
            Widget.image.layer = None
            one_click.steps.clicked.emit(target)
            assert opened[-1] == target
            assert Widget.image.layer is raw

    def test_the_optics_open_the_form_again(self, qtbot, viewer, pixels, one_click):
        raw = add(viewer, pixels, metadata=METADATA)
        cancel_early(qtbot, one_click, raw)
        one_click.steps.clicked.emit("form")
        assert one_click.asking
        assert one_click.form.boxes["na"].value == 1.3
        fill(one_click, na=1.2)
        one_click.start_button.click()
        qtbot.waitUntil(lambda: one_click.steps.states["psf"] == DONE, timeout=LONG)
        one_click.cancel()
        wait_for_end(qtbot, one_click)
        assert "NA 1.2" in one_click.steps.said["psf"]


def test_the_menu_command_opens_it_on_the_selected_layer(viewer, pixels, monkeypatch):
    from napari_zsdeconvnet._qt.widgets import one_click as _one_click

    asked = []

    class Widget:
        start = staticmethod(asked.append)

    monkeypatch.setattr(
        _one_click, "open_widget", lambda viewer, name: asked.append(name) or Widget
    )
    raw = add(viewer, pixels)
    deconvolve_layer(viewer)
    assert asked == ["Deconvolve…", raw]


def test_the_key_starts_it_while_a_widget_is_open(viewer, one_click, notifications):
    from napari_zsdeconvnet._qt.widgets.one_click import KEY

    viewer.window._qt_viewer._key_map_handler.press_key(KEY)
    assert "Select an image layer" in notifications[-1][1]


def run_without_form(qtbot, widget, layer):
    widget.start(layer)
    wait_for_end(qtbot, widget)
    assert not widget.asking


def cancel_early(qtbot, widget, layer):
    widget.start(layer)
    qtbot.waitUntil(lambda: widget.steps.states.get("psf") in (DONE, DOUBTFUL), timeout=LONG)
    widget.cancel()
    wait_for_end(qtbot, widget)


def test_haze_is_told_and_its_background_is_a_layer_where_it_is_asked_for(
    qtbot, viewer, one_click, cases
):
    plane = tifffile.imread(cases / "nucleus.tif")[21]
    raw = add(viewer, plane, scale=(0.13, 0.13))
    run(qtbot, one_click, raw, na=1.4, wavelength=461)
    assert "Tick 'out-of-focus background'" in one_click.steps.said["image"]
    assert "cell background" not in viewer.layers
    without = viewer.layers["cell deconvolved"].data.mean()

    one_click.out_of_focus_box.value = True
    one_click.start_button.click()
    wait_for_end(qtbot, one_click)
    assert "without an out-of-focus background" in one_click.steps.said["model"]
    assert "Tick" not in one_click.steps.said["image"]
    background = viewer.layers["cell background"]
    assert not background.visible
    assert "'cell background'" in one_click.steps.said["result"]
    np.testing.assert_allclose(borders(background), borders(raw))
    both = viewer.layers["cell deconvolved"].data.mean() + background.data.mean()
    assert both == pytest.approx(without, rel=5e-3)
    assert viewer.layers.selection.active is viewer.layers["cell deconvolved"]

    one_click.out_of_focus_box.value = False
    one_click.start_button.click()
    wait_for_end(qtbot, one_click)
    assert "cell background" not in viewer.layers


def test_a_volume_has_no_use_for_a_background(viewer, one_click):
    volume = simulate_volume("filaments", shape=(10, 48, 48), photons=100).raw
    viewer.add_image(volume, name="stack", scale=(0.2, PIXEL, PIXEL), units=("um",) * 3)
    one_click.image.kind_box.value = one_click.image.kind_box.choices[-1]
    for kind in one_click.image.kind_box.choices:
        one_click.image.kind_box.value = kind
        assert one_click.out_of_focus_box.enabled == (one_click.image.spatial == "YX")
