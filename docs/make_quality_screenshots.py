"""Drive the Quality widget over a good run and a broken one, and picture it.

    python tests/with_display.py docs/make_quality_screenshots.py [--models MODELS]

The image is simulated; one network is trained with its PSF and one with a PSF 1.6 times too
wide. They are kept in MODELS, if given, and taken from there the next time. The pictures go to
docs/images/quality_*.png.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from make_screenshots import IMAGES, Tutorial
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QScrollArea

from napari_zsdeconvnet import Model, train
from napari_zsdeconvnet._qt.widgets.quality_widget import QualityWidget
from napari_zsdeconvnet.quality.stability import scaled
from napari_zsdeconvnet.simulation.sample import Sample, simulate

WIDER = {"good": 1.0, "wide": 1.6}
WIDTH = 460  # of the widget


class QualityTutorial(Tutorial):
    """The tutorial's way, from a trained model on."""

    prefix = "quality_"

    def open_image(self, sample: Sample) -> None:
        """Show the simulated image."""
        pixel = sample.pixel_size
        self.raw = self.viewer.add_image(
            sample.raw, name="Filaments", scale=(pixel, pixel), units=("um", "um"), colormap="gray"
        )
        self.look_at_raw()

    def deconvolve(self, model: Model) -> None:
        """Apply a model."""
        self.state.model = model
        deconvolve = self.open("Apply model")
        deconvolve.deconvolve_button.click()
        self.wait_for(lambda: not deconvolve.running, "the deconvolution")

    def judge(self) -> QualityWidget:
        """Press *Judge* and wait for the verdict."""
        quality = self.open("Quality")
        self.wait_for(lambda: len(quality.device.box.choices) > 1, "the list of devices")
        quality.judge_button.click()
        self.wait_for(lambda: not quality.running, "the verdict")
        docks = [dock for dock in self.window.findChildren(QDockWidget) if dock.isVisible()]
        ours = [dock for dock in docks if dock.isAncestorOf(quality)]
        self.window.resizeDocks(ours, [WIDTH], Qt.Orientation.Horizontal)
        self.wait(0.3)
        return quality

    def compare(self) -> None:
        """Make the classical results, and swipe between one of them and the network's."""
        compare = self.open("Compare")
        compare.start_button.click()
        self.wait_for(lambda: not compare.running, "the classical results")
        compare.left_box.value = self.viewer.layers["Filaments Richardson-Lucy"]
        compare.right_box.value = self.viewer.layers["Filaments deconvolved"]
        compare.swipe_button.click()
        self.look_at_raw(zoom=2)

    def show_only(self, name: str) -> None:
        """Leave one layer to be seen."""
        for layer in self.viewer.layers:
            layer.visible = layer.name == name
        self.viewer.layers.selection.active = self.viewer.layers[name]
        self.look_at_raw()

    def scroll_to(self, quality: QualityWidget, share: float) -> None:
        """Scroll the widget down by a share of its length."""
        bar = quality.findChild(QScrollArea).verticalScrollBar()
        bar.setValue(round(share * bar.maximum()))


def trained(sample: Sample, name: str, folder: Path) -> Model:
    """Train with the PSF of that name, or take what was trained before."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        run = train(
            sample.raw,
            scaled(sample.psf, WIDER[name]),
            sample.noise,
            voxel_size=sample.voxel_size,
            seed=0,
            preview_every=0,
        )
        for _ in run:
            pass
        run.model.save(path)
    return Model.load(path)


def take(folder: Path, models: Path) -> None:
    """Take all pictures."""
    sample = simulate("filaments", shape=(256, 256), photons=50, seed=1)
    tutorial = QualityTutorial(folder)
    tutorial.open_image(sample)
    for number, name in enumerate(WIDER):
        tutorial.deconvolve(trained(sample, name, models))
        quality = tutorial.judge()
        tutorial.show_only("Filaments deconvolved")
        tutorial.scroll_to(quality, 0)
        tutorial.picture(f"{3 * number + 1:02}_{name}")
        tutorial.show_only("Filaments z-map")
        tutorial.viewer.layers["Filaments z-map"].colorbar.visible = True
        tutorial.scroll_to(quality, 0.6)
        tutorial.picture(f"{3 * number + 2:02}_{name}_z_map")
        tutorial.show_only("Filaments spread")
        tutorial.scroll_to(quality, 1)
        tutorial.picture(f"{3 * number + 3:02}_{name}_spread")
    tutorial.deconvolve(trained(sample, "good", models))
    tutorial.compare()
    tutorial.picture("07_swipe")
    tutorial.viewer.close()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder where trained networks are kept")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        models = arguments.models or Path(temporary)
        models.mkdir(parents=True, exist_ok=True)
        take(arguments.folder, models)


if __name__ == "__main__":
    main()
