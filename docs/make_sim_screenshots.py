"""Take three raw SIM recordings through the SIM window and picture it.

    python tests/with_display.py docs/make_sim_screenshots.py RECORDINGS [--steps STEPS]

RECORDINGS is a folder with cristae_raw.tif, hela_mitochondria_raw.tif with its maps, and
microtubules_raw.tif. The pictures go to docs/images/sim_window_*.png.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make_screenshots import IMAGES, Tutorial
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtWidgets import QScrollArea

from napari_zsdeconvnet._qt.forms.noise_values import GAIN, OFFSET, READ_VARIANCE
from napari_zsdeconvnet._qt.forms.sim_camera import MAPS, TYPED
from napari_zsdeconvnet._qt.widgets.sim_widget import SIMWidget


@dataclass(frozen=True)
class Recording:
    """A file, and what its owners say of the microscope."""

    name: str
    pixel_size: float  # micrometres
    na: float
    wavelength: float  # nanometres
    camera: tuple[float, float, float] | None = None  # offset, gain, read variance
    maps: bool = False
    known: tuple[str, str] | None = None  # period and angles, of what is below the noise


RECORDINGS = (
    Recording("cristae", 0.065, 1.3, 569, camera=(100, 1.957, 13.9)),
    Recording("hela_mitochondria", 0.065, 1.3, 660, maps=True),
    Recording(
        "microtubules",
        0.0626,
        1.41,
        525,
        known=("180", "85, 145, 25"),
    ),
)


class SIMTutorial(Tutorial):
    """The tutorial's way, with raw SIM."""

    prefix = "sim_window_"

    def open_recording(self, path: Path, recording: Recording) -> SIMWidget:
        """Open the frames, of which the file says nothing, and tell the window of them."""
        (self.raw,) = self.viewer.open(path, plugin="napari")
        self.raw.name = recording.name.replace("_", " ")
        self.raw.scale = (1, recording.pixel_size, recording.pixel_size)
        self.raw.units = ("pixel", "um", "um")
        self.viewer.reset_view()
        sim = self.open("SIM")
        sim.raw.layer = self.raw
        sim.raw.pixel_box.value = 1000 * recording.pixel_size
        sim.microscope.na.value = recording.na
        sim.microscope.emission.value = recording.wavelength
        if recording.camera is not None:
            sim.camera.source.value = TYPED
            for name, value in zip((OFFSET, GAIN, READ_VARIANCE), recording.camera, strict=True):
                sim.camera.values.boxes[name].value = value
        if recording.maps:
            sim.camera.source.value = MAPS
            for name, box in sim.camera.files.items():
                file = f"{recording.name}_{name.removeprefix('read_')}_map.tif"
                box.value = path.with_name(file)
        return sim

    def estimate(self, sim: SIMWidget) -> None:
        """Press Estimate and wait."""
        sim.estimate_button.click()
        self.wait_for(lambda: not sim.busy, "the patterns")
        print(sim.status_label.text(), sim.patterns, sep="\n")

    def train(self, sim: SIMWidget, steps: int | None) -> None:
        """Train, then deconvolve."""
        if steps is not None:
            sim.steps_box.value = steps
        sim.train_button.click()
        self.wait_for(lambda: not sim.busy, "the training")
        print(sim.status_label.text())
        sim.deconvolve_button.click()
        self.wait_for(lambda: not sim.busy, "the deconvolution")

    def side_by_side(self) -> None:
        """Show mean of the frames, Wiener image and deconvolved image next to each other."""
        widefield = self.viewer.add_image(
            self.raw.data.mean(axis=0),
            name="mean of the frames",
            scale=self.raw.scale[-2:],
            units=self.raw.units[-2:],
        )
        shown = [widefield]
        for name in ("Wiener", "deconvolved"):
            shown.append(self.viewer.layers[f"{self.raw.name} {name}"])
        for layer in list(self.viewer.layers):
            if layer not in shown:
                self.viewer.layers.remove(layer)
        for layer in shown:
            layer.contrast_limits = np.percentile(layer.data, (2, 99.8))
        self.viewer.layers.move(self.viewer.layers.index(widefield), 0)
        grid = self.viewer.canvas.grid
        grid.enabled, grid.stride, grid.shape = True, 1, (1, 3)
        self.wait(1)
        self.viewer.reset_view()

    def scroll_to(self, sim: SIMWidget, share: float) -> None:
        """Scroll the window down by a share of its length."""
        bar = sim.findChild(QScrollArea).verticalScrollBar()
        bar.setValue(round(share * bar.maximum()))

    def close_notifications(self) -> None:
        """Take away what has been read."""
        for notification in self.window.findChildren(NapariQtNotification):
            notification.close()


def take(folder: Path, recordings: Path, recording: Recording, steps: int | None) -> None:
    """Take the pictures of one recording."""
    tutorial = SIMTutorial(folder)
    sim = tutorial.open_recording(recordings / f"{recording.name}_raw.tif", recording)
    tutorial.estimate(sim)
    tutorial.close_notifications()
    tutorial.scroll_to(sim, 0.3)
    tutorial.picture(f"{recording.name}_1_estimated")
    if recording.known is not None:
        sim.known_panel.expand()
        sim.microscope.period.value, sim.microscope.angles.value = recording.known
        tutorial.estimate(sim)
        tutorial.close_notifications()
        tutorial.scroll_to(sim, 0.3)
        tutorial.picture(f"{recording.name}_2_known")
    tutorial.train(sim, steps)
    tutorial.close_notifications()
    tutorial.side_by_side()
    tutorial.scroll_to(sim, 1)
    tutorial.picture(f"{recording.name}_3_trained")
    tutorial.viewer.close()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder with the recordings")
    parser.add_argument("--steps", type=int, help="training steps; by default the preset's own")
    parser.add_argument("--only", help="name of one recording")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for recording in RECORDINGS:
        if arguments.only in (None, recording.name):
            take(arguments.folder, arguments.recordings, recording, arguments.steps)


if __name__ == "__main__":
    main()
