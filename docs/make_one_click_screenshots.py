"""Take recordings through one click and picture each moment.

    python tests/with_display.py docs/make_one_click_screenshots.py RECORDINGS [--only terra]

RECORDINGS is a folder with widefield2d/terra_rna_spots.tif, volume/lls_cell_deskewed.tif with its
measured PSF, and sim2d/cristae_raw.tif. The pictures go to docs/images/one_click_*.png, a film of
the first recording to docs/images/one_click.gif, and how long each recording took is printed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Neither what was typed on this machine before nor what its user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "napari.yaml")

import numpy as np
import PIL.Image
import PIL.ImageColor
from make_screenshots import IMAGES, Tutorial
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_zsdeconvnet._qt.forms.shades import ON_DARK
from napari_zsdeconvnet._qt.forms.step_list import ACTIVE
from napari_zsdeconvnet._qt.layers.previews import DECONVOLVED
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet.psf.psf import PSF

FILM_WIDTH, FILM_FRAMES, FILM_COLOURS = 720, 40, 192
GREYS = 64
MIXED = (1.0, 0.7, 0.4)
"""Parts of a sign's colour in its pixels, the rest is background."""
WATCHED = 60
"""Training steps after which it is pictured; it may end by itself soon after."""


@dataclass(frozen=True)
class Recording:
    """A file, and what its owner types into the form, as it is shown there."""

    name: str
    file: str
    typed: dict[str, float]
    kind: str | None = None
    psf: str | None = None
    psf_voxel_size: tuple[float, ...] | None = None


RECORDINGS = (
    Recording(
        "terra",
        "widefield2d/terra_rna_spots.tif",
        {"pixel_size": 100, "na": 1.4, "wavelength": 600},
    ),
    Recording(
        "stack",
        "volume/lls_cell_deskewed.tif",
        {"pixel_size": 100, "axial_step": 160},
        kind="volume",
        psf="volume/lls_psf_measured.tif",
        psf_voxel_size=(0.1, 0.101, 0.101),
    ),
    Recording(
        "sim",
        "sim2d/cristae_raw.tif",
        {"pixel_size": 65, "na": 1.3, "wavelength": 569},
    ),
)


class OneClickTutorial(Tutorial):
    """The tutorial's window, with one menu item."""

    prefix = "one_click_"

    def open_recording(self, path: Path, name: str) -> None:
        """Open the file as napari does, and nothing else."""
        (self.raw,) = self.viewer.open(path, plugin="napari")
        self.raw.name = name
        self.viewer.layers.selection.active = self.raw
        self.viewer.reset_view()

    def choose_from_the_menu(self) -> OneClickWidget:
        """Open Layers > Filter, picture it, and press the item."""
        menu = self.viewer.window.layers_menu
        menu.popup(self.window.mapToGlobal(QPoint(100, 20)))
        self.wait(0.5)
        (entry,) = [one for one in menu.actions() if one.text() == "Filter"]
        filters = entry.menu()
        (item,) = [one for one in filters.actions() if "Deconvolve" in one.text()]
        filters.popup(menu.mapToGlobal(menu.actionGeometry(entry).topRight()))
        menu.setActiveAction(entry)
        filters.setActiveAction(item)
        self.wait(0.7)
        self.picture_of_the_screen("1_menu")
        filters.close()
        menu.close()
        item.trigger()
        self.wait(0.5)
        (widget,) = self.window.findChildren(OneClickWidget)
        self.viewer.reset_view()  # into what the widget has left of the canvas
        return widget

    def picture_of_the_screen(self, name: str) -> None:
        """Write what the screen shows, menus included, where the window is."""
        frame = self.window.geometry()
        screen = QApplication.primaryScreen().grabWindow(0)
        grab, self.window.grab = self.window.grab, lambda: screen.copy(frame)
        try:
            self.picture(name)
        finally:
            self.window.grab = grab

    def close_notifications(self) -> None:
        """Take away what has been read."""
        for notification in self.window.findChildren(NapariQtNotification):
            notification.close()

    def film_until(self, condition: Callable[[], object], what: str) -> list[PIL.Image.Image]:
        """Picture the window every second until something has come about."""
        frames: list[PIL.Image.Image] = []

        def take_frame() -> None:
            picture = self.window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
            bits = picture.constBits()
            bits.setsize(picture.sizeInBytes())
            size = (picture.width(), picture.height())
            frame = PIL.Image.frombuffer(
                "RGB", size, bytes(bits), "raw", "RGB", picture.bytesPerLine(), 1
            )
            frames.append(frame.resize((FILM_WIDTH, size[1] * FILM_WIDTH // size[0])))

        timer = QTimer(self.window)
        timer.timeout.connect(take_frame)
        timer.start(1000)
        self.wait_for(condition, what)
        timer.stop()
        take_frame()
        return frames

    def run(self, recording: Recording) -> None:
        """From the menu to the verdict."""
        one_click = self.choose_from_the_menu()
        self.wait_for(lambda: one_click.asking, "the form")
        self.picture("2_form")
        if recording.kind is not None:
            one_click.image.kind_box.value = recording.kind
        for name, value in recording.typed.items():
            one_click.form.boxes[name].value = value
        if one_click.form.missing:
            raise RuntimeError(f"the form of {recording.name} still says: {one_click.form.missing}")
        self.picture("3_filled")
        begun, spent = time.perf_counter(), time.process_time()
        one_click.start_button.click()
        self.wait_for(
            lambda: (
                one_click.steps.states.get("model") == ACTIVE
                and self.viewer.layers[DECONVOLVED].opacity == 1
                and one_click.progress_bar.value() >= WATCHED
            ),
            "the training",
        )
        self.close_notifications()
        self.picture("4_training")
        film = self.film_until(lambda: not one_click.running, "the verdict")
        if recording is RECORDINGS[0]:
            save_film(film, self.folder / "one_click.gif")
        print(
            f"{recording.name}: {time.perf_counter() - begun:.0f} s, of which "
            f"{time.process_time() - spent:.0f} s of computing"
        )
        for step, said in one_click.steps.said.items():
            print(f"  {step}: {said}")
        self.close_notifications()
        self.wait(1)
        self.picture("5_done")
        bar = one_click.findChild(QScrollArea).verticalScrollBar()
        if bar.maximum() > 0:
            bar.setValue(bar.maximum())
            self.picture("6_verdict")


def save_film(frames: list[PIL.Image.Image], path: Path) -> None:
    """Write frames as a GIF of ten seconds that stays at its end for a while."""
    count = min(len(frames), FILM_FRAMES)
    chosen = [frames[round(n * (len(frames) - 1) / max(count - 1, 1))] for n in range(count)]
    palette = palette_of(chosen)
    few = [frame.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for frame in chosen]
    times = [10_000 // count] * (count - 1) + [3000]
    few[0].save(path, save_all=True, append_images=few[1:], duration=times, loop=0, optimize=True)


def palette_of(frames: list[PIL.Image.Image]) -> PIL.Image.Image:
    """Return the colours of a film as an image: of the signs, the greys, and the most frequent.

    A sign has few pixels, and its colour would be lost among so many grey ones. Scaled down it
    mixes with the background, so that it gets some steps between.
    """
    background = np.array(frames[-1].getpixel((frames[-1].width - 12, frames[-1].height // 2)))
    kept = [np.full(3, grey) for grey in np.linspace(0, 255, GREYS)]
    for sign in (ON_DARK.good, ON_DARK.caution, ON_DARK.bad, ON_DARK.link):
        colour = np.array(PIL.ImageColor.getrgb(sign))
        kept += [background + part * (colour - background) for part in MIXED]
    wide, high = frames[0].size
    sheet = PIL.Image.new("RGB", (wide, high * len(frames)))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (0, high * number))
    frequent = sheet.quantize(FILM_COLOURS - len(kept)).getpalette()
    assert frequent is not None
    fixed = [int(value) for colour in kept for value in np.rint(colour)]
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette([*frequent[: 3 * (FILM_COLOURS - len(kept))], *fixed])
    return palette


def take(folder: Path, recordings: Path, recording: Recording) -> None:
    """Take the pictures of one recording."""
    tutorial = OneClickTutorial(folder)
    tutorial.prefix = f"one_click_{recording.name}_"
    tutorial.open_recording(recordings / recording.file, recording.name)
    if recording.psf is not None:
        tutorial.state.psf = PSF.read(recordings / recording.psf, recording.psf_voxel_size)
    tutorial.run(recording)
    tutorial.viewer.close()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder with the recordings")
    parser.add_argument("--only", help="name of one recording")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for recording in RECORDINGS:
        if arguments.only in (None, recording.name):
            take(arguments.folder, arguments.recordings, recording)


if __name__ == "__main__":
    main()
