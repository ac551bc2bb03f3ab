"""Python, the shell and One click train one model, to the bit, in every mode."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from averaged_mode import Averaged

import napari_zsdeconvnet as zs
from napari_zsdeconvnet._qt.forms.step_list import DONE, FAILED
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.model.provenance import weights_fingerprint
from napari_zsdeconvnet.modes import registry
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate, simulate_volume

LONG = 300_000  # milliseconds
PIXEL = 0.0626


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    volume = {"patch": 32, "planes": 8, "batch": 1, "steps": 3}
    for chosen, name, smaller in (
        (presets.PRESETS, "fast", {"patch": 48, "batch": 1, "steps": 3}),
        (presets.SIM_PRESETS, "fast", {"patch": 48, "batch": 1, "steps": 3}),
        (presets.VOLUME_PRESETS, "fast", volume),
        (presets.VOLUME_PRESETS, "sim", volume),
    ):
        monkeypatch.setitem(chosen, name, replace(chosen[name], **smaller))


@pytest.fixture
def averaged():
    before = list(registry._registered)
    yield zs.register(Averaged)
    registry._registered[:] = before


def recording(mode):
    """Pixels, axes, voxel size and microscope of a small recording."""
    if mode == "sim":
        sample = simulate_sim("filaments", shape=(96, 96), photons=300)
        return sample.raw, "TYX", (sample.pixel_size,) * 2, {"na": 1.3, "wavelength": 0.525}
    if mode in ("volume", "sim-stack"):
        sample = simulate_volume("filaments", shape=(8, 80, 80), photons=100)
        optics = {"na": 1.1, "wavelength": 0.525, "refractive_index": 1.33}
        return sample.raw, "ZYX", sample.voxel_size, optics
    optics, size = {"na": 1.3, "wavelength": 0.525}, (PIXEL, PIXEL)
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    if mode == "averaged":
        return np.stack([sample.raw, sample.second_exposure]), "TYX", size, optics
    return sample.raw, "YX", size, optics


def clicked(qtbot, viewer, mode, pixels, axes, size, optics):
    """Take a layer through One click; gives the model and the widget."""
    steps = (1.0,) * (pixels.ndim - len(size))
    labels = tuple(axes.lower())
    raw = viewer.add_image(pixels, name="raw", scale=(*steps, *size), axis_labels=labels)
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deconvolve…")
    if mode in ("sim-stack", "averaged"):
        widget.mode_box.value = mode
    widget.start(raw)
    qtbot.waitUntil(lambda: widget.asking or not widget.running, timeout=LONG)
    shown = {"wavelength": 1000, "pixel_size": 1000, "axial_step": 1000}
    values = {**optics, "pixel_size": size[-1]}
    if len(size) == 3:
        values["axial_step"] = size[0]
    for name, value in values.items():
        widget.form.boxes[name].value = value * shown.get(name, 1)
    assert not widget.form.missing
    widget.accept()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert FAILED not in widget.steps.states.values(), widget.steps.said
    return ViewerState.of(viewer).model, widget


def fingerprint(model):
    return weights_fingerprint(model.network.state_dict())


@pytest.mark.parametrize("mode", ["image", "volume", "sim", "sim-stack", "averaged"])
def test_all_three_train_one_model(qtbot, viewer, tmp_path, mode, averaged):
    pixels, axes, size, optics = recording(mode)
    window, widget = clicked(qtbot, viewer, mode, pixels, axes, size, optics)
    assert widget.steps.states["result"] == DONE

    asked_for = mode if mode in ("sim-stack", "averaged") else None
    image = zs.Image(pixels, axes, size, "raw")
    run = zs.run(
        image,
        microscope=zs.Microscope(**optics),
        mode=asked_for,
        seed=window.seed,
        judged=False,
        device="cpu",
        preview_every=0,
    )
    assert run.mode.name == mode
    python = run.finish()
    assert python.model.settings == window.settings
    assert python.model.noise == window.noise
    assert python.model.scale == window.scale
    np.testing.assert_array_equal(python.model.psf.array, window.psf.array)
    assert python.model.data_hash == window.data_hash
    assert fingerprint(python.model) == fingerprint(window)
    assert python.record.prediction.outputs.keys() == {"deconvolved", "denoised"}

    path = tmp_path / "raw.tif"
    zs.write_image(path, pixels, axes=axes, voxel_size=size)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in optics.items()]
    command = ["run", str(path), "-o", str(tmp_path), "--seed", str(window.seed), "--no-verdict"]
    chosen = [] if asked_for is None else ["--mode", asked_for]
    assert main([*command, *chosen, "--device", "cpu", *options]) == 0
    shell = zs.Model.load(tmp_path / "raw_model.safetensors")
    assert fingerprint(shell) == fingerprint(window)

    written = zs.read_image(tmp_path / "raw_deconvolved.tif")
    np.testing.assert_array_equal(np.asarray(written.data), python.deconvolved.data)
    assert written.voxel_size == pytest.approx(python.deconvolved.voxel_size)
    (shown,) = [layer for layer in viewer.layers if layer.name == "raw deconvolved"]
    np.testing.assert_allclose(np.squeeze(shown.data), python.deconvolved.data, rtol=1e-5)


def test_a_mode_from_outside_is_one_small_file():
    import averaged_mode

    assert len(Path(averaged_mode.__file__).read_text().splitlines()) < 80


def test_a_mode_from_outside_judges_in_its_own_way(qtbot, viewer, averaged):
    pixels, axes, size, optics = recording("averaged")
    _, widget = clicked(qtbot, viewer, "averaged", pixels, axes, size, optics)
    assert widget.steps.said["verdict"].startswith("The one measure that applies passed: light.")
    assert list(widget.steps.labels)[2] == "average"


def test_an_installed_package_adds_a_mode_to_the_shell(tmp_path):
    pixels, axes, size, _ = recording("averaged")
    zs.write_image(tmp_path / "raw.tif", pixels, axes=axes, voxel_size=size)
    installed = tmp_path / "averaged-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: averaged\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(
        "[napari_zsdeconvnet.modes]\naveraged = averaged_mode:Averaged\n"
    )
    paths = (str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    command = (
        *("run", "raw.tif", "--mode", "averaged", "-o", ".", "--steps", "1", "--device", "cpu"),
        *("--na", "1.3", "--wavelength", "0.525"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "napari_zsdeconvnet.cli.main", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The exposures are averaged." in done.stdout
    assert "The one measure that applies passed: light." in done.stdout
    assert zs.read_image(tmp_path / "raw_deconvolved.tif").data.shape == (192, 192)


def test_an_unknown_mode_is_refused_with_the_names_of_those_there_are(run, tmp_path):
    zs.write_image(tmp_path / "raw.tif", np.ones((64, 64), np.uint16), axes="YX")
    refused = run("run", tmp_path / "raw.tif", "--mode", "confocl", "-o", tmp_path)
    assert refused.code == 2
    assert "image, sim, sim-stack, volume" in refused.err
