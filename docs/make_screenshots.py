"""Drive the real window through the tutorial and write a picture of every step.

    python tests/with_display.py python docs/make_screenshots.py

It opens the simulated sample, draws a background box, calibrates the camera, simulates the
PSF, trains, stops and resumes on the way, saves and loads the model and deconvolves: what
docs/step_by_step.md tells a user to do, by the same buttons. The pictures go to
docs/images/tutorial_*.png.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import PIL.Image
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.notifications import Notification, notification_manager
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QWidget
from scipy.ndimage import uniform_filter

from napari_zsdeconvnet._qt.layers.state import ViewerState

IMAGES = Path(__file__).parent / "images"
SIZE = (1400, 900)
BOX = 80  # raw pixels
CLOSER = (0.66, 0.4)  # part of the height and the width, where filaments cross
PATIENCE = 1800  # seconds for any one step


class Tutorial:
    """The window, and what a user does with it."""

    prefix = "tutorial_"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(show=True)
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.state = ViewerState.of(self.viewer)
        self.errors: list[str] = []
        notification_manager.notification_ready.connect(self._on_notification)

    def _on_notification(self, notification: Notification) -> None:
        if notification.severity == "error":
            self.errors.append(notification.message)

    def wait(self, seconds: float) -> None:
        """Let the window work and paint, in a loop of events as napari itself runs it.

        Called by hand, events of deletion would wait, and napari's spinner would never end.
        """
        loop = QEventLoop()
        QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Let the window work until something has come about."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.errors:
                raise RuntimeError(self.errors[0])
            if time.monotonic() > end:
                raise TimeoutError(f"waited {PATIENCE} s for {what}")
            self.wait(0.05)

    def picture(self, name: str) -> None:
        """Write what the window shows now, in 256 colours, which suffice for it."""
        self.wait(0.5)
        path = self.folder / f"{self.prefix}{name}.png"
        self.window.grab().save(str(path))
        with PIL.Image.open(path) as image:
            # By coverage, as a green tick would be grey by the number of pixels.
            cover = PIL.Image.Quantize.MAXCOVERAGE
            small = image.convert("RGB").quantize(256, cover, 3, dither=PIL.Image.Dither.NONE)
        small.save(path, optimize=True)

    def open(self, name: str) -> QWidget:
        """Open a widget of the plugin in front of the others, as the Plugins menu does."""
        dock, widget = self.viewer.window.add_plugin_dock_widget(
            "napari-zsdeconvnet", name, tabify=True
        )
        dock.raise_()
        self.wait(0.3)
        return widget

    # ------------------------------------------------------------------ the steps

    def open_sample(self) -> None:
        """File > Open Sample."""
        self.viewer.open_sample("napari-zsdeconvnet", "filaments")
        self.raw = self.viewer.layers["Filaments"]
        self.viewer.layers.selection.active = self.raw
        self.look_at_raw()
        self.picture("01_sample")

    def look_at_raw(self, zoom: float = 1.0, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Turn the camera to the raw image: all of it, or closer to a place in it."""
        height, width = (n * s for n, s in zip(self.raw.data.shape, self.raw.scale, strict=True))
        canvas_height, canvas_width = self.window._qt_viewer.canvas.size
        self.viewer.camera.center = (at[0] * height, at[1] * width)
        self.viewer.camera.zoom = 0.97 * zoom * min(canvas_height / height, canvas_width / width)

    def calibrate(self) -> None:
        """Draw a box on empty background, then measure the gain."""
        noise = self.open("Noise calibration")
        noise.draw_button.click()
        noise.roi.add_rectangles(emptiest_box(self.raw.data))
        self.wait_for(lambda: self.state.noise is not None, "the background")
        self.wait(0.5)
        self.look_at_raw()
        self.picture("02_background")
        noise.sources.buttons["image"].click()
        self.wait_for(
            lambda: self.state.noise is not None and self.state.noise.gain is not None, "the gain"
        )
        self.wait_for(lambda: not noise.busy, "the end of the calibration")
        self.picture("03_camera")

    def simulate_psf(self) -> None:
        """Say what the objective was."""
        psf = self.open("PSF")
        psf.simulate_page.na.value = 1.3
        psf.simulate_page.wavelength.value = 525
        psf.make_button.click()
        self.wait_for(lambda: self.state.psf is not None, "the PSF")
        self.wait_for(lambda: not psf.busy, "the end of the simulation")
        self.picture("04_psf")
        for layer in self.viewer.layers:
            layer.visible = layer is self.raw
        self.viewer.layers.selection.active = self.raw

    def train(self, steps: int | None, model: Path) -> None:
        """Train with a stop on the way, then save the model."""
        train = self.open("Train")
        train.image.layer = self.raw
        if steps is not None:
            train.steps_box.value = steps
        self.look_at_raw()
        self.wait_for(lambda: len(train.device.box.choices) > 1, "the list of devices")
        self.picture("05_before_training")
        train.train_button.click()
        half = train.steps_box.value // 2
        self.wait_for(lambda: train.progress_bar.value() >= half, "half of the training")
        self.picture("06_training")
        train.stop_button.click()
        self.wait_for(lambda: not train.running, "the stop")
        self.picture("07_stopped")
        train.resume_button.click()
        self.wait_for(lambda: not train.running, "the end of the training")
        self.picture("08_trained")
        train.save_model(model)
        self.wait_for(model.exists, "the model file")
        self.wait(1)
        # They cover a corner of the canvas until they have been read.
        for notification in self.window.findChildren(NapariQtNotification):
            notification.close()

    def deconvolve(self, model: Path) -> None:
        """Load the model and apply it."""
        self.state.model = None
        deconvolve = self.open("Apply model")
        deconvolve.load_model(model)
        self.wait_for(lambda: self.state.model is not None, "the model")
        deconvolve.image.layer = self.raw
        deconvolve.deconvolve_button.click()
        self.wait_for(lambda: not deconvolve.running, "the deconvolution")
        for name in ("Preview denoised", "Preview deconvolved"):
            self.viewer.layers[name].visible = False
        self.picture("09_deconvolved")
        self.look_at_raw(zoom=4, at=CLOSER)
        self.picture("10_deconvolved_closer")
        for layer in self.viewer.layers:
            layer.visible = layer is self.raw
        self.picture("11_raw_closer")


def emptiest_box(image: np.ndarray) -> np.ndarray:
    """Return the corners of the square with the least light in it."""
    mean = uniform_filter(image.astype(float), BOX)
    half = BOX // 2
    inner = mean[half:-half, half:-half]
    top, left = np.unravel_index(inner.argmin(), inner.shape)
    return np.array([[top, left], [top, left + BOX], [top + BOX, left + BOX], [top + BOX, left]])


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="training steps; by default the preset's own")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    tutorial = Tutorial(arguments.folder)
    tutorial.open_sample()
    tutorial.calibrate()
    tutorial.simulate_psf()
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "filaments.safetensors"
        tutorial.train(arguments.steps, model)
        tutorial.deconvolve(model)
    tutorial.viewer.close()


if __name__ == "__main__":
    main()
