"""Take real recordings through the widgets and picture the window, as for the tutorial.

    python tests/with_display.py docs/make_real_screenshots.py RECORDINGS [--models MODELS]

RECORDINGS is a folder with terra_rna_spots.tif and telomeres_timelapse.tif, and MODELS one with
the models that docs/gallery.md trains in the shell; without it they are trained in the
window. The pictures go to docs/images/napari_*.png.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make_screenshots import IMAGES, Tutorial

from napari_zsdeconvnet._qt.forms.noise_values import OFFSET


@dataclass(frozen=True)
class Recording:
    """A file, and what nobody but its owner can know, here in part guessed."""

    name: str
    file: str
    pixel_size: float  # micrometres
    na: float
    wavelength: float  # nanometres
    offset: float  # counts
    at: tuple[float, float]  # where the last picture looks, as parts of height and width
    zoom: float


RECORDINGS = (
    Recording("terra", "terra_rna_spots.tif", 0.1, 1.4, 600, 98, (0.69, 0.655), 6),
    Recording("telomeres", "telomeres_timelapse.tif", 0.11, 1.4, 520, 95.8, (0.5, 0.5), 1),
)


class RealTutorial(Tutorial):
    """The tutorial's way, with a recording in place of the sample."""

    prefix = "napari_"

    def open_recording(self, path: Path, recording: Recording) -> None:
        """Open the file and say how large its pixels are."""
        (self.raw,) = self.viewer.open(path, plugin="napari")
        time = (1,) * (self.raw.ndim - 2)
        self.raw.scale = (*time, recording.pixel_size, recording.pixel_size)
        self.raw.units = (*("s",) * len(time), "um", "um")

    def calibrate_with_offset(self, offset: float) -> None:
        """Type the offset, then measure the gain and the read variance."""
        noise = self.open("Noise calibration")
        noise.image.layer = self.raw
        noise.values.boxes[OFFSET].value = offset
        button = (
            noise.sources.buttons["image"]
            if self.raw.ndim == 2
            else noise.sources.buttons["series"]
        )
        button.click()
        self.wait_for(lambda: self.state.noise is not None, "the noise")
        self.wait_for(lambda: not noise.busy, "the end of the calibration")

    def simulate(self, recording: Recording) -> None:
        """Say what the objective is taken to be."""
        psf = self.open("PSF")
        psf.image.layer = self.raw
        psf.simulate_page.na.value = recording.na
        psf.simulate_page.wavelength.value = recording.wavelength
        psf.make_button.click()
        self.wait_for(lambda: self.state.psf is not None, "the PSF")
        self.wait_for(lambda: not psf.busy, "the end of the simulation")
        self.viewer.layers.remove("PSF")

    def train_here(self, recording: Recording, steps: int | None) -> None:
        """Calibrate, simulate the PSF and train, without a stop."""
        self.calibrate_with_offset(recording.offset)
        self.simulate(recording)
        train = self.open("Train")
        train.image.layer = self.raw
        if steps is not None:
            train.steps_box.value = steps
        train.train_button.click()
        self.wait_for(lambda: self.state.model is not None and not train.running, "the training")
        for layer in [one for one in self.viewer.layers if one.name.startswith("Preview")]:
            self.viewer.layers.remove(layer)

    def apply(self, model: Path | None) -> None:
        """Apply the model just trained, or load one."""
        deconvolve = self.open("Apply model")
        if model is not None:
            deconvolve.load_model(model)
            self.wait_for(lambda: self.state.model is not None, "the model")
        deconvolve.image.layer = self.raw
        deconvolve.deconvolve_button.click()
        self.wait_for(lambda: not deconvolve.running, "the deconvolution")

    def look_closer(self, recording: Recording) -> None:
        """Put raw, denoised and deconvolved next to each other, at the same contrast, and close."""
        for layer in self.viewer.layers:
            frame = layer.data.reshape(-1, *layer.data.shape[-2:])[0]
            layer.contrast_limits = np.percentile(frame, (1, 99.8))
        for axis in range(self.raw.ndim - 2):
            self.viewer.dims.set_current_step(axis, 0)
        self.viewer.grid.enabled = True
        self.viewer.grid.stride = 1
        self.viewer.grid.shape = (1, len(self.viewer.layers))
        self.wait(1)
        self.viewer.reset_view()
        height, width = (
            n * s for n, s in zip(self.raw.data.shape[-2:], self.raw.scale[-2:], strict=True)
        )
        self.viewer.camera.center = (recording.at[0] * height, recording.at[1] * width)
        self.viewer.camera.zoom *= recording.zoom


def main() -> None:
    """Take a picture of each recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder with the recordings")
    parser.add_argument("--models", type=Path, help="folder with trained models")
    parser.add_argument("--steps", type=int, help="training steps; by default the preset's own")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()

    for recording in RECORDINGS:
        tutorial = RealTutorial(arguments.folder)
        tutorial.open_recording(arguments.recordings / recording.file, recording)
        if arguments.models is None:
            tutorial.train_here(recording, arguments.steps)
            tutorial.apply(None)
        else:
            tutorial.apply(arguments.models / f"{recording.name}.safetensors")
        tutorial.look_closer(recording)
        tutorial.picture(recording.name)
        tutorial.viewer.close()


if __name__ == "__main__":
    main()
