"""Real viewers for the window tests, and a plain word where there is no display."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from menu import PLUGIN
from npe2 import PluginManager, PluginManifest

from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate

REQUIRE_DISPLAY = os.environ.get("ZSDECONVNET_REQUIRE_DISPLAY") == "1"

# napari draws layers with OpenGL, which Qt's offscreen platform does not offer.
HAS_DISPLAY = (
    sys.platform in ("win32", "darwin")
    or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
) and os.environ.get("QT_QPA_PLATFORM") != "offscreen"

NO_DISPLAY = "no display to open a window on; run the tests under xvfb-run"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip before any fixture makes a Qt application, which without a display would abort."""
    if not HAS_DISPLAY:
        if REQUIRE_DISPLAY:
            pytest.fail(NO_DISPLAY)
        pytest.skip(NO_DISPLAY)


def passed(request):
    """Whether the test itself has passed; napari notes how each phase went."""
    report = getattr(request.node, "rep_call", None)
    return report is not None and report.passed


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(request):
    """After each test, whose viewer is closed by now: no widget, no work, no thread of ours."""
    yield
    if HAS_DISPLAY and passed(request):
        import leaks

        assert leaks.left_behind() == []


@pytest.fixture
def viewer(make_napari_viewer, request):
    """A viewer in a window that is shown, so that what is docked is laid out and painted.

    In the end its docks are closed, after which nothing of theirs may listen to it any more.
    """
    import leaks
    from napari.qt.threading import WorkerBase
    from qtpy.compat import isalive

    viewer = make_napari_viewer(show=True)
    yield viewer
    WorkerBase.await_workers(10_000)
    window = getattr(viewer.window, "_qt_window", None)
    if window is None or not isalive(window):
        return  # the test has closed it
    docked = bool(viewer.window.dock_widgets)
    viewer.window.remove_dock_widget("all")
    leaks.settle()
    if passed(request):
        assert leaks.dead_connections(viewer) == []
        # What a test has made without a widget is for the test to end.
        assert not docked or leaks.temporary_layers(viewer) == []


@pytest.fixture
def notifications():
    """Every notification that napari shows during the test, as (severity, message)."""
    from napari.utils.notifications import notification_manager

    shown = []

    def remember(notification):
        shown.append((str(notification.severity), notification.message))

    notification_manager.notification_ready.connect(remember)
    yield shown
    notification_manager.notification_ready.disconnect(remember)


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch, tmp_path):
    """Neither read nor write what the user of this machine has set and typed."""
    from napari_zsdeconvnet._qt.workers import checkpoints, preferences, remembered_optics

    monkeypatch.setattr(checkpoints, "memory_file", lambda: tmp_path / "channels.json")
    monkeypatch.setattr(remembered_optics, "memory_file", lambda: tmp_path / "channels.json")
    monkeypatch.setattr(preferences, "_settings", lambda: None)


@pytest.fixture
def manifest():
    return PluginManifest.from_file(Path(str(files("napari_zsdeconvnet"))) / "napari.yaml")


@pytest.fixture
def plugin(manifest):
    """The plugin as napari finds it: installed, with its entry point."""
    manager = PluginManager.instance()
    if PLUGIN not in manager:
        manager.register(manifest)
    return manager


@pytest.fixture(scope="session")
def sample():
    """A small image, with pixels of 62.6 nm."""
    return simulate("filaments", shape=(64, 72), pixel_size=0.0626)


@pytest.fixture(scope="session")
def model(sample):
    """A model of that image, which has hardly begun to learn."""
    from napari_zsdeconvnet.training.trainer import train

    pixel = sample.pixel_size
    run = train(
        sample.raw,
        PSF.simulate(na=1.3, wavelength=0.525, pixel_size=pixel / 2, size=33),
        NoiseModel(offset=100, gain=1.0, read_variance=4.0),
        voxel_size=(pixel, pixel),
        preset=replace(presets.PRESETS["fast"], patch=48, batch=1),
        steps=2,
        seed=0,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


@pytest.fixture
def raw(viewer, sample):
    """That image as a layer, away from the origin."""
    pixel = sample.pixel_size
    return viewer.add_image(
        sample.raw, name="raw", scale=(pixel, pixel), translate=(5, 7), units=("um", "um")
    )
