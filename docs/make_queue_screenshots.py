"""Picture a queue at work and the list of the models that it leaves.

    python tests/with_display.py docs/make_queue_screenshots.py

Three simulated images of two channels, as a reader of OME-TIFF would open them, trained for as few
steps as show the windows at work. The pictures go to docs/images/queue_*.png.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

# Neither what was typed on this machine before nor what its user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "napari.yaml")

from make_screenshots import IMAGES, Tutorial

from napari_zsdeconvnet._qt.widgets.queue_widget import QueueWidget
from napari_zsdeconvnet._qt.workers import preferences
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate

CHANNELS = (
    ("well A1 GFP", "filaments", "GFP", 525, "green"),
    ("well A2 GFP", "vesicles", "GFP", 525, "green"),
    ("well A1 RFP", "filaments", "RFP", 600, "magenta"),
)
PIXEL = 0.0626
STEPS = 20


class QueueTutorial(Tutorial):
    """The tutorial's window, with several layers."""

    prefix = "queue_"

    def open_layers(self) -> None:
        """Lay the images side by side, with the metadata of their optics."""
        for place, (name, structure, channel, wavelength, colour) in enumerate(CHANNELS):
            sample = simulate(
                structure, shape=(192, 192), pixel_size=PIXEL, photons=60, seed=place,
                wavelength=wavelength / 1000,
            )  # fmt: skip
            said = {"Name": channel, "EmissionWavelength": wavelength}
            layer = self.viewer.add_image(
                sample.raw,
                name=name,
                scale=(PIXEL, PIXEL),
                units=("um", "um"),
                translate=(0, place * 196 * PIXEL),
                colormap=colour,
                metadata={
                    "OME": {
                        "Instrument": {"Objective": {"LensNA": 1.3}},
                        "Image": {"Pixels": {"Channel": said}},
                    }
                },
            )
            layer.reset_contrast_limits()
        self.viewer.reset_view()

    def show_activity(self) -> None:
        """Open the activity dock, as a click on its button does."""
        self.window._activity_dialog.show()
        self.window._activity_dialog.raise_()

    def run(self) -> None:
        """From three layers to their results, and to the models."""
        queue: QueueWidget = self.open("Queue")
        self.viewer.reset_view()  # into what the widget has left of the canvas
        queue.judge_box.value = False
        queue.start_button.click()
        last = self.viewer.layers[-1]
        self.wait_for(
            lambda: any("training" in one.said and one.layer is last for one in queue._queue),
            "the last layer",
        )
        self.show_activity()
        self.wait(2)
        self.picture("1_running")
        self.wait_for(lambda: not queue.running, "the end of the queue")
        self.window._activity_dialog.hide()
        models = self.open("Models")
        self.wait_for(lambda: models.list.topLevelItemCount() == 2, "the models")
        models.list.setCurrentItem(models.list.topLevelItem(0))
        self.picture("2_models")
        self.viewer.close()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=IMAGES)
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    presets.PRESETS["fast"] = replace(presets.PRESETS["fast"], steps=STEPS)
    os.chdir(tempfile.mkdtemp())
    preferences.models_folder = lambda: Path("models")
    tutorial = QueueTutorial(folder)
    tutorial.open_layers()
    tutorial.run()


if __name__ == "__main__":
    main()
