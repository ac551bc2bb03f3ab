"""Take the lattice light-sheet recording through the widgets and picture every step.

    python tests/with_display.py docs/make_volume_screenshots.py VOLUMES [--model MODEL]

VOLUMES is a folder with lls_cell_deskewed.tif and lls_psf_measured.tif. The training in the
window is as long as --steps says; MODEL is one that the shell has trained, which the last
pictures then use. The pictures go to docs/images/volume_*.png.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from make_screenshots import IMAGES, Tutorial
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.layers import Layer
from scipy.ndimage import uniform_filter

from napari_zsdeconvnet._qt.widgets.noise_widget import NEAR_PLANES

STEP, PIXEL = 0.16, 0.1  # micrometres, of the recording
PSF_STEP, PSF_PIXEL = 100, 101  # nanometres, of the measured PSF
BOX = 40  # pixels


class VolumeTutorial(Tutorial):
    """The tutorial's way, with a volume and the PSF measured for it."""

    prefix = "volume_"

    def open_recording(self, path: Path) -> None:
        """Open the file, which says nothing of its axes and steps."""
        (self.raw,) = self.viewer.open(path, plugin="napari")
        self.raw.scale = (1, PIXEL, PIXEL)
        self.raw.units = ("um",) * 3
        self.viewer.layers.selection.active = self.raw

    def look_at_raw(self, zoom: float = 1.0, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Turn the camera to the plane shown, all of it or closer to a place."""
        height, width = (
            n * s for n, s in zip(self.raw.data.shape[-2:], self.raw.scale[-2:], strict=True)
        )
        canvas_height, canvas_width = self.window._qt_viewer.canvas.size
        self.viewer.camera.center = (0, at[0] * height, at[1] * width)
        self.viewer.camera.zoom = 0.97 * zoom * min(canvas_height / height, canvas_width / width)

    def calibrate(self) -> None:
        """Say that it is a volume and how far its planes are apart; then draw a box."""
        noise = self.open("Noise calibration")
        noise.image.kind_box.value = "volume"
        noise.image.step_box.value = 1000 * STEP
        self.viewer.dims.set_current_step(0, self.raw.data.shape[0] // 2)
        noise.draw_button.click()
        # The cell is everywhere in some plane, so that no box is empty in all of them.
        noise.planes_box.value = NEAR_PLANES
        noise.roi.add_rectangles(emptiest_box(self.raw.data[self.raw.data.shape[0] // 2]))
        self.wait_for(lambda: self.state.noise is not None, "the background")
        self.wait_for(lambda: not noise.busy, "the measurement")
        noise.sources.buttons["image"].click()
        self.wait_for(
            lambda: self.state.noise is not None and self.state.noise.gain is not None, "the gain"
        )
        self.wait_for(lambda: not noise.busy, "the end of the calibration")
        self.look_at_raw()
        self.picture("01_noise")

    def read_psf(self, path: Path) -> None:
        """Read the measured PSF and say its steps."""
        psf = self.open("PSF")
        psf.tabs.setCurrentIndex(psf.pages.index(psf.file_page))
        psf.file_page.path.value = path
        psf.file_page.voxel_size.value = PSF_PIXEL
        psf.file_page.step.value = PSF_STEP
        psf.make_button.click()
        self.wait_for(lambda: self.state.psf is not None, "the PSF")
        self.wait_for(lambda: not psf.busy, "the end of the reading")
        self.picture("02_psf")
        self.show_only(self.raw)

    def show_only(self, *layers: Layer) -> None:
        """Hide all others; removing them can crash the drawing by software."""
        for layer in self.viewer.layers:
            layer.visible = layer in layers

    def train(self, steps: int, model: Path) -> None:
        """Train, look at another plane on the way, then save the model."""
        train = self.open("Train")
        train.image.layer = self.raw
        train.steps_box.value = steps
        self.wait_for(lambda: len(train.device.box.choices) > 1, "the list of devices")
        train.train_button.click()
        done = 0.9 * steps
        self.wait_for(lambda: train.progress_bar.value() >= done, "most of the training")
        self.viewer.dims.set_current_step(0, self.raw.data.shape[0] // 2 - 6)
        self.wait_for(lambda: not train.running, "the end of the training")
        self.look_at_raw()
        self.picture("03_trained")
        train.save_model(model)
        self.wait_for(model.exists, "the model file")

    def deconvolve(self, model: Path) -> None:
        """Load the model, look at the mask of the damping, and apply the model without."""
        for notification in self.window.findChildren(NapariQtNotification):
            notification.close()
        self.show_only(self.raw)
        self.state.model = None
        deconvolve = self.open("Apply model")
        deconvolve.load_model(model)
        self.wait_for(lambda: self.state.model is not None, "the model")
        deconvolve.image.layer = self.raw
        deconvolve.damping.wanted.value = True
        deconvolve.damping.mask_button.click()
        self.picture("04_mask")
        self.show_only(self.raw)
        self.look_at_raw()
        deconvolve.damping.wanted.value = False
        deconvolve.tile_box.value = 1024  # all at once, which is quickest
        deconvolve.deconvolve_button.click()
        self.wait_for(lambda: not deconvolve.running, "the deconvolution")
        self.look_at_raw()
        self.picture("05_deconvolved")

    def look_around(self) -> None:
        """Compare raw and deconvolved in the plane, and from the side in 3D."""
        result = self.viewer.layers[f"{self.raw.name} deconvolved"]
        for layer in (self.raw, result):
            layer.contrast_limits = np.percentile(layer.data, (20, 99.95))
        for number, layer in enumerate((self.raw, result), 6):
            self.show_only(layer)
            self.viewer.dims.ndisplay = 2
            self.look_at_raw()
            self.picture(f"{number:02}_{'raw' if layer is self.raw else 'deconvolved'}_plane")
        self.viewer.dims.ndisplay = 3
        # Hidden layers beside it would be centred as well.
        self.viewer.camera.center = self.raw.extent.world.mean(axis=0)
        self.viewer.camera.angles = (0, 30, 60)
        self.viewer.camera.zoom = 20
        for number, layer in enumerate((self.raw, result), 8):
            self.show_only(layer)
            self.picture(f"{number:02}_{'raw' if layer is self.raw else 'deconvolved'}_volume")


def emptiest_box(plane: np.ndarray) -> np.ndarray:
    """Return the corners of the darkest square that noise fills, unlike what deskewing pads."""
    pixels = plane.astype(float)
    mean = uniform_filter(pixels, BOX)
    filled = uniform_filter((pixels == np.roll(pixels, 1, axis=1)).astype(float), BOX) > 0.5
    half = BOX // 2
    inner = np.where(filled, np.inf, mean)[half:-half, half:-half]
    top, left = np.unravel_index(inner.argmin(), inner.shape)
    return np.array([[top, left], [top, left + BOX], [top + BOX, left + BOX], [top + BOX, left]])


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path, help="folder with the recording and its PSF")
    parser.add_argument("--model", type=Path, help="a model that was trained on the recording")
    parser.add_argument(
        "--steps", type=int, default=400, help="training steps in the window; 0 does not train"
    )
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    tutorial = VolumeTutorial(arguments.folder)
    tutorial.open_recording(arguments.volumes / "lls_cell_deskewed.tif")
    tutorial.calibrate()
    tutorial.read_psf(arguments.volumes / "lls_psf_measured.tif")
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "cell.safetensors"
        if arguments.steps:
            tutorial.train(arguments.steps, model)
        tutorial.deconvolve(arguments.model or model)
    tutorial.look_around()
    tutorial.viewer.close()


if __name__ == "__main__":
    main()
